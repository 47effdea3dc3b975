//! The world of a run: the clock, the network between the endpoints, and the fault.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdline::lane::Alone;
use holdline_cluster::Timestamp;
use holdline_cluster::engine;
use holdline_cluster::id::NodeId;
use holdline_cluster::membership;
use holdline_cluster::view::{Role, View};
use holdline_protos::v1::{Frame, Relay, relay};
use holdline_sip::wire::{Message, peek};
use holdline_sip::{Flow, Ingress, Transport};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::agent::Calling;
use super::balancer::Balancer;
use super::endpoint::{Endpoint, Out};
use super::node::{Node, member};
use super::plan::{Fault, Plan};
use super::verdict::{Books, Verdict};

const NODES: usize = 3;
const START: Duration = Duration::from_secs(1_700_000_000);
/// When the first call is placed; by then every view has formed.
const FIRST_CALL: Duration = Duration::from_secs(3);
const CALLS_WITHIN: Duration = Duration::from_secs(4);
/// Long enough for the last BYE, 64·T1 without an ACK before it, and the tombstone after it.
const END: Duration = Duration::from_secs(110);
/// A survivor proves a death by two refused reconnects.
const EVIDENCE_AFTER: Duration = Duration::from_millis(6);

pub(super) struct World<'a> {
    plan: &'a Plan,
    rng: StdRng,
    now: Timestamp,
    sequence: u64,
    events: BTreeMap<(Timestamp, u64), Event>,
    nodes: Vec<Option<Node>>,
    balancer: Balancer,
    caller: Endpoint<Calling>,
    caller_wake: Option<Timestamp>,
    /// Links carry in order: when the last frame between two processes arrives.
    arrivals: BTreeMap<(usize, usize), Timestamp>,
    /// Answers until the node that gives one is struck.
    strike_in: Option<u32>,
    taken_over: usize,
    books: Books,
}

/// A process: a node's index, and its boot.
type Process = (usize, u64);

enum Event {
    Start(usize),
    Crash(usize),
    Place(u32),
    Sip { from: SocketAddr, to: SocketAddr, bytes: Bytes },
    Refused(SocketAddr),
    Gossip { to: SocketAddr, payload: Bytes },
    Frame { from: Process, to: Process, frame: Frame },
    Relay { from: Process, to: Process, relay: Relay },
    Link { at: Process, peer: Process, up: bool },
    Evidence { at: Process, peer: NodeId, boot: u64 },
    WakeNode(usize),
    WakeBalancer,
    WakeCaller,
}

impl<'a> World<'a> {
    pub(super) fn new(plan: &'a Plan, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let balancer = Balancer::new(START, rng.random());
        let home = SocketAddr::from(([10, 0, 1, 1], 5060));
        let talk = Duration::from_millis(rng.random_range(2_000..6_000));
        let caller = Endpoint::new(home, home, Calling { talk }, Arc::new(Alone), None, rng.random());
        let mut world = Self {
            plan,
            rng,
            now: START,
            sequence: 0,
            events: BTreeMap::new(),
            nodes: (0..NODES).map(|_| None).collect(),
            balancer,
            caller,
            caller_wake: None,
            arrivals: BTreeMap::new(),
            strike_in: None,
            taken_over: 0,
            books: Books::default(),
        };
        world.prepare();
        world
    }

    /// Everything that is known beforehand: starts, calls, the fault.
    fn prepare(&mut self) {
        for index in 0..NODES {
            let after = self.millis(0..200);
            self.after(after, Event::Start(index));
        }
        self.after(Duration::ZERO, Event::WakeBalancer);
        for call in 0..self.plan.calls {
            let after = FIRST_CALL + self.millis(0..CALLS_WITHIN.as_millis() as u64);
            self.after(after, Event::Place(call));
        }
        if self.plan.fault == Fault::None {
            return;
        }
        // Half of the deaths come when they hurt most: in the millisecond after an answer left.
        match self.rng.random() {
            true => self.strike_in = Some(self.rng.random_range(0..self.plan.calls / 2)),
            false => {
                let (victim, after) = (self.rng.random_range(0..NODES), self.millis(0..5_000));
                self.strike(victim, FIRST_CALL + after);
            }
        }
    }

    /// The node dies after this long, and comes back if the plan says so.
    fn strike(&mut self, victim: usize, after: Duration) {
        self.after(after, Event::Crash(victim));
        if let Fault::Restart(pause) = self.plan.fault {
            self.after(after + pause, Event::Start(victim));
        }
    }

    /// A node gives an answer: counts down to the one it dies after.
    fn answered(&mut self, index: usize) {
        self.strike_in = match self.strike_in.take() {
            Some(0) => {
                let after = Duration::from_micros(self.rng.random_range(0..1_000));
                self.strike(index, after);
                None
            }
            left => left.map(|left| left - 1),
        };
    }

    pub(super) fn run(mut self) -> Verdict {
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > START + END {
                break;
            }
            self.now = at;
            self.happen(event);
        }
        for node in self.nodes.iter().flatten() {
            let at = node.name.as_str();
            if let Some(what) = node.endpoint.leftover() {
                self.books.leftover(at, what);
            }
            let stats = node.engine(|engine| engine.stats());
            if stats.items + stats.tombstones + stats.pending != 0 {
                self.books.leftover(at, format!("{stats:?}"));
            }
        }
        if let Some(what) = self.caller.leftover() {
            self.books.leftover("caller", what);
        }
        self.books.close(self.taken_over)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(index) => self.start(index),
            Event::Crash(index) => self.crash(index),
            Event::Place(call) => self.place(call),
            Event::Sip { from, to, bytes } => self.sip(from, to, bytes),
            Event::Refused(node) => self.refused(node),
            Event::Gossip { to, payload } => self.gossip(to, &payload),
            Event::Frame { from, to, frame } => {
                let Some(peer) = self.alive(from).map(|node| node.name.clone()) else { return };
                let now = self.now;
                if let Some(node) = self.alive(to) {
                    node.engine(|engine| engine.handle_frame(now, &peer, from.1, frame));
                    self.settle(to.0);
                }
            }
            Event::Relay { from, to, relay } => self.relayed(from, to, relay),
            Event::Link { at, peer, up } => self.link(at, peer, up),
            Event::Evidence { at, peer, boot } => {
                let now = self.now;
                if let Some(node) = self.alive(at) {
                    node.membership.handle_evidence(now, &peer, boot);
                    self.settle(at.0);
                }
            }
            Event::WakeNode(index) => self.wake_node(index),
            Event::WakeBalancer => self.wake_balancer(),
            Event::WakeCaller => self.wake_caller(),
        }
    }

    fn start(&mut self, index: usize) {
        let (rng_seed, seed) = (self.rng.random(), self.rng.random());
        let mut node =
            Node::new(self.now, index, self.balancer.address, self.plan.durability, rng_seed, seed);
        node.membership.handle_seeds(self.now, &seeds(), true);
        self.nodes[index] = Some(node);
        self.settle(index);
    }

    fn crash(&mut self, index: usize) {
        let Some(dead) = self.nodes[index].take() else { return };
        for peer in dead.links {
            let Some(boot) = self.nodes[peer].as_ref().map(|node| node.boot) else { continue };
            let at = (peer, boot);
            self.after(Duration::from_millis(1), Event::Link { at, peer: (index, dead.boot), up: false });
            self.after(EVIDENCE_AFTER, Event::Evidence { at, peer: dead.name.clone(), boot: dead.boot });
        }
    }

    fn place(&mut self, call: u32) {
        let delay = [0, 0, 30, 400][self.rng.random_range(0..4)];
        let then = if call.is_multiple_of(4) { "bye" } else { "stay" };
        let to = format!("sip:{delay}-{then}@{}", self.balancer.address);
        let lane = &mut self.caller.lane;
        let Some(shard) = lane.pick_shard() else { return };
        let key = lane.new_key(shard);
        let call = holdline_sip::dialog::Call {
            from_uri: format!("sip:caller@{}", self.caller.address),
            to_uri: to,
            call_id: format!("call-{call}"),
            local_tag: format!("caller-{call}"),
            branch_prefix: lane.nonce(),
            ..Default::default()
        };
        if lane.handle_call(self.now, call, key).is_ok() {
            self.settle_caller();
        }
    }

    fn sip(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        if to == self.balancer.address {
            if let Some((next, bytes)) = self.balancer.handle_datagram(self.now, bytes, from) {
                self.transmit(to, next, bytes);
            }
            return;
        }
        let Ok(message) = Message::parse(bytes) else { return };
        let flow = Flow { transport: Transport::Udp, remote: from, ingress: Ingress::default() };
        if to == self.caller.address {
            self.books.saw(&message);
            self.caller.lane.handle_message(self.now, message, flow, false);
            return self.settle_caller();
        }
        let at = |node: &Option<Node>| node.as_ref().is_some_and(|node| node.endpoint.address == to);
        if let Some(index) = self.nodes.iter().position(at) {
            let now = self.now;
            if let Some(node) = &mut self.nodes[index] {
                node.endpoint.lane.handle_message(now, message, flow, false);
            }
            self.settle(index);
        } else if from == self.balancer.address {
            let after = self.latency();
            self.after(after, Event::Refused(to));
        }
    }

    /// A datagram of the balancer came to a machine where nobody listens any more.
    fn refused(&mut self, node: SocketAddr) {
        for (heir, bytes) in self.balancer.handle_refused(self.now, node) {
            self.transmit(self.balancer.address, heir, bytes);
        }
    }

    fn gossip(&mut self, to: SocketAddr, payload: &[u8]) {
        let now = self.now;
        if to == self.balancer.gossip {
            self.balancer.membership.handle_datagram(now, payload);
            return self.settle_balancer();
        }
        let at = |node: &Option<Node>| node.as_ref().is_some_and(|node| node.member.cluster == to);
        if let Some(index) = self.nodes.iter().position(at) {
            if let Some(node) = &mut self.nodes[index] {
                node.membership.handle_datagram(now, payload);
            }
            self.settle(index);
        }
    }

    fn relayed(&mut self, from: Process, to: Process, relay: Relay) {
        let now = self.now;
        let Some(node) = self.alive(to) else { return };
        match relay.body {
            Some(relay::Body::Forward(forward)) => {
                let Some(remote) = forward.source.as_ref().and_then(address) else { return };
                let Ok(message) = Message::parse(forward.datagram) else { return };
                let flow = Flow { transport: Transport::Udp, remote, ingress: Ingress(from.0 as u32 + 1) };
                node.endpoint.lane.handle_message(now, message, flow, true);
                self.settle(to.0);
            }
            Some(relay::Body::Transmit(transmit)) => {
                let own = node.endpoint.address;
                if let Some(remote) = transmit.target.as_ref().and_then(address) {
                    self.transmit(own, remote, transmit.datagram);
                }
            }
            _ => {}
        }
    }

    fn link(&mut self, at: Process, peer: Process, up: bool) {
        let (now, name) = (self.now, NodeId::clone(&name(peer.0)));
        let peer_lives = self.alive(peer).is_some();
        let Some(node) = self.alive(at) else { return };
        match up {
            true if peer_lives => node.links.insert(peer.0),
            true => return,
            false => node.links.remove(&peer.0),
        };
        node.engine(|engine| engine.handle_link(now, &name, peer.1, up));
        self.settle(at.0);
    }

    fn wake_node(&mut self, index: usize) {
        let now = self.now;
        let Some(node) = self.nodes[index].as_mut().filter(|node| node.wake == Some(now)) else { return };
        node.wake = None;
        node.membership.handle_timeout(now);
        node.engine(|engine| engine.handle_timeout(now));
        node.endpoint.lane.handle_timeout(now);
        self.settle(index);
    }

    fn wake_balancer(&mut self) {
        if self.now == START {
            self.balancer.membership.handle_seeds(self.now, &seeds(), true);
        } else if self.balancer.wake != Some(self.now) {
            return;
        }
        self.balancer.wake = None;
        self.balancer.membership.handle_timeout(self.now);
        self.settle_balancer();
    }

    fn wake_caller(&mut self) {
        if self.caller_wake == Some(self.now) {
            self.caller_wake = None;
            self.caller.lane.handle_timeout(self.now);
            self.settle_caller();
        }
    }

    /// Runs a node's cores until none has anything to say to another.
    fn settle(&mut self, index: usize) {
        loop {
            let lane = self.drain_lane(index);
            let engine = self.drain_engine(index);
            let membership = self.drain_membership(index);
            if !(lane || engine || membership) {
                break;
            }
        }
        let now = self.now;
        let Some(node) = &mut self.nodes[index] else { return };
        let next = node.poll_timeout(now);
        if next.is_some_and(|next| node.wake.is_none_or(|wake| next < wake)) {
            node.wake = next;
            self.at(next.unwrap_or(now), Event::WakeNode(index));
        }
    }

    fn drain_lane(&mut self, index: usize) -> bool {
        let now = self.now;
        let Some(node) = &mut self.nodes[index] else { return false };
        let (outs, own, boot) = (node.endpoint.settle(now), node.endpoint.address, node.boot);
        let any = !outs.is_empty();
        for out in outs {
            match out {
                Out::Transmit(flow, bytes) if flow.ingress == Ingress::default() => {
                    if is_answer(&bytes) {
                        self.answered(index);
                    }
                    self.transmit(own, flow.remote, bytes);
                }
                Out::Transmit(flow, bytes) => {
                    let target = holdline_protos::v1::Address {
                        ip: match flow.remote.ip() {
                            std::net::IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
                            std::net::IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
                        },
                        port: flow.remote.port().into(),
                        transport: 0,
                    };
                    let transmit = holdline_protos::v1::Transmit { datagram: bytes, target: Some(target) };
                    let relay = Relay { body: Some(relay::Body::Transmit(transmit)) };
                    self.relay((index, boot), flow.ingress.0 as usize - 1, relay);
                }
                Out::Relay(to, relay) => {
                    if let Some(to) = self.index_of(&to) {
                        self.relay((index, boot), to, relay);
                    }
                }
                Out::Commit(commit) => {
                    if let Some(node) = &self.nodes[index] {
                        node.engine(|engine| engine.handle_commit(now, commit));
                    }
                }
            }
        }
        any
    }

    fn drain_engine(&mut self, index: usize) -> bool {
        let now = self.now;
        let Some(node) = &mut self.nodes[index] else { return false };
        node.engine(|engine| {
            if engine.poll_timeout().is_some_and(|at| at <= now) {
                engine.handle_timeout(now);
            }
        });
        let (name, from) = (node.name.clone(), (index, node.boot));
        let mut any = false;
        while let Some(effect) =
            self.nodes[index].as_ref().and_then(|node| node.engine(|engine| engine.poll_effect()))
        {
            any = true;
            match effect {
                engine::Effect::Send { to, frame } => self.frame(from, &to, frame),
                engine::Effect::Confirmed(confirmed) => {
                    if let Some(node) = &mut self.nodes[index] {
                        node.endpoint.lane.handle_confirmed(now, confirmed.key, confirmed.version);
                    }
                }
                engine::Effect::Activated { shard, epoch, lost, items } => {
                    self.books.activated(&name, shard, &epoch);
                    self.taken_over += items.iter().filter(|item| !item.terminated).count();
                    if let Some(node) = &mut self.nodes[index] {
                        node.endpoint.lane.handle_activated(now, shard, lost.as_ref(), items);
                    }
                }
                engine::Effect::Retired { shard } => {
                    if let Some(node) = &mut self.nodes[index] {
                        node.endpoint.lane.handle_retired(now, &[shard].into());
                    }
                }
                engine::Effect::Notice(_) => {}
            }
        }
        any
    }

    fn drain_membership(&mut self, index: usize) -> bool {
        let now = self.now;
        let mut any = false;
        while let Some(effect) = self.nodes[index].as_mut().and_then(|node| node.membership.poll_effect()) {
            any = true;
            match effect {
                membership::Effect::Send { to, payload } => self.send_gossip(to, payload),
                membership::Effect::View(view) => {
                    if let Some(node) = &self.nodes[index] {
                        node.see(now, &view);
                    }
                    self.connect(index, &view);
                }
                _ => {}
            }
        }
        any
    }

    /// Links to the peers that the view names, as the dialler of a node makes them.
    fn connect(&mut self, index: usize, view: &View) {
        let Some(node) = &self.nodes[index] else { return };
        let (me, linked) = ((index, node.boot), node.links.clone());
        for peer in view.nodes() {
            let Some(other) =
                self.index_of(&peer.id).filter(|other| *other != index && !linked.contains(other))
            else {
                continue;
            };
            if self.alive((other, peer.boot)).is_some() {
                let after = self.millis(2..20);
                self.after(after, Event::Link { at: me, peer: (other, peer.boot), up: true });
                self.after(after, Event::Link { at: (other, peer.boot), peer: me, up: true });
            }
        }
    }

    fn settle_balancer(&mut self) {
        while let Some((to, payload)) = self.balancer.poll_gossip() {
            self.send_gossip(to, payload);
        }
        let next =
            self.balancer.membership.poll_timeout().map(|at| at.max(self.now + Duration::from_micros(100)));
        if next.is_some_and(|next| self.balancer.wake.is_none_or(|wake| next < wake)) {
            self.balancer.wake = next;
            self.at(next.unwrap_or(self.now), Event::WakeBalancer);
        }
    }

    fn settle_caller(&mut self) {
        for out in self.caller.settle(self.now) {
            if let Out::Transmit(flow, bytes) = out {
                self.transmit(self.caller.address, flow.remote, bytes);
            }
        }
        let next = self.caller.poll_timeout(self.now);
        if next.is_some_and(|next| self.caller_wake.is_none_or(|wake| next < wake)) {
            self.caller_wake = next;
            self.at(next.unwrap_or(self.now), Event::WakeCaller);
        }
    }

    fn transmit(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        if !self.rng.random_bool(self.plan.loss) {
            let after = self.latency();
            self.after(after, Event::Sip { from, to, bytes });
        }
    }

    fn send_gossip(&mut self, to: SocketAddr, payload: Bytes) {
        if !self.rng.random_bool(self.plan.loss) {
            let after = self.latency();
            self.after(after, Event::Gossip { to, payload });
        }
    }

    fn frame(&mut self, from: Process, to: &NodeId, frame: Frame) {
        if let Some((to, at)) = self.arrival(from, self.index_of(to)) {
            self.at(at, Event::Frame { from, to, frame });
        }
    }

    fn relay(&mut self, from: Process, to: usize, relay: Relay) {
        if let Some((to, at)) = self.arrival(from, Some(to)) {
            self.at(at, Event::Relay { from, to, relay });
        }
    }

    /// When something sent over the link now arrives; `None` without a link.
    fn arrival(&mut self, from: Process, to: Option<usize>) -> Option<(Process, Timestamp)> {
        let to = to?;
        self.alive(from)?.links.contains(&to).then_some(())?;
        let boot = self.nodes[to].as_ref()?.boot;
        let latency = self.latency();
        let earliest = self.arrivals.get(&(from.0, to)).copied().unwrap_or_default();
        let at = (self.now + latency).max(earliest);
        self.arrivals.insert((from.0, to), at);
        Some(((to, boot), at))
    }

    fn alive(&mut self, process: Process) -> Option<&mut Node> {
        self.nodes[process.0].as_mut().filter(|node| node.boot == process.1)
    }

    fn index_of(&self, name: &NodeId) -> Option<usize> {
        name.as_str().strip_prefix('n').and_then(|index| index.parse().ok())
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(100..800))
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    fn after(&mut self, after: Duration, event: Event) {
        self.at(self.now + after, event);
    }

    fn at(&mut self, at: Timestamp, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }
}

/// A 2xx to an INVITE.
fn is_answer(datagram: &[u8]) -> bool {
    datagram.starts_with(b"SIP/2.0 2") && peek(datagram).is_some_and(|peek| peek.method == "INVITE")
}

fn seeds() -> Vec<SocketAddr> {
    (0..NODES).map(|index| SocketAddr::from(([10, 0, 0, index as u8 + 1], 7000))).collect()
}

fn name(index: usize) -> NodeId {
    member(&format!("n{index}"), 0, index as u8 + 1, Role::Node).id
}

fn address(address: &holdline_protos::v1::Address) -> Option<SocketAddr> {
    let ip = <[u8; 4]>::try_from(&address.ip[..]).ok()?;
    Some(SocketAddr::from((ip, u16::try_from(address.port).ok()?)))
}

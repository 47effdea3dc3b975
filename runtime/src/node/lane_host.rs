//! One core at work: a lane, its socket and its actors on one single-threaded runtime.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use holdline_cluster::id::NodeId;
use holdline_protos::v1::{DialogInfo, Relay, Transmit, relay};
use holdline_sip::transport::{Arrivals, BUFFER_BYTES, SendOutcome, UdpTransport};
use holdline_sip::wire::Message;
use holdline_sip::{Flow, Ingress, Timestamp};
use ractor::Actor;
use smallvec::SmallVec;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::inbox::{Inbox, News};
use super::shared::Shared;
use crate::actor::{DialogActor, DialogMsg, DialogRefOf, Start};
use crate::handler::DialogHandler;
use crate::lane::{Counts, Effect, Lane};
use crate::limits;
use crate::recovery::address;
use crate::step::{Birth, Input, ReplyTo};

/// Datagrams taken from the socket before other work gets its turn.
const RECEIVE_BATCH: usize = 64;

/// A lane and what drives it.
pub(crate) struct LaneHost<H: DialogHandler> {
    lane: Mutex<Lane<DialogRefOf>>,
    socket: UdpTransport,
    inbox: Inbox,
    lookups: Semaphore,
    shared: Arc<Shared<H>>,
}

impl<H: DialogHandler> LaneHost<H> {
    pub(super) fn new(lane: Lane<DialogRefOf>, socket: UdpTransport, shared: Arc<Shared<H>>) -> Self {
        Self {
            lane: Mutex::new(lane),
            socket,
            inbox: Inbox::default(),
            lookups: Semaphore::new(limits::LOOKUPS_MAX),
            shared,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    pub(crate) fn handler(&self) -> &H {
        &self.shared.handler
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    pub(crate) fn replicates_data(&self) -> bool {
        self.shared.replicate_data
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock(|lane| lane.counts())
    }

    /// A turn of work is over: what it committed is sent on its way.
    pub(super) fn flush(&self) {
        if let Some(cluster) = self.shared.cluster.get() {
            cluster.flush();
        }
    }

    /// The node cannot go on, and whoever runs it is told.
    pub(super) fn give_up(&self, why: &str) {
        self.shared.fatal.send_replace(Some(why.to_owned()));
    }

    /// Runs the lane and carries out what it asks for; starting actors is left to the lane's own task.
    pub(crate) fn run<T>(&self, work: impl FnOnce(&mut Lane<DialogRefOf>, Timestamp) -> T) -> T {
        let now = self.now();
        let (result, effects) = self.lock(|lane| {
            lane.wake(now);
            let result = work(lane, now);
            let effects: SmallVec<[Effect<DialogRefOf>; 4]> =
                std::iter::from_fn(|| lane.poll_effect()).collect();
            (result, effects)
        });
        for effect in effects {
            self.perform(effect);
        }
        result
    }

    fn lock<T>(&self, work: impl FnOnce(&mut Lane<DialogRefOf>) -> T) -> T {
        // A panic inside the lane is a bug of ours; its state is still the best there is for all other calls.
        work(&mut self.lane.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn perform(&self, effect: Effect<DialogRefOf>) {
        match effect {
            Effect::Transmit { flow, bytes } => self.transmit(flow, bytes),
            Effect::Deliver { actor, input } => {
                // An actor that failed meanwhile: its supervisor says so, and the dialog restarts.
                let _ = actor.cast(DialogMsg(input));
            }
            Effect::Stop { actor } => actor.stop(None),
            Effect::Commit(commit) => self.shared.commit(commit),
            Effect::Relay { to, relay } => self.shared.relay(&to, &relay),
            Effect::Reply { to, reply } => {
                let name = self.shared.name.to_string();
                let reply = (*reply).map(|info| DialogInfo { node: name, ..info });
                match to {
                    ReplyTo::Here(id) => self.shared.calls.resolve(id, reply),
                    ReplyTo::Node(node, id) => self.shared.reply(&node, id, reply),
                }
            }
            effect @ (Effect::Spawn { .. } | Effect::Resolve { .. }) => {
                self.inbox.push(News::Effect(effect));
            }
        }
    }

    /// Sends where the flow leads: from our socket, or from that of the node the request came in at.
    pub(super) fn transmit(&self, flow: Flow, bytes: Bytes) {
        if flow.ingress != Ingress::default() {
            if let Some(node) = self.shared.peers.node(flow.ingress) {
                let transmit = Transmit { datagram: bytes, target: Some(address(flow)) };
                self.shared.relay(&node, &Relay { body: Some(relay::Body::Transmit(transmit)) });
            }
            return;
        }
        match self.socket.try_send(&bytes, flow.remote) {
            // A full buffer of the kernel is counted by the transport: SIP's timers send it again.
            SendOutcome::Sent | SendOutcome::WouldBlock => {}
            SendOutcome::Error { kind, .. } if is_unreachable(kind) => {
                self.run(|lane, now| lane.handle_transport_error(now, flow));
            }
            // Of this datagram alone (too large, refused by a filter): no reason to fail all that goes there.
            SendOutcome::Error { kind, .. } => tracing::debug!(remote = %flow.remote, %kind, "not sent"),
        }
    }

    /// The lane's task: socket, inbox, clock, until told to stop.
    pub(super) async fn serve(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        // A lane with nothing to wait for is woken as rarely as its fence allows: an idle tick costs some 40 µs.
        let mut idle = false;
        let mut tick = pin!(tokio::time::sleep(limits::TICK));
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut arrivals = Arrivals::new(&self.socket, self.shared.gap);
        loop {
            tokio::select! {
                () = self.inbox.notified() => {}
                _ = arrivals.wait() => {
                    // A runtime that is never idle must flush too.
                    self.flush();
                    self.receive(&mut arrivals, &mut buffer);
                    // A socket that always has something must not keep the actors, and the cluster's side, from their turns.
                    tokio::task::yield_now().await;
                }
                () = &mut tick => {
                    self.flush();
                    idle = self.run(|lane, now| {
                        lane.handle_timeout(now);
                        lane.poll_timeout().is_none()
                    });
                    let next = if idle { limits::IDLE_TICK } else { limits::TICK };
                    tick.as_mut().reset(Instant::now() + next);
                }
                _ = stop.changed() => break,
            }
            self.take_news().await;
            if idle && self.lock(|lane| lane.poll_timeout().is_some()) {
                idle = false;
                tick.as_mut().reset(Instant::now() + limits::TICK);
            }
        }
    }

    fn receive(&self, arrivals: &mut Arrivals<'_>, buffer: &mut [u8]) {
        for _ in 0..RECEIVE_BATCH {
            let Some((datagram, remote)) = arrivals.try_recv(buffer) else { return };
            self.handle_datagram(datagram, remote);
        }
    }

    fn handle_datagram(&self, datagram: Bytes, remote: SocketAddr) {
        let flow = Flow::udp(remote);
        match Message::parse(datagram.clone()) {
            Ok(message) => self.shared.route(message, flow, false, Some(self)),
            Err(error) => {
                tracing::debug!(%remote, %error, "not a SIP message");
                if let Some((reply, to)) = error.reply_from(&datagram, remote) {
                    self.transmit(Flow::udp(to), reply);
                }
            }
        }
    }

    async fn take_news(self: &Arc<Self>) {
        let mut news = self.inbox.take().into_iter().peekable();
        while let Some(next) = news.next() {
            match next {
                News::Message { message, flow, hopped } => {
                    self.run(|lane, now| lane.handle_message(now, message, flow, hopped));
                }
                News::Input { key, input } => self.run(|lane, now| lane.handle_input(now, key, input)),
                News::Confirmed(batch) => self.run(|lane, now| {
                    for confirmation in batch {
                        lane.handle_confirmed(now, confirmation.key, confirmation.version);
                    }
                }),
                News::Activated { shard, lost, items } => {
                    self.run(|lane, now| lane.handle_activated(now, shard, lost.as_ref(), items));
                }
                News::Retired(shard) => {
                    let mut shards = HashSet::from([shard]);
                    while let Some(News::Retired(shard)) =
                        news.next_if(|news| matches!(news, News::Retired(_)))
                    {
                        shards.insert(shard);
                    }
                    self.run(|lane, now| lane.handle_retired(now, &shards));
                }
                News::Resolved { key, request, ack, target } => {
                    self.run(|lane, now| lane.handle_resolved(now, key, *request, ack, target));
                }
                News::Failed { key, life } => self.run(|lane, now| lane.failed(now, key, life)),
                News::Effect(Effect::Spawn { key: _, birth, input }) => self.spawn(birth, input).await,
                News::Effect(Effect::Resolve { key, request, host, port, ack }) => {
                    let lane = self.clone();
                    tokio::spawn(async move {
                        let target = lane.look_up(host, port).await;
                        lane.inbox.push(News::Resolved { key, request, ack, target });
                    });
                }
                News::Effect(effect) => self.perform(effect),
            }
        }
    }

    /// An address of the host that our socket can send to; `None` also when too many names are being looked up.
    async fn look_up(&self, host: String, port: u16) -> Option<SocketAddr> {
        let _permit = self.lookups.try_acquire().ok()?;
        let ipv4 = self.socket.local_addr().is_ipv4();
        let found = tokio::time::timeout(limits::LOOKUP_MAX, tokio::net::lookup_host((host, port))).await;
        found.ok()?.ok()?.find(|address| address.is_ipv4() == ipv4)
    }

    async fn spawn(self: &Arc<Self>, birth: Box<Birth>, input: Box<Input>) {
        let (key, life) = (birth.key, birth.life);
        let start = Start { host: self.clone(), birth, input };
        match Actor::spawn(None, DialogActor::new(), start).await {
            Ok((actor, _)) => self.run(|lane, _| lane.started(key, life, actor)),
            Err(error) => {
                tracing::error!(?key, %error, "a dialog's actor cannot start");
                self.run(|lane, now| lane.start_failed(now, key, life));
            }
        }
    }
}

/// Nothing gets there, whatever is sent.
fn is_unreachable(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)
}

/// Names of peers as the small numbers that flows carry.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<Vec<NodeId>>);

impl Peers {
    /// The ingress of messages that this node sent on to us; 1 and up, never forgotten: names are few.
    pub(super) fn ingress(&self, node: &NodeId) -> Ingress {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = known.iter().position(|name| name == node).unwrap_or_else(|| {
            known.push(node.clone());
            known.len() - 1
        });
        Ingress(index as u32 + 1)
    }

    fn node(&self, ingress: Ingress) -> Option<NodeId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(ingress.0.checked_sub(1)? as usize).cloned()
    }
}

//! All links of a node: who is dialled when, which session counts, and what comes out of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ractor::registry::pid_registry::demonitor;
use ractor::{Actor, ActorRef, SpawnErr};
use ractor_cluster::node::{NodeConnectionMode, NodeServerSessionInformation};
use ractor_cluster::{NodeEventSubscription, NodeServer, NodeServerMessage};
use rand::RngExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::connect::Connector;
use super::control::{self, BadHello, Control, Hello, NodeCtl};
use super::name::ProcessName;
use super::peer::{FRAME_MAX, PeerLink};
use super::session::Session;
use super::stream::{Cause, LinkStream, number_of};
use super::tls::{HandshakeError, LinkTls};
use super::{Event, Trouble};
use crate::id::NodeId;
use crate::view::{Role, View};

/// Heartbeat of every link; four missed end it.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(500);
/// First pause before dialling again, doubled up to the last.
const REDIAL_FIRST: Duration = Duration::from_millis(50);
const REDIAL_LAST: Duration = Duration::from_secs(1);
/// Failed connections to a live member before it is worth a line: some 4 s.
const FAILURES_QUIET: u32 = 8;
/// Peers kept at a time, members or not: every holder of the key can connect under any name.
const PEERS_MAX: usize = 1_024;
/// What ractor_cluster adds to a frame, generously.
const ENVELOPE: u64 = 64 * 1024;

/// The open links, for any thread to send on.
pub(crate) type Directory = Arc<RwLock<HashMap<NodeId, Arc<dyn PeerLink>>>>;

/// What the links tell the service.
pub(crate) enum Output {
    Up(ProcessName),
    Down(ProcessName),
    Frame(ProcessName, Vec<u8>),
    Payload(ProcessName, Bytes),
    /// The process is dead beyond doubt.
    Evidence(ProcessName),
    Trouble(Trouble),
    Broken(&'static str),
}

/// All links of this node.
pub(crate) struct Links {
    me: ProcessName,
    evidence: bool,
    connector: Connector,
    control: ActorRef<Control>,
    server: ActorRef<NodeServerMessage>,
    acceptor: JoinHandle<()>,
    peers: BTreeMap<NodeId, Peer>,
    /// Which peer a stream's events, and a link's messages, belong to.
    streams: HashMap<u64, NodeId>,
    numbers: HashMap<u64, NodeId>,
    directory: Directory,
    outputs: VecDeque<Output>,
}

#[derive(Default)]
struct Peer {
    /// Boot and address while it is a member.
    member: Option<(u64, SocketAddr)>,
    session: Option<Session>,
    /// A newer connection, until the old session has ended: two of one name would be thinned out by lot.
    waiting: Option<LinkStream>,
    dialling: bool,
    /// Failures in a row.
    failures: u32,
    redial_at: Option<Instant>,
}

impl Links {
    /// Starts ractor_cluster and the acceptor on the current runtime.
    pub(crate) async fn start(
        me: ProcessName,
        tls: LinkTls,
        listener: TcpListener,
        evidence: bool,
        events: UnboundedSender<Event>,
    ) -> Result<Self, SpawnErr> {
        // Before the server: every session announces it.
        let (control, running) =
            Actor::spawn(Some(control::actor_name(&me)), NodeCtl, events.clone()).await?;
        watch(running, "NodeCtl", &events);
        let server = NodeServer::new(
            0,
            tls.cookie().to_owned(),
            me.to_string(),
            // Part of the address by which a session notices that it talks to itself: must be unique.
            me.to_string(),
            None,
            Some(NodeConnectionMode::Isolated),
        )
        // It insists on a listener of its own; ours is the one that others reach.
        .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .with_max_inbound_frame_size(FRAME_MAX as u64 + ENVELOPE);
        let (server, running) = Actor::spawn(None, server, ()).await?;
        watch(running, "NodeServer", &events);
        let subscription = Box::new(Subscription(events.clone()));
        // The server has just started: it takes messages.
        let _ = server.cast(NodeServerMessage::SubscribeToEvents { id: "holdline".into(), subscription });
        let connector = Connector { tls, events, numbers: Arc::new(AtomicU64::new(1)) };
        let acceptor = tokio::spawn(connector.clone().accept(listener));
        Ok(Self {
            me,
            evidence,
            connector,
            control,
            server,
            acceptor,
            peers: BTreeMap::new(),
            streams: HashMap::new(),
            numbers: HashMap::new(),
            directory: Directory::default(),
            outputs: VecDeque::new(),
        })
    }

    /// The open links, kept up to date.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Links that are up.
    pub(crate) fn count(&self) -> usize {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Sends a replication frame; `false` when no link took it.
    pub(crate) fn send(&self, to: &NodeId, frame: Vec<u8>) -> bool {
        let link = self.peers.get(to).and_then(|peer| peer.session.as_ref()?.up());
        link.is_some_and(|link| link.send_frame(frame).is_ok())
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends all links; the listener goes last, so that nobody takes this for a crash.
    pub(crate) fn close(&mut self) {
        for session in self.peers.values().filter_map(|peer| peer.session.as_ref()) {
            session.handle.close();
        }
        self.directory.write().unwrap_or_else(PoisonError::into_inner).clear();
        // Our own actors may be stopped; only remote references must never be.
        self.server.stop(None);
        self.control.stop(None);
        self.acceptor.abort();
    }

    pub(crate) fn handle_view(&mut self, view: &View) {
        for peer in self.peers.values_mut() {
            peer.member = None;
        }
        for member in view.nodes().filter(|member| member.id != self.me.id && member.role == Role::Node) {
            let peer = self.peers.entry(member.id.clone()).or_default();
            let known = peer.session.as_ref().filter(|session| session.peer.boot < member.boot);
            if let Some(former) = known {
                // The link to its former process is a zombie.
                former.handle.close();
            }
            if peer.member.is_none_or(|(boot, _)| boot != member.boot) {
                (peer.failures, peer.redial_at) = (0, None);
            }
            peer.member = Some((member.boot, member.cluster));
        }
        self.peers.retain(|_, peer| peer.member.is_some() || peer.session.is_some() || peer.dialling);
        self.dial_due(Instant::now());
    }

    /// Time passed: heartbeats, if `beat`, and dialling again.
    pub(crate) fn handle_tick(&mut self, beat: bool) {
        if beat {
            for session in self.peers.values_mut().filter_map(|peer| peer.session.as_mut()) {
                session.heartbeat();
            }
        }
        self.dial_due(Instant::now());
    }

    /// When somebody is to be dialled next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.peers.values().filter(|peer| peer.wants_dialling()).filter_map(|peer| peer.redial_at).min()
    }

    pub(crate) fn handle_event(&mut self, event: Event) {
        match event {
            Event::Accepted(stream) => self.accepted(stream),
            Event::Dialled { peer, addr, result } => self.dialled(&peer, addr, result),
            Event::Authenticated { number, node_id, name } => self.authenticated(number, node_id, name),
            Event::Ready { number } => {
                if let Some(id) = self.streams.get(&number).cloned() {
                    self.open(&id);
                }
            }
            Event::Ended { number } => self.ended(number),
            Event::Message(message) => self.message(message),
            Event::Dead(peer) => self.outputs.push_back(Output::Evidence(peer)),
            Event::Trouble(trouble) => self.outputs.push_back(Output::Trouble(trouble)),
            Event::Broken(what) => self.outputs.push_back(Output::Broken(what)),
        }
    }

    fn accepted(&mut self, stream: LinkStream) {
        // The lower name dials, so that there is one connection for a pair.
        if stream.peer.id >= self.me.id
            || (self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&stream.peer.id))
        {
            return;
        }
        let peer = self.peers.entry(stream.peer.id.clone()).or_default();
        match &peer.session {
            Some(session) => {
                session.handle.close();
                peer.waiting = Some(stream);
            }
            None => self.inject(stream, true),
        }
    }

    fn dialled(&mut self, to: &ProcessName, addr: SocketAddr, result: Result<LinkStream, HandshakeError>) {
        let Some(peer) = self.peers.get_mut(&to.id) else { return };
        peer.dialling = false;
        let trouble = match result {
            Ok(stream) if stream.peer.id == to.id && peer.session.is_none() => {
                return self.inject(stream, false);
            }
            Ok(stream) => Some(Trouble::AnotherNode { expected: to.clone(), addr, found: stream.peer }),
            // The process is going or coming, gossip will tell; if it stays, something blocks TCP.
            Err(HandshakeError::Connect(_) | HandshakeError::Closed) if peer.failures < FAILURES_QUIET => {
                None
            }
            Err(error) => Some(Trouble::Dial { peer: to.clone(), addr, error }),
        };
        peer.put_off(Instant::now());
        self.outputs.extend(trouble.map(Output::Trouble));
    }

    fn inject(&mut self, stream: LinkStream, is_server: bool) {
        let (peer, number) = (stream.peer.clone(), stream.number);
        let session = Session::new(peer.clone(), number, stream.handle.clone(), rand::rng().random());
        self.streams.insert(number, peer.id.clone());
        self.peers.entry(peer.id).or_default().session = Some(session);
        let opened = NodeServerMessage::ConnectionOpenedExternal { stream: Box::new(stream), is_server };
        if self.server.cast(opened).is_err() {
            self.outputs.push_back(Output::Broken("NodeServer"));
        }
    }

    fn authenticated(&mut self, number: u64, node_id: u64, name: String) {
        let Some(session) = self.session(number) else { return };
        if !session.verify(node_id, &name) {
            session.handle.close();
            let certified = session.peer.clone();
            self.outputs.push_back(Output::Trouble(Trouble::FalseName { says: name, certified }));
        }
    }

    fn session(&mut self, number: u64) -> Option<&mut Session> {
        let id = self.streams.get(&number)?;
        self.peers.get_mut(id)?.session.as_mut().filter(|session| session.number == number)
    }

    /// Opens what can be opened; the link is up when both directions are.
    fn open(&mut self, id: &NodeId) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let Some(session) = &mut peer.session else { return };
        session.open(&self.me);
        let Some(link) = session.come_up() else { return };
        (peer.failures, peer.redial_at) = (0, None);
        tracing::info!(peer = %session.peer, "link up");
        self.outputs.push_back(Output::Up(session.peer.clone()));
        self.directory.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), link);
    }

    fn ended(&mut self, number: u64) {
        let Some(id) = self.streams.remove(&number) else { return };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(session) = peer.session.take_if(|session| session.number == number) else { return };
        if let Some(link) = session.their_link() {
            self.numbers.remove(&link);
        }
        let cause = session.handle.cause();
        if session.up().is_some() {
            tracing::info!(peer = %session.peer, ?cause, "link down");
            self.directory.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
            self.outputs.push_back(Output::Down(session.peer.clone()));
        }
        let closed_by_peer = cause == Some(Cause::Closed);
        match peer.member {
            Some((boot, addr)) if self.evidence && closed_by_peer && boot == session.peer.boot => {
                tokio::spawn(self.connector.clone().probe(session.peer, addr));
            }
            _ => {}
        }
        peer.put_off(Instant::now());
        if let Some(stream) = peer.waiting.take() {
            self.inject(stream, true);
        } else if peer.member.is_none() && !peer.dialling {
            self.peers.remove(&id);
        }
    }

    fn message(&mut self, message: Control) {
        match message {
            Control::H(bytes) => self.hello(&bytes),
            Control::R(link, frame) => {
                if let Some(from) = self.take(link, frame.len()) {
                    self.outputs.push_back(Output::Frame(from, frame));
                }
            }
            Control::P(link, payload) => {
                if let Some(from) = self.take(link, payload.len()) {
                    self.outputs.push_back(Output::Payload(from, payload.into()));
                }
            }
            Control::C(link, taken) => {
                if let Some(link) =
                    self.numbers.get(&link).and_then(|id| self.peers.get(id)?.session.as_ref()?.up())
                {
                    link.credit(taken);
                }
            }
        }
    }

    fn hello(&mut self, bytes: &[u8]) {
        let hello = match Hello::decode(bytes) {
            Ok(hello) => hello,
            Err(BadHello::Version(version)) => {
                return self.outputs.push_back(Output::Trouble(Trouble::Version(version)));
            }
            Err(BadHello::Malformed) => return tracing::warn!("a malformed hello was ignored"),
        };
        let id = hello.from.id.clone();
        let session = self.peers.get_mut(&id).and_then(|peer| peer.session.as_mut());
        // Authentication is told before any message of the session can come.
        let Some(session) = session.filter(|session| session.peer == hello.from && session.is_verified())
        else {
            return tracing::debug!(from = %hello.from, "a hello without a session was ignored");
        };
        if let Some(former) = session.their_link() {
            self.numbers.remove(&former);
        }
        session.handle_hello(hello.link);
        self.numbers.insert(hello.link, id.clone());
        self.open(&id);
    }

    /// Who sent a message under this number; messages of a link that has ended are dropped.
    fn take(&mut self, link: u64, bytes: usize) -> Option<ProcessName> {
        let id = self.numbers.get(&link)?;
        let session = self.peers.get_mut(id)?.session.as_mut()?;
        session.take(bytes);
        session.up().map(|_| session.peer.clone())
    }

    fn dial_due(&mut self, now: Instant) {
        for (id, peer) in &mut self.peers {
            let Some((boot, addr)) = peer.member.filter(|_| self.me.id < *id && peer.wants_dialling()) else {
                continue;
            };
            if peer.redial_at.is_some_and(|at| at > now) {
                continue;
            }
            peer.dialling = true;
            tokio::spawn(self.connector.clone().dial(ProcessName { id: id.clone(), boot }, addr));
        }
    }
}

impl Peer {
    fn wants_dialling(&self) -> bool {
        self.member.is_some() && self.session.is_none() && !self.dialling
    }

    fn put_off(&mut self, now: Instant) {
        self.redial_at = Some(now + (REDIAL_FIRST * 2u32.pow(self.failures.min(8))).min(REDIAL_LAST));
        self.failures += 1;
    }
}

/// Passes ractor_cluster's events on; called inside its server, so it only sends.
struct Subscription(UnboundedSender<Event>);

impl Subscription {
    fn send(&self, session: &NodeServerSessionInformation, event: impl Fn(u64) -> Event) {
        // Sessions without our label came in over ractor_cluster's own listener: they know the cookie, but have no
        // certificate, and never become a link.
        if let Some(number) = number_of(&session.peer_addr) {
            let _ = self.0.send(event(number));
        }
    }
}

impl NodeEventSubscription for Subscription {
    fn node_session_opened(&self, _: NodeServerSessionInformation) {}

    fn node_session_authenticated(&self, session: NodeServerSessionInformation) {
        let name = session.peer_name.as_ref().map(|name| name.name.clone()).unwrap_or_default();
        let node_id = session.node_id;
        self.send(&session, |number| Event::Authenticated { number, node_id, name: name.clone() });
    }

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        // By now it has announced `NodeCtl`, and there is nothing else to announce. Left as it is, it would be woken across
        // threads at the start and the end of every actor of this process, only to find that its messages stay here.
        demonitor(session.actor.get_id());
        self.send(&session, |number| Event::Ready { number });
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        self.send(&session, |number| Event::Ended { number });
    }
}

/// Tells when an actor ends that must not.
fn watch(actor: JoinHandle<()>, what: &'static str, events: &UnboundedSender<Event>) {
    let events = events.clone();
    tokio::spawn(async move {
        let _ = actor.await;
        let _ = events.send(Event::Broken(what));
    });
}

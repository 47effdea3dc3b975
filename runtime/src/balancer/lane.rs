//! One lane of the balancer: a thread with its own runtime, its own socket on the shared port and its own proxy core.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use holdline_cluster::id::Shard;
use holdline_sip::Timestamp;
use holdline_sip::transport::{Arrivals, BUFFER_BYTES, SendOutcome, UdpTransport};
use tokio::sync::Semaphore;

use super::Shared;
use super::counters::bump;
use super::effect::Effect;
use super::node_port::{NodePort, Outcome, Sent};
use super::proxy::Proxy;
use super::routes::Routes;

/// Ports a lane sends to one node from. A node's kernel spreads flows over the node's lanes, and one flow would keep one
/// of them busy only; four are enough to reach the two to eight lanes of a node with several balancer lanes.
const PORTS: usize = 4;

/// Datagrams handled in a row before the other tasks of the runtime get their turn.
const BATCH: usize = 64;

/// Look-ups of host names under way at a time in one lane: each may take a thread for seconds.
const LOOKUPS_MAX: usize = 32;

/// What a lane's tasks share. They run on one thread: the lock is never contended.
pub(super) struct Lane {
    proxy: Proxy,
    shared: Arc<Shared>,
    /// The routes the proxy has.
    routes: Arc<Routes>,
    public: Arc<UdpTransport>,
    ports: HashMap<SocketAddr, [Option<NodePort>; PORTS]>,
    lookups: Arc<Semaphore>,
    clock: Clock,
}

pub(super) type LaneHandle = Arc<Mutex<Lane>>;

impl Lane {
    /// Makes the lane and starts its tasks on the current runtime.
    pub(super) fn start(public: UdpTransport, proxy: Proxy, shared: Arc<Shared>) {
        let public = Arc::new(public);
        let lane = Arc::new(Mutex::new(Lane {
            proxy,
            shared,
            routes: Arc::new(Routes::none()),
            public: Arc::clone(&public),
            ports: HashMap::new(),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            clock: Clock::start(),
        }));
        tokio::spawn(receive(lane, public));
    }

    fn handle(&mut self, this: &LaneHandle, datagram: Bytes, source: SocketAddr) {
        bump(&self.shared.counters.received);
        self.refresh_routes();
        let effect = self.proxy.handle_datagram(self.clock.now(), datagram, source);
        match effect {
            Effect::ToNode { node, shard, spread, bytes } => {
                bump(&self.shared.counters.to_nodes);
                self.send_to_node(this, node, Sent { shard, spread, bytes });
            }
            Effect::Transmit { to, bytes } => {
                bump(&self.shared.counters.transmitted);
                transmit(&self.shared, &self.public, &bytes, to);
            }
            Effect::Resolve { host, port, bytes } => self.resolve(host, port, bytes),
            Effect::Drop(why) => self.shared.counters.dropped(why),
        }
    }

    /// Takes over the routes of a new view, and closes the ports of nodes that are gone.
    fn refresh_routes(&mut self) {
        let current = self.shared.routes.load();
        if Arc::ptr_eq(&current, &self.routes) {
            return;
        }
        self.routes = Arc::clone(&current);
        drop(current);
        self.ports.retain(|node, _| self.routes.is_node(*node));
        self.proxy.handle_view(Arc::clone(&self.routes));
    }

    fn send_to_node(&mut self, this: &LaneHandle, node: SocketAddr, sent: Sent) {
        let slot = usize::from(sent.spread) % PORTS;
        let port = &mut self.ports.entry(node).or_default()[slot];
        if port.is_none() {
            match NodePort::open(this, self.public.local_addr(), node, slot) {
                Ok(opened) => *port = Some(opened),
                Err(error) => {
                    tracing::debug!("no port towards {node}: {error}; sending from the public one");
                    return transmit(&self.shared, &self.public, &sent.bytes, node);
                }
            }
        }
        let now = self.clock.now();
        match port.as_mut().map(|port| port.send(now, sent)) {
            Some(Outcome::Refused(sent)) => {
                self.handle_refused(this, node, slot);
                self.retry(this, node, sent);
            }
            Some(Outcome::Lost) => bump(&self.shared.counters.unsent),
            Some(Outcome::Sent) | None => {}
        }
    }

    /// Nobody listens at the node's address any more: what was sent there last goes to the next in order.
    pub(super) fn handle_refused(&mut self, this: &LaneHandle, node: SocketAddr, slot: usize) {
        bump(&self.shared.counters.refused);
        self.refresh_routes();
        let now = self.clock.now();
        let port = self.ports.get_mut(&node).and_then(|ports| ports[slot].as_mut());
        for sent in port.map(|port| port.take_recent(now)).unwrap_or_default() {
            self.retry(this, node, sent);
        }
    }

    fn retry(&mut self, this: &LaneHandle, refused: SocketAddr, sent: Sent) {
        let shard: Shard = sent.shard;
        if let Some(other) = self.proxy.handle_refused(self.clock.now(), refused, shard) {
            bump(&self.shared.counters.retried);
            self.send_to_node(this, other, sent);
        }
    }

    /// A datagram on a port towards a node: a response to where it came from, instead of to our Via.
    pub(super) fn handle_stray(&mut self, this: &LaneHandle, datagram: Bytes, node: SocketAddr) {
        self.handle(this, datagram, node);
    }

    fn resolve(&mut self, host: String, port: u16, bytes: Bytes) {
        bump(&self.shared.counters.resolved);
        let Ok(permit) = Arc::clone(&self.lookups).try_acquire_owned() else {
            return bump(&self.shared.counters.unsent);
        };
        let (shared, public) = (Arc::clone(&self.shared), Arc::clone(&self.public));
        let me = self.proxy.me();
        tokio::spawn(async move {
            let found = tokio::net::lookup_host((host.as_str(), port)).await;
            let local = public.local_addr();
            let usable = |address: &SocketAddr| {
                address.is_ipv4() == local.is_ipv4() && *address != me && *address != local
            };
            match found.ok().and_then(|mut addresses| addresses.find(usable)) {
                Some(to) => transmit(&shared, &public, &bytes, to),
                None => bump(&shared.counters.unsent),
            }
            drop(permit);
        });
    }
}

/// Locks a lane. Only a panic inside the lane could poison it; its state is a cache, and stays usable.
pub(super) fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The receiving task: drains the public socket whenever there is something.
async fn receive(lane: LaneHandle, public: Arc<UdpTransport>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut arrivals = Arrivals::new(&public, Duration::ZERO);
    while arrivals.wait().await.is_ok() {
        {
            let mut state = lock(&lane);
            for _ in 0..BATCH {
                let Some((datagram, source)) = arrivals.try_recv(&mut buffer) else { break };
                state.handle(&lane, datagram, source);
            }
        }
        tokio::task::consume_budget().await;
    }
}

fn transmit(shared: &Shared, public: &UdpTransport, bytes: &Bytes, to: SocketAddr) {
    match public.try_send(bytes, to) {
        SendOutcome::Sent => {}
        SendOutcome::WouldBlock | SendOutcome::Error { .. } => bump(&shared.counters.unsent),
    }
}

/// The wall clock at the start, advanced by the monotonic one.
struct Clock {
    wall: Timestamp,
    start: Instant,
}

impl Clock {
    fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall, start: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        self.wall + self.start.elapsed()
    }
}

#[cfg(test)]
mod tests;

//! A node of a run: membership, engine and one lane, with nothing between them but effects.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdline::lane::Ownership;
use holdline_cluster::Timestamp;
use holdline_cluster::engine::{self, Durability, Engine};
use holdline_cluster::id::{NodeId, Shard};
use holdline_cluster::membership::{self, Membership};
use holdline_cluster::placement;
use holdline_cluster::view::{Member, Phase, Role, View};

use super::agent::Called;
use super::endpoint::Endpoint;

pub(super) struct Node {
    pub(super) name: NodeId,
    pub(super) boot: u64,
    pub(super) member: Member,
    pub(super) membership: Membership,
    pub(super) cluster: Arc<Mutex<Owned>>,
    pub(super) endpoint: Endpoint<Called>,
    /// Peers whose link is up, by index.
    pub(super) links: BTreeSet<usize>,
    pub(super) wake: Option<Timestamp>,
}

/// The engine, where the lane can ask it.
pub(super) struct Owned {
    pub(super) engine: Engine,
    pub(super) view: Arc<View>,
}

/// The lane's window on the engine.
struct Window(Arc<Mutex<Owned>>);

impl Ownership for Window {
    fn owns(&self, shard: Shard) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).engine.role(shard) == engine::Role::Owner
    }

    fn owner(&self, shard: Shard) -> Option<NodeId> {
        let owned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = owned.engine.owner(shard);
        let other = epoch.node != *owned.view.me() && owned.view.is_alive(&epoch.node, epoch.boot);
        other.then(|| epoch.node.clone())
    }

    fn is_near(&self, shard: Shard) -> bool {
        let owned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let order = placement::order(shard, &owned.view);
        order.iter().take(2).any(|member| member.id == *owned.view.me())
    }
}

impl Node {
    pub(super) fn new(
        now: Timestamp,
        index: usize,
        balancer: SocketAddr,
        durability: Durability,
        rng_seed: u64,
        seed: [u8; 32],
    ) -> Self {
        let boot = now.as_millis() as u64;
        let member = member(&format!("n{index}"), boot, index as u8 + 1, Role::Node);
        let name = member.id.clone();
        let membership = Membership::new(now, membership::Config::new(member.clone(), rng_seed));
        let view = membership.view().clone();
        let engine = Engine::new(engine::Config::new(name.clone(), boot));
        let cluster = Arc::new(Mutex::new(Owned { engine, view }));
        let window = Arc::new(Window(cluster.clone()));
        let endpoint = Endpoint::new(member.service, balancer, Called, window, Some(durability), seed);
        Self { name, boot, member, membership, cluster, endpoint, links: BTreeSet::new(), wake: None }
    }

    pub(super) fn engine<T>(&self, work: impl FnOnce(&mut Engine) -> T) -> T {
        work(&mut self.cluster.lock().unwrap_or_else(PoisonError::into_inner).engine)
    }

    pub(super) fn see(&self, now: Timestamp, view: &Arc<View>) {
        let mut owned = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        owned.view = view.clone();
        owned.engine.handle_view(now, view.clone());
    }

    /// The next time any of its cores has something to do.
    pub(super) fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        // A core that is due is run a little later, never at the same instant again: time must go on.
        let soon = now + Duration::from_micros(100);
        let engine = self.engine(|engine| engine.poll_timeout()).map(|at| at.max(soon));
        let membership = self.membership.poll_timeout().map(|at| at.max(soon));
        [engine, membership, self.endpoint.poll_timeout(now)].into_iter().flatten().min()
    }
}

/// A member at 10.0.0.`host`: gossip and links at port 7000, SIP at 5060.
pub(super) fn member(name: &str, boot: u64, host: u8, role: Role) -> Member {
    Member {
        id: name.parse().unwrap_or_else(|error| unreachable!("{name}: {error}")),
        boot,
        role,
        phase: Phase::Up,
        cluster: SocketAddr::from(([10, 0, 0, host], 7000)),
        service: SocketAddr::from(([10, 0, 0, host], 5060)),
        zone: String::new(),
    }
}

//! The ownership core: who owns a shard, who holds its copies, and how they come to be equal.
//!
//! The protocol has eleven rules:
//!
//! 1. A higher epoch seen is adopted, and who adopts it is a holder; a lower one is answered `Stale`.
//! 2. Only the owner writes, under its own epoch; a commit is confirmed when it is as durable as asked.
//! 3. Take over when placement names us and the epoch's owner is dead: next term, `Query` all, serve when all have answered.
//! 4. Hand over to whom placement names, once its copy is equal.
//! 5. Repair: hashes are compared, what is missing follows.
//! 6. Orphans: a holder that hears of no owner offers what it has.
//! 7. A hand-over that does not come is asked for (`Who`).
//! 8. Fence: after a pause or a rejoin nothing is served before all were asked.
//! 9. A joining node is a target first; a draining one hands over and goes.
//! 10. Merge: the greatest of (terminated, epoch, version).
//! 11. A tombstone keeps its body for 64·T1, then its key while a node that may hold a copy is away.
//!
//! Rules 4 and 6 to 9 are not built yet; each will be a file beside these, with roles `Handing` and `Fenced` and the message
//! numbers that `link.proto` keeps for them.

mod adopt;
mod audit;
mod copies;
mod effect;
mod item;
mod membership;
mod message;
mod release;
mod repair;
mod store;
mod takeover;
mod tombstone;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::copies::Copies;
pub use self::effect::Effect;
pub use self::item::Item;
pub use self::message::{Audit, Keys, Line, Listed, Listing, Message};
use self::store::Store;
use self::takeover::Claim;
pub use self::write::{Refused, Written};
use crate::Timestamp;
use crate::id::{Epoch, Key, NodeId, Shard};
use crate::placement::Placement;
use crate::view::View;

/// What this node is for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Holds copies, or nothing.
    Holder,
    /// Is taking the shard over: asks the others what they know and hold.
    Recovering,
    /// Serves it.
    Owner,
}

/// An item as the application gets it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: Key,
    /// Its version; 0 if only its end is remembered.
    pub version: u64,
    /// Whether it has ended.
    pub terminated: bool,
    /// The bytes last committed; empty if only its end is remembered.
    pub body: Bytes,
}

/// Settings of the ownership core; the engine's settings say what each is for.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this node.
    pub me: NodeId,
    /// Start of this process, in milliseconds since the UNIX epoch.
    pub boot: u64,
    /// Copies of each shard besides the owner's.
    pub replicas: usize,
    /// How long a takeover waits for a live node that does not answer.
    pub query_limit: Duration,
    /// How long a first claim waits for it.
    pub claim_limit: Duration,
    /// How long a terminated item keeps its body.
    pub tombstone: Duration,
    /// How long a node that is away may come back with what it held.
    pub away: Duration,
    /// How long copies of a shard without an owner are kept.
    pub orphan: Duration,
    /// Between two comparisons of shards that differ.
    pub digest_repair: Duration,
    /// Between two comparisons of everything.
    pub digest_all: Duration,
}

/// The machine: one per node, for all shards.
#[derive(Debug)]
pub struct Ownership {
    config: Config,
    view: Arc<View>,
    placement: Placement,
    shards: Vec<ShardState>,
    store: Store,
    /// Where the copies of the shards I own are; the keys are exactly the shards in role `Owner`.
    owned: BTreeMap<Shard, Copies>,
    /// Takeovers under way; the keys are exactly the shards in role `Recovering`.
    claims: BTreeMap<Shard, Claim>,
    /// Peers whose link is up.
    links: BTreeMap<NodeId, Link>,
    /// Processes that left without draining and may come back with what they held.
    away: BTreeMap<NodeId, Away>,
    /// Shards I hold copies of and whose owner is gone, since when.
    orphans: BTreeMap<Shard, Timestamp>,
    /// Terminated items and when their body goes, in that order.
    tombstones: VecDeque<(Timestamp, Key)>,
    timers: Timers,
    effects: VecDeque<Effect>,
    counters: Counters,
}

#[derive(Clone, Debug)]
struct ShardState {
    epoch: Arc<Epoch>,
    role: Role,
}

#[derive(Debug)]
struct Link {
    boot: u64,
    /// Shards I own whose copy there is not proven to be as it should.
    unequal: BTreeSet<Shard>,
    /// Rounds of repair since the peer last spoke.
    silent_rounds: u32,
}

#[derive(Clone, Copy, Debug)]
struct Away {
    boot: u64,
    until: Timestamp,
}

/// When each periodic task is due; `None` while there is nothing for it to do.
#[derive(Clone, Copy, Debug, Default)]
struct Timers {
    repair: Option<Timestamp>,
    audit: Option<Timestamp>,
    claims: Option<Timestamp>,
    tombstones: Option<Timestamp>,
    absence: Option<Timestamp>,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Times a peer told this node that its epoch is over.
    pub stale_heard: u64,
    /// Times a peer spoke under an epoch that is over.
    pub stale_seen: u64,
}

/// Gauges of this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Shards owned.
    pub owned: usize,
    /// Shards not owned of which something is held.
    pub held: usize,
    /// Shards being taken over.
    pub recovering: usize,
    /// Items with a body.
    pub items: usize,
    /// Those of them that have ended.
    pub tombstones: usize,
    /// Ended ones without a body.
    pub graves: usize,
    /// Copies on targets that are not proven equal.
    pub unequal: usize,
}

impl Ownership {
    /// A machine that knows nobody and owns nothing.
    pub fn new(config: Config) -> Self {
        let nobody = Arc::new(Epoch::unclaimed());
        let shards = Shard::all().map(|_| ShardState { epoch: nobody.clone(), role: Role::Holder }).collect();
        Self {
            view: Arc::new(View::new(config.me.clone(), [], false)),
            config,
            placement: Placement::default(),
            shards,
            store: Store::new(),
            owned: BTreeMap::new(),
            claims: BTreeMap::new(),
            links: BTreeMap::new(),
            away: BTreeMap::new(),
            orphans: BTreeMap::new(),
            tombstones: VecDeque::new(),
            timers: Timers::default(),
            effects: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// A peer said something.
    pub fn handle_message(&mut self, now: Timestamp, from: &NodeId, message: Message) {
        let Some(link) = self.links.get_mut(from) else { return };
        link.silent_rounds = 0;
        match message {
            Message::Stale(line) => self.handle_stale(now, &line),
            Message::Query(line) => self.handle_query(now, from, &line),
            Message::Digest(line) => self.handle_digest(now, from, &line),
            Message::Same(line) => self.handle_same(now, from, &line),
            Message::Release(line) => self.handle_release(now, from, &line),
            Message::Have(listing) => self.handle_have(now, from, listing),
            Message::Want(keys) => self.handle_want(now, from, &keys),
            Message::Forget(keys) => self.handle_forget(now, from, &keys),
            Message::Audit(audit) => self.handle_audit(now, from, audit),
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let due = |timer: Option<Timestamp>| timer.is_some_and(|at| at <= now);
        if due(self.timers.claims) {
            self.claims_timeout(now);
        }
        if due(self.timers.repair) {
            self.repair_timeout(now);
        }
        if due(self.timers.audit) {
            self.audit_timeout(now);
        }
        if due(self.timers.tombstones) {
            self.tombstones_timeout(now);
        }
        if due(self.timers.absence) {
            self.absence_timeout(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let Timers { repair, audit, claims, tombstones, absence } = self.timers;
        [repair, audit, claims, tombstones, absence].into_iter().flatten().min()
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The epoch last seen of a shard.
    pub fn epoch(&self, shard: Shard) -> &Arc<Epoch> {
        &self.shards[usize::from(shard.0)].epoch
    }

    /// What this node is for a shard.
    pub fn role(&self, shard: Shard) -> Role {
        self.shards[usize::from(shard.0)].role
    }

    /// What this node holds of a shard, with and without a body.
    pub fn stored(&self, shard: Shard) -> Vec<Stored> {
        let stored = |(key, item): (Key, &Item)| Stored {
            key,
            version: item.version,
            terminated: item.terminated,
            body: item.body.clone(),
        };
        self.store.items(shard).map(stored).collect()
    }

    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Gauges of this moment; walks all shards, so for every second, not for every commit.
    pub fn gauges(&self) -> Gauges {
        let (items, tombstones, graves) = self.store.counts();
        let held = |shard: &Shard| self.role(*shard) != Role::Owner && !self.store.is_empty(*shard);
        Gauges {
            owned: self.owned.len(),
            held: Shard::all().filter(held).count(),
            recovering: self.claims.len(),
            items,
            tombstones,
            graves,
            unequal: self.owned.values().map(Copies::unequal_targets).sum(),
        }
    }

    fn shard_mut(&mut self, shard: Shard) -> &mut ShardState {
        &mut self.shards[usize::from(shard.0)]
    }

    fn send(&mut self, to: &NodeId, message: Message) {
        // Without a link the message is lost anyway; whoever waits for an answer asks again when the link comes up.
        if self.links.contains_key(to) {
            self.effects.push_back(Effect::Send { to: to.clone(), message });
        }
    }

    fn line(&self, shard: Shard) -> Line {
        Line { shard, epoch: self.epoch(shard).clone(), hash: self.store.hash(shard) }
    }

    /// Whether the process an epoch names may still be serving under it.
    fn is_alive(&self, epoch: &Epoch) -> bool {
        let linked = || self.links.get(&epoch.node).is_some_and(|link| link.boot == epoch.boot);
        let gone = || self.away.get(&epoch.node).is_some_and(|away| away.boot == epoch.boot);
        // A link may be up before the membership has told us of the newcomer.
        self.view.is_alive(&epoch.node, epoch.boot) || (linked() && !gone())
    }
}

/// Sets a timer, or leaves it where it is if it is due earlier.
fn arm(timer: &mut Option<Timestamp>, at: Timestamp) {
    *timer = Some(timer.map_or(at, |armed| armed.min(at)));
}

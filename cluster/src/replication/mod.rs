//! The replication core: changed items on their way to the copies, and commits waiting for the acknowledgement.
//!
//! Per peer there is no message queue but a dirty map (key to newest version), a window of batches in flight and one
//! cumulative acknowledgement. What costs is waking a thread, not bytes, so a flush waits until the last one is 5 ms ago.

mod effect;
mod flush;
mod lane;
mod peer;
mod pending;
mod targets;
mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

pub use self::effect::Effect;
pub use self::lane::Entry;
use self::peer::Peer;
use self::pending::Pending;
use self::targets::Targets;
pub use self::window::Ack;
use crate::Timestamp;
use crate::id::{Key, NodeId, Shard};

/// How safe a commit must be before it is confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// At once; copies follow.
    Async,
    /// One target holds it.
    #[default]
    Acked,
    /// Every live target holds it.
    All,
}

/// A new version of an item, written by its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The item.
    pub key: Key,
    /// Its version, above every earlier one.
    pub version: u64,
    /// Whether the item ends with it.
    pub terminated: bool,
    /// The item's bytes.
    pub body: Bytes,
    /// How safe it must be.
    pub durability: Durability,
}

/// A commit is as safe as it was asked to be. Commits of one key are confirmed in version order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The item.
    pub key: Key,
    /// The version committed.
    pub version: u64,
    /// Whether another node holds it. False when no target was live, and usually for [`Durability::Async`].
    pub protected: bool,
}

/// Settings of the replication core; the engine's settings say what each is for.
#[derive(Clone, Debug)]
pub struct Config {
    /// Least time between two flushes to one peer.
    pub flush: Duration,
    /// Items that make a flush early, and most items in one batch.
    pub early_items: usize,
    /// Bytes that make a flush early, and most bytes in one batch.
    pub early_bytes: usize,
    /// Most items in flight to one peer.
    pub window_items: usize,
    /// Most bytes in flight to one peer.
    pub window_bytes: usize,
    /// A peer that leaves a commit waiting this long is lagging.
    pub lagging: Duration,
    /// How long a target without a link still counts.
    pub link_grace: Duration,
    /// Bytes a second for repair, over all peers.
    pub repair_rate: u64,
}

/// The machine: one per node, for all peers.
#[derive(Debug)]
pub struct Replication {
    config: Config,
    /// Peers whose link is up.
    peers: BTreeMap<NodeId, Peer>,
    /// Targets without a link, and since when: they count for a moment more.
    unlinked: BTreeMap<NodeId, Timestamp>,
    /// Where the copies of the shards this node owns belong.
    targets: Targets,
    pending: Pending,
    /// Flushes that are due, by time.
    flushes: BTreeSet<(Timestamp, NodeId)>,
    /// When to look for batches that were never acknowledged.
    rewind: Option<Timestamp>,
    repair_budget: flush::Budget,
    effects: VecDeque<Effect>,
    counters: Counters,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits confirmed.
    pub confirmed: u64,
    /// Commits confirmed without a copy, because no target was live.
    pub unprotected: u64,
    /// Commits that waited when their shard went to another owner.
    pub abandoned: u64,
    /// Batches sent.
    pub batches: u64,
}

/// Gauges of this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Commits waiting.
    pub pending: usize,
    /// Peers whose link is up.
    pub linked: usize,
    /// Peers that are lagging.
    pub lagging: usize,
    /// Items waiting to be sent.
    pub waiting: usize,
    /// Bytes sent and not acknowledged.
    pub bytes_in_flight: usize,
}

impl Replication {
    /// A machine without peers.
    pub fn new(config: Config) -> Self {
        Self {
            repair_budget: flush::Budget::new(config.repair_rate),
            config,
            peers: BTreeMap::new(),
            unlinked: BTreeMap::new(),
            targets: Targets::default(),
            pending: Pending::default(),
            flushes: BTreeSet::new(),
            rewind: None,
            effects: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// The link to a peer process went up or down. What was in flight when it went down is lost; comparing hashes
    /// brings it back, and commits that still wait are sent again at once.
    pub fn handle_link(&mut self, now: Timestamp, peer: &NodeId, boot: u64, up: bool) {
        if self.peers.get(peer).is_some_and(|known| up || known.boot == boot) {
            let old = self.peers.remove(peer);
            if let Some(at) = old.and_then(|old| old.armed) {
                self.flushes.remove(&(at, peer.clone()));
            }
            self.pending.forget_peer(peer);
            self.unlinked.insert(peer.clone(), now);
        }
        if up {
            let mut state = Peer { boot, ..Peer::default() };
            state.window.restart(now);
            self.peers.insert(peer.clone(), state);
            self.unlinked.remove(peer);
            for key in self.pending.keys() {
                if self.targets.of(key.shard()).contains(peer) {
                    self.send_waiting(now, peer, key);
                }
            }
        }
        self.settle_all();
    }

    /// The copies of an owned shard belong on these nodes from now on.
    pub fn handle_targets(&mut self, now: Timestamp, shard: Shard, nodes: Vec<NodeId>) {
        for peer in nodes.iter().filter(|peer| !self.peers.contains_key(*peer)) {
            self.unlinked.entry(peer.clone()).or_insert(now);
        }
        for key in self.pending.keys_of(shard) {
            for peer in &nodes {
                self.send_waiting(now, peer, key);
            }
        }
        self.targets.insert(shard, nodes);
        for key in self.pending.keys_of(shard) {
            self.settle(key);
        }
    }

    /// The shard went to another owner: nothing of it is confirmed any more.
    pub fn handle_retired(&mut self, shard: Shard) {
        self.targets.remove(shard);
        for peer in self.peers.values_mut() {
            peer.live.remove_shard(shard);
            peer.repair.remove_shard(shard);
        }
        let commits = self.pending.abandon(shard);
        if commits > 0 {
            self.counters.abandoned += commits as u64;
            self.effects.push_back(Effect::Abandoned { shard, commits });
        }
    }

    /// The owner changed an item: bring it to the targets, and confirm it when it is safe.
    pub fn handle_commit(&mut self, now: Timestamp, key: Key, durability: Durability, entry: Entry) {
        for index in 0..self.targets.of(key.shard()).len() {
            let to = self.targets.of(key.shard())[index].clone();
            self.put_live(now, &to, key, entry.clone());
        }
        if durability == Durability::Async && !self.pending.is_waiting(key) {
            self.counters.confirmed += 1;
            let confirmation = Confirmation { key, version: entry.item.version, protected: false };
            self.effects.push_back(Effect::Confirmed(confirmation));
            return;
        }
        self.pending.push(now, key, durability, entry);
        self.settle(key);
    }

    /// Brings a peer's copy of one item up to date, behind the live changes.
    pub fn handle_repair(&mut self, now: Timestamp, to: &NodeId, key: Key, entry: Entry) {
        let Some(peer) = self.peers.get_mut(to) else { return };
        // What waits in the live lane is at least as new.
        if !peer.live.contains(key) {
            peer.repair.put(key, entry);
            self.arm(now, to);
        }
    }

    /// A batch of a peer was applied: how far we got, to be sent back.
    pub fn handle_batch(&mut self, from: &NodeId, stream: u64, seq: u64) -> Option<Ack> {
        self.peers.get_mut(from)?.inbound.receive(stream, seq)
    }

    /// A peer says how far it got. All confirmations that follow from it follow each other.
    pub fn handle_ack(&mut self, now: Timestamp, from: &NodeId, ack: Ack) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        if ack.stream != peer.window.stream() {
            return;
        }
        let done = peer.window.acknowledge(ack.stream, ack.seq);
        if ack.gap {
            self.rewind_peer(now, from);
        }
        self.catch_up(now, from);
        for (key, entry) in done {
            if self.pending.acknowledge(from, key, &entry) {
                self.settle(key);
            }
        }
        if self.peers.get(from).is_some_and(|peer| peer.waiting() > 0) {
            self.arm(now, from);
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((_, peer)) = self.flushes.first().filter(|(at, _)| *at <= now).cloned() {
            self.flush(now, &peer);
        }
        if self.rewind.is_some_and(|at| at <= now) {
            self.rewind_timeout(now);
        }
        self.grace_timeout(now);
        self.lag_timeout(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn poll_timeout(&mut self) -> Option<Timestamp> {
        let flush = self.flushes.first().map(|(at, _)| *at);
        let lag = self.pending.oldest().map(|(at, _)| at + self.config.lagging);
        // A target without a link matters only to a commit that waits for it.
        let waits = self.pending.len() > 0;
        let grace =
            self.unlinked.values().filter(|_| waits).map(|since| *since + self.config.link_grace).min();
        [flush, self.rewind, lag, grace].into_iter().flatten().min()
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether anything of the shard waits to be sent to the peer, so that comparing hashes would be early.
    pub fn is_waiting(&self, peer: &NodeId, shard: Shard) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|peer| peer.live.contains_shard(shard) || peer.repair.contains_shard(shard))
    }

    /// Whether anything at all waits to be sent to the peer.
    pub fn is_waiting_any(&self, peer: &NodeId) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.waiting() > 0)
    }

    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Gauges of this moment.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            pending: self.pending.len(),
            linked: self.peers.len(),
            lagging: self.peers.values().filter(|peer| peer.lagging).count(),
            waiting: self.peers.values().map(Peer::waiting).sum(),
            bytes_in_flight: self.peers.values().map(|peer| peer.window.bytes()).sum(),
        }
    }

    /// Whether a target counts for commits: linked and keeping up, or only just without a link.
    fn counts(&self, peer: &NodeId) -> bool {
        self.peers.get(peer).map_or_else(|| self.unlinked.contains_key(peer), |state| !state.lagging)
    }

    /// Confirms what can be confirmed of a key.
    fn settle(&mut self, key: Key) {
        let targets = self.targets.of(key.shard());
        let live: SmallVec<[&NodeId; 4]> = targets.iter().filter(|peer| self.counts(peer)).collect();
        let (effects, counters) = (&mut self.effects, &mut self.counters);
        self.pending.settle(key, &live, |confirmation, durability| {
            counters.confirmed += 1;
            counters.unprotected += u64::from(!confirmation.protected && durability != Durability::Async);
            effects.push_back(Effect::Confirmed(confirmation));
        });
    }

    fn settle_all(&mut self) {
        for key in self.pending.keys() {
            self.settle(key);
        }
    }

    /// Sends a peer the newest version of a key that a commit waits for.
    fn send_waiting(&mut self, now: Timestamp, peer: &NodeId, key: Key) {
        if let Some(entry) = self.pending.missing_at(peer, key) {
            self.put_live(now, peer, key, entry);
        }
    }

    fn put_live(&mut self, now: Timestamp, to: &NodeId, key: Key, entry: Entry) {
        let Some(peer) = self.peers.get_mut(to) else { return };
        peer.repair.remove(key);
        peer.live.put(key, entry);
        if peer.live.len() >= self.config.early_items || peer.live.bytes() >= self.config.early_bytes {
            self.flush(now, to);
        } else {
            self.arm(now, to);
        }
    }

    fn grace_timeout(&mut self, now: Timestamp) {
        let before = self.unlinked.len();
        let grace = self.config.link_grace;
        self.unlinked.retain(|_, since| *since + grace > now);
        if self.unlinked.len() < before {
            self.settle_all();
        }
    }

    /// The oldest commit waited too long: the targets it waits for no longer count.
    fn lag_timeout(&mut self, now: Timestamp) {
        let Some((at, key)) = self.pending.oldest() else { return };
        let due = at + self.config.lagging;
        if now < due {
            return;
        }
        if now > due + self.config.lagging / 2 {
            // Our own clock stood still: the acknowledgements may be waiting in our socket, or a new owner's `Stale`.
            self.pending.restart_clock(now);
            return;
        }
        let targets = self.targets.of(key.shard()).to_vec();
        let mut changed = false;
        for id in targets {
            if let Some(peer) = self.peers.get_mut(&id)
                && !peer.lagging
                && self.pending.waits_for(&id, key)
            {
                peer.lagging = true;
                changed = true;
                self.effects.push_back(Effect::Lagging { peer: id });
            }
        }
        if changed {
            self.settle_all();
        } else {
            self.settle(key);
        }
        if self.pending.oldest() == Some((at, key)) {
            // Only a target without a link is left, which has its own limit.
            self.pending.restart_clock(now);
        }
    }

    /// A lagging peer counts again when nothing is late any more.
    fn catch_up(&mut self, now: Timestamp, id: &NodeId) {
        let lagging = self.config.lagging;
        let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.lagging) else { return };
        let late = peer.window.oldest().is_some_and(|at| at + lagging <= now);
        if !late && peer.live.len() <= self.config.early_items {
            peer.lagging = false;
            self.effects.push_back(Effect::CaughtUp { peer: id.clone() });
        }
    }
}

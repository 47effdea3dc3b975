//! Ownership and replication composed into one machine: the part of a node that answers "is it safe yet?".
//!
//! A driver feeds it inputs, then calls [`Engine::handle_timeout`] if [`Engine::poll_timeout`] is due, then takes every
//! [`Effect`]. A flush that is due at once is done by `handle_timeout`, so all commits fed before it share one batch.

mod config;
mod decode;
mod effect;
mod outgoing;
mod stats;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use holdline_protos::v1::Frame;

pub use self::config::Config;
use self::decode::Incoming;
pub use self::effect::{Effect, Notice};
use self::outgoing::Outgoing;
pub use self::stats::Stats;
use crate::Timestamp;
use crate::id::{Epoch, NodeId, Shard};
use crate::ownership::{self, Message, Ownership, Refused};
pub use crate::ownership::{Role, Stored};
use crate::replication::{self, Entry, Replication};
pub use crate::replication::{Commit, Confirmation, Durability};
use crate::view::View;

/// Who owns what, and how safe it is: one per node.
#[derive(Debug)]
pub struct Engine {
    ownership: Ownership,
    replication: Replication,
    /// Which process each link leads to; frames of others are refused.
    links: BTreeMap<NodeId, u64>,
    outgoing: Outgoing,
    effects: VecDeque<Effect>,
    refused: u64,
    malformed: u64,
}

impl Engine {
    /// An engine that knows nobody and owns nothing.
    pub fn new(config: Config) -> Self {
        Self {
            ownership: Ownership::new(config.ownership()),
            replication: Replication::new(config.replication()),
            links: BTreeMap::new(),
            outgoing: Outgoing::default(),
            effects: VecDeque::new(),
            refused: 0,
            malformed: 0,
        }
    }

    /// The membership changed.
    pub fn handle_view(&mut self, now: Timestamp, view: Arc<View>) {
        self.ownership.handle_view(now, view);
        self.settle(now);
    }

    /// The link to a peer process went up or down. Frames of that process count only while it is up.
    pub fn handle_link(&mut self, now: Timestamp, peer: &NodeId, boot: u64, up: bool) {
        if up {
            self.links.insert(peer.clone(), boot);
        } else if self.links.get(peer) == Some(&boot) {
            self.links.remove(peer);
        } else {
            return;
        }
        // Replication first: what ownership then asks for goes over the new link.
        self.replication.handle_link(now, peer, boot, up);
        self.ownership.handle_link(now, peer, boot, up);
        self.settle(now);
    }

    /// A frame came in.
    pub fn handle_frame(&mut self, now: Timestamp, from: &NodeId, boot: u64, frame: Frame) {
        if self.links.get(from) != Some(&boot) {
            self.malformed += 1;
            return;
        }
        let incoming = Incoming::decode(frame);
        for message in incoming.before_items {
            self.ownership.handle_message(now, from, message);
        }
        // What a `Stale` ends must reach replication before the acknowledgement in the same frame does.
        self.transfer(now);
        let mut refused = BTreeSet::new();
        if let Some(batch) = incoming.batch {
            for (key, under, item) in batch.items {
                // One `Stale` a shard is enough.
                if !refused.contains(&key.shard()) && !self.ownership.handle_put(now, from, &under, key, item)
                {
                    refused.insert(key.shard());
                }
            }
            if let Some(ack) = self.replication.handle_batch(from, batch.stream, batch.seq) {
                self.outgoing.ack(from, ack);
            }
        }
        if let Some(ack) = incoming.ack {
            self.replication.handle_ack(now, from, ack);
        }
        for message in incoming.after_items {
            self.ownership.handle_message(now, from, message);
        }
        if let Some(why) = incoming.malformed {
            self.malformed += 1;
            self.notice(Notice::Malformed { peer: from.clone(), why });
        }
        self.settle(now);
    }

    /// The application wrote an item. Refused with a [`Notice`] if the shard is not ours.
    pub fn handle_commit(&mut self, now: Timestamp, commit: Commit) {
        let Commit { key, version, terminated, body, durability } = commit;
        match self.ownership.handle_commit(now, key, version, terminated, body) {
            Ok(written) => {
                let entry = Entry { under: written.under, item: written.item };
                self.replication.handle_commit(now, key, durability, entry);
            }
            Err(refused) => {
                self.refused += 1;
                self.notice(match refused {
                    Refused::NotOwner => Notice::NotOwner { key, version },
                    Refused::Outdated => Notice::Outdated { key, version },
                });
            }
        }
        self.settle(now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.ownership.handle_timeout(now);
        self.transfer(now);
        self.replication.handle_timeout(now);
        self.settle(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn poll_timeout(&mut self) -> Option<Timestamp> {
        [self.ownership.poll_timeout(), self.replication.poll_timeout()].into_iter().flatten().min()
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The epoch last seen of a shard: who owns it, as far as this node knows.
    pub fn owner(&self, shard: Shard) -> &Epoch {
        self.ownership.epoch(shard)
    }

    /// What this node is for a shard.
    pub fn role(&self, shard: Shard) -> Role {
        self.ownership.role(shard)
    }

    /// The items held of a shard.
    pub fn stored(&self, shard: Shard) -> Vec<Stored> {
        self.ownership.stored(shard)
    }

    /// Counts and gauges; walks all shards, so for every second, not for every commit.
    pub fn stats(&self) -> Stats {
        let (own, owned) = (self.ownership.counters(), self.ownership.gauges());
        let (sent, moving) = (self.replication.counters(), self.replication.gauges());
        Stats {
            owned: owned.owned,
            held: owned.held,
            recovering: owned.recovering,
            items: owned.items,
            tombstones: owned.tombstones,
            graves: owned.graves,
            unequal: owned.unequal,
            pending: moving.pending,
            confirmed: sent.confirmed,
            unprotected: sent.unprotected,
            refused: self.refused + sent.abandoned,
            linked: moving.linked,
            lagging: moving.lagging,
            waiting: moving.waiting,
            bytes_in_flight: moving.bytes_in_flight,
            batches: sent.batches,
            stale_heard: own.stale_heard,
            stale_seen: own.stale_seen,
            malformed: self.malformed,
        }
    }

    fn notice(&mut self, notice: Notice) {
        self.effects.push_back(Effect::Notice(notice));
    }

    /// Moves what the two cores ask for to where it belongs, and closes the frames.
    fn settle(&mut self, now: Timestamp) {
        self.transfer(now);
        for (to, frame) in self.outgoing.finish() {
            self.effects.push_back(Effect::Send { to, frame });
        }
    }

    fn transfer(&mut self, now: Timestamp) {
        while let Some(effect) = self.ownership.poll_effect() {
            self.ownership_effect(now, effect);
        }
        self.drain_replication();
    }

    fn ownership_effect(&mut self, now: Timestamp, effect: ownership::Effect) {
        use ownership::Effect as Asked;
        match effect {
            Asked::Send { to, message } => self.send(now, to, message),
            Asked::Repair { to, key, under, item } => {
                self.replication.handle_repair(now, &to, key, Entry { under, item });
            }
            Asked::Targets { shard, nodes } => self.replication.handle_targets(now, shard, nodes),
            Asked::Activated { shard, epoch, lost, items } => {
                self.effects.push_back(Effect::Activated { shard, epoch, lost, items });
            }
            Asked::Retired { shard } => {
                self.replication.handle_retired(shard);
                self.effects.push_back(Effect::Retired { shard });
            }
            Asked::Stale { peer, shard, epoch } => self.notice(Notice::Stale { peer, shard, epoch }),
            Asked::Unanswered { shard, missing } => self.notice(Notice::Unanswered { shard, missing }),
            Asked::Orphaned { shard, items } => self.notice(Notice::Orphaned { shard, items }),
        }
    }

    /// A hash is compared only when the peer has been sent all that it covers: what waits goes out first, and a
    /// comparison that is still early is left to the next round.
    fn send(&mut self, now: Timestamp, to: NodeId, message: Message) {
        let early = match &message {
            Message::Digest(line) if self.replication.is_waiting(&to, line.shard) => {
                self.flush_before(now, &to);
                self.replication.is_waiting(&to, line.shard)
            }
            Message::Audit(audit) if !audit.differs && self.replication.is_waiting_any(&to) => {
                self.flush_before(now, &to);
                self.replication.is_waiting_any(&to)
            }
            _ => false,
        };
        if !early {
            self.outgoing.message(&to, message);
        }
    }

    fn flush_before(&mut self, now: Timestamp, to: &NodeId) {
        self.replication.handle_flush(now, to);
        self.drain_replication();
    }

    fn drain_replication(&mut self) {
        use replication::Effect as Asked;
        while let Some(effect) = self.replication.poll_effect() {
            match effect {
                Asked::Batch { to, stream, seq, entries } => self.outgoing.batch(&to, stream, seq, entries),
                Asked::Confirmed(confirmation) => self.effects.push_back(Effect::Confirmed(confirmation)),
                Asked::Abandoned { shard, commits } => self.notice(Notice::Abandoned { shard, commits }),
                Asked::Lagging { peer } => self.notice(Notice::Lagging { peer }),
                Asked::CaughtUp { peer } => self.notice(Notice::CaughtUp { peer }),
            }
        }
    }
}

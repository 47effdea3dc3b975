//! Rule 11: an item that has ended keeps its body for 64·T1, then its key until nobody is left who could bring it back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::message::{Keys, Message};
use super::{Ownership, Role};
use crate::Timestamp;
use crate::id::{Key, NodeId, Shard};

/// Ends are handled in groups of this length: one wake-up for all that come due in it.
const GRAIN: Duration = Duration::from_millis(250);

impl Ownership {
    /// An item has ended: its body goes later, on every node by its own clock.
    pub(super) fn await_end(&mut self, now: Timestamp, key: Key) {
        self.tombstones.push_back((now + self.config.tombstone, key));
        self.arm_tombstones();
    }

    pub(super) fn tombstones_timeout(&mut self, now: Timestamp) {
        let mut shards = BTreeSet::new();
        while let Some((_, key)) = self.tombstones.front().copied().filter(|(at, _)| *at <= now) {
            self.tombstones.pop_front();
            if self.store.get(key).is_some_and(|item| item.terminated) {
                self.store.bury(key);
                shards.insert(key.shard());
            }
        }
        self.timers.tombstones = None;
        self.arm_tombstones();
        for shard in shards {
            self.sweep(shard);
        }
    }

    /// Forgets the graves of an owned shard when no copy and no node away can hold a version that has not ended.
    pub(super) fn sweep(&mut self, shard: Shard) {
        if !self.away.is_empty() || !self.store.has_graves(shard) {
            return;
        }
        let Some(copies) = self.owned.get(&shard).filter(|copies| copies.at_rest()) else { return };
        let targets: Vec<NodeId> = copies.targets().cloned().collect();
        let keys: Vec<Key> = self.store.graves(shard).collect();
        for key in &keys {
            self.store.forget(*key);
        }
        let epoch = self.epoch(shard).clone();
        for peer in targets {
            self.send(&peer, Message::Forget(Keys { shard, epoch: epoch.clone(), keys: keys.clone() }));
        }
    }

    pub(super) fn sweep_all(&mut self) {
        let shards: Vec<Shard> = self.owned.keys().copied().collect();
        for shard in shards {
            self.sweep(shard);
        }
    }

    pub(super) fn handle_forget(&mut self, now: Timestamp, from: &NodeId, keys: &Keys) {
        let epoch = self.epoch(keys.shard);
        if keys.epoch != *epoch || epoch.node != *from || self.role(keys.shard) != Role::Holder {
            return;
        }
        for key in keys.keys.iter().filter(|key| key.shard() == keys.shard) {
            self.store.forget(*key);
        }
        self.note_orphan(now, keys.shard);
    }

    /// A copy says of keys that they have ended, and the owner did not know.
    pub(super) fn learn_ends(&mut self, now: Timestamp, from: &NodeId, shard: Shard, ended: Vec<Key>) {
        if ended.is_empty() {
            return;
        }
        let Some(copies) = self.owned.get(&shard) else { return };
        let others_equal =
            copies.iter().filter(|copy| copy.peer != *from).all(|copy| copy.target && copy.is_equal());
        let settled = self.away.is_empty() && others_equal;
        let (unknown, live): (Vec<Key>, Vec<Key>) =
            ended.into_iter().partition(|key| self.store.get(*key).is_none());
        if settled && !unknown.is_empty() {
            // Nobody holds these but that copy: our `Forget` did not reach it.
            let epoch = self.epoch(shard).clone();
            self.send(from, Message::Forget(Keys { shard, epoch, keys: unknown }));
        } else {
            for key in unknown {
                self.store.bury(key);
                self.doubt_targets(now, shard);
            }
        }
        for key in live {
            self.store.bury(key);
            self.surfaced(now, key);
        }
    }

    fn arm_tombstones(&mut self) {
        if self.timers.tombstones.is_none() {
            self.timers.tombstones = self.tombstones.front().map(|(at, _)| *at + GRAIN);
        }
    }
}

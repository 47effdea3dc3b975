//! Copies on nodes that are no targets any more: released once all targets are equal, so that none leaks.

use std::collections::btree_map::Entry;

use super::message::{Line, Message};
use super::{Effect, Ownership, Role, arm};
use crate::Timestamp;
use crate::id::{NodeId, Shard};

impl Ownership {
    /// A node that is no target told us the hash of its copy, and we hold everything it holds.
    ///
    /// It is asked again after a `Release`, until it says that it holds nothing.
    pub(super) fn release(&mut self, peer: &NodeId, shard: Shard, hash: u64) {
        let Some(copies) = self.owned.get_mut(&shard) else { return };
        if hash == 0 {
            copies.remove(peer);
            self.settled(shard, peer);
            self.sweep(shard);
        } else if copies.targets_equal() {
            let epoch = self.epoch(shard).clone();
            self.send(peer, Message::Release(Line { shard, epoch, hash }));
        }
    }

    pub(super) fn handle_release(&mut self, now: Timestamp, from: &NodeId, line: &Line) {
        let shard = line.shard;
        let epoch = self.epoch(shard);
        let told_by_owner = line.epoch == *epoch && epoch.node == *from && self.role(shard) == Role::Holder;
        let target = self.placement.targets(shard, from).any(|node| *node == self.config.me);
        if told_by_owner && !target && line.hash == self.store.hash(shard) {
            self.store.clear(shard);
            self.note_orphan(now, shard);
        }
    }

    /// Starts or stops the time to live of copies whose owner is gone.
    pub(super) fn note_orphan(&mut self, now: Timestamp, shard: Shard) {
        let orphan = self.role(shard) == Role::Holder
            && !self.store.is_empty(shard)
            && !self.is_alive(self.epoch(shard));
        if !orphan {
            self.orphans.remove(&shard);
        } else if let Entry::Vacant(entry) = self.orphans.entry(shard) {
            entry.insert(now);
            arm(&mut self.timers.absence, now + self.config.orphan);
        }
    }

    /// What was kept for somebody who did not come back goes: orphaned copies, and the memory of nodes away.
    pub(super) fn absence_timeout(&mut self, now: Timestamp) {
        let orphan = self.config.orphan;
        let due: Vec<Shard> = self
            .orphans
            .iter()
            .filter(|(_, since)| **since + orphan <= now)
            .map(|(shard, _)| *shard)
            .collect();
        for shard in due {
            self.orphans.remove(&shard);
            let items = self.store.clear(shard);
            self.effects.push_back(Effect::Orphaned { shard, items });
        }
        let before = self.away.len();
        self.away.retain(|_, away| away.until > now);
        if self.away.len() < before {
            self.sweep_all();
        }
        let orphans = self.orphans.values().map(|since| *since + orphan);
        self.timers.absence = orphans.chain(self.away.values().map(|away| away.until)).min();
    }
}

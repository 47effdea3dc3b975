//! Rule 1: a higher epoch seen is adopted, whatever this node was; a lower one is answered with `Stale`.

use std::cmp::Ordering;
use std::sync::Arc;

use super::message::{Line, Message};
use super::{Effect, Ownership, Role};
use crate::Timestamp;
use crate::id::{Epoch, NodeId, Shard};

impl Ownership {
    pub(super) fn handle_stale(&mut self, now: Timestamp, line: &Line) {
        if line.epoch > *self.epoch(line.shard) {
            self.counters.stale_heard += 1;
            self.adopt(now, line.shard, &line.epoch);
        }
    }

    /// Takes a request's epoch to heart; false if it is over, and its sender was told so.
    pub(super) fn accepts_epoch(
        &mut self,
        now: Timestamp,
        from: &NodeId,
        shard: Shard,
        epoch: &Arc<Epoch>,
    ) -> bool {
        match epoch.cmp(self.epoch(shard)) {
            Ordering::Greater => {
                self.adopt(now, shard, epoch);
                true
            }
            Ordering::Equal => true,
            Ordering::Less => {
                self.tell_stale(from, shard);
                false
            }
        }
    }

    pub(super) fn tell_stale(&mut self, peer: &NodeId, shard: Shard) {
        self.counters.stale_seen += 1;
        let epoch = self.epoch(shard).clone();
        self.effects.push_back(Effect::Stale { peer: peer.clone(), shard, epoch: (*epoch).clone() });
        self.send(peer, Message::Stale(Line { shard, epoch, hash: 0 }));
    }

    /// Becomes a holder under a higher epoch: stops serving, keeps the copies.
    fn adopt(&mut self, now: Timestamp, shard: Shard, epoch: &Arc<Epoch>) {
        debug_assert!(epoch > self.epoch(shard), "epochs only rise");
        let state = self.shard_mut(shard);
        state.epoch = epoch.clone();
        match std::mem::replace(&mut state.role, Role::Holder) {
            Role::Owner => {
                self.owned.remove(&shard);
                for link in self.links.values_mut() {
                    link.unequal.remove(&shard);
                }
                self.effects.push_back(Effect::Retired { shard });
            }
            Role::Recovering => {
                self.claims.remove(&shard);
            }
            Role::Holder => {}
        }
        self.note_orphan(now, shard);
        self.consider(now, shard);
    }
}

//! Commits waiting until enough copies have them.

use std::collections::{BTreeMap, VecDeque};

use smallvec::{SmallVec, smallvec};

use super::lane::Entry;
use super::{Confirmation, Durability};
use crate::Timestamp;
use crate::id::{Key, NodeId, Shard};

/// Commits by key. One waits at most as long as a peer may lag, so the table is bounded by the rate of commits.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    keys: BTreeMap<Key, Waiting>,
    /// Commits in the order they were made, for the oldest that still waits.
    order: VecDeque<(Timestamp, Key, u64)>,
    commits: usize,
}

#[derive(Debug)]
struct Waiting {
    newest: Entry,
    /// Version and durability, in version order: the order in which they are confirmed.
    commits: SmallVec<[(u64, Durability); 2]>,
    /// The newest version that each peer has acknowledged.
    acked: SmallVec<[(NodeId, u64); 1]>,
}

impl Pending {
    pub(crate) fn push(&mut self, now: Timestamp, key: Key, durability: Durability, entry: Entry) {
        let version = entry.item.version;
        self.commits += 1;
        self.order.push_back((now, key, version));
        match self.keys.get_mut(&key) {
            Some(waiting) => {
                waiting.newest = entry;
                waiting.commits.push((version, durability));
            }
            None => {
                let commits = smallvec![(version, durability)];
                self.keys.insert(key, Waiting { newest: entry, commits, acked: SmallVec::new() });
            }
        }
    }

    /// A peer holds this version of the key, or a newer one. Says whether anybody waits for it.
    pub(crate) fn acknowledge(&mut self, peer: &NodeId, key: Key, entry: &Entry) -> bool {
        // An acknowledgement of what was put under an earlier epoch says nothing about this one.
        let Some(waiting) = self.keys.get_mut(&key).filter(|waiting| waiting.newest.under == entry.under)
        else {
            return false;
        };
        let version = entry.item.version;
        match waiting.acked.iter_mut().find(|(node, _)| node == peer) {
            Some((_, acked)) => *acked = version.max(*acked),
            None => waiting.acked.push((peer.clone(), version)),
        }
        true
    }

    /// Confirms what can be, in version order. `live` are the targets that count.
    pub(crate) fn settle(
        &mut self,
        key: Key,
        live: &[&NodeId],
        mut confirm: impl FnMut(Confirmation, Durability),
    ) {
        let Some(waiting) = self.keys.get_mut(&key) else { return };
        while let Some((version, durability)) = waiting.commits.first().copied() {
            let has =
                |peer: &NodeId| waiting.acked.iter().any(|(node, acked)| node == peer && *acked >= version);
            let protected = waiting.acked.iter().any(|(_, acked)| *acked >= version);
            let met = match durability {
                Durability::Async => true,
                Durability::Acked => protected || live.is_empty(),
                Durability::All => live.iter().all(|peer| has(peer)),
            };
            if !met {
                break;
            }
            waiting.commits.remove(0);
            self.commits -= 1;
            confirm(Confirmation { key, version, protected }, durability);
        }
        if waiting.commits.is_empty() {
            self.keys.remove(&key);
        }
    }

    pub(crate) fn is_waiting(&self, key: Key) -> bool {
        self.keys.contains_key(&key)
    }

    /// The keys of a shard that have commits waiting.
    pub(crate) fn keys_of(&self, shard: Shard) -> Vec<Key> {
        self.keys.range(shard.keys()).map(|(key, _)| *key).collect()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.keys.keys().copied().collect()
    }

    /// The newest version of a waiting key, unless the peer has it already.
    pub(crate) fn missing_at(&self, peer: &NodeId, key: Key) -> Option<Entry> {
        let waiting = self.keys.get(&key)?;
        let version = waiting.newest.item.version;
        let has = waiting.acked.iter().any(|(node, acked)| node == peer && *acked >= version);
        (!has).then(|| waiting.newest.clone())
    }

    /// Whether a peer lacks the oldest version waiting under this key.
    pub(crate) fn waits_for(&self, peer: &NodeId, key: Key) -> bool {
        let Some(waiting) = self.keys.get(&key) else { return false };
        let Some((version, _)) = waiting.commits.first() else { return false };
        !waiting.acked.iter().any(|(node, acked)| node == peer && acked >= version)
    }

    /// Drops the commits of a shard; says how many.
    pub(crate) fn abandon(&mut self, shard: Shard) -> usize {
        let mut dropped = 0;
        for key in self.keys_of(shard) {
            dropped += self.keys.remove(&key).map_or(0, |waiting| waiting.commits.len());
        }
        self.commits -= dropped;
        dropped
    }

    /// A peer process is gone, and what it had acknowledged with it.
    pub(crate) fn forget_peer(&mut self, peer: &NodeId) {
        for waiting in self.keys.values_mut() {
            waiting.acked.retain(|(node, _)| node != peer);
        }
    }

    /// When the oldest commit still waiting was made, and its key.
    pub(crate) fn oldest(&mut self) -> Option<(Timestamp, Key)> {
        while let Some((at, key, version)) = self.order.front().copied() {
            let waits = |waiting: &Waiting| waiting.commits.iter().any(|(waiting, _)| *waiting == version);
            if self.keys.get(&key).is_some_and(waits) {
                return Some((at, key));
            }
            self.order.pop_front();
        }
        None
    }

    /// Gives every waiting commit its full time again.
    pub(crate) fn restart_clock(&mut self, now: Timestamp) {
        for (at, _, _) in &mut self.order {
            *at = now;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.commits
    }
}

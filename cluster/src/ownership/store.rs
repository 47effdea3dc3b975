//! Everything a node holds: items by key, graves of ended ones, and one hash a shard.

use std::collections::{BTreeMap, BTreeSet};

use super::item::{Item, ended_hash};
use crate::id::{Key, SHARDS, Shard};

/// Items and graves. One ordered map serves all shards, because keys sort by shard: no table per shard to pay for.
#[derive(Debug)]
pub(crate) struct Store {
    items: BTreeMap<Key, Item>,
    /// Keys that have ended and whose body is gone.
    graves: BTreeSet<Key>,
    tombstones: usize,
    shards: Vec<Summary>,
}

/// What is known of one shard without looking at its items.
#[derive(Clone, Copy, Debug, Default)]
struct Summary {
    /// XOR over items and graves.
    hash: u64,
    items: u32,
    graves: u32,
}

impl Store {
    pub(crate) fn new() -> Self {
        let shards = vec![Summary::default(); usize::from(SHARDS)];
        Self { items: BTreeMap::new(), graves: BTreeSet::new(), tombstones: 0, shards }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Item> {
        self.items.get(&key)
    }

    pub(crate) fn is_buried(&self, key: Key) -> bool {
        self.graves.contains(&key)
    }

    pub(crate) fn items(&self, shard: Shard) -> impl Iterator<Item = (Key, &Item)> {
        self.items.range(shard.keys()).map(|(key, item)| (*key, item))
    }

    pub(crate) fn graves(&self, shard: Shard) -> impl Iterator<Item = Key> {
        self.graves.range(shard.keys()).copied()
    }

    pub(crate) fn has_graves(&self, shard: Shard) -> bool {
        self.shard(shard).graves > 0
    }

    pub(crate) fn hash(&self, shard: Shard) -> u64 {
        self.shard(shard).hash
    }

    pub(crate) fn is_empty(&self, shard: Shard) -> bool {
        let summary = self.shard(shard);
        summary.items == 0 && summary.graves == 0
    }

    /// Items, tombstones among them, and graves.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.items.len(), self.tombstones, self.graves.len())
    }

    /// Whether `item` is newer than what is held.
    pub(crate) fn accepts(&self, key: Key, item: &Item) -> bool {
        match self.items.get(&key) {
            Some(held) => item.beats(held),
            None => !self.graves.contains(&key),
        }
    }

    /// Keeps `item` if it is newer than what is held.
    pub(crate) fn merge(&mut self, key: Key, item: Item) -> bool {
        if !self.accepts(key, &item) {
            return false;
        }
        let (hash, ended) = (item.hash(key), item.terminated);
        let old = self.items.insert(key, item);
        let (old_hash, old_ended) = old.as_ref().map_or((0, false), |old| (old.hash(key), old.terminated));
        let summary = self.shard_mut(key.shard());
        summary.hash ^= old_hash ^ hash;
        summary.items += u32::from(old.is_none());
        self.tombstones += usize::from(ended && !old_ended);
        true
    }

    /// Remembers only that `key` has ended. Says whether that is news.
    pub(crate) fn bury(&mut self, key: Key) -> bool {
        if self.graves.contains(&key) {
            return false;
        }
        let had_ended = self.items.get(&key).is_some_and(|item| item.terminated);
        self.take_item(key);
        self.graves.insert(key);
        let summary = self.shard_mut(key.shard());
        summary.hash ^= ended_hash(key);
        summary.graves += 1;
        !had_ended
    }

    /// Forgets a key that has ended.
    pub(crate) fn forget(&mut self, key: Key) {
        if self.graves.remove(&key) {
            let summary = self.shard_mut(key.shard());
            summary.hash ^= ended_hash(key);
            summary.graves -= 1;
        } else if self.items.get(&key).is_some_and(|item| item.terminated) {
            self.take_item(key);
        }
    }

    /// Drops everything of a shard; says how many items that were.
    pub(crate) fn clear(&mut self, shard: Shard) -> usize {
        let keys: Vec<Key> = self.items(shard).map(|(key, _)| key).collect();
        for key in &keys {
            self.take_item(*key);
        }
        let graves: Vec<Key> = self.graves(shard).collect();
        for key in graves {
            self.forget(key);
        }
        debug_assert_eq!(self.hash(shard), 0, "the XOR over nothing is zero");
        keys.len()
    }

    fn take_item(&mut self, key: Key) {
        if let Some(item) = self.items.remove(&key) {
            self.tombstones -= usize::from(item.terminated);
            let summary = self.shard_mut(key.shard());
            summary.hash ^= item.hash(key);
            summary.items -= 1;
        }
    }

    fn shard(&self, shard: Shard) -> &Summary {
        &self.shards[usize::from(shard.0)]
    }

    fn shard_mut(&mut self, shard: Shard) -> &mut Summary {
        &mut self.shards[usize::from(shard.0)]
    }
}

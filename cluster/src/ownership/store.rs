//! Everything a node holds: items by key, graves of ended ones, and one hash a shard.

use super::item::{Item, ended_hash};
use crate::id::{Key, SHARDS, Shard};
use crate::own_ids::{OwnIdSet, OwnIds};

/// Items and graves.
#[derive(Debug)]
pub(crate) struct Store {
    shards: Vec<Held>,
    items: usize,
    tombstones: usize,
    graves: usize,
}

/// What is held of one shard: a table each, so that the next version of an item costs three cache misses, not eight.
#[derive(Debug, Default)]
struct Held {
    /// XOR over items and graves.
    hash: u64,
    items: OwnIds<Key, Item>,
    /// Keys that have ended and whose body is gone.
    graves: OwnIdSet<Key>,
}

impl Store {
    pub(crate) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Held::default()).collect();
        Self { shards, items: 0, tombstones: 0, graves: 0 }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Item> {
        self.shard(key.shard()).items.get(&key)
    }

    pub(crate) fn is_buried(&self, key: Key) -> bool {
        self.shard(key.shard()).graves.contains(&key)
    }

    /// All items of a shard, by key.
    pub(crate) fn items(&self, shard: Shard) -> impl Iterator<Item = (Key, &Item)> {
        let mut items: Vec<_> = self.shard(shard).items.iter().map(|(key, item)| (*key, item)).collect();
        items.sort_unstable_by_key(|(key, _)| *key);
        items.into_iter()
    }

    /// All graves of a shard, by key.
    pub(crate) fn graves(&self, shard: Shard) -> impl Iterator<Item = Key> + use<> {
        let mut graves: Vec<Key> = self.shard(shard).graves.iter().copied().collect();
        graves.sort_unstable();
        graves.into_iter()
    }

    pub(crate) fn has_graves(&self, shard: Shard) -> bool {
        !self.shard(shard).graves.is_empty()
    }

    pub(crate) fn hash(&self, shard: Shard) -> u64 {
        self.shard(shard).hash
    }

    pub(crate) fn is_empty(&self, shard: Shard) -> bool {
        let held = self.shard(shard);
        held.items.is_empty() && held.graves.is_empty()
    }

    /// Items, tombstones among them, and graves.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.items, self.tombstones, self.graves)
    }

    /// Whether `item` is newer than what is held.
    pub(crate) fn accepts(&self, key: Key, item: &Item) -> bool {
        self.shard(key.shard()).accepts(key, item)
    }

    /// Keeps `item` if it is newer than what is held.
    pub(crate) fn merge(&mut self, key: Key, item: Item) -> bool {
        let held = &mut self.shards[usize::from(key.shard().0)];
        if !held.accepts(key, &item) {
            return false;
        }
        let (hash, ended) = (item.hash(key), item.terminated);
        let old = held.items.insert(key, item);
        let (old_hash, old_ended) = old.as_ref().map_or((0, false), |old| (old.hash(key), old.terminated));
        held.hash ^= old_hash ^ hash;
        self.items += usize::from(old.is_none());
        self.tombstones += usize::from(ended && !old_ended);
        true
    }

    /// Remembers only that `key` has ended. Says whether that is news.
    pub(crate) fn bury(&mut self, key: Key) -> bool {
        if self.is_buried(key) {
            return false;
        }
        let had_ended = self.take_item(key).is_some_and(|item| item.terminated);
        let held = self.shard_mut(key.shard());
        held.graves.insert(key);
        held.hash ^= ended_hash(key);
        self.graves += 1;
        !had_ended
    }

    /// Forgets a key that has ended.
    pub(crate) fn forget(&mut self, key: Key) {
        let held = self.shard_mut(key.shard());
        if held.graves.remove(&key) {
            held.hash ^= ended_hash(key);
            self.graves -= 1;
        } else if held.items.get(&key).is_some_and(|item| item.terminated) {
            self.take_item(key);
        }
    }

    /// Drops everything of a shard; says how many items that were.
    pub(crate) fn clear(&mut self, shard: Shard) -> usize {
        let held = std::mem::take(self.shard_mut(shard));
        self.items -= held.items.len();
        self.tombstones -= held.items.values().filter(|item| item.terminated).count();
        self.graves -= held.graves.len();
        held.items.len()
    }

    fn take_item(&mut self, key: Key) -> Option<Item> {
        let held = self.shard_mut(key.shard());
        let item = held.items.remove(&key)?;
        held.hash ^= item.hash(key);
        self.items -= 1;
        self.tombstones -= usize::from(item.terminated);
        Some(item)
    }

    fn shard(&self, shard: Shard) -> &Held {
        &self.shards[usize::from(shard.0)]
    }

    fn shard_mut(&mut self, shard: Shard) -> &mut Held {
        &mut self.shards[usize::from(shard.0)]
    }
}

impl Held {
    fn accepts(&self, key: Key, item: &Item) -> bool {
        match self.items.get(&key) {
            Some(held) => item.beats(held),
            None => !self.graves.contains(&key),
        }
    }
}

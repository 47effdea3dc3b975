//! The dirty map: for one peer, the newest version of every item it does not have yet.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::id::{Epoch, Key, Shard};
use crate::ownership::Item;

/// An item on its way, and the epoch its shard is owned (or followed) under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The epoch of the shard.
    pub under: Arc<Epoch>,
    /// The item.
    pub item: Item,
}

impl Entry {
    /// What it weighs on the wire, roughly: the body and its frame.
    pub(crate) fn size(&self) -> usize {
        const OVERHEAD: usize = 32;
        self.item.body.len() + OVERHEAD
    }
}

/// One dirty map. There is no queue: it is bounded by the number of items, and a burst of changes collapses.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    entries: BTreeMap<Key, Entry>,
    bytes: usize,
    /// The key taken last: taking goes on after it, so that no key waits for ever behind busier ones.
    cursor: Option<Key>,
}

impl Lane {
    /// Puts the newest version of a key; an older one under way in the lane is replaced.
    pub(crate) fn put(&mut self, key: Key, entry: Entry) {
        self.bytes += entry.size();
        if let Some(old) = self.entries.insert(key, entry) {
            self.bytes -= old.size();
        }
    }

    /// The next entry in turn.
    pub(crate) fn peek(&self) -> Option<(Key, &Entry)> {
        let after = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let next =
            self.entries.range((after, Bound::Unbounded)).next().or_else(|| self.entries.first_key_value());
        next.map(|(key, entry)| (*key, entry))
    }

    /// Takes the next entry in turn.
    pub(crate) fn take(&mut self) -> Option<(Key, Entry)> {
        let (key, _) = self.peek()?;
        self.cursor = Some(key);
        self.remove(key).map(|entry| (key, entry))
    }

    /// Takes everything, if it is no more than this; else nothing.
    pub(crate) fn take_all(&mut self, items: usize, bytes: usize) -> Option<Vec<(Key, Entry)>> {
        if self.entries.len() > items || self.bytes > bytes {
            return None;
        }
        self.bytes = 0;
        self.cursor = None;
        Some(std::mem::take(&mut self.entries).into_iter().collect())
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.bytes -= entry.size();
        Some(entry)
    }

    pub(crate) fn remove_shard(&mut self, shard: Shard) {
        let keys: Vec<Key> = self.entries.range(shard.keys()).map(|(key, _)| *key).collect();
        for key in keys {
            self.remove(key);
        }
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.entries.contains_key(&key)
    }

    pub(crate) fn contains_shard(&self, shard: Shard) -> bool {
        self.entries.range(shard.keys()).next().is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

//! One replicated item, and which of two versions of it wins.

use std::sync::Arc;

use bytes::Bytes;

use crate::id::{Epoch, Key};
use crate::placement::{mix, name_hash};

/// One version of an item: opaque bytes and what decides between it and another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The epoch it was written under.
    pub epoch: Arc<Epoch>,
    /// Rises with every change under one epoch.
    pub version: u64,
    /// It has ended: absorbs everything that has not.
    pub terminated: bool,
    /// The application's bytes.
    pub body: Bytes,
}

impl Item {
    /// Rule 10: max by (terminated, epoch, version).
    ///
    /// The epoch stands before the version, otherwise unconfirmed changes of a stale owner beat confirmed ones of the
    /// new owner. The order is total, node included, so that two copies never differ for ever.
    pub fn rank(&self) -> (bool, &Epoch, u64) {
        (self.terminated, &self.epoch, self.version)
    }

    /// Whether this version replaces the other.
    pub fn beats(&self, other: &Item) -> bool {
        self.rank() > other.rank()
    }

    /// The winner of two versions; commutative, associative and idempotent.
    pub fn merge(self, other: Item) -> Item {
        if other.beats(&self) { other } else { self }
    }

    /// What this version adds to the hash of its shard.
    pub(crate) fn hash(&self, key: Key) -> u64 {
        item_hash(key, &self.epoch, self.version, self.terminated)
    }
}

/// The hash of one version. Every terminated version of a key has the same: only the fact is compared, so a copy may
/// shrink to it whenever it likes.
pub(crate) fn item_hash(key: Key, epoch: &Epoch, version: u64, terminated: bool) -> u64 {
    if terminated {
        return ended_hash(key);
    }
    let owner = mix(name_hash(&epoch.node) ^ epoch.boot);
    key_hash(key) ^ mix(key_hash(key).rotate_left(32) ^ mix(owner ^ u64::from(epoch.term)) ^ mix(version))
}

/// The hash of a key that has ended.
pub(crate) fn ended_hash(key: Key) -> u64 {
    mix(!key_hash(key))
}

fn key_hash(key: Key) -> u64 {
    mix(key.id ^ mix(u64::from(key.placement) + 1))
}

//! What two nodes say to each other about one shard; many of them share a frame.

use std::sync::Arc;

use super::item::{Item, ended_hash, item_hash};
use crate::id::{Epoch, Key, Shard};

/// One message about one shard (or, for `Audit`, about a pair of nodes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A higher epoch exists: this one.
    Stale(Line),
    /// Promise to refuse lower epochs and tell what you hold. Under term 0: does anybody own it?
    Query(Line),
    /// The owner's hash, to be compared.
    Digest(Line),
    /// Our hash is the same as in your `Digest` or `Query`.
    Same(Line),
    /// Drop your copies, if their hash is still this.
    Release(Line),
    /// Our hash differs: this is what we hold.
    Have(Listing),
    /// Send these.
    Want(Keys),
    /// These have ended and need not be remembered.
    Forget(Keys),
    /// One hash over all shards the sender owns and the receiver holds.
    Audit(Audit),
}

/// A shard, the epoch spoken under, and a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The shard.
    pub shard: Shard,
    /// The epoch spoken under.
    pub epoch: Arc<Epoch>,
    /// XOR over the shard's items; 0 in `Stale`.
    pub hash: u64,
}

/// Everything a node holds of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The shard.
    pub shard: Shard,
    /// The epoch of the question.
    pub epoch: Arc<Epoch>,
    /// Its items.
    pub items: Vec<Listed>,
}

impl Listing {
    /// The hash of the shard at the node that listed it.
    pub(crate) fn hash(&self) -> u64 {
        self.items.iter().fold(0, |hash, item| hash ^ item.hash())
    }
}

/// An item without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// The epoch it was written under; of no meaning when `bare`.
    pub epoch: Arc<Epoch>,
    /// Its version; of no meaning when `bare`.
    pub version: u64,
    /// Whether it has ended.
    pub terminated: bool,
    /// Whether only its end is remembered.
    pub bare: bool,
}

impl Listed {
    pub(crate) fn rank(&self) -> (bool, &Epoch, u64) {
        (self.terminated, &self.epoch, self.version)
    }

    pub(crate) fn is_newer_than(&self, held: &Item) -> bool {
        self.rank() > held.rank()
    }

    fn hash(&self) -> u64 {
        if self.bare {
            ended_hash(self.key)
        } else {
            item_hash(self.key, &self.epoch, self.version, self.terminated)
        }
    }
}

/// Some keys of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The shard.
    pub shard: Shard,
    /// The epoch spoken under.
    pub epoch: Arc<Epoch>,
    /// The keys.
    pub keys: Vec<Key>,
}

/// The few-second comparison of a pair of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Shards in it.
    pub shards: u32,
    /// XOR over a hash of each.
    pub hash: u64,
    /// It is the answer: ours is another.
    pub differs: bool,
}

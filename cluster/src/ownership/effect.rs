//! What the ownership core asks for.

use std::sync::Arc;

use super::Stored;
use super::item::Item;
use super::message::Message;
use crate::id::{Epoch, Key, NodeId, Shard};

/// One thing to be done, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Tell a peer.
    Send {
        /// The peer.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Bring a peer's copy of one item up to date.
    Repair {
        /// The peer.
        to: NodeId,
        /// The item's key.
        key: Key,
        /// The epoch of its shard.
        under: Arc<Epoch>,
        /// The item.
        item: Item,
    },
    /// The copies of an owned shard belong on these nodes from now on.
    Targets {
        /// The shard.
        shard: Shard,
        /// The nodes.
        nodes: Vec<NodeId>,
    },
    /// This node owns the shard from now on; under the same epoch again when items turn up late.
    Activated {
        /// The shard.
        shard: Shard,
        /// The epoch.
        epoch: Epoch,
        /// Its owner before.
        lost: Option<NodeId>,
        /// All its items, or the late ones.
        items: Vec<Stored>,
    },
    /// This node owns the shard no more.
    Retired {
        /// The shard.
        shard: Shard,
    },
    /// A peer spoke under an epoch that is over.
    Stale {
        /// The peer.
        peer: NodeId,
        /// The shard.
        shard: Shard,
        /// The epoch in force.
        epoch: Epoch,
    },
    /// A shard was taken over without the answer of these live nodes.
    Unanswered {
        /// The shard.
        shard: Shard,
        /// Who did not answer.
        missing: Vec<NodeId>,
    },
    /// Copies of a shard without an owner were dropped.
    Orphaned {
        /// The shard.
        shard: Shard,
        /// How many.
        items: usize,
    },
}

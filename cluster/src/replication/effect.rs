//! What the replication core asks for.

use super::Confirmation;
use super::lane::Entry;
use crate::id::{Key, NodeId, Shard};

/// One thing to be done, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a batch of items.
    Batch {
        /// The peer.
        to: NodeId,
        /// The stream it belongs to.
        stream: u64,
        /// Its number in the stream, from 1.
        seq: u64,
        /// The items.
        entries: Vec<(Key, Entry)>,
    },
    /// A commit is as durable as it was asked to be.
    Confirmed(Confirmation),
    /// Commits that will never be confirmed: their shard went to another owner.
    Abandoned {
        /// The shard.
        shard: Shard,
        /// How many.
        commits: usize,
    },
    /// A peer no longer counts for commits.
    Lagging {
        /// The peer.
        peer: NodeId,
    },
    /// A lagging peer counts again.
    CaughtUp {
        /// The peer.
        peer: NodeId,
    },
}

//! What the engine asks its driver to do.

use holdline_protos::v1::Frame;

use crate::id::{Epoch, Key, NodeId, Shard};
use crate::ownership::Stored;
use crate::replication::Confirmation;

/// One thing to be done, in the order given.
#[allow(clippy::large_enum_variant, reason = "an effect is taken from the queue and used at once")]
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a frame over the link.
    Send {
        /// The peer.
        to: NodeId,
        /// What to send.
        frame: Frame,
    },
    /// A commit is as durable as it was asked to be. All confirmations of one acknowledgement follow each other.
    Confirmed(Confirmation),
    /// This node serves the shard from now on, with these items.
    ///
    /// Comes again under the same epoch when a copy that nobody had answered for turns up later: then `items` are only
    /// those that are newer than what this node had.
    Activated {
        /// The shard.
        shard: Shard,
        /// The epoch it is owned under.
        epoch: Epoch,
        /// The node that owned it before and is gone.
        lost: Option<NodeId>,
        /// What is known of its items.
        items: Vec<Stored>,
    },
    /// Another node owns the shard: stop serving it, confirm nothing more.
    Retired {
        /// The shard.
        shard: Shard,
    },
    /// Something an operator may want to read.
    Notice(Notice),
}

/// A fact for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A commit was refused: this node does not own the shard (any more). It is never confirmed.
    NotOwner {
        /// The item.
        key: Key,
        /// The version that was refused.
        version: u64,
    },
    /// A commit was refused: a newer or terminated version exists. It is never confirmed.
    Outdated {
        /// The item.
        key: Key,
        /// The version that was refused.
        version: u64,
    },
    /// Commits that waited when the shard went to another owner; they are never confirmed.
    Abandoned {
        /// The shard.
        shard: Shard,
        /// How many.
        commits: usize,
    },
    /// A peer spoke with an epoch that is over, and was told so.
    Stale {
        /// The peer.
        peer: NodeId,
        /// One of the shards.
        shard: Shard,
        /// The epoch that is in force.
        epoch: Epoch,
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
    /// A shard was taken over without the answer of these live nodes.
    Unanswered {
        /// The shard.
        shard: Shard,
        /// Who did not answer in time.
        missing: Vec<NodeId>,
    },
    /// Copies were dropped: nobody owned their shard for too long.
    Orphaned {
        /// The shard.
        shard: Shard,
        /// How many.
        items: usize,
    },
    /// A frame made no sense; the rest of it was ignored.
    Malformed {
        /// Who sent it.
        peer: NodeId,
        /// What is wrong with it.
        why: &'static str,
    },
}

//! Settings of the engine, each with the reason for its default.

use std::time::Duration;

use crate::id::NodeId;
use crate::{ownership, replication};

/// Settings of an [`Engine`](super::Engine); start from [`Config::new`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this node.
    pub me: NodeId,
    /// Start of this process, in milliseconds since the UNIX epoch.
    pub boot: u64,
    /// Copies of each shard besides the owner's.
    pub replicas: usize,
    /// Least time between two flushes to one peer: bounds the share of CPU that wake-ups take.
    pub flush: Duration,
    /// Items that make a flush early, and most items in one batch.
    pub early_items: usize,
    /// Bytes that make a flush early, and most bytes in one batch (unless one item is larger).
    pub early_bytes: usize,
    /// Most items sent to one peer and not yet acknowledged.
    pub window_items: usize,
    /// Most bytes sent to one peer and not yet acknowledged.
    pub window_bytes: usize,
    /// A peer that leaves a commit waiting this long is lagging and no longer counts.
    pub lagging: Duration,
    /// How long a target whose link just broke still counts as coming back.
    pub link_grace: Duration,
    /// How long a takeover waits for a live node that does not answer.
    pub query_limit: Duration,
    /// How long a node that has just come waits for the others before it claims a shard it has never heard of.
    pub claim_limit: Duration,
    /// How long a terminated item keeps its body: 64·T1, as long as the last request may be retransmitted.
    pub tombstone: Duration,
    /// How long a node that is away may come back with what it held.
    pub away: Duration,
    /// How long copies of a shard without an owner are kept.
    pub orphan: Duration,
    /// Between two comparisons of shards that differ.
    pub digest_repair: Duration,
    /// Between two comparisons of everything.
    pub digest_all: Duration,
    /// Bytes a second for bringing copies up to date, beside the live changes.
    pub repair_rate: u64,
}

impl Config {
    /// The defaults for this process.
    pub fn new(me: NodeId, boot: u64) -> Self {
        Self {
            me,
            boot,
            replicas: 1,
            flush: Duration::from_millis(5),
            early_items: 64,
            early_bytes: 64 * 1024,
            window_items: 512,
            window_bytes: 256 * 1024,
            lagging: Duration::from_millis(200),
            link_grace: Duration::from_millis(200),
            query_limit: Duration::from_millis(400),
            claim_limit: Duration::from_secs(2),
            tombstone: Duration::from_secs(32),
            away: Duration::from_secs(3_600),
            orphan: Duration::from_secs(3_600),
            digest_repair: Duration::from_millis(100),
            digest_all: Duration::from_secs(3),
            repair_rate: 20 * 1024 * 1024,
        }
    }

    pub(super) fn ownership(&self) -> ownership::Config {
        ownership::Config {
            me: self.me.clone(),
            boot: self.boot,
            replicas: self.replicas,
            query_limit: self.query_limit,
            claim_limit: self.claim_limit,
            tombstone: self.tombstone,
            away: self.away,
            orphan: self.orphan,
            digest_repair: self.digest_repair,
            digest_all: self.digest_all,
        }
    }

    pub(super) fn replication(&self) -> replication::Config {
        replication::Config {
            flush: self.flush,
            early_items: self.early_items,
            early_bytes: self.early_bytes,
            window_items: self.window_items,
            window_bytes: self.window_bytes,
            lagging: self.lagging,
            link_grace: self.link_grace,
            repair_rate: self.repair_rate,
        }
    }
}

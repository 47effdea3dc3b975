//! Counts and gauges of the engine.

/// What [`Engine::stats`](super::Engine::stats) tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Shards this node owns.
    pub owned: usize,
    /// Shards this node holds copies of without owning them.
    pub held: usize,
    /// Shards being taken over.
    pub recovering: usize,
    /// Items with a body, own and copies, terminated ones included.
    pub items: usize,
    /// Items with a body that have terminated.
    pub tombstones: usize,
    /// Terminated items of which only the key is remembered, because a node that is away may still hold them.
    pub graves: usize,
    /// Commits waiting for their durability.
    pub pending: usize,
    /// Commits confirmed so far.
    pub confirmed: u64,
    /// Commits confirmed so far without any copy, because no target was live.
    pub unprotected: u64,
    /// Commits refused or abandoned so far.
    pub refused: u64,
    /// Peers whose link is up.
    pub linked: usize,
    /// Peers that are lagging.
    pub lagging: usize,
    /// Items waiting to be sent, over all peers.
    pub waiting: usize,
    /// Bytes sent and not acknowledged, over all peers.
    pub bytes_in_flight: usize,
    /// Batches sent so far.
    pub batches: u64,
    /// Shards whose copy on some live target is not proven equal.
    pub unequal: usize,
    /// Times a peer told this node that its epoch is over.
    pub stale_heard: u64,
    /// Times a peer spoke with an epoch that is over.
    pub stale_seen: u64,
    /// Frames that made no sense or came from a process without a link.
    pub malformed: u64,
}

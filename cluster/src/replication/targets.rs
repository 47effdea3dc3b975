//! Where the copies of each shard belong.

use crate::id::{NodeId, SHARDS, Shard};

/// The targets of every shard this node owns; looked up several times for each commit, so by index.
#[derive(Debug)]
pub(crate) struct Targets(Box<[Option<Vec<NodeId>>]>);

impl Default for Targets {
    fn default() -> Self {
        Self(vec![None; usize::from(SHARDS)].into())
    }
}

impl Targets {
    /// `None` of a shard that is not ours.
    pub(crate) fn get(&self, shard: Shard) -> Option<&[NodeId]> {
        self.0[usize::from(shard.0)].as_deref()
    }

    /// The same, with none for a shard that is not ours.
    pub(crate) fn of(&self, shard: Shard) -> &[NodeId] {
        self.get(shard).unwrap_or_default()
    }

    pub(crate) fn insert(&mut self, shard: Shard, nodes: Vec<NodeId>) {
        self.0[usize::from(shard.0)] = Some(nodes);
    }

    pub(crate) fn remove(&mut self, shard: Shard) {
        self.0[usize::from(shard.0)] = None;
    }
}

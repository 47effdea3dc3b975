//! Rendezvous hashing: which node owns a shard and which hold its copies, from the view alone.

use std::cmp::Reverse;

use crate::id::{Key, NodeId, SHARDS, Shard};
use crate::view::{Member, View};

/// The member that should own `shard`: the first of its order. Equal on every machine with the same view.
pub fn place(shard: Shard, view: &View) -> Option<&Member> {
    view.up_nodes().max_by_key(|member| rank(shard, &member.id))
}

/// All members of the placement in the order in which they inherit `shard`.
pub fn order(shard: Shard, view: &View) -> Vec<&Member> {
    let mut members: Vec<&Member> = view.up_nodes().collect();
    members.sort_by_cached_key(|member| Reverse((weight(shard, name_hash(&member.id)), member.id.clone())));
    members
}

/// The `k` nodes that hold copies of `shard` while `owner` owns it.
///
/// They are the first of the order, so when the owner dies the first copy is the next owner.
pub fn targets(shard: Shard, view: &View, owner: &NodeId, k: usize) -> Vec<NodeId> {
    let others = order(shard, view).into_iter().filter(|member| member.id != *owner);
    others.take(k).map(|member| member.id.clone()).collect()
}

/// The first `k + 1` nodes of every shard's order, computed once per view.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    nodes: Vec<NodeId>,
    /// Indices into `nodes`, `width` for each shard.
    first: Vec<u16>,
    width: usize,
    k: usize,
}

impl Placement {
    /// The table for this view, with `k` copies besides the owner's.
    pub fn new(view: &View, k: usize) -> Self {
        let nodes: Vec<NodeId> = view.up_nodes().map(|member| member.id.clone()).collect();
        let names: Vec<u64> = nodes.iter().map(name_hash).collect();
        let width = nodes.len().min(k + 1);
        let mut first = Vec::with_capacity(width * usize::from(SHARDS));
        let mut ranked: Vec<(u64, u16)> = Vec::with_capacity(nodes.len());
        for shard in Shard::all() {
            ranked.clear();
            // Nodes are sorted by name, so the index breaks a tie as the name would.
            ranked.extend(names.iter().zip(0u16..).map(|(name, index)| (weight(shard, *name), index)));
            if width < ranked.len() {
                ranked.select_nth_unstable_by_key(width, |entry| Reverse(*entry));
                ranked.truncate(width);
            }
            ranked.sort_unstable_by_key(|entry| Reverse(*entry));
            first.extend(ranked.iter().map(|(_, index)| *index));
        }
        Self { nodes, first, width, k }
    }

    /// The node that should own `shard`.
    pub fn place(&self, shard: Shard) -> Option<&NodeId> {
        self.row(shard).next()
    }

    /// The nodes that hold copies of `shard` while `owner` owns it.
    pub fn targets(&self, shard: Shard, owner: &NodeId) -> impl Iterator<Item = &NodeId> {
        // Of the k + 1 first, leaving out the owner leaves k; if it is not among them, the first k.
        self.row(shard).filter(move |node| *node != owner).take(self.k)
    }

    fn row(&self, shard: Shard) -> impl Iterator<Item = &NodeId> {
        let start = usize::from(shard.0) * self.width;
        let row = self.first.get(start..start + self.width).unwrap_or_default();
        row.iter().map(|index| &self.nodes[usize::from(*index)])
    }
}

/// The shard of a placement, for callers that have no whole [`Key`].
pub fn shard_of(placement: u16) -> Shard {
    Key { placement, id: 0 }.shard()
}

fn rank(shard: Shard, node: &NodeId) -> (u64, &NodeId) {
    (weight(shard, name_hash(node)), node)
}

/// How strongly a node is drawn to a shard; the highest wins.
fn weight(shard: Shard, name: u64) -> u64 {
    mix(name ^ mix(u64::from(shard.0).wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

/// FNV-1a over the name: no seed, so every machine and every version computes the same.
pub(crate) fn name_hash(node: &NodeId) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(node.as_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// The finaliser of MurmurHash3: every input bit changes half of the output bits.
pub(crate) fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

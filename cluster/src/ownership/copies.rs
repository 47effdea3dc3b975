//! Where the copies of one owned shard are, and which of them are proven equal.

use crate::id::NodeId;

/// The nodes that hold, or may hold, copies of a shard this node owns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copies(Vec<Copy>);

#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) peer: NodeId,
    /// Whether the placement wants a copy there; if not, it is to be released.
    pub(crate) target: bool,
    pub(crate) state: CopyState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyState {
    /// Nothing is known of it.
    Unknown,
    /// A digest with this hash is on its way.
    Asked(u64),
    /// It was equal once, and gets every change since.
    Equal,
}

impl Copy {
    pub(crate) fn is_equal(&self) -> bool {
        self.state == CopyState::Equal
    }
}

impl Copies {
    pub(crate) fn get_mut(&mut self, peer: &NodeId) -> Option<&mut Copy> {
        self.0.iter_mut().find(|copy| copy.peer == *peer)
    }

    pub(crate) fn get(&self, peer: &NodeId) -> Option<&Copy> {
        self.0.iter().find(|copy| copy.peer == *peer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Copy> {
        self.0.iter()
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = &NodeId> {
        self.0.iter().filter(|copy| copy.target).map(|copy| &copy.peer)
    }

    pub(crate) fn is_target(&self, peer: &NodeId) -> bool {
        self.get(peer).is_some_and(|copy| copy.target)
    }

    pub(crate) fn push(&mut self, copy: Copy) {
        self.0.push(copy);
    }

    pub(crate) fn remove(&mut self, peer: &NodeId) {
        self.0.retain(|copy| copy.peer != *peer);
    }

    /// Every node the placement wants a copy on has an equal one.
    pub(crate) fn targets_equal(&self) -> bool {
        self.unequal_targets() == 0
    }

    pub(crate) fn unequal_targets(&self) -> usize {
        self.0.iter().filter(|copy| copy.target && copy.state != CopyState::Equal).count()
    }

    /// Equal copies on the targets and none anywhere else.
    pub(crate) fn at_rest(&self) -> bool {
        self.0.iter().all(|copy| copy.target && copy.state == CopyState::Equal)
    }
}

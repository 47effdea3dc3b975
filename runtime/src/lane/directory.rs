//! The directory of a lane: each dialog as a running actor or as the bytes its replicas hold.

use bytes::Bytes;
use holdline_cluster::id::{Key, NodeId};
use holdline_cluster::own_ids::OwnIds;
use holdline_sip::Timestamp;

use crate::step::Input;

/// All dialogs of a lane.
pub(super) type Directory<A> = OwnIds<Key, Entry<A>>;

/// One dialog.
#[derive(Debug)]
pub(super) struct Entry<A> {
    pub(super) slot: Slot<A>,
    /// Tells this life of the dialog's actor from an earlier one of the same key.
    pub(super) life: u64,
    /// The newest version, and its snapshot: what passivation keeps and a crash of the actor goes back to. Empty while early.
    pub(super) version: u64,
    pub(super) snapshot: Bytes,
    /// The one deadline that counts.
    pub(super) deadline: Option<Timestamp>,
    /// The last step, for passivation.
    pub(super) touched: Timestamp,
    /// It is in the queue of those that may become idle.
    pub(super) watched: bool,
    /// It has a request of the peer to answer, which no snapshot holds.
    pub(super) busy: bool,
    /// Taken over from this node, and `on_recovered` has not run yet.
    pub(super) recovered_from: Option<NodeId>,
    /// Its next life starts as a takeover: none has made a step here yet.
    pub(super) takeover: bool,
    /// Over: stays until what it said last has left, or as a tombstone until its deadline.
    pub(super) ended: bool,
}

/// Where the dialog is.
#[derive(Debug)]
pub(super) enum Slot<A> {
    /// Only bytes.
    Passive,
    /// Its actor is being started with the first input; these wait for it. It may be done with the first before we hear that it runs.
    Starting { waiting: Vec<Input>, depth: u32 },
    /// Its actor runs; `depth` inputs are on their way to it or in work.
    Active { actor: A, depth: u32 },
}

impl<A> Slot<A> {
    /// The actor starts with one input, and these are next.
    pub(super) fn starting(waiting: Vec<Input>) -> Self {
        let depth = 1 + waiting.len() as u32;
        Self::Starting { waiting, depth }
    }

    /// Inputs that are not done.
    pub(super) fn depth(&self) -> u32 {
        match self {
            Self::Passive => 0,
            Self::Starting { depth, .. } | Self::Active { depth, .. } => *depth,
        }
    }

    /// One input is done.
    pub(super) fn done(&mut self) {
        if let Self::Starting { depth, .. } | Self::Active { depth, .. } = self {
            *depth = depth.saturating_sub(1);
        }
    }
}

impl<A> Entry<A> {
    pub(super) fn new(life: u64, now: Timestamp) -> Self {
        Self {
            slot: Slot::starting(Vec::new()),
            life,
            version: 0,
            snapshot: Bytes::new(),
            deadline: None,
            touched: now,
            watched: false,
            busy: false,
            recovered_from: None,
            takeover: false,
            ended: false,
        }
    }

    /// A dialog that arrives as bytes.
    pub(super) fn passive(version: u64, snapshot: Bytes, now: Timestamp) -> Self {
        Self { slot: Slot::Passive, version, snapshot, ..Self::new(0, now) }
    }

    /// True when the actor may be stopped: nothing is on its way to it and the snapshot is all there is to it.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.slot, Slot::Active { depth: 0, .. })
            && !self.snapshot.is_empty()
            && !self.busy
            && !self.ended
    }
}

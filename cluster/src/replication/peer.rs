//! One peer as the replication core sees it: what it lacks, what is under way, whether it keeps up.

use super::lane::Lane;
use super::window::{Inbound, Window};
use crate::Timestamp;

/// State of a peer while its link is up.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) boot: u64,
    /// Changes made just now; they go first.
    pub(crate) live: Lane,
    /// What brings its copies up to date; behind the live changes and a rate limit.
    pub(crate) repair: Lane,
    pub(crate) window: Window,
    pub(crate) inbound: Inbound,
    /// When the last flush was; `None` before the first.
    pub(crate) flushed: Option<Timestamp>,
    /// When the next flush is due.
    pub(crate) armed: Option<Timestamp>,
    /// It left a commit waiting too long and does not count for now.
    pub(crate) lagging: bool,
}

impl Peer {
    pub(crate) fn waiting(&self) -> usize {
        self.live.len() + self.repair.len()
    }
}

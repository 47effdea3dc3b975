//! One deadline queue per lane: keyed by dialog, cancelled by being overtaken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use holdline_cluster::id::Key;
use holdline_sip::Timestamp;

/// Deadlines of dialogs. A dialog has at most one that counts: the one its directory entry names. Others are stale and
/// are dropped when they come up, or together once they outnumber the live ones.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Timestamp, Key)>>,
}

impl Deadlines {
    pub(super) fn push(&mut self, at: Timestamp, key: Key) {
        self.heap.push(Reverse((at, key)));
    }

    /// The next entry due at `now`, stale or not.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, Key)> {
        match self.heap.peek() {
            Some(Reverse((at, _))) if *at <= now => self.heap.pop().map(|Reverse(entry)| entry),
            _ => None,
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Drops stale entries when they are more than `live` and a floor of 1,024.
    pub(super) fn compact(&mut self, live: usize, is_live: impl Fn(Timestamp, Key) -> bool) {
        if self.heap.len() > 2 * live + 1_024 {
            self.heap.retain(|Reverse((at, key))| is_live(*at, *key));
        }
    }
}

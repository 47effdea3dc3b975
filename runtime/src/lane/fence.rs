//! The fence after a pause: a node that was stopped and continues may have been replaced, and must not answer before it knows.

use holdline_cluster::id::{Key, Shard};
use holdline_sip::Timestamp;

use super::Lane;
use crate::limits;

/// Whether this process was paused a moment ago, by its own clock.
#[derive(Debug, Default)]
pub(super) struct Fence {
    /// When the lane last ran; its driver runs it at every tick at least.
    seen: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Versions confirmed while the fence is up: their acknowledgement may be from before the pause.
    late: Vec<(Key, u64)>,
}

impl Fence {
    pub(super) fn is_up(&self) -> bool {
        self.until.is_some()
    }

    /// Keeps a confirmation for later while the fence is up.
    pub(super) fn keeps(&mut self, key: Key, version: u64) -> bool {
        let up = self.is_up();
        if up {
            self.late.push((key, version));
        }
        up
    }

    pub(super) fn retire(&mut self, is_retired: impl Fn(Shard) -> bool) {
        self.late.retain(|(key, _)| !is_retired(key.shard()));
    }
}

impl<A: Clone> Lane<A> {
    /// Comes before anything else a driver does with the lane: notes that time went on, and raises the fence if it leapt.
    ///
    /// While the fence is up the lane owns nothing: requests are held, timers and confirmations wait. What another node took over
    /// meanwhile is retired in that time; the rest goes on where it was.
    pub fn wake(&mut self, now: Timestamp) {
        let seen = self.fence.seen.replace(now);
        let paused = seen.is_some_and(|seen| now > seen + limits::PAUSE_MAX);
        if paused && self.config.durability.is_some() {
            tracing::warn!(pause = ?now - seen.unwrap_or(now), "this process was paused: silent until peers have told what they took over");
            self.fence.until = Some(now + limits::FENCE);
        }
    }

    /// Lowers the fence when its time is over.
    pub(super) fn lower_fence(&mut self, now: Timestamp) {
        if self.fence.until.is_none_or(|until| until > now) {
            return;
        }
        self.fence.until = None;
        for (key, version) in std::mem::take(&mut self.fence.late) {
            self.handle_confirmed(now, key, version);
        }
        self.release_all(now);
    }
}

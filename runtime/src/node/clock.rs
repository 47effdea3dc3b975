//! The time of a process: the wall clock once, at the start, and the monotonic clock from then on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdline_sip::Timestamp;

/// Deadlines in snapshots are absolute, so every node counts from the UNIX epoch; a step of the wall clock while the
/// process runs moves no timer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    wall: Duration,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), wall }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.wall + self.started.elapsed()
    }
}

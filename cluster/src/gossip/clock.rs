//! The clock of the drivers: wall-clock time at start, advanced by the monotonic clock, so that it never jumps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Timestamp;

/// Gives the cores their time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    wall: Duration,
    anchor: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        // A wall clock before 1970 is taken as 1970: nothing here needs it to be right, only to advance.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall, anchor: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.wall + self.anchor.elapsed()
    }

    /// When `at` is on the monotonic clock.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.anchor + at.saturating_sub(self.wall)
    }
}

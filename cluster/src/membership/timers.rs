//! Foca's timers in order of their deadlines.

use std::collections::BTreeMap;

use foca::Timer;

use super::identity::Identity;
use crate::Timestamp;

/// Pending timers; bounded, since foca has a handful running and one `RemoveDown` per address.
#[derive(Debug, Default)]
pub(super) struct Timers {
    pending: BTreeMap<(Timestamp, u64), Timer<Identity>>,
    submitted: u64,
}

impl Timers {
    /// Timers of equal deadline fire in the order they were submitted.
    pub(super) fn submit(&mut self, at: Timestamp, timer: Timer<Identity>) {
        if let Timer::RemoveDown(new) = &timer {
            // They live an hour: a flapping member must not pile them up.
            self.pending.retain(|_, t| !matches!(t, Timer::RemoveDown(old) if old.cluster == new.cluster));
        }
        self.submitted += 1;
        self.pending.insert((at, self.submitted), timer);
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.pending.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Timer<Identity>> {
        if self.next()? > now {
            return None;
        }
        self.pending.pop_first().map(|(_, timer)| timer)
    }
}

//! What keeps this member from working with others: one clear line per cause, not one per retry.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Causes remembered; more at a time are an attack or a flood, and the first ones say enough.
const CAUSES_MAX: usize = 64;
/// A cause that persists is worth a line again after this time.
const AGAIN: Duration = Duration::from_secs(600);

/// The causes seen lately, by their line.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<VecDeque<(String, Instant)>>);

impl Refusals {
    /// Logs `line` unless it was logged lately.
    pub(super) fn report(&self, line: String) {
        if self.is_new(&line, Instant::now()) {
            tracing::warn!("{line}");
        }
    }

    /// Remembers a line that somebody else says.
    pub(super) fn keep(&self, line: &str) {
        self.is_new(line, Instant::now());
    }

    /// The causes of the last ten minutes, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lock().iter().map(|(line, _)| line.clone()).collect()
    }

    fn is_new(&self, line: &str, now: Instant) -> bool {
        let mut causes = self.lock();
        while causes.front().is_some_and(|(_, at)| now.duration_since(*at) >= AGAIN) {
            causes.pop_front();
        }
        let new = causes.len() < CAUSES_MAX && !causes.iter().any(|(known, _)| known == line);
        if new {
            causes.push_back((line.to_owned(), now));
        }
        new
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_in_ten_minutes_and_a_flood_is_cut_off() {
        let refusals = Refusals::default();
        let start = Instant::now();
        assert!(refusals.is_new("wrong key", start));
        assert!(!refusals.is_new("wrong key", start + AGAIN - Duration::from_secs(1)));
        assert!(refusals.is_new("wrong key", start + AGAIN));
        let told = (0..1_000).filter(|i| refusals.is_new(&format!("from {i}"), start + AGAIN)).count();
        assert_eq!(told, CAUSES_MAX - 1);
        assert_eq!(refusals.lines()[0], "wrong key");
    }
}

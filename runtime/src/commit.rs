//! The commit gate: what a step wants to send leaves only when the version it made is as durable as promised.

use std::collections::VecDeque;

use holdline_cluster::id::Key;
use holdline_cluster::own_ids::OwnIds;

use crate::step::Send;

/// Sends that wait for their version, per dialog, in the order of the steps.
///
/// A step that made no new version, or one that need not wait, still queues behind an earlier one of its dialog: messages
/// of a dialog leave in the order of its steps, always.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    waiting: OwnIds<Key, VecDeque<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    /// `None`: only behind the ones before it.
    version: Option<u64>,
    sends: Vec<Send>,
}

impl Gate {
    /// Passes the sends of a step, or keeps them: until `version` is confirmed if given, else until those before them left.
    #[must_use]
    pub(crate) fn admit(&mut self, key: Key, version: Option<u64>, sends: Vec<Send>) -> Vec<Send> {
        if let Some(queue) = self.waiting.get_mut(&key) {
            queue.push_back(Waiting { version, sends });
            return Vec::new();
        }
        match version {
            None => sends,
            Some(_) => {
                self.waiting.insert(key, VecDeque::from([Waiting { version, sends }]));
                Vec::new()
            }
        }
    }

    /// `version` of the dialog, and so each before it, is durable: returns what may leave now.
    #[must_use]
    pub(crate) fn confirm(&mut self, key: Key, version: u64) -> Vec<Send> {
        let Some(queue) = self.waiting.get_mut(&key) else { return Vec::new() };
        let mut free = Vec::new();
        while let Some(first) = queue.front() {
            if first.version.is_some_and(|v| v > version) {
                break;
            }
            free.extend(queue.pop_front().map(|w| w.sends).unwrap_or_default());
        }
        if queue.is_empty() {
            self.waiting.remove(&key);
        }
        free
    }

    /// Forgets what waits for a dialog that is ours no more: its new owner decides what is sent.
    pub(crate) fn retire(&mut self, key: Key) {
        self.waiting.remove(&key);
    }

    /// True while something of this dialog waits.
    #[must_use]
    pub(crate) fn is_waiting(&self, key: Key) -> bool {
        self.waiting.contains_key(&key)
    }

    /// Dialogs that wait.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { placement: 7, id: 9 };

    fn sends(n: usize) -> Vec<Send> {
        (0..n).map(|_| Send::CancelInvite { branch: String::new() }).collect()
    }

    #[test]
    fn a_step_without_a_version_to_wait_for_leaves_at_once() {
        let mut gate = Gate::default();
        assert_eq!(gate.admit(KEY, None, sends(2)).len(), 2);
        assert_eq!(gate.len(), 0);
    }

    #[test]
    fn a_version_holds_its_sends_until_it_is_confirmed() {
        let mut gate = Gate::default();
        assert!(gate.admit(KEY, Some(3), sends(1)).is_empty());
        assert!(gate.confirm(KEY, 2).is_empty());
        assert_eq!(gate.confirm(KEY, 3).len(), 1);
        assert_eq!(gate.len(), 0);
    }

    #[test]
    fn later_sends_never_overtake_earlier_ones() {
        let mut gate = Gate::default();
        assert!(gate.admit(KEY, Some(1), sends(1)).is_empty());
        assert!(gate.admit(KEY, None, sends(2)).is_empty());
        assert!(gate.admit(KEY, Some(2), sends(4)).is_empty());
        assert_eq!(gate.confirm(KEY, 1).len(), 3, "the first, and what only waited behind it");
        assert_eq!(gate.confirm(KEY, 2).len(), 4);
    }

    #[test]
    fn a_confirmed_version_confirms_those_before_it() {
        let mut gate = Gate::default();
        for version in 1..=3 {
            assert!(gate.admit(KEY, Some(version), sends(1)).is_empty());
        }
        assert_eq!(gate.confirm(KEY, 3).len(), 3);
    }

    #[test]
    fn a_retired_dialog_sends_nothing() {
        let mut gate = Gate::default();
        assert!(gate.admit(KEY, Some(1), sends(1)).is_empty());
        gate.retire(KEY);
        assert!(gate.confirm(KEY, 1).is_empty());
    }
}

//! The queue of commits from any thread to the cluster thread, which is woken as rarely as the flush gap allows.
//!
//! A wake-up costs far more than a commit (some 100 µs against 3). So the first commit wakes the thread and *arms* the
//! queue; while it is armed the thread comes by itself at the end of the flush gap, and only a full batch wakes it
//! earlier. At 3,000 commits/s and a gap of 5 ms that makes 200 wake-ups.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::engine::Commit;

/// Commits waiting for the cluster thread; at 3,000/s this is 20 s, so the thread has stopped by then.
const COMMITS_MAX: usize = 65_536;
/// A batch that is worth a wake-up of its own; the engine flushes early at the same figures.
const EARLY_ITEMS: usize = 64;
const EARLY_BYTES: usize = 64 * 1024;

/// Commits on their way to the engine.
#[derive(Debug, Default)]
pub(super) struct CommitQueue {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    commits: Vec<Commit>,
    bytes: usize,
    /// The thread comes by itself.
    armed: bool,
    /// It was woken early already.
    hurried: bool,
}

/// The queue is full; nothing of what was given is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many commits are waiting for the cluster thread")]
pub struct Overloaded;

impl CommitQueue {
    pub(super) fn push(
        &self,
        commits: impl IntoIterator<Item = Commit, IntoIter: ExactSizeIterator>,
    ) -> Result<(), Overloaded> {
        let commits = commits.into_iter();
        if commits.len() == 0 {
            return Ok(());
        }
        let mut waiting = self.lock();
        if waiting.commits.len() + commits.len() > COMMITS_MAX {
            return Err(Overloaded);
        }
        for commit in commits {
            waiting.bytes += commit.body.len();
            waiting.commits.push(commit);
        }
        let hurry = waiting.commits.len() >= EARLY_ITEMS || waiting.bytes >= EARLY_BYTES;
        let wake = !waiting.armed || (hurry && !waiting.hurried);
        waiting.armed = true;
        waiting.hurried |= hurry;
        drop(waiting);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits until the thread is wanted.
    pub(super) async fn wanted(&self) {
        self.wake.notified().await;
    }

    /// Takes all commits, leaving the emptied `spare` to be filled next; the queue stays armed.
    pub(super) fn take(&self, spare: Vec<Commit>) -> Vec<Commit> {
        debug_assert!(spare.is_empty(), "the spare buffer was drained");
        let mut waiting = self.lock();
        waiting.bytes = 0;
        waiting.hurried = false;
        std::mem::replace(&mut waiting.commits, spare)
    }

    /// From now on the next commit wakes the thread; `false` if one has come meanwhile.
    pub(super) fn disarm(&self) -> bool {
        let mut waiting = self.lock();
        waiting.armed = !waiting.commits.is_empty();
        !waiting.armed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use bytes::Bytes;

    use super::*;
    use crate::engine::Durability;
    use crate::id::Key;

    fn commit(size: usize) -> Commit {
        let key = Key { placement: 1, id: 4 };
        Commit {
            key,
            version: 1,
            terminated: false,
            body: vec![0; size].into(),
            durability: Durability::Acked,
        }
    }

    /// Whether a wake-up is pending; takes it.
    fn woken(queue: &CommitQueue) -> bool {
        pin!(queue.wanted()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn only_the_first_commit_of_a_gap_wakes_and_a_full_batch_once_more() {
        let queue = CommitQueue::default();
        assert!(!woken(&queue));
        queue.push([commit(1)]).unwrap();
        assert!(woken(&queue), "the first");
        for _ in 1..EARLY_ITEMS - 1 {
            queue.push([commit(1)]).unwrap();
            assert!(!woken(&queue), "the thread comes by itself");
        }
        queue.push([commit(1)]).unwrap();
        assert!(woken(&queue), "a full batch");
        queue.push([commit(1)]).unwrap();
        assert!(!woken(&queue), "it was hurried already");
        assert_eq!(queue.take(Vec::new()).len(), EARLY_ITEMS + 1);
        queue.push([commit(EARLY_BYTES)]).unwrap();
        assert!(woken(&queue), "full by bytes");
    }

    #[test]
    fn a_commit_during_disarming_is_not_forgotten() {
        let queue = CommitQueue::default();
        queue.push([commit(1)]).unwrap();
        assert!(woken(&queue));
        assert!(!queue.disarm(), "it is still there");
        assert_eq!(queue.take(Vec::new()).len(), 1);
        assert!(queue.disarm());
        queue.push([commit(1)]).unwrap();
        assert!(woken(&queue), "disarmed: wakes again");
    }

    #[test]
    fn a_full_queue_refuses_all_of_what_does_not_fit() {
        let queue = CommitQueue::default();
        let body = Bytes::new();
        let small = || Commit { body: body.clone(), ..commit(0) };
        queue.push((0..COMMITS_MAX - 1).map(|_| small()).collect::<Vec<_>>()).unwrap();
        assert_eq!(queue.push([small(), small()]), Err(Overloaded));
        queue.push([small()]).unwrap();
        assert_eq!(queue.take(Vec::new()).len(), COMMITS_MAX);
    }
}

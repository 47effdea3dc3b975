//! The queue of commits from any thread to the cluster thread, which is woken once for all that a turn of work commits.
//!
//! A wake-up costs far more than a commit (some 100 µs against 3), so commits wait for the end of the turn that makes them,
//! as writes to a buffer wait for its flush; only a full batch goes by itself.

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
    /// The thread has been woken for them.
    woken: bool,
    /// It has been woken because they are many.
    hurried: bool,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.commits.len() >= EARLY_ITEMS || self.bytes >= EARLY_BYTES
    }
}

/// The queue is full; what was given is not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many commits are waiting for the cluster thread")]
pub struct Overloaded;

impl CommitQueue {
    pub(super) fn push(&self, commit: Commit) -> Result<(), Overloaded> {
        let mut waiting = self.lock();
        if waiting.commits.len() >= COMMITS_MAX {
            return Err(Overloaded);
        }
        waiting.bytes += commit.body.len();
        waiting.commits.push(commit);
        if waiting.is_full() && !waiting.hurried {
            waiting.hurried = true;
            waiting.woken = true;
            drop(waiting);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Whether the batch is full: then nothing is gained by waiting for more.
    pub(super) fn is_full(&self) -> bool {
        self.lock().is_full()
    }

    /// Wakes the thread for what waits.
    pub(super) fn flush(&self) {
        let mut waiting = self.lock();
        if !waiting.commits.is_empty() && !waiting.woken {
            waiting.woken = true;
            drop(waiting);
            self.wake.notify_one();
        }
    }

    /// Waits until the thread is wanted.
    pub(super) async fn wanted(&self) {
        self.wake.notified().await;
    }

    /// Takes all commits, leaving the emptied `spare` to be filled next.
    pub(super) fn take(&self, spare: Vec<Commit>) -> Vec<Commit> {
        debug_assert!(spare.is_empty(), "the spare buffer was drained");
        let mut waiting = self.lock();
        waiting.bytes = 0;
        (waiting.woken, waiting.hurried) = (false, false);
        std::mem::replace(&mut waiting.commits, spare)
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
    fn commits_wait_for_the_flush_or_a_full_batch() {
        let queue = CommitQueue::default();
        queue.flush();
        assert!(!woken(&queue), "there is nothing to flush");
        queue.push(commit(1)).unwrap();
        assert!(!woken(&queue), "the turn goes on");
        queue.flush();
        queue.flush();
        assert!(woken(&queue), "flushed");
        queue.push(commit(1)).unwrap();
        queue.flush();
        assert!(!woken(&queue), "the thread is on its way");
        for _ in 3..EARLY_ITEMS {
            queue.push(commit(1)).unwrap();
        }
        assert!(!woken(&queue) && !queue.is_full());
        queue.push(commit(1)).unwrap();
        assert!(woken(&queue) && queue.is_full(), "a full batch, which waits no longer");
        queue.push(commit(1)).unwrap();
        assert!(!woken(&queue), "it was hurried already");
        assert_eq!(queue.take(Vec::new()).len(), EARLY_ITEMS + 1);
        queue.push(commit(EARLY_BYTES)).unwrap();
        assert!(woken(&queue), "full by bytes");
    }

    #[test]
    fn a_full_queue_refuses_what_does_not_fit() {
        let queue = CommitQueue::default();
        for _ in 0..COMMITS_MAX {
            queue.push(commit(0)).unwrap();
        }
        assert_eq!(queue.push(commit(0)), Err(Overloaded));
        assert_eq!(queue.take(Vec::new()).len(), COMMITS_MAX);
        queue.push(commit(0)).unwrap();
    }
}

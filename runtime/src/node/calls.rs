//! Uses of `DialogRef`s that wait for their reply, from this node's lanes or from another node.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::limits::CALLS_PENDING_MAX;
use crate::step::Reply;

#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
}

impl Calls {
    /// A new use; `None` when too many wait already.
    pub(crate) fn register(&self) -> Option<Call<'_>> {
        let mut pending = self.lock();
        if pending.waiting.len() >= CALLS_PENDING_MAX {
            return None;
        }
        pending.next += 1;
        let id = pending.next;
        let (sender, reply) = oneshot::channel();
        pending.waiting.insert(id, sender);
        Some(Call { calls: self, id, reply })
    }

    /// The reply came; one for a use that gave up waiting is dropped.
    pub(crate) fn resolve(&self, id: u64, reply: Reply) {
        if let Some(waiting) = self.lock().waiting.remove(&id) {
            let _ = waiting.send(reply);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A use under way; dropped, it is forgotten.
pub(crate) struct Call<'a> {
    calls: &'a Calls,
    pub(crate) id: u64,
    pub(crate) reply: oneshot::Receiver<Reply>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.lock().waiting.remove(&self.id);
    }
}

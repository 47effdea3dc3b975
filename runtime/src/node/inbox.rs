//! What other threads have to say to a lane: a bounded queue and one wake for all of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdline_cluster::engine::{Confirmation, Stored};
use holdline_cluster::id::{Key, NodeId, Shard};
use holdline_sip::Flow;
use holdline_sip::wire::{Message, Request};
use tokio::sync::Notify;

use crate::actor::DialogRefOf;
use crate::lane::Effect;
use crate::limits::INBOX_MAX;
use crate::step::Input;

/// News for a lane.
#[derive(Debug)]
pub(crate) enum News {
    /// A SIP message that another lane's socket took, or another node sent on (`hopped`).
    Message { message: Message, flow: Flow, hopped: bool },
    /// An application uses a dialog.
    Input { key: Key, input: Input },
    /// Versions that are durable.
    Confirmed(Vec<Confirmation>),
    /// A shard is ours.
    Activated { shard: Shard, lost: Option<NodeId>, items: Vec<Stored> },
    /// A shard is ours no more.
    Retired(Shard),
    /// A host name was looked up.
    Resolved { key: Key, request: Box<Request>, ack: bool, target: Option<SocketAddr> },
    /// The dialog's actor of this life failed.
    Failed { key: Key, life: u64 },
    /// An effect that only the lane's own task can carry out.
    Effect(Effect<DialogRefOf>),
}

/// The queue of one lane.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queue: Mutex<VecDeque<News>>,
    wake: Notify,
}

impl Inbox {
    /// Leaves news. A SIP message above the bound is dropped, as the kernel drops it above its own: false.
    pub(crate) fn push(&self, news: News) -> bool {
        let mut queue = self.lock();
        if queue.len() >= INBOX_MAX && matches!(news, News::Message { .. }) {
            return false;
        }
        let was_empty = queue.is_empty();
        queue.push_back(news);
        drop(queue);
        if was_empty {
            self.wake.notify_one();
        }
        true
    }

    /// Everything that is there; what is left after it wakes anew.
    pub(crate) fn take(&self) -> VecDeque<News> {
        // The wake first, or one for news that come in between would be lost.
        let _ = pin!(self.wake.notified()).enable();
        std::mem::take(&mut *self.lock())
    }

    /// Until there is something.
    pub(crate) async fn notified(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<News>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

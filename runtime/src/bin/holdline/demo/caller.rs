//! The caller of the demonstration: a node without a cluster, in this process, and the ledger of its calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdline::{Call, ClusterKey, Dialog, DialogHandler, DialogId, Ended, Node, Request, Result};
use tokio::sync::watch;

use crate::Failure;

/// A BYE that is not answered by then never will be: 64·T1 of RFC 3261, in which it is sent eleven times.
pub(super) const BYE_LIMIT: Duration = Duration::from_secs(32);

pub(super) struct Caller {
    pub(super) node: Node<Talk>,
    pub(super) ledger: Arc<Ledger>,
}

impl Caller {
    pub(super) async fn start() -> std::result::Result<Self, Failure> {
        let ledger = Arc::new(Ledger::default());
        let node = Node::builder(Talk(Arc::clone(&ledger)))
            .udp(([127, 0, 0, 1], 0).into())
            .lanes(1)
            // A stranger to the cluster: with its key, the cluster would take the caller's tags for its own.
            .cluster_key(ClusterKey::from_bytes(rand::random()))
            .start()
            .await?;
        Ok(Self { node, ledger })
    }

    /// Places a call through the balancer at `entry`.
    pub(super) async fn call(&self, entry: &str) -> std::result::Result<(), Failure> {
        let call = Call::to(format!("sip:answer@{entry}"))
            .sdp("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n");
        self.node.invite(call).await?;
        Ok(())
    }

    /// Sends the BYE of a call, named as the cluster sees it.
    pub(super) async fn hang_up(&self, id: &DialogId) -> std::result::Result<(), Failure> {
        self.node.dialog(&swapped(id))?.bye().await?;
        Ok(())
    }
}

/// A dialog's name on the other side: the tags swapped.
fn swapped(id: &DialogId) -> DialogId {
    DialogId {
        call_id: id.call_id.clone(),
        local_tag: id.remote_tag.clone(),
        remote_tag: id.local_tag.clone(),
    }
}

/// A caller's dialog as its peer in the cluster names it.
pub(super) fn seen_from_the_cluster(id: &DialogId) -> DialogId {
    swapped(id)
}

/// Handles the caller's dialogs: says in the ledger how each goes.
pub(super) struct Talk(Arc<Ledger>);

impl DialogHandler for Talk {
    type Data = ();
    type Msg = ();

    async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, _invite: &Request) -> Result {
        dialog.reject(603)
    }

    async fn on_established(&self, dialog: &mut Dialog<'_, Self>) -> Result {
        self.0.established(dialog.id().clone());
        Ok(())
    }

    async fn on_ended(&self, dialog: &mut Dialog<'_, Self>, why: Ended) -> Result {
        self.0.ended(&dialog.id().call_id, why);
        Ok(())
    }
}

/// What became of each call.
#[derive(Default)]
pub(super) struct Ledger {
    calls: Mutex<HashMap<String, Fate>>,
    progress: watch::Sender<Progress>,
}

/// How many calls got how far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Answered and acknowledged, whether ended since or not.
    pub(super) up: usize,
    pub(super) ended: usize,
}

#[derive(Default)]
struct Fate {
    up: Option<DialogId>,
    ended: Option<Ended>,
}

impl Ledger {
    /// The calls that came up, in a fixed order.
    pub(super) fn up(&self) -> Vec<DialogId> {
        let mut up: Vec<DialogId> = self.lock().values().filter_map(|fate| fate.up.clone()).collect();
        up.sort();
        up
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// How many calls came up and were ended by a BYE, ours or the cluster's, and also pass `check`, which is given the
    /// cluster's name of the dialog.
    pub(super) fn well_ended(&self, check: impl Fn(&DialogId) -> bool) -> usize {
        let by_bye = |fate: &&Fate| matches!(fate.ended, Some(Ended::LocalBye | Ended::RemoteBye));
        let calls = self.lock();
        calls
            .values()
            .filter(by_bye)
            .filter(|fate| fate.up.as_ref().is_some_and(|id| check(&swapped(id))))
            .count()
    }

    fn established(&self, id: DialogId) {
        let call_id = id.call_id.clone();
        let first = self.lock().entry(call_id).or_default().up.replace(id).is_none();
        self.progress.send_modify(|progress| progress.up += usize::from(first));
    }

    fn ended(&self, call_id: &str, why: Ended) {
        let first = self.lock().entry(call_id.to_owned()).or_default().ended.replace(why).is_none();
        self.progress.send_modify(|progress| progress.ended += usize::from(first));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Fate>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

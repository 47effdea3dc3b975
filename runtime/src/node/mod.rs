//! A node: what an application starts, places calls with, and asks about dialogs and members.

mod builder;
mod calls;
mod clock;
pub(crate) mod inbox;
mod lane_host;
mod shared;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use holdline_cluster::id::{Key, NodeId};
use holdline_cluster::service::{Cluster, ClusterStats};
use holdline_cluster::view::{Member, View};
use holdline_protos::v1::{DialogInfo, Relay, call, relay};
use holdline_sip::dialog::DialogId;
use tokio::sync::watch;

pub use self::builder::{NodeBuilder, StartError};
pub(crate) use self::lane_host::LaneHost;

use self::inbox::News;
use self::shared::Shared;
use crate::call::Call;
use crate::dialog_ref::{DialogRef, UseError};
use crate::handler::DialogHandler;
use crate::lane::Counts;
use crate::limits;
use crate::step::{Input, ReplyTo};

/// A running node. Clones are the same node; it stops with [`shutdown`](Self::shutdown).
pub struct Node<H: DialogHandler>(Arc<Inner<H>>);

struct Inner<H: DialogHandler> {
    shared: Arc<Shared<H>>,
    local: SocketAddr,
    contact: String,
    next_lane: AtomicUsize,
    stop: watch::Sender<bool>,
    threads: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

/// Numbers of a node.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Dialogs, transactions and timers here.
    pub lanes: Counts,
    /// Shards, copies and commits here; `None` for a node alone, and when asked for on its only lane's thread, as by a callback.
    pub cluster: Option<ClusterStats>,
    /// Members in this node's view, itself and observers included.
    pub members: usize,
}

/// One line of `name=number`; snapshots are the copies and own versions that the cluster's side holds.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lanes, engine) = (self.lanes, self.cluster.unwrap_or_default().engine);
        write!(
            f,
            "dialogs={} active={} passive={} transactions={} snapshots={} timers={} owned={} members={} unprotected={} \
             taken_over={} recovered={} dropped={}",
            lanes.dialogs,
            lanes.active,
            lanes.dialogs.saturating_sub(lanes.active),
            lanes.transactions,
            engine.items,
            lanes.timers,
            engine.owned,
            self.members,
            engine.unprotected,
            lanes.taken_over,
            lanes.recovered,
            lanes.dropped,
        )
    }
}

impl<H: DialogHandler> Node<H> {
    /// Starts to describe a node whose dialogs `handler` serves.
    pub fn builder(handler: H) -> NodeBuilder<H> {
        NodeBuilder::new(handler)
    }

    /// The node's name in the cluster.
    #[must_use]
    pub fn name(&self) -> &NodeId {
        &self.0.shared.name
    }

    /// The SIP address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local
    }

    /// Places a call. Returns once its INVITE is on the way; the handler's callbacks tell how it goes on.
    ///
    /// The dialog is reachable under its id from now on, on this node; from every node once it is confirmed.
    pub async fn invite(&self, call: Call) -> Result<DialogRef<H>, UseError> {
        let lanes = self.0.shared.lanes();
        let first = self.0.next_lane.fetch_add(1, Ordering::Relaxed);
        for lane in lanes.iter().cycle().skip(first % lanes.len()).take(lanes.len()) {
            let placed = lane.run(|lane, now| {
                let shard = lane.pick_shard()?;
                let key = lane.new_key(shard);
                let tag = self.0.shared.tags.tag(key);
                let call_id = lane.nonce();
                let branch = self.0.shared.tags.branch_prefix(key.placement) + &lane.nonce();
                let call = call.clone().into_core(&self.0.contact, call_id, tag, branch);
                Some((key, lane.handle_call(now, call, key)))
            });
            if let Some((key, id)) = placed {
                let id = id.map_err(|error| UseError::Refused(error.to_string()))?;
                return Ok(DialogRef::new(self.clone(), id, key));
            }
        }
        Err(UseError::NoShard)
    }

    /// A dialog by its id, wherever in the cluster it lives. Fails at once only if the id's local tag is none of ours.
    pub fn dialog(&self, id: &DialogId) -> Result<DialogRef<H>, UseError> {
        let key =
            self.0.shared.tags.parse(&id.local_tag).ok_or_else(|| UseError::NotOurs(id.local_tag.clone()))?;
        Ok(DialogRef::new(self.clone(), id.clone(), key))
    }

    /// The members of the cluster as this node sees them; none when it is alone.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.view().map(|view| view.members().cloned().collect()).unwrap_or_default()
    }

    /// True at once when alone, in a cluster when its view has formed; shards follow within milliseconds.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.shared.cluster.get().is_none_or(|cluster| cluster.view().formed())
    }

    /// Waits until [`is_ready`](Self::is_ready).
    pub async fn ready(&self) {
        let mut changes = self.0.shared.changes.subscribe();
        // The sender lives as long as this node, so the wait cannot fail.
        while !self.is_ready() && changes.changed().await.is_ok() {}
    }

    /// Numbers of now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut lanes = Counts::default();
        for lane in self.0.shared.lanes() {
            lanes += lane.counts();
        }
        Stats {
            lanes,
            cluster: self.0.shared.cluster.get().and_then(Cluster::stats),
            members: self.view().map_or(1, |view| view.members().count()),
        }
    }

    /// Waits until the node cannot go on, and says why in one line: its name is taken, for example.
    pub async fn fatal(&self) -> String {
        let mut fatal = self.0.shared.fatal.subscribe();
        match fatal.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Leaves the cluster and stops. Its dialogs go on at the nodes that hold their copies.
    pub async fn shutdown(&self) {
        if let Some(cluster) = self.0.shared.cluster.get().cloned() {
            let _ = tokio::task::spawn_blocking(move || cluster.shutdown()).await;
        }
        self.0.stop.send_replace(true);
        let threads =
            std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(JoinHandle::join));
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a lane panicked");
        }
    }

    /// Uses a dialog wherever it lives, and waits for the step to be made.
    pub(crate) async fn use_dialog(&self, key: Key, command: call::Command) -> Result<DialogInfo, UseError> {
        tokio::time::timeout(limits::CALL_TIMEOUT, self.use_dialog_at_owner(key, command))
            .await
            .map_err(|_| UseError::Timeout)?
    }

    async fn use_dialog_at_owner(&self, key: Key, command: call::Command) -> Result<DialogInfo, UseError> {
        let shared = &self.0.shared;
        let mut call = shared.calls.register().ok_or(UseError::Busy)?;
        let mut changes = shared.changes.subscribe();
        loop {
            let Some(cluster) = shared.cluster.get() else { break self.use_here(key, command, call.id) };
            if cluster.owns(key.shard()) {
                break self.use_here(key, command, call.id);
            }
            let owner = cluster.owner(key.shard()).filter(|owner| owner != self.name());
            if let Some(owner) = owner {
                let relayed = holdline_protos::v1::Call {
                    id: call.id,
                    placement: key.placement.into(),
                    dialog: key.id,
                    command: Some(command),
                };
                shared.relay(&owner, &Relay { body: Some(relay::Body::Call(relayed)) });
                break;
            }
            // The owner died and its heir has not said so yet.
            let _ = changes.changed().await;
        }
        let reply = (&mut call.reply).await.map_err(|_| UseError::Timeout)?;
        reply.map_err(UseError::Refused)
    }

    fn use_here(&self, key: Key, command: call::Command, id: u64) {
        let reply = ReplyTo::Here(id);
        let input = match command {
            call::Command::Info(_) => Input::Info(reply),
            call::Command::Bye(_) => Input::Bye(reply),
            call::Command::Message(message) => Input::Message { message, reply },
        };
        self.0.shared.lane_of(key.shard()).inbox().push(News::Input { key, input });
    }

    fn view(&self) -> Option<Arc<View>> {
        self.0.shared.cluster.get().map(Cluster::view)
    }
}

impl<H: DialogHandler> Clone for Node<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

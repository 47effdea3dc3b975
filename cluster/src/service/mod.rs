//! The cluster service: membership, links and engine behind one handle, on a thread of their own.
//!
//! [`Cluster::start`] binds the sockets and returns; joining goes on in the background and is told to the [`Host`].

mod commits;
mod config;
mod driver;
mod error;
mod host;
mod refusals;
mod shared;
mod start;

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

pub use self::commits::Overloaded;
pub use self::config::ClusterConfig;
use self::driver::Input;
pub use self::error::{RelayError, StartError};
pub use self::host::Host;
use self::shared::Shared;
use crate::engine::{self, Commit};
use crate::gossip;
use crate::id::{NodeId, Shard};
use crate::link::{Directory, SendError};
use crate::view::{Member, View};

/// How long [`Cluster::stats`] waits for the cluster thread.
const STATS_MAX: Duration = Duration::from_secs(1);

/// A member of a cluster; clones are handles to the same one. When the last is dropped, the member leaves.
#[derive(Clone)]
pub struct Cluster(Arc<Handle>);

struct Handle {
    me: Member,
    shared: Arc<Shared>,
    inputs: UnboundedSender<Input>,
    links: Option<Directory>,
    runtime: tokio::runtime::Handle,
    /// The cluster thread.
    home: ThreadId,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Counts and gauges of a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterStats {
    /// The engine's; all zero for an observer.
    pub engine: engine::Stats,
    /// Gossip's and membership's.
    pub gossip: gossip::Stats,
    /// Links that are up.
    pub links: usize,
    /// Frames of peers that were no frames.
    pub undecodable: u64,
    /// Frames that no link took; digests repair what they said.
    pub unsent: u64,
    /// Times the cluster thread woke up.
    pub wakes: u64,
}

impl Cluster {
    /// Starts a member: binds its sockets, then joins in the background.
    ///
    /// A process can run one node only (ractor's registries are process-wide), and any number of observers.
    pub fn start(config: ClusterConfig, host: Arc<dyn Host>) -> Result<Self, StartError> {
        start::start(config, host)
    }

    /// Ourselves, as the others see us.
    pub fn me(&self) -> &Member {
        &self.0.me
    }

    /// Commits one change, with the next [`flush`](Self::flush); the host hears of it when it is as durable as asked. Any
    /// thread, never blocks for long.
    pub fn commit(&self, commit: Commit) -> Result<(), Overloaded> {
        self.0.shared.commits.push(commit)
    }

    /// Sends the commits made so far on their way: call it when a turn of work is over, so that what the turn committed shares a
    /// frame. A full batch goes by itself.
    pub fn flush(&self) {
        self.0.shared.commits.flush();
    }

    /// Hands a payload to a peer, in order, at most once; it comes out of its [`Host::relayed`].
    pub fn relay(&self, to: &NodeId, payload: Bytes) -> Result<(), RelayError> {
        let links = self.0.links.as_ref().ok_or(RelayError::NoLink)?;
        let link = links.read().unwrap_or_else(PoisonError::into_inner).get(to).cloned();
        link.ok_or(RelayError::NoLink)?.send_payload(payload).map_err(|error| match error {
            SendError::Down => RelayError::NoLink,
            SendError::Full => RelayError::Full,
            SendError::TooLarge => RelayError::TooLarge,
        })
    }

    /// The members as seen now.
    pub fn view(&self) -> Arc<View> {
        self.0.shared.view()
    }

    /// Whether `shard` is ours to serve: one atomic load.
    pub fn owns(&self, shard: Shard) -> bool {
        self.0.shared.owns(shard)
    }

    /// Who owns `shard`, by the epoch last seen; `None` while that very process is not alive.
    pub fn owner(&self, shard: Shard) -> Option<NodeId> {
        self.0.shared.owner(shard)
    }

    /// The runtime of the cluster thread, for tasks of the host that have much to do with it: what they commit, and what
    /// is confirmed to them, wakes no thread. They must not block, and end when the member stops.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.0.runtime
    }

    /// Counts and gauges; asks the cluster thread, so not for hot paths. `None` when the member has stopped, and on the
    /// cluster thread itself, where callbacks of the [`Host`] and tasks on its [`runtime`](Self::runtime) run.
    pub fn stats(&self) -> Option<ClusterStats> {
        if std::thread::current().id() == self.0.home {
            return None;
        }
        let (reply, answer) = mpsc::sync_channel(1);
        self.0.inputs.send(Input::Stats(reply)).ok()?;
        answer.recv_timeout(STATS_MAX).ok()
    }

    /// What keeps us from working with others (a wrong key, a taken name, another version), one line per cause.
    pub fn refusals(&self) -> Vec<String> {
        self.0.shared.refusals.lines()
    }

    /// Waits until the cluster has formed, that is until shards may be claimed; `false` if the member stopped instead.
    pub async fn wait_formed(&self) -> bool {
        self.0.shared.wait_formed().await
    }

    /// The same for a thread; `false` also when `limit` has passed.
    pub fn wait_formed_blocking(&self, limit: Duration) -> bool {
        self.0.shared.wait_formed_blocking(limit)
    }

    /// Leaves the cluster and waits until all is closed, some 50 ms. Shards are not handed over: to the others this is
    /// a death they need not detect.
    pub fn shutdown(&self) {
        // An error means it has ended already.
        let _ = self.0.inputs.send(Input::Shutdown);
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|_| std::thread::current().id() != self.0.home) {
            // A panic of the cluster thread has been printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.inputs.send(Input::Shutdown);
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("me", &self.0.me).field("view", &self.view()).finish_non_exhaustive()
    }
}

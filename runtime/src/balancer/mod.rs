//! The balancer: a stateless SIP proxy that watches the cluster by gossip and sends every request to its dialog's owner.
//!
//! It keeps nothing per call, so it can be restarted, and several can stand side by side, without a word between them.
//! A request in a dialog of the cluster carries our tag in To, the tag names the shard, and the view names the shard's
//! owner; any other request goes by its Call-ID. When a node dies its shards' requests go to the nodes that inherit them
//! (which are those that hold the copies) as soon as the view says so, or the first request is refused.
//!
//! [`Proxy`] is the pure core; [`Balancer`] drives it with sockets and gossip.

mod branch;
mod counters;
mod effect;
mod lane;
mod node_port;
mod proxy;
mod raw;
mod reply;
mod request;
mod response;
mod route_set;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use bytes::Bytes;
use holdline_cluster::engine::{Confirmation, Stored};
use holdline_cluster::id::{Epoch, NodeId, Shard};
use holdline_cluster::service::{Cluster, ClusterConfig, Host, StartError as ClusterError};
use holdline_cluster::view::{Role, View};
use holdline_sip::transport::UdpTransport;
use tokio::sync::watch;

use crate::config::BalancerConfig;
use crate::routing::TagKey;
use counters::Counters;
pub use counters::Stats;
pub use effect::{Dropped, Effect};
pub use proxy::Proxy;
pub use routes::Routes;

/// A running balancer; dropping it stops it.
///
/// ```no_run
/// use holdline::balancer::Balancer;
/// use holdline::config::{BalancerConfig, Sources};
///
/// let sources = Sources::new().flag("name", "lb").flag("cluster", "127.0.0.1:7000").flag("seeds", "127.0.0.1:7001");
/// let balancer = Balancer::start(&BalancerConfig::load(&sources)?)?;
/// println!("{} serves {} nodes", balancer.local_addr(), balancer.view().up_nodes().count());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Balancer {
    cluster: Cluster,
    shared: Arc<Shared>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
    local_addr: SocketAddr,
}

/// What all lanes and the cluster's thread share.
struct Shared {
    routes: ArcSwap<Routes>,
    counters: Counters,
    /// The one line that says why the balancer cannot go on.
    fatal: watch::Sender<Option<String>>,
}

impl Shared {
    fn new() -> Self {
        Self {
            routes: ArcSwap::from_pointee(Routes::none()),
            counters: Counters::default(),
            fatal: watch::Sender::new(None),
        }
    }
}

/// Why a balancer did not start; nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The SIP address could not be taken.
    #[error("cannot bind SIP over UDP to {addr}: {error}")]
    Bind {
        /// The address wanted.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A lane's thread or runtime could not be made.
    #[error("cannot start a lane: {0}")]
    Thread(io::Error),
    /// The cluster could not be joined.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl Balancer {
    /// Binds the sockets and begins to join; until the first node is seen, requests are answered 503.
    pub fn start(config: &BalancerConfig) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new());
        let tags = TagKey::of_cluster(config.key.as_ref());
        let me = config.advertise.unwrap_or(config.sip);
        let lanes_wanted =
            config.lanes.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        // The lanes share the port, and would as readily share it with another process that was started by mistake.
        let probe = std::net::UdpSocket::bind(config.sip);
        drop(probe.map_err(|error| StartError::Bind { addr: config.sip, error })?);
        let (stop, stopped) = watch::channel(false);
        let mut lanes = Vec::with_capacity(lanes_wanted);
        for index in 0..lanes_wanted {
            let proxy = Proxy::new(me, config.sip, tags.clone());
            lanes.push(start_lane(index, config.sip, proxy, Arc::clone(&shared), stopped.clone())?);
        }
        let cluster = Cluster::start(cluster_config(config, me), Arc::clone(&shared) as Arc<dyn Host>)?;
        Ok(Self { cluster, shared, lanes: Mutex::new(lanes), stop, local_addr: config.sip })
    }

    /// The address it listens for SIP at.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The cluster as the balancer sees it.
    pub fn view(&self) -> Arc<View> {
        self.cluster.view()
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    /// Waits until the balancer cannot go on, because its name is taken for example, and says why.
    pub async fn failed(&self) -> String {
        match self.shared.fatal.subscribe().wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender lives as long as `self`.
            Err(_) => std::future::pending().await,
        }
    }

    /// Leaves the cluster and closes the sockets; blocks for some 50 ms.
    pub fn shutdown(&self) {
        self.cluster.shutdown();
        self.stop.send_replace(true);
        for lane in self.lanes.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if lane.join().is_err() {
                tracing::error!("a lane of the balancer panicked");
            }
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Starts one lane's thread and waits until its socket is bound.
fn start_lane(
    index: usize,
    addr: SocketAddr,
    proxy: Proxy,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let (bound, binding) = mpsc::channel();
    let run = move || {
        runtime.block_on(async move {
            // Bound here: a socket belongs to the runtime it was made in.
            let result =
                UdpTransport::bind(addr, true).map(|public| lane::Lane::start(public, proxy, shared));
            let is_bound = result.is_ok();
            if bound.send(result).is_err() || !is_bound {
                return;
            }
            // A sender that is gone stops the lane too.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
    };
    let thread = std::thread::Builder::new()
        .name(format!("balancer-{index}"))
        .spawn(run)
        .map_err(StartError::Thread)?;
    match binding.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(StartError::Bind { addr, error }),
        Err(_) => Err(StartError::Thread(io::Error::other("the lane's thread ended before it was bound"))),
    }
}

fn cluster_config(config: &BalancerConfig, me: SocketAddr) -> ClusterConfig {
    let section = &config.cluster;
    ClusterConfig {
        advertise: section.advertise,
        seeds: section.seeds.clone(),
        key: config.key.clone(),
        role: Role::Observer,
        zone: section.zone.clone(),
        link_evidence: section.link_evidence,
        ..ClusterConfig::new(config.name.clone(), section.bind, me)
    }
}

/// An observer owns nothing: of all the cluster says, only the view matters to it.
impl Host for Shared {
    fn activated(&self, _: Shard, _: &Epoch, _: Option<&NodeId>, _: Vec<Stored>) {}

    fn retired(&self, _: Shard) {}

    fn confirmed(&self, _: &[Confirmation]) {}

    fn view_changed(&self, view: &Arc<View>) {
        let routes = Routes::of(view);
        tracing::info!(nodes = routes.nodes(), "the view changed");
        self.routes.store(Arc::new(routes));
    }

    fn relayed(&self, _: &NodeId, _: Bytes) {}

    fn fatal(&self, reason: &str) {
        self.fatal.send_replace(Some(reason.to_owned()));
    }
}

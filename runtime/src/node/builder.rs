//! How a node is described and started.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use holdline_cluster::engine::Durability;
use holdline_cluster::id::NodeId;
use holdline_cluster::key::{ClusterKey, KeyError};
use holdline_cluster::service::{self, Cluster, ClusterConfig};
use holdline_sip::dialog;
use holdline_sip::transport::UdpTransport;
use rand::Rng;
use tokio::sync::watch;

use super::calls::Calls;
use super::clock::Clock;
use super::lane_host::{LaneHost, Peers};
use super::shared::{Bridge, Clustered, Shared};
use super::{Inner, Node};
use crate::handler::DialogHandler;
use crate::lane::{self, Alone, Lane, Ownership};
use crate::limits;
use crate::routing::TagKey;

/// Most lanes of a node: more than cores that anybody has.
const LANES_MAX: usize = 256;

/// Describes a node. Only [`udp`](Self::udp) is needed; without [`join`](Self::join) the node is alone.
///
/// ```no_run
/// # use holdline::{Dialog, DialogHandler, Request, Result};
/// # struct Answer;
/// # impl DialogHandler for Answer {
/// #     type Data = ();
/// #     type Msg = ();
/// #     async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, _: &Request) -> Result { dialog.answer(None) }
/// # }
/// # async fn start() -> std::result::Result<(), holdline::StartError> {
/// let node = holdline::Node::builder(Answer)
///     .udp("10.0.0.1:5060".parse().unwrap())
///     .join("node-1", "10.0.0.1:7946".parse().unwrap(), ["10.0.0.2:7946", "peers.svc:7946"])
///     .cluster_key_file("/etc/holdline/cluster.key")
///     .start()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct NodeBuilder<H: DialogHandler> {
    handler: H,
    udp: Option<SocketAddr>,
    advertise: Option<String>,
    join: Option<(String, SocketAddr, Vec<String>)>,
    key: Option<Result<ClusterKey, KeyError>>,
    cluster: Box<dyn FnOnce(&mut ClusterConfig) + Send>,
    durability: Durability,
    replicate_data: bool,
    passivate_after: Duration,
    gap: Duration,
    lanes: Option<usize>,
    user_agent: String,
}

impl<H: DialogHandler> NodeBuilder<H> {
    pub(super) fn new(handler: H) -> Self {
        Self {
            handler,
            udp: None,
            advertise: None,
            join: None,
            key: None,
            cluster: Box::new(|_| {}),
            durability: Durability::Acked,
            replicate_data: true,
            passivate_after: Duration::from_secs(2),
            gap: limits::GAP,
            lanes: None,
            user_agent: concat!("Holdline/", env!("CARGO_PKG_VERSION")).into(),
        }
    }

    /// Listens for SIP over UDP here; port 0 picks a free one.
    pub fn udp(mut self, address: SocketAddr) -> Self {
        self.udp = Some(address);
        self
    }

    /// The `host:port` that peers reach the cluster's dialogs at: the balancer's. Goes into Contact; the node's own address
    /// stays in Via.
    pub fn advertise(mut self, host_port: impl Into<String>) -> Self {
        self.advertise = Some(host_port.into());
        self
    }

    /// Joins a cluster as `name`, with gossip and links at `address`. Seeds are `host:port` of some members, looked up again
    /// for as long as they are needed; the node's own may be among them.
    pub fn join<S: Into<String>>(
        mut self,
        name: impl Into<String>,
        address: SocketAddr,
        seeds: impl IntoIterator<Item = S>,
    ) -> Self {
        self.join = Some((name.into(), address, seeds.into_iter().map(Into::into).collect()));
        self
    }

    /// The cluster's secret. Without one, every address must be loopback.
    pub fn cluster_key(mut self, key: ClusterKey) -> Self {
        self.key = Some(Ok(key));
        self
    }

    /// The cluster's secret from a file: 32 bytes, or their hexadecimal or base64 text.
    pub fn cluster_key_file(mut self, path: impl AsRef<Path>) -> Self {
        self.key = Some(ClusterKey::from_file(path.as_ref()));
        self
    }

    /// When what a step says may leave; [`Durability::Acked`] unless told otherwise.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Copies of each dialog beside the owner's, 1 unless told otherwise.
    pub fn replicas(self, replicas: usize) -> Self {
        self.cluster_config(move |config| config.replicas = replicas)
    }

    /// Anything else of the cluster's configuration, applied last.
    pub fn cluster_config(mut self, set: impl FnOnce(&mut ClusterConfig) + Send + 'static) -> Self {
        let before = self.cluster;
        self.cluster = Box::new(move |config| {
            before(config);
            set(config);
        });
        self
    }

    /// Whether [`DialogHandler::Data`] travels with its dialog; true unless told otherwise. Switched off, a survivor starts
    /// with default data.
    pub fn replicate_data(mut self, replicate: bool) -> Self {
        self.replicate_data = replicate;
        self
    }

    /// An established dialog without a step for this long is kept as bytes until it is needed; 2 s unless told otherwise.
    pub fn passivate_after(mut self, idle: Duration) -> Self {
        self.passivate_after = idle;
        self
    }

    /// Time between two looks at a SIP socket that is busy (one that twice had something within it); 6 ms unless told
    /// otherwise. Longer gaps cost less CPU, since more messages share a wake-up and a frame to the replicas; a message waits half
    /// of it on average. Zero looks as soon as a datagram comes; 100 ms are the most.
    pub fn gap(mut self, gap: Duration) -> Self {
        self.gap = gap.min(limits::GAP_MAX);
        self
    }

    /// Single-threaded runtimes that share the dialogs; one less than there are cores unless told otherwise, and at least one.
    /// An only one shares the thread of the cluster's work, which a callback that blocks then holds up too.
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.lanes = Some(lanes);
        self
    }

    /// User-Agent and Server.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// Starts the node: its sockets are bound when this returns; it joins in the background ([`Node::ready`]).
    pub async fn start(self) -> Result<Node<H>, StartError> {
        let address = self.udp.ok_or(StartError::NoAddress)?;
        let lanes = match self.lanes {
            Some(lanes) if lanes == 0 || lanes > LANES_MAX => return Err(StartError::Lanes(lanes)),
            Some(lanes) => lanes,
            // One core is left to the cluster's threads and the kernel. A message that comes in on another lane's socket costs a wake.
            None => {
                std::thread::available_parallelism().map_or(1, |cores| cores.get() - 1).clamp(1, LANES_MAX)
            }
        };
        let key = self.key.transpose()?;
        // A node alone takes nobody's tags for its own.
        let tags = match self.join {
            Some(_) => TagKey::of_cluster(key.as_ref()),
            None => TagKey::new(&rand::random()),
        };
        let sockets = bind(address, lanes)?;
        let local = sockets[0].local_addr();
        let contact = format!("sip:{}", self.advertise.unwrap_or_else(|| local.to_string()));
        let name = self.join.as_ref().map_or("alone", |(name, ..)| name.as_str());
        let name: NodeId = name.parse().map_err(StartError::Name)?;

        let cluster = Arc::new(OnceLock::new());
        let shared = Arc::new(Shared {
            handler: self.handler,
            name: name.clone(),
            clock: Clock::new(),
            tags: tags.clone(),
            replicate_data: self.replicate_data,
            gap: self.gap,
            calls: Calls::default(),
            peers: Peers::default(),
            lanes: OnceLock::new(),
            cluster: cluster.clone(),
            changes: watch::Sender::new(0),
            fatal: watch::Sender::new(None),
        });
        let ownership: Arc<dyn Ownership> = match self.join {
            Some(_) => Arc::new(Clustered(cluster.clone())),
            None => Arc::new(Alone),
        };
        let dialog = Arc::new(dialog::Config {
            contact: contact.clone(),
            via: local.to_string(),
            user_agent: self.user_agent,
            ..Default::default()
        });
        let hosts = sockets.into_iter().enumerate().map(|(index, socket)| {
            let config = lane::Config {
                dialog: dialog.clone(),
                tags: tags.clone(),
                durability: self.join.as_ref().map(|_| self.durability),
                passivate_after: self.passivate_after,
                lanes: lanes as u16,
                lane: index as u16,
            };
            let mut seed = [0; 32];
            rand::rng().fill_bytes(&mut seed);
            Arc::new(LaneHost::new(Lane::new(config, ownership.clone(), seed), socket, shared.clone()))
        });
        let _ = shared.lanes.set(hosts.collect());

        if let Some((_, bind, seeds)) = self.join {
            let mut config = ClusterConfig::new(name, bind, local);
            config.seeds = seeds;
            config.key = key;
            (self.cluster)(&mut config);
            let started = Cluster::start(config, Arc::new(Bridge(shared.clone())))?;
            let _ = cluster.set(started);
        }
        let (stop, stopped) = watch::channel(false);
        let threads = start_lanes(&shared, &stopped)?;
        Ok(Node(Arc::new(Inner {
            local,
            contact,
            next_lane: AtomicUsize::new(0),
            stop,
            threads: std::sync::Mutex::new(threads),
            shared,
        })))
    }
}

/// One socket per lane, all on the same port: the kernel spreads flows over them.
fn bind(mut address: SocketAddr, lanes: usize) -> Result<Vec<UdpTransport>, StartError> {
    // Sockets that share a port would share it with another process too: the port must be free.
    drop(std::net::UdpSocket::bind(address).map_err(|error| StartError::Bind { address, error })?);
    let mut bound = Vec::with_capacity(lanes);
    for _ in 0..lanes {
        let socket =
            UdpTransport::bind(address, lanes > 1).map_err(|error| StartError::Bind { address, error })?;
        // With port 0 the first socket picks the port for all.
        address = socket.local_addr();
        bound.push(socket);
    }
    Ok(bound)
}

/// Starts the lanes, each on a thread of its own. But where there is one only, it runs on the cluster's thread, which it has
/// more to do with than with anybody: waking each other for every batch costs a tenth of a replicated call.
fn start_lanes<H: DialogHandler>(
    shared: &Shared<H>,
    stopped: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    match (shared.cluster.get(), shared.lanes()) {
        (Some(cluster), [only]) => {
            cluster.runtime().spawn(run_lane(only.clone(), stopped.clone()));
            Ok(Vec::new())
        }
        (_, lanes) => {
            lanes.iter().enumerate().map(|(index, host)| lane_thread(index, host, stopped)).collect()
        }
    }
}

fn lane_thread<H: DialogHandler>(
    index: usize,
    host: &Arc<LaneHost<H>>,
    stopped: &watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let idle = host.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Nothing is left to do: what has been committed is all that this turn commits.
        .on_thread_park(move || idle.flush())
        .build()
        .map_err(StartError::Thread)?;
    let lane = run_lane(host.clone(), stopped.clone());
    let thread = std::thread::Builder::new().name(format!("lane-{index}"));
    thread.spawn(move || runtime.block_on(lane)).map_err(StartError::Thread)
}

async fn run_lane<H: DialogHandler>(host: Arc<LaneHost<H>>, stopped: watch::Receiver<bool>) {
    let fatal = host.clone();
    // As a task of its own: its panic is heard, and the root future of `block_on` would write the wake-up pipe at each turn.
    if tokio::spawn(host.serve(stopped)).await.is_err_and(|error| error.is_panic()) {
        // Nobody serves its shards any more, so this node must not own them.
        fatal.give_up("a lane panicked");
    }
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No address was given.
    #[error("a node needs a SIP address: call udp(address)")]
    NoAddress,
    /// The SIP address is taken, or not this machine's.
    #[error("cannot listen for SIP on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The node's name cannot be one.
    #[error(transparent)]
    Name(holdline_cluster::id::NodeNameError),
    /// The cluster key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The number of lanes is out of range.
    #[error("lanes = {0}: 1 to {LANES_MAX} are possible")]
    Lanes(usize),
    /// The cluster's side could not start.
    #[error(transparent)]
    Cluster(#[from] service::StartError),
    /// The system gave no thread.
    #[error("cannot start a lane: {0}")]
    Thread(std::io::Error),
}

//! Starting a member: checks, sockets, certificates, threads, in the order in which they can fail.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::driver::{Counts, Driver, Input, Node};
use super::shared::{Shared, Stage};
use super::{Cluster, ClusterConfig, Handle, Host, StartError};
use crate::engine::{self, Engine};
use crate::gossip::{self, Clock, Gossip, Trouble};
use crate::link::{Directory, HEARTBEAT, LinkTls, Links, ProcessName};
use crate::membership::{self, Refusal, ZONE_MAX};
use crate::view::{Member, Phase, Role, View};

/// A blocking call of a task, a name's look-up for one, keeps a runtime that ends for so long at most.
const BLOCKED_MAX: Duration = Duration::from_millis(100);
/// Ports tried when a free one is wanted for both UDP and TCP.
const PORTS_TRIED: usize = 16;

pub(super) fn start(config: ClusterConfig, host: Arc<dyn Host>) -> Result<Cluster, StartError> {
    if config.zone.len() > ZONE_MAX {
        return Err(StartError::Config(format!("zone {:?} is longer than {ZONE_MAX} bytes", config.zone)));
    }
    if config.timings.probe <= config.timings.rtt || config.timings.rtt.is_zero() {
        return Err(StartError::Config(
            "the probe period must be longer than the round trip, and that not zero".into(),
        ));
    }
    let key = config.effective_key()?;
    let turn = (config.role == Role::Node).then(OnlyNode::claim).transpose()?;
    let (udp, tcp) = bind(config.bind, config.role)?;
    let bound =
        udp.local_addr().map_err(|error| StartError::Bind { proto: "udp", addr: config.bind, error })?;
    let clock = Clock::start();
    let me = Member {
        id: config.name.clone(),
        boot: u64::try_from(clock.now().as_millis()).unwrap_or(u64::MAX),
        role: config.role,
        phase: Phase::Up,
        cluster: config.advertised(bound)?,
        service: config.service,
        zone: config.zone.clone(),
    };
    let process = ProcessName { id: me.id.clone(), boot: me.boot };
    let tls = match tcp {
        Some(_) => Some(LinkTls::new(&key, &process).map_err(|error| StartError::Tls(error.to_string()))?),
        None => None,
    };
    tracing::info!(
        name = %me.id, boot = me.boot, cluster = %me.cluster, key = %key.fingerprint(),
        "joining{}", if config.key.is_none() { " with the development key" } else { "" }
    );

    let shared = Arc::new(Shared::new(View::new(me.id.clone(), [me.clone()], false)));
    let (inputs, received) = unbounded_channel();
    let listener = ToService { inputs: inputs.clone(), shared: Arc::clone(&shared) };
    let membership = membership::Config {
        me: me.clone(),
        seeded: !config.seeds.is_empty(),
        timings: config.timings,
        settle: config.settle,
        bootstrap_after: config.bootstrap_after,
        rng_seed: rand::random(),
    };
    let gossip_config = gossip::Config { membership, seeds: config.seeds.clone(), key, clock };
    let parts = Parts { config, process, clock, shared: Arc::clone(&shared), host, received, tcp, tls, turn };
    // Links before gossip: a peer that knows us connects at once.
    let (ready, answer) = mpsc::channel();
    let (go, gossip) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("holdline-cluster".into())
        .spawn(move || parts.run(&ready, &gossip))
        .map_err(StartError::Thread)?;
    let (runtime, links) =
        answer.recv().unwrap_or_else(|_| Err(StartError::Thread(std::io::Error::other("it ended"))))?;
    let gossip = Gossip::start(udp, gossip_config, listener).map_err(StartError::Thread)?;
    // The thread waits for nothing else.
    let _ = go.send(gossip);
    let home = thread.thread().id();
    let thread = Mutex::new(Some(thread));
    Ok(Cluster(Arc::new(Handle { me, shared, inputs, links, runtime, home, thread })))
}

/// What the cluster thread says when it is there.
type Ready = Result<(tokio::runtime::Handle, Option<Directory>), StartError>;

/// What the cluster thread starts with.
struct Parts {
    config: ClusterConfig,
    process: ProcessName,
    clock: Clock,
    shared: Arc<Shared>,
    host: Arc<dyn Host>,
    received: UnboundedReceiver<Input>,
    tcp: Option<TcpListener>,
    tls: Option<LinkTls>,
    turn: Option<OnlyNode>,
}

impl Parts {
    fn run(mut self, ready: &mpsc::Sender<Ready>, gossip: &mpsc::Receiver<Gossip>) {
        let turn = self.turn.take();
        let shared = Arc::clone(&self.shared);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // What the host's tasks here have committed is all that their turn commits.
            .on_thread_park(move || shared.commits.flush())
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            // Whoever started us has gone if this is not heard.
            Err(error) => return drop(ready.send(Err(StartError::Thread(error)))),
        };
        runtime.block_on(async {
            let node = match self.node().await {
                Ok(node) => node,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let links = node.as_ref().map(|node| Arc::clone(node.links.directory()));
            let _ = ready.send(Ok((tokio::runtime::Handle::current(), links)));
            let Ok(gossip) = gossip.recv() else { return };
            let Self { clock, shared, host, received: inputs, .. } = self;
            let (left, told) = (Arc::clone(&shared), Arc::clone(&host));
            let driver = Driver { clock, shared, host, gossip, node, inputs, counts: Counts::default() };
            // A task, not this future itself: to wake that, tokio writes to its eventfd even from its own thread.
            if tokio::spawn(driver.run()).await.is_err() {
                // Its links are gone and its shards are others' now: it must not serve on.
                left.set_stage(Stage::Stopped);
                left.disown_all().into_iter().for_each(|shard| told.retired(shard));
                told.fatal("the cluster thread panicked");
            }
        });
        // ractor's actors live in the runtime: only when it is gone may another node start.
        runtime.shutdown_timeout(BLOCKED_MAX);
        drop(turn);
    }

    async fn node(&mut self) -> Result<Option<Node>, StartError> {
        let (Some(tcp), Some(tls)) = (self.tcp.take(), self.tls.take()) else { return Ok(None) };
        let tcp = tokio::net::TcpListener::from_std(tcp).map_err(StartError::Thread)?;
        let (sender, events) = unbounded_channel();
        let links = Links::start(self.process.clone(), tls, tcp, self.config.link_evidence, sender)
            .await
            .map_err(|error| StartError::Thread(std::io::Error::other(error.to_string())))?;
        let mut engine = engine::Config::new(self.process.id.clone(), self.process.boot);
        engine.replicas = self.config.replicas;
        engine.flush = self.config.flush;
        Ok(Some(Node {
            engine: Engine::new(engine),
            links,
            events,
            flush: self.config.flush,
            gather_at: None,
            gathered: Instant::now(),
            beat_at: Instant::now() + HEARTBEAT,
            buffer: Vec::new(),
        }))
    }
}

/// UDP for gossip and, for a node, TCP for links, on one port.
fn bind(addr: SocketAddr, role: Role) -> Result<(UdpSocket, Option<TcpListener>), StartError> {
    let tries = if addr.port() == 0 { PORTS_TRIED } else { 1 };
    let mut result = Err(StartError::Config("no port tried".into()));
    for _ in 0..tries {
        result = bind_once(addr, role);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn bind_once(addr: SocketAddr, role: Role) -> Result<(UdpSocket, Option<TcpListener>), StartError> {
    let udp_error = |error| StartError::Bind { proto: "udp", addr, error };
    let udp = UdpSocket::bind(addr).map_err(udp_error)?;
    if role == Role::Observer {
        return Ok((udp, None));
    }
    let addr = udp.local_addr().map_err(udp_error)?;
    let tcp_error = |error| StartError::Bind { proto: "tcp", addr, error };
    let tcp = TcpListener::bind(addr).map_err(tcp_error)?;
    tcp.set_nonblocking(true).map_err(tcp_error)?;
    Ok((udp, Some(tcp)))
}

/// Holds the process's only turn at being a node.
struct OnlyNode;

static NODE_RUNS: AtomicBool = AtomicBool::new(false);

impl OnlyNode {
    fn claim() -> Result<Self, StartError> {
        match NODE_RUNS.swap(true, Ordering::AcqRel) {
            true => Err(StartError::SecondNode),
            false => Ok(Self),
        }
    }
}

impl Drop for OnlyNode {
    fn drop(&mut self) {
        NODE_RUNS.store(false, Ordering::Release);
    }
}

/// Gossip's way to the service.
struct ToService {
    inputs: UnboundedSender<Input>,
    shared: Arc<Shared>,
}

impl gossip::Listener for ToService {
    // Errors mean that the cluster thread has ended, and soon gossip will.
    fn view(&mut self, view: Arc<View>) {
        let _ = self.inputs.send(Input::View(view));
    }

    fn rejoined(&mut self) {
        let _ = self.inputs.send(Input::Rejoined);
    }

    fn refused(&mut self, refusal: Refusal) {
        let _ = self.inputs.send(Input::Refused(refusal));
    }

    // Straight into the table, which thins out floods: anybody can cause these.
    fn trouble(&mut self, trouble: Trouble) {
        self.shared.refusals.report(trouble.to_string());
    }
}

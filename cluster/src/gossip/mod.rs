//! The gossip driver: one OS thread, one UDP socket, sealed datagrams, around the membership core.
//!
//! The loop reads all datagrams that are there, then fires timers, then sends: after a stall, the answers that wait in
//! the socket count before anybody is suspected.

mod clock;
mod driver;
mod seal;
mod seeds;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub(crate) use self::clock::Clock;
use self::driver::Driver;
use self::seal::Sealer;
use self::seeds::Resolver;
use crate::Timestamp;
use crate::id::NodeId;
use crate::key::ClusterKey;
use crate::membership::{self, Membership, Refusal};
use crate::view::View;

const _: () =
    assert!(membership::PAYLOAD_MAX + seal::OVERHEAD <= 1_232, "fits 1,280 bytes with IPv6 and UDP headers");

/// What gossip tells the service; called on the gossip thread, must not block.
pub trait Listener: Send + 'static {
    /// The members changed.
    fn view(&mut self, view: Arc<View>);
    /// We had been declared down by mistake and are back.
    fn rejoined(&mut self);
    /// We cannot be a member; gossip has stopped.
    fn refused(&mut self, refusal: Refusal);
    /// Something an operator should know, once per cause.
    fn trouble(&mut self, trouble: Trouble);
}

/// Something wrong around us that gossip survives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// Somebody speaks with another cluster key, or no holdline at all.
    #[error(
        "a datagram from {from} is not sealed with our cluster key (ours is {fingerprint}); is the cluster key the same on both nodes?"
    )]
    NotSealed {
        /// Its source.
        from: SocketAddr,
        /// Fingerprint of our key.
        fingerprint: String,
    },
    /// Somebody with our key speaks another version of the protocol.
    #[error("{from} speaks gossip version {theirs}, we speak {ours}")]
    Version {
        /// Its source.
        from: SocketAddr,
        /// Its version.
        theirs: u8,
        /// Our version.
        ours: u8,
    },
    /// A seed has not answered for some seconds.
    #[error("no answer from seed {seed} ({addr}) for {seconds} s; still trying")]
    SeedSilent {
        /// The seed as configured.
        seed: String,
        /// What it resolved to.
        addr: SocketAddr,
        /// How long it was asked.
        seconds: u64,
    },
    /// A seed's name cannot be resolved.
    #[error("seed {seed} cannot be resolved: {why}; still trying")]
    SeedUnresolved {
        /// The seed as configured.
        seed: String,
        /// What the system said.
        why: String,
    },
    /// The socket refuses to work.
    #[error("gossip socket: {0}")]
    Socket(String),
}

/// Counters since start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) send_errors: AtomicU64,
    pub(crate) unsealed: AtomicU64,
}

/// Counters since start, of gossip and its membership core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams the system did not take.
    pub send_errors: u64,
    /// Datagrams that did not open: another key, another version, noise.
    pub unsealed: u64,
    /// The membership core's own.
    pub membership: membership::Stats,
}

/// What the driver is told by other threads.
pub(crate) enum Command {
    Evidence { name: NodeId, boot: u64 },
    Seeds(seeds::Resolved),
    Leave,
}

/// What gossip needs to start.
pub(crate) struct Config {
    pub(crate) membership: membership::Config,
    pub(crate) seeds: Vec<String>,
    pub(crate) key: ClusterKey,
    pub(crate) clock: Clock,
}

/// A running gossip thread; dropping it leaves the cluster.
pub(crate) struct Gossip {
    commands: Commands,
    counters: Arc<Counters>,
    membership: Arc<Mutex<membership::Stats>>,
    thread: Option<JoinHandle<()>>,
    resolver: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Gossip {
    /// Starts the threads; `socket` is bound already, so that its errors come back at once.
    pub(crate) fn start(socket: UdpSocket, config: Config, listener: impl Listener) -> std::io::Result<Self> {
        let now: Timestamp = config.clock.now();
        let mut machine = Membership::new(now, config.membership);
        let mut resolver = Resolver::new(config.seeds);
        let literal = resolver.literal();
        machine.handle_seeds(now, &literal.addresses, literal.complete);

        let (sender, receiver) = mpsc::channel();
        let commands = Commands { sender, wake: Arc::new(Wake::new(&socket)?) };
        let counters = Arc::new(Counters::default());
        let stats = Arc::new(Mutex::new(membership::Stats::default()));
        let driver = Driver {
            socket,
            sealer: Sealer::new(&config.key),
            fingerprint: config.key.fingerprint(),
            clock: config.clock,
            machine,
            listener,
            commands: receiver,
            counters: Arc::clone(&counters),
            stats: Arc::clone(&stats),
            names: literal.names,
            out: Vec::new(),
        };
        let thread =
            std::thread::Builder::new().name("holdline-gossip".into()).spawn(move || driver.run())?;
        let resolver = match literal.complete {
            true => None,
            false => Some(spawn_resolver(resolver, commands.clone())?),
        };
        Ok(Self { commands, counters, membership: stats, thread: Some(thread), resolver })
    }

    /// A link saw that this process is dead.
    pub(crate) fn evidence(&self, name: NodeId, boot: u64) {
        self.commands.send(Command::Evidence { name, boot });
    }

    pub(crate) fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            received: get(&self.counters.received),
            sent: get(&self.counters.sent),
            send_errors: get(&self.counters.send_errors),
            unsealed: get(&self.counters.unsealed),
            membership: *self.membership.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Leaves the cluster and waits for the thread to end.
    pub(crate) fn leave(&mut self) {
        self.commands.send(Command::Leave);
        if let Some(thread) = self.thread.take() {
            // A panic of the gossip thread has been printed by the runtime already.
            let _ = thread.join();
        }
        // The resolver may hang in the system for seconds: it ends by itself.
        drop(self.resolver.take());
    }
}

impl Drop for Gossip {
    fn drop(&mut self) {
        self.leave();
    }
}

fn spawn_resolver(resolver: Resolver, commands: Commands) -> std::io::Result<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = mpsc::channel();
    let thread = std::thread::Builder::new().name("holdline-seeds".into()).spawn(move || {
        seeds::run(resolver, &stopped, |resolved| commands.send(Command::Seeds(resolved)));
    })?;
    Ok((stop, thread))
}

/// The way to the gossip thread.
#[derive(Clone)]
pub(crate) struct Commands {
    sender: Sender<Command>,
    wake: Arc<Wake>,
}

impl Commands {
    /// Lost only when the thread has ended, and then nobody cares.
    fn send(&self, command: Command) {
        if self.sender.send(command).is_ok() {
            self.wake.wake();
        }
    }
}

/// Wakes the gossip thread out of its blocking read by an empty datagram to its own socket. Anybody may send those;
/// each costs one look at the commands. Were it lost, the next timer is 50 ms away.
struct Wake {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Wake {
    fn new(socket: &UdpSocket) -> std::io::Result<Self> {
        let mut to = socket.local_addr()?;
        if to.ip().is_unspecified() {
            to.set_ip(if to.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        Ok(Self { socket: socket.try_clone()?, to })
    }

    fn wake(&self) {
        // A failed wake-up only costs the time to the next timer.
        let _ = self.socket.send_to(&[], self.to);
    }
}

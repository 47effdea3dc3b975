//! A whole cluster on loopback: nodes and a balancer as processes, waited for until they can take calls.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use holdline_cluster::id::SHARDS;

use super::binary::holdline;
use super::console::{ConsoleError, Stats};
use super::log::LogDirectory;
use super::port::free_address;
use super::process::{Process, ProcessOptions};
use super::wait::wait_for;

/// How long a cluster may take to form: 5 s is the bootstrap limit when no seed answers, the rest is a busy machine.
const FORMED: Duration = Duration::from_secs(20);

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How many nodes.
    pub nodes: usize,
    /// Whether a balancer stands in front of them.
    pub balancer: bool,
    /// Whether the nodes run without a cluster, each for itself.
    pub alone: bool,
    /// Whether the nodes name the balancer in their Contact, not themselves.
    pub advertise_balancer: bool,
    /// What runs as a node, and its first arguments: the binary's `node` command unless a test brings an application.
    pub program: Vec<OsString>,
    /// Further arguments of every node.
    pub arguments: Vec<OsString>,
    /// Environment variables of every process.
    pub environment: Vec<(String, String)>,
}

impl ClusterOptions {
    /// Three nodes behind a balancer.
    pub fn new() -> ClusterOptions {
        ClusterOptions {
            nodes: 3,
            balancer: true,
            alone: false,
            advertise_balancer: false,
            program: vec![holdline().into(), "node".into()],
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// With the application at `program` instead of the built-in one.
    pub fn running(program: &str) -> ClusterOptions {
        ClusterOptions { program: vec![program.into()], ..ClusterOptions::new() }
    }

    /// With a setting in the environment of every process.
    pub fn set(mut self, name: &str, value: &str) -> ClusterOptions {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        ClusterOptions::new()
    }
}

/// One process of a cluster, to be started.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// Its name in the cluster.
    pub name: String,
    /// The executable and its first arguments.
    pub program: Vec<OsString>,
    /// Its SIP address.
    pub sip: SocketAddr,
    /// Its address for gossip and links; unused when it runs alone.
    pub cluster: SocketAddr,
    /// Whether it runs without a cluster.
    pub alone: bool,
    /// `host:port` of the members to join by.
    pub seeds: Vec<String>,
    /// Further arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
}

impl MemberOptions {
    /// A node of the built-in behaviour with a console, on free addresses, with no seeds.
    #[track_caller]
    pub fn node(name: &str) -> MemberOptions {
        MemberOptions {
            name: name.to_owned(),
            program: vec![holdline().into(), "node".into()],
            sip: free_address(),
            cluster: free_address(),
            alone: false,
            seeds: Vec::new(),
            arguments: vec!["--console".into()],
            environment: Vec::new(),
        }
    }

    /// A balancer with a console, on free addresses, with no seeds.
    #[track_caller]
    pub fn balancer(name: &str) -> MemberOptions {
        MemberOptions { program: vec![holdline().into(), "balancer".into()], ..MemberOptions::node(name) }
    }

    /// Joining by the address of `member`.
    pub fn joining(mut self, member: &Member) -> MemberOptions {
        self.seeds.push(member.cluster.to_string());
        self
    }

    /// Starts it and waits for nothing.
    #[track_caller]
    pub fn start(&self, logs: &LogDirectory) -> Member {
        let (executable, first) = self.program.split_first().expect("a program has a name");
        let mut arguments: Vec<OsString> = first.to_vec();
        arguments.extend([
            "--name".into(),
            self.name.clone().into(),
            "--sip".into(),
            self.sip.to_string().into(),
        ]);
        if !self.alone {
            arguments.extend(["--cluster".into(), self.cluster.to_string().into()]);
            arguments.extend(self.seeds.iter().flat_map(|seed| ["--seed".into(), seed.into()]));
        }
        arguments.extend_from_slice(&self.arguments);
        let process = Process::start(&ProcessOptions {
            name: self.name.clone(),
            program: PathBuf::from(executable),
            arguments,
            environment: self.environment.clone(),
            log: logs.file(&self.name),
        });
        Member { process, sip: self.sip, cluster: self.cluster }
    }
}

/// A process of a cluster and its addresses.
#[derive(Debug)]
pub struct Member {
    /// The process.
    pub process: Process,
    /// Its SIP address.
    pub sip: SocketAddr,
    /// Its address for gossip and links.
    pub cluster: SocketAddr,
}

/// A running cluster. Nodes are named by their place, from 0, also when some are dead.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Member>,
    balancer: Option<Member>,
    logs: LogDirectory,
}

impl Cluster {
    /// Starts it and waits until every shard has an owner and calls get through; `test` names its directory of logs.
    #[track_caller]
    pub fn start(test: &str, options: &ClusterOptions) -> Cluster {
        let logs = LogDirectory::new(test);
        let mut members: Vec<MemberOptions> = (1..=options.nodes)
            .map(|number| {
                let mut node = MemberOptions::node(&format!("n{number}"));
                node.program.clone_from(&options.program);
                node.alone = options.alone;
                node.arguments.extend_from_slice(&options.arguments);
                node
            })
            .collect();
        if options.balancer {
            let balancer = MemberOptions::balancer("lb");
            if options.advertise_balancer {
                let advertise = ["--advertise".into(), balancer.sip.to_string().into()];
                members.iter_mut().for_each(|node| node.arguments.extend_from_slice(&advertise));
            }
            members.push(balancer);
        }
        let seeds: Vec<String> =
            members[..options.nodes].iter().map(|node| node.cluster.to_string()).collect();
        for member in &mut members {
            member.seeds.clone_from(&seeds);
            member.environment.clone_from(&options.environment);
        }
        let mut nodes: Vec<Member> = members.iter().map(|member| member.start(&logs)).collect();
        let balancer = if options.balancer { nodes.pop() } else { None };
        let cluster = Cluster { nodes, balancer, logs };
        for member in cluster.nodes.iter().chain(&cluster.balancer) {
            member.process.wait_ready();
        }
        if !options.alone {
            cluster.wait_formed();
        }
        cluster
    }

    /// Where callers send to: the balancer, or the first node when there is none.
    pub fn sip(&self) -> SocketAddr {
        self.balancer.as_ref().unwrap_or(&self.nodes[0]).sip
    }

    /// Where its processes log, and SIPp may too.
    pub fn logs(&self) -> &LogDirectory {
        &self.logs
    }

    /// The node at `place`.
    pub fn node(&self, place: usize) -> &Member {
        &self.nodes[place]
    }

    /// The node at `place`, to be signalled.
    pub fn node_mut(&mut self, place: usize) -> &mut Process {
        &mut self.nodes[place].process
    }

    /// All nodes, dead ones too.
    pub fn nodes(&self) -> &[Member] {
        &self.nodes
    }

    /// Counts of the node at `place`.
    #[track_caller]
    pub fn stats(&self, place: usize) -> Stats {
        let process = &self.nodes[place].process;
        process.stats().unwrap_or_else(|error| {
            panic!("{} gave no counts: {error}\n{}", process.name(), process.log().tail())
        })
    }

    /// Places and counts of the nodes that have a console still.
    #[track_caller]
    pub fn living(&self) -> Vec<(usize, Stats)> {
        let mut living = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            match node.process.stats() {
                Ok(stats) => living.push((place, stats)),
                Err(ConsoleError::Closed) => {}
                Err(error) => {
                    panic!("{} gave no counts: {error}\n{}", node.process.name(), node.process.log().tail())
                }
            }
        }
        living
    }

    /// The place of the node that owns the most dialogs.
    #[track_caller]
    pub fn busiest(&self) -> usize {
        let living = self.living();
        let busiest =
            living.iter().max_by_key(|(_, stats)| stats.dialogs).expect("a cluster has a living node");
        assert!(busiest.1.dialogs > 0, "no node owns a dialog: {living:?}");
        busiest.0
    }

    /// Waits until nothing of any call is left on any living node.
    #[track_caller]
    pub fn wait_at_rest(&self, limit: Duration) {
        wait_for("every count at zero", limit, || {
            let busy: Vec<String> = self
                .living()
                .iter()
                .filter(|(_, stats)| !stats.is_at_rest())
                .map(|(place, stats)| format!("{}: {stats:?}", self.nodes[*place].process.name()))
                .collect();
            if busy.is_empty() { Ok(()) } else { Err(busy.join("; ")) }
        });
    }

    #[track_caller]
    fn wait_formed(&self) {
        wait_for("a formed cluster", FORMED, || {
            let living = self.living();
            let owned: u64 = living.iter().map(|(_, stats)| stats.owned).sum();
            let everyone = living.len() == self.nodes.len();
            let met =
                living.iter().all(|(_, stats)| stats.members >= self.nodes.len() as u64 && stats.owned > 0);
            if everyone && met && owned == u64::from(SHARDS) { Ok(()) } else { Err(format!("{living:?}")) }
        });
        let Some(balancer) = &self.balancer else { return };
        wait_for("a balancer that knows every node", FORMED, || {
            let known = balancer.process.console().ask("members").map_err(|error| error.to_string())?;
            let knows = |node: &Member| known.contains(&format!(" {}={}", node.process.name(), node.sip));
            if self.nodes.iter().all(knows) { Ok(()) } else { Err(known) }
        });
    }
}

//! The flags that nodes and balancers share; each is a setting, checked with those of file and environment.

use std::path::PathBuf;

use holdline::config::Sources;

pub(crate) const PRECEDENCE: &str = "Each flag is a setting: --cluster-key-file can also be given as the environment \
    variable HOLDLINE_CLUSTER_KEY_FILE, or as cluster_key_file in the file (seeds for --seed). Flags override the \
    environment, and the environment the file. HOLDLINE_LOG filters the log, which goes to standard error.";

#[derive(clap::Args)]
pub(crate) struct Common {
    /// Name of this process in the cluster; each needs its own, and keeps it over restarts
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where to listen for SIP over UDP [default: 127.0.0.1:5060]
    #[arg(long, value_name = "IP:PORT")]
    sip: Option<String>,
    /// What peers are told instead of --sip: for a node the balancer's address, for a balancer its own public one
    #[arg(long, value_name = "IP:PORT")]
    advertise: Option<String>,
    /// Where to listen for the cluster: gossip over UDP, links over TCP
    #[arg(long, value_name = "IP:PORT")]
    cluster: Option<String>,
    /// Where the others reach --cluster, if elsewhere
    #[arg(long, value_name = "IP:PORT")]
    cluster_advertise: Option<String>,
    /// A process to join by; give several, and give the same ones to all, itself included
    #[arg(long = "seed", value_name = "HOST:PORT")]
    seeds: Vec<String>,
    /// File with the secret of the cluster: 32 bytes, raw, in hex or base64. Without it all addresses must be loopback
    #[arg(long, value_name = "FILE")]
    cluster_key_file: Option<String>,
    /// Where this machine stands; told to all members, not used by the placement yet
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Take a cut link and two refused connects for a death; not behind proxies that answer for others [default: true]
    #[arg(long, value_name = "BOOL")]
    link_evidence: Option<String>,
    /// Threads, each with its own socket on the same port [default: one per core, of which a node leaves one free]
    #[arg(long, value_name = "N")]
    lanes: Option<String>,
    /// TOML file with settings; also HOLDLINE_CONFIG
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take commands on standard input, one a line, and answer each with one line; its end stops the process
    #[arg(long)]
    pub(crate) console: bool,
}

impl Common {
    pub(crate) fn sources(&self) -> Sources {
        let mut sources = Sources::new()
            .environment(std::env::vars())
            .flag_option("name", self.name.as_ref())
            .flag_option("sip", self.sip.as_ref())
            .flag_option("advertise", self.advertise.as_ref())
            .flag_option("cluster", self.cluster.as_ref())
            .flag_option("cluster_advertise", self.cluster_advertise.as_ref())
            .flag_list("seeds", &self.seeds)
            .flag_option("cluster_key_file", self.cluster_key_file.as_ref())
            .flag_option("zone", self.zone.as_ref())
            .flag_option("link_evidence", self.link_evidence.as_ref())
            .flag_option("lanes", self.lanes.as_ref());
        let file = self.config.clone().or_else(|| std::env::var_os("HOLDLINE_CONFIG").map(PathBuf::from));
        if let Some(file) = file {
            sources = sources.file(file);
        }
        sources
    }
}

//! Configuration of a node and of a balancer: read from file, environment and flags, checked once, wholly.

mod error;
mod settings;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdline_cluster::engine::Durability;
use holdline_cluster::id::NodeId;
use holdline_cluster::key::ClusterKey;

pub use error::{ConfigError, Origin};
use settings::Settings;
pub use settings::Sources;

/// Copies beyond this cost more than they save: each is a message per step.
const REPLICAS_MAX: usize = 8;
/// A lane is a thread with a socket; more than cores make no sense, and no machine has more cores.
const LANES_MAX: usize = 256;
/// A commit waits this long at most for company; beyond it answers would be late by SIP's own T1 of 500 ms.
const FLUSH_MS_MAX: u64 = 250;
const GAP_MS_MAX: u64 = crate::limits::GAP_MAX.as_millis() as u64;
/// A zone's name travels in every membership record.
const ZONE_BYTES_MAX: usize = 32;

const COMMON_KEYS: [&str; 10] = [
    "name",
    "sip",
    "advertise",
    "cluster",
    "cluster_advertise",
    "seeds",
    "cluster_key_file",
    "zone",
    "link_evidence",
    "lanes",
];
const NODE_KEYS: [&str; 15] = {
    let mut keys = [""; 15];
    let mut i = 0;
    while i < COMMON_KEYS.len() {
        keys[i] = COMMON_KEYS[i];
        i += 1;
    }
    keys[10] = "durability";
    keys[11] = "replicas";
    keys[12] = "flush_ms";
    keys[13] = "gap_ms";
    keys[14] = "replicate_data";
    keys
};

const ADDRESS: &str = "write an IP address and a port, like 127.0.0.1:5060 or [::1]:5060";
const REACHABLE: &str =
    "others must be able to reach it: write an IP address and a port, neither of them zero";

/// What a node runs with.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// The node's name in the cluster (`name`).
    pub name: NodeId,
    /// Where SIP is listened for over UDP (`sip`).
    pub sip: SocketAddr,
    /// What peers are told to reach us at, in Contact: usually the balancer (`advertise`).
    pub advertise: Option<SocketAddr>,
    /// The cluster; nothing for a node that runs alone (`cluster`, `seeds`, ...).
    pub cluster: Option<ClusterSection>,
    /// The cluster key; nothing on loopback (`cluster_key_file`).
    pub key: Option<ClusterKey>,
    /// What a step waits for before its messages leave (`durability`).
    pub durability: Durability,
    /// Copies of each dialog on other nodes (`replicas`).
    pub replicas: usize,
    /// Least time between two frames of changes to one node (`flush_ms`).
    pub flush: Duration,
    /// Time between two looks at a busy SIP socket (`gap_ms`).
    pub gap: Duration,
    /// Threads, each with its own runtime and socket; nothing means one less than there are cores (`lanes`).
    pub lanes: Option<usize>,
    /// Whether application data travels with the dialogs (`replicate_data`).
    pub replicate_data: bool,
}

/// What a balancer runs with.
#[derive(Debug, Clone, PartialEq)]
pub struct BalancerConfig {
    /// The balancer's name in the cluster (`name`).
    pub name: NodeId,
    /// Where SIP is listened for over UDP (`sip`).
    pub sip: SocketAddr,
    /// What Via and Record-Route say, when it is not `sip` (`advertise`).
    pub advertise: Option<SocketAddr>,
    /// The cluster to observe (`cluster`, `seeds`, ...).
    pub cluster: ClusterSection,
    /// The cluster key; nothing on loopback (`cluster_key_file`).
    pub key: Option<ClusterKey>,
    /// Threads, each with its own runtime and socket; nothing means one per core (`lanes`).
    pub lanes: Option<usize>,
}

/// A process's place in its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSection {
    /// Where gossip (UDP) and links (TCP) are listened for (`cluster`).
    pub bind: SocketAddr,
    /// What other nodes reach us at, when it is not `bind` (`cluster_advertise`).
    pub advertise: Option<SocketAddr>,
    /// Processes to join by, `host:port`, looked up again and again; may contain ourselves (`seeds`).
    pub seeds: Vec<String>,
    /// Where the machine stands (`zone`); told to all members, not used by the placement yet.
    pub zone: String,
    /// Whether a link cut and two refused connects prove a death (`link_evidence`).
    pub link_evidence: bool,
}

impl NodeConfig {
    /// Reads and checks the configuration of a node.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let settings = Settings::read(sources, &NODE_KEYS)?;
        let common = Common::read(&settings)?;
        if common.cluster.is_none() && settings.origin("seeds") != Origin::Default {
            return Err(ConfigError::Missing {
                key: "cluster",
                expected: "seeds are given, so write the address for gossip and links, like 127.0.0.1:7001",
            });
        }
        let name = match (common.name, &common.cluster) {
            (Some(name), _) => name,
            (None, None) => node_id("holdline"),
            (None, Some(_)) => return Err(NAME_MISSING),
        };
        Ok(Self {
            name,
            sip: common.sip,
            advertise: common.advertise,
            cluster: common.cluster,
            key: common.key,
            durability: settings
                .optional("durability", "write acked, async or all", durability)?
                .unwrap_or(Durability::Acked),
            replicas: number(&settings, "replicas", 0, REPLICAS_MAX)?.unwrap_or(1),
            flush: Duration::from_millis(number(&settings, "flush_ms", 0, FLUSH_MS_MAX)?.unwrap_or(5)),
            gap: number(&settings, "gap_ms", 0, GAP_MS_MAX)?
                .map_or(crate::limits::GAP, Duration::from_millis),
            lanes: common.lanes,
            replicate_data: boolean(&settings, "replicate_data")?.unwrap_or(true),
        })
    }

    /// Where the balancer reaches this node once its SIP socket is bound to `bound`: with a wildcard address, at the
    /// cluster's address.
    pub fn service(&self, bound: SocketAddr) -> SocketAddr {
        service(bound, self.cluster.as_ref())
    }
}

impl BalancerConfig {
    /// Reads and checks the configuration of a balancer.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let settings = Settings::read(sources, &COMMON_KEYS)?;
        let common = Common::read(&settings)?;
        let cluster = common.cluster.ok_or(ConfigError::Missing {
            key: "cluster",
            expected: "a balancer learns of the nodes by gossip: write an address for it, like 127.0.0.1:7000",
        })?;
        if common.sip.ip().is_unspecified() && common.advertise.is_none() {
            return Err(ConfigError::Missing {
                key: "advertise",
                expected: "sip is bound to every address, so say which one Via and Record-Route shall name",
            });
        }
        if common.sip.port() == 0 {
            return Err(settings.invalid("sip", common.sip.to_string(), REACHABLE));
        }
        let name = common.name.ok_or(NAME_MISSING)?;
        Ok(Self {
            name,
            sip: common.sip,
            advertise: common.advertise,
            cluster,
            key: common.key,
            lanes: common.lanes,
        })
    }
}

const NAME_MISSING: ConfigError = ConfigError::Missing {
    key: "name",
    expected: "every process of a cluster needs its own name: 1 to 32 letters, digits, dots, dashes or underscores",
};

/// What nodes and balancers share.
struct Common {
    name: Option<NodeId>,
    sip: SocketAddr,
    advertise: Option<SocketAddr>,
    cluster: Option<ClusterSection>,
    key: Option<ClusterKey>,
    lanes: Option<usize>,
}

impl Common {
    fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let name = "write 1 to 32 letters, digits, dots, dashes or underscores";
        let common = Self {
            name: settings.optional("name", name, |text| text.parse().ok())?,
            sip: settings
                .optional("sip", ADDRESS, |text| text.parse().ok())?
                .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 5060))),
            advertise: settings.optional("advertise", REACHABLE, reachable)?,
            cluster: ClusterSection::read(settings)?,
            key: cluster_key(settings)?,
            lanes: number(settings, "lanes", 1, LANES_MAX)?,
        };
        if common.key.is_none() {
            common.check_loopback(settings)?;
        }
        Ok(common)
    }

    /// Without a cluster key anybody who reaches us could join, so nobody else may reach us.
    fn check_loopback(&self, settings: &Settings) -> Result<(), ConfigError> {
        let cluster = self.cluster.as_ref();
        let addresses = [
            ("sip", Some(self.sip)),
            ("advertise", self.advertise),
            ("cluster", cluster.map(|cluster| cluster.bind)),
            ("cluster_advertise", cluster.and_then(|cluster| cluster.advertise)),
        ];
        for (key, address) in addresses {
            let Some(address) = address.filter(|address| !address.ip().to_canonical().is_loopback()) else {
                continue;
            };
            return Err(ConfigError::NotLoopback {
                key,
                value: address.to_string(),
                origin: settings.origin(key),
            });
        }
        Ok(())
    }
}

impl ClusterSection {
    fn read(settings: &Settings) -> Result<Option<Self>, ConfigError> {
        let expected = "write an IP address and a port that is not zero, like 127.0.0.1:7001";
        let section = Self {
            bind: match settings.optional("cluster", expected, |text| {
                text.parse().ok().filter(|address: &SocketAddr| address.port() != 0)
            })? {
                Some(bind) => bind,
                None => return Ok(None),
            },
            advertise: settings.optional("cluster_advertise", REACHABLE, reachable)?,
            seeds: settings.list("seeds", "write host:port, like peers.example.com:7946", seed)?,
            zone: settings
                .optional("zone", "write at most 32 characters", |text| {
                    (text.len() <= ZONE_BYTES_MAX).then(|| text.to_owned())
                })?
                .unwrap_or_default(),
            link_evidence: boolean(settings, "link_evidence")?.unwrap_or(true),
        };
        if section.bind.ip().is_unspecified() && section.advertise.is_none() {
            return Err(ConfigError::Missing {
                key: "cluster_advertise",
                expected: "cluster is bound to every address, so say at which one the others reach this process",
            });
        }
        Ok(Some(section))
    }
}

fn service(bound: SocketAddr, cluster: Option<&ClusterSection>) -> SocketAddr {
    let reachable = cluster.map(|cluster| cluster.advertise.unwrap_or(cluster.bind).ip());
    let ip: IpAddr = match reachable {
        Some(ip) if bound.ip().is_unspecified() => ip,
        _ => bound.ip(),
    };
    SocketAddr::new(ip, bound.port())
}

fn cluster_key(settings: &Settings) -> Result<Option<ClusterKey>, ConfigError> {
    let path = settings.optional("cluster_key_file", "write a path", |text| Some(PathBuf::from(text)))?;
    let Some(path) = path else { return Ok(None) };
    let key = ClusterKey::from_file(Path::new(&path));
    key.map(Some)
        .map_err(|error| settings.invalid("cluster_key_file", path.display().to_string(), &error.to_string()))
}

fn number<T>(settings: &Settings, key: &'static str, least: T, most: T) -> Result<Option<T>, ConfigError>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let expected = format!("write a number from {least} to {most}");
    settings.optional(key, &expected, |text| {
        text.parse().ok().filter(|number: &T| *number >= least && *number <= most)
    })
}

fn boolean(settings: &Settings, key: &'static str) -> Result<Option<bool>, ConfigError> {
    settings.optional(key, "write true or false", |text| text.to_ascii_lowercase().parse().ok())
}

fn reachable(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|address: &SocketAddr| !address.ip().is_unspecified() && address.port() != 0)
}

/// `host:port`; the host may be a name, and is only looked up when it is used.
fn seed(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    let port_is_good = port.parse::<u16>().is_ok_and(|port| port != 0);
    (host_is_good && port_is_good).then(|| text.to_owned())
}

fn durability(text: &str) -> Option<Durability> {
    match text.to_ascii_lowercase().as_str() {
        "acked" => Some(Durability::Acked),
        "async" => Some(Durability::Async),
        "all" => Some(Durability::All),
        _ => None,
    }
}

fn node_id(name: &str) -> NodeId {
    name.parse().expect("the literal is a valid node name")
}

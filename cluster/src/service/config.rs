//! What a cluster member is told at start, and the checks before any socket is opened.

use std::net::SocketAddr;
use std::time::Duration;

use super::StartError;
use crate::id::NodeId;
use crate::key::ClusterKey;
use crate::membership::Timings;
use crate::view::Role;

/// Configuration of one member of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Name of this node, unique in the cluster and stable over restarts.
    pub name: NodeId,
    /// Address for gossip (UDP) and links (TCP); port 0 picks a free one.
    pub bind: SocketAddr,
    /// Address the others reach `bind` at; needed when `bind` is unspecified (`0.0.0.0`).
    pub advertise: Option<SocketAddr>,
    /// `host:port` of some members, resolved again and again; may contain ourselves.
    pub seeds: Vec<String>,
    /// The shared secret; `None` is allowed on loopback only.
    pub key: Option<ClusterKey>,
    /// `Node` owns shards; `Observer` only watches (a balancer).
    pub role: Role,
    /// Address of the service (SIP) that others are told about; opaque here.
    pub service: SocketAddr,
    /// Failure zone; told to all members, not used by the placement yet.
    pub zone: String,
    /// Copies kept besides the owner's.
    pub replicas: usize,
    /// Least gap between two flushes of replication to one peer.
    pub flush: Duration,
    /// Whether a refused reconnect after a broken link proves a death (switch off behind proxies that fake resets).
    pub link_evidence: bool,
    /// How long to wait for a seed before starting a cluster of one's own.
    pub bootstrap_after: Duration,
    /// How long the first view must stay unchanged before shards are claimed.
    pub settle: Duration,
    /// Timings of the failure detector.
    pub timings: Timings,
}

impl ClusterConfig {
    /// A node with defaults for everything else: no seeds, no key, one replica, flush gap 5 ms.
    pub fn new(name: NodeId, bind: SocketAddr, service: SocketAddr) -> Self {
        Self {
            name,
            bind,
            advertise: None,
            seeds: Vec::new(),
            key: None,
            role: Role::Node,
            service,
            zone: String::new(),
            replicas: 1,
            flush: Duration::from_millis(5),
            link_evidence: true,
            bootstrap_after: Duration::from_secs(5),
            settle: Duration::from_millis(300),
            timings: Timings::default(),
        }
    }

    /// The key to use: without one, every address must be loopback, for the development key is public.
    pub(super) fn effective_key(&self) -> Result<ClusterKey, StartError> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let addresses = [Some(self.bind), self.advertise, Some(self.service)];
        match addresses.into_iter().flatten().find(|addr| !addr.ip().is_loopback()) {
            Some(addr) => Err(StartError::KeyRequired { addr }),
            None => Ok(ClusterKey::development()),
        }
    }

    /// The address to tell others, given what was bound.
    pub(super) fn advertised(&self, bound: SocketAddr) -> Result<SocketAddr, StartError> {
        let advertised = self.advertise.unwrap_or(bound);
        if advertised.ip().is_unspecified() || advertised.port() == 0 {
            return Err(StartError::NoAdvertise { bind: bound });
        }
        Ok(advertised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bind: &str) -> ClusterConfig {
        ClusterConfig::new("n1".parse().unwrap(), bind.parse().unwrap(), "127.0.0.1:5060".parse().unwrap())
    }

    #[test]
    fn without_a_key_every_address_must_be_loopback() {
        assert_eq!(config("127.0.0.1:7001").effective_key().unwrap(), ClusterKey::development());
        assert_eq!(config("[::1]:7001").effective_key().unwrap(), ClusterKey::development());
        assert!(matches!(config("10.0.0.1:7001").effective_key(), Err(StartError::KeyRequired { .. })));
        let mut service_outside = config("127.0.0.1:7001");
        service_outside.service = "192.0.2.1:5060".parse().unwrap();
        assert!(matches!(service_outside.effective_key(), Err(StartError::KeyRequired { .. })));
        service_outside.key = Some(ClusterKey::from_bytes([7; 32]));
        assert_eq!(service_outside.effective_key().unwrap(), ClusterKey::from_bytes([7; 32]));
    }

    #[test]
    fn an_unspecified_bind_needs_an_advertised_address() {
        let mut any = config("0.0.0.0:7001");
        assert!(matches!(any.advertised(any.bind), Err(StartError::NoAdvertise { .. })));
        any.advertise = Some("192.0.2.1:7001".parse().unwrap());
        assert_eq!(any.advertised(any.bind).unwrap(), "192.0.2.1:7001".parse().unwrap());
    }
}

//! Errors of the cluster service: what was wrong and what to do about it.

use std::net::SocketAddr;

/// Why a member could not start; nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Gossip or the link listener could not take its address.
    #[error("cannot bind {proto} {addr}: {error}")]
    Bind {
        /// "udp" (gossip) or "tcp" (links).
        proto: &'static str,
        /// The address wanted.
        addr: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// No key, but an address outside this machine.
    #[error("{addr} is not loopback: a cluster key is required (--cluster-key-file)")]
    KeyRequired {
        /// The address that others could reach.
        addr: SocketAddr,
    },
    /// Bound to every interface: others must be told one address.
    #[error(
        "bound to {bind}: an advertised cluster address is required, for others cannot connect to this one"
    )]
    NoAdvertise {
        /// What was bound.
        bind: SocketAddr,
    },
    /// A setting that cannot work.
    #[error("cluster configuration: {0}")]
    Config(String),
    /// ractor's registries belong to the process: two nodes in one process would mix up their actors.
    #[error("this process runs a cluster node already")]
    SecondNode,
    /// The link certificates could not be made.
    #[error("cannot make the link certificates: {0}")]
    Tls(String),
    /// A thread or runtime could not be made.
    #[error("cannot start the cluster thread: {0}")]
    Thread(std::io::Error),
}

/// Why a payload was not handed to a peer; it was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// No link to that node at the moment.
    #[error("no link to that node")]
    NoLink,
    /// Too much is on the way to that node already.
    #[error("the link to that node is full")]
    Full,
    /// Larger than a link carries.
    #[error("payload too large for a link")]
    TooLarge,
}

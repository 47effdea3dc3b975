//! What the proxy core wants done with a datagram: at most one thing, for it keeps nothing to do later.

use std::net::SocketAddr;

use bytes::Bytes;
use holdline_cluster::id::Shard;

/// What to do about one datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a request to a node. Should the node's machine refuse it, the same bytes go to
    /// [`Proxy::handle_refused`](super::Proxy::handle_refused).
    ToNode {
        /// The node's SIP address.
        node: SocketAddr,
        /// What the request belongs to.
        shard: Shard,
        /// Equal for all messages of a call: choose the source port by it, and the node's lanes share the load while
        /// the messages of a call stay in order.
        spread: u16,
        /// The request.
        bytes: Bytes,
    },
    /// Send a response, or a request that leaves the cluster, from the public socket.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// The message.
        bytes: Bytes,
    },
    /// As [`Transmit`](Self::Transmit), once the name is looked up.
    Resolve {
        /// A host name.
        host: String,
        /// The port, not subject to the look-up.
        port: u16,
        /// The message.
        bytes: Bytes,
    },
    /// Nothing, and why.
    Drop(Dropped),
}

/// Why a datagram was not answered or passed on; each is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// It cannot be read well enough to be answered.
    Malformed,
    /// A response whose top Via is not one we could have added (RFC 3261 §18.1.2).
    NotOurs,
    /// A response whose next Via names no address.
    NoWayBack,
    /// An ACK for a response of our own: absorbed.
    AckOfOurs,
    /// An ACK that cannot be passed on: an ACK is never answered.
    AckUnroutable,
    /// It would come straight back to us.
    Loop,
}

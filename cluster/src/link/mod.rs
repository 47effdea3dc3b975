//! Links between nodes: mutual TLS, `ractor_cluster` sessions over it, and [`PeerLink`] in front of both.
//!
//! A link is an ordered pipe between two *processes*. It does not decide who is alive (gossip does), though its end
//! can be evidence. ractor_cluster logs a lot and, at debug level, every byte of every call: filter the log with
//! `ractor=warn,ractor_cluster=warn`.
//!
//! What is ours, because ractor_cluster has none of it: the acceptor and its deadlines, dialling again, the idle
//! deadline, the bound on what is in flight, and the binding of a session's name to a certificate.

mod connect;
mod control;
mod links;
mod name;
mod peer;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::net::{IpAddr, SocketAddr};

pub(crate) use self::links::{Directory, HEARTBEAT, Links, Output};
pub use self::name::{BadProcessName, ProcessName};
pub use self::peer::{FRAME_MAX, PAYLOAD_MAX, PeerLink, SendError};
pub use self::tls::{HandshakeError, LinkTls};

/// What the tasks and actors of the links tell their owner.
pub(crate) enum Event {
    /// Somebody dialled us and has proven key and name.
    Accepted(stream::LinkStream),
    /// What became of our dialling.
    Dialled { peer: ProcessName, addr: SocketAddr, result: Result<stream::LinkStream, HandshakeError> },
    /// A session of this stream has authenticated under this name.
    Authenticated { number: u64, node_id: u64, name: String },
    /// A session has announced its actors and heard the peer's.
    Ready { number: u64 },
    /// A session is over.
    Ended { number: u64 },
    /// A peer's message.
    Message(control::Control),
    /// This process is dead: its port refuses connections.
    Dead(ProcessName),
    /// Worth a line.
    Trouble(Trouble),
    /// An actor that must not end has ended.
    Broken(&'static str),
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted(stream) => write!(f, "Accepted({})", stream.peer),
            Self::Dialled { peer, result, .. } => {
                write!(f, "Dialled({peer}, {:?})", result.as_ref().map(|_| ()))
            }
            Self::Authenticated { number, name, .. } => write!(f, "Authenticated({number}, {name})"),
            Self::Ready { number } => write!(f, "Ready({number})"),
            Self::Ended { number } => write!(f, "Ended({number})"),
            Self::Message(_) => f.write_str("Message"),
            Self::Dead(peer) => write!(f, "Dead({peer})"),
            Self::Trouble(trouble) => write!(f, "Trouble({trouble})"),
            Self::Broken(what) => write!(f, "Broken({what})"),
        }
    }
}

/// Something wrong with a peer that keeps a link from being made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// Somebody who connected to us.
    #[error("link from {from}: {error}")]
    Accept {
        /// Its address; the port is random.
        from: IpAddr,
        /// What was wrong.
        error: HandshakeError,
    },
    /// A member we connected to.
    #[error("link to {peer} at {addr}: {error}")]
    Dial {
        /// The member.
        peer: ProcessName,
        /// Its cluster address.
        addr: SocketAddr,
        /// What was wrong.
        error: HandshakeError,
    },
    /// Another node answers at a member's address.
    #[error("link to {expected} at {addr}: {found} answers there")]
    AnotherNode {
        /// The member.
        expected: ProcessName,
        /// Its cluster address.
        addr: SocketAddr,
        /// Who answered.
        found: ProcessName,
    },
    /// The session's name is not the certificate's.
    #[error("a session says it is {says}, its certificate says {certified}: closed")]
    FalseName {
        /// The name in the session.
        says: String,
        /// The name in the certificate.
        certified: ProcessName,
    },
    /// A peer speaks another version inside the link.
    #[error("a peer speaks link version {0}, which we do not")]
    Version(u8),
}

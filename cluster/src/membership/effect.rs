//! What membership asks its driver to do.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::view::View;

/// One thing for the driver to do, in order.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Seal and send a datagram.
    Send {
        /// Gossip address of the receiver.
        to: SocketAddr,
        /// The datagram before sealing.
        payload: Bytes,
    },
    /// The view changed; it replaces all earlier ones.
    View(Arc<View>),
    /// We had been declared down although we live, and have joined again under the same boot.
    Rejoined,
    /// We cannot be a member; nothing more will come.
    Refused(Refusal),
    /// Worth a line in the log.
    Notice(Notice),
}

/// Why this process cannot be a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// An older live member has our name.
    #[error("the name {name} is taken: a live member at {holder} has it; give this node another name")]
    NameTaken {
        /// The name both want.
        name: String,
        /// Cluster address of the member that keeps it.
        holder: SocketAddr,
    },
    /// The cluster remembers a process at our address whose clock was ahead of ours.
    #[error(
        "the cluster knows a later process at {addr} than this one (boot {boot}): is this machine's clock behind?"
    )]
    BootBehind {
        /// Our cluster address.
        addr: SocketAddr,
        /// Our boot, milliseconds since the UNIX epoch.
        boot: u64,
    },
}

/// A fact for the log that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Notice {
    /// A seed has not answered for a while; announcing goes on.
    #[error("no answer from seed {addr} for {seconds} s; still trying")]
    SeedSilent {
        /// The seed's address.
        addr: SocketAddr,
        /// How long it has been asked, in seconds.
        seconds: u64,
    },
}

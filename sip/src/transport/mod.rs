//! The transports: sockets of tokio that carry messages between the network and the cores.

mod udp;

pub use udp::{BUFFER_BYTES, SendOutcome, UdpCounters, UdpTransport};

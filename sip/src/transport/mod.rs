//! The transports: sockets of tokio that carry messages between the network and the cores.

mod arrivals;
mod udp;
mod watch;

pub use arrivals::Arrivals;
pub use udp::{BUFFER_BYTES, SendOutcome, UdpCounters, UdpTransport};

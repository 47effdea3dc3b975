//! What makes a dialog outlive its actor: snapshots, and addresses as they are kept in them.

pub(crate) mod snapshot;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use holdline_protos::v1;
use holdline_sip::{Flow, Ingress, Transport};

/// A flow as it travels to another node: where it leads, not which socket it came in on.
pub(crate) fn address(flow: Flow) -> v1::Address {
    let ip = match flow.remote.ip() {
        IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
    };
    let transport = match flow.transport {
        Transport::Udp => v1::Transport::Udp,
        Transport::Tcp => v1::Transport::Tcp,
        Transport::Tls => v1::Transport::Tls,
        Transport::Ws => v1::Transport::Ws,
        Transport::Wss => v1::Transport::Wss,
    };
    v1::Address { ip, port: u32::from(flow.remote.port()), transport: transport.into() }
}

/// The way back; `None` if the address is no address.
pub(crate) fn flow(address: &v1::Address, ingress: Ingress) -> Option<Flow> {
    let ip = match address.ip.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(&address.ip[..]).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(&address.ip[..]).ok()?),
        _ => return None,
    };
    let transport = match address.transport() {
        v1::Transport::Udp => Transport::Udp,
        v1::Transport::Tcp => Transport::Tcp,
        v1::Transport::Tls => Transport::Tls,
        v1::Transport::Ws => Transport::Ws,
        v1::Transport::Wss => Transport::Wss,
    };
    Some(Flow { transport, remote: SocketAddr::new(ip, u16::try_from(address.port).ok()?), ingress })
}

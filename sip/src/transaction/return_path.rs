//! Where the answers to a request go: RFC 3261 §18.2.1 and §18.2.2, RFC 3581.

use std::net::{IpAddr, SocketAddr};

use memchr::{memchr_iter, memchr2, memrchr};

use crate::wire::{HeaderName, Request};
use crate::{Flow, Transport};

/// Fills `received` and `rport` into the top Via as the source demands, and gives the flow of the responses.
///
/// `maddr` (RFC 3261 §18.2.2) is not followed: there is no multicast here, and else it would let anybody have our
/// responses, retransmissions included, sent to a third party.
pub(super) fn prepare(request: &mut Request, flow: Flow) -> Flow {
    let sent_by = plain_sent_by(request, flow);
    let port = match sent_by {
        Some(sent_by) => sent_by.port(),
        None => {
            let via = request.top_via();
            *request = request.with_top_via_received(flow.remote);
            // RFC 3581 §4: to the source port.
            if via.wants_rport() { flow.remote.port() } else { via.port_or_default() }
        }
    };
    // RFC 3261 §18.2.2: a reliable transport answers over the connection.
    if flow.transport != Transport::Udp {
        return flow;
    }
    Flow { remote: SocketAddr::new(flow.remote.ip(), port), ..flow }
}

/// The sent-by address of a top Via that names its source and has nothing to be filled in: as most are, found without
/// reading it in full. May give `None` for others of that kind too.
fn plain_sent_by(request: &Request, flow: Flow) -> Option<SocketAddr> {
    let via = request.header(&HeaderName::Via)?;
    let (head, params) = via.split_at(memchr2(b';', b',', via.as_bytes())?);
    // A parameter that may be `received` or `rport`, or is not written tightly.
    let loose = |byte: &u8| matches!(byte, b'r' | b'R') || byte.is_ascii_whitespace();
    let params = params.as_bytes();
    if memchr_iter(b';', params).any(|at| params.get(at + 1).is_some_and(loose)) {
        return None;
    }
    let sent_by = &head[memrchr(b' ', head.as_bytes())? + 1..];
    let port = || flow.transport.default_port();
    let sent_by = sent_by
        .parse::<SocketAddr>()
        .or_else(|_| sent_by.parse::<IpAddr>().map(|host| SocketAddr::new(host, port())))
        .ok()?;
    (sent_by.ip() == flow.remote.ip()).then_some(sent_by)
}

//! Requests through the proxy (RFC 3261 §16.3 to §16.6, without state): where to, and with which edits.

use std::net::SocketAddr;

use bytes::Bytes;
use holdline_cluster::id::Shard;
use holdline_sip::Timestamp;
use holdline_sip::wire::{HeaderName, Method, Request, StatusCode};

use super::branch::Identity;
use super::effect::{Dropped, Effect};
use super::proxy::Proxy;
use super::raw::{RawUri, RawVia};
use super::reply::Reply;
use super::route_set::RouteSet;
use crate::routing::RouteBy;

/// RFC 3261 §16.6 item 3: what a proxy writes that finds no Max-Forwards.
const MAX_FORWARDS: u32 = 70;

/// Where a request goes, decided before anything is written.
#[derive(Debug, Clone, Copy)]
enum Next<'m> {
    Node { node: SocketAddr, shard: Shard },
    Address(SocketAddr),
    Name { host: &'m str, port: u16 },
    Refuse(StatusCode),
}

/// The decision, and the edits of request line and Route that belong to it.
#[derive(Debug)]
struct Plan<'m> {
    next: Next<'m>,
    routes: RouteSet<'m>,
    /// The new Request-URI, if it changes.
    uri: Option<&'m str>,
}

impl Proxy {
    pub(super) fn request(&mut self, now: Timestamp, request: &Request, source: SocketAddr) -> Effect {
        let Some((top, via)) =
            request.values(HeaderName::Via).next().and_then(|top| Some((top, RawVia::read(top)?)))
        else {
            return Effect::Drop(Dropped::Malformed);
        };
        let reply = Reply { tags: &self.tags, request, via, source };
        let is_ack = *request.method() == Method::Ack;
        // RFC 3261 §17.1.1.3: the ACK of a final response ends at the element that sent the response, which is us.
        if is_ack && reply.is_acknowledged() {
            return Effect::Drop(Dropped::AckOfOurs);
        }
        let plan = match unacceptable(request) {
            Some(status) => return reply.refuse(status),
            None => self.plan(now, request, source),
        };
        let bytes = match plan.next {
            Next::Refuse(status) => return reply.refuse(status),
            _ => self.write(request, top, via, source, &plan),
        };
        match plan.next {
            Next::Node { node, shard } => {
                let spread = self.tags.placement_of_call_id(request.call_id());
                Effect::ToNode { node, shard, spread, bytes }
            }
            Next::Address(to) => Effect::Transmit { to, bytes },
            Next::Name { host, port } => Effect::Resolve { host: host.to_owned(), port, bytes },
            Next::Refuse(status) => reply.refuse(status),
        }
    }

    /// Takes off what names this proxy (RFC 3261 §16.4) and decides whether the request enters the cluster or leaves it.
    fn plan<'m>(&self, now: Timestamp, request: &'m Request, source: SocketAddr) -> Plan<'m> {
        let mut routes = RouteSet::read(request);
        let mut uri = None;
        // RFC 3261 §16.4: a strict router before us made our Record-Route the Request-URI, and put the target last.
        if RawUri::read(request.uri()).is_some_and(|uri| self.is_our_record_route(&uri)) {
            uri = routes.pop_last();
        }
        routes.pop_own(|route| self.is_me_at(route));
        let target = uri.unwrap_or(request.uri());
        let next = match self.entry(request, source, routes.first().unwrap_or(target)) {
            Some(by) => self.enter(now, by.shard()),
            None => return self.leave(routes, uri, target),
        };
        Plan { next, routes, uri }
    }

    /// By what the request enters the cluster; nothing for one that leaves it.
    ///
    /// One that leaves comes from a node, in a dialog of ours or on the way to becoming one, and is not for us again.
    /// Who is no node cannot make us send anywhere but to a node.
    fn entry(&self, request: &Request, source: SocketAddr, next_hop: &str) -> Option<RouteBy> {
        if let Some(key) = request.to_tag().and_then(|tag| self.tags.parse(tag)) {
            return Some(RouteBy::Tag(key));
        }
        let from_us = self.routes.is_source(source.ip())
            && request.from_tag().is_some_and(|tag| self.tags.parse(tag).is_some());
        if from_us && !RawUri::read(next_hop).is_some_and(|uri| self.is_me_at(&uri)) {
            return None;
        }
        Some(RouteBy::CallId(self.tags.placement_of_call_id(request.call_id())))
    }

    fn enter(&self, now: Timestamp, shard: Shard) -> Next<'static> {
        match self.node_for(now, shard) {
            Some(node) => Next::Node { node, shard },
            None => Next::Refuse(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// RFC 3261 §16.6 items 6 and 7: to the next Route, or to the Request-URI.
    fn leave<'m>(&self, mut routes: RouteSet<'m>, mut uri: Option<&'m str>, target: &'m str) -> Plan<'m> {
        let mut hop = routes.first().unwrap_or(target);
        if let Some(route) = routes.first().and_then(RawUri::read).filter(|route| !route.is_loose_router()) {
            // RFC 3261 §16.6 item 6: a strict router wants itself in the Request-URI and the target at the end of Route.
            tracing::trace!("the next hop {} routes strictly", route.host);
            if let Some(router) = routes.pop_first() {
                routes.push_last(target);
                (uri, hop) = (Some(router), router);
            }
        }
        let next = match RawUri::read(hop) {
            Some(uri) if !uri.is_sip() => Next::Refuse(StatusCode::UNSUPPORTED_URI_SCHEME),
            // RFC 3261 §16.9: a next hop we have no transport to is as one that does not answer.
            Some(uri) if !uri.is_udp() => Next::Refuse(StatusCode::SERVICE_UNAVAILABLE),
            Some(uri) => match uri.addr() {
                Some(address) if self.is_me(address) => Next::Refuse(StatusCode::LOOP_DETECTED),
                Some(address) => Next::Address(address),
                None => Next::Name { host: uri.host, port: uri.port },
            },
            None => Next::Refuse(StatusCode::UNSUPPORTED_URI_SCHEME),
        };
        Plan { next, routes, uri }
    }

    /// The request as it goes on (RFC 3261 §16.6 items 2 to 8).
    fn write(
        &self,
        request: &Request,
        top: &str,
        via: RawVia<'_>,
        source: SocketAddr,
        plan: &Plan<'_>,
    ) -> Bytes {
        let mut edit = plan.routes.write(request.edit());
        if let Some(uri) = plan.uri {
            edit = edit.uri(uri);
        }
        edit = edit.max_forwards(request.max_forwards().map_or(MAX_FORWARDS, |hops| hops.saturating_sub(1)));
        // RFC 3261 §16.6 item 4: on every request that may make a dialog, also within one: the peer may have lost its own.
        if matches!(request.method(), Method::Invite | Method::Subscribe | Method::Refer) {
            edit = edit.push_record_route(&self.record_route);
        }
        if let Some(stamped) = via.stamped(top, source) {
            edit = edit.pop(HeaderName::Via).push_via(stamped);
        }
        let identity = Identity::of_request(request, via);
        edit.push_via(self.branches.via(&identity)).finish().as_bytes().clone()
    }

    fn is_our_record_route(&self, uri: &RawUri<'_>) -> bool {
        uri.is_loose_router() && !uri.has_user && self.is_me_at(uri)
    }

    fn is_me_at(&self, uri: &RawUri<'_>) -> bool {
        uri.is_sip() && uri.addr().is_some_and(|address| self.is_me(address))
    }
}

/// RFC 3261 §16.3: what a proxy must not pass on, and what that is answered.
fn unacceptable(request: &Request) -> Option<StatusCode> {
    // Item 3.
    match request.header(HeaderName::MaxForwards) {
        Some(_) if request.max_forwards().is_none() => return Some(StatusCode::BAD_REQUEST),
        Some(_) if request.max_forwards() == Some(0) => return Some(StatusCode::TOO_MANY_HOPS),
        _ => {}
    }
    // Item 5: this proxy knows no extension; CANCEL and ACK must not be held up by one (§8.2.2.3).
    let is_exempt = matches!(request.method(), Method::Ack | Method::Cancel);
    (!is_exempt && request.header(HeaderName::ProxyRequire).is_some()).then_some(StatusCode::BAD_EXTENSION)
}

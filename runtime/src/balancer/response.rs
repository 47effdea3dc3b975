//! Responses through the proxy (RFC 3261 §16.7 and §16.11): our Via comes off, the next one says where to.

use std::net::SocketAddr;

use holdline_sip::Timestamp;
use holdline_sip::wire::{HeaderName, Response};

use super::branch::Identity;
use super::effect::{Dropped, Effect};
use super::proxy::Proxy;
use super::raw::RawVia;

impl Proxy {
    pub(super) fn response(&mut self, now: Timestamp, response: &Response) -> Effect {
        let mut vias = response.values(HeaderName::Via).map(RawVia::read);
        let (Some(Some(ours)), Some(Some(next))) = (vias.next(), vias.next()) else {
            return Effect::Drop(Dropped::NotOurs);
        };
        let is_last = vias.next().is_none();
        // RFC 3261 §18.1.2 and §16.11: a response to nothing we passed on is dropped.
        if !self.branches.is_ours(&ours, &Identity::of_response(response, next)) {
            return Effect::Drop(Dropped::NotOurs);
        }
        let to = match self.node_behind(now, response, &next, is_last) {
            Some(node) => node,
            None => match next.response_addr() {
                Some(address) => address,
                None => return Effect::Drop(Dropped::NoWayBack),
            },
        };
        if self.is_me(to) {
            return Effect::Drop(Dropped::Loop);
        }
        Effect::Transmit { to, bytes: response.edit().pop_via().finish().as_bytes().clone() }
    }

    /// The node that a response to a node's request goes to: the one that sent it, or while that one is not alive (or
    /// calls itself by our name) the owner of the shard, which has taken the dialog over.
    fn node_behind(
        &self,
        now: Timestamp,
        response: &Response,
        next: &RawVia<'_>,
        is_last: bool,
    ) -> Option<SocketAddr> {
        let by_branch = next.branch().and_then(|branch| self.tags.placement_of_branch(branch));
        let by_tag = || {
            let key = response.from_tag().filter(|_| is_last).and_then(|tag| self.tags.parse(tag))?;
            Some(key.placement)
        };
        let placement = by_branch.or_else(by_tag)?;
        let sender = next.response_addr().filter(|address| self.routes.is_node(*address));
        sender.or_else(|| self.node_for(now, crate::routing::RouteBy::CallId(placement).shard()))
    }
}

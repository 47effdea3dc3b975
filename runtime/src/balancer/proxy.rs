//! The stateless proxy (RFC 3261 §16.11): what to do with a datagram is a function of it, the view and nothing else.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdline_cluster::id::Shard;
use holdline_sip::Timestamp;
use holdline_sip::wire::Message;

use super::branch::BranchMaker;
use super::effect::{Dropped, Effect};
use super::routes::Routes;
use crate::routing::TagKey;

/// For how long a node that refused a request is passed over: long enough to spare every request of a dead node its
/// detour until the view changes (half a second at most), short enough not to hold up a node that is back.
const REFUSED_FOR: Duration = Duration::from_millis(200);

/// The pure core of the balancer. It keeps no state per call, transaction or peer; two of them with the same key and view
/// do the same, so a message may reach any balancer, and a balancer may die at any time.
#[derive(Debug)]
pub struct Proxy {
    me: SocketAddr,
    /// Where the socket is bound, if that is another address of ours.
    bound: SocketAddr,
    pub(super) tags: TagKey,
    pub(super) branches: BranchMaker,
    pub(super) routes: Arc<Routes>,
    /// Nodes that refused lately, and until when they are passed over; one entry a node at most.
    refused: HashMap<SocketAddr, Timestamp>,
    pub(super) record_route: String,
}

impl Proxy {
    /// A proxy that calls itself `me` in Via and Record-Route and listens at `bound`.
    pub fn new(me: SocketAddr, bound: SocketAddr, tags: TagKey) -> Self {
        Self {
            me,
            bound,
            branches: BranchMaker::new(me, tags.clone()),
            tags,
            routes: Arc::new(Routes::none()),
            refused: HashMap::new(),
            // RFC 3261 §16.6 item 4: a SIP URI that comes back to this proxy, with `lr`.
            record_route: format!("<sip:{me};lr>"),
        }
    }

    /// What this balancer calls itself.
    pub(super) fn me(&self) -> SocketAddr {
        self.me
    }

    /// Takes the routes of a new view; whoever refused before is judged anew.
    pub fn handle_view(&mut self, routes: Arc<Routes>) {
        self.routes = routes;
        self.refused.clear();
    }

    /// Says what to do with a datagram that came from `source`.
    pub fn handle_datagram(&mut self, now: Timestamp, datagram: Bytes, source: SocketAddr) -> Effect {
        match Message::parse(datagram.clone()) {
            Ok(Message::Request(request)) => self.request(now, &request, source),
            Ok(Message::Response(response)) => self.response(now, &response),
            // RFC 3261 §16.3 item 1, §8.2.6: what can be answered is answered, by the address it came from.
            Err(error) => match error.reply_from(&datagram, source) {
                Some((bytes, to)) => Effect::Transmit { to, bytes },
                None => Effect::Drop(Dropped::Malformed),
            },
        }
    }

    /// A node's machine refused a request of `shard` (nobody listens there any more): says who may have it instead.
    pub fn handle_refused(&mut self, now: Timestamp, node: SocketAddr, shard: Shard) -> Option<SocketAddr> {
        self.refused.retain(|_, until| *until > now);
        if self.routes.is_node(node) {
            self.refused.insert(node, now + REFUSED_FOR);
        }
        self.routes
            .candidates(shard)
            .into_iter()
            .flatten()
            .find(|other| *other != node && !self.is_refused(now, *other))
    }

    /// Who gets a request of this shard: the first in order, or the second while the first refuses.
    pub(super) fn node_for(&self, now: Timestamp, shard: Shard) -> Option<SocketAddr> {
        let [first, second] = self.routes.candidates(shard);
        match (first, second) {
            (Some(node), Some(other)) if self.is_refused(now, node) && !self.is_refused(now, other) => {
                Some(other)
            }
            _ => first,
        }
    }

    /// Whether an address is this balancer.
    pub(super) fn is_me(&self, address: SocketAddr) -> bool {
        address == self.me || address == self.bound
    }

    fn is_refused(&self, now: Timestamp, node: SocketAddr) -> bool {
        !self.refused.is_empty() && self.refused.get(&node).is_some_and(|until| *until > now)
    }
}

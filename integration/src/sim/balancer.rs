//! The balancer of a run: its proxy core and its place in the gossip, with what its sockets would do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdline::balancer::{Effect, Proxy, Routes};
use holdline_cluster::Timestamp;
use holdline_cluster::id::Shard;
use holdline_cluster::membership::{self, Membership};
use holdline_cluster::view::Role;

use super::endpoint::tags;
use super::node::member;

/// A refused datagram tells the real driver no more than "one of the last": it sends all of this age again.
const RECENT: Duration = Duration::from_millis(100);

pub(super) struct Balancer {
    pub(super) address: SocketAddr,
    pub(super) gossip: SocketAddr,
    pub(super) membership: Membership,
    pub(super) wake: Option<Timestamp>,
    proxy: Proxy,
    recent: VecDeque<(Timestamp, SocketAddr, Shard, Bytes)>,
}

impl Balancer {
    pub(super) fn new(start: Timestamp, rng_seed: u64) -> Self {
        let observer = member("lb", start.as_millis() as u64, 100, Role::Observer);
        Self {
            address: observer.service,
            gossip: observer.cluster,
            proxy: Proxy::new(observer.service, observer.service, tags()),
            membership: Membership::new(start, membership::Config::new(observer, rng_seed)),
            wake: None,
            recent: VecDeque::new(),
        }
    }

    /// Where a datagram goes on to, if anywhere.
    pub(super) fn handle_datagram(
        &mut self,
        now: Timestamp,
        bytes: Bytes,
        from: SocketAddr,
    ) -> Option<(SocketAddr, Bytes)> {
        match self.proxy.handle_datagram(now, bytes, from) {
            Effect::ToNode { node, shard, bytes, .. } => {
                self.recent.retain(|(at, ..)| *at + RECENT > now);
                self.recent.push_back((now, node, shard, bytes.clone()));
                Some((node, bytes))
            }
            Effect::Transmit { to, bytes } => Some((to, bytes)),
            // Every address of a run is a number.
            Effect::Resolve { .. } | Effect::Drop(_) => None,
        }
    }

    /// The machine of a dead node refused a datagram: the last requests to it go to those who inherit their shards.
    pub(super) fn handle_refused(&mut self, now: Timestamp, node: SocketAddr) -> Vec<(SocketAddr, Bytes)> {
        let recent = std::mem::take(&mut self.recent);
        let (refused, kept): (VecDeque<_>, _) = recent.into_iter().partition(|(_, to, ..)| *to == node);
        self.recent = kept;
        let again = refused.into_iter().filter(|(at, ..)| *at + RECENT > now);
        again
            .filter_map(|(_, _, shard, bytes)| Some((self.proxy.handle_refused(now, node, shard)?, bytes)))
            .collect()
    }

    /// Gossip to send; views are taken to heart.
    pub(super) fn poll_gossip(&mut self) -> Option<(SocketAddr, Bytes)> {
        loop {
            match self.membership.poll_effect()? {
                membership::Effect::Send { to, payload } => return Some((to, payload)),
                membership::Effect::View(view) => self.proxy.handle_view(Arc::new(Routes::of(&view))),
                _ => {}
            }
        }
    }
}

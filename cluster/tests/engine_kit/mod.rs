//! A small world for engines: one virtual clock, links that break and lose, nodes that die, all from one seed.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of the kit")]

pub mod bench;
pub mod sim;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use holdline_cluster::id::NodeId;
use holdline_cluster::view::{Member, Phase, Role, View};

pub fn node(index: usize) -> NodeId {
    format!("n{index}").parse().unwrap()
}

pub fn member(index: usize, boot: u64) -> Member {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 7000 + index as u16));
    let (role, phase) = (Role::Node, Phase::Up);
    Member { id: node(index), boot, role, phase, cluster: address, service: address, zone: String::new() }
}

pub fn view(me: usize, members: &[(usize, u64)], formed: bool) -> Arc<View> {
    Arc::new(View::new(node(me), members.iter().map(|(index, boot)| member(*index, *boot)), formed))
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// SplitMix64: a few lines, and the same on every machine.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time between two numbers of microseconds.
    pub fn micros(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from + self.below(to - from))
    }
}

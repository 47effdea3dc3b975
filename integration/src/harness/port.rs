//! Free loopback addresses, below the range that the kernel hands out by itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// First port looked at: above the services of a usual machine.
const FIRST: u16 = 12_000;
/// How many are looked at: Linux gives ports from 32,768 on to sockets that ask for none, and those must not meet ours.
const COUNT: u16 = 20_000;

/// A loopback address whose port is free over UDP and over TCP (gossip and links share one number), given to no other caller of
/// this process.
#[track_caller]
pub fn free_address() -> SocketAddr {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Two test processes at the same time start at different places.
    let next = NEXT.get_or_init(|| AtomicU16::new((std::process::id() % 256) as u16 * 64));
    for _ in 0..COUNT {
        let port = FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_given_once() {
        let (one, two) = (free_address(), free_address());
        assert_ne!(one, two);
        assert!(one.ip().is_loopback());
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = UdpSocket::bind(free_address()).expect("the address was free");
        let other = free_address();
        assert_ne!(taken.local_addr().expect("a bound socket has an address"), other);
        assert!(UdpSocket::bind(other).is_ok());
    }
}

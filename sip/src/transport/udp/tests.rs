//! The UDP transport on loopback.

use std::time::Duration;

use super::super::Arrivals;
use super::*;

const LOOPBACK: &str = "127.0.0.1:0";

fn bind(addr: &str) -> UdpTransport {
    UdpTransport::bind(addr.parse().unwrap(), false).unwrap()
}

async fn receive(transport: &UdpTransport, buffer: &mut [u8]) -> (Bytes, SocketAddr) {
    let mut arrivals = Arrivals::new(transport, Duration::ZERO);
    loop {
        arrivals.wait().await.unwrap();
        if let Some(received) = arrivals.try_recv(buffer) {
            return received;
        }
    }
}

#[test]
fn keep_alives_are_told_from_messages() {
    for keep_alive in
        [&b""[..], b"\r\n", b"\r\n\r\n", b"\0", b"\0\0\0\0", b"  ", b"\0\x01\0\0\x21\x12\xa4\x42"]
    {
        assert!(is_keep_alive(keep_alive), "{keep_alive:?}");
    }
    for message in [&b"\r\nOPTIONS sip:a SIP/2.0\r\n"[..], b"SIP/2.0 200 OK\r\n", b"x", b"\x80\0"] {
        assert!(!is_keep_alive(message), "{message:?}");
    }
}

#[tokio::test]
async fn datagrams_arrive_whole_and_in_order_from_the_sender() {
    for addr in [LOOPBACK, "[::1]:0"] {
        let (one, other) = (bind(addr), bind(addr));
        let largest = Bytes::from(vec![b'x'; 65_000]);
        let datagrams = [Bytes::from_static(b"first"), largest, Bytes::from_static(b"last")];
        for datagram in &datagrams {
            assert_eq!(one.try_send(datagram, other.local_addr()), SendOutcome::Sent);
        }
        let mut buffer = vec![0; BUFFER_BYTES];
        for datagram in &datagrams {
            assert_eq!(receive(&other, &mut buffer).await, (datagram.clone(), one.local_addr()));
        }
        assert_eq!(other.receive(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!((one.counters().sent, other.counters().received), (3, 3));
    }
}

#[tokio::test]
async fn keep_alives_are_passed_over_and_counted() {
    let (one, other) = (bind(LOOPBACK), bind(LOOPBACK));
    for datagram in [&b"\r\n\r\n"[..], b"", b"\0\x01\0\0", b"SIP"] {
        assert_eq!(one.try_send(&Bytes::from_static(datagram), other.local_addr()), SendOutcome::Sent);
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    assert_eq!(receive(&other, &mut buffer).await.0, "SIP");
    assert_eq!((other.counters().keep_alives, other.counters().received), (3, 1));
}

#[tokio::test]
async fn an_address_that_can_not_be_reached_is_reported_and_the_socket_goes_on() {
    let transport = bind(LOOPBACK);
    let impossible: SocketAddr = "[2001:db8::1]:5060".parse().unwrap();
    let outcome = transport.try_send(&Bytes::from_static(b"x"), impossible);
    assert!(matches!(outcome, SendOutcome::Error { remote, .. } if remote == impossible), "{outcome:?}");
    assert_eq!(transport.counters().send_errors, 1);
    let too_long = Bytes::from(vec![b'x'; 70_000]);
    let outcome = transport.try_send(&too_long, transport.local_addr());
    assert!(matches!(outcome, SendOutcome::Error { .. }), "{outcome:?}");

    // A closed port answers by ICMP; whatever the kernel makes of it, the next datagrams pass.
    let closed = bind(LOOPBACK).local_addr();
    for _ in 0..3 {
        let _ = transport.try_send(&Bytes::from_static(b"x"), closed);
    }
    assert_eq!(transport.try_send(&Bytes::from_static(b"y"), transport.local_addr()), SendOutcome::Sent);
    let mut buffer = vec![0; BUFFER_BYTES];
    assert_eq!(receive(&transport, &mut buffer).await, (Bytes::from_static(b"y"), transport.local_addr()));
}

#[tokio::test]
async fn sockets_share_a_port_only_when_asked() {
    let first = UdpTransport::bind(LOOPBACK.parse().unwrap(), true).unwrap();
    let second = UdpTransport::bind(first.local_addr(), true).unwrap();
    assert_eq!(second.local_addr(), first.local_addr());
    let alone = bind(LOOPBACK);
    assert!(UdpTransport::bind(alone.local_addr(), false).is_err());
}

//! A whole balancer: it serves from the moment it starts, refuses what it cannot have, and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use holdline::balancer::{Balancer, StartError};
use holdline::config::{BalancerConfig, Sources};
use holdline_sip::wire::{Response, StatusCode};

/// An address that nobody uses over UDP or TCP.
fn free() -> SocketAddr {
    loop {
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn config(sip: SocketAddr, cluster: SocketAddr) -> BalancerConfig {
    let sources =
        Sources::new().flag("name", "lb").flag("sip", sip).flag("cluster", cluster).flag("lanes", 2);
    BalancerConfig::load(&sources).unwrap()
}

#[test]
fn it_answers_before_any_node_is_there_and_gives_its_ports_back() {
    let (sip, cluster) = (free(), free());
    let balancer = Balancer::start(&config(sip, cluster)).unwrap();
    assert_eq!(balancer.local_addr(), sip);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let me = client.local_addr().unwrap();
    let options = format!(
        "OPTIONS sip:{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK1\r\nFrom: <sip:{me}>;tag=1\r\n\
         To: <sip:{sip}>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
    );
    client.send_to(options.as_bytes(), sip).unwrap();
    let mut buffer = [0; 2048];
    let length = client.recv(&mut buffer).unwrap();
    let response = Response::parse(Bytes::copy_from_slice(&buffer[..length])).unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(balancer.stats().received, 1);
    balancer.shutdown();
    UdpSocket::bind(sip).unwrap();
    UdpSocket::bind(cluster).unwrap();
}

#[test]
fn it_does_not_share_its_port_with_another_process() {
    let (sip, cluster) = (free(), free());
    let _other = UdpSocket::bind(sip).unwrap();
    match Balancer::start(&config(sip, cluster)) {
        Err(StartError::Bind { addr, .. }) => assert_eq!(addr, sip),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two processes on one port"),
    }
}

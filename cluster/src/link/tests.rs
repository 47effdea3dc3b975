//! Handshakes between two ends of a TCP connection: the same key, another key, silence, noise.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::connect::Connector;
use super::name::ProcessName;
use super::tls::{HandshakeError, LinkTls};
use super::{Event, Trouble};
use crate::key::ClusterKey;

fn tls(key: u8, name: &str) -> LinkTls {
    LinkTls::new(&ClusterKey::from_bytes([key; 32]), &name.parse().unwrap()).unwrap()
}

/// Both ends' verdicts.
async fn shake(
    acceptor: LinkTls,
    dialler: LinkTls,
) -> (Result<ProcessName, HandshakeError>, Result<ProcessName, HandshakeError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accepting = async { acceptor.accept(listener.accept().await.unwrap().0).await.map(|(_, name)| name) };
    let dialling =
        async { dialler.connect(TcpStream::connect(addr).await.unwrap()).await.map(|(_, name)| name) };
    tokio::join!(accepting, dialling)
}

#[tokio::test]
async fn with_one_key_both_learn_the_others_verified_name() {
    let (acceptor_saw, dialler_saw) = shake(tls(1, "n1#5"), tls(1, "n2#6")).await;
    assert_eq!(acceptor_saw.unwrap().to_string(), "n2#6");
    assert_eq!(dialler_saw.unwrap().to_string(), "n1#5");
}

#[tokio::test]
async fn with_another_key_each_side_gets_its_one_clear_line() {
    let (acceptor, dialler) = (tls(1, "n1#5"), tls(2, "n2#6"));
    let (ours, theirs) =
        (ClusterKey::from_bytes([1; 32]).fingerprint(), ClusterKey::from_bytes([2; 32]).fingerprint());
    let (acceptor_saw, dialler_saw) = shake(acceptor, dialler).await;
    assert_eq!(
        dialler_saw.unwrap_err().to_string(),
        format!(
            "refused: its certificate is not from our cluster key (ours is {theirs}); is the cluster key the same on both nodes?"
        )
    );
    assert_eq!(
        acceptor_saw.unwrap_err().to_string(),
        format!(
            "it refused us: its cluster key is not ours (ours is {ours}); is the cluster key the same on both nodes?"
        )
    );
}

#[tokio::test]
async fn one_who_closes_without_a_word_is_not_worth_a_line_and_noise_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = tls(1, "n1#5");
    drop(TcpStream::connect(addr).await.unwrap());
    let closed = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap_err();
    assert!(matches!(closed, HandshakeError::Closed), "{closed}");
    let mut http = TcpStream::connect(addr).await.unwrap();
    http.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let noise = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap_err();
    assert!(matches!(noise, HandshakeError::Tls(_)), "{noise}");
}

#[tokio::test]
async fn a_silent_client_does_not_hold_up_the_next_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (events, mut received) = tokio::sync::mpsc::unbounded_channel();
    let connector = Connector { tls: tls(1, "n1#5"), events, numbers: Arc::new(AtomicU64::new(0)) };
    let accepting = tokio::spawn(connector.accept(listener));
    let _silent = TcpStream::connect(addr).await.unwrap();
    let stranger = tls(2, "n9#1").connect(TcpStream::connect(addr).await.unwrap()).await;
    assert!(stranger.is_err());
    let (mut stream, name) = tls(1, "n2#6").connect(TcpStream::connect(addr).await.unwrap()).await.unwrap();
    assert_eq!(name.to_string(), "n1#5");
    let mut peers = Vec::new();
    while peers.is_empty() {
        match tokio::time::timeout(Duration::from_secs(2), received.recv()).await.unwrap().unwrap() {
            Event::Accepted(accepted) => peers.push(accepted),
            Event::Trouble(Trouble::Accept { .. }) => {}
            other => panic!("unexpected event {other:?}"),
        }
    }
    assert_eq!(peers[0].peer.to_string(), "n2#6");
    peers[0].tls.write_all(b"hi").await.unwrap();
    peers[0].tls.flush().await.unwrap();
    let mut hi = [0; 2];
    stream.read_exact(&mut hi).await.unwrap();
    assert_eq!(&hi, b"hi");
    accepting.abort();
}

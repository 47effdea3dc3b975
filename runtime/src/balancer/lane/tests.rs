//! A lane with real sockets: both ways through it, and what a node's closed port sets off.

use std::net::UdpSocket;
use std::time::Duration;

use holdline_cluster::id::Key;
use holdline_cluster::placement;
use holdline_cluster::view::{Member, Phase, Role, View};
use holdline_sip::wire::{Request, Response, StatusCode};

use super::*;
use crate::routing::TagKey;

/// Long enough for a loaded machine; a passing test never waits for it.
const LIMIT: Duration = Duration::from_secs(10);

/// A lane on a thread of its own, in front of two nodes that are bare sockets.
struct Fixture {
    balancer: SocketAddr,
    shared: Arc<Shared>,
    nodes: Vec<UdpSocket>,
    view: View,
    tags: TagKey,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Fixture {
    fn new() -> Self {
        let nodes: Vec<UdpSocket> = (0..2).map(|_| socket()).collect();
        let view = view(&nodes);
        let shared = Arc::new(Shared::new());
        shared.routes.store(Arc::new(Routes::of(&view)));
        let tags = TagKey::new(&[3; 32]);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let (lane_tags, lane_shared) = (tags.clone(), Arc::clone(&shared));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let public = UdpTransport::bind("127.0.0.1:0".parse().unwrap(), true).unwrap();
                let me = public.local_addr();
                Lane::start(public, Proxy::new(me, me, lane_tags), lane_shared);
                tell.send(me).unwrap();
                let _ = stopped.await;
            });
        });
        Self { balancer: told.recv().unwrap(), shared, nodes, view, tags, _stop: stop }
    }

    /// The node that owns the key, and the one that inherits it, as places in `nodes`.
    fn order(&self, key: Key) -> Vec<usize> {
        let order = placement::order(key.shard(), &self.view);
        let place =
            |service| self.nodes.iter().position(|node| node.local_addr().unwrap() == service).unwrap();
        order.into_iter().map(|member| place(member.service)).collect()
    }

    fn bye(&self, client: &UdpSocket, branch: &str, key: Key) -> String {
        let (me, tag, lb) = (client.local_addr().unwrap(), self.tags.tag(key), self.balancer);
        format!(
            "BYE sip:b@{lb} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@{me}>;tag=a\r\nTo: <sip:b@{lb}>;tag={tag}\r\nCall-ID: c-{branch}\r\nCSeq: 2 BYE\r\n\r\n"
        )
    }

    fn send(&self, client: &UdpSocket, text: &str) {
        client.send_to(text.as_bytes(), self.balancer).unwrap();
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

fn view(nodes: &[UdpSocket]) -> View {
    let member = |(at, node): (usize, &UdpSocket)| Member {
        id: format!("n{at}").parse().unwrap(),
        boot: 1,
        role: Role::Node,
        phase: Phase::Up,
        cluster: node.local_addr().unwrap(),
        service: node.local_addr().unwrap(),
        zone: String::new(),
    };
    View::new("lb".parse().unwrap(), nodes.iter().enumerate().map(member), true)
}

fn receive(socket: &UdpSocket) -> (Bytes, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (length, source) = socket.recv_from(&mut buffer).unwrap();
    (Bytes::copy_from_slice(&buffer[..length]), source)
}

#[test]
fn a_request_goes_to_its_node_and_the_response_back() {
    let fixture = Fixture::new();
    let client = socket();
    let key = Key { placement: 4711, id: 5 };
    let node = &fixture.nodes[fixture.order(key)[0]];
    // A node answers to the Via as RFC 3261 has it, or to where the request came from: both ways lead back.
    for (branch, to_via) in [("1", true), ("2", false)] {
        fixture.send(&client, &fixture.bye(&client, branch, key));
        let (datagram, source) = receive(node);
        let request = Request::parse(datagram).unwrap();
        assert_ne!(source, fixture.balancer, "requests to nodes leave from ports of their own");
        let ok = Response::builder(StatusCode::OK, &request).build();
        node.send_to(ok.as_bytes(), if to_via { fixture.balancer } else { source }).unwrap();
        let (datagram, source) = receive(&client);
        assert_eq!(source, fixture.balancer, "a response comes from where the request was sent to");
        assert_eq!(Response::parse(datagram).unwrap().branch(), format!("z9hG4bK{branch}"));
    }
}

#[test]
fn the_messages_of_a_call_leave_in_order_from_one_port() {
    let fixture = Fixture::new();
    let client = socket();
    let key = Key { placement: 1, id: 5 };
    let node = &fixture.nodes[fixture.order(key)[0]];
    let text = |cseq: u32| fixture.bye(&client, "same", key).replace("CSeq: 2", &format!("CSeq: {cseq}"));
    (1..=50).for_each(|cseq| fixture.send(&client, &text(cseq)));
    let received: Vec<_> = (1..=50).map(|_| receive(node)).collect();
    let ports = received.iter().map(|(_, source)| *source).collect::<std::collections::HashSet<_>>();
    assert_eq!(ports.len(), 1);
    let numbers: Vec<u32> =
        received.into_iter().map(|(d, _)| Request::parse(d).unwrap().cseq().number).collect();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
}

#[test]
fn what_a_dead_node_refuses_goes_to_its_heir_at_once() {
    let mut fixture = Fixture::new();
    let client = socket();
    let key = Key { placement: 777, id: 5 };
    let [dead, heir] = fixture.order(key)[..] else { panic!("two nodes") };
    fixture.send(&client, &fixture.bye(&client, "before", key));
    receive(&fixture.nodes[dead]);
    // The node dies: its port is closed, and the view does not know yet.
    fixture.nodes[dead] = socket();
    for branch in ["first", "second", "third"] {
        fixture.send(&client, &fixture.bye(&client, branch, key));
        loop {
            let (datagram, _) = receive(&fixture.nodes[heir]);
            // What was sent in the last moments before the death comes again too: to UDP that is a retransmission.
            let request = Request::parse(datagram).unwrap();
            if request.call_id() == format!("c-{branch}") {
                break;
            }
            assert_eq!(request.call_id(), "c-before");
        }
    }
    let stats = fixture.shared.counters.read();
    assert!(stats.refused >= 1 && stats.retried >= 1, "{stats}");
    assert_eq!(stats.unsent, 0);
}

#[test]
fn with_no_node_the_caller_hears_503() {
    let fixture = Fixture::new();
    fixture.shared.routes.store(Arc::new(Routes::none()));
    let client = socket();
    fixture.send(&client, &fixture.bye(&client, "1", Key { placement: 1, id: 1 }));
    assert_eq!(Response::parse(receive(&client).0).unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// Counters are read by people: what was received went somewhere.
#[test]
fn every_datagram_is_counted() {
    let fixture = Fixture::new();
    let client = socket();
    fixture.send(&client, "SIP/2.0 200 OK\r\n\r\n");
    fixture.send(
        &client,
        &fixture
            .bye(&client, "1", Key { placement: 1, id: 1 })
            .replace("Max-Forwards: 70", "Max-Forwards: 0"),
    );
    receive(&client);
    let stats = fixture.shared.counters.read();
    assert_eq!((stats.received, stats.transmitted, stats.malformed, stats.to_nodes), (2, 1, 1, 0));
}

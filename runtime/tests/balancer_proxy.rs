//! The balancer's core: each kind of message in each direction, with IPv4 and IPv6, through failover, and what it refuses.

#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    reason = "a test that cannot go on fails, and its tables are types of their own"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdline::balancer::{Dropped, Effect, Proxy, Routes};
use holdline::routing::{RouteBy, TagKey};
use holdline_cluster::id::{Key, Shard};
use holdline_cluster::placement;
use holdline_cluster::view::{Member, Phase, Role, View};
use holdline_sip::wire::{HeaderName, Message, Request, Response};

const NOW: Duration = Duration::from_secs(1_000);
const LB: &str = "192.0.2.10:5060";
const CALLER: &str = "198.51.100.7:5062";
/// What the balancer's Record-Route says.
const OWN_ROUTE: &str = "<sip:192.0.2.10:5060;lr>";

/// A balancer in front of nodes, each named by its SIP address.
struct Fixture {
    proxy: Proxy,
    view: View,
    tags: TagKey,
}

impl Fixture {
    fn new(nodes: &[&str]) -> Self {
        Self::at(LB, nodes)
    }

    fn at(me: &str, nodes: &[&str]) -> Self {
        let tags = TagKey::new(&[9; 32]);
        let mut fixture = Self { proxy: Proxy::new(addr(me), addr(me), tags.clone()), view: view(&[]), tags };
        fixture.set_nodes(nodes);
        fixture
    }

    fn three() -> Self {
        Self::new(&["192.0.2.11:5060", "192.0.2.12:5060", "192.0.2.13:5060"])
    }

    fn set_nodes(&mut self, nodes: &[&str]) {
        self.view = view(nodes);
        self.proxy.handle_view(Arc::new(Routes::of(&self.view)));
    }

    fn place(&self, shard: Shard) -> SocketAddr {
        placement::place(shard, &self.view).unwrap().service
    }

    fn shard_of_call(&self, call_id: &str) -> Shard {
        RouteBy::CallId(self.tags.placement_of_call_id(call_id)).shard()
    }

    /// A tag of a dialog that `node` owns.
    fn tag_on(&self, node: &str) -> (String, Shard) {
        let key = (0..=u16::MAX)
            .map(|placement| Key { placement, id: 7 })
            .find(|key| self.place(key.shard()) == addr(node))
            .unwrap();
        (self.tags.tag(key), key.shard())
    }

    fn take(&mut self, datagram: &str, source: &str) -> Effect {
        self.proxy.handle_datagram(NOW, Bytes::copy_from_slice(datagram.as_bytes()), addr(source))
    }

    fn sent_to_node(&mut self, datagram: &str, source: &str) -> (SocketAddr, Request) {
        match self.take(datagram, source) {
            Effect::ToNode { node, bytes, .. } => (node, Request::parse(bytes).unwrap()),
            other => panic!("not sent to a node: {other:?}"),
        }
    }

    fn transmitted(&mut self, datagram: &str, source: &str) -> (SocketAddr, Message) {
        match self.take(datagram, source) {
            Effect::Transmit { to, bytes } => (to, Message::parse(bytes).unwrap()),
            other => panic!("not transmitted: {other:?}"),
        }
    }

    fn request_out(&mut self, datagram: &str, source: &str) -> (SocketAddr, Request) {
        match self.transmitted(datagram, source) {
            (to, Message::Request(request)) => (to, request),
            (_, Message::Response(response)) => panic!("answered: {response:?}"),
        }
    }

    fn response_out(&mut self, datagram: &str, source: &str) -> (SocketAddr, Response) {
        match self.transmitted(datagram, source) {
            (to, Message::Response(response)) => (to, response),
            (_, Message::Request(request)) => panic!("a request: {request:?}"),
        }
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn view(nodes: &[&str]) -> View {
    let member = |index: usize, service: &&str| Member {
        id: format!("n{}", index + 1).parse().unwrap(),
        boot: 1,
        role: Role::Node,
        phase: Phase::Up,
        cluster: SocketAddr::new(addr(service).ip(), 7000),
        service: addr(service),
        zone: String::new(),
    };
    let lb = Member { id: "lb".parse().unwrap(), role: Role::Observer, ..member(9, &"192.0.2.10:5060") };
    View::new(lb.id.clone(), nodes.iter().enumerate().map(|(at, node)| member(at, node)).chain([lb]), true)
}

/// A message from its lines; a body of its own would not be looked at anyway.
fn message(lines: &[&str]) -> String {
    format!("{}\r\n\r\n", lines.join("\r\n"))
}

fn invite(call_id: &str) -> String {
    message(&[
        "INVITE sip:bob@192.0.2.10 SIP/2.0",
        "Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKa1",
        "Max-Forwards: 70",
        "From: <sip:ann@example.org>;tag=ann1",
        "To: <sip:bob@example.org>",
        &format!("Call-ID: {call_id}"),
        "CSeq: 1 INVITE",
        "Contact: <sip:ann@198.51.100.7:5062>",
        "X-Anything: as it came",
        "Content-Length: 0",
    ])
}

/// A request inside a dialog; `extra` are further header lines.
fn in_dialog(method: &str, uri: &str, via: &str, from_tag: &str, to_tag: &str, extra: &[&str]) -> String {
    let (start, via) = (format!("{method} {uri} SIP/2.0"), format!("Via: SIP/2.0/UDP {via}"));
    let (from, to) =
        (format!("From: <sip:f@e.org>;tag={from_tag}"), format!("To: <sip:t@e.org>;tag={to_tag}"));
    let cseq = format!("CSeq: 2 {method}");
    let mut lines = vec![start.as_str(), &via, "Max-Forwards: 70", &from, &to, "Call-ID: call-1", &cseq];
    lines.extend(extra);
    message(&lines)
}

/// The answer to `request`, as its receiver makes it.
fn answer(request: &Request, status: u16, to_tag: &str) -> String {
    let status = holdline_sip::wire::StatusCode::new(status).unwrap();
    let response = Response::builder(status, request).to_tag(to_tag).build();
    String::from_utf8(response.as_bytes().to_vec()).unwrap()
}

#[test]
fn an_invite_goes_by_its_call_id_with_via_record_route_and_one_hop_less() {
    let mut fixture = Fixture::three();
    for call_id in ["call-1", "call-2", "call-3", "call-4"] {
        let (node, request) = fixture.sent_to_node(&invite(call_id), CALLER);
        assert_eq!(node, fixture.place(fixture.shard_of_call(call_id)), "{call_id}");
        let branch = request.branch().to_owned();
        assert!(branch.starts_with("z9hG4bKlb") && branch.len() == 22, "{branch}");
        let expected = invite(call_id)
            .replace(
                "SIP/2.0\r\nVia: ",
                &format!(
                    "SIP/2.0\r\nVia: SIP/2.0/UDP {LB};branch={branch}\r\nRecord-Route: {OWN_ROUTE}\r\nVia: "
                ),
            )
            .replace("Max-Forwards: 70", "Max-Forwards: 69");
        assert_eq!(String::from_utf8_lossy(request.as_bytes()), expected, "all else goes on as it came");
    }
}

/// RFC 3261 §16.11: what belongs to one transaction gets one branch, at any balancer of the cluster.
#[test]
fn retransmission_cancel_and_ack_follow_their_invite() {
    let (mut one, mut other) = (Fixture::three(), Fixture::three());
    let invite = invite("call-1");
    let (node, first) = one.sent_to_node(&invite, CALLER);
    let cancel = invite.replace("INVITE", "CANCEL");
    let (node_tag, _) = one.tag_on(&node.to_string());
    let ack = invite
        .replace("INVITE", "ACK")
        .replace("To: <sip:bob@example.org>", &format!("To: <sip:b@e>;tag={node_tag}"));
    for again in [&invite, &cancel, &ack] {
        for fixture in [&mut one, &mut other] {
            let (to, request) = fixture.sent_to_node(again, CALLER);
            assert_eq!((to, request.branch()), (node, first.branch()), "{}", request.method());
        }
    }
    // Another transaction, and the same branch of another client, get another one.
    for different in
        [invite.replace("z9hG4bKa1", "z9hG4bKa2"), invite.replace("198.51.100.7:5062;b", "198.51.100.7;b")]
    {
        assert_ne!(one.sent_to_node(&different, CALLER).1.branch(), first.branch());
    }
}

/// RFC 2543 branches are not unique: then Call-ID, From tag and CSeq number tell transactions apart.
#[test]
fn a_client_without_the_magic_cookie_is_served_too() {
    let mut fixture = Fixture::three();
    let old = |text: String| text.replace("branch=z9hG4bKa1", "branch=1");
    let (_, invite_1) = fixture.sent_to_node(&old(invite("call-1")), CALLER);
    let (_, again) = fixture.sent_to_node(&old(invite("call-1").replace("INVITE", "ACK")), CALLER);
    let (_, invite_2) = fixture.sent_to_node(&old(invite("call-2")), CALLER);
    assert_eq!(invite_1.branch(), again.branch());
    assert_ne!(invite_1.branch(), invite_2.branch());
    let (to, _) = fixture.response_out(&answer(&invite_1, 180, "x"), "192.0.2.11:5060");
    assert_eq!(to, addr(CALLER));
}

#[test]
fn only_requests_that_may_make_a_dialog_get_a_record_route() {
    let mut fixture = Fixture::three();
    for (method, recorded) in [
        ("INVITE", true),
        ("SUBSCRIBE", true),
        ("REFER", true),
        ("OPTIONS", false),
        ("MESSAGE", false),
        ("REGISTER", false),
        ("CANCEL", false),
    ] {
        let (_, request) = fixture.sent_to_node(&invite("call-1").replace("INVITE", method), CALLER);
        assert_eq!(request.header(HeaderName::RecordRoute), recorded.then_some(OWN_ROUTE), "{method}");
    }
}

#[test]
fn requests_with_our_tag_in_to_reach_the_owner_whatever_their_call_id() {
    let mut fixture = Fixture::three();
    for owner in ["192.0.2.11:5060", "192.0.2.12:5060", "192.0.2.13:5060"] {
        let (tag, _) = fixture.tag_on(owner);
        for method in ["ACK", "BYE", "INVITE", "INFO", "UPDATE"] {
            let route = format!("Route: {OWN_ROUTE}");
            let via = "198.51.100.7:5062;branch=z9hG4bKb1";
            let request = in_dialog(method, "sip:bob@192.0.2.10:5060", via, "ann1", &tag, &[&route]);
            let (to, request) = fixture.sent_to_node(&request, CALLER);
            assert_eq!(to, addr(owner), "{method}");
            assert_eq!(request.header(HeaderName::Route), None, "our own Route is taken off");
            assert_eq!(request.uri(), "sip:bob@192.0.2.10:5060");
        }
    }
}

#[test]
fn our_own_routes_come_off_and_others_stay() {
    let mut fixture = Fixture::three();
    let (tag, _) = fixture.tag_on("192.0.2.12:5060");
    let other = "<sip:proxy.example.com;lr>";
    let table: [(Vec<String>, Option<&str>); 6] = [
        (vec![format!("Route: {OWN_ROUTE}, {other}")], Some(other)),
        (vec![format!("Route: {OWN_ROUTE}"), format!("Route: {other}")], Some(other)),
        (vec![format!("Route: {OWN_ROUTE},{OWN_ROUTE}"), format!("Route: {other}")], Some(other)),
        (vec![format!("Route: \"a, b\" <sip:192.0.2.10;lr=on>"), format!("ROUTE : {OWN_ROUTE}")], None),
        (
            vec![format!("Route: {other}, {OWN_ROUTE}")],
            Some("<sip:proxy.example.com;lr>, <sip:192.0.2.10:5060;lr>"),
        ),
        (vec![format!("Route:\r\n {OWN_ROUTE},\r\n\t{other}")], Some(other)),
    ];
    for (lines, left) in table {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let request =
            in_dialog("BYE", "sip:b@192.0.2.10", "198.51.100.7:5062;branch=z9hG4bKb1", "a", &tag, &lines);
        let (to, request) = fixture.sent_to_node(&request, CALLER);
        assert_eq!(to, addr("192.0.2.12:5060"));
        assert_eq!(request.header(HeaderName::Route), left, "{lines:?}");
    }
}

/// RFC 3261 §16.4: a strict router before us has moved the target to the end of Route.
#[test]
fn a_request_through_a_strict_router_gets_its_target_back() {
    let mut fixture = Fixture::three();
    let (tag, _) = fixture.tag_on("192.0.2.13:5060");
    let via = "203.0.113.1:5060;branch=z9hG4bKs";
    let target = "Route: <sip:bob@192.0.2.13:5060>";
    let request = in_dialog("BYE", "sip:192.0.2.10:5060;lr", via, "ann1", &tag, &[target]);
    let (to, request) = fixture.sent_to_node(&request, "203.0.113.1:5060");
    assert_eq!(to, addr("192.0.2.13:5060"));
    assert_eq!((request.uri(), request.header(HeaderName::Route)), ("sip:bob@192.0.2.13:5060", None));
}

#[test]
fn a_node_s_request_leaves_by_route_or_request_uri() {
    let mut fixture = Fixture::three();
    let (tag, _) = fixture.tag_on("192.0.2.11:5060");
    let own = format!("Route: {OWN_ROUTE}");
    let caller = "sip:ann@198.51.100.7:5062";
    let table: [(&str, &[&str], &str, Option<&str>, &str); 4] = [
        (caller, &[&own], CALLER, None, caller),
        (caller, &[], CALLER, None, caller),
        (
            caller,
            &[&own, "Route: <sip:203.0.113.5:5070;lr>"],
            "203.0.113.5:5070",
            Some("<sip:203.0.113.5:5070;lr>"),
            caller,
        ),
        // RFC 3261 §16.6 item 6: the next hop is a strict router.
        (
            caller,
            &[&own, "Route: <sip:203.0.113.5>, <sip:203.0.113.6;lr>"],
            "203.0.113.5:5060",
            Some("<sip:203.0.113.6;lr>, <sip:ann@198.51.100.7:5062>"),
            "sip:203.0.113.5",
        ),
    ];
    for (uri, routes, to, route, new_uri) in table {
        let via = "192.0.2.10:5060;branch=z9hG4bKhlaaaa1";
        let request = in_dialog("BYE", uri, via, &tag, "ann1", routes);
        let (sent, request) = fixture.request_out(&request, "192.0.2.11:5060");
        assert_eq!((sent, request.uri()), (addr(to), new_uri), "{routes:?}");
        let found: Vec<&str> = request.header_lines(HeaderName::Route).collect();
        assert_eq!((!found.is_empty()).then(|| found.join(", ")).as_deref(), route, "{routes:?}");
    }
}

#[test]
fn a_host_name_on_the_way_out_is_left_to_the_driver() {
    let mut fixture = Fixture::three();
    let (tag, _) = fixture.tag_on("192.0.2.11:5060");
    let request =
        in_dialog("BYE", "sip:ann@pc.example.org:5066", "192.0.2.11;branch=z9hG4bKn", &tag, "ann1", &[]);
    let effect = fixture.take(&request, "192.0.2.11:5060");
    assert!(
        matches!(&effect, Effect::Resolve { host, port: 5066, .. } if host == "pc.example.org"),
        "{effect:?}"
    );
}

#[test]
fn what_cannot_leave_is_refused() {
    let mut fixture = Fixture::three();
    let (tag, _) = fixture.tag_on("192.0.2.11:5060");
    for (uri, status) in
        [("sips:ann@198.51.100.7", 416), ("tel:+15550100", 416), ("sip:ann@198.51.100.7;transport=tcp", 503)]
    {
        let request = in_dialog("INFO", uri, "192.0.2.11;branch=z9hG4bKn", &tag, "ann1", &[]);
        let (to, response) = fixture.response_out(&request, "192.0.2.11:5060");
        assert_eq!((to, response.status().code()), (addr("192.0.2.11:5060"), status), "{uri}");
        let ack = fixture.take(&request.replace("INFO", "ACK"), "192.0.2.11:5060");
        assert_eq!(ack, Effect::Drop(Dropped::AckUnroutable), "{uri}");
    }
}

/// Our tags travel in the clear: whoever saw one must not be able to make the balancer send where he likes.
#[test]
fn nobody_but_a_node_makes_a_request_leave() {
    let mut fixture = Fixture::three();
    let (tag, _) = fixture.tag_on("192.0.2.11:5060");
    let request =
        in_dialog("MESSAGE", "sip:victim@203.0.113.99", "198.51.100.7;branch=z9hG4bKx", &tag, "victim1", &[]);
    let (node, _) = fixture.sent_to_node(&request, CALLER);
    assert_eq!(node, fixture.place(fixture.shard_of_call("call-1")));
}

#[test]
fn a_node_that_calls_its_own_cluster_comes_back_in() {
    let mut fixture = Fixture::three();
    let (from, _) = fixture.tag_on("192.0.2.11:5060");
    let initial = invite("call-9").replace("tag=ann1", &format!("tag={from}"));
    let (node, _) = fixture.sent_to_node(&initial, "192.0.2.11:5060");
    assert_eq!(node, fixture.place(fixture.shard_of_call("call-9")));
    let (to, _) = fixture.tag_on("192.0.2.13:5060");
    let bye = in_dialog("BYE", "sip:x@192.0.2.10", "192.0.2.11;branch=z9hG4bKy", &from, &to, &[]);
    assert_eq!(fixture.sent_to_node(&bye, "192.0.2.11:5060").0, addr("192.0.2.13:5060"));
}

#[test]
fn received_and_rport_say_where_a_request_came_from() {
    let mut fixture = Fixture::three();
    let source = "198.51.100.7:40000";
    let table = [
        ("198.51.100.7:5062;branch=z9hG4bKa", "198.51.100.7:5062;branch=z9hG4bKa", CALLER),
        ("10.0.0.1:5062;branch=z9hG4bKa", "10.0.0.1:5062;branch=z9hG4bKa;received=198.51.100.7", CALLER),
        (
            "pc.example.org;rport;branch=z9hG4bKa",
            "pc.example.org;rport=40000;branch=z9hG4bKa;received=198.51.100.7",
            source,
        ),
        (
            "10.0.0.1;received=203.0.113.99;branch=z9hG4bKa",
            "10.0.0.1;branch=z9hG4bKa;received=198.51.100.7",
            "198.51.100.7:5060",
        ),
    ];
    for (via, stamped, back) in table {
        let text = invite("call-1").replace("198.51.100.7:5062;branch=z9hG4bKa1", via);
        let (node, request) = fixture.sent_to_node(&text, source);
        let vias: Vec<&str> = request.values(HeaderName::Via).collect();
        assert_eq!(vias[1..], [format!("SIP/2.0/UDP {stamped}")], "{via}");
        let (to, response) = fixture.response_out(&answer(&request, 180, "bob1"), &node.to_string());
        assert_eq!(to, addr(back), "{via}");
        assert_eq!(response.values(HeaderName::Via).collect::<Vec<_>>(), [format!("SIP/2.0/UDP {stamped}")]);
    }
}

#[test]
fn only_the_top_via_is_touched() {
    let mut fixture = Fixture::three();
    let joined = invite("call-1").replace(
        "Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKa1",
        "v: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKp, SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKq\r\nVia: SIP/2.0/UDP 10.0.0.6",
    );
    let (node, request) = fixture.sent_to_node(&joined, "203.0.113.2:5060");
    let vias: Vec<&str> = request.values(HeaderName::Via).collect();
    let stamped = "SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKp;received=203.0.113.2";
    assert_eq!(vias[1..], [stamped, "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKq", "SIP/2.0/UDP 10.0.0.6"]);
    let (to, response) = fixture.response_out(&answer(&request, 200, "b"), &node.to_string());
    assert_eq!(to, addr("203.0.113.2:5060"));
    assert_eq!(response.values(HeaderName::Via).count(), 3);
}

#[test]
fn responses_to_a_node_reach_it_or_its_heir() {
    let mut fixture = Fixture::three();
    let (tag, shard) = fixture.tag_on("192.0.2.12:5060");
    // The node calls itself by the balancer's name, as `--advertise` makes it, or by its own.
    for sent_by in ["192.0.2.10:5060", "192.0.2.12:5060"] {
        let branch = fixture.tags.branch_prefix((u32::from(shard.0) * 16) as u16);
        let via = format!("{sent_by};branch=z9hG4bK{branch}x1");
        let bye = in_dialog("BYE", "sip:ann@198.51.100.7:5062", &via, &tag, "ann1", &[]);
        fixture.set_nodes(&["192.0.2.11:5060", "192.0.2.12:5060", "192.0.2.13:5060"]);
        let (_, sent) = fixture.request_out(&bye, "192.0.2.12:5060");
        let ok = answer(&sent, 200, "ann1");
        assert_eq!(fixture.response_out(&ok, CALLER).0, addr("192.0.2.12:5060"), "{sent_by}");
        // The node died: the second in order has the dialog now. Node names follow their place in the list.
        let heir = placement::order(shard, &fixture.view)[1].service;
        let view = View::new(
            "lb".parse().unwrap(),
            fixture.view.members().filter(|member| member.service != addr("192.0.2.12:5060")).cloned(),
            true,
        );
        fixture.proxy.handle_view(Arc::new(Routes::of(&view)));
        assert_eq!(fixture.response_out(&ok, CALLER).0, heir, "{sent_by}");
    }
}

#[test]
fn responses_that_answer_nothing_of_ours_are_dropped() {
    let mut fixture = Fixture::three();
    let (node, request) = fixture.sent_to_node(&invite("call-1"), CALLER);
    let good = answer(&request, 200, "bob1");
    let table = [
        ("another sent-by", good.replacen("192.0.2.10:5060;branch", "192.0.2.99:5060;branch", 1)),
        ("another branch", good.replacen("z9hG4bKlb", "z9hG4bKlx", 1)),
        ("a branch cut short", good.replacen(request.branch(), "z9hG4bKlb", 1)),
        (
            "a Via below that we did not see",
            good.replacen("198.51.100.7:5062;branch", "203.0.113.99:53;branch", 1),
        ),
        (
            "no Via below",
            good.replacen("Via: SIP/2.0/UDP 198.51.100.7", "X-Via: SIP/2.0/UDP 198.51.100.7", 1),
        ),
    ];
    for (what, text) in table {
        assert_ne!(text, good, "{what}");
        assert_eq!(fixture.take(&text, &node.to_string()), Effect::Drop(Dropped::NotOurs), "{what}");
    }
    assert_eq!(fixture.response_out(&good, &node.to_string()).0, addr(CALLER));
}

#[test]
fn failover_goes_with_the_view() {
    let mut fixture = Fixture::three();
    let (tag, shard) = fixture.tag_on("192.0.2.11:5060");
    let heir = placement::order(shard, &fixture.view)[1].clone();
    let bye = in_dialog("BYE", "sip:b@192.0.2.10", "198.51.100.7:5062;branch=z9hG4bKb", "ann1", &tag, &[]);
    assert_eq!(fixture.sent_to_node(&bye, CALLER).0, addr("192.0.2.11:5060"));
    let survivors =
        fixture.view.members().filter(|member| member.service != addr("192.0.2.11:5060")).cloned();
    let view = View::new("lb".parse().unwrap(), survivors, true);
    fixture.proxy.handle_view(Arc::new(Routes::of(&view)));
    assert_eq!(fixture.sent_to_node(&bye, CALLER).0, heir.service);
}

#[test]
fn a_node_that_refuses_is_passed_over_at_once_and_for_a_moment() {
    let mut fixture = Fixture::three();
    let (tag, shard) = fixture.tag_on("192.0.2.11:5060");
    let [first, second, _] = placement::order(shard, &fixture.view)[..] else { panic!("three nodes") };
    let (first, second) = (first.service, second.service);
    let bye = in_dialog("BYE", "sip:b@192.0.2.10", "198.51.100.7:5062;branch=z9hG4bKb", "ann1", &tag, &[]);
    let bye = Bytes::from(bye);
    let target = |proxy: &mut Proxy, now| match proxy.handle_datagram(now, bye.clone(), addr(CALLER)) {
        Effect::ToNode { node, .. } => node,
        other => panic!("{other:?}"),
    };
    assert_eq!(target(&mut fixture.proxy, NOW), first);
    assert_eq!(
        fixture.proxy.handle_refused(NOW, first, shard),
        Some(second),
        "the same request goes to the second"
    );
    assert_eq!(target(&mut fixture.proxy, NOW), second, "and so do those after it");
    assert_eq!(fixture.proxy.handle_refused(NOW, second, shard), None, "nobody is left to try");
    assert_eq!(target(&mut fixture.proxy, NOW), first, "with both refusing, by the placement");
    assert_eq!(
        target(&mut fixture.proxy, NOW + Duration::from_secs(1)),
        first,
        "a node that is back is used"
    );
    assert_eq!(fixture.proxy.handle_refused(NOW, first, shard), None);
    fixture.proxy.handle_view(Arc::new(Routes::of(&fixture.view)));
    assert_eq!(target(&mut fixture.proxy, NOW), first, "a new view is a new start");
}

#[test]
fn without_a_node_requests_are_answered_503_and_its_ack_is_absorbed() {
    let mut fixture = Fixture::new(&[]);
    let (to, response) = fixture.response_out(&invite("call-1"), CALLER);
    assert_eq!((to, response.status().code()), (addr(CALLER), 503));
    assert_eq!(response.header(HeaderName::RetryAfter), Some("2"));
    assert_eq!(response.call_id(), "call-1");
    let tag = response.to_tag().unwrap().to_owned();
    let (_, again) = fixture.response_out(&invite("call-1"), CALLER);
    assert_eq!(again, response, "RFC 3261 §8.2.7: a retransmission gets the same answer");
    let ack = invite("call-1").replace("INVITE", "ACK");
    let ours = ack.replace("To: <sip:bob@example.org>", &format!("To: <sip:bob@example.org>;tag={tag}"));
    assert_eq!(fixture.take(&ours, CALLER), Effect::Drop(Dropped::AckOfOurs));
    assert_eq!(fixture.take(&ack, CALLER), Effect::Drop(Dropped::AckUnroutable));
}

#[test]
fn what_a_proxy_must_refuse() {
    let mut fixture = Fixture::three();
    let table = [
        ("Max-Forwards: 70", "Max-Forwards: 0", 483),
        ("Max-Forwards: 70", "Max-Forwards: many", 400),
        ("X-Anything: as it came", "Proxy-Require: sec-agree, foo", 420),
        ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia", 505),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE", 400),
    ];
    for (right, wrong, status) in table {
        let text = invite("call-1").replacen(right, wrong, 1);
        let (to, response) = fixture.response_out(&text, CALLER);
        assert_eq!((to, response.status().code()), (addr(CALLER), status), "{wrong}");
        if status == 420 {
            assert_eq!(response.header(HeaderName::Unsupported), Some("sec-agree, foo"));
        }
    }
    let absent = invite("call-1").replace("Max-Forwards: 70\r\n", "");
    assert_eq!(fixture.sent_to_node(&absent, CALLER).1.max_forwards(), Some(70));
    for junk in ["", "\r\n\r\n", "hello", "INVITE sip:a@b SIP/2.0\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"] {
        assert!(matches!(fixture.take(junk, CALLER), Effect::Drop(_)), "{junk:?}");
    }
}

#[test]
fn ipv6_all_the_way() {
    let lb = "[2001:db8::10]:5060";
    let mut fixture = Fixture::at(lb, &["[2001:db8::11]:5060", "[2001:db8::12]:5060"]);
    let caller = "[2001:db8:ffff::7]:5062";
    let text = invite("call-6").replace("198.51.100.7:5062", caller).replace("192.0.2.10", "[2001:db8::10]");
    let (node, request) = fixture.sent_to_node(&text, caller);
    assert_eq!(node, fixture.place(fixture.shard_of_call("call-6")));
    assert_eq!(request.header(HeaderName::RecordRoute), Some("<sip:[2001:db8::10]:5060;lr>"));
    let vias: Vec<&str> = request.values(HeaderName::Via).collect();
    assert!(vias[0].starts_with("SIP/2.0/UDP [2001:db8::10]:5060;branch="), "{vias:?}");
    assert_eq!(
        vias[1],
        format!("SIP/2.0/UDP {caller};branch=z9hG4bKa1"),
        "the address is the same, so not said twice"
    );
    assert_eq!(fixture.response_out(&answer(&request, 200, "b"), &node.to_string()).0, addr(caller));

    let (tag, _) = fixture.tag_on("[2001:db8::12]:5060");
    let route = "Route: <sip:[2001:DB8:0::10];lr>";
    let bye =
        in_dialog("BYE", "sip:b@[2001:db8::10]", "pc.example.org;branch=z9hG4bKb", "ann1", &tag, &[route]);
    let (to, request) = fixture.sent_to_node(&bye, caller);
    assert_eq!((to, request.header(HeaderName::Route)), (addr("[2001:db8::12]:5060"), None));
    let back = in_dialog(
        "BYE",
        "sip:ann@[2001:db8:ffff::7]:5062",
        "[2001:db8::12];branch=z9hG4bKc",
        &tag,
        "ann1",
        &[],
    );
    assert_eq!(fixture.request_out(&back, "[2001:db8::12]:5060").0, addr(caller));
}

#[test]
fn the_messages_of_a_call_share_a_spread_and_calls_differ_in_it() {
    let mut fixture = Fixture::three();
    let mut spread = |text: &str| match fixture.take(text, CALLER) {
        Effect::ToNode { spread, .. } => spread % 4,
        other => panic!("{other:?}"),
    };
    assert_eq!(spread(&invite("call-1")), spread(&invite("call-1").replace("INVITE", "CANCEL")));
    let mut found = [0; 4];
    (0..400).for_each(|call| found[usize::from(spread(&invite(&format!("call-{call}"))))] += 1);
    assert!(found.iter().all(|calls| (60..140).contains(calls)), "{found:?}");
}

mod anything {
    use super::*;
    use proptest::prelude::*;

    /// What a Via, a Record-Route, `received`, `rport` and a Max-Forwards add to a message.
    const GROWTH_MAX: usize = 300;

    proptest! {
        /// Whatever comes in, at most one message goes out, and not a much longer one: nobody can amplify through us.
        #[test]
        fn mutated_messages_neither_panic_nor_amplify(
            at in 0.0f64..1.0,
            cut in 0usize..40,
            insert in proptest::collection::vec(any::<u8>(), 0..40),
            kind in 0usize..3,
        ) {
            let mut fixture = Fixture::three();
            let (tag, _) = fixture.tag_on("192.0.2.11:5060");
            let (_, request) = fixture.sent_to_node(&invite("call-1"), CALLER);
            let text = match kind {
                0 => invite("call-1"),
                1 => answer(&request, 200, "b"),
                _ => in_dialog("BYE", "sip:192.0.2.10;lr", "h;rport", "a", &tag, &["Route: <sip:192.0.2.10;lr>, <sip:x>"]),
            };
            let mut bytes = text.into_bytes();
            let start = (at * bytes.len() as f64) as usize;
            let end = (start + cut).min(bytes.len());
            bytes.splice(start..end, insert);
            let length = bytes.len();
            let sent = match fixture.proxy.handle_datagram(NOW, bytes.into(), addr(CALLER)) {
                Effect::ToNode { bytes, .. } | Effect::Transmit { bytes, .. } | Effect::Resolve { bytes, .. } => bytes.len(),
                Effect::Drop(_) => 0,
            };
            prop_assert!(sent <= length + GROWTH_MAX, "{length} became {sent}");
        }
    }
}

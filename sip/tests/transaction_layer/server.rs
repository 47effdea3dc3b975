//! Server transactions: what is absorbed, what goes up, where answers go, CANCEL and ACK matching.

use std::net::SocketAddr;

use holdline_sip::Transport::{Tcp, Udp};
use holdline_sip::transaction::{Error, ServerTransactionId};
use holdline_sip::wire::{HeaderName, Message};

use crate::kit::{Bench, text, text_with};

#[test]
fn a_retransmitted_request_is_answered_with_the_last_response() {
    for method in ["INVITE", "OPTIONS"] {
        let mut bench = Bench::new(Udp);
        bench.receive(text(method, "1"));
        bench.receive(text(method, "1"));
        bench.respond(180).unwrap();
        bench.receive(text(method, "1"));
        bench.respond(404).unwrap();
        bench.receive(text(method, "1"));
        let request = format!("0 request {method}");
        bench.expect(&[&request, "0 send 180", "0 send 180", "0 send 404", "0 send 404"]);
        assert_eq!(bench.table.counters().retransmissions_in, 3);
        assert_eq!(bench.table.counters().retransmissions_out, 2);
    }
}

#[test]
fn after_a_2xx_an_invite_is_absorbed_and_its_acks_go_up() {
    let mut bench = Bench::new(Udp);
    bench.receive(text("INVITE", "1"));
    bench.respond(200).unwrap();
    bench.receive(text("INVITE", "1"));
    bench.receive(text("ACK", "1"));
    bench.receive(text_with("ACK", "other", "b", ""));
    bench.respond(200).unwrap();
    bench.expect(&["0 request INVITE", "0 send 200", "0 ack", "0 ack", "0 send 200"]);
}

#[test]
fn a_second_final_response_is_refused() {
    let mut bench = Bench::new(Udp);
    for (method, first, second) in [
        ("INVITE", 200, 486),
        ("INVITE", 200, 180),
        ("INVITE", 486, 200),
        ("INVITE", 486, 180),
        ("OPTIONS", 200, 200),
        ("OPTIONS", 200, 100),
    ] {
        bench.receive(text(method, &format!("{method}{first}{second}")));
        bench.respond(first).unwrap();
        assert_eq!(bench.respond(second), Err(Error::AlreadyAnswered), "{method} {first} {second}");
    }
    bench.run_until(100.0);
    assert_eq!(bench.respond(200), Err(Error::NoSuchTransaction));
    let never = ServerTransactionId::from_bits(77);
    assert_eq!(bench.respond_to(never, 200), Err(Error::NoSuchTransaction));
}

#[test]
fn an_ack_before_any_final_response_is_ignored() {
    let mut bench = Bench::new(Udp);
    bench.receive(text("INVITE", "1"));
    bench.receive(text("ACK", "1"));
    bench.expect(&["0 request INVITE"]);
    assert_eq!(bench.table.counters().ignored, 1);
}

#[test]
fn an_ack_of_an_rfc2543_client_must_have_the_tag_of_the_response() {
    let old = |method: &str, to_tag: &str| {
        text_with(method, "1", to_tag, "").replace("z9hG4bK1", "1").replace(";branch=1", "")
    };
    let mut bench = Bench::new(Udp);
    bench.receive(old("INVITE", ""));
    bench.receive(old("INVITE", ""));
    bench.respond(486).unwrap();
    bench.receive(old("INVITE", ""));
    bench.expect(&["0 request INVITE", "0 send 486", "0 send 486"]);
    bench.receive(old("ACK", "other"));
    bench.expect(&["0 ack"]);
    bench.receive(old("ACK", "b"));
    bench.run_until(100.0);
    bench.expect(&["5 all gone"]);
}

#[test]
fn a_cancel_finds_its_invite_and_both_are_answered_by_the_user() {
    let mut bench = Bench::new(Udp);
    bench.receive(text("INVITE", "1"));
    let (invite, request) = (bench.last_server.unwrap(), bench.request.clone());
    bench.respond(180).unwrap();
    bench.receive(text("CANCEL", "1"));
    bench.respond_to(bench.last_cancel.unwrap(), 200).unwrap();
    bench.receive(text("CANCEL", "1"));
    bench.request = request;
    bench.respond_to(invite, 487).unwrap();
    bench.receive(text("ACK", "1"));
    bench.expect(&["0 request INVITE", "0 send 180", "0 cancel", "0 send 200", "0 send 200", "0 send 487"]);
    assert_eq!((bench.table.counts().invite_server, bench.table.counts().non_invite_server), (1, 1));
}

#[test]
fn a_cancel_after_the_final_response_still_goes_up() {
    let mut bench = Bench::new(Udp);
    bench.receive(text("INVITE", "1"));
    bench.respond(200).unwrap();
    bench.receive(text("CANCEL", "1"));
    bench.expect(&["0 request INVITE", "0 send 200", "0 cancel"]);
}

#[test]
fn a_cancel_of_nothing_gets_481_with_a_tag() {
    let mut bench = Bench::new(Udp);
    bench.receive(text("OPTIONS", "1"));
    for branch in ["1", "2"] {
        bench.log();
        bench.receive(text("CANCEL", branch));
        bench.receive(text("CANCEL", branch));
        bench.expect(&["0 send 481", "0 send 481"]);
        let Some((_, Message::Response(response))) = &bench.sent else { panic!("a response") };
        assert_eq!(response.to_tag().map(str::len), Some(16));
    }
    assert_eq!(bench.table.counters().stray_cancels, 2);
}

#[test]
fn the_100_has_the_timestamp_and_no_tag() {
    let mut bench = Bench::new(Udp);
    bench.receive(text_with("INVITE", "1", "", "Timestamp: 54.21\r\nRecord-Route: <sip:p.example;lr>\r\n"));
    bench.run_until(1.0);
    bench.expect(&["0 request INVITE", "0.2 send 100"]);
    let Some((_, Message::Response(trying))) = &bench.sent else { panic!("a response") };
    assert_eq!(trying.header(&HeaderName::Timestamp), Some("54.21"));
    assert_eq!(trying.to_tag(), None);
    assert_eq!(trying.branch(), "z9hG4bK1");
    assert_eq!(trying.header(&HeaderName::Via), Some("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1"));
}

#[test]
fn answers_go_where_the_via_says() {
    // (Via, destination on UDP, the Via of the answer)
    let source: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    let cases = [
        ("192.0.2.1:40000", "", "192.0.2.1:40000", ""),
        ("192.0.2.1:5070", "", "192.0.2.1:5070", ""),
        ("192.0.2.1", "", "192.0.2.1:5060", ""),
        ("10.0.0.1:5070", "", "192.0.2.1:5070", ";received=192.0.2.1"),
        ("phone.example:5070", "", "192.0.2.1:5070", ";received=192.0.2.1"),
        ("10.0.0.1:5070", ";rport", "192.0.2.1:40000", ";rport=40000;received=192.0.2.1"),
        ("192.0.2.1:5070", ";maddr=203.0.113.9", "192.0.2.1:5070", ";maddr=203.0.113.9"),
    ];
    for (sent_by, params, destination, answered) in cases {
        for transport in [Udp, Tcp] {
            let mut bench = Bench::new(transport);
            bench.flow.remote = source;
            let via = format!("{transport} {sent_by}{params};branch=z9hG4bK1");
            let request = text("OPTIONS", "1").replace("UDP 192.0.2.1:5060;branch=z9hG4bK1", &via);
            bench.receive(request);
            bench.respond(200).unwrap();
            let Some((flow, Message::Response(response))) = &bench.sent else { panic!("a response") };
            let expected = if transport == Udp { destination.parse().unwrap() } else { source };
            assert_eq!(flow.remote, expected, "{via}");
            let via = response.top_via();
            for param in answered.split(';').filter(|param| !param.is_empty()) {
                assert!(via.to_string().contains(param), "{via} without {param}");
            }
            assert_eq!(via.received().is_some(), answered.contains("received"), "{via}");
        }
    }
}

#[test]
fn ipv6_sources_are_answered_too() {
    let mut bench = Bench::new(Udp);
    bench.flow.remote = "[2001:db8::1]:40000".parse().unwrap();
    bench.receive(text("OPTIONS", "1").replace("192.0.2.1:5060", "[2001:db8::1]"));
    bench.respond(200).unwrap();
    assert_eq!(bench.sent.as_ref().unwrap().0.remote, "[2001:db8::1]:5060".parse().unwrap());
}

#[test]
fn a_transport_error_keeps_an_invite_and_ends_anything_else() {
    let mut bench = Bench::new(Udp);
    bench.receive(text("INVITE", "1"));
    bench.respond(200).unwrap();
    bench.fail_flow();
    bench.expect(&["0 request INVITE", "0 send 200", "0 server fails"]);
    bench.receive(text("OPTIONS", "2"));
    bench.respond(200).unwrap();
    bench.fail_flow();
    bench.log();
    assert_eq!((bench.table.counts().invite_server, bench.table.counts().non_invite_server), (1, 0));

    let elsewhere = holdline_sip::Flow::udp("192.0.2.9:5060".parse().unwrap());
    bench.table.handle_transport_error(bench.now(), elsewhere);
    bench.table.handle_timeout(bench.now());
    assert!(bench.table.poll_effect().is_none(), "other flows are left alone");
}

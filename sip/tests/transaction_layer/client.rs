//! Client transactions: ACK for failures, CANCEL, further 2xx, strays and refusals.

use holdline_sip::Transport::{Tcp, Udp};
use holdline_sip::transaction::{ClientTransactionId, Error};
use holdline_sip::wire::{HeaderName, Message, Method};

use crate::kit::{Bench, text, text_with};

const ROUTED: &str =
    "Route: <sip:p1.example;lr>\r\nRoute: <sip:p2.example;lr>, <sip:p3.example;lr>\r\nX-Other: y\r\n";

#[test]
fn a_failure_is_acked_and_told_once_and_acked_again_when_it_comes_again() {
    let mut bench = Bench::new(Udp);
    bench.send(text_with("INVITE", "1", "", ROUTED)).unwrap();
    bench.answer(180);
    bench.answer(486);
    bench.answer(486);
    bench.answer(180);
    bench.answer(200);
    bench.expect(&["0 send INVITE", "0 user gets 180", "0 send ACK", "0 user gets 486", "0 send ACK"]);
    assert_eq!(bench.table.counters().ignored, 2);

    let Some((flow, Message::Request(ack))) = &bench.sent else { panic!("a request") };
    assert_eq!(*flow, bench.flow);
    assert_eq!((ack.method(), ack.uri(), ack.cseq().number), (&Method::Ack, "sip:bob@example.com", 7));
    assert_eq!((ack.call_id(), ack.from_tag(), ack.to_tag()), ("call-1@example.org", Some("a"), Some("b")));
    assert_eq!(ack.header(&HeaderName::From), Some("\"Ann\" <sip:ann@example.org>;tag=a"));
    assert_eq!(ack.branch(), "z9hG4bK1");
    assert_eq!(ack.header(&HeaderName::MaxForwards), Some("70"));
    let routes: Vec<&str> = ack.values(&HeaderName::Route).collect();
    assert_eq!(routes, ["<sip:p1.example;lr>", "<sip:p2.example;lr>", "<sip:p3.example;lr>"]);
    assert_eq!(ack.header("X-Other"), None);
}

#[test]
fn only_the_top_via_is_copied() {
    let mut bench = Bench::new(Udp);
    let below = "Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKbelow\r\n";
    bench.send(text_with("INVITE", "1", "", below)).unwrap();
    bench.answer(486);
    let Some((_, Message::Request(ack))) = &bench.sent else { panic!("a request") };
    assert_eq!(ack.method(), &Method::Ack);
    assert_eq!(
        ack.values(&HeaderName::Via).collect::<Vec<_>>(),
        ["SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1"]
    );
}

#[test]
fn every_2xx_goes_up_and_nothing_else_after_the_first() {
    let mut bench = Bench::new(Udp);
    bench.send(text("INVITE", "1")).unwrap();
    for code in [200, 200, 180, 486] {
        bench.answer(code);
    }
    bench.run_until(100.0);
    bench.expect(&["0 send INVITE", "0 user gets 200", "0 user gets 200", "32 all gone"]);
    bench.answer(200);
    bench.expect(&["100 stray 200"]);
    assert_eq!(bench.table.counters().stray_responses, 1);
}

#[test]
fn a_final_response_is_told_once_outside_invite() {
    let mut bench = Bench::new(Udp);
    bench.send(text("OPTIONS", "1")).unwrap();
    for code in [100, 200, 200, 486, 100] {
        bench.answer(code);
    }
    bench.run_until(100.0);
    bench.expect(&["0 send OPTIONS", "0 user gets 100", "0 user gets 200", "5 all gone"]);
}

#[test]
fn a_cancel_goes_out_at_once_after_a_provisional_response() {
    let mut bench = Bench::new(Udp);
    let id = bench.send(text_with("INVITE", "1", "", ROUTED)).unwrap();
    bench.answer(180);
    bench.cancel(id).unwrap();
    bench.cancel(id).unwrap();
    let Some((_, Message::Request(cancel))) = bench.sent.clone() else { panic!("a request") };
    bench.answer(487);
    bench.expect(&["0 send INVITE", "0 user gets 180", "0 send CANCEL", "0 send ACK", "0 user gets 487"]);
    assert_eq!(bench.cancel(id), Err(Error::AlreadyAnswered));

    assert_eq!(
        (cancel.method(), cancel.uri(), cancel.cseq().number),
        (&Method::Cancel, "sip:bob@example.com", 7)
    );
    assert_eq!(
        (cancel.call_id(), cancel.from_tag(), cancel.to_tag()),
        ("call-1@example.org", Some("a"), None)
    );
    assert_eq!((cancel.branch(), cancel.values(&HeaderName::Route).count()), ("z9hG4bK1", 3));

    // The answer to the CANCEL itself concerns nobody.
    bench.request = Some(cancel);
    bench.answer(200);
    bench.run_until(100.0);
    bench.expect(&["32 all gone"]);
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut bench = Bench::new(Tcp);
    let id = bench.send(text("INVITE", "1")).unwrap();
    bench.cancel(id).unwrap();
    bench.run_until(1.0);
    bench.answer(100);
    bench.answer(180);
    bench.expect(&["0 send INVITE", "1 user gets 100", "1 send CANCEL", "1 user gets 180"]);
    bench.run_until(100.0);
    bench.expect(&["33 user times out", "33 all gone"]);
}

#[test]
fn a_cancel_that_crosses_the_final_response_is_not_sent() {
    let mut bench = Bench::new(Udp);
    let id = bench.send(text("INVITE", "1")).unwrap();
    bench.cancel(id).unwrap();
    bench.answer(200);
    bench.expect(&["0 send INVITE", "0 user gets 200"]);
    assert_eq!(bench.cancel(id), Err(Error::AlreadyAnswered));
}

#[test]
fn a_cancelled_invite_can_still_be_accepted() {
    let mut bench = Bench::new(Udp);
    let id = bench.send(text("INVITE", "1")).unwrap();
    bench.answer(180);
    bench.cancel(id).unwrap();
    bench.answer(200);
    bench.answer(200);
    bench.expect(&[
        "0 send INVITE",
        "0 user gets 180",
        "0 send CANCEL",
        "0 user gets 200",
        "0 user gets 200",
    ]);
}

#[test]
fn what_can_not_be_sent_is_refused() {
    let mut bench = Bench::new(Udp);
    assert_eq!(bench.send(text("ACK", "1")), Err(Error::Ack));
    assert_eq!(bench.send(text("OPTIONS", "1").replace(";branch=z9hG4bK1", "")), Err(Error::NoBranch));
    bench.expect(&[]);
    let options = bench.send(text("OPTIONS", "1")).unwrap();
    assert_eq!(bench.send(text("OPTIONS", "1")), Err(Error::BranchInUse));
    bench.send(text("MESSAGE", "1")).expect("another method is another transaction");
    assert_eq!(bench.cancel(options), Err(Error::NotCancellable));
    assert_eq!(bench.cancel(ClientTransactionId::from_bits(99)), Err(Error::NoSuchTransaction));
}

#[test]
fn a_client_transaction_is_found_by_branch_and_method_while_it_lives() {
    let mut bench = Bench::new(Tcp);
    let id = bench.send(text("OPTIONS", "1")).unwrap();
    assert_eq!(ClientTransactionId::from_bits(id.to_bits()), id);
    assert_eq!(bench.table.client_transaction("z9hG4bK1", &Method::Options), Some(id));
    assert_eq!(bench.table.client_transaction("z9hG4bK1", &Method::Invite), None);
    bench.answer(200);
    assert_eq!(bench.table.client_transaction("z9hG4bK1", &Method::Options), None);
}

#[test]
fn a_response_to_another_method_is_a_stray() {
    let mut bench = Bench::new(Udp);
    bench.send(text("OPTIONS", "1")).unwrap();
    bench.request = Some(crate::kit::request(text("INVITE", "1")));
    bench.answer(200);
    bench.expect(&["0 send OPTIONS", "0 stray 200"]);
}

#[test]
fn a_transport_error_ends_what_waits_for_its_first_response() {
    for method in ["INVITE", "OPTIONS"] {
        let mut bench = Bench::new(Udp);
        bench.send(text(method, "1")).unwrap();
        bench.fail_flow();
        bench.expect(&[&format!("0 send {method}"), "0 user fails", "0 all gone"]);
    }
    let mut bench = Bench::new(Udp);
    bench.send(text("INVITE", "1")).unwrap();
    bench.answer(180);
    bench.fail_flow();
    bench.expect(&["0 send INVITE", "0 user gets 180"]);
    assert_eq!(bench.table.counts().invite_client, 1, "a ringing call does not hang on one lost datagram");
}

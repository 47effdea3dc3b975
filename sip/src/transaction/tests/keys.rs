//! Matching (RFC 3261 §17.1.3, §17.2.3): which requests share a transaction.

use super::super::key::KeyMaker;
use crate::wire::{Message, Method, Request};

fn request(method: &str, via: &str, to_tag: &str, cseq: u32) -> Request {
    let text = format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: {via}\r\nFrom: <sip:ann@example.org>;tag=a\r\n\
         To: <sip:bob@example.com>{to_tag}\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
    );
    match Message::parse(text.into()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!("the text starts with a method"),
    }
}

fn same(one: &Request, other: &Request, method: &Method) -> bool {
    let mut keys = KeyMaker::new([1, 2]);
    keys.server(one, one.method()) == keys.server(other, method)
}

#[test]
fn branch_sent_by_and_method_decide() {
    let invite = request("INVITE", "SIP/2.0/UDP h.example:5060;branch=z9hG4bKx1", "", 1);
    for (via, equal) in [
        ("SIP/2.0/UDP h.example:5060;branch=z9hG4bKx1;rport", true),
        ("SIP/2.0/UDP h.example:5060;rport;received=192.0.2.1;branch=z9hG4bKx1", true),
        ("SIP / 2.0 / UDP   H.Example : 5060 ;branch=Z9HG4BKX1", true),
        ("SIP/2.0/UDP h.example:5060;branch=z9hG4bKx1, SIP/2.0/UDP p.example;branch=z9hG4bKx9", true),
        ("SIP/2.0/UDP h.example:5060;branch=z9hG4bKx2", false),
        ("SIP/2.0/UDP h.example:5061;branch=z9hG4bKx1", false),
        ("SIP/2.0/UDP g.example:5060;branch=z9hG4bKx1", false),
    ] {
        let ack = request("ACK", via, ";tag=b", 1);
        assert_eq!(same(&invite, &ack, &Method::Invite), equal, "{via}");
        let cancel = request("CANCEL", via, "", 1);
        assert_eq!(same(&invite, &cancel, &Method::Invite), equal, "{via}");
        assert!(!same(&invite, &cancel, &Method::Cancel), "{via}");
    }
}

#[test]
fn without_the_cookie_rfc2543_decides() {
    let via = "SIP/2.0/UDP h.example:5060;branch=1";
    let invite = request("INVITE", via, "", 1);
    assert!(same(&invite, &request("INVITE", via, "", 1), &Method::Invite));
    assert!(
        same(&invite, &request("ACK", via, ";tag=b", 1), &Method::Invite),
        "an ACK has the response's To tag"
    );
    assert!(same(&invite, &request("CANCEL", via, "", 1), &Method::Invite));
    assert!(!same(&invite, &request("INVITE", via, ";tag=b", 2), &Method::Invite), "a re-INVITE");
    assert!(!same(&invite, &request("INVITE", "SIP/2.0/UDP h.example:5060", "", 1), &Method::Invite));
    let bye = request("BYE", via, ";tag=b", 2);
    assert!(same(&bye, &request("BYE", via, ";tag=b", 2), &Method::Bye));
    assert!(!same(&bye, &request("BYE", via, ";tag=c", 2), &Method::Bye));
    let bare = "SIP/2.0/UDP h.example:5060;branch=z9hG4bK";
    let bare_invite = request("INVITE", bare, "", 1);
    assert!(
        !same(&bare_invite, &request("INVITE", bare, "", 2), &Method::Invite),
        "the bare cookie is no branch"
    );
}

#[test]
fn another_seed_gives_other_keys() {
    let invite = request("INVITE", "SIP/2.0/UDP h.example:5060;branch=z9hG4bKx1", "", 1);
    let key = |seed| KeyMaker::new(seed).server(&invite, &Method::Invite);
    assert_eq!(key([1, 2]), key([1, 2]));
    assert_ne!(key([1, 2]), key([3, 4]));
    assert_ne!(key([1, 2]), key([1, 3]));
}

#[test]
fn a_client_key_is_branch_and_method() {
    let mut keys = KeyMaker::new([1, 2]);
    let invite = keys.client("z9hG4bKx1", &Method::Invite);
    assert_eq!(invite, keys.client("z9hG4bKX1", &Method::Invite));
    assert_ne!(invite, keys.client("z9hG4bKx1", &Method::Cancel));
    assert_ne!(invite, keys.client("z9hG4bKx2", &Method::Invite));
}

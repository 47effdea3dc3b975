//! Messages that are refused: with which status, and what the sender is told.

use bytes::Bytes;
use holdline_sip::wire::{
    ErrorKind, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, ParseError, Response, StatusCode,
};

const GOOD: &str = "INVITE sip:desk@pbx.test SIP/2.0\r\n\
                    Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKone\r\n\
                    Via: SIP/2.0/TCP 198.51.100.9;branch=z9hG4bKtwo\r\n\
                    Max-Forwards: 70\r\n\
                    From: <sip:lin@pbx.test>;tag=f1\r\n\
                    To: <sip:desk@pbx.test>\r\n\
                    Call-ID: c1@198.51.100.7\r\n\
                    CSeq: 7 INVITE\r\n\
                    Content-Length: 4\r\n\r\nbody";

fn parse(text: &str) -> Result<Message, ParseError> {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn every_fault_has_its_status() {
    assert!(parse(GOOD).is_ok());
    let rows = [
        // what is replaced, by what, kind, status
        ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia", ErrorKind::Version, 505),
        ("SIP/2.0\r\nVia", "SIP/2.00\r\nVia", ErrorKind::Version, 505),
        ("SIP/2.0\r\nVia", "SIP/2.0 \r\nVia", ErrorKind::StartLine, 400),
        ("INVITE sip:", "INV@TE sip:", ErrorKind::StartLine, 400),
        ("INVITE sip:", "INVITE  sip:", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "<sip:desk@pbx.test> SIP", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "sip:desk@pbx.test; lr SIP", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "sip:2001:db8::1 SIP", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "sip:desk@pbx.test:port SIP", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "sip:desk@pbx.test:70000 SIP", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "sip:desk@[2001:db8::zz] SIP", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "sip:desk@ SIP", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "sip: SIP", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "desk SIP", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "sip:desk@pbx.test?Route=%3Csip:x%3E SIP", ErrorKind::Uri, 400),
        ("sip:desk@pbx.test SIP", "sip:desk@pbx.test;;lr SIP", ErrorKind::Value, 400),
        ("From: ", "Fram: ", ErrorKind::Missing, 400),
        ("To: ", "Ta: ", ErrorKind::Missing, 400),
        ("Call-ID: ", "Call-IT: ", ErrorKind::Missing, 400),
        ("CSeq: ", "CSec: ", ErrorKind::Missing, 400),
        ("To: ", "f: <sip:x@y>\r\nTo: ", ErrorKind::Duplicate, 400),
        ("To: ", "CSeq: 7 INVITE\r\nTo: ", ErrorKind::Duplicate, 400),
        ("To: ", "l: 4\r\nTo: ", ErrorKind::Duplicate, 400),
        ("Length: 4", "Length: -4", ErrorKind::Value, 400),
        ("Length: 4", "Length: 4 4", ErrorKind::Value, 400),
        ("Length: 4", "Length: ", ErrorKind::Value, 400),
        ("Length: 4", "Length: 5", ErrorKind::Body, 400),
        ("Length: 4", "Length: 18446744073709551620", ErrorKind::Value, 400),
        ("Forwards: 70", "Forwards: many", ErrorKind::Value, 400),
        ("CSeq: 7 ", "CSeq: 2147483648 ", ErrorKind::Value, 400),
        ("CSeq: 7 ", "CSeq: 99999999999999999999 ", ErrorKind::Value, 400),
        ("CSeq: 7 ", "CSeq: x ", ErrorKind::Value, 400),
        ("CSeq: 7 INVITE", "CSeq: 7INVITE", ErrorKind::Value, 400),
        ("CSeq: 7 INVITE", "CSeq: 7", ErrorKind::Value, 400),
        ("CSeq: 7 INVITE", "CSeq: 7 BYE", ErrorKind::Value, 400),
        ("INVITE sip:", "JOIN sip:", ErrorKind::Value, 501),
        ("To: <sip:desk@pbx.test>", "To: \"Desk <sip:desk@pbx.test>", ErrorKind::Value, 400),
        ("To: <sip:desk@pbx.test>", "To: <sip:desk@pbx.test", ErrorKind::Value, 400),
        ("To: <sip:desk@pbx.test>", "To: <sip:desk@pbx.test> tag=x", ErrorKind::Value, 400),
        ("To: <sip:desk@pbx.test>", "To: ", ErrorKind::Uri, 400),
        ("To: <sip:desk@pbx.test>", "To: <sip:desk@pbx.test>;tag", ErrorKind::Value, 400),
        ("tag=f1", "tag=", ErrorKind::Value, 400),
        ("Call-ID: c1@198.51.100.7", "Call-ID: c1 @h", ErrorKind::Value, 400),
        ("Call-ID: c1@198.51.100.7", "Call-ID:", ErrorKind::Value, 400),
        ("UDP 198.51.100.7;branch", "UDP 198.51.100.7;;branch", ErrorKind::Value, 400),
        ("SIP/2.0/UDP 198.51.100.7", "SIP/2.0/TCP", ErrorKind::Value, 400),
        ("SIP/2.0/UDP 198.51.100.7", "SIP/2.0 198.51.100.7", ErrorKind::Value, 400),
        ("SIP/2.0/UDP 198.51.100.7", "HTTP/2.0/UDP 198.51.100.7", ErrorKind::Value, 400),
        ("To: ", "No colon in here\r\nTo: ", ErrorKind::Header, 400),
        ("To: ", ": no name\r\nTo: ", ErrorKind::Header, 400),
        ("Max-Forwards: 70", "Subject: a\rX: b", ErrorKind::Header, 400),
        ("\r\n\r\nbody", "\r\n", ErrorKind::Header, 400),
    ];
    for (from, to, kind, status) in rows {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from:?} is not in the message");
        let error = parse(&text).expect_err(to);
        assert_eq!((error.kind, error.status.map(StatusCode::code)), (kind, Some(status)), "{to:?}: {error}");
        assert!(error.at <= text.len());
    }
}

#[test]
fn what_is_no_sip_deserves_nothing() {
    for (text, kind) in [
        ("", ErrorKind::Empty),
        ("\r\n\r\n", ErrorKind::Empty),
        ("\0\0\0\0", ErrorKind::StartLine),
        ("hello", ErrorKind::StartLine),
        ("GET / HTTP/1.1\r\n\r\n", ErrorKind::StartLine),
        ("one\r\n\r\n", ErrorKind::StartLine),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!((error.kind, error.status), (kind, None), "{text:?}");
        assert_eq!(error.reply(&Bytes::copy_from_slice(text.as_bytes())), None);
    }
}

#[test]
fn faulty_responses_deserve_nothing() {
    let rest = GOOD.split_once("\r\n").unwrap().1;
    for line in
        ["SIP/2.0 4294967301 Wrap", "SIP/2.0 099 Low", "SIP/2.0 700 High", "SIP/2.0 2x0 OK", "SIP/1.0 200 OK"]
    {
        assert_eq!(parse(&format!("{line}\r\n{rest}")).unwrap_err().status, None, "{line}");
    }
    let faulty = format!("SIP/2.0 200 OK\r\n{}", rest.replace("CSeq: 7", "CSeq: 9999999999"));
    let error = parse(&faulty).unwrap_err();
    assert_eq!((error.status, error.reply(&faulty.into())), (None, None));
}

#[test]
fn limits_hold() {
    let padded = |headers: usize| GOOD.replace("To: ", &("X: y\r\n".repeat(headers) + "To: "));
    assert!(parse(&padded(HEADERS_MAX - 8)).is_ok());
    assert_eq!(parse(&padded(HEADERS_MAX - 7)).unwrap_err().kind, ErrorKind::Limit);
    let long = |length: usize| {
        let start = GOOD.replace("Content-Length: 4\r\n", "");
        start.clone() + &"x".repeat(length - start.len())
    };
    assert!(parse(&long(MESSAGE_BYTES_MAX)).is_ok());
    let error = parse(&long(MESSAGE_BYTES_MAX + 1)).unwrap_err();
    assert_eq!((error.kind, error.status), (ErrorKind::Limit, Some(StatusCode::MESSAGE_TOO_LARGE)));
}

#[test]
fn octets_that_are_not_utf8_in_what_identifies() {
    for (from, to) in [
        ("c1@", "c#@"),
        ("tag=f1", "tag=#"),
        ("z9hG4bKone", "z9hG4bK#"),
        ("desk@pbx.test SIP", "d#@pbx.test SIP"),
    ] {
        let mut wire = GOOD.replacen(from, to, 1).into_bytes();
        wire.iter_mut().filter(|octet| **octet == b'#').for_each(|octet| *octet = 0xff);
        let error = Message::parse(wire.into()).unwrap_err();
        assert_eq!(error.status, Some(StatusCode::BAD_REQUEST), "{to}");
    }
}

#[test]
fn the_reply_repeats_what_it_must() {
    let wire = Bytes::from(GOOD.replace("Length: 4", "Length: 5"));
    let error = Message::parse(wire.clone()).unwrap_err();
    let reply = error.reply(&wire).unwrap();
    assert_eq!(error.reply(&wire), Some(reply.clone()), "the same each time, tag included");
    let response = Response::parse(reply).unwrap();
    assert_eq!(
        (response.status(), response.reason()),
        (StatusCode::BAD_REQUEST, "Body shorter than Content-Length")
    );
    assert_eq!(response.vias().len(), 2);
    assert_eq!(
        (response.call_id(), response.from_tag(), response.cseq().number),
        ("c1@198.51.100.7", Some("f1"), 7)
    );
    assert!(response.to_tag().is_some());
    assert_eq!(response.header("Content-Length"), Some("0"));
}

#[test]
fn the_reply_goes_to_the_source_alone() {
    let source = "203.0.113.5:4321".parse().unwrap();
    let rows = [
        ("UDP 198.51.100.7;branch", "UDP 198.51.100.7:5099;branch", "203.0.113.5:5099", None),
        ("UDP 198.51.100.7;branch", "UDP 198.51.100.7;branch", "203.0.113.5:5060", None),
        ("UDP 198.51.100.7;branch", "UDP 198.51.100.7;rport;branch", "203.0.113.5:4321", Some(4321)),
        ("UDP 198.51.100.7;branch", "UDP 198.51.100.7;maddr=192.0.2.1;branch", "203.0.113.5:5060", None),
    ];
    for (from, to, target, rport) in rows {
        let wire = Bytes::from(GOOD.replace("Length: 4", "Length: 5").replace(from, to));
        let error = Message::parse(wire.clone()).unwrap_err();
        let (reply, to_addr) = error.reply_from(&wire, source).unwrap();
        let via = Response::parse(reply).unwrap().top_via();
        assert_eq!((to_addr, via.rport()), (target.parse().unwrap(), rport), "{to}");
        assert_eq!(via.received(), Some(source.ip()));
    }
}

#[test]
fn no_reply_to_an_ack_or_without_its_headers() {
    let broken = GOOD.replace("Length: 4", "Length: 5");
    let ack = broken.replace("INVITE", "ACK");
    for text in [
        ack,
        broken.replace("Call-ID", "Cull-ID"),
        broken.replace("CSeq", "CSec"),
        broken.replace("Via", "Vaa"),
    ] {
        let wire = Bytes::from(text);
        let error = Message::parse(wire.clone()).unwrap_err();
        assert_eq!(error.reply(&wire), None, "{wire:?}");
    }
}

//! Builders and edits: what they write, what they keep, and that nobody can write a header through a value.

use bytes::Bytes;
use holdline_sip::wire::{HeaderName, Message, Method, Request, RequestBuilder, Response, StatusCode};

fn invite() -> Request {
    let wire = "INVITE sip:desk@pbx.test SIP/2.0\r\n\
                v:  SIP/2.0/UDP  p.test:5070;rport;branch=z9hG4bKp , SIP/2.0/TCP a.test;branch=z9hG4bKa\r\n\
                Record-Route: <sip:p.test;lr>\r\n\
                Route: <sip:one.test;lr>, \"x,y\" <sip:two.test;lr>\r\n\
                Route: <sip:three.test;lr>\r\n\
                From: \"L\"\r\n <sip:lin@pbx.test>;tag=f1\r\n\
                To:<sip:desk@pbx.test>\r\n\
                i: c1@h\r\n\
                CSeq: 07 INVITE\r\n\
                Timestamp: 5.1\r\n\
                X-Keep: a , b;c\r\n\
                l: 4\r\n\r\nbody";
    Request::parse(Bytes::from(wire)).expect("the request of these tests is in order")
}

fn builder(method: Method) -> RequestBuilder {
    let cseq = format!("3 {method}");
    Request::builder(method, "sip:desk@pbx.test")
        .header(HeaderName::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKb")
        .header(HeaderName::From, "<sip:lin@pbx.test>;tag=1")
        .header(HeaderName::To, "<sip:desk@pbx.test>")
        .header(HeaderName::CallId, "b@h")
        .header(HeaderName::CSeq, cseq)
}

#[test]
fn a_built_request_is_what_it_parses_to() {
    let request = builder(Method::Message).header("X-A", 1).body("text/plain", "hi").build();
    let text = "MESSAGE sip:desk@pbx.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKb\r\n\
                From: <sip:lin@pbx.test>;tag=1\r\nTo: <sip:desk@pbx.test>\r\nCall-ID: b@h\r\nCSeq: 3 MESSAGE\r\n\
                X-A: 1\r\nContent-Type: text/plain\r\nMax-Forwards: 70\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(request.as_bytes(), text);
    let again = Request::parse(request.as_bytes().clone()).unwrap();
    assert_eq!(
        (again.method(), again.uri(), again.branch()),
        (request.method(), request.uri(), request.branch())
    );
    assert_eq!(builder(Method::Bye).header(HeaderName::MaxForwards, 5).build().max_forwards(), Some(5));
}

#[test]
fn a_response_repeats_its_request_octet_for_octet() {
    let response = Response::builder(StatusCode::OK, &invite()).to_tag("us").to_tag("twice").build();
    let text = "SIP/2.0 200 OK\r\n\
                Via: SIP/2.0/UDP  p.test:5070;rport;branch=z9hG4bKp , SIP/2.0/TCP a.test;branch=z9hG4bKa\r\n\
                Record-Route: <sip:p.test;lr>\r\n\
                From: \"L\"\r\n <sip:lin@pbx.test>;tag=f1\r\n\
                To: <sip:desk@pbx.test>;tag=us\r\n\
                Call-ID: c1@h\r\n\
                CSeq: 07 INVITE\r\n\
                Content-Length: 0\r\n\r\n";
    assert_eq!(response.as_bytes(), text);
    assert_eq!(response.to_tag(), Some("us"));
    assert_eq!(Response::parse(response.as_bytes().clone()).unwrap().reason(), "OK");
}

#[test]
fn what_a_response_repeats_depends_on_its_status() {
    for (status, record_route, timestamp) in [
        (StatusCode::TRYING, false, true),
        (StatusCode::RINGING, true, false),
        (StatusCode::OK, true, false),
        (StatusCode::BUSY_HERE, false, false),
    ] {
        let response = Response::builder(status, &invite()).build();
        assert_eq!(response.header(HeaderName::RecordRoute).is_some(), record_route, "{status}");
        assert_eq!(response.header(HeaderName::Timestamp).is_some(), timestamp, "{status}");
    }
    let tagged = Request::parse(Bytes::from(
        String::from_utf8_lossy(invite().as_bytes())
            .replace("To:<sip:desk@pbx.test>", "To: sip:desk@pbx.test;tag=old"),
    ))
    .unwrap();
    assert_eq!(Response::builder(StatusCode::OK, &tagged).to_tag("new").build().to_tag(), Some("old"));
}

#[test]
fn values_cannot_make_headers() {
    let evil = "x\r\nVia: SIP/2.0/UDP evil.test\r\n\r\nbody";
    let request = builder(Method::Options)
        .header(HeaderName::Subject, evil)
        .header("Bad Name", "y")
        .header("X-\r\nY", "z")
        .build();
    let again = Request::parse(request.as_bytes().clone()).unwrap();
    assert_eq!((again.vias().len(), again.headers().count()), (1, 8));
    let uri = Request::builder(Method::Options, "sip:a b\r\nX: y").build();
    assert_eq!(uri.uri(), "sip:abX:y");
    let response =
        Response::builder(StatusCode::OK, &invite()).reason(evil).to_tag(evil).header("X-A", evil).build();
    assert_eq!(response.headers().filter(|header| header.name() == HeaderName::Via).count(), 1);
    let edited = invite().edit().push_via(evil).uri("sip:x\r\nX: y").set(HeaderName::Subject, evil).finish();
    assert_eq!(edited.headers().filter(|header| header.name() == HeaderName::Via).count(), 2);
    let mut uri: holdline_sip::wire::Uri = "sip:a".parse().unwrap();
    uri.params.set("x", Some("1\r\nX: y"));
    assert!(!uri.to_string().contains(['\r', '\n']));
}

#[test]
fn missing_headers_of_a_built_request_read_as_nothing() {
    let request = Request::builder(Method::Options, "sip:a").build();
    assert_eq!(
        (request.call_id(), request.branch(), request.from_tag(), request.cseq().number),
        ("", "", None, 0)
    );
    assert_eq!(request.from().uri.host.to_string(), "invalid.invalid");
    assert_eq!(request.top_via().branch(), None);
    assert!(Request::parse(request.as_bytes().clone()).is_err());
    assert!(request.with_top_via_received("192.0.2.1:1".parse().unwrap()).vias().is_empty());
}

#[test]
fn an_edit_keeps_all_else_octet_for_octet() {
    let request = invite();
    assert_eq!(request.edit().finish(), request);
    let edited = request
        .edit()
        .push_record_route("<sip:us.test;lr>")
        .push_via("SIP/2.0/UDP us.test;branch=z9hG4bKus")
        .uri("sip:desk@192.0.2.77")
        .pop_route()
        .max_forwards(69)
        .finish();
    let text = "INVITE sip:desk@192.0.2.77 SIP/2.0\r\n\
                Via: SIP/2.0/UDP us.test;branch=z9hG4bKus\r\n\
                Record-Route: <sip:us.test;lr>\r\n\
                v:  SIP/2.0/UDP  p.test:5070;rport;branch=z9hG4bKp , SIP/2.0/TCP a.test;branch=z9hG4bKa\r\n\
                Record-Route: <sip:p.test;lr>\r\n\
                Route: \"x,y\" <sip:two.test;lr>\r\n\
                Route: <sip:three.test;lr>\r\n\
                From: \"L\"\r\n <sip:lin@pbx.test>;tag=f1\r\n\
                To:<sip:desk@pbx.test>\r\n\
                i: c1@h\r\n\
                CSeq: 07 INVITE\r\n\
                Timestamp: 5.1\r\n\
                X-Keep: a , b;c\r\n\
                l: 4\r\n\
                Max-Forwards: 69\r\n\r\nbody";
    assert_eq!(edited.as_bytes(), text);
    assert_eq!(
        (edited.branch(), edited.uri(), edited.max_forwards()),
        ("z9hG4bKus", "sip:desk@192.0.2.77", Some(69))
    );
    assert_eq!(
        edited.edit().max_forwards(3).finish().header_lines(HeaderName::MaxForwards).collect::<Vec<_>>(),
        ["3"]
    );
}

#[test]
fn values_are_popped_one_by_one() {
    let hosts = |request: &Request| -> Vec<String> {
        request.routes().unwrap().iter().map(|route| route.uri.host.to_string()).collect()
    };
    let request = invite();
    assert_eq!(hosts(&request), ["one.test", "two.test", "three.test"]);
    assert_eq!(hosts(&request.edit().pop_route().pop_route().finish()), ["three.test"]);
    let none = request.edit().pop_route().pop_route().pop_route().pop_route().finish();
    assert_eq!(none.header(HeaderName::Route), None);
    assert_eq!(
        hosts(&request.edit().remove(HeaderName::Route).push_route("<sip:new.test>").finish()),
        ["new.test"]
    );

    let response = Response::builder(StatusCode::BUSY_HERE, &request).build();
    let popped = response.edit().pop_via().finish();
    assert_eq!((popped.branch(), popped.vias().len(), popped.reason()), ("z9hG4bKa", 1, "Busy Here"));
    let bare = popped.edit().pop_via().finish();
    assert_eq!((bare.branch(), bare.vias().len(), bare.header(HeaderName::Via)), ("", 0, None));
}

#[test]
fn the_top_via_learns_where_the_request_came_from() {
    let via = |sent: &str, source: &str| {
        let wire = String::from_utf8_lossy(invite().as_bytes()).replace("p.test:5070;rport", sent);
        let request = Request::parse(wire.into()).unwrap().with_top_via_received(source.parse().unwrap());
        assert_eq!(request.vias().len(), 2, "the second one stays");
        Message::parse(request.as_bytes().clone()).unwrap();
        request.vias()[0].to_string()
    };
    for (sent, source, expected) in [
        // RFC 3261 §18.2.1.
        ("192.0.2.1", "192.0.2.1:5060", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1:9999", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.2:5060", "192.0.2.1;received=192.0.2.2"),
        ("p.test", "192.0.2.2:5060", "p.test;received=192.0.2.2"),
        ("[2001:db8::1]", "[2001:db8::1]:5060", "[2001:db8::1]"),
        ("p.test", "[2001:db8::1]:5060", "p.test;received=2001:db8::1"),
        // RFC 3581 §4.
        ("192.0.2.1;rport", "192.0.2.1:5060", "192.0.2.1;rport=5060;received=192.0.2.1"),
        ("p.test;rport", "192.0.2.2:40000", "p.test;rport=40000;received=192.0.2.2"),
        // What the sender claims of itself does not count.
        ("p.test;received=203.0.113.1;rport=1", "192.0.2.2:4", "p.test;received=192.0.2.2;rport=4"),
        ("192.0.2.1;received=203.0.113.1", "192.0.2.1:5060", "192.0.2.1"),
        ("p.test;rport=1", "192.0.2.2:4", "p.test;rport=4;received=192.0.2.2"),
        ("p.test ; rport ", "192.0.2.2:4", "p.test;rport=4;received=192.0.2.2"),
    ] {
        // `received` goes behind the branch when it is new.
        let got = via(sent, source);
        let mut got: Vec<_> = got
            .trim_start_matches("SIP/2.0/UDP ")
            .split(';')
            .filter(|part| !part.starts_with("branch"))
            .collect();
        let mut expected: Vec<_> = expected.split(';').collect();
        got.sort_unstable();
        expected.sort_unstable();
        assert_eq!(got, expected, "{sent} from {source}");
    }
}

#[test]
fn a_semicolon_at_the_end_of_to_stays_one() {
    let wire = String::from_utf8_lossy(invite().as_bytes())
        .replace("To:<sip:desk@pbx.test>", "To:<sip:desk@pbx.test>;");
    let response =
        Response::builder(StatusCode::OK, &Request::parse(wire.into()).unwrap()).to_tag("us").build();
    assert_eq!(response.header(HeaderName::To), Some("<sip:desk@pbx.test>;tag=us"));
    assert_eq!(Response::parse(response.as_bytes().clone()).unwrap().to_tag(), Some("us"));
}

#[test]
fn a_semicolon_at_the_end_of_a_via_stays_one() {
    let wire = String::from_utf8_lossy(invite().as_bytes()).replace("z9hG4bKp ,", "z9hG4bKp;\r\nv:");
    for source in ["192.0.2.2:4", "[2001:db8::1]:4"] {
        let request =
            Request::parse(Bytes::from(wire.clone())).unwrap().with_top_via_received(source.parse().unwrap());
        let read = Request::parse(request.as_bytes().clone()).unwrap();
        assert_eq!((read.top_via().rport(), read.vias().len()), (Some(4), 2));
    }
}

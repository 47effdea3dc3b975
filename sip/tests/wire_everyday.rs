//! Messages as phones, gateways and proxies really send them: each must be read, and read right.

use bytes::Bytes;
use holdline_sip::wire::{HeaderName, Host, Message, Method, Request, Response, Scheme, StatusCode, peek};

/// A request with these lines in place of the usual ones.
fn request(lines: &[&str]) -> Request {
    let text = text(lines);
    Request::parse(Bytes::from(text.clone())).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A start line or a header given replaces the usual one; all others are added.
fn text(lines: &[&str]) -> String {
    let mut all = vec![
        "OPTIONS sip:desk@pbx.test SIP/2.0".to_string(),
        "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKone".into(),
        "Max-Forwards: 70".into(),
        "From: <sip:lin@pbx.test>;tag=f1".into(),
        "To: <sip:desk@pbx.test>".into(),
        "Call-ID: c1@198.51.100.7".into(),
        "CSeq: 7 OPTIONS".into(),
    ];
    for line in lines {
        let name = line.split([':', ' ', '\t']).next();
        match all.iter_mut().skip(1).find(|usual| usual.split(':').next() == name) {
            _ if line.to_ascii_uppercase().ends_with(" SIP/2.0") => all[0] = (*line).into(),
            Some(usual) => *usual = (*line).into(),
            None => all.push((*line).into()),
        }
    }
    all.join("\r\n") + "\r\n\r\n"
}

#[test]
fn compact_names() {
    let wire = "OPTIONS sip:desk@pbx.test SIP/2.0\r\nv: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK2\r\nf: <sip:l@pbx.test>;tag=a\r\n\
                t: <sip:d@pbx.test>;tag=b\r\ni: x@y\r\nCSEQ: 1 OPTIONS\r\nm: <sip:l@198.51.100.7>\r\nk: timer\r\nl: 2\r\n\
                c: text/plain\r\n\r\nhi";
    let request = Request::parse(Bytes::from(wire)).unwrap();
    assert_eq!((request.from_tag(), request.to_tag(), request.call_id()), (Some("a"), Some("b"), "x@y"));
    assert_eq!(request.branch(), "z9hG4bK2");
    assert_eq!(request.contacts().unwrap()[0].uri.user.as_deref(), Some("l"));
    assert_eq!(request.header(HeaderName::Supported), Some("timer"));
    assert_eq!(request.content_type(), Some("text/plain"));
    assert_eq!(&request.body()[..], b"hi");
    assert_eq!(request.header("Content-Length"), Some("2"), "a long name finds the compact one");
    assert_eq!(request.header("l"), Some("2"), "a compact name finds itself");
}

#[test]
fn ipv6_everywhere() {
    let request = request(&[
        "OPTIONS sip:desk@[2001:db8::20]:5070;transport=udp SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::1]:5062;received=2001:db8::99;rport=4000;branch=z9hG4bK6",
        "Contact: <sip:lin@[2001:db8::1]>",
    ]);
    let uri = request.parsed_uri().unwrap();
    assert_eq!((uri.host, uri.port), (Host::V6("2001:db8::20".parse().unwrap()), Some(5070)));
    let via = request.top_via();
    assert_eq!(via.host, Host::V6("2001:db8::1".parse().unwrap()));
    assert_eq!(via.branch(), Some("z9hG4bK6"), "the branch behind an address without brackets");
    assert_eq!(via.response_addr(), Some("[2001:db8::99]:4000".parse().unwrap()));
    assert_eq!(request.contacts().unwrap()[0].to_string(), "<sip:lin@[2001:db8::1]>");
}

#[test]
fn other_schemes() {
    let request_uri = |uri: &str| request(&[&format!("OPTIONS {uri} SIP/2.0")]).parsed_uri().unwrap();
    let tel = request_uri("tel:+44-20-7946-0001;phone-context=pbx.test");
    assert_eq!((tel.scheme.clone(), tel.user.as_deref()), (Scheme::Tel, Some("+44-20-7946-0001")));
    assert_eq!(tel.params.get("phone-context"), Some("pbx.test"));
    let urn = request_uri("urn:service:sos.fire");
    assert_eq!((urn.scheme.as_str(), urn.user.as_deref()), ("urn", Some("service:sos.fire")));
    assert_eq!(
        (tel.to_string(), urn.to_string()),
        ("tel:+44-20-7946-0001;phone-context=pbx.test".into(), "urn:service:sos.fire".into())
    );
}

#[test]
fn user_parts_and_parameters_beyond_tokens() {
    let request = request(&[
        "OPTIONS sip:line;ext=4@pbx.test;transport=carrier;x=b:c;lr SIP/2.0",
        "To: <sip:a%40b;c:p%3Aw@pbx.test>",
    ]);
    let uri = request.parsed_uri().unwrap();
    assert_eq!(uri.user.as_deref(), Some("line;ext=4"));
    assert_eq!((uri.params.get("transport"), uri.transport()), (Some("carrier"), None));
    assert_eq!(uri.params.get("x"), Some("b:c"));
    assert!(uri.is_loose_router(), "lr behind a value with a colon");
    let to = request.to().uri;
    assert_eq!((to.user.as_deref(), to.password.as_deref()), (Some("a%40b;c"), Some("p%3Aw")));
}

#[test]
fn unknown_methods_are_messages_too() {
    let request = request(&["PING sip:desk@pbx.test SIP/2.0", "CSeq: 1 PING"]);
    assert_eq!(request.method(), &Method::Ext("PING".into()));
    assert_eq!(request.method().as_str(), "PING");
    let lower = self::request(&["invite sip:desk@pbx.test SIP/2.0", "CSeq: 1 invite"]);
    assert_ne!(lower.method(), &Method::Invite, "methods have case");
}

#[test]
fn versions_in_any_case() {
    let request =
        request(&["OPTIONS sip:desk@pbx.test sip/2.0", "Via: sip/2.0/udp 198.51.100.7;branch=z9hG4bKl"]);
    assert_eq!(request.branch(), "z9hG4bKl");
    assert_eq!(request.top_via().known_transport(), Some(holdline_sip::Transport::Udp));
    let response = "sip/2.0 200 OK\r\n".to_string() + text(&[]).split_once("\r\n").unwrap().1;
    assert_eq!(Response::parse(response.into()).unwrap().status(), StatusCode::OK);
}

#[test]
fn unknown_transports_in_via() {
    let request = request(&["Via: SIP/2.0/QUIC host.test;branch=z9hG4bKq"]);
    assert_eq!((request.top_via().transport.as_str(), request.top_via().known_transport()), ("QUIC", None));
}

#[test]
fn blanks_where_the_grammar_has_them() {
    let request = request(&[
        "Via: SIP / 2.0 / UDP  198.51.100.7 : 5066 ; branch = z9hG4bKsp ; rport",
        "From :  \"Lin\"<sip:lin@pbx.test> ; tag = t9",
        "CSeq:\t0042\tOPTIONS",
        "Call-ID : c1@h  ",
    ]);
    let via = request.top_via();
    assert_eq!(
        (via.port, via.branch(), via.wants_rport(), via.rport()),
        (Some(5066), Some("z9hG4bKsp"), true, None)
    );
    assert_eq!(request.branch(), "z9hG4bKsp");
    assert_eq!(request.from_tag(), Some("t9"));
    assert_eq!(request.cseq().number, 42);
    assert_eq!(request.call_id(), "c1@h", "no blank at its end");
}

#[test]
fn display_names_with_brackets_quotes_and_tags() {
    let request =
        request(&[r#"From: "A <x> \"B\", ;tag=no" <sip:lin@pbx.test;tag=uri>;x=";tag=no";tag=yes"#]);
    assert_eq!(request.from().display_name.as_deref(), Some(r#"A <x> "B", ;tag=no"#));
    assert_eq!(request.from_tag(), Some("yes"));
    assert_eq!(peek(request.as_bytes()).unwrap().from_tag, Some("yes"));
    let bare = self::request(&["From: sip:lin@pbx.test;tag=bare"]);
    assert_eq!(bare.from_tag(), Some("bare"), "without brackets the parameters are the header's");
    assert!(bare.from().uri.params.is_empty());
    let upper = self::request(&["From: <sip:lin@pbx.test>;TAG=Up"]);
    assert_eq!(upper.from_tag(), Some("Up"));
    let words = self::request(&["From: Lin van der Desk <sip:lin@pbx.test>;tag=w"]);
    assert_eq!(words.from().display_name.as_deref(), Some("Lin van der Desk"));
}

#[test]
fn quoted_parameters_and_several_contacts_in_a_line() {
    let request = request(&[
        "Contact: \"One, two\" <sip:a@h.test>;+sip.instance=\"<urn:uuid:0a,b>\";q=0.5,<sip:b@h.test;x=1>;expires=60",
        "m: sip:c@h.test",
    ]);
    let contacts = request.contacts().unwrap();
    assert_eq!(contacts.len(), 3);
    assert_eq!(contacts[0].params.get("+sip.instance"), Some("\"<urn:uuid:0a,b>\""));
    assert_eq!((contacts[1].uri.params.get("x"), contacts[1].params.get("expires")), (Some("1"), Some("60")));
    assert_eq!(contacts[2].uri.user.as_deref(), Some("c"));
}

#[test]
fn vias_joined_by_commas() {
    let joined = "Via: SIP/2.0/UDP a.test;branch=z9hG4bKa , SIP/2.0/TCP [2001:db8::2];branch=z9hG4bKb\r\nVia: SIP/2.0/TLS c.test;branch=z9hG4bKc";
    let request = request(&[joined]);
    let branches: Vec<_> = request.vias().iter().map(|via| via.branch().unwrap().to_string()).collect();
    assert_eq!(branches, ["z9hG4bKa", "z9hG4bKb", "z9hG4bKc"]);
    assert_eq!(request.branch(), "z9hG4bKa");
    assert_eq!(peek(request.as_bytes()).unwrap().branch, Some("z9hG4bKa"));
}

#[test]
fn folded_lines() {
    let request = request(&[
        "Via: SIP/2.0/UDP 198.51.100.7\r\n ;branch=z9hG4bKfold",
        "From:\r\n \"Lin\"\r\n\t<sip:lin@pbx.test>;\r\n tag=fold",
        "Subject: first\r\n  second\r\n\tthird",
    ]);
    assert_eq!((request.branch(), request.from_tag()), ("z9hG4bKfold", Some("fold")));
    let subject = request.header(HeaderName::Subject).unwrap();
    assert_eq!(subject.split_whitespace().collect::<Vec<_>>(), ["first", "second", "third"]);
    assert!(!subject.contains(['\r', '\n']));
    assert!(std::str::from_utf8(request.as_bytes()).unwrap().contains("first\r\n  second"), "the bytes stay");
    let glance = peek(request.as_bytes()).unwrap();
    assert_eq!((glance.branch, glance.from_tag), (Some("z9hG4bKfold"), Some("fold")));
}

#[test]
fn line_feeds_alone_and_line_ends_before_the_start() {
    let lf = text(&["Subject: x"]).replace("\r\n", "\n");
    let request = Request::parse(Bytes::from(format!("\r\n\r\n{lf}"))).unwrap();
    assert_eq!(request.header(HeaderName::Subject), Some("x"));
    assert!(request.as_bytes().starts_with(b"OPTIONS"));
    assert_eq!(peek(format!("\n{lf}").as_bytes()).unwrap().call_id, "c1@198.51.100.7");
}

#[test]
fn octets_that_are_not_utf8() {
    let mut wire = text(&["Subject: caf#", "From: Jos# <sip:jo@pbx.test>;tag=l1"]).into_bytes();
    wire.iter_mut().filter(|octet| **octet == b'#').for_each(|octet| *octet = 0xe9);
    let request = Request::parse(wire.clone().into()).unwrap();
    assert_eq!(request.header(HeaderName::Subject), Some("caf?"));
    assert_eq!((request.from_tag(), request.from().display_name.as_deref()), (Some("l1"), Some("Jos?")));
    assert_eq!(&request.as_bytes()[..], &wire[..], "the bytes stay");
    let response = Response::builder(StatusCode::OK, &request).build();
    assert!(memchr::memmem::find(response.as_bytes(), b"Jos\xe9 <").is_some(), "and are echoed");
    let copy = request.edit().max_forwards(3).finish();
    assert!(memchr::memmem::find(copy.as_bytes(), b"caf\xe9\r\n").is_some());
}

#[test]
fn bodies_follow_content_length() {
    let with = |length: &str, body: &[u8]| {
        let mut wire = text(&["Content-Type: application/octet-stream", length]).into_bytes();
        wire.extend_from_slice(body);
        Request::parse(wire.into()).unwrap()
    };
    let binary = [0, 0xff, b'\r', b'\n', b'\r', b'\n', 7];
    assert_eq!(&with("Content-Length: 7", &binary).body()[..], binary);
    let cut = with("Content-Length: 2", b"hiINVITE sip:more@pbx.test SIP/2.0");
    assert_eq!(&cut.body()[..], b"hi", "what follows is not the message's");
    assert!(cut.as_bytes().ends_with(b"hi"));
    assert_eq!(&with("X: y", b"to the end").body()[..], b"to the end", "none: the datagram is the limit");
    assert!(with("Content-Length: 0", b"").body().is_empty());
}

#[test]
fn responses_with_any_phrase() {
    let rest = text(&[]).split_once("\r\n").unwrap().1.to_string();
    for (line, status, reason) in [
        ("SIP/2.0 200 OK", 200, "OK"),
        ("SIP/2.0 486 Besetzt – später", 486, "Besetzt – später"),
        ("SIP/2.0 100 ", 100, ""),
        ("SIP/2.0 180", 180, ""),
        ("SIP/2.0 699 Whatever it is", 699, "Whatever it is"),
    ] {
        let Message::Response(response) = Message::parse(format!("{line}\r\n{rest}").into()).unwrap() else {
            panic!("{line}")
        };
        assert_eq!((response.status().code(), response.reason()), (status, reason), "{line}");
        assert_eq!(response.cseq().method, Method::Options);
    }
}

#[test]
fn rfc_2543_requests_without_branch_and_tag() {
    let request = request(&["Via: SIP/2.0/UDP old.test", "From: Lin <sip:lin@pbx.test>"]);
    assert_eq!((request.branch(), request.from_tag(), request.to_tag()), ("", None, None));
    let glance = peek(request.as_bytes()).unwrap();
    assert_eq!((glance.branch, glance.from_tag, glance.to_tag), (None, None, None));
}

#[test]
fn headers_come_in_order_and_by_any_spelling() {
    let request = request(&["x-one: 1", "ALLOW: INVITE, ACK", "X-One: 2", "Allow: BYE,,", "Supported:"]);
    assert_eq!(request.header_lines("X-ONE").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(request.header_lines(HeaderName::from("x-One")).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(request.values(HeaderName::Allow).collect::<Vec<_>>(), ["INVITE", "ACK", "BYE"]);
    assert_eq!(request.header(&HeaderName::Supported), Some(""));
    assert_eq!(request.header(HeaderName::Contact), None);
    let names: Vec<_> = request.headers().skip(6).map(|header| header.name().to_string()).collect();
    assert_eq!(names, ["x-one", "Allow", "X-One", "Allow", "Supported"]);
}

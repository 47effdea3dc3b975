//! URIs, Vias, addresses and CSeqs by themselves: what is read, what is refused, what comes out again.

use std::collections::HashSet;

use holdline_sip::Transport;
use holdline_sip::wire::{CSeq, HeaderName, Host, Method, NameAddr, Params, StatusCode, Uri, Via};

#[test]
fn uris_come_out_as_they_went_in() {
    for text in [
        "sip:pbx.test",
        "sips:lin@pbx.test:5061",
        "sip:lin:secret@pbx.test;transport=tls;lr",
        "sip:%61b;c=d?e@pbx.test;user=phone?Subject=a%20b&X=",
        "sip:+1(555)01@192.0.2.4;method=BYE",
        "sip:*98#@pbx.test",
        "sip:[2001:db8::1]:5060;maddr=[2001:db8::2]",
        "sip:@192.0.2.4",
        "sip:a_b.c-d.test",
        "tel:7042;phone-context=+44",
        "urn:uuid:0-1",
        "mailto:a@b.test?subject=x",
    ] {
        let uri = Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(uri.to_string(), text);
        assert_eq!(Uri::parse(&uri.to_string()), Ok(uri));
    }
}

#[test]
fn what_is_no_uri() {
    for text in [
        "",
        "sip",
        "sip:",
        ":x",
        "1sip:x",
        "sip:a b@c",
        "sip:a@",
        "sip:a@b:",
        "sip:a@b:x",
        "sip:a@b:65536",
        "sip:a@b c",
        "sip:a@b;",
        "sip:a@[::1",
        "sip:a@::1",
        "sip:a@b@c",
        "sip:a@b;=x",
        "sip:a@b;x=\"",
        "sip:\u{7f}@b",
        "sip:a\r\n@b",
        "sip:a@b<",
        "tel:",
        "sip:ä.test",
    ] {
        // A single semicolon at the end is let pass: some senders put it there.
        assert_eq!(Uri::parse(text).is_ok(), text == "sip:a@b;", "{text:?}");
    }
}

#[test]
fn uris_that_mean_the_same() {
    // RFC 3261 §19.1.4, its rules one by one.
    for (ours, theirs, same) in [
        ("sip:Lin@PBX.test", "sip:Lin@pbx.TEST", true),
        ("sip:Lin@pbx.test", "sip:lin@pbx.test", false),
        ("sip:%6cin@pbx.test", "sip:lin@pbx.test", true),
        ("sip:a%2fb@pbx.test", "sip:a%2Fb@pbx.test", true),
        ("sip:a%3Bb@pbx.test", "sip:a;b@pbx.test", false),
        ("sip:lin@pbx.test", "sip:lin@pbx.test:5060", false),
        ("sip:lin@pbx.test", "sips:lin@pbx.test", false),
        ("sip:lin:x@pbx.test", "sip:lin@pbx.test", false),
        ("sip:pbx.test;a=1;b=2", "sip:pbx.test;B=2;A=1", true),
        ("sip:pbx.test;a=1", "sip:pbx.test", true),
        ("sip:pbx.test;a=1", "sip:pbx.test;a=2", false),
        ("sip:pbx.test;transport=UDP", "sip:pbx.test;transport=udp", true),
        ("sip:pbx.test;transport=udp", "sip:pbx.test", false),
        ("sip:pbx.test;ttl=1", "sip:pbx.test", false),
        ("sip:pbx.test;maddr=192.0.2.1", "sip:pbx.test", false),
        ("sip:pbx.test;user=phone", "sip:pbx.test", false),
        ("sip:pbx.test;method=BYE", "sip:pbx.test", false),
        ("sip:pbx.test?a=1&b=2", "sip:pbx.test?B=2&A=1", true),
        ("sip:pbx.test?a=1", "sip:pbx.test", false),
        ("sip:[2001:db8::1]", "sip:[2001:DB8:0::1]", true),
        ("tel:+44-20(7946)0001", "tel:+442079460001", true),
        ("tel:+442079460001", "tel:+442079460002", false),
        ("urn:a:b", "urn:a:b", true),
        ("urn:a:b", "urn:a:B", false),
    ] {
        let (left, right) = (Uri::parse(ours).unwrap(), Uri::parse(theirs).unwrap());
        assert_eq!(left.equivalent(&right), same, "{ours} and {theirs}");
        assert_eq!(right.equivalent(&left), same, "{theirs} and {ours}");
    }
}

#[test]
fn ports_of_uris() {
    for (text, port) in [
        ("sip:a", 5060),
        ("sips:a", 5061),
        ("sip:a;transport=tls", 5061),
        ("sip:a;transport=ws", 80),
        ("sip:a;transport=wss", 443),
        ("sips:a:7000", 7000),
        ("sip:a;transport=other", 5060),
    ] {
        assert_eq!(Uri::parse(text).unwrap().port_or_default(), port, "{text}");
    }
}

#[test]
fn three_colons_are_two() {
    // RFC 5118 §4.10.
    assert_eq!(Host::parse("[2001:db8:::1]"), Host::parse("[2001:db8::1]"));
    assert!(Host::parse("[2001:db8::::1]").is_err());
    assert!(Host::parse("").is_err());
    assert_eq!(Host::parse("300.1.1.1"), Ok(Host::Name("300.1.1.1".into())));
}

#[test]
fn addresses() {
    for (text, out) in [
        ("<sip:a@b>", "<sip:a@b>"),
        ("sip:a@b;tag=1", "<sip:a@b>;tag=1"),
        ("A B <sip:a@b;lr>;x", "\"A B\" <sip:a@b;lr>;x"),
        ("\"\\\\\"<sip:a@b>", "\"\\\\\" <sip:a@b>"),
        ("\"\" <sip:a@b>", "<sip:a@b>"),
        (" < sip:a@b > ; q = 0.1 ", "<sip:a@b>;q=0.1"),
        ("sip:a@b;p=\"<;>\"", "<sip:a@b>;p=\"<;>\""),
        ("é <tel:1>", "\"é\" <tel:1>"),
    ] {
        let address = NameAddr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(address.to_string(), out);
        assert_eq!(NameAddr::parse(out).unwrap(), address);
    }
    for text in [
        "",
        "*",
        "<>",
        "<sip:a@b",
        "sip:a@b>",
        "\"x <sip:a@b>",
        "\"x\" sip:a@b",
        "\"x\"",
        "sip:a@b?x=y",
        "x\" <sip:a@b>",
        "<sip:a@b>x",
        "<sip:a@b>;=",
        "<sip:a@b>;p=\"x",
    ] {
        assert!(NameAddr::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn tags_are_set_replaced_and_taken_off() {
    let address: NameAddr = "<sip:a@b;tag=no>;x=1".parse().unwrap();
    assert_eq!(address.tag(), None);
    let tagged = address.clone().with_tag("t1");
    assert_eq!((tagged.tag(), tagged.to_string().as_str()), (Some("t1"), "<sip:a@b;tag=no>;x=1;tag=t1"));
    assert_eq!(tagged.clone().with_tag("t2").to_string(), "<sip:a@b;tag=no>;x=1;tag=t2");
    assert_eq!(tagged.without_tag(), address);
}

#[test]
fn parameters_change_in_place() {
    let mut params: Params = ";a=1;B;c=\"x;y\";b=2".parse().unwrap();
    assert_eq!(
        (params.get("A"), params.get("b"), params.get("c"), params.get("d")),
        (Some("1"), Some(""), Some("\"x;y\""), None)
    );
    params.set("c", Some("3"));
    params.set("a", None);
    assert_eq!(params.as_str(), ";a;B;c=3;b=2");
    params.remove("b");
    assert_eq!(params.as_str(), ";a;c=3", "all of the name");
    params.remove("a");
    params.remove("c");
    assert!(params.is_empty());
    assert_eq!(params.iter().count(), 0);
}

#[test]
fn vias_and_where_their_responses_go() {
    for (text, target) in [
        // RFC 3261 §18.2.2, RFC 3581 §4.
        ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", Some("192.0.2.1:5060")),
        ("SIP/2.0/UDP 192.0.2.1:5080;branch=z9hG4bK1", Some("192.0.2.1:5080")),
        ("SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1", Some("192.0.2.1:5061")),
        ("SIP/2.0/UDP h.test;branch=z9hG4bK1", None),
        ("SIP/2.0/UDP h.test:5070;received=192.0.2.9;branch=z9hG4bK1", Some("192.0.2.9:5070")),
        ("SIP/2.0/UDP h.test:5070;received=192.0.2.9;rport=9;branch=z9hG4bK1", Some("192.0.2.9:9")),
        ("SIP/2.0/UDP h.test;rport;received=192.0.2.9;branch=z9hG4bK1", Some("192.0.2.9:5060")),
        ("SIP/2.0/UDP h.test;received=[2001:db8::9];branch=z9hG4bK1", Some("[2001:db8::9]:5060")),
        ("SIP/2.0/UDP h.test;maddr=192.0.2.8;received=192.0.2.9;rport=9", Some("192.0.2.8:5060")),
        ("SIP/2.0/UDP h.test;maddr=other.test", None),
    ] {
        let via = Via::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(via.response_addr(), target.map(|target| target.parse().unwrap()), "{text}");
        assert_eq!(via.to_string(), text);
    }
    for text in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/1.0/UDP h",
        "SIP/2.0/ h",
        "SIP/2.0/U@P h",
        "SIP/2.0/UDP h;;b",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP ::1",
        "SIP/2.0/UDP h h",
    ] {
        assert!(Via::parse(text).is_err(), "{text:?}");
    }
    let made = Via::new(Transport::Wss, Host::parse("[2001:db8::1]").unwrap(), Some(443), "z9hG4bKm");
    assert_eq!(made.to_string(), "SIP/2.0/WSS [2001:db8::1]:443;branch=z9hG4bKm");
    assert_eq!(
        (made.sent_by().as_str(), made.ttl(), made.known_transport()),
        ("[2001:db8::1]:443", None, Some(Transport::Wss))
    );
}

#[test]
fn cseqs() {
    assert_eq!("0042 INVITE".parse(), Ok(CSeq { number: 42, method: Method::Invite }));
    assert_eq!("2147483647 X".parse::<CSeq>().unwrap().to_string(), "2147483647 X");
    for text in ["", "1", "INVITE", "1INVITE", "-1 BYE", "2147483648 BYE", "1 B@E", "1 BYE x"] {
        assert!(text.parse::<CSeq>().is_err(), "{text:?}");
    }
}

#[test]
fn header_names_are_one_in_every_spelling() {
    for (spelling, name) in [
        ("call-id", HeaderName::CallId),
        ("CALL-ID", HeaderName::CallId),
        ("i", HeaderName::CallId),
        ("V", HeaderName::Via),
        ("www-authenticate", HeaderName::WwwAuthenticate),
        ("X", HeaderName::SessionExpires),
        ("rack", HeaderName::RAck),
    ] {
        assert_eq!(HeaderName::from(spelling), name, "{spelling}");
    }
    let names: HashSet<_> =
        ["X-Trace", "x-trace", "z", "Via", "v"].into_iter().map(HeaderName::from).collect();
    assert_eq!(names.len(), 3);
    assert_eq!(HeaderName::from("X-Trace").to_string(), "X-Trace");
}

#[test]
fn status_codes() {
    assert_eq!((StatusCode::new(99), StatusCode::new(700)), (None, None));
    let odd = StatusCode::new(499).unwrap();
    assert_eq!(
        (odd.default_reason(), odd.class(), odd.is_final(), odd.is_success()),
        ("Bad Request", 4, true, false)
    );
    assert!(StatusCode::TRYING.is_provisional() && !StatusCode::TRYING.is_final());
    assert!(StatusCode::OK.is_success() && StatusCode::MOVED_TEMPORARILY.is_redirect());
}

//! The bridge to rsip: what goes over comes back the same, and what cannot go over is named.
#![cfg(feature = "rsip")]

use bytes::Bytes;
use holdline_sip::rsip::Error;
use holdline_sip::wire::{HeaderName, Method, Request, Response, StatusCode, Uri};
use rsip::prelude::{HeadersExt, ToTypedHeader};

const INVITE: &str = "INVITE sip:desk@[2001:db8::5]:5070;x=b:c;lr;transport=quic SIP/2.0\r\n\
                      v: SIP/2.0/UDP [2001:db8::1]:5060;received=2001:db8::9;branch=z9hG4bKa, SIP/2.0/TCP b.test;branch=z9hG4bKb\r\n\
                      Max-Forwards: 69\r\n\
                      f: \"Lin <1>\"\r\n <sip:lin@pbx.test>;tag=f1\r\n\
                      t: <sip:desk@pbx.test>\r\n\
                      Call-ID: c1@h\r\n\
                      CSeq: 7 INVITE\r\n\
                      Contact: <sip:lin@192.0.2.1:5062;ob>\r\n\
                      Session-Expires: 1800;refresher=uac\r\n\
                      X-Own: a, b\r\n\
                      Content-Type: application/octet-stream\r\n\
                      Content-Length: 4\r\n\r\n\x00\u{7f}\r\n";

fn request(text: &str) -> Request {
    Request::parse(Bytes::copy_from_slice(text.as_bytes())).expect("the request is in order")
}

#[test]
fn a_request_goes_over_and_comes_back() {
    let ours = request(INVITE);
    let theirs = rsip::Request::try_from(&ours).unwrap();
    assert_eq!(theirs.method, rsip::Method::Invite);
    assert_eq!(theirs.uri.to_string(), "sip:desk@[2001:db8::5]:5070;x=b:c;lr;transport=quic");
    assert_eq!(theirs.call_id_header().unwrap().to_string(), "Call-ID: c1@h");
    assert_eq!(theirs.contact_header().unwrap().typed().unwrap().uri.user(), Some("lin"));
    assert_eq!(theirs.body, b"\x00\x7f\r\n");

    let back = Request::try_from(&theirs).unwrap();
    assert_eq!(back.method(), ours.method());
    assert_eq!(back.parsed_uri(), ours.parsed_uri());
    assert_eq!(back.body(), ours.body());
    let fields = |request: &Request| -> Vec<(HeaderName, String)> {
        request.headers().map(|header| (header.name(), header.value.to_string())).collect()
    };
    assert_eq!(fields(&back), fields(&ours));
    assert_eq!(rsip::Request::try_from(&back).unwrap(), theirs);
}

#[test]
fn a_response_goes_over_and_comes_back() {
    for status in [StatusCode::OK, StatusCode::BUSY_HERE, StatusCode::new(499).unwrap(), StatusCode::UNWANTED]
    {
        let ours = Response::builder(status, &request(INVITE))
            .to_tag("t")
            .reason("Own words")
            .body("x/y", vec![0xff, 0])
            .build();
        let theirs = rsip::Response::try_from(&ours).unwrap();
        assert_eq!(theirs.status_code.code(), status.code());
        let back = Response::try_from(&theirs).unwrap();
        assert_eq!(
            (back.status(), back.body(), back.vias(), back.to_tag()),
            (status, ours.body(), ours.vias(), Some("t"))
        );
        let own = if status.code() == 499 { "Own words" } else { status.default_reason() };
        assert_eq!(back.reason(), own, "rsip has no phrase for the codes it lists");
    }
}

#[test]
fn what_rsip_parses_comes_over() {
    let text = "BYE sip:a@h.test;lr SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
                To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 2 BYE\r\nContent-Length: 99\r\n\r\nfour";
    let theirs = rsip::Request::try_from(text).unwrap();
    let ours = Request::try_from(&theirs).unwrap();
    assert_eq!((ours.method(), ours.uri(), ours.to_tag()), (&Method::Bye, "sip:a@h.test;lr", Some("2")));
    assert_eq!(
        (&ours.body()[..], ours.header("Content-Length")),
        (&b"four"[..], Some("4")),
        "a wrong length is put right"
    );
}

#[test]
fn what_has_no_room_is_named() {
    let field = |error: Error| match error {
        Error::NoRoom { field, .. } | Error::Invalid { field, .. } => field,
    };
    let refused = |text: &str| field(rsip::Request::try_from(&request(text)).unwrap_err());
    assert_eq!(refused(&INVITE.replace("INVITE", "PING")), "method");
    assert_eq!(
        refused(&INVITE.replace("sip:desk@[2001:db8::5]:5070;x=b:c;lr;transport=quic", "tel:+44")),
        "URI scheme"
    );
    let mut foreign = INVITE.as_bytes().to_vec();
    let at = INVITE.find("Own: a").unwrap() + 5;
    foreign[at] = 0xe9;
    let foreign = Request::parse(foreign.into()).unwrap();
    assert_eq!(field(rsip::Request::try_from(&foreign).unwrap_err()), "X-Own");
    let headers: Uri = "sip:a@b?Subject=x".parse().unwrap();
    assert_eq!(field(rsip::Uri::try_from(&headers).unwrap_err()), "URI headers");
}

#[test]
fn what_rsip_lets_be_built_wrong_is_named() {
    let good = rsip::Request::try_from(&request(INVITE)).unwrap();
    let field = |change: &dyn Fn(&mut rsip::Request)| {
        let mut theirs = good.clone();
        change(&mut theirs);
        match Request::try_from(&theirs).unwrap_err() {
            Error::NoRoom { field, .. } | Error::Invalid { field, .. } => field,
        }
    };
    assert_eq!(field(&|theirs| theirs.version = rsip::Version::V1), "version");
    assert_eq!(field(&|theirs| theirs.uri.scheme = None), "URI scheme");
    assert_eq!(field(&|theirs| theirs.uri.headers = vec![1]), "URI headers");
    assert_eq!(
        field(&|theirs| theirs.uri.host_with_port.host = rsip::Host::Domain("a b".into())),
        "URI host"
    );
    assert_eq!(
        field(&|theirs| theirs.uri.auth = Some(rsip::Auth { user: "a@b".into(), password: None })),
        "URI"
    );
    assert_eq!(
        field(&|theirs| theirs.uri.auth = Some(rsip::Auth { user: "a:b".into(), password: None })),
        "URI user"
    );
    assert_eq!(field(&|theirs| theirs.method = rsip::Method::Bye), "message", "CSeq says INVITE");
    assert_eq!(field(&|theirs| theirs.headers = rsip::Headers::default()), "message");
    assert_eq!(field(&|theirs| theirs.headers.push(rsip::Header::Subject("a\r\nX: b".into()))), "Subject");
    assert_eq!(field(&|theirs| theirs.headers.push(rsip::Header::Other("A B".into(), "c".into()))), "A B");
}

#[test]
fn every_listed_method_has_its_counterpart() {
    for theirs in rsip::Method::all() {
        let ours = Method::from(theirs);
        assert_eq!(ours.as_str(), theirs.to_string());
        assert_eq!(rsip::Method::try_from(&ours), Ok(theirs));
    }
}

#[test]
fn uris_keep_their_meaning() {
    for text in [
        "sip:a:pw@h.test:5061;transport=TLS;user=phone;ttl=4;maddr=192.0.2.9;method=BYE;lr;x;y=z",
        "sips:[2001:db8::1]",
        "sip:192.0.2.1:5060;lr=on;transport=udp",
    ] {
        let ours: Uri = text.parse().unwrap();
        let back = Uri::try_from(&rsip::Uri::try_from(&ours).unwrap()).unwrap();
        assert!(back.equivalent(&ours), "{text} came back as {back}");
        assert_eq!(back.to_string().to_lowercase(), text.to_lowercase());
    }
}

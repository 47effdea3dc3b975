//! Properties of the wire format: what is written reads the same, and no octets make it panic.

use bytes::Bytes;
use holdline_sip::wire::{
    CSeq, HeaderName, Host, Message, Method, NameAddr, Params, Request, Response, Scheme, StatusCode, Uri,
    Via, peek,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const SEEDS: [&str; 4] = [
    "INVITE sip:desk;x@pbx.test:5060;lr SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::1]:5060;rport;branch=z9hG4bK1, SIP/2.0/TCP h;branch=2\r\n\
     From: \"A \\\" <b>\" <sip:a@b>;tag=1\r\nTo: sip:c@d;tag=2\r\nCall-ID: x@y\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>;q=\"a,b\", <tel:1>\r\n\
     Record-Route: <sip:p;lr>\r\nRoute: <sip:q;lr>,<sip:r>\r\nMax-Forwards: 70\r\nContent-Length: 3\r\n\r\nabc",
    "OPTIONS sip:d@[::1] SIP/2.0\nv: SIP / 2.0 / UDP h ;\n branch = z\nf: <sip:a@b>\n ;tag=1\nt: <urn:a>\ni: 1\nCSeq: 2 OPTIONS\nX: \tz\n\n",
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKq;received=192.0.2.1\r\nFrom: \u{e9} <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n\
     Call-ID: x\r\nCSeq: 9 BYE\r\nContent-Length: 0\r\n\r\n",
    "BYE sip:a SIP/2.0\r\nl: 0\r\nVia: SIP/2.0/WSS h.invalid;branch=z9hG4bK-\r\nf: <sips:a@b;lr>;tag=t\r\nt: \"\" <sip:c>;tag=u\r\ni: i\r\n\
     CSeq: 00 BYE\r\n\r\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn uris_read_as_written(uri in uri()) {
        prop_assert_eq!(Uri::parse(&uri.to_string()), Ok(uri.clone()));
        prop_assert!(uri.equivalent(&uri));
    }

    #[test]
    fn addresses_read_as_written(address in address()) {
        prop_assert_eq!(NameAddr::parse(&address.to_string()), Ok(address));
    }

    #[test]
    fn vias_read_as_written(via in via()) {
        prop_assert_eq!(Via::parse(&via.to_string()), Ok(via));
    }

    #[test]
    fn requests_read_as_built(call in call(), body in vec(any::<u8>(), 0..64)) {
        let request = call.request(&body);
        let read = Request::parse(request.as_bytes().clone()).unwrap();
        prop_assert_eq!(&read, &request);
        prop_assert_eq!(read.method(), &call.method);
        prop_assert_eq!(read.parsed_uri().unwrap(), call.uri);
        prop_assert_eq!(read.vias(), call.vias.clone());
        prop_assert_eq!(read.branch(), call.vias[0].branch().unwrap_or_default());
        prop_assert_eq!(read.from_tag(), call.from.tag());
        prop_assert_eq!(read.from(), call.from);
        prop_assert_eq!(read.to(), call.to);
        prop_assert_eq!(read.cseq(), CSeq { number: call.cseq, method: call.method });
        prop_assert_eq!(&read.body()[..], &body[..]);
        let glance = peek(request.as_bytes()).unwrap();
        prop_assert_eq!((glance.call_id, glance.from_tag, glance.to_tag), (read.call_id(), read.from_tag(), read.to_tag()));
        prop_assert_eq!(glance.branch.unwrap_or_default(), read.branch());
    }

    /// A field is the same in every spelling the grammar allows it.
    #[test]
    fn spelling_changes_nothing(call in call(), spelling in spelling()) {
        let request = call.request(b"");
        let respelled = Request::parse(spelling.apply(request.as_bytes())).unwrap();
        prop_assert_eq!(respelled.call_id(), request.call_id());
        prop_assert_eq!((respelled.from_tag(), respelled.to_tag()), (request.from_tag(), request.to_tag()));
        prop_assert_eq!((respelled.branch(), respelled.vias()), (request.branch(), request.vias()));
        prop_assert_eq!(respelled.from().uri, request.from().uri);
        prop_assert_eq!(peek(respelled.as_bytes()).unwrap().branch, peek(request.as_bytes()).unwrap().branch);
        let response = Response::builder(StatusCode::RINGING, &respelled).to_tag("us").build();
        let response = Response::parse(response.as_bytes().clone()).unwrap();
        prop_assert_eq!((response.branch(), response.call_id()), (request.branch(), request.call_id()));
    }

    #[test]
    fn edits_undo_each_other(call in call(), other in via(), source in any::<std::net::SocketAddr>()) {
        let request = call.request(b"x");
        let pushed = request.edit().push_via(&other).push_route("<sip:a;lr>").finish();
        prop_assert_eq!(pushed.vias().len(), call.vias.len() + 1);
        prop_assert_eq!(&pushed.edit().pop(HeaderName::Via).pop_route().finish(), &request);
        let received = request.with_top_via_received(source);
        prop_assert_eq!(received.branch(), request.branch());
        prop_assert_eq!(&received.vias()[1..], &request.vias()[1..]);
        prop_assert_eq!(&received.with_top_via_received(source), &received);
        let read = Request::parse(received.as_bytes().clone()).unwrap();
        prop_assert!(read.headers().eq(received.headers()), "the ranges are moved on with the octets");
        prop_assert_eq!((read.branch(), read.top_via(), read.uri()), (received.branch(), received.top_via(), received.uri()));
        prop_assert_eq!((read.from_tag(), read.to_tag(), read.call_id()), (received.from_tag(), received.to_tag(), received.call_id()));
        prop_assert_eq!((read.from(), read.to(), read.cseq()), (received.from(), received.to(), received.cseq()));
        prop_assert_eq!(read.edit().pop_route().finish(), received.edit().finish());
        prop_assert_eq!((read.body(), read), (received.body(), received));
    }

    #[test]
    fn built_responses_read_the_same_again(call in call(), tag in "[a-z0-9]{0,9}", value in "[ -~]{0,20}", late in any::<bool>()) {
        let request = call.request(b"");
        let mut builder = Response::builder(StatusCode::RINGING, &request);
        for step in [late, !late] {
            builder = if step { builder.header("X-Own", &value) } else { builder.to_tag(&tag) };
        }
        let built = builder.body("text/plain", "x").build();
        let read = Response::parse(built.as_bytes().clone()).unwrap();
        prop_assert!(read.headers().eq(built.headers()));
        prop_assert_eq!((read.branch(), read.top_via(), read.reason()), (built.branch(), built.top_via(), built.reason()));
        prop_assert_eq!((read.from_tag(), read.to_tag(), read.call_id()), (built.from_tag(), built.to_tag(), built.call_id()));
        prop_assert_eq!((read.from(), read.to(), read.cseq()), (built.from(), built.to(), built.cseq()));
        prop_assert_eq!((read.body(), read.vias()), (built.body(), request.vias()));
        prop_assert_eq!(read.edit().pop_via().finish(), built.edit().pop_via().finish());
        prop_assert_eq!(built.edit().finish(), built);
    }

    #[test]
    fn no_value_makes_a_header(name in "[A-Za-z-]{1,12}", value in any::<String>()) {
        let call = Call::plain();
        let plain = call.builder().build().headers().count();
        let name = format!("X{name}");
        let built = call.builder().header(name.as_str(), &value).build();
        prop_assert_eq!(built.headers().count(), plain + 1);
        let read = Request::parse(built.as_bytes().clone()).unwrap();
        prop_assert_eq!(read.headers().count(), plain + 1);
        let expected: Vec<_> = value.split_whitespace().collect();
        prop_assert_eq!(read.header(name.as_str()).unwrap().split_whitespace().collect::<Vec<_>>(), expected);
        let edited = read.edit().set(HeaderName::Subject, &value).push_record_route(&value).finish();
        prop_assert_eq!(edited.headers().count(), plain + 3);
    }

    #[test]
    fn any_text_as_a_value(text in "[ -~\r\n\u{e9}]{0,60}") {
        if let Ok(uri) = Uri::parse(&text) {
            prop_assert_eq!(Uri::parse(&uri.to_string()), Ok(uri));
        }
        if let Ok(address) = NameAddr::parse(&text) {
            prop_assert_eq!(NameAddr::parse(&address.to_string()), Ok(address));
        }
        if let Ok(via) = Via::parse(&text) {
            prop_assert_eq!(Via::parse(&via.to_string()), Ok(via));
        }
        if let Ok(params) = text.parse::<Params>() {
            let names: Vec<_> = params.iter().map(|(name, _)| name.to_string()).collect();
            prop_assert!(names.iter().all(|name| params.contains(name)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn mutated_messages_never_panic(seed in select(&SEEDS[..]), mutations in vec(mutation(), 0..8)) {
        let mut wire = seed.as_bytes().to_vec();
        for mutation in &mutations {
            mutation.apply(&mut wire);
        }
        read_all(wire.into())?;
    }

    #[test]
    fn octets_never_panic(wire in vec(any::<u8>(), 0..200)) {
        read_all(wire.into())?;
    }
}

/// Reads what there is to read; what parses must survive every way of writing it.
fn read_all(wire: Bytes) -> Result<(), TestCaseError> {
    let glance = peek(&wire);
    let message = match Message::parse(wire.clone()) {
        Ok(message) => message,
        Err(error) => {
            prop_assert!(error.at <= wire.len());
            if let Some(reply) = error.reply(&wire) {
                prop_assert!(reply.starts_with(b"SIP/2.0 "));
                prop_assert!(error.reply_from(&wire, ([192, 0, 2, 1], 5060).into()).is_some());
            }
            return Ok(());
        }
    };
    prop_assert_eq!(
        &Message::parse(message.as_bytes().clone()).expect("what parsed once parses again"),
        &message
    );
    if let Some(glance) = glance {
        prop_assert_eq!((glance.call_id, glance.cseq), (message.call_id(), message.cseq().number));
        prop_assert_eq!((glance.from_tag, glance.to_tag), (message.from_tag(), message.to_tag()));
    }
    prop_assert_ne!(message.from().uri.host, Host::Name("invalid.invalid".into()));
    prop_assert_ne!(message.to().uri.host, Host::Name("invalid.invalid".into()));
    prop_assert!(!message.vias().is_empty());
    let top = message.top_via();
    prop_assert_eq!(top.branch().unwrap_or_default(), message.branch());
    let _ = (
        message.contacts(),
        message.routes(),
        message.record_routes(),
        message.max_forwards(),
        message.body(),
    );
    match message {
        Message::Request(request) => {
            prop_assert!(request.parsed_uri().is_ok());
            let response = Response::builder(StatusCode::OK, &request).to_tag("us").build();
            let read = Response::parse(response.as_bytes().clone());
            prop_assert_eq!(read.as_ref(), Ok(&response));
            prop_assert_eq!(response.vias(), request.vias());
            let edited =
                request.edit().push_via("SIP/2.0/UDP h;branch=n").max_forwards(1).pop_route().finish();
            prop_assert_eq!(edited.branch(), "n");
            prop_assert!(Request::parse(edited.as_bytes().clone()).is_ok());
            #[cfg(feature = "rsip")]
            let _ = rsip::Request::try_from(&request).map(|theirs| Request::try_from(&theirs));
        }
        Message::Response(response) => {
            let popped = response.edit().pop_via().finish();
            prop_assert_eq!(
                popped.values(HeaderName::Via).count(),
                response.values(HeaderName::Via).count() - 1
            );
            #[cfg(feature = "rsip")]
            let _ = rsip::Response::try_from(&response).map(|theirs| Response::try_from(&theirs));
        }
    }
    Ok(())
}

/// The fields of a request.
#[derive(Clone, Debug)]
struct Call {
    method: Method,
    uri: Uri,
    vias: Vec<Via>,
    from: NameAddr,
    to: NameAddr,
    call_id: String,
    cseq: u32,
}

impl Call {
    fn plain() -> Call {
        let uri: Uri = "sip:a@b.test".parse().expect("a URI");
        let via = "SIP/2.0/UDP h;branch=z9hG4bK1".parse().expect("a Via");
        let (from, to) = (NameAddr::new(uri.clone()).with_tag("1"), NameAddr::new(uri.clone()));
        Call { method: Method::Options, uri, vias: vec![via], from, to, call_id: "c".into(), cseq: 1 }
    }

    fn builder(&self) -> holdline_sip::wire::RequestBuilder {
        let mut builder = Request::builder(self.method.clone(), &self.uri);
        for via in &self.vias {
            builder = builder.header(HeaderName::Via, via);
        }
        builder
            .header(HeaderName::From, &self.from)
            .header(HeaderName::To, &self.to)
            .header(HeaderName::CallId, &self.call_id)
            .header(HeaderName::CSeq, format_args!("{} {}", self.cseq, self.method))
    }

    fn request(&self, body: &[u8]) -> Request {
        self.builder().body("application/octet-stream", body.to_vec()).build()
    }
}

/// Ways to write the same message.
#[derive(Clone, Debug)]
struct Spelling {
    compact: bool,
    upper: bool,
    feed_only: bool,
    fold: bool,
    blank_before_colon: bool,
}

impl Spelling {
    fn apply(&self, wire: &[u8]) -> Bytes {
        let text = std::str::from_utf8(wire).expect("built text is UTF-8");
        let mut lines: Vec<String> = text.split("\r\n").map(String::from).collect();
        for line in lines.iter_mut().skip(1).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a header line");
            let short = match name {
                "Via" => "v",
                "From" => "f",
                "To" => "t",
                "Call-ID" => "i",
                "Content-Length" => "l",
                long => long,
            };
            let name = if self.compact { short } else { name };
            let name = if self.upper { name.to_uppercase() } else { name.to_string() };
            let blank = if self.blank_before_colon { " \t" } else { "" };
            let gap = if self.fold { "\r\n\t" } else { "" };
            // Blanks around a parameter's semicolon are allowed, also in the next line; within quotes they count.
            let value = if self.fold && short == "v" && !value.contains('"') {
                value.replace(';', " ;\r\n ")
            } else {
                value.into()
            };
            *line = format!("{name}{blank}:{gap}{value}");
        }
        let text = lines.join("\r\n");
        if self.feed_only { text.replace("\r\n", "\n").into() } else { text.into() }
    }
}

fn spelling() -> impl Strategy<Value = Spelling> {
    any::<[bool; 5]>().prop_map(|[compact, upper, feed_only, fold, blank_before_colon]| Spelling {
        compact,
        upper,
        feed_only,
        fold,
        blank_before_colon,
    })
}

fn call() -> impl Strategy<Value = Call> {
    (
        method(),
        uri(),
        vec(via(), 1..4),
        address(),
        address(),
        "[a-zA-Z0-9<>{}?/._-]{1,20}(@[a-z0-9.]{1,9})?",
        0..1_u32 << 31,
    )
        .prop_map(|(method, mut uri, vias, from, to, call_id, cseq)| {
            uri.headers = None;
            Call { method, uri, vias, from, to, call_id, cseq }
        })
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        select(
            &["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO", "MESSAGE"]
                [..]
        )
        .prop_map(|name| name.parse().expect("a method")),
        "[A-Z%*~.!_`'+-]{1,10}".prop_map(|name| name.parse().expect("a token is a method")),
    ]
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        "[a-z][a-z0-9_-]{0,8}(\\.[a-z]{1,4})?".prop_map(Host::Name),
        any::<std::net::Ipv4Addr>().prop_map(Host::V4),
        any::<std::net::Ipv6Addr>().prop_map(Host::V6),
    ]
}

fn params() -> impl Strategy<Value = Params> {
    let value = prop_oneof![
        Just(None),
        "[a-z0-9:%/.@+-]{0,8}".prop_map(Some),
        "\"([ -!#-\\[\\]-~]|\\\\[\"\\\\])*\"".prop_map(Some),
    ];
    vec(("[a-z][a-z0-9.-]{0,7}", value), 0..4).prop_map(to_params)
}

fn to_params(pairs: Vec<(String, Option<String>)>) -> Params {
    let mut params = Params::new();
    for (name, value) in pairs {
        params.set(&name, value.as_deref());
    }
    params
}

fn uri() -> impl Strategy<Value = Uri> {
    // Neither quotes nor at signs may stand in a URI's parameters.
    let bare_params =
        vec(("[a-z][a-z0-9.-]{0,7}", proptest::option::of("[a-z0-9:%/.+-]{0,8}")), 0..4).prop_map(to_params);
    let sip = (
        any::<bool>(),
        proptest::option::of(("[a-z0-9;?/&=+$,*#%-]{0,9}", proptest::option::of("[a-z&=+$,]{0,5}"))),
        host(),
        proptest::option::of(any::<u16>()),
        bare_params,
        proptest::option::of("[a-z=&%+$]{0,9}"),
    )
        .prop_map(|(secure, user, host, port, params, headers)| {
            let (user, password) = user.map_or((None, None), |(user, password)| (Some(user), password));
            let scheme = if secure { Scheme::Sips } else { Scheme::Sip };
            Uri { scheme, user, password, host, port, params, headers }
        });
    prop_oneof![
        4 => sip,
        1 => "tel:[+0-9().-]{1,12}(;phone-context=[a-z.+]{1,6})?".prop_map(|text| text.parse().expect("the pattern makes URIs")),
        1 => "[a-z][a-z0-9+.-]{3,6}:[a-z0-9/:.-]{1,9}".prop_map(|text| text.parse().expect("the pattern makes URIs")),
    ]
}

fn address() -> impl Strategy<Value = NameAddr> {
    let name = proptest::option::of("[ -~éß]{0,10}".prop_map(|name| name.trim().to_string()))
        .prop_map(|name| name.filter(|name| !name.is_empty()));
    (name, uri(), params(), proptest::option::of("[a-z0-9.-]{1,9}")).prop_map(
        |(display_name, uri, params, tag)| {
            let address = NameAddr { display_name, uri, params };
            match tag {
                Some(tag) => address.with_tag(&tag),
                None => address.without_tag(),
            }
        },
    )
}

fn via() -> impl Strategy<Value = Via> {
    (
        select(&["UDP", "TCP", "tls", "WS", "X-own"][..]),
        host(),
        proptest::option::of(any::<u16>()),
        params(),
        any::<bool>(),
    )
        .prop_map(|(transport, host, port, mut params, rport)| {
            params.set("branch", Some("z9hG4bK-x"));
            if rport {
                params.set("rport", None);
            }
            Via { transport: transport.into(), host, port, params }
        })
}

/// A small damage to a message.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Insert(Index, &'static str),
    Remove(Index, usize),
    Repeat(Index, Index),
    Cut(Index),
}

impl Mutation {
    fn apply(&self, wire: &mut Vec<u8>) {
        if wire.is_empty() {
            return;
        }
        let length = wire.len();
        match self {
            Mutation::Set(at, octet) => wire[at.index(length)] = *octet,
            Mutation::Insert(at, text) => {
                let at = at.index(length);
                wire.splice(at..at, text.bytes());
            }
            Mutation::Remove(at, count) => {
                let at = at.index(length);
                wire.drain(at..(at + count).min(length));
            }
            Mutation::Repeat(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                let part = wire[from.min(to)..from.max(to)].to_vec();
                wire.splice(to..to, part);
            }
            Mutation::Cut(at) => wire.truncate(at.index(length)),
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let pieces = &[
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "\r\n ",
        ";",
        ",",
        "\"",
        "\\",
        "<",
        ">",
        "=",
        ":",
        "@",
        "[",
        "]",
        "\u{e9}",
        ";tag=",
        ";branch=",
        "\r\nVia: ",
        "\r\nTo: <sip:a>",
        "99999999999",
        "-1",
        "%",
        "\0",
    ][..];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, octet)| Mutation::Set(at, octet)),
        (any::<Index>(), select(pieces)).prop_map(|(at, text)| Mutation::Insert(at, text)),
        (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
        any::<Index>().prop_map(Mutation::Cut),
    ]
}

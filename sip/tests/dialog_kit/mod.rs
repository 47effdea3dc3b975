//! What the dialog tests share: messages as a peer writes them, transaction ids, and effects in one line each.
#![allow(dead_code)] // Each test binary uses its own part.

pub(crate) mod calls;
pub(crate) mod inputs;
pub(crate) mod net;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdline_sip::dialog::{Body, Call, Config, Dialog, Effect, Event};
use holdline_sip::transaction::{self, ServerTransactionId, Transactions};
use holdline_sip::wire::{HeaderName, Message, Request, Response};
use holdline_sip::{Flow, Timestamp};

/// The moment every test starts at.
pub(crate) const START: Timestamp = Duration::from_secs(1_700_000_000);

pub(crate) fn at(millis: u64) -> Timestamp {
    START + Duration::from_millis(millis)
}

pub(crate) fn config() -> Arc<Config> {
    Arc::new(Config {
        contact: "sip:us@192.0.2.1:5060".into(),
        via: "192.0.2.1:5060".into(),
        ..Config::default()
    })
}

pub(crate) fn flow() -> Flow {
    Flow::udp("198.51.100.7:5060".parse().expect("an address"))
}

pub(crate) fn sdp(text: &'static str) -> Body {
    Body::sdp(Bytes::from_static(text.as_bytes()))
}

/// `count` distinct server transactions, as only a transaction table can name them.
pub(crate) fn transactions(count: usize) -> Vec<ServerTransactionId> {
    let mut table = Transactions::<()>::new(transaction::Config::default());
    let mut ids = Vec::new();
    for n in 0..count {
        let message = request("OPTIONS").branch(&format!("z9hG4bKt{n}")).cseq(n as u32 + 1).message();
        table.handle_message(START, message, flow());
        while let Some(effect) = table.poll_effect() {
            if let transaction::Effect::Request { id, .. } = effect {
                ids.push(id);
            }
        }
    }
    assert_eq!(ids.len(), count);
    ids
}

/// A request of the peer, whose tag is `them`, to us, whose tag is `us`.
#[derive(Clone)]
pub(crate) struct PeerRequest {
    method: String,
    cseq: u32,
    branch: String,
    to_tag: Option<String>,
    from_tag: String,
    headers: String,
    body: String,
}

pub(crate) fn request(method: &str) -> PeerRequest {
    PeerRequest {
        method: method.into(),
        cseq: 1,
        branch: String::new(),
        to_tag: Some("us".into()),
        from_tag: "them".into(),
        headers: String::new(),
        body: String::new(),
    }
}

/// The INVITE that makes a dialog.
pub(crate) fn invite() -> PeerRequest {
    request("INVITE")
        .no_to_tag()
        .header("Contact: <sip:them@198.51.100.7:5060>")
        .header("Record-Route: <sip:edge.example.com;lr>, <sip:core.example.com;lr>")
        .body("offer")
}

impl PeerRequest {
    pub(crate) fn cseq(mut self, cseq: u32) -> Self {
        self.cseq = cseq;
        self
    }
    pub(crate) fn branch(mut self, branch: &str) -> Self {
        self.branch = branch.into();
        self
    }
    pub(crate) fn no_to_tag(mut self) -> Self {
        self.to_tag = None;
        self
    }
    pub(crate) fn with_to_tag(mut self, tag: &str) -> Self {
        self.to_tag = Some(tag.into());
        self
    }
    pub(crate) fn with_from_tag(mut self, tag: &str) -> Self {
        self.from_tag = tag.into();
        self
    }
    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers += line;
        self.headers += "\r\n";
        self
    }
    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.into();
        self
    }
    pub(crate) fn text(&self) -> String {
        let Self { method, cseq, branch, from_tag, headers, body, .. } = self;
        let default = format!("z9hG4bK{}{cseq}", method.to_lowercase());
        let branch = if branch.is_empty() { &default } else { branch };
        let to_tag = self.to_tag.as_ref().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:us@192.0.2.1:5060 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 198.51.100.7:5060;branch={branch}\r\n\
             Max-Forwards: 70\r\n\
             From: \"Them\" <sip:them@example.com>;tag={from_tag}\r\n\
             To: <sip:us@example.com>{to_tag}\r\n\
             Call-ID: call-1\r\n\
             CSeq: {cseq} {method}\r\n\
             {headers}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
    pub(crate) fn message(&self) -> Message {
        Message::parse(Bytes::from(self.text())).expect("the kit writes valid messages")
    }
    pub(crate) fn build(&self) -> Request {
        match self.message() {
            Message::Request(request) => request,
            Message::Response(_) => panic!("a request was written"),
        }
    }
}

/// The peer's response to a request of ours.
pub(crate) fn response(to: &Request, status: u16, to_tag: &str, more: &str, body: &str) -> Response {
    let lines = |name: &str| -> String {
        to.header_lines(name).map(|value| format!("{name}: {value}\r\n")).collect()
    };
    let tag =
        if to.to_tag().is_some() || to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let to_line = to.header("To").expect("every request has one");
    let text = format!(
        "SIP/2.0 {status} X\r\n{}{}To: {to_line}{tag}\r\n{}{}{more}Content-Length: {}\r\n\r\n{body}",
        lines("Via"),
        lines("From"),
        lines("Call-ID"),
        lines("CSeq"),
        body.len()
    );
    match Message::parse(Bytes::from(text)).expect("the kit writes valid messages") {
        Message::Response(response) => response,
        Message::Request(_) => panic!("a response was written"),
    }
}

/// The peer's response to a request of ours that is known by its number only.
pub(crate) fn response_to(
    cseq: u32,
    method: &str,
    status: u16,
    tag: &str,
    more: &str,
    body: &str,
) -> Response {
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let text = format!(
        "SIP/2.0 {status} X\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKus.{cseq}\r\n\
         From: <sip:us@example.com>;tag=us\r\n\
         To: <sip:them@example.com>{tag}\r\n\
         Call-ID: call-1\r\n\
         CSeq: {cseq} {method}\r\n\
         {more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    match Message::parse(Bytes::from(text)).expect("the kit writes valid messages") {
        Message::Response(response) => response,
        Message::Request(_) => panic!("a response was written"),
    }
}

pub(crate) const CONTACT: &str = "Contact: <sip:them@198.51.100.7:5060>\r\n";

pub(crate) fn call() -> Call {
    Call {
        to_uri: "sip:them@example.com".into(),
        from_uri: "sip:us@example.com".into(),
        from_display: "Us".into(),
        call_id: "call-1".into(),
        local_tag: "us".into(),
        body: Some(sdp("offer")),
        ..Call::default()
    }
}

pub(crate) fn effects(dialog: &mut Dialog) -> Vec<Effect> {
    std::iter::from_fn(|| dialog.poll_effect()).collect()
}

/// Everything the dialog wants done, a line each.
pub(crate) fn lines(dialog: &mut Dialog) -> Vec<String> {
    effects(dialog).iter().map(line).collect()
}

/// The requests among the effects.
pub(crate) fn sent(effects: &[Effect]) -> Vec<Request> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { request, .. } | Effect::Ack { request, .. } => Some(request.clone()),
            _ => None,
        })
        .collect()
}

pub(crate) fn line(effect: &Effect) -> String {
    match effect {
        Effect::Respond { response, .. } => format!("respond {}", response_line(response)),
        Effect::Retransmit { bytes, .. } => match Message::parse(bytes.clone()) {
            Ok(Message::Response(response)) => format!("retransmit {}", response_line(&response)),
            _ => "retransmit garbage".into(),
        },
        Effect::Send { request, .. } => format!("send {}", request_line(request)),
        Effect::Ack { request, .. } => format!("ack {}", request_line(request)),
        Effect::Cancel { branch } => format!("cancel {branch}"),
        Effect::Event(event) => format!("event {}", event_line(event)),
    }
}

fn request_line(request: &Request) -> String {
    let body = request.body();
    let body = if body.is_empty() { String::new() } else { format!(" {}", String::from_utf8_lossy(&body)) };
    format!("{} {} to {}{body}", request.cseq().number, request.method(), request.to_tag().unwrap_or("-"))
}

fn response_line(response: &Response) -> String {
    let cseq = response.cseq();
    let extra: String = [HeaderName::RetryAfter, HeaderName::Unsupported]
        .iter()
        .filter(|name| response.header(*name).is_some())
        .map(|name| format!(" +{name}"))
        .collect();
    format!("{} to {} {}{extra}", response.status(), cseq.number, cseq.method)
}

fn event_line(event: &Event) -> String {
    match event {
        Event::Provisional { response } => format!("Provisional {}", response.status()),
        Event::Answered { response } => format!("Answered {}", response.status()),
        Event::Failed { response } => {
            format!(
                "Failed {}",
                response.as_ref().map_or("-".into(), |response| response.status().to_string())
            )
        }
        Event::Established { ack } => format!("Established {}", ack.cseq().number),
        Event::Acked { ack } => format!("Acked {}", ack.cseq().number),
        Event::Reinvite { request, .. } => format!("Reinvite {}", request.cseq().number),
        Event::Request { request, .. } => format!("Request {}", request.method()),
        Event::RequestCancelled { .. } => "RequestCancelled".into(),
        Event::Response { response } => {
            format!("Response {} to {}", response.status(), response.cseq().method)
        }
        Event::RequestFailed { method, cseq, status } => format!("RequestFailed {cseq} {method} {status}"),
        Event::Ended(why) => format!("Ended {why:?}"),
        Event::Invite => "Invite".into(),
    }
}

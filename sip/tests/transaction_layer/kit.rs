//! A transaction table on a virtual clock that writes what it does into a log, one line per effect.

use std::net::SocketAddr;
use std::time::Duration;

use holdline_sip::transaction::{
    ClientTransactionId, Config, Effect, Error, ServerTransactionId, Transactions,
};
use holdline_sip::wire::{Message, Request, Response, StatusCode};
use holdline_sip::{Flow, Ingress, Timestamp, Transport};

/// The virtual clock starts at an odd moment, so that nothing can depend on a round one.
const START: Timestamp = Duration::from_micros(1_700_000_000_123_456);

pub(crate) struct Bench {
    pub(crate) table: Transactions<&'static str>,
    pub(crate) flow: Flow,
    pub(crate) last_server: Option<ServerTransactionId>,
    pub(crate) last_cancel: Option<ServerTransactionId>,
    /// The last request that was told or sent, for building responses.
    pub(crate) request: Option<Request>,
    /// The last message transmitted.
    pub(crate) sent: Option<(Flow, Message)>,
    now: Timestamp,
    log: Vec<String>,
    was_empty: bool,
}

impl Bench {
    pub(crate) fn new(transport: Transport) -> Self {
        Bench::with(transport, Config::default())
    }

    pub(crate) fn with(transport: Transport, config: Config) -> Self {
        let remote: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        Bench {
            table: Transactions::new(config),
            flow: Flow { transport, remote, ingress: Ingress(0) },
            last_server: None,
            last_cancel: None,
            request: None,
            sent: None,
            now: START,
            log: Vec::new(),
            was_empty: true,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Fires every timer up to `seconds` after the start, each at its own time.
    pub(crate) fn run_until(&mut self, seconds: f64) {
        let end = START + Duration::from_secs_f64(seconds);
        while let Some(next) = self.table.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.table.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn receive(&mut self, text: impl Into<String>) {
        let message = Message::parse(text.into().into()).unwrap();
        self.table.handle_message(self.now, message, self.flow);
        self.drain();
    }

    pub(crate) fn send(&mut self, text: impl Into<String>) -> Result<ClientTransactionId, Error> {
        let request = request(text);
        self.request = Some(request.clone());
        let sent = self.table.send_request(self.now, request, self.flow, "user");
        self.drain();
        sent
    }

    pub(crate) fn cancel(&mut self, id: ClientTransactionId) -> Result<(), Error> {
        let cancelled = self.table.cancel(self.now, &id);
        self.drain();
        cancelled
    }

    /// Answers the last request told.
    pub(crate) fn respond(&mut self, code: u16) -> Result<(), Error> {
        let id = self.last_server.unwrap();
        self.respond_to(id, code)
    }

    pub(crate) fn respond_to(&mut self, id: ServerTransactionId, code: u16) -> Result<(), Error> {
        let response = response(code, self.request.as_ref().unwrap());
        let responded = self.table.respond(self.now, &id, response);
        self.drain();
        responded
    }

    /// The peer answers the last request sent.
    pub(crate) fn answer(&mut self, code: u16) {
        let response = response(code, self.request.as_ref().unwrap());
        self.table.handle_message(self.now, Message::Response(response), self.flow);
        self.drain();
    }

    pub(crate) fn fail_flow(&mut self) {
        self.table.handle_transport_error(self.now, self.flow);
        let now = self.now;
        assert_eq!(self.table.poll_timeout(), Some(now), "a failure is due at once");
        self.table.handle_timeout(now);
        self.drain();
    }

    /// What happened since the last call.
    pub(crate) fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub(crate) fn expect(&mut self, lines: &[&str]) {
        assert_eq!(self.log(), lines);
    }

    fn drain(&mut self) {
        while let Some(effect) = self.table.poll_effect() {
            let line = self.describe(effect);
            self.note(&line);
        }
        let empty = self.table.counts().total() == 0;
        if empty && !self.was_empty {
            self.note("all gone");
            assert_eq!(self.table.poll_timeout(), None, "an empty table needs no call");
        }
        self.was_empty = empty;
    }

    fn note(&mut self, what: &str) {
        let at = (self.now - START).as_secs_f64();
        self.log.push(format!("{at} {what}"));
    }

    fn describe(&mut self, effect: Effect<&'static str>) -> String {
        match effect {
            Effect::Transmit { flow, bytes } => {
                let message = Message::parse(bytes).expect("what is sent can be parsed");
                let line = format!("send {}", name(&message));
                self.sent = Some((flow, message));
                line
            }
            Effect::Request { id, request, .. } => {
                let line = format!("request {}", request.method().as_str());
                self.last_server = Some(id);
                self.request = Some(request);
                line
            }
            Effect::Ack { .. } => "ack".to_owned(),
            Effect::Cancel { id, cancel, request } => {
                assert_eq!(Some(id), self.last_server, "the CANCEL names its INVITE");
                self.last_cancel = Some(cancel);
                self.request = Some(request);
                "cancel".to_owned()
            }
            Effect::Response { user, response, .. } => {
                format!("{user} gets {}", response.status().code())
            }
            Effect::StrayResponse { response, .. } => format!("stray {}", response.status().code()),
            Effect::Timeout { user, .. } => format!("{user} times out"),
            Effect::TransportError { user, .. } => format!("{user} fails"),
            Effect::ServerTimeout { .. } => "server times out".to_owned(),
            Effect::ServerTransportError { .. } => "server fails".to_owned(),
        }
    }
}

fn name(message: &Message) -> String {
    match message {
        Message::Request(request) => request.method().as_str().to_owned(),
        Message::Response(response) => response.status().code().to_string(),
    }
}

pub(crate) fn response(code: u16, request: &Request) -> Response {
    let response = Response::builder(StatusCode::new(code).unwrap(), request);
    if code == 100 { response.build() } else { response.to_tag("b").build() }
}

pub(crate) fn request(text: impl Into<String>) -> Request {
    match Message::parse(text.into().into()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a request is wanted"),
    }
}

/// A request outside any dialog, with `branch` after the magic cookie.
pub(crate) fn text(method: &str, branch: &str) -> String {
    text_with(method, branch, "", "")
}

/// The same with a To tag, as inside a dialog.
pub(crate) fn text_with(method: &str, branch: &str, to_tag: &str, more: &str) -> String {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: \"Ann\" <sip:ann@example.org>;tag=a\r\nTo: <sip:bob@example.com>{to_tag}\r\n\
         Call-ID: call-1@example.org\r\nCSeq: 7 {method}\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

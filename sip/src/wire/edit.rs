//! Edits: a message with a few headers changed and all else octet for octet as it came.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::header::HeaderName;
use super::headers::Text;
use super::lex;
use super::message::{Request, Response};
use super::params;
use super::raw::Raw;
use super::scan::Span;
use super::via::Via;

impl Request {
    /// Starts an edit.
    pub fn edit(&self) -> RequestEdit<'_> {
        RequestEdit { request: self, uri: None, changes: Changes::new(&self.raw) }
    }

    /// The request as the transport hands it on: the top Via says where it came from.
    #[must_use]
    pub fn with_top_via_received(&self, source: SocketAddr) -> Request {
        if let Some(request) = self.insert_received(source) {
            return request;
        }
        let mut via = self.top_via();
        if !via.mark_received(source) {
            return self.clone();
        }
        let mut edit = self.edit();
        edit.changes.replace_first(&HeaderName::Via, &via);
        edit.finish()
    }

    /// The usual case in one copy: nothing but a few octets to insert, either behind a bare `rport` or at the end of
    /// the Via. `None` leaves the case to the long way.
    fn insert_received(&self, source: SocketAddr) -> Option<Request> {
        let span = self.raw.key.via;
        let text = self.raw.str(span);
        if text.ends_with(';') {
            return None;
        }
        let params = &text[memchr::memchr(b';', text.as_bytes())?..];
        let (mut rport, mut received) = (None, false);
        for param in params::spans(params) {
            received |= param.name.eq_ignore_ascii_case("received");
            if param.name.eq_ignore_ascii_case("rport") {
                rport = Some((param.end, param.value));
            }
        }
        let offset = span.end as usize - params.len();
        let mut insert = Text::default();
        let at = match rport {
            _ if received => return None,
            Some((_, Some(_))) => return None,
            Some((end, None)) => {
                insert.push(format_args!("={};received={}", source.port(), source.ip()));
                offset + params[..end].trim_end().len()
            }
            None if self.top_via().host.ip() == Some(source.ip()) => return Some(self.clone()),
            None => {
                insert.push(format_args!(";received={}", source.ip()));
                span.end as usize
            }
        };
        let raw = self.raw.insert(at, &insert.0)?;
        Some(Request { raw: Arc::new(raw), method: self.method.clone(), uri: self.uri })
    }
}

impl Response {
    /// Starts an edit.
    pub fn edit(&self) -> ResponseEdit<'_> {
        ResponseEdit { response: self, changes: Changes::new(&self.raw) }
    }
}

/// An edit of a request; [`finish`](RequestEdit::finish) gives the new one.
#[derive(Clone, Debug)]
pub struct RequestEdit<'a> {
    request: &'a Request,
    uri: Option<Text>,
    changes: Changes<'a>,
}

impl RequestEdit<'_> {
    /// Sets the Request-URI.
    #[must_use]
    pub fn uri(mut self, uri: impl Display) -> Self {
        let mut text = Text::default();
        text.push(uri);
        text.0.retain(|octet| !octet.is_ascii_whitespace());
        self.uri = Some(text);
        self
    }

    /// Sets Max-Forwards, in hops.
    #[must_use]
    pub fn max_forwards(self, hops: u32) -> Self {
        self.set(HeaderName::MaxForwards, hops)
    }

    /// The request with all changes.
    pub fn finish(self) -> Request {
        let RequestEdit { request, uri, changes } = self;
        let mut wire = Vec::with_capacity(request.raw.wire.len() + changes.top.0.len() + 256);
        wire.extend_from_slice(request.method.as_str().as_bytes());
        wire.push(b' ');
        let start = wire.len();
        match &uri {
            Some(uri) => wire.extend_from_slice(&uri.0),
            None => wire.extend_from_slice(&request.raw.wire[request.uri.range()]),
        }
        let span = Span::new(start, wire.len());
        wire.extend_from_slice(b" SIP/2.0\r\n");
        changes.finish(&mut wire);
        Request { raw: Arc::new(Raw::index(wire.into())), method: request.method.clone(), uri: span }
    }
}

/// An edit of a response; [`finish`](ResponseEdit::finish) gives the new one.
#[derive(Clone, Debug)]
pub struct ResponseEdit<'a> {
    response: &'a Response,
    changes: Changes<'a>,
}

impl ResponseEdit<'_> {
    /// Takes off the topmost Via (RFC 3261 §16.7 step 3).
    #[must_use]
    pub fn pop_via(self) -> Self {
        self.pop(HeaderName::Via)
    }

    /// The response with all changes.
    pub fn finish(self) -> Response {
        let ResponseEdit { response, changes } = self;
        let raw = &response.raw;
        let line = &raw.wire[raw.start_line.range()];
        let mut wire = Vec::with_capacity(raw.wire.len() + changes.top.0.len() + 256);
        wire.extend_from_slice(line);
        wire.extend_from_slice(b"\r\n");
        changes.finish(&mut wire);
        let shift = raw.start_line.start;
        let reason = Span { start: response.reason.start - shift, end: response.reason.end - shift };
        Response { raw: Arc::new(Raw::index(wire.into())), status: response.status, reason }
    }
}

/// The changes both kinds of message can have.
macro_rules! changes {
    ($($edit:ident)*) => {$(
        impl $edit<'_> {
            /// Puts a Via on top (RFC 3261 §16.6 step 8).
            #[must_use]
            pub fn push_via(self, via: impl Display) -> Self {
                self.push(HeaderName::Via, via)
            }

            /// Puts a Record-Route value before the others (RFC 3261 §16.6 step 4).
            #[must_use]
            pub fn push_record_route(self, route: impl Display) -> Self {
                self.push(HeaderName::RecordRoute, route)
            }

            /// Puts a Route value before the others.
            #[must_use]
            pub fn push_route(self, route: impl Display) -> Self {
                self.push(HeaderName::Route, route)
            }

            /// Takes off the first Route value (RFC 3261 §16.4).
            #[must_use]
            pub fn pop_route(self) -> Self {
                self.pop(HeaderName::Route)
            }

            /// Puts a header line before all others.
            #[must_use]
            pub fn push(mut self, name: HeaderName, value: impl Display) -> Self {
                self.changes.push(&name, value);
                self
            }

            /// Takes off the first value of a header.
            #[must_use]
            pub fn pop(mut self, name: HeaderName) -> Self {
                self.changes.pop(&name);
                self
            }

            /// Replaces all lines of a header by one, in the place of the first; appends it if there is none.
            #[must_use]
            pub fn set(mut self, name: HeaderName, value: impl Display) -> Self {
                self.changes.set(&name, value);
                self
            }

            /// Takes off all lines of a header.
            #[must_use]
            pub fn remove(mut self, name: HeaderName) -> Self {
                self.changes.remove(&name);
                self
            }
        }
    )*};
}

changes! { RequestEdit ResponseEdit }

/// What is different from the message that came.
#[derive(Clone, Debug)]
struct Changes<'a> {
    raw: &'a Raw,
    /// Lines to stand right behind the start line.
    top: Text,
    /// Lines to stand behind all others.
    end: Text,
    /// Lines by position: another value, or none for a line taken off.
    lines: SmallVec<[(usize, Option<Text>); 4]>,
}

impl<'a> Changes<'a> {
    fn new(raw: &'a Raw) -> Changes<'a> {
        Changes { raw, top: Text::default(), end: Text::default(), lines: SmallVec::new() }
    }

    fn push(&mut self, name: &HeaderName, value: impl Display) {
        let mut line = header_line(name, value);
        line.0.append(&mut self.top.0);
        self.top = line;
    }

    fn set(&mut self, name: &HeaderName, value: impl Display) {
        let mut text = Text::default();
        text.push(value);
        let first = self.raw.lines_of(name).next().map(|(index, _)| index);
        self.remove(name);
        match first {
            Some(index) => self.change(index, Some(text)),
            None => {
                self.end.push(name);
                self.end.0.extend_from_slice(b": ");
                self.end.0.append(&mut text.0);
                self.end.0.extend_from_slice(b"\r\n");
            }
        }
    }

    fn remove(&mut self, name: &HeaderName) {
        for (index, _) in self.raw.lines_of(name) {
            self.change(index, None);
        }
    }

    fn pop(&mut self, name: &HeaderName) {
        self.on_first(name, |rest| (!rest.is_empty()).then(|| Text(rest.to_vec())));
    }

    fn replace_first(&mut self, name: &HeaderName, value: impl Display) {
        self.on_first(name, |rest| {
            let mut text = Text::default();
            text.push(&value);
            if !rest.is_empty() {
                text.0.extend_from_slice(b", ");
                text.0.extend_from_slice(rest);
            }
            Some(text)
        });
    }

    /// Gives the line that has the first value a new value, made of what follows the first.
    fn on_first(&mut self, name: &HeaderName, change: impl FnOnce(&[u8]) -> Option<Text>) {
        for (index, line) in self.raw.lines_of(name) {
            let value: &[u8] = match self.lines.iter().find(|(at, _)| *at == index) {
                Some((_, None)) => continue,
                Some((_, Some(text))) => &text.0,
                None => &self.raw.wire[line.value.range()],
            };
            let text = change(rest_of_list(value));
            self.change(index, text);
            return;
        }
    }

    fn change(&mut self, index: usize, value: Option<Text>) {
        match self.lines.iter_mut().find(|(at, _)| *at == index) {
            Some(changed) => changed.1 = value,
            None => self.lines.push((index, value)),
        }
    }

    fn finish(self, wire: &mut Vec<u8>) {
        let raw = self.raw;
        wire.extend_from_slice(&self.top.0);
        for (index, line) in raw.lines.iter().enumerate() {
            match self.lines.iter().find(|(at, _)| *at == index) {
                Some((_, None)) => {}
                Some((_, Some(value))) => {
                    wire.extend_from_slice(&raw.wire[line.name.range()]);
                    wire.extend_from_slice(b": ");
                    wire.extend_from_slice(&value.0);
                    wire.extend_from_slice(b"\r\n");
                }
                None => wire.extend_from_slice(&raw.wire[raw.line_range(index)]),
            }
        }
        wire.extend_from_slice(&self.end.0);
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(&raw.wire[raw.body_start..]);
    }
}

/// The octets of a message with another top Via.
pub(crate) fn replace_top_via(raw: &Raw, via: &Via) -> Bytes {
    let mut changes = Changes::new(raw);
    changes.replace_first(&HeaderName::Via, via);
    let mut wire = raw.wire[raw.start_line.range()].to_vec();
    wire.extend_from_slice(b"\r\n");
    changes.finish(&mut wire);
    wire.into()
}

fn header_line(name: &HeaderName, value: impl Display) -> Text {
    let mut line = Text::default();
    line.push(name);
    line.0.extend_from_slice(b": ");
    line.push(value);
    line.0.extend_from_slice(b"\r\n");
    line
}

/// What follows the first value of a comma list; empty values before it count for nothing.
fn rest_of_list(value: &[u8]) -> &[u8] {
    let mut rest = value.trim_ascii();
    loop {
        match lex::find_bare(rest, 0, b',') {
            Some(0) => rest = rest[1..].trim_ascii(),
            Some(comma) => return rest[comma + 1..].trim_ascii_start(),
            None => return &[],
        }
    }
}

impl Via {
    /// Notes where the request really came from; says whether that changed anything.
    ///
    /// A `received` the sender wrote itself is overwritten: it would steer the response elsewhere.
    pub(crate) fn mark_received(&mut self, source: SocketAddr) -> bool {
        let before = self.params.clone();
        // RFC 3581 §4: with rport, both are set even where they say nothing new.
        if self.wants_rport() {
            self.params.set("rport", Some(&source.port().to_string()));
        }
        // RFC 3261 §18.2.1: received where sent-by is not the source address.
        if self.wants_rport() || self.host.ip() != Some(source.ip()) {
            self.params.set("received", Some(&source.ip().to_string()));
        } else {
            self.params.remove("received");
        }
        self.params != before
    }
}

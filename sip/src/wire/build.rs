//! Builders: new requests, and responses that copy what a response must repeat.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;

use super::header::HeaderName;
use super::headers::{Head, Headers, Text};
use super::key::Key;
use super::message::{Request, Response};
use super::method::Method;
use super::raw::Raw;
use super::scan::{Line, Span};
use super::status::StatusCode;

impl Request {
    /// Starts a request; Via, From, To, Call-ID and CSeq are headers like others, in the order given.
    ///
    /// ```
    /// use holdline_sip::wire::{HeaderName, Method, Request};
    /// let request = Request::builder(Method::Options, "sip:example.com")
    ///     .header(HeaderName::Via, "SIP/2.0/UDP [2001:db8::1];branch=z9hG4bK1")
    ///     .header(HeaderName::From, "<sip:ann@example.org>;tag=1")
    ///     .header(HeaderName::To, "<sip:example.com>")
    ///     .header(HeaderName::CallId, "1@example.org")
    ///     .header(HeaderName::CSeq, "1 OPTIONS")
    ///     .build();
    /// assert_eq!(request.max_forwards(), Some(70));
    /// ```
    pub fn builder(method: Method, uri: impl Display) -> RequestBuilder {
        let mut target = Text::default();
        target.push(uri);
        // A blank within the URI would end it.
        target.0.retain(|octet| !octet.is_ascii_whitespace());
        RequestBuilder { method, uri: target, headers: Headers::default() }
    }
}

impl Response {
    /// Starts a response: Via, From, To, Call-ID and CSeq of the request, octet for octet (RFC 3261 §8.2.6.2),
    /// and Record-Route where a dialog may come of it (§12.1.1).
    pub fn builder(status: StatusCode, request: &Request) -> ResponseBuilder {
        ResponseBuilder { request: Some(request.clone()), ..Response::builder_bare(status) }
    }

    /// Starts a response that repeats nothing.
    pub(crate) fn builder_bare(status: StatusCode) -> ResponseBuilder {
        ResponseBuilder {
            status,
            reason: None,
            request: None,
            to_tag: String::new(),
            headers: Headers::default(),
        }
    }
}

/// Builds a [`Request`].
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    method: Method,
    uri: Text,
    headers: Headers,
}

impl RequestBuilder {
    /// Appends a header line; line ends in the value become blanks. Content-Length is not for the caller to set.
    #[must_use]
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Display) -> RequestBuilder {
        self.headers.push(&name.into(), value);
        self
    }

    /// Sets the body alone: its Content-Type is among the headers already.
    #[cfg(feature = "rsip")]
    pub(crate) fn octets(mut self, body: Bytes) -> RequestBuilder {
        self.headers.body = body;
        self
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> RequestBuilder {
        self.headers.body(content_type, body.into());
        self
    }

    /// The request. Content-Length is added, and Max-Forwards 70 if absent (RFC 3261 §8.1.1.6).
    ///
    /// Of a mandatory header that was not given or cannot be read, the accessor gives an empty value.
    pub fn build(mut self) -> Request {
        if !self.headers.has(&HeaderName::MaxForwards) {
            self.headers.push(&HeaderName::MaxForwards, 70);
        }
        let start = self.method.as_str().len() + 1;
        let uri = Span::new(start, start + self.uri.0.len());
        let head = Head::start(uri.end as usize + Head::room(&self.headers), |line| {
            for part in [self.method.as_str().as_bytes(), b" ", &self.uri.0, b" SIP/2.0"] {
                line.0.extend_from_slice(part);
            }
        });
        Request { raw: Arc::new(Raw::index(head.finish(self.headers).wire)), method: self.method, uri }
    }
}

/// Builds a [`Response`].
#[derive(Clone, Debug)]
pub struct ResponseBuilder {
    status: StatusCode,
    reason: Option<String>,
    /// Whose fields are repeated.
    request: Option<Request>,
    to_tag: String,
    headers: Headers,
}

impl ResponseBuilder {
    /// Appends a header line; line ends in the value become blanks.
    #[must_use]
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Display) -> ResponseBuilder {
        self.headers.push(&name.into(), value);
        self
    }

    /// Sets the body alone: its Content-Type is among the headers already.
    #[cfg(feature = "rsip")]
    pub(crate) fn octets(mut self, body: Bytes) -> ResponseBuilder {
        self.headers.body = body;
        self
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> ResponseBuilder {
        self.headers.body(content_type, body.into());
        self
    }

    /// Another reason phrase than the default one.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> ResponseBuilder {
        self.reason = Some(reason.into());
        self
    }

    /// Adds this tag to To, if it is not empty, the request's To had none, and no tag was added yet.
    #[must_use]
    pub fn to_tag(mut self, tag: &str) -> ResponseBuilder {
        if self.to_tag.is_empty() {
            self.to_tag = tag.into();
        }
        self
    }

    /// The response, with Content-Length.
    pub fn build(self) -> Response {
        let repeated = self.request.as_ref().map_or(0, |request| request.raw.body_start + self.to_tag.len());
        let mut reason = Span::default();
        let mut head = Head::start(repeated + Head::room(&self.headers), |line| {
            line.0.extend_from_slice(b"SIP/2.0 ");
            line.0.extend_from_slice(&self.status.digits());
            line.0.push(b' ');
            let start = line.0.len();
            line.push_str(self.reason.as_deref().unwrap_or(self.status.default_reason()));
            reason = Span::new(start, line.0.len());
        });
        let key = self.request.as_ref().and_then(|request| self.repeat(request, &mut head));
        let assembled = head.finish(self.headers);
        // What was copied from a request that has been checked need not be looked for again.
        let raw = match key {
            Some(key) if assembled.body_start <= usize::from(u16::MAX) => Raw::assembled(assembled, key),
            _ => Raw::index(assembled.wire),
        };
        Response { raw: Arc::new(raw), status: self.status, reason }
    }

    /// Writes what a response repeats; the mandatory fields where they are now, unless they are to be looked for.
    fn repeat(&self, request: &Request, head: &mut Head) -> Option<Key> {
        let raw = &request.raw;
        let code = self.status.code();
        let routes = request.method.forms_dialog() && (101..300).contains(&code);
        let mut key = Key { cseq: raw.key.cseq, ..Key::default() };
        for line in &raw.lines {
            let repeated = match line.id {
                VIA | FROM | CALL_ID | CSEQ | TO => true,
                RECORD_ROUTE => routes,
                // RFC 3261 §8.2.6.1: a 100 repeats the Timestamp.
                TIMESTAMP => code == 100,
                _ => false,
            };
            if !repeated {
                continue;
            }
            let octets = &raw.wire[line.value.range()];
            if line.id == TO && raw.key.to_tag.is_empty() && !self.to_tag.is_empty() {
                let mut tag = 0;
                key.to = head.line(TO, |text| {
                    text.0.extend_from_slice(octets);
                    // A semicolon at the end of To, let pass on reading, must not become two.
                    text.0.extend_from_slice(if octets.ends_with(b";") { b"tag=" } else { b";tag=" });
                    tag = text.0.len();
                    text.push_str(&self.to_tag);
                });
                key.to_tag = Span::new(tag, key.to.range().end);
            } else {
                let value = head.line(line.id, |text| text.0.extend_from_slice(octets));
                copy_fields(&mut key, &raw.key, line, value);
            }
        }
        raw.is_plain().then_some(key)
    }
}

/// Notes the fields of a line where its copy is.
fn copy_fields(key: &mut Key, from: &Key, line: &Line, value: Span) {
    let copy = |copy: &mut Span, span: Span| {
        if span.start >= line.value.start && span.end <= line.value.end && !span.is_empty() {
            let start = usize::from(value.start) + usize::from(span.start - line.value.start);
            *copy = Span::new(start, start + span.range().len());
        }
    };
    match line.id {
        VIA => {
            copy(&mut key.via, from.via);
            copy(&mut key.branch, from.branch);
        }
        FROM => {
            copy(&mut key.from, from.from);
            copy(&mut key.from_tag, from.from_tag);
        }
        TO => {
            copy(&mut key.to, from.to);
            copy(&mut key.to_tag, from.to_tag);
        }
        CALL_ID => copy(&mut key.call_id, from.call_id),
        CSEQ => copy(&mut key.cseq_method, from.cseq_method),
        _ => {}
    }
}

const VIA: u8 = HeaderName::Via.id();
const FROM: u8 = HeaderName::From.id();
const TO: u8 = HeaderName::To.id();
const CALL_ID: u8 = HeaderName::CallId.id();
const CSEQ: u8 = HeaderName::CSeq.id();
const RECORD_ROUTE: u8 = HeaderName::RecordRoute.id();
const TIMESTAMP: u8 = HeaderName::Timestamp.id();

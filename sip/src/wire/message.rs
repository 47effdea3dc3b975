//! Requests and responses: a start line, the mandatory fields, and all headers read on demand.

use std::sync::Arc;

use bytes::Bytes;

use super::cseq::CSeq;
use super::error::{ErrorKind, ParseError};
use super::header::{HeaderKey, HeaderName};
use super::lex::{self, Values};
use super::method::Method;
use super::name_addr::{NameAddr, NameAddrParts};
use super::raw::Raw;
use super::scan::Span;
use super::status::StatusCode;
use super::uri::{self, Uri};
use super::via::Via;

/// A SIP message; a clone shares the bytes.
#[derive(Clone, Debug)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request; a clone shares all of it.
#[derive(Clone, Debug)]
pub struct Request {
    // Shared, and behind a pointer: a message is moved through some ten queues and effects on its way.
    pub(crate) raw: Arc<Raw>,
    pub(crate) method: Method,
    pub(crate) uri: Span,
}

/// A response; a clone shares all of it.
#[derive(Clone, Debug)]
pub struct Response {
    pub(crate) raw: Arc<Raw>,
    pub(crate) status: StatusCode,
    pub(crate) reason: Span,
}

/// A header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    id: u8,
    /// The name as written.
    pub raw_name: &'a str,
    /// The value without blanks at its ends, unfolded.
    pub value: &'a str,
}

impl Header<'_> {
    /// The name, compact forms and case resolved.
    pub fn name(&self) -> HeaderName {
        HeaderName::from_key(self.id, self.raw_name)
    }
}

impl Message {
    /// Reads the message in a datagram (RFC 3261 §18.3): what follows the body is cut off.
    pub fn parse(datagram: Bytes) -> Result<Message, ParseError> {
        let (raw, fault) = Raw::parse(datagram)?;
        let start_line = StartLine::parse(raw.str(raw.start_line))?;
        match (start_line, fault) {
            // A response is answered with nothing, whatever its fault.
            (StartLine::Response { .. }, Some(fault)) => Err(fault.with_status(None)),
            (StartLine::Request { .. }, Some(fault)) => Err(fault),
            (StartLine::Request { method, uri }, None) => {
                let uri = raw.start_span(uri);
                let method = Method::from_token(method);
                check_request(&raw, &method, uri)?;
                Ok(Message::Request(Request { raw: Arc::new(raw), method, uri }))
            }
            (StartLine::Response { status, reason }, None) => {
                let reason = raw.start_span(reason);
                Ok(Message::Response(Response { raw: Arc::new(raw), status, reason }))
            }
        }
    }

    fn raw(&self) -> &Raw {
        match self {
            Message::Request(request) => &request.raw,
            Message::Response(response) => &response.raw,
        }
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Message {
        Message::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Message {
        Message::Response(response)
    }
}

impl Request {
    /// Reads a datagram that must hold a request.
    pub fn parse(datagram: Bytes) -> Result<Request, ParseError> {
        match Message::parse(datagram)? {
            Message::Request(request) => Ok(request),
            Message::Response(_) => {
                Err(ParseError::new(ErrorKind::StartLine, "Not a request", 0).with_status(None))
            }
        }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI as written.
    pub fn uri(&self) -> &str {
        self.raw.str(self.uri)
    }

    /// The Request-URI in its parts.
    pub fn parsed_uri(&self) -> Result<Uri, ParseError> {
        Uri::parse(self.uri()).map_err(|error| error.offset(self.uri.start as usize))
    }

    /// The From address as written, without its parameters.
    pub(crate) fn caller_party(&self) -> String {
        party(self.raw.str(self.raw.key.from))
    }

    /// The To address as written, without its parameters.
    pub(crate) fn callee_party(&self) -> String {
        party(self.raw.str(self.raw.key.to))
    }

    fn raw(&self) -> &Raw {
        &self.raw
    }
}

impl Response {
    /// Reads a datagram that must hold a response.
    pub fn parse(datagram: Bytes) -> Result<Response, ParseError> {
        match Message::parse(datagram)? {
            Message::Response(response) => Ok(response),
            Message::Request(_) => {
                Err(ParseError::new(ErrorKind::StartLine, "Not a response", 0).with_status(None))
            }
        }
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase; may be empty.
    pub fn reason(&self) -> &str {
        self.raw.str(self.reason)
    }

    fn raw(&self) -> &Raw {
        &self.raw
    }
}

/// What the start line of a request and its headers must agree on.
fn check_request(raw: &Raw, method: &Method, uri: Span) -> Result<(), ParseError> {
    let at = uri.start as usize;
    let has_headers = uri::check(raw.str(uri)).map_err(|error| error.offset(at))?;
    // RFC 3261 §19.1.1: headers have no place in a Request-URI.
    if has_headers {
        return Err(ParseError::new(ErrorKind::Uri, "Request-URI with headers", at));
    }
    // RFC 3261 §8.1.1.5: the method of CSeq is the request's.
    if raw.str(raw.key.cseq_method) != method.as_str() {
        let status = match method {
            // RFC 4475 §3.1.2.18.
            Method::Ext(_) => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        };
        let error =
            ParseError::new(ErrorKind::Value, "CSeq of another method", raw.key.cseq_method.start as usize);
        return Err(error.with_status(Some(status)));
    }
    Ok(())
}

/// What every message has; inherent on each type, so that no trait need be imported.
macro_rules! fields {
    ($($message:ident)*) => {$(
        impl $message {
            /// The message on the wire, exactly.
            pub fn as_bytes(&self) -> &Bytes {
                &self.raw().wire
            }

            /// All header lines in their order.
            pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
                let raw = self.raw();
                raw.lines.iter().map(|line| Header {
                    id: line.id,
                    raw_name: raw.str(line.name),
                    value: raw.str(line.value),
                })
            }

            /// The value of the first line of this name.
            pub fn header(&self, name: impl HeaderKey) -> Option<&str> {
                self.header_lines(name).next()
            }

            /// The values of all lines of this name, comma lists left whole.
            pub fn header_lines<K: HeaderKey>(&self, name: K) -> impl Iterator<Item = &str> + use<'_, K> {
                let raw = self.raw();
                raw.lines_of(name).map(|(_, line)| raw.str(line.value))
            }

            /// All values of a header that may be a comma list, in order over all lines (RFC 3261 §7.3.1).
            pub fn values<K: HeaderKey>(&self, name: K) -> impl Iterator<Item = &str> + use<'_, K> {
                let split: fn(&str) -> Values<'_> = lex::split_list;
                self.header_lines(name).flat_map(split)
            }

            /// The Call-ID.
            pub fn call_id(&self) -> &str {
                self.raw().str(self.raw().key.call_id)
            }

            /// The CSeq.
            pub fn cseq(&self) -> CSeq {
                let key = &self.raw().key;
                CSeq { number: key.cseq, method: Method::from_token(self.raw().str(key.cseq_method)) }
            }

            /// The From address.
            pub fn from(&self) -> NameAddr {
                let text = self.raw().str(self.raw().key.from);
                NameAddr::parse(text).unwrap_or_else(|_| NameAddr::new(Uri::invalid()))
            }

            /// The To address.
            pub fn to(&self) -> NameAddr {
                let text = self.raw().str(self.raw().key.to);
                NameAddr::parse(text).unwrap_or_else(|_| NameAddr::new(Uri::invalid()))
            }

            /// The From tag; RFC 2543 elements send none.
            pub fn from_tag(&self) -> Option<&str> {
                Some(self.raw().str(self.raw().key.from_tag)).filter(|tag| !tag.is_empty())
            }

            /// The To tag.
            pub fn to_tag(&self) -> Option<&str> {
                Some(self.raw().str(self.raw().key.to_tag)).filter(|tag| !tag.is_empty())
            }

            /// The topmost Via.
            pub fn top_via(&self) -> Via {
                Via::parse(self.raw().str(self.raw().key.via)).unwrap_or_else(|_| Via::invalid())
            }

            /// The branch of the topmost Via; empty if it has none.
            pub fn branch(&self) -> &str {
                self.raw().str(self.raw().key.branch)
            }

            /// All Vias, the topmost one first; those of other elements only if they can be read.
            pub fn vias(&self) -> Vec<Via> {
                self.values(HeaderName::Via).filter_map(|value| Via::parse(value).ok()).collect()
            }

            /// All Contact addresses; the wildcard `*` is an error.
            pub fn contacts(&self) -> Result<Vec<NameAddr>, ParseError> {
                self.values(HeaderName::Contact).map(NameAddr::parse).collect()
            }

            /// The URI of the Contact as written; `None` unless there is exactly one.
            pub fn contact_uri(&self) -> Result<Option<&str>, ParseError> {
                let mut sole = None;
                for (index, value) in self.values(HeaderName::Contact).enumerate() {
                    NameAddrParts::check(value)?;
                    sole = (index == 0).then_some(NameAddrParts::split(value)?.uri);
                }
                Ok(sole)
            }

            /// The Route set, in order.
            pub fn routes(&self) -> Result<Vec<NameAddr>, ParseError> {
                self.values(HeaderName::Route).map(NameAddr::parse).collect()
            }

            /// The Record-Route set, in order.
            pub fn record_routes(&self) -> Result<Vec<NameAddr>, ParseError> {
                self.values(HeaderName::RecordRoute).map(NameAddr::parse).collect()
            }

            /// Max-Forwards in hops.
            pub fn max_forwards(&self) -> Option<u32> {
                let hops = lex::number(self.header(HeaderName::MaxForwards)?.as_bytes())?;
                Some(u32::try_from(hops).unwrap_or(u32::MAX))
            }

            /// The body; empty if there is none.
            pub fn body(&self) -> Bytes {
                self.raw().wire.slice(self.raw().body_start..)
            }

            /// The Content-Type.
            pub fn content_type(&self) -> Option<&str> {
                self.header(HeaderName::ContentType)
            }
        }

    )*};
}

fields! { Message Request Response }

/// An address without its parameters.
fn party(text: &str) -> String {
    match NameAddrParts::split(text) {
        Ok(parts) => parts.bare(),
        Err(_) => NameAddr::new(Uri::invalid()).to_string(),
    }
}

/// Two messages are equal when their bytes are.
macro_rules! equal_by_bytes {
    ($($message:ident)*) => {$(
        impl PartialEq for $message {
            fn eq(&self, other: &$message) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        impl Eq for $message {}
    )*};
}

equal_by_bytes! { Message Request Response }

impl Raw {
    /// Where a part of the start line is.
    pub(crate) fn start_span(&self, part: &str) -> Span {
        let start =
            part.as_ptr().addr() - self.str(self.start_line).as_ptr().addr() + self.start_line.start as usize;
        Span::new(start, start + part.len())
    }
}

/// The first line of a message.
pub(crate) enum StartLine<'a> {
    Request { method: &'a str, uri: &'a str },
    Response { status: StatusCode, reason: &'a str },
}

impl<'a> StartLine<'a> {
    pub(crate) fn parse(line: &'a str) -> Result<StartLine<'a>, ParseError> {
        if line.len() > 3 && line.as_bytes()[..4].eq_ignore_ascii_case(b"SIP/") {
            return StartLine::parse_status(line).map_err(|error| error.with_status(None));
        }
        // RFC 3261 §7.1: method, URI and version with one blank between each.
        let fault = |what| ParseError::new(ErrorKind::StartLine, what, 0);
        let octets = line.as_bytes();
        let (Some(first), Some(last)) = (memchr::memchr(b' ', octets), memchr::memrchr(b' ', octets)) else {
            return Err(fault("Not a SIP message").with_status(None));
        };
        let (method, version) = (&line[..first], &line[last + 1..]);
        let version_fault = match version.as_bytes().get(..4) {
            Some(protocol) if protocol.eq_ignore_ascii_case(b"SIP/") => !version[4..].eq("2.0"),
            // Blanks behind the version hide it; they are an error of a SIP request all the same.
            _ if line.trim_end().len() >= 7 && line.trim_end().to_ascii_uppercase().ends_with("SIP/2.0") => {
                return Err(fault("Blank behind the version"));
            }
            _ => return Err(fault("Not a SIP message").with_status(None)),
        };
        if version_fault {
            let error = ParseError::new(ErrorKind::Version, "Version Not Supported", last + 1);
            return Err(error.with_status(Some(StatusCode::VERSION_NOT_SUPPORTED)));
        }
        if !lex::is_token(method.as_bytes()) {
            return Err(fault("Method is not a token"));
        }
        let uri = line.get(first + 1..last).filter(|uri| !uri.is_empty()).ok_or(fault("No Request-URI"))?;
        Ok(StartLine::Request { method, uri })
    }

    /// RFC 3261 §7.2: version, three digits, phrase; a missing blank before an empty phrase is let pass.
    fn parse_status(line: &'a str) -> Result<StartLine<'a>, ParseError> {
        let fault = |what| ParseError::new(ErrorKind::StartLine, what, 0);
        let rest =
            line[4..].strip_prefix("2.0 ").ok_or(ParseError::new(ErrorKind::Version, "SIP version", 4))?;
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, &rest[rest.len()..]));
        let status = Some(code)
            .filter(|code| code.len() == 3)
            .and_then(|code| lex::number(code.as_bytes()))
            .and_then(|code| StatusCode::new(u16::try_from(code).ok()?))
            .ok_or(fault("Malformed status code"))?;
        Ok(StartLine::Response { status, reason })
    }
}

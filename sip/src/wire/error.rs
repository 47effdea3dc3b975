//! What is wrong with a message, where, and what a request with that fault is answered.

use std::fmt;

use super::status::StatusCode;

/// Why bytes are no acceptable SIP message; the sender's fault, and nothing of the message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What kind of fault it is.
    pub kind: ErrorKind,
    /// What a request with this fault is answered; `None` for a response and for what is not SIP at all.
    pub status: Option<StatusCode>,
    /// The fault in words; fit for a reason phrase.
    pub what: &'static str,
    /// The octet of the datagram where it was noticed; of a typed value the octet within that value.
    pub at: usize,
}

/// The kinds of [`ParseError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing but line ends: a keep-alive.
    Empty,
    /// Longer than [`MESSAGE_BYTES_MAX`](super::MESSAGE_BYTES_MAX) or more than [`HEADERS_MAX`](super::HEADERS_MAX) headers.
    Limit,
    /// No request line and no status line.
    StartLine,
    /// A SIP version other than 2.0.
    Version,
    /// A header line that is none, or headers without an end.
    Header,
    /// A mandatory header is missing.
    Missing,
    /// A header that may stand once stands twice.
    Duplicate,
    /// A header's value does not follow its grammar.
    Value,
    /// A URI does not follow its grammar.
    Uri,
    /// The body is shorter than Content-Length says.
    Body,
}

impl ParseError {
    /// A fault a request is answered 400 for.
    pub(crate) const fn new(kind: ErrorKind, what: &'static str, at: usize) -> ParseError {
        ParseError { kind, status: Some(StatusCode::BAD_REQUEST), what, at }
    }

    /// The same fault under another status.
    pub(crate) const fn with_status(self, status: Option<StatusCode>) -> ParseError {
        ParseError { status, ..self }
    }

    /// The same fault, `by` octets further on.
    pub(crate) const fn offset(self, by: usize) -> ParseError {
        ParseError { at: self.at + by, ..self }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (octet {})", self.what, self.at)
    }
}

impl std::error::Error for ParseError {}

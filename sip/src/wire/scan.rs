//! The one pass over a datagram: where its start line, its header lines and its body are.

use smallvec::SmallVec;

use super::error::{ErrorKind, ParseError};
use super::{HEADERS_MAX, MESSAGE_BYTES_MAX, header, lex};
use crate::wire::status::StatusCode;

/// A range of octets of the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

impl Span {
    /// A message that came in has at most [`MESSAGE_BYTES_MAX`] octets. In one built here, what is beyond counts as
    /// empty; no transport could send it.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span { start: u16::try_from(start).unwrap_or(u16::MAX), end: u16::try_from(end).unwrap_or(u16::MAX) }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The same range further on.
    pub(crate) fn shifted(self, by: usize) -> Span {
        Span::new(self.start as usize + by, self.end as usize + by)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// A header line: number and place of its name, place of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) id: u8,
    pub(crate) name: Span,
    /// Without blanks at both ends; folds are inside.
    pub(crate) value: Span,
}

/// The lines of a message; more than these few are rare.
pub(crate) type Lines = SmallVec<[Line; 16]>;

/// What the pass found.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) start_line: Span,
    pub(crate) lines: Lines,
    /// Where the empty line ends.
    pub(crate) body_start: usize,
    /// Whether a value goes on in the next line.
    pub(crate) folded: bool,
}

/// How a fault in a header line is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is an error.
    Strict,
    /// The line is left out: for answering a broken request.
    Lenient,
}

/// Finds all lines. Line ends are CRLF or LF alone.
pub(crate) fn scan(bytes: &[u8], mode: Mode) -> Result<Scan, ParseError> {
    if bytes.len() > MESSAGE_BYTES_MAX && mode == Mode::Strict {
        let error = ParseError::new(ErrorKind::Limit, "Message Too Large", MESSAGE_BYTES_MAX);
        return Err(error.with_status(Some(StatusCode::MESSAGE_TOO_LARGE)));
    }
    if bytes.is_empty() {
        return Err(ParseError::new(ErrorKind::Empty, "Nothing but line ends", 0).with_status(None));
    }
    let mut scanner = Scanner { bytes, at: 0, returns: 0 };
    let Some(start_line) = scanner.line() else {
        return Err(ParseError::new(ErrorKind::StartLine, "No line end", 0).with_status(None));
    };
    let mut found = Scan { start_line, lines: Lines::new(), body_start: bytes.len(), folded: false };
    scanner.headers(&mut found, mode)?;
    // A bare CR ends a line for some parsers and not for others: what two elements read differently is refused.
    let returns = memchr::memchr_iter(b'\r', &bytes[..found.body_start]).count();
    if returns != scanner.returns && mode == Mode::Strict {
        return Err(ParseError::new(ErrorKind::Header, "Carriage return within a line", 0));
    }
    Ok(found)
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Carriage returns that belong to a line end.
    returns: usize,
}

impl Scanner<'_> {
    /// The next line without its end; `None` if there is no line end any more.
    fn line(&mut self) -> Option<Span> {
        let start = self.at;
        let feed = start + memchr::memchr(b'\n', self.bytes.get(start..)?)?;
        self.at = feed + 1;
        let mut end = feed;
        if end > start && self.bytes[end - 1] == b'\r' {
            end -= 1;
            self.returns += 1;
        }
        Some(Span::new(start, end))
    }

    fn headers(&mut self, found: &mut Scan, mode: Mode) -> Result<(), ParseError> {
        loop {
            let start = self.at;
            let Some(line) = self.line() else {
                if mode == Mode::Lenient {
                    return Ok(());
                }
                return Err(ParseError::new(
                    ErrorKind::Header,
                    "Headers without an empty line at their end",
                    start,
                ));
            };
            if line.is_empty() {
                found.body_start = self.at;
                return Ok(());
            }
            if matches!(self.bytes[start], b' ' | b'\t') {
                match found.lines.last_mut() {
                    Some(last) => {
                        // RFC 3261 §7.3.1: a line that starts with white space goes on with the value before.
                        last.value = self.trimmed(last.value.start as usize, line.end as usize);
                        found.folded = true;
                    }
                    None if mode == Mode::Strict => {
                        return Err(ParseError::new(
                            ErrorKind::Header,
                            "White space before the first header",
                            start,
                        ));
                    }
                    None => {}
                }
                continue;
            }
            match self.header(line) {
                Some(_) if found.lines.len() == HEADERS_MAX && mode == Mode::Strict => {
                    return Err(ParseError::new(ErrorKind::Limit, "Too many headers", start));
                }
                Some(header) => found.lines.push(header),
                None if mode == Mode::Strict => {
                    return Err(ParseError::new(ErrorKind::Header, "Malformed header line", start));
                }
                None => {}
            }
        }
    }

    /// `name HCOLON value`; blanks may stand before the colon.
    fn header(&self, line: Span) -> Option<Line> {
        let bytes = &self.bytes[line.range()];
        let name_end = bytes.iter().position(|&octet| !lex::is_token_octet(octet))?;
        let colon = name_end + bytes[name_end..].iter().position(|octet| !matches!(octet, b' ' | b'\t'))?;
        if name_end == 0 || bytes[colon] != b':' {
            return None;
        }
        let start = line.start as usize;
        let name = Span::new(start, start + name_end);
        let value = self.trimmed(start + colon + 1, line.end as usize);
        Some(Line { id: header::find(&bytes[..name_end]), name, value })
    }

    /// The range without white space, line ends of folds included, at both ends.
    fn trimmed(&self, mut start: usize, mut end: usize) -> Span {
        while start < end && lex::is_lws(self.bytes[start]) {
            start += 1;
        }
        while end > start && lex::is_lws(self.bytes[end - 1]) {
            end -= 1;
        }
        Span::new(start, end)
    }
}

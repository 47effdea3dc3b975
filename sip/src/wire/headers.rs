//! Header lines on their way out: written once, their places noted as they are written.

use std::fmt::{self, Display, Write};

use bytes::Bytes;

use super::header::HeaderName;
use super::key::bit;
use super::lex;
use super::scan::{Line, Lines, Span};

/// Header lines as they go out, and the body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers {
    text: Text,
    /// Ranges of `text`.
    lines: Lines,
    /// Bits of the names written.
    seen: u128,
    pub(crate) body: Bytes,
}

/// A message put together.
pub(crate) struct Assembled {
    pub(crate) wire: Bytes,
    /// Ranges of the headers, which start at `headers_start`.
    pub(crate) lines: Lines,
    pub(crate) headers_start: usize,
    pub(crate) body_start: usize,
}

impl Headers {
    /// Appends a line; Content-Length is left to [`finish`](Headers::finish), and what is no name is left out.
    pub(crate) fn push(&mut self, name: &HeaderName, value: impl Display) {
        if *name == HeaderName::ContentLength || !lex::is_token(name.as_str().as_bytes()) {
            return;
        }
        self.line(name.id(), name.as_str(), |text| text.push(value));
    }

    /// Appends a line of a known name with these octets, and says where its value is.
    pub(crate) fn copy(&mut self, id: u8, value: &[u8]) -> Span {
        self.line(id, HeaderName::from_key(id, "").as_str(), |text| text.0.extend_from_slice(value))
    }

    /// Sets the body, and its type if none was given before.
    pub(crate) fn body(&mut self, content_type: &str, body: Bytes) {
        if !self.has(&HeaderName::ContentType) {
            self.push(&HeaderName::ContentType, content_type);
        }
        self.body = body;
    }

    /// Whether a line of this known name was written.
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.seen & bit(name.id()) != 0
    }

    /// Whether what ends at `at` ends with this octet.
    pub(crate) fn ends_with(&self, at: usize, octet: u8) -> bool {
        self.text.0[..at].last() == Some(&octet)
    }

    /// Puts octets in at the end of a value.
    pub(crate) fn insert(&mut self, at: usize, octets: &[u8]) {
        self.text.0.splice(at..at, octets.iter().copied());
        for line in &mut self.lines {
            if line.value.end as usize == at {
                line.value.end = line.value.shifted(octets.len()).end;
            } else if line.name.start as usize > at {
                (line.name, line.value) = (line.name.shifted(octets.len()), line.value.shifted(octets.len()));
            }
        }
    }

    /// The message: the start line, which has no line end yet, the headers with Content-Length, and the body.
    pub(crate) fn finish(mut self, start_line: &[u8]) -> Assembled {
        let length = self.body.len();
        self.line(HeaderName::ContentLength.id(), "Content-Length", |text| text.push(length));
        let mut wire = Vec::with_capacity(start_line.len() + self.text.0.len() + self.body.len() + 4);
        wire.extend_from_slice(start_line);
        wire.extend_from_slice(b"\r\n");
        let headers_start = wire.len();
        wire.extend_from_slice(&self.text.0);
        wire.extend_from_slice(b"\r\n");
        let body_start = wire.len();
        wire.extend_from_slice(&self.body);
        Assembled { wire: wire.into(), lines: self.lines, headers_start, body_start }
    }

    fn line(&mut self, id: u8, name: &str, value: impl FnOnce(&mut Text)) -> Span {
        self.seen |= bit(id);
        if self.text.0.capacity() == 0 {
            // Most heads fit, so that they are written without growing.
            self.text.0.reserve(1024);
        }
        let start = self.text.0.len();
        self.text.0.extend_from_slice(name.as_bytes());
        let name = Span::new(start, self.text.0.len());
        self.text.0.extend_from_slice(b": ");
        let (mut start, mut end) = (self.text.0.len(), {
            value(&mut self.text);
            self.text.0.len()
        });
        let octets = &self.text.0;
        while start < end && lex::is_lws(octets[start]) {
            start += 1;
        }
        while end > start && lex::is_lws(octets[end - 1]) {
            end -= 1;
        }
        let value = Span::new(start, end);
        self.lines.push(Line { id, name, value });
        self.text.0.extend_from_slice(b"\r\n");
        value
    }
}

/// Octets of a head. What is displayed into it cannot end its line: no caller can smuggle in a header.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text(pub(crate) Vec<u8>);

impl Text {
    pub(crate) fn push(&mut self, value: impl Display) {
        // Writing into memory fails only if the value's own Display does; what it wrote until then stands.
        let _ = write!(self, "{value}");
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = self.0.len();
        self.0.extend_from_slice(text.as_bytes());
        for octet in &mut self.0[start..] {
            if matches!(octet, b'\r' | b'\n') {
                *octet = b' ';
            }
        }
        Ok(())
    }
}

//! Header lines on their way out: written once, their places noted as they are written.

use std::fmt::{self, Display, Write};

use bytes::Bytes;

use super::header::{self, HeaderName};
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

impl Headers {
    /// Appends a line; Content-Length is left to [`Head::finish`], and what is no name is left out.
    pub(crate) fn push(&mut self, name: &HeaderName, value: impl Display) {
        match name {
            HeaderName::ContentLength => return,
            HeaderName::Ext(text) if !lex::is_token(text.as_bytes()) => return,
            _ => {}
        }
        if self.text.0.capacity() == 0 {
            // Most fit, so that they are written without growing.
            self.text.0.reserve(256);
        }
        self.seen |= bit(name.id());
        self.lines.push(self.text.line(name.id(), name.as_str(), |text| text.push(value)));
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
}

/// A message as it is put together, in the order it goes out.
pub(crate) struct Head {
    text: Text,
    start_line: Span,
    lines: Lines,
}

/// A message put together.
pub(crate) struct Assembled {
    pub(crate) wire: Bytes,
    pub(crate) start_line: Span,
    pub(crate) lines: Lines,
    pub(crate) body_start: usize,
}

impl Head {
    /// Starts a message of about `room` octets with its start line, which has no line end yet.
    pub(crate) fn start(room: usize, start_line: impl FnOnce(&mut Text)) -> Head {
        let mut text = Text(Vec::with_capacity(room));
        start_line(&mut text);
        let start_line = Span::new(0, text.0.len());
        text.0.extend_from_slice(b"\r\n");
        Head { text, start_line, lines: Lines::new() }
    }

    /// Appends a line of a known name, and says where its value is.
    pub(crate) fn line(&mut self, id: u8, value: impl FnOnce(&mut Text)) -> Span {
        let line = self.text.line(id, header::known(id), value);
        self.lines.push(line);
        line.value
    }

    /// Appends these lines, Content-Length and the body.
    pub(crate) fn finish(mut self, headers: Headers) -> Assembled {
        let by = self.text.0.len();
        self.text.0.extend_from_slice(&headers.text.0);
        let moved =
            |line: &Line| Line { name: line.name.shifted(by), value: line.value.shifted(by), ..*line };
        self.lines.extend(headers.lines.iter().map(moved));
        self.line(HeaderName::ContentLength.id(), |text| match headers.body.len() {
            0 => text.0.push(b'0'),
            length => text.push(length),
        });
        self.text.0.extend_from_slice(b"\r\n");
        let body_start = self.text.0.len();
        self.text.0.extend_from_slice(&headers.body);
        Assembled { wire: self.text.0.into(), start_line: self.start_line, lines: self.lines, body_start }
    }

    /// Octets that the rest of the message takes, about.
    pub(crate) fn room(headers: &Headers) -> usize {
        headers.text.0.len() + headers.body.len() + 64
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

    /// The same for a text, without the detour over its Display.
    pub(crate) fn push_str(&mut self, text: &str) {
        let start = self.0.len();
        self.0.extend_from_slice(text.as_bytes());
        let written = &mut self.0[start..];
        let mut at = 0;
        while let Some(found) = memchr::memchr2(b'\r', b'\n', &written[at..]) {
            at += found;
            written[at] = b' ';
        }
    }

    /// Appends a header line.
    fn line(&mut self, id: u8, name: &str, value: impl FnOnce(&mut Text)) -> Line {
        let start = self.0.len();
        self.0.extend_from_slice(name.as_bytes());
        let name = Span::new(start, self.0.len());
        self.0.extend_from_slice(b": ");
        let mut start = self.0.len();
        value(self);
        let mut end = self.0.len();
        self.0.extend_from_slice(b"\r\n");
        while start < end && lex::is_lws(self.0[start]) {
            start += 1;
        }
        while end > start && lex::is_lws(self.0[end - 1]) {
            end -= 1;
        }
        Line { id, name, value: Span::new(start, end) }
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

//! A message without its start line's meaning: bytes, lines, mandatory fields.

use bytes::Bytes;
use bytestring::ByteString;

use super::error::{ErrorKind, ParseError};
use super::header::{EXT, HeaderKey};
use super::headers::Assembled;
use super::key::Key;
use super::scan::{Line, Lines, Mode, Scan, Span, scan};

/// The bytes of a message and what is where in them. Cloning copies ranges, never bytes.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    /// Exactly one message: leading line ends and what follows the body are cut off.
    pub(crate) wire: Bytes,
    /// The head as text. `None` in a message we put together, whose few reads check what they read.
    text: Option<ByteString>,
    /// False if the text is another than the octets: with folds as blanks and octets that are not UTF-8 as question marks,
    /// each in the same place.
    plain: bool,
    pub(crate) lines: Lines,
    pub(crate) start_line: Span,
    pub(crate) body_start: usize,
    pub(crate) key: Key,
}

impl Raw {
    /// The message in a datagram and its first fault; the start line is only found, not read.
    pub(crate) fn parse(datagram: Bytes) -> Result<(Raw, Option<ParseError>), ParseError> {
        // RFC 3261 §7.5: line ends before the start line are ignored.
        let start =
            datagram.iter().position(|octet| !matches!(octet, b'\r' | b'\n')).unwrap_or(datagram.len());
        let datagram = if start == 0 { datagram } else { datagram.slice(start..) };
        let found = scan(&datagram, Mode::Strict).map_err(|error| error.offset(start))?;
        let (mut raw, fault) = Raw::new(datagram, found);
        let fault = fault.or_else(|| raw.foreign_octets()).or_else(|| raw.cut_body());
        Ok((raw, fault))
    }

    /// A message this process built or edited: faults leave fields empty.
    pub(crate) fn index(bytes: Bytes) -> Raw {
        match scan(&bytes, Mode::Lenient) {
            Ok(found) => Raw::new(bytes, found).0,
            Err(_) => Raw {
                body_start: bytes.len(),
                wire: bytes,
                text: None,
                plain: true,
                lines: Lines::new(),
                start_line: Span::default(),
                key: Key::default(),
            },
        }
    }

    fn new(wire: Bytes, found: Scan) -> (Raw, Option<ParseError>) {
        let Scan { start_line, lines, body_start, folded } = found;
        let head = ByteString::try_from(wire.slice(..body_start)).ok().filter(|_| !folded);
        let plain = head.is_some();
        let text = head.unwrap_or_else(|| patched(&wire[..body_start], &lines).into());
        let (key, fault) = Key::read(&text, &lines);
        (Raw { wire, text: Some(text), plain, lines, start_line, body_start, key }, fault)
    }

    /// A message this process put together out of checked parts.
    pub(crate) fn assembled(parts: Assembled, key: Key) -> Raw {
        let Assembled { wire, start_line, lines, body_start } = parts;
        Raw { wire, text: None, plain: true, lines, start_line, body_start, key }
    }

    /// Whether the head has neither folds nor octets that are not UTF-8.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// The text of a range of the head.
    pub(crate) fn str(&self, span: Span) -> &str {
        match &self.text {
            Some(text) => text.get(span.range()).unwrap_or_default(),
            None => {
                self.wire.get(span.range()).and_then(|octets| str::from_utf8(octets).ok()).unwrap_or_default()
            }
        }
    }

    /// The lines of a name.
    pub(crate) fn lines_of<K: HeaderKey>(&self, key: K) -> LinesOf<'_, K> {
        LinesOf { raw: self, at: 0, key }
    }

    /// Where the line ends that starts at `index`, its line end and folds included.
    pub(crate) fn line_range(&self, index: usize) -> std::ops::Range<usize> {
        let start = self.lines[index].name.start as usize;
        let value_end = self.lines[index].value.end as usize;
        let feed = memchr::memchr(b'\n', &self.wire[value_end..self.body_start]);
        let end = feed.map_or(self.body_start, |feed| value_end + feed + 1);
        start..end
    }

    /// The message with octets put in at `at`, inside or at the end of the top Via, and all ranges moved on.
    ///
    /// `None` if the head has a second text or would grow beyond what ranges can say.
    pub(crate) fn insert(&self, at: usize, octets: &[u8]) -> Option<Raw> {
        let by = u16::try_from(octets.len()).ok()?;
        if !self.plain || self.body_start + octets.len() > usize::from(u16::MAX) {
            return None;
        }
        let mut wire = Vec::with_capacity(self.wire.len() + octets.len());
        wire.extend_from_slice(&self.wire[..at]);
        wire.extend_from_slice(octets);
        wire.extend_from_slice(&self.wire[at..]);
        let body_start = self.body_start + octets.len();
        let mut raw = Raw { wire: wire.into(), text: None, body_start, ..self.clone() };
        let at = u16::try_from(at).ok()?;
        // A range that ends where the octets go in takes them up if it is the Via's; the branch's does not.
        let moved = |span: Span| Span {
            start: if span.start >= at { span.start + by } else { span.start },
            end: if span.end > at { span.end + by } else { span.end },
        };
        let grown =
            |span: Span| Span { end: if span.end == at { at + by } else { moved(span).end }, ..moved(span) };
        for line in &mut raw.lines {
            line.name = moved(line.name);
            line.value = grown(line.value);
        }
        raw.key = Key { via: grown(self.key.via), ..self.key.map(moved) };
        Some(raw)
    }

    /// Octets that are not UTF-8 are shown as question marks, which no field that identifies may be made of.
    fn foreign_octets(&self) -> Option<ParseError> {
        if self.plain {
            return None;
        }
        let key = &self.key;
        [self.start_line, key.call_id, key.from_tag, key.to_tag, key.via, key.cseq_method]
            .into_iter()
            .find(|span| str::from_utf8(&self.wire[span.range()]).is_err())
            .map(|span| ParseError::new(ErrorKind::Value, "Octets that are not UTF-8", span.start as usize))
    }

    /// RFC 3261 §18.3, datagrams: what follows the body is cut off, a body that is too short is an error.
    fn cut_body(&mut self) -> Option<ParseError> {
        let there = self.wire.len() - self.body_start;
        let length = self.key.content_length?;
        match usize::try_from(length) {
            Ok(length) if length <= there => {
                self.wire.truncate(self.body_start + length);
                None
            }
            _ => Some(ParseError::new(ErrorKind::Body, "Body shorter than Content-Length", self.body_start)),
        }
    }
}

/// Iterator of [`Raw::lines_of`]: positions and lines.
pub(crate) struct LinesOf<'a, K> {
    raw: &'a Raw,
    at: usize,
    key: K,
}

impl<'a, K: HeaderKey> Iterator for LinesOf<'a, K> {
    type Item = (usize, &'a Line);

    fn next(&mut self) -> Option<Self::Item> {
        let (id, name) = self.key.key();
        loop {
            let index = self.at;
            let line = self.raw.lines.get(index)?;
            self.at += 1;
            if line.id == id && (id != EXT || self.raw.str(line.name).eq_ignore_ascii_case(name)) {
                return Some((index, line));
            }
        }
    }
}

/// The head with folds as blanks and octets that are not UTF-8 as question marks.
fn patched(head: &[u8], lines: &Lines) -> String {
    let mut octets = head.to_vec();
    for line in lines {
        for octet in &mut octets[line.value.range()] {
            if matches!(octet, b'\r' | b'\n') {
                *octet = b' ';
            }
        }
    }
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

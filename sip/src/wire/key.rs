//! The fields every message must have: found and checked once, so that reading them cannot fail.

use super::error::{ErrorKind, ParseError};
use super::header::HeaderName;
use super::name_addr::NameAddrParts;
use super::scan::{Lines, Span};
use super::via::ViaParts;
use super::{cseq, lex};

/// Where the mandatory fields are (RFC 3261 §8.1.1).
#[derive(Clone, Debug, Default)]
pub(crate) struct Key {
    pub(crate) call_id: Span,
    pub(crate) from: Span,
    pub(crate) from_tag: Span,
    pub(crate) to: Span,
    pub(crate) to_tag: Span,
    /// The first value of the first Via line.
    pub(crate) via: Span,
    pub(crate) branch: Span,
    pub(crate) cseq: u32,
    pub(crate) cseq_method: Span,
    pub(crate) content_length: Option<u64>,
}

const VIA: u8 = HeaderName::Via.id();
const FROM: u8 = HeaderName::From.id();
const TO: u8 = HeaderName::To.id();
const CALL_ID: u8 = HeaderName::CallId.id();
const CSEQ: u8 = HeaderName::CSeq.id();
const MAX_FORWARDS: u8 = HeaderName::MaxForwards.id();
const CONTENT_LENGTH: u8 = HeaderName::ContentLength.id();

impl Key {
    /// Reads all fields; the first fault, if there is one, comes beside what could be read.
    pub(crate) fn read(text: &str, lines: &Lines) -> (Key, Option<ParseError>) {
        let mut reader = Reader { text, key: Key::default(), seen: 0, fault: None };
        for line in lines {
            reader.line(line.id, line.value);
        }
        for (id, what) in [
            (VIA, "Missing Via header"),
            (FROM, "Missing From header"),
            (TO, "Missing To header"),
            (CALL_ID, "Missing Call-ID header"),
            (CSEQ, "Missing CSeq header"),
        ] {
            if reader.seen & bit(id) == 0 {
                reader.fail(ParseError::new(ErrorKind::Missing, what, text.len()));
            }
        }
        (reader.key, reader.fault)
    }
}

impl Key {
    /// The same fields in other places.
    pub(crate) fn map(&self, place: impl Fn(Span) -> Span) -> Key {
        Key {
            call_id: place(self.call_id),
            from: place(self.from),
            from_tag: place(self.from_tag),
            to: place(self.to),
            to_tag: place(self.to_tag),
            via: place(self.via),
            branch: place(self.branch),
            cseq: self.cseq,
            cseq_method: place(self.cseq_method),
            content_length: self.content_length,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    key: Key,
    /// Bits of the headers seen.
    seen: u128,
    fault: Option<ParseError>,
}

/// One bit a known name; all unknown ones share one.
pub(crate) const fn bit(id: u8) -> u128 {
    1 << (id & 127)
}

impl<'a> Reader<'a> {
    fn line(&mut self, id: u8, span: Span) {
        match id {
            VIA => return self.via(span),
            FROM | TO | CALL_ID | CSEQ | MAX_FORWARDS | CONTENT_LENGTH => {}
            _ => return,
        }
        // RFC 3261 §7.3.1, RFC 4475 §3.3.8: these stand once; which of two is meant cannot be known.
        if self.seen & bit(id) != 0 {
            return self.fail(ParseError::new(ErrorKind::Duplicate, duplicate(id), span.start as usize));
        }
        self.seen |= bit(id);
        let result = match id {
            FROM => self.address(span).map(|tag| (self.key.from, self.key.from_tag) = (span, tag)),
            TO => self.address(span).map(|tag| (self.key.to, self.key.to_tag) = (span, tag)),
            CALL_ID => self.call_id(span),
            CSEQ => self.cseq(span),
            MAX_FORWARDS => self.number(span, "Malformed Max-Forwards").map(|_| ()),
            CONTENT_LENGTH => self
                .number(span, "Malformed Content-Length")
                .map(|length| self.key.content_length = Some(length)),
            _ => Ok(()),
        };
        if let Err(error) = result {
            self.fail(error.offset(span.start as usize));
        }
    }

    fn fail(&mut self, error: ParseError) {
        self.fault.get_or_insert(error);
    }

    fn str(&self, span: Span) -> &'a str {
        &self.text[span.range()]
    }

    /// The octets `part` takes in the message; `part` is a slice of the text of `span`.
    fn place(&self, span: Span, part: &str) -> Span {
        let offset = part.as_ptr().addr() - self.str(span).as_ptr().addr();
        let start = span.start as usize + offset;
        Span::new(start, start + part.len())
    }

    /// The topmost Via is checked. What other elements wrote below it is theirs to read (RFC 3261 §16.3 step 1).
    fn via(&mut self, span: Span) {
        if self.seen & bit(VIA) != 0 {
            return;
        }
        self.seen |= bit(VIA);
        let result = match lex::split_list(self.str(span)).next() {
            Some(value) => ViaParts::check(value).map(|branch| (value, branch)),
            None => Err(ParseError::new(ErrorKind::Value, "Empty Via", 0)),
        };
        match result {
            Ok((value, branch)) => {
                self.key.via = self.place(span, value);
                self.key.branch = branch.map(|branch| self.place(span, branch)).unwrap_or_default();
            }
            Err(error) => self.fail(error.offset(span.start as usize)),
        }
    }

    /// From and To; gives the place of the tag.
    fn address(&self, span: Span) -> Result<Span, ParseError> {
        let tag = NameAddrParts::check(self.str(span))?;
        Ok(tag.map(|tag| self.place(span, tag)).unwrap_or_default())
    }

    fn call_id(&mut self, span: Span) -> Result<(), ParseError> {
        // RFC 3261 §25.1: a word, or two around an at sign; blanks are in neither.
        let octets = self.str(span).as_bytes();
        if octets.is_empty() || octets.iter().any(|&octet| lex::is_lws(octet)) {
            return Err(ParseError::new(ErrorKind::Value, "Malformed Call-ID", 0));
        }
        self.key.call_id = span;
        Ok(())
    }

    fn cseq(&mut self, span: Span) -> Result<(), ParseError> {
        let (number, method) = cseq::split(self.str(span))?;
        let method = self.place(span, method);
        (self.key.cseq, self.key.cseq_method) = (number, method);
        Ok(())
    }

    fn number(&self, span: Span, what: &'static str) -> Result<u64, ParseError> {
        lex::number(self.str(span).as_bytes()).ok_or(ParseError::new(ErrorKind::Value, what, 0))
    }
}

fn duplicate(id: u8) -> &'static str {
    match id {
        FROM => "Two From headers",
        TO => "Two To headers",
        CALL_ID => "Two Call-ID headers",
        CSEQ => "Two CSeq headers",
        MAX_FORWARDS => "Two Max-Forwards headers",
        _ => "Two Content-Length headers",
    }
}

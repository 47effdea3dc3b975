//! A glance at a datagram: enough to route it, without building a message.

use super::header::{self, HeaderName};
use super::name_addr::NameAddrParts;
use super::{cseq, lex, params};

/// What a datagram is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek<'a> {
    /// A request, not a response.
    pub is_request: bool,
    /// The method of CSeq.
    pub method: &'a str,
    /// The Call-ID.
    pub call_id: &'a str,
    /// The From tag.
    pub from_tag: Option<&'a str>,
    /// The To tag.
    pub to_tag: Option<&'a str>,
    /// The branch of the topmost Via.
    pub branch: Option<&'a str>,
    /// The number of CSeq.
    pub cseq: u32,
}

/// Finds Call-ID, tags, branch and CSeq; `None` if one of their headers is missing or cannot be read.
///
/// Reads no further than the last of them and checks nothing else: a datagram that passes may still fail
/// [`Message::parse`](super::Message::parse), one that does not pass may still deserve a 400.
pub fn peek(datagram: &[u8]) -> Option<Peek<'_>> {
    let start = datagram.iter().position(|octet| !matches!(octet, b'\r' | b'\n'))?;
    let mut at = start + memchr::memchr(b'\n', &datagram[start..])? + 1;
    let is_request = !datagram.get(start..start + 4)?.eq_ignore_ascii_case(b"SIP/");
    let mut found = Found::default();
    while !found.complete() {
        let end = logical_line_end(datagram, at)?;
        let line = &datagram[at..end];
        if matches!(line, [] | b"\n" | b"\r\n") {
            return None;
        }
        found.line(line)?;
        at = end;
    }
    let (cseq, method) = found.cseq?;
    Some(Peek {
        is_request,
        method,
        call_id: found.call_id?,
        from_tag: found.from_tag?,
        to_tag: found.to_tag?,
        branch: found.branch?,
        cseq,
    })
}

/// The fields so far; the inner option is the field's own absence in a header that is there.
#[derive(Default)]
struct Found<'a> {
    call_id: Option<&'a str>,
    from_tag: Option<Option<&'a str>>,
    to_tag: Option<Option<&'a str>>,
    branch: Option<Option<&'a str>>,
    cseq: Option<(u32, &'a str)>,
}

impl<'a> Found<'a> {
    fn complete(&self) -> bool {
        self.call_id.is_some()
            && self.from_tag.is_some()
            && self.to_tag.is_some()
            && self.branch.is_some()
            && self.cseq.is_some()
    }

    /// Takes a header line in; `None` if it is one of the five and cannot be read.
    fn line(&mut self, line: &'a [u8]) -> Option<()> {
        // The five names start with one of these letters; most other headers are passed by here.
        if !matches!(line[0] | 0x20, b'v' | b'f' | b't' | b'c' | b'i') {
            return Some(());
        }
        let name_end = line.iter().position(|&octet| !lex::is_token_octet(octet))?;
        let id = header::find(&line[..name_end]);
        if ![VIA, FROM, TO, CALL_ID, CSEQ].contains(&id) {
            return Some(());
        }
        let colon = name_end + memchr::memchr(b':', &line[name_end..])?;
        let value = str::from_utf8(&line[colon + 1..]).ok()?;
        // Nearly always one blank and one line end.
        let value = value.strip_prefix(' ').unwrap_or(value);
        let value = lex::trim(value.strip_suffix("\r\n").unwrap_or(value));
        match id {
            VIA if self.branch.is_none() => self.branch = Some(branch(value)),
            FROM => self.from_tag = Some(tag(value)?),
            TO => self.to_tag = Some(tag(value)?),
            CALL_ID if !value.is_empty() => self.call_id = Some(value),
            CSEQ => self.cseq = Some(cseq::split(value).ok()?),
            _ => {}
        }
        Some(())
    }
}

const VIA: u8 = HeaderName::Via.id();
const FROM: u8 = HeaderName::From.id();
const TO: u8 = HeaderName::To.id();
const CALL_ID: u8 = HeaderName::CallId.id();
const CSEQ: u8 = HeaderName::CSeq.id();

/// Where the line at `at` ends, its folds included.
fn logical_line_end(datagram: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    loop {
        end += memchr::memchr(b'\n', datagram.get(end..)?)? + 1;
        if !matches!(datagram.get(end), Some(b' ' | b'\t')) {
            return Some(end);
        }
    }
}

fn branch(value: &str) -> Option<&str> {
    let first = lex::split_list(value).next()?;
    let start = memchr::memchr(b';', first.as_bytes())?;
    params::value(&first[start..], "branch").filter(|branch| !branch.is_empty())
}

fn tag(value: &str) -> Option<Option<&str>> {
    let parts = NameAddrParts::split(value).ok()?;
    Some(params::value(parts.params, "tag").filter(|tag| !tag.is_empty()))
}

//! Parameters behind a URI, a Via or an address, kept verbatim and read on demand.

use std::fmt;

use super::error::{ErrorKind, ParseError};
use super::lex::{self, Octets};

/// The parameters `;name=value;flag` of a URI or a header value, in their order and spelling.
///
/// Names compare without case; a value in quotes is given with them.
///
/// ```
/// use holdline_sip::wire::Params;
/// let mut params: Params = ";transport=tcp;LR".parse()?;
/// assert_eq!(params.get("Transport"), Some("tcp"));
/// assert!(params.contains("lr"));
/// params.set("ttl", Some("1"));
/// assert_eq!(params.to_string(), ";transport=tcp;LR;ttl=1");
/// # Ok::<(), holdline_sip::wire::ParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params(String);

impl Params {
    /// No parameters.
    pub const fn new() -> Params {
        Params(String::new())
    }

    /// The value of a parameter: empty for a flag, `None` if it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or_default())
    }

    /// Whether the parameter is there, with a value or without.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Names and values in their order.
    pub fn iter(&self) -> ParamIter<'_> {
        ParamIter(spans(&self.0))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text on the wire, from the first semicolon on.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Sets a parameter in its place, or appends it. Octets that would end the value are left out.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let (start, end) = self.place(name).unwrap_or((self.0.len(), self.0.len()));
        let mut text = format!(";{name}");
        if let Some(value) = value {
            text.push('=');
            text.extend(value.chars().filter(|char| !matches!(char, '\r' | '\n')));
        }
        self.0.replace_range(start..end, &text);
    }

    /// Removes every parameter of this name.
    pub fn remove(&mut self, name: &str) {
        while let Some((start, end)) = self.place(name) {
            self.0.replace_range(start..end, "");
        }
    }

    /// Reads what stands behind a URI, Via or address: nothing, or a semicolon and parameters.
    pub(crate) fn parse(text: &str) -> Result<Params, ParseError> {
        check(text)?;
        if !text.ends_with(';') && !text.bytes().any(lex::is_lws) {
            return Ok(Params(text.into()));
        }
        // Blanks around separators and a semicolon at the end mean nothing; without, what is equal is equal as text.
        let mut params = String::with_capacity(text.len());
        for param in spans(text) {
            params.push(';');
            params.push_str(param.name);
            if let Some(value) = param.value {
                params.push('=');
                params.push_str(value);
            }
        }
        Ok(Params(params))
    }

    fn place(&self, name: &str) -> Option<(usize, usize)> {
        spans(&self.0)
            .find(|param| param.name.eq_ignore_ascii_case(name))
            .map(|param| (param.start, param.end))
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Params {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Params, ParseError> {
        Params::parse(text)
    }
}

/// Iterator over names and values; a flag has no value.
#[derive(Clone, Debug)]
pub struct ParamIter<'a>(Spans<'a>);

impl<'a> Iterator for ParamIter<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|param| (param.name, param.value))
    }
}

/// One parameter and the octets it takes, its semicolon included.
pub(crate) struct Param<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Option<&'a str>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The parameters of a text that is empty or starts with a semicolon.
pub(crate) fn spans(text: &str) -> Spans<'_> {
    Spans { text, at: 0 }
}

/// The value of the first parameter of this name: empty for a flag.
pub(crate) fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    spans(text)
        .find(|param| param.name.eq_ignore_ascii_case(name))
        .map(|param| param.value.unwrap_or_default())
}

/// Iterator of [`spans`].
#[derive(Clone, Debug)]
pub(crate) struct Spans<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Spans<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        while self.at < self.text.len() {
            let start = self.at;
            let bytes = self.text.as_bytes();
            let from = if bytes[start] == b';' { start + 1 } else { start };
            let (equals, end) = param_end(bytes, from);
            self.at = end;
            let name = lex::trim(&self.text[from..equals.unwrap_or(end)]);
            let value = equals.map(|equals| lex::trim(&self.text[equals + 1..end]));
            if !name.is_empty() {
                return Some(Param { name, value, start, end });
            }
        }
        None
    }
}

/// Where the parameter that starts at `from` has its equals sign, and where it ends.
fn param_end(text: &[u8], from: usize) -> (Option<usize>, usize) {
    let (mut at, mut equals) = (from, None);
    while let Some(&octet) = text.get(at) {
        match octet {
            b';' => return (equals, at),
            b'=' if equals.is_none() => equals = Some(at),
            b'"' => match lex::quoted_end(text, at) {
                Some(end) => {
                    at = end;
                    continue;
                }
                None => break,
            },
            _ => {}
        }
        at += 1;
    }
    (equals, text.len())
}

/// Checks the parameters behind a URI, Via or address.
pub(crate) fn check(text: &str) -> Result<(), ParseError> {
    check_for(text, "").map(|_| ())
}

/// Checks the parameters and gives the value of the first of this name, both in one pass.
pub(crate) fn check_for<'a>(text: &'a str, wanted: &str) -> Result<Option<&'a str>, ParseError> {
    let octets = text.as_bytes();
    let fault = |at| ParseError::new(ErrorKind::Value, "Malformed parameter", at);
    let mut found = None;
    let mut at = lex::skip_lws(octets, 0);
    while at < octets.len() {
        if octets[at] != b';' {
            return Err(fault(at));
        }
        let name_start = lex::skip_lws(octets, at + 1);
        let name_end = lex::skip(octets, name_start, &NAME);
        // A lone semicolon at the very end is common and harmless; one in between is not a parameter.
        if name_start == octets.len() {
            break;
        }
        if name_end == name_start {
            return Err(fault(at));
        }
        at = lex::skip_lws(octets, name_end);
        let mut value = "";
        if octets.get(at) == Some(&b'=') {
            let start = lex::skip_lws(octets, at + 1);
            let end = match octets.get(start) {
                Some(b'"') => lex::quoted_end(octets, start).ok_or(fault(start))?,
                _ => lex::skip(octets, start, &VALUE),
            };
            value = &text[start..end];
            at = lex::skip_lws(octets, end);
        }
        if found.is_none() && text[name_start..name_end].eq_ignore_ascii_case(wanted) {
            found = Some(value);
        }
    }
    Ok(found)
}

/// Names are tokens; in URIs they may hold a few octets more (RFC 3261 §25.1 `paramchar`).
const NAME: Octets = lex::alphanumeric_and(b"-.!%*_+`'~[]/:&$()");

/// A value that is not quoted is one word without quotes, brackets and separators.
const VALUE: Octets = lex::visible_without(b"\"<>,;");

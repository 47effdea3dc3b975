//! Addresses with a display name and parameters: From, To, Contact, Route, Record-Route.

use std::fmt;
use std::str::FromStr;

use super::error::{ErrorKind, ParseError};
use super::lex;
use super::params::{self, Params};
use super::uri::{self, Uri};

/// An address as in From, To, Contact, Route and Record-Route.
///
/// ```
/// use holdline_sip::wire::NameAddr;
/// let from: NameAddr = r#""Ann \"A\"" <sip:ann@example.org>;tag=1"#.parse()?;
/// assert_eq!(from.display_name.as_deref(), Some(r#"Ann "A""#));
/// assert_eq!(from.tag(), Some("1"));
/// assert_eq!(from.to_string(), r#""Ann \"A\"" <sip:ann@example.org>;tag=1"#);
/// # Ok::<(), holdline_sip::wire::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameAddr {
    /// The display name, without quotes and escapes; never empty.
    pub display_name: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// The parameters of the header, not those of the URI.
    pub params: Params,
}

impl NameAddr {
    /// An address without display name and parameters.
    pub fn new(uri: Uri) -> NameAddr {
        NameAddr { display_name: None, uri, params: Params::new() }
    }

    /// Reads one address; a comma list is split first, see [`Message::values`](super::Message::values).
    pub fn parse(text: &str) -> Result<NameAddr, ParseError> {
        let parts = NameAddrParts::split(text)?;
        let name = match parts.display.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
            Some(quoted) => lex::unescape(quoted),
            None => parts.display.into(),
        };
        Ok(NameAddr {
            display_name: Some(name).filter(|name| !name.is_empty()),
            uri: Uri::parse(parts.uri)?,
            params: Params::parse(parts.params)?,
        })
    }

    /// The tag; `None` if absent or empty.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The same address with this tag.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> NameAddr {
        self.params.set("tag", Some(tag));
        self
    }

    /// The same address without a tag.
    #[must_use]
    pub fn without_tag(mut self) -> NameAddr {
        self.params.remove("tag");
        self
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.display_name {
            f.write_str("\"")?;
            for char in name.chars() {
                match char {
                    '"' | '\\' => write!(f, "\\{char}")?,
                    '\r' | '\n' => f.write_str(" ")?,
                    _ => write!(f, "{char}")?,
                }
            }
            f.write_str("\" ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

impl FromStr for NameAddr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<NameAddr, ParseError> {
        NameAddr::parse(text)
    }
}

/// An address as slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameAddrParts<'a> {
    /// With its quotes.
    pub(crate) display: &'a str,
    pub(crate) uri: &'a str,
    /// Empty or from the semicolon on.
    pub(crate) params: &'a str,
}

impl<'a> NameAddrParts<'a> {
    /// RFC 3261 §25.1 `name-addr / addr-spec`, then parameters.
    pub(crate) fn split(text: &'a str) -> Result<NameAddrParts<'a>, ParseError> {
        let fault = |what, at| ParseError::new(ErrorKind::Value, what, at);
        let text = lex::trim(text);
        let bytes = text.as_bytes();
        let open = if bytes.first() == Some(&b'"') {
            let end = lex::quoted_end(bytes, 0).ok_or(fault("Quoted display name without an end", 0))?;
            let open = bytes[end..].iter().position(|&octet| !lex::is_lws(octet)).map(|at| at + end);
            Some(open.filter(|&open| bytes[open] == b'<').ok_or(fault("Display name without a URI", end))?)
        } else {
            match memchr::memchr2(b'<', b'"', bytes) {
                Some(at) if bytes[at] == b'<' => Some(at),
                // A quote in the parameters of an address without brackets.
                Some(at) if memchr::memchr(b';', &bytes[..at]).is_some() => None,
                Some(at) => return Err(fault("Stray quote in an address", at)),
                None => None,
            }
        };
        match open {
            Some(open) => {
                let close = memchr::memchr(b'>', &bytes[open..])
                    .ok_or(fault("URI without a closing bracket", open))?;
                let uri = lex::trim(&text[open + 1..open + close]);
                Ok(NameAddrParts {
                    display: lex::trim(&text[..open]),
                    uri,
                    params: &text[open + close + 1..],
                })
            }
            None => {
                // RFC 3261 §20.10: without brackets, what follows a semicolon is the header's, and a URI must have
                // neither comma nor question mark.
                let end = memchr::memchr(b';', bytes).unwrap_or(bytes.len());
                let (uri, params) = text.split_at(end);
                if let Some(at) = memchr::memchr2(b',', b'?', uri.as_bytes()) {
                    return Err(fault("URI that needs brackets", at));
                }
                Ok(NameAddrParts { display: "", uri: lex::trim(uri), params })
            }
        }
    }

    /// As written, but without parameters and with the URI in brackets: what From and To keep through a whole dialog.
    pub(crate) fn bare(&self) -> String {
        let blank = if self.display.is_empty() { "" } else { " " };
        [self.display, blank, "<", self.uri, ">"].concat()
    }

    /// Checks all parts without building them, and gives the tag.
    pub(crate) fn check(text: &'a str) -> Result<Option<&'a str>, ParseError> {
        let parts = NameAddrParts::split(text)?;
        uri::check(parts.uri)?;
        match params::check_for(parts.params, "tag")? {
            // A tag added behind it would not be found.
            Some("") => Err(ParseError::new(ErrorKind::Value, "Empty tag", 0)),
            tag => Ok(tag),
        }
    }
}

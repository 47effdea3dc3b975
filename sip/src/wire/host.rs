//! Hosts: names, IPv4 addresses and IPv6 references.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::{ErrorKind, ParseError};
use super::lex::{self, Octets};

/// The host of a URI or of a Via.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name in its spelling; empty in a URI whose scheme has no host.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, in brackets on the wire.
    V6(Ipv6Addr),
}

impl Host {
    /// Reads a host: an address, a bracketed IPv6 address, or a name.
    pub fn parse(text: &str) -> Result<Host, ParseError> {
        match Form::of(text)? {
            Form::V4(address) => Ok(Host::V4(address)),
            Form::V6(address) => Ok(Host::V6(address)),
            Form::Name => Ok(Host::Name(text.into())),
        }
    }

    /// The address, if the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(address) => Some(IpAddr::V4(*address)),
            Host::V6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// Whether both are the same host; names compare without case.
    pub fn equivalent(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Name(ours), Host::Name(theirs)) => ours.eq_ignore_ascii_case(theirs),
            _ => self == other,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Host {
        match address {
            IpAddr::V4(address) => Host::V4(address),
            IpAddr::V6(address) => Host::V6(address),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => write!(f, "{address}"),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// What a host is, without keeping its name.
enum Form {
    Name,
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Form {
    fn of(text: &str) -> Result<Form, ParseError> {
        let fault = ParseError::new(ErrorKind::Uri, "Malformed host", 0);
        if let Some(inner) = text.strip_prefix('[') {
            return parse_v6(inner.strip_suffix(']').ok_or(fault)?).map(Form::V6).ok_or(fault);
        }
        if text.starts_with(|first: char| first.is_ascii_digit())
            && let Ok(address) = text.parse()
        {
            return Ok(Form::V4(address));
        }
        if is_name(text) { Ok(Form::Name) } else { Err(fault) }
    }
}

/// Whether the text is a host; what looks like a name is one, or an IPv4 address.
pub(crate) fn check(text: &str) -> Result<(), ParseError> {
    if is_name(text) { Ok(()) } else { Form::of(text).map(|_| ()) }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && lex::skip(text.as_bytes(), 0, &NAME) == text.len()
}

/// Underscores are no host octets, but many private networks have them.
pub(crate) const NAME: Octets = lex::alphanumeric_and(b"-._");

/// An address with or without brackets, as `received` and `maddr` have it (RFC 5118 §4.5).
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => parse_v6(inner).map(IpAddr::V6),
        None if text.contains(':') => parse_v6(text).map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// Splits `host:port`, `[v6]:port` or a host alone.
pub(crate) fn split_port(text: &str) -> Result<(&str, Option<u16>), ParseError> {
    let fault = |at| ParseError::new(ErrorKind::Uri, "Malformed port", at);
    let host_end = match text.strip_prefix('[') {
        Some(_) => memchr::memchr(b']', text.as_bytes()).map(|at| at + 1).ok_or(fault(0))?,
        None => memchr::memchr(b':', text.as_bytes()).unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    let host = lex::trim(host);
    let rest = lex::trim(rest);
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').ok_or(fault(host_end))?;
    let port = lex::number(lex::trim(digits).as_bytes()).and_then(|port| u16::try_from(port).ok());
    Ok((host, Some(port.ok_or(fault(host_end))?)))
}

/// An IPv6 address; three colons in a row stand for two (RFC 5118 §4.10).
fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    text.parse().or_else(|_| text.replacen(":::", "::", 1).parse()).ok()
}

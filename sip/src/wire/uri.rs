//! URIs: sip, sips and tel in their parts, every other scheme verbatim.

use std::fmt;
use std::str::FromStr;

use super::error::{ErrorKind, ParseError};
use super::host::{self, Host};
use super::lex::{self, Octets};
use super::params::{self, Params};
use crate::flow::Transport;

/// A URI in its parts; `to_string` gives the text back.
///
/// Escapes stay as they are. Of a `tel` URI, `user` is the number; of a scheme other than sip, sips and tel, `user`
/// is all that follows the colon. Both have an empty host name.
///
/// ```
/// use holdline_sip::wire::{Host, Uri};
/// let uri: Uri = "sip:ann@[2001:db8::9]:5070;transport=tcp;lr".parse()?;
/// assert_eq!(uri.user.as_deref(), Some("ann"));
/// assert_eq!(uri.host, Host::V6("2001:db8::9".parse().unwrap()));
/// assert!(uri.is_loose_router());
/// # Ok::<(), holdline_sip::wire::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user part, escapes unresolved.
    pub user: Option<String>,
    /// The password, escapes unresolved.
    pub password: Option<String>,
    /// The host.
    pub host: Host,
    /// The port, if written.
    pub port: Option<u16>,
    /// The URI parameters.
    pub params: Params,
    /// The headers behind the question mark, without it.
    pub headers: Option<String>,
}

/// The scheme of a URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// `tel`
    Tel,
    /// Any other, in lower case.
    Other(String),
}

impl Uri {
    /// A sip URI.
    pub fn sip(user: Option<&str>, host: Host, port: Option<u16>) -> Uri {
        let user = user.map(String::from);
        Uri { scheme: Scheme::Sip, user, password: None, host, port, params: Params::new(), headers: None }
    }

    /// Reads a URI without brackets around it.
    pub fn parse(text: &str) -> Result<Uri, ParseError> {
        let parts = UriParts::split(text)?;
        Ok(Uri {
            scheme: Scheme::from_name(parts.scheme),
            user: parts.user.map(String::from),
            password: parts.password.map(String::from),
            host: parts.host.map_or(Ok(Host::Name(String::new())), Host::parse)?,
            port: parts.port,
            params: Params::parse(parts.params)?,
            headers: parts.headers.map(String::from),
        })
    }

    /// Whether the `lr` parameter is there: the route of a loose router (RFC 3261 §16.12.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.params.contains("lr")
    }

    /// The `transport` parameter; `None` if absent or unknown.
    pub fn transport(&self) -> Option<Transport> {
        self.params.get("transport")?.parse().ok()
    }

    /// Whether the scheme is sip or sips.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The port, or the one its scheme and transport stand for (RFC 3261 §19.1.2).
    pub fn port_or_default(&self) -> u16 {
        let default = if self.scheme == Scheme::Sips { Transport::Tls } else { Transport::Udp };
        self.port.unwrap_or(self.transport().unwrap_or(default).default_port())
    }

    /// Whether both mean the same resource by RFC 3261 §19.1.4; not transitive, hence not `==`.
    pub fn equivalent(&self, other: &Uri) -> bool {
        super::uri_eq::equivalent(self, other)
    }

    /// What stands in for a URI that cannot be read in a message this process built itself.
    pub(crate) fn invalid() -> Uri {
        Uri::sip(None, Host::Name("invalid.invalid".into()), None)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme.as_str())?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
        }
        if self.is_sip() {
            if self.user.is_some() {
                f.write_str("@")?;
            }
            write!(f, "{}", self.host)?;
            if let Some(port) = self.port {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "{}", self.params)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Uri {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Uri, ParseError> {
        Uri::parse(text)
    }
}

impl Scheme {
    /// The scheme in lower case.
    pub fn as_str(&self) -> &str {
        match self {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
            Scheme::Tel => "tel",
            Scheme::Other(name) => name,
        }
    }

    fn from_name(name: &str) -> Scheme {
        match name.to_ascii_lowercase().as_str() {
            "sip" => Scheme::Sip,
            "sips" => Scheme::Sips,
            "tel" => Scheme::Tel,
            other => Scheme::Other(other.into()),
        }
    }
}

/// The parts of a URI as slices: enough to check one without allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UriParts<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
    pub(crate) port: Option<u16>,
    pub(crate) params: &'a str,
    pub(crate) headers: Option<&'a str>,
}

impl<'a> UriParts<'a> {
    /// Splits a URI; the host is not looked into, the parameters are.
    pub(crate) fn split(text: &'a str) -> Result<UriParts<'a>, ParseError> {
        let fault = |what, at| ParseError::new(ErrorKind::Uri, what, at);
        visible(text)?;
        let colon = memchr::memchr(b':', text.as_bytes()).ok_or(fault("URI without a scheme", 0))?;
        let (scheme, rest) = (&text[..colon], &text[colon + 1..]);
        if !is_scheme(scheme.as_bytes()) {
            return Err(fault("Malformed URI scheme", 0));
        }
        if rest.is_empty() {
            return Err(fault("URI with nothing behind its scheme", colon));
        }
        if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
            return UriParts::split_sip(scheme, rest).map_err(|error| error.offset(colon + 1));
        }
        let tel = scheme.eq_ignore_ascii_case("tel");
        let end = if tel { memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len()) } else { rest.len() };
        let (user, params) = rest.split_at(end);
        params::check(params).map_err(|error| error.offset(colon + 1 + end))?;
        Ok(UriParts {
            scheme,
            user: Some(user),
            password: None,
            host: None,
            port: None,
            params,
            headers: None,
        })
    }

    /// RFC 3261 §19.1.1: `[user[:password]@]host[:port][;params][?headers]`.
    fn split_sip(scheme: &'a str, rest: &'a str) -> Result<UriParts<'a>, ParseError> {
        let fault = |what, at| ParseError::new(ErrorKind::Uri, what, at);
        let (userinfo, host_at) = match memchr::memchr(b'@', rest.as_bytes()) {
            Some(at) => (Some(&rest[..at]), at + 1),
            None => (None, 0),
        };
        let (user, password) = match userinfo.and_then(|info| split_at_octet(info, b':')) {
            Some((user, password)) => (Some(user), Some(password)),
            None => (userinfo, None),
        };
        let tail = &rest[host_at..];
        let host_end = memchr::memchr2(b';', b'?', tail.as_bytes()).unwrap_or(tail.len());
        let (host, port) = host::split_port(&tail[..host_end]).map_err(|error| error.offset(host_at))?;
        if host.is_empty() {
            return Err(fault("URI without a host", host_at));
        }
        let tail = &tail[host_end..];
        let (params, headers) = match split_at_octet(tail, b'?') {
            Some((params, headers)) => (params, Some(headers)),
            None => (tail, None),
        };
        params::check(params).map_err(|error| error.offset(host_at + host_end))?;
        Ok(UriParts { scheme, user, password, host: Some(host), port, params, headers })
    }
}

/// What may stand in a URI at all; its parts are stricter, where it matters.
const VISIBLE: Octets = lex::visible_without(b"<>\"");

fn visible(text: &str) -> Result<(), ParseError> {
    match lex::skip(text.as_bytes(), 0, &VISIBLE) {
        end if end == text.len() => Ok(()),
        at => Err(ParseError::new(ErrorKind::Uri, "URI with a blank, bracket or quote", at)),
    }
}

fn is_scheme(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.'))
}

/// What stands before and behind the first such octet.
fn split_at_octet(text: &str, octet: u8) -> Option<(&str, &str)> {
    memchr::memchr(octet, text.as_bytes()).map(|at| (&text[..at], &text[at + 1..]))
}

/// Whether the text is a URI, without building one; says whether it has headers.
pub(crate) fn check(text: &str) -> Result<bool, ParseError> {
    if is_usual(text) {
        return Ok(false);
    }
    let parts = UriParts::split(text)?;
    if let Some(host) = parts.host {
        host::check(host)?;
    }
    Ok(parts.headers.is_some())
}

/// Whether the text is a URI as nearly all are, found out in one pass: sip, a host name or IPv4 address, no headers.
fn is_usual(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("sip:").or_else(|| text.strip_prefix("sips:")) else { return false };
    let octets = rest.as_bytes();
    let mut at = memchr::memchr(b'@', octets).map_or(0, |at| at + 1);
    if at > 0 && lex::skip(&octets[..at], 0, &VISIBLE) < at {
        return false;
    }
    let host_end = lex::skip(octets, at, &host::NAME);
    if host_end == at {
        return false;
    }
    at = host_end;
    if octets.get(at) == Some(&b':') {
        let end = at + 1 + octets[at + 1..].iter().take_while(|octet| octet.is_ascii_digit()).count();
        // Five digits may be too many; that is for the long way to say.
        if !(1..5).contains(&(end - at - 1)) {
            return false;
        }
        at = end;
    }
    match octets.get(at) {
        None => true,
        Some(b';') => lex::skip(octets, at, &VISIBLE) == octets.len() && params::check(&rest[at..]).is_ok(),
        Some(_) => false,
    }
}

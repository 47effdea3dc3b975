//! Via values: who sent a request, and where its responses go.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::error::{ErrorKind, ParseError};
use super::host::{self, Host};
use super::lex;
use super::params::{self, Params};
use crate::flow::Transport;

/// One value of a Via header (RFC 3261 §20.42).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Via {
    /// The transport as written: any token, also one this crate does not know.
    pub transport: String,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, if written.
    pub port: Option<u16>,
    /// The parameters: branch, received, rport, maddr, ttl and others.
    pub params: Params,
}

impl Via {
    /// A Via of this element, for a request it is about to send.
    pub fn new(transport: Transport, host: Host, port: Option<u16>, branch: &str) -> Via {
        let mut params = Params::new();
        params.set("branch", Some(branch));
        Via { transport: transport.as_str().into(), host, port, params }
    }

    /// Reads one value; a comma list is split first.
    pub fn parse(text: &str) -> Result<Via, ParseError> {
        let parts = ViaParts::split(text)?;
        let (host, port) = host::split_port(parts.sent_by)?;
        Ok(Via {
            transport: parts.transport.into(),
            host: Host::parse(host)?,
            port,
            params: Params::parse(parts.params)?,
        })
    }

    /// The branch; `None` if absent or empty.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// The address the request came from, as the next element saw it.
    pub fn received(&self) -> Option<IpAddr> {
        host::parse_ip(self.params.get("received")?)
    }

    /// The source port the next element saw; `None` if not filled in (RFC 3581).
    pub fn rport(&self) -> Option<u16> {
        self.params.get("rport")?.parse().ok()
    }

    /// Whether an `rport` parameter is there, filled in or not.
    pub fn wants_rport(&self) -> bool {
        self.params.contains("rport")
    }

    /// The `maddr` parameter.
    pub fn maddr(&self) -> Option<&str> {
        self.params.get("maddr")
    }

    /// The `ttl` parameter.
    pub fn ttl(&self) -> Option<u8> {
        self.params.get("ttl")?.parse().ok()
    }

    /// The transport, if this crate knows it.
    pub fn known_transport(&self) -> Option<Transport> {
        self.transport.parse().ok()
    }

    /// The port of sent-by, or the transport's default one.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(self.known_transport().unwrap_or(Transport::Udp).default_port())
    }

    /// `host:port` of the sender, the port only if written.
    pub fn sent_by(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    /// Where a response goes over a datagram transport; `None` if that is a name still to be resolved.
    pub fn response_addr(&self) -> Option<SocketAddr> {
        // RFC 3261 §18.2.2: maddr, else received (with rport: RFC 3581 §4), else sent-by.
        if let Some(maddr) = self.maddr() {
            return Some(SocketAddr::new(host::parse_ip(maddr)?, self.port_or_default()));
        }
        match self.received() {
            Some(received) => Some(SocketAddr::new(received, self.rport().unwrap_or(self.port_or_default()))),
            None => Some(SocketAddr::new(self.host.ip()?, self.rport().unwrap_or(self.port_or_default()))),
        }
    }

    /// What stands in for a Via that is not there in a message this process built itself.
    pub(crate) fn invalid() -> Via {
        Via {
            transport: Transport::Udp.as_str().into(),
            host: Host::Name("invalid.invalid".into()),
            port: None,
            params: Params::new(),
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

impl FromStr for Via {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Via, ParseError> {
        Via::parse(text)
    }
}

/// A Via value as slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ViaParts<'a> {
    pub(crate) transport: &'a str,
    pub(crate) sent_by: &'a str,
    /// Empty or from the semicolon on.
    pub(crate) params: &'a str,
}

impl<'a> ViaParts<'a> {
    /// `SIP / 2.0 / transport LWS sent-by *(;param)`, blanks around the slashes allowed (RFC 3261 §25.1).
    pub(crate) fn split(text: &'a str) -> Result<ViaParts<'a>, ParseError> {
        let fault = |what, at| ParseError::new(ErrorKind::Value, what, at);
        let text = lex::trim(text);
        let head_end = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
        let (head, params) = text.split_at(head_end);
        let rest = match head.strip_prefix("SIP/2.0/") {
            Some(rest) => lex::trim(rest),
            None => ViaParts::protocol(head)?,
        };
        let blank = rest.bytes().position(lex::is_lws).ok_or(fault("Via without a sender", head_end))?;
        let (transport, sent_by) = (&rest[..blank], lex::trim(&rest[blank..]));
        if !lex::is_token(transport.as_bytes()) {
            return Err(fault("Via without a transport", 0));
        }
        Ok(ViaParts { transport, sent_by, params })
    }

    /// Takes off the protocol in another spelling than the usual one.
    fn protocol(head: &str) -> Result<&str, ParseError> {
        let fault = |what| ParseError::new(ErrorKind::Value, what, 0);
        let mut slashes = head.splitn(3, '/');
        let (Some(name), Some(version), Some(rest)) = (slashes.next(), slashes.next(), slashes.next()) else {
            return Err(fault("Via without a protocol"));
        };
        if !lex::trim(name).eq_ignore_ascii_case("SIP") || lex::trim(version) != "2.0" {
            return Err(fault("Via of another protocol"));
        }
        Ok(lex::trim(rest))
    }

    /// Checks all parts without building them, and gives the branch.
    pub(crate) fn check(text: &'a str) -> Result<Option<&'a str>, ParseError> {
        let parts = ViaParts::split(text)?;
        let (host, _) = host::split_port(parts.sent_by)?;
        host::check(host)?;
        Ok(params::check_for(parts.params, "branch")?.filter(|branch| !branch.is_empty()))
    }
}

//! Reading a Via value, an address or a URI where it stands, with no copy: enough for a proxy to route and to edit.

use std::net::{IpAddr, SocketAddr};

/// The port of a `sip:` URI or a UDP Via that names none (RFC 3261 §19.1.2, §18.2.2).
const DEFAULT_PORT: u16 = 5060;

/// One Via value: `SIP/2.0/UDP host:port;params`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawVia<'a> {
    /// Host, and port if there is one, as written.
    pub(super) sent_by: &'a str,
    /// All from the first semicolon on.
    pub(super) params: &'a str,
}

impl<'a> RawVia<'a> {
    pub(super) fn read(value: &'a str) -> Option<Self> {
        // sent-protocol = name SLASH version SLASH transport, each slash with optional white space around it.
        let mut rest = value;
        for _ in 0..2 {
            rest = rest.split_once('/')?.1;
        }
        let rest = rest.trim_start_matches(is_space);
        let (_transport, rest) = rest.split_once(is_space)?;
        let params = rest.find(';').unwrap_or(rest.len());
        let (sent_by, params) = rest.split_at(params);
        let sent_by = sent_by.trim_matches(is_space);
        (!sent_by.is_empty()).then_some(Self { sent_by, params })
    }

    pub(super) fn branch(&self) -> Option<&'a str> {
        self.param("branch").and_then(|param| param.value)
    }

    pub(super) fn param(&self, name: &str) -> Option<Param<'a>> {
        params(self.params).find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// The sent-by as an address; nothing when it is a name.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        let (host, port) = host_and_port(self.sent_by)?;
        Some(SocketAddr::new(ip(host)?, port.unwrap_or(DEFAULT_PORT)))
    }

    pub(super) fn port(&self) -> u16 {
        host_and_port(self.sent_by).and_then(|(_, port)| port).unwrap_or(DEFAULT_PORT)
    }

    /// `value`, the text this was read from, with where it really came from; nothing when it says so already.
    ///
    /// A `received` that the sender wrote itself is overwritten: it would steer the response elsewhere.
    pub(super) fn stamped(&self, value: &str, source: SocketAddr) -> Option<String> {
        let ip = source.ip().to_canonical();
        let wants_rport = self.param("rport").is_some();
        // RFC 3261 §18.2.1: received where the sent-by is not the source; RFC 3581 §4: always with rport.
        let is_told = host_and_port(self.sent_by).and_then(|(host, _)| self::ip(host)) == Some(ip);
        let wants_received = wants_rport || !is_told;
        if !wants_received && self.param("received").is_none() {
            return None;
        }
        let mut stamped = String::with_capacity(value.len() + 64);
        stamped.push_str(&value[..value.len() - self.params.len()]);
        for param in params(self.params) {
            match param.name.to_ascii_lowercase().as_str() {
                "rport" => stamped.push_str(&format!(";rport={}", source.port())),
                "received" => {}
                _ => stamped.push_str(param.text),
            }
        }
        if wants_received {
            stamped.push_str(&format!(";received={ip}"));
        }
        Some(stamped)
    }

    /// Where a response goes (RFC 3261 §18.2.2, RFC 3581 §4): `received` and `rport` before the sent-by.
    ///
    /// `maddr` is left aside: it serves multicast, and would let anybody point our responses anywhere.
    pub(super) fn response_addr(&self) -> Option<SocketAddr> {
        let ip = match self.param("received").and_then(|param| param.value) {
            Some(received) => ip(received)?,
            None => ip(host_and_port(self.sent_by)?.0)?,
        };
        let rport = self.param("rport").and_then(|param| param.value?.parse().ok());
        Some(SocketAddr::new(ip, rport.unwrap_or_else(|| self.port())))
    }
}

/// One `;name=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Param<'a> {
    /// The whole of it, from its semicolon on.
    pub(super) text: &'a str,
    pub(super) name: &'a str,
    pub(super) value: Option<&'a str>,
}

/// The parameters in a text that starts with a semicolon; one inside quotes ends none.
pub(super) fn params(text: &str) -> impl Iterator<Item = Param<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let body = rest.strip_prefix(';')?;
        let end = 1 + end_of(body, ';');
        let (param, tail) = rest.split_at(end);
        rest = tail;
        let (name, value) = match param[1..].split_once('=') {
            Some((name, value)) => (name, Some(value.trim_matches(is_space))),
            None => (&param[1..], None),
        };
        Some(Param { text: param, name: name.trim_matches(is_space), value })
    })
}

/// A `sip:` URI: host and port, and whether it has a user and `;lr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawUri<'a> {
    pub(super) scheme: &'a str,
    pub(super) has_user: bool,
    pub(super) host: &'a str,
    pub(super) port: u16,
    params: &'a str,
}

impl<'a> RawUri<'a> {
    pub(super) fn read(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = uri.trim_matches(is_space).split_once(':')?;
        // An unescaped `@` can stand nowhere behind the user (RFC 3261 §25.1), but `;` and `?` can stand in it.
        let (has_user, rest) = match rest.rsplit_once('@') {
            Some((_, rest)) => (true, rest),
            None => (false, rest),
        };
        let rest = rest.split('?').next().unwrap_or(rest);
        let params = rest.find(';').unwrap_or(rest.len());
        let (hostport, params) = rest.split_at(params);
        let (host, port) = host_and_port(hostport.trim_matches(is_space))?;
        Some(Self { scheme, has_user, host, port: port.unwrap_or(DEFAULT_PORT), params })
    }

    pub(super) fn is_sip(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("sip")
    }

    pub(super) fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }

    pub(super) fn param(&self, name: &str) -> Option<Param<'a>> {
        params(self.params).find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// Whether it asks for no other transport than ours.
    pub(super) fn is_udp(&self) -> bool {
        let transport = self.param("transport").and_then(|param| param.value);
        transport.is_none_or(|transport| transport.eq_ignore_ascii_case("udp"))
    }

    /// The address, when the host is one.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(ip(self.host)?, self.port))
    }
}

/// The URI in a Route or Record-Route value: what stands in angle brackets, or without them all before the parameters.
pub(super) fn uri_of(value: &str) -> &str {
    let open = end_of(value, '<');
    match value.get(open + 1..) {
        Some(inner) => inner.split('>').next().unwrap_or(inner),
        None => value.split(';').next().unwrap_or(value),
    }
}

/// The IP address in a host, with or without the brackets of IPv6.
pub(super) fn ip(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let host_end =
        if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at(host_end);
    let host = host.trim_matches(is_space);
    if host.is_empty() {
        return None;
    }
    match rest.trim_matches(is_space).strip_prefix(':') {
        Some(port) => Some((host, Some(port.trim_matches(is_space).parse().ok()?))),
        None => Some((host, None)),
    }
}

/// The first `stop` outside quotes, or the end.
fn end_of(text: &str, stop: char) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == stop as u8 && !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

/// Linear white space: the line breaks of folded lines too (RFC 3261 §7.3.1).
pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn via_values_in_every_dress() {
        let table = [
            (
                "SIP/2.0/UDP 192.0.2.1:5061;branch=z9hG4bKa",
                "192.0.2.1:5061",
                Some("z9hG4bKa"),
                Some("192.0.2.1:5061"),
            ),
            ("SIP/2.0/UDP 192.0.2.1", "192.0.2.1", None, Some("192.0.2.1:5060")),
            (
                "SIP / 2.0 / UDP  [2001:db8::1]:5070 ; branch = b",
                "[2001:db8::1]:5070",
                Some("b"),
                Some("[2001:db8::1]:5070"),
            ),
            (
                "SIP/2.0/UDP\r\n h.example.com : 5062;x=\";branch=no\";BRANCH=c",
                "h.example.com : 5062",
                Some("c"),
                None,
            ),
            (
                "SIP/2.0/UDP 10.0.0.1;received=192.0.2.9;rport=4000;branch=d",
                "10.0.0.1",
                Some("d"),
                Some("192.0.2.9:4000"),
            ),
            ("SIP/2.0/UDP 10.0.0.1:5070;rport;branch=e", "10.0.0.1:5070", Some("e"), Some("10.0.0.1:5070")),
            ("SIP/2.0/UDP h;received=2001:db8::9", "h", None, Some("[2001:db8::9]:5060")),
            ("SIP/2.0/UDP h;received=[2001:db8::9]", "h", None, Some("[2001:db8::9]:5060")),
            ("SIP/2.0/UDP 10.0.0.1;maddr=192.0.2.66;branch=f", "10.0.0.1", Some("f"), Some("10.0.0.1:5060")),
        ];
        for (value, sent_by, branch, addr) in table {
            let via = RawVia::read(value).unwrap();
            assert_eq!((via.sent_by, via.branch()), (sent_by, branch), "{value}");
            assert_eq!(via.response_addr(), addr.map(|addr| addr.parse().unwrap()), "{value}");
        }
        for value in ["", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0/UDP ;branch=a", "SIP 2.0 UDP host"] {
            assert_eq!(RawVia::read(value), None, "{value}");
        }
    }

    #[test]
    fn uris_in_every_dress() {
        let table = [
            ("sip:192.0.2.1:5061;lr", false, "192.0.2.1", 5061, true),
            ("SIP:bob@example.com", true, "example.com", 5060, false),
            (
                "sip:bob;day=tue?x@[2001:db8::1]:5070;transport=udp;LR?subject=y",
                true,
                "[2001:db8::1]",
                5070,
                true,
            ),
            ("sip:example.com?lr=1", false, "example.com", 5060, false),
            ("sip:u:p@h.example.com:5080;lr=on", true, "h.example.com", 5080, true),
        ];
        for (text, has_user, host, port, loose) in table {
            let uri = RawUri::read(text).unwrap();
            assert_eq!(
                (uri.is_sip(), uri.has_user, uri.host, uri.port, uri.is_loose_router()),
                (true, has_user, host, port, loose),
                "{text}"
            );
        }
        for text in ["", "sip", "sip:", "sip:bob@", "sip:h:port", "sip:[::1"] {
            assert_eq!(RawUri::read(text), None, "{text}");
        }
        assert!(!RawUri::read("tel:+15550100").unwrap().is_sip());
    }

    #[test]
    fn the_uri_of_an_address() {
        let table = [
            ("<sip:a;x=1>;p", "sip:a;x=1"),
            (r#""Bob \" <x>" <sip:b;lr>"#, "sip:b;lr"),
            ("sip:c;tag=1", "sip:c"),
            ("<sip:unclosed", "sip:unclosed"),
            ("", ""),
        ];
        for (value, uri) in table {
            assert_eq!(uri_of(value), uri, "{value}");
        }
    }

    #[test]
    fn a_via_is_stamped_with_where_it_came_from() {
        let table = [
            ("SIP/2.0/UDP 192.0.2.1:5061;branch=a", "192.0.2.1:9", None),
            (
                "SIP/2.0/UDP 10.0.0.1;branch=a",
                "192.0.2.1:9",
                Some("SIP/2.0/UDP 10.0.0.1;branch=a;received=192.0.2.1"),
            ),
            ("SIP/2.0/UDP pc;branch=a", "192.0.2.1:9", Some("SIP/2.0/UDP pc;branch=a;received=192.0.2.1")),
            (
                "SIP/2.0/UDP 192.0.2.1;rport;branch=a",
                "192.0.2.1:9",
                Some("SIP/2.0/UDP 192.0.2.1;rport=9;branch=a;received=192.0.2.1"),
            ),
            (
                "SIP/2.0/UDP 10.0.0.1;received=203.0.113.5;rport=1;branch=a",
                "192.0.2.1:9",
                Some("SIP/2.0/UDP 10.0.0.1;rport=9;branch=a;received=192.0.2.1"),
            ),
            ("SIP/2.0/UDP 192.0.2.1;received=203.0.113.5", "192.0.2.1:9", Some("SIP/2.0/UDP 192.0.2.1")),
            ("SIP/2.0/UDP [2001:db8::1]:7;branch=a", "[2001:db8::1]:7", None),
            ("SIP/2.0/UDP [2001:DB8:0::1]", "[2001:db8::1]:7", None),
            ("SIP/2.0/UDP h", "[2001:db8::1]:7", Some("SIP/2.0/UDP h;received=2001:db8::1")),
        ];
        for (value, source, expected) in table {
            let stamped = RawVia::read(value).unwrap().stamped(value, source.parse().unwrap());
            assert_eq!(stamped.as_deref(), expected, "{value} from {source}");
        }
    }

    proptest::proptest! {
        #[test]
        fn reading_anything_is_safe(text in ".{0,60}") {
            let source = SocketAddr::from(([192, 0, 2, 1], 5060));
            let _ = RawVia::read(&text).map(|via| (via.branch(), via.response_addr(), via.stamped(&text, source)));
            let _ = RawUri::read(&text).map(|uri| uri.is_loose_router());
            let _ = uri_of(&text);
        }
    }
}

//! The answer to a request that cannot be taken: 400, 505 and the like, without a transaction.

use std::hash::Hasher;
use std::net::SocketAddr;

use bytes::Bytes;

use super::edit::replace_top_via;
use super::error::ParseError;
use super::header::HeaderName;
use super::headers::Text;
use super::raw::Raw;
use super::via::Via;

impl ParseError {
    /// The response to the request in `datagram`, as octets; `None` for a response, an ACK, and a request without
    /// the headers a response must repeat.
    ///
    /// Stateless (RFC 3261 §8.2.7): the same datagram always gets the same To tag. To be sent to the source of the
    /// datagram; [`reply_from`](ParseError::reply_from) also knows the port.
    pub fn reply(&self, datagram: &Bytes) -> Option<Bytes> {
        let status = self.status?;
        let start = datagram.iter().position(|octet| !matches!(octet, b'\r' | b'\n'))?;
        let raw = Raw::index(datagram.slice(start..));
        // RFC 3261 §8.2.6, §17: an ACK is never answered.
        let method = raw.str(raw.start_line).split(' ').next()?;
        if method == "ACK" || method.is_empty() {
            return None;
        }
        let mut reply = Text::default();
        // RFC 3261 §21.4.1: the phrase names the fault.
        reply.push(format_args!("SIP/2.0 {status} {}", self.what));
        reply.0.extend_from_slice(b"\r\n");
        for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq]
        {
            let repeated = if name == HeaderName::Via { usize::MAX } else { 1 };
            let mut values = raw.lines_of(&name).take(repeated).peekable();
            values.peek()?;
            for (_, line) in values {
                reply.push(&name);
                reply.0.extend_from_slice(b": ");
                reply.0.extend_from_slice(&raw.wire[line.value.range()]);
                if name == HeaderName::To && raw.key.to_tag.is_empty() {
                    let separator = if reply.0.last() == Some(&b';') { "" } else { ";" };
                    reply.push(format_args!("{separator}tag={:016x}", fingerprint(datagram)));
                }
                reply.0.extend_from_slice(b"\r\n");
            }
        }
        reply.0.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        Some(reply.0.into())
    }

    /// The response as [`reply`](ParseError::reply) has it, its top Via completed, and where it goes.
    ///
    /// It never leaves the address the datagram came from, whatever that says: no one is hit by a stranger's fault.
    pub fn reply_from(&self, datagram: &Bytes, source: SocketAddr) -> Option<(Bytes, SocketAddr)> {
        let reply = self.reply(datagram)?;
        let raw = Raw::index(reply.clone());
        // RFC 3261 §18.2.2, RFC 3581 §4: the port of rport, else of sent-by; without a Via that can be read, the source.
        let Ok(mut via) = Via::parse(raw.str(raw.key.via)) else { return Some((reply, source)) };
        let wanted = via.wants_rport();
        let reply = if via.mark_received(source) { replace_top_via(&raw, &via) } else { reply };
        let port = if wanted { source.port() } else { via.port_or_default() };
        Some((reply, SocketAddr::new(source.ip(), port)))
    }
}

/// The same for the same octets, in every process.
fn fingerprint(octets: &[u8]) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(octets);
    hasher.finish()
}

/// FNV-1a.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.0 = (self.0 ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

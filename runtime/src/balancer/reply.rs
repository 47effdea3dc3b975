//! The proxy's own answers: made of the request alone, so a retransmission gets the same one (RFC 3261 §8.2.7).

use std::net::SocketAddr;

use holdline_sip::wire::{HeaderName, Method, Request, Response, StatusCode};

use super::effect::{Dropped, Effect};
use super::raw::RawVia;
use crate::routing::{TagKey, push_base32};

/// When a caller may try again that found no node: a cluster forms, or fails over, in about a second.
const RETRY_AFTER_SECS: u32 = 2;

/// 40 bits, five to a character, behind a mark.
const TAG_CHARS: usize = 8;

/// What answering a request takes.
#[derive(Clone, Copy)]
pub(super) struct Reply<'m> {
    pub(super) tags: &'m TagKey,
    pub(super) request: &'m Request,
    /// The request's top Via.
    pub(super) via: RawVia<'m>,
    pub(super) source: SocketAddr,
}

impl Reply<'_> {
    /// Answers with `status`, except to an ACK, which is never answered (RFC 3261 §8.2.6.2, §16.3).
    pub(super) fn refuse(&self, status: StatusCode) -> Effect {
        if *self.request.method() == Method::Ack {
            return Effect::Drop(Dropped::AckUnroutable);
        }
        let request = self.request.with_top_via_received(self.source);
        let mut response = Response::builder(status, &request).to_tag(&self.tag());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response = response.header(HeaderName::RetryAfter, RETRY_AFTER_SECS);
        }
        if status == StatusCode::BAD_EXTENSION {
            // RFC 3261 §16.3 item 5.
            let unsupported = self.request.values(HeaderName::ProxyRequire).collect::<Vec<_>>().join(", ");
            response = response.header(HeaderName::Unsupported, unsupported);
        }
        Effect::Transmit { to: self.destination(), bytes: response.build().as_bytes().clone() }
    }

    /// Whether the request acknowledges an answer of this proxy.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.request.to_tag().is_some_and(|tag| tag == self.tag())
    }

    /// RFC 3261 §18.2.2, RFC 3581 §4: to where it came from; at the port of the Via unless it asks for the source's.
    fn destination(&self) -> SocketAddr {
        match self.via.param("rport") {
            Some(_) => self.source,
            None => SocketAddr::new(self.source.ip(), self.via.port()),
        }
    }

    /// RFC 3261 §8.2.7: a To tag that is the same for a retransmission, and that the ACK brings back.
    fn tag(&self) -> String {
        let parts =
            [self.request.call_id().as_bytes(), self.request.from_tag().unwrap_or_default().as_bytes()];
        let mut tag = String::from("lb-");
        push_base32::<TAG_CHARS>(&mut tag, (self.tags.branch_hash(&parts) >> (64 - 5 * TAG_CHARS)).into());
        tag
    }
}

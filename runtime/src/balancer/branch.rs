//! The branch of the Via that a stateless proxy adds: a keyed hash of what it received, so every retransmission gets the same.

use std::net::SocketAddr;

use holdline_sip::wire::{BRANCH_COOKIE, Request, Response};

use super::raw::RawVia;
use crate::routing::{BALANCER_MARK, TagKey, base32, push_base32};

/// 64 bits, five to a character.
const HASH_CHARS: usize = 13;

/// Makes our Via lines, and knows its own again in a response.
#[derive(Debug)]
pub(super) struct BranchMaker {
    tags: TagKey,
    me: SocketAddr,
    /// `SIP/2.0/UDP host:port;branch=z9hG4bKlb`.
    via: String,
}

/// What a message has that stays the same in its retransmissions, its CANCEL, its ACK and its responses.
pub(super) struct Identity<'a> {
    pub(super) via: RawVia<'a>,
    pub(super) call_id: &'a str,
    pub(super) from_tag: Option<&'a str>,
    pub(super) cseq: u32,
}

impl<'m> Identity<'m> {
    /// Of a request whose top Via is `via`.
    pub(super) fn of_request(request: &'m Request, via: RawVia<'m>) -> Self {
        Self { via, call_id: request.call_id(), from_tag: request.from_tag(), cseq: request.cseq().number }
    }

    /// Of the request that a response answers; `via` is the one below ours.
    pub(super) fn of_response(response: &'m Response, via: RawVia<'m>) -> Self {
        Self { via, call_id: response.call_id(), from_tag: response.from_tag(), cseq: response.cseq().number }
    }
}

impl BranchMaker {
    pub(super) fn new(me: SocketAddr, tags: TagKey) -> Self {
        Self { tags, me, via: format!("SIP/2.0/UDP {me};branch={BRANCH_COOKIE}{BALANCER_MARK}") }
    }

    /// Our Via for a request with this identity.
    pub(super) fn via(&self, identity: &Identity<'_>) -> String {
        let mut via = String::with_capacity(self.via.len() + HASH_CHARS);
        via.push_str(&self.via);
        push_base32::<HASH_CHARS>(&mut via, self.hash(identity).into());
        via
    }

    /// Whether `ours` is the Via this proxy adds to the request that `next`, the Via below it, belongs to.
    ///
    /// So nobody gets a response passed on, to an address of his choice, that does not answer a request we passed on.
    pub(super) fn is_ours(&self, ours: &RawVia<'_>, next: &Identity<'_>) -> bool {
        if ours.addr() != Some(self.me) {
            return false;
        }
        let branch =
            ours.branch().and_then(|branch| branch.strip_prefix(BRANCH_COOKIE)?.strip_prefix(BALANCER_MARK));
        branch.is_some_and(|hash| hash.as_bytes() == base32::<HASH_CHARS>(self.hash(next).into()))
    }

    /// RFC 3261 §16.11: by the received branch when it has the magic cookie, else by what RFC 2543 matched on. The sent-by
    /// is hashed too, for two clients may use one branch; the To tag is not, for an ACK has one and its INVITE had not.
    fn hash(&self, identity: &Identity<'_>) -> u64 {
        let branch = identity.via.branch().unwrap_or_default();
        let sent_by = identity.via.sent_by.as_bytes();
        if branch.get(..BRANCH_COOKIE.len()).is_some_and(|cookie| cookie.eq_ignore_ascii_case(BRANCH_COOKIE))
        {
            return self.tags.branch_hash(&[branch.as_bytes(), sent_by]);
        }
        let from_tag = identity.from_tag.unwrap_or_default().as_bytes();
        let (call_id, cseq) = (identity.call_id.as_bytes(), identity.cseq.to_be_bytes());
        self.tags.branch_hash(&[branch.as_bytes(), sent_by, call_id, from_tag, &cseq])
    }
}

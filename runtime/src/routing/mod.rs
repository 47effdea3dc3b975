//! Which shard a message belongs to, by the tags and the Call-ID it carries: the same answer on every node and balancer.

mod base32;
mod branch;
mod siphash;
mod tag;

use holdline_cluster::id::{Key, Shard};
use holdline_sip::wire::Peek;

pub(crate) use base32::{encode as base32, push as push_base32};
pub(crate) use branch::{BALANCER_MARK, is_of_balancer};
pub use tag::{TAG_CHARS, TagKey};

/// How a message finds its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteBy {
    /// By a tag of ours: the dialog with this key.
    Tag(Key),
    /// No tag of ours: by the placement its Call-ID hashes to.
    CallId(u16),
}

impl RouteBy {
    /// The shard the message belongs to.
    pub fn shard(self) -> Shard {
        match self {
            Self::Tag(key) => key.shard(),
            Self::CallId(placement) => Key { placement, id: 0 }.shard(),
        }
    }
}

/// Says where a message that reached the cluster belongs.
///
/// The tag to look at is the one its receiver gave: To in a request, From in a response (RFC 3261 §12.2.1.1, §8.1.3.3).
/// INVITE, its retransmissions and its CANCEL carry no tag of ours yet, but one Call-ID.
pub fn route_key(message: &Peek<'_>, tags: &TagKey) -> RouteBy {
    let tag = if message.is_request { message.to_tag } else { message.from_tag };
    match tag.and_then(|tag| tags.parse(tag)) {
        Some(key) => RouteBy::Tag(key),
        None => RouteBy::CallId(tags.placement_of_call_id(message.call_id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { placement: 0x8000, id: 3 };

    fn message<'a>(is_request: bool, from_tag: Option<&'a str>, to_tag: Option<&'a str>) -> Peek<'a> {
        Peek { is_request, method: "BYE", call_id: "call", from_tag, to_tag, branch: None, cseq: 1 }
    }

    #[test]
    fn a_request_goes_by_to_and_a_response_by_from() {
        let tags = TagKey::new(&[1; 32]);
        let ours = tags.tag(KEY);
        let (ours, theirs, by_call_id) =
            (Some(ours.as_str()), Some("1928301774"), RouteBy::CallId(tags.placement_of_call_id("call")));
        let table = [
            (true, theirs, ours, RouteBy::Tag(KEY)),
            (true, ours, theirs, by_call_id),
            (true, theirs, None, by_call_id),
            (true, ours, None, by_call_id),
            (false, ours, theirs, RouteBy::Tag(KEY)),
            (false, theirs, ours, by_call_id),
            (false, None, None, by_call_id),
        ];
        for (is_request, from, to, expected) in table {
            let message = message(is_request, from, to);
            assert_eq!(
                route_key(&message, &tags),
                expected,
                "request: {is_request}, from {from:?}, to {to:?}"
            );
        }
    }

    #[test]
    fn the_shard_is_the_top_of_the_placement() {
        assert_eq!(RouteBy::Tag(KEY).shard(), Shard(2048));
        assert_eq!(RouteBy::CallId(0xffff).shard(), Shard(4095));
        assert_eq!(RouteBy::CallId(15).shard(), Shard(0));
    }
}

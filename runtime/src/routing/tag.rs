//! The tag codec: a dialog tag of ours names its placement, so any node or balancer finds the owner with no table.

use aws_lc_rs::hmac;
use holdline_cluster::id::Key;
use holdline_cluster::key::ClusterKey;
use holdline_sip::wire::BRANCH_COOKIE;

use super::base32;
use super::siphash::SipKey;

/// Characters in a tag of ours.
pub const TAG_CHARS: usize = 20;

/// The layout described at [`TagKey`]; a reader of version 1 takes a tag of another version for a foreign one.
const VERSION: u128 = 1;
const PLACEMENT_BITS: u32 = 16;
const ID_BITS: u32 = 62;
const MAC_BITS: u32 = 18;

/// What a Via branch of a node starts with, after RFC 3261's magic cookie.
const BRANCH_MARK: &str = "hl";
/// Placement (16 bits) and check value.
const BRANCH_PLACEMENT_CHARS: usize = 8;
/// Enough that a branch of another cluster, which looks the same, is never taken for one of ours.
const BRANCH_CHECK_BITS: u32 = 24;

/// The cluster's secret for tags: makes them, reads them and says where a Call-ID belongs.
///
/// A tag is 100 bits in base32: `version 4 | placement 16 | group 60 | leg 2 | MAC 18`, most significant first. RFC 3261
/// §19.3 asks for 32 random bits or more: the group has 60. The MAC stops outsiders from aiming at a shard of their
/// choice; a tag that fails it is nobody's of ours and is treated as any foreign tag.
///
/// ```
/// use holdline::routing::TagKey;
/// use holdline_cluster::id::Key;
///
/// let tags = TagKey::new(&[7; 32]);
/// let key = Key { placement: 0x1234, id: 99 };
/// let tag = tags.tag(key);
/// assert_eq!(tag.len(), 20);
/// assert_eq!(tags.parse(&tag), Some(key));
/// assert_eq!(TagKey::new(&[8; 32]).parse(&tag), None);
/// ```
#[derive(Clone)]
pub struct TagKey {
    mac: SipKey,
    call_id: SipKey,
    branch: SipKey,
}

impl TagKey {
    /// Derives the tag keys from 32 secret bytes; see [`of_cluster`](Self::of_cluster).
    pub fn new(cluster_key: &[u8; 32]) -> Self {
        Self {
            mac: derive(cluster_key, "holdline tag 1: mac"),
            call_id: derive(cluster_key, "holdline tag 1: call-id"),
            branch: derive(cluster_key, "holdline tag 1: branch"),
        }
    }

    /// The tag keys of a cluster; those of processes on loopback, which need no key, are no secret.
    pub fn of_cluster(key: Option<&ClusterKey>) -> Self {
        Self::new(&key.cloned().unwrap_or(ClusterKey::development()).derive(b"tags"))
    }

    /// The tag that carries `key`: 20 lower-case letters and digits.
    pub fn tag(&self, key: Key) -> String {
        debug_assert!(key.id >> ID_BITS == 0, "a key's id is 60 bits of group and 2 of leg");
        let id = u128::from(key.id) & ((1 << ID_BITS) - 1);
        let body = (VERSION << PLACEMENT_BITS | u128::from(key.placement)) << ID_BITS | id;
        let mut tag = String::with_capacity(TAG_CHARS);
        base32::push::<TAG_CHARS>(&mut tag, body << MAC_BITS | self.mac_of(body));
        tag
    }

    /// The key in a tag of ours; nothing for a tag that is foreign, of another version or forged.
    pub fn parse(&self, tag: &str) -> Option<Key> {
        let (body, mac) = unsealed(tag)?;
        (self.mac_of(body) == mac).then_some(key_of(body))
    }

    /// The same for a tag that was parsed on its way here: the check, which is most of the work, is not made again.
    pub(crate) fn reread(&self, tag: &str) -> Option<Key> {
        unsealed(tag).map(|(body, _)| key_of(body))
    }

    /// Where a call that carries no tag of ours yet belongs; the same on every node and balancer with this key.
    pub fn placement_of_call_id(&self, call_id: &str) -> u16 {
        (self.call_id.hash(call_id.as_bytes()) >> 48) as u16
    }

    /// What a node's Via branches start with after `z9hG4bK`: a response then finds the shard's owner of its day, even
    /// when the node that sent the request is gone. RFC 3261 §8.1.1.7 leaves the rest of the branch to us.
    pub fn branch_prefix(&self, placement: u16) -> String {
        let mut prefix = String::with_capacity(BRANCH_MARK.len() + BRANCH_PLACEMENT_CHARS);
        prefix.push_str(BRANCH_MARK);
        let bits = u128::from(placement) << BRANCH_CHECK_BITS | self.branch_check(placement);
        base32::push::<BRANCH_PLACEMENT_CHARS>(&mut prefix, bits);
        prefix
    }

    /// The placement in a Via branch that starts with [`branch_prefix`](Self::branch_prefix).
    pub fn placement_of_branch(&self, branch: &str) -> Option<u16> {
        let rest = strip_ignoring_case(strip_ignoring_case(branch, BRANCH_COOKIE)?, BRANCH_MARK)?;
        let bits = base32::decode(rest.as_bytes().get(..BRANCH_PLACEMENT_CHARS)?)?;
        let placement = (bits >> BRANCH_CHECK_BITS) as u16;
        (bits & ((1 << BRANCH_CHECK_BITS) - 1) == self.branch_check(placement)).then_some(placement)
    }

    /// 64 bits that only the cluster can compute from `parts`; a stateless proxy makes its Via branches of them.
    pub(crate) fn branch_hash(&self, parts: &[&[u8]]) -> u64 {
        self.branch.hash_parts(parts)
    }

    fn mac_of(&self, body: u128) -> u128 {
        u128::from(self.mac.hash(&body.to_be_bytes()) >> (u64::BITS - MAC_BITS))
    }

    fn branch_check(&self, placement: u16) -> u128 {
        u128::from(self.branch.hash(&placement.to_be_bytes()) >> (u64::BITS - BRANCH_CHECK_BITS))
    }
}

impl std::fmt::Debug for TagKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TagKey(secret)")
    }
}

/// What a tag of our version and length says, and the MAC it carries.
fn unsealed(tag: &str) -> Option<(u128, u128)> {
    if tag.len() != TAG_CHARS {
        return None;
    }
    let bits = base32::decode(tag.as_bytes())?;
    let (body, mac) = (bits >> MAC_BITS, bits & ((1 << MAC_BITS) - 1));
    (body >> (PLACEMENT_BITS + ID_BITS) == VERSION).then_some((body, mac))
}

fn key_of(body: u128) -> Key {
    Key { placement: (body >> ID_BITS) as u16, id: (body & ((1 << ID_BITS) - 1)) as u64 }
}

/// One key per purpose: HMAC-SHA256 of the purpose under the cluster key, truncated.
fn derive(cluster_key: &[u8; 32], purpose: &str) -> SipKey {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, cluster_key), purpose.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&derived.as_ref()[..16]);
    SipKey::new(key)
}

fn strip_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags() -> TagKey {
        TagKey::new(&[1; 32])
    }

    /// The wire format is a contract between releases: these must never change for version 1.
    #[test]
    fn golden_tags_branches_and_placements() {
        let key = Key { placement: 0xbeef, id: 0x0123_4567_89ab_cdef };
        assert_eq!(tags().tag(key), "dpxpasgrlhrgv4332hwc");
        assert_eq!(tags().branch_prefix(0xbeef), "hlx3xr7jsa");
        assert_eq!(tags().placement_of_call_id("a84b4c76e66710@pc33.example.com"), 28_754);
    }

    #[test]
    fn another_version_is_a_foreign_tag() {
        let tags = tags();
        for version in (0..16u128).filter(|version| *version != VERSION) {
            let body = version << (PLACEMENT_BITS + ID_BITS) | 5;
            let text = base32::encode::<TAG_CHARS>(body << MAC_BITS | tags.mac_of(body));
            assert_eq!(tags.parse(std::str::from_utf8(&text).unwrap()), None, "version {version}");
        }
    }

    #[test]
    fn tags_of_others_are_foreign() {
        for tag in
            ["", "1928301774", "as7d6f8a76sdf", "aaaaaaaaaaaaaaaaaaaa", "ääääääääää", "0123456789012345678x"]
        {
            assert_eq!(tags().parse(tag), None, "{tag}");
        }
    }

    #[test]
    fn branches_of_others_carry_no_placement() {
        for branch in [
            "",
            "z9hG4bK",
            "z9hG4bKhl",
            "z9hG4bKhlab",
            "z9hG4bK776asdhds",
            "hlaaaa",
            "z9hG4bKhl0000",
            "ä9hG4bK",
        ] {
            assert_eq!(tags().placement_of_branch(branch), None, "{branch}");
        }
    }

    /// A MAC of 18 bits lets one in 262,144 pass by chance; of these 2,000 fixed ones none does.
    #[test]
    fn another_cluster_reads_none_of_our_tags() {
        let other = TagKey::new(&[2; 32]);
        for i in 0..2_000u64 {
            let key = Key { placement: (i * 37) as u16, id: i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2 };
            assert_eq!(other.parse(&tags().tag(key)), None, "{key:?}");
        }
    }

    /// A peer may be a Holdline node too, with a key of its own: its branches start like ours.
    #[test]
    fn another_cluster_reads_none_of_our_branches() {
        let other = TagKey::new(&[2; 32]);
        for placement in 0..=u16::MAX {
            let branch = format!("z9hG4bK{}", tags().branch_prefix(placement));
            assert_eq!(other.placement_of_branch(&branch), None, "{placement}");
        }
    }

    proptest! {
        #[test]
        fn a_tag_reads_back_in_any_case(placement: u16, id in 0u64..1 << 62, upper: bool) {
            let key = Key { placement, id };
            let tag = tags().tag(key);
            prop_assert_eq!(tag.len(), TAG_CHARS);
            let tag = if upper { tag.to_ascii_uppercase() } else { tag };
            prop_assert_eq!(tags().parse(&tag), Some(key));
        }

        #[test]
        fn a_changed_character_breaks_the_mac(placement: u16, id in 0u64..1 << 62, at in 0..TAG_CHARS, by in 1u8..32) {
            let mut tag = tags().tag(Key { placement, id }).into_bytes();
            let value = base32::decode(&tag[at..=at]).unwrap();
            tag[at] = base32::encode::<1>(value ^ u128::from(by))[0];
            let tag = String::from_utf8(tag).unwrap();
            // A forger's chance is 2^-18 a try: what parses must at least not be a key he chose freely.
            prop_assert_ne!(tags().parse(&tag), Some(Key { placement, id }));
        }

        #[test]
        fn parsing_anything_is_safe(text in ".{0,40}") {
            let _ = tags().parse(&text);
            let _ = tags().placement_of_branch(&text);
        }

        #[test]
        fn a_branch_carries_its_placement(placement: u16, rest in "[a-z0-9]{0,20}") {
            let branch = format!("z9hG4bK{}{rest}", tags().branch_prefix(placement));
            prop_assert_eq!(tags().placement_of_branch(&branch), Some(placement));
        }
    }
}

//! How a message finds its transaction: RFC 3261 §17.1.3 and §17.2.3, with the fallback for RFC 2543 branches.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};

use memchr::memchr2;

use crate::wire::{HeaderName, Method, Request};

/// What identifies a transaction, as a 128-bit hash under a secret seed: small, copied and compared in one go. Two live
/// ones do not meet by chance, so the text it was made of is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u128);

impl Key {
    /// A number that is the same for retransmissions of one request, for tags that need no memory.
    pub(super) fn low_bits(self) -> u64 {
        self.0 as u64
    }
}

/// Transactions by key. The key is a hash already, so the map takes 64 bits of it as they are.
pub(super) type Index<V> = HashMap<Key, V, BuildHasherDefault<KeyBits>>;

#[derive(Default)]
pub(super) struct KeyBits(u64);

impl Hasher for KeyBits {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// Makes keys; owns the buffer they are put together in, so that making one allocates nothing.
pub(super) struct KeyMaker {
    seed: [u64; 2],
    text: Vec<u8>,
}

impl KeyMaker {
    pub(super) fn new(seed: [u64; 2]) -> Self {
        KeyMaker { seed, text: Vec::with_capacity(256) }
    }

    /// The key of the server transaction `request` belongs to, if its method were `method`: an ACK and a CANCEL
    /// look for the key of their INVITE.
    pub(super) fn server(&mut self, request: &Request, method: &Method) -> Key {
        self.text.clear();
        let branch = request.branch();
        if is_rfc3261(branch) {
            self.folded(std::iter::once(branch.as_bytes()));
            self.folded(words(sent_by(top_via(request)).as_bytes()));
        } else {
            self.rfc2543(request, method);
        }
        self.text.extend_from_slice(method.as_str().as_bytes());
        self.finish()
    }

    /// The key of a client transaction. Our branches are unique by themselves, so nothing else is needed (§17.1.3).
    pub(super) fn client(&mut self, branch: &str, method: &Method) -> Key {
        self.text.clear();
        self.folded(std::iter::once(branch.as_bytes()));
        self.text.extend_from_slice(method.as_str().as_bytes());
        self.finish()
    }

    // RFC 3261 §17.2.3, last part: what RFC 2543 compares. A re-INVITE differs by its CSeq, so that the To tag can
    // be left out for the INVITE, whose ACK has one where it has none.
    fn rfc2543(&mut self, request: &Request, method: &Method) {
        let cseq = request.cseq().number.to_be_bytes();
        let to_tag = if *method == Method::Invite { None } else { request.to_tag() };
        let parts = [
            request.uri(),
            request.from_tag().unwrap_or_default(),
            to_tag.unwrap_or_default(),
            request.call_id(),
            top_via(request),
        ];
        for part in parts {
            self.exact(part.as_bytes());
        }
        self.exact(&cseq);
    }

    fn exact(&mut self, part: &[u8]) {
        self.text.extend_from_slice(part);
        self.text.push(b'\n');
    }

    // RFC 3261 §7.3.1, §25.1: tokens and hosts compare without case, and blanks may stand around ":" and "/".
    fn folded<'a>(&mut self, words: impl Iterator<Item = &'a [u8]>) {
        let start = self.text.len();
        for word in words {
            self.text.extend_from_slice(word);
        }
        self.text[start..].make_ascii_lowercase();
        self.text.push(b'\n');
    }

    // SipHash for those who would choose what collides, and a second, quick hash against chance.
    fn finish(&self) -> Key {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed[0]);
        hasher.write(&self.text);
        Key(u128::from(hasher.finish()) << 64 | u128::from(folded_multiply(&self.text, self.seed[1])))
    }
}

/// Eight bytes at a time: multiplied to 128 bits, both halves kept.
fn folded_multiply(text: &[u8], seed: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(ODD);
        (product as u64) ^ (product >> 64) as u64
    };
    let (words, rest) = text.as_chunks::<8>();
    let hash = words.iter().fold(seed ^ ODD, |hash, word| fold(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(rest.len() as u64 + 1, |last, byte| last << 8 | u64::from(*byte));
    fold(fold(hash, last), text.len() as u64)
}

/// RFC 3261 §8.1.1.7: a branch that starts with the magic cookie is unique by itself.
pub(super) fn is_rfc3261(branch: &str) -> bool {
    const COOKIE: &str = "z9hG4bK";
    branch.len() > COOKIE.len()
        && branch.get(..COOKIE.len()).is_some_and(|start| start.eq_ignore_ascii_case(COOKIE))
}

/// Protocol and sent-by of a Via line: all before its first parameter.
fn sent_by(via: &str) -> &str {
    memchr2(b';', b',', via.as_bytes()).map_or(via, |end| &via[..end])
}

/// What stands between blanks; line ends of folds read as blanks already.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let blank = memchr2(b' ', b'\t', text);
        rest = blank.map(|at| &text[at + 1..]);
        Some(blank.map_or(text, |at| &text[..at]))
    })
}

fn top_via(request: &Request) -> &str {
    request.header(&HeaderName::Via).unwrap_or_default()
}

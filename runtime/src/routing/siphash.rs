//! SipHash-2-4: the keyed hash behind tags, Call-ID placement and Via branches, some 20 ns for a short input.
//!
//! The standard library's `DefaultHasher` promises no algorithm, and every node and balancer of a cluster must agree.

/// A SipHash-2-4 key (Aumasson and Bernstein, 2012). The output is a 64-bit PRF: a prefix of it is a MAC of that length.
#[derive(Clone)]
pub(crate) struct SipKey {
    k0: u64,
    k1: u64,
}

impl SipKey {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let (low, high) = key.split_at(8);
        Self { k0: little_endian(low), k1: little_endian(high) }
    }

    /// Hashes one byte string.
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        self.hash_parts(&[bytes])
    }

    /// Hashes several byte strings as one tuple: a part's end is hashed too, so `["ab", "c"]` is not `["a", "bc"]`.
    /// A single part is plain SipHash.
    pub(crate) fn hash_parts(&self, parts: &[&[u8]]) -> u64 {
        let mut state = State::new(self);
        let mut buffer = Buffer::default();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                // 0xff occurs in no UTF-8 text, so it is a separator no part can contain.
                buffer.write(&mut state, &[0xff]);
            }
            buffer.write(&mut state, part);
        }
        buffer.finish(state)
    }
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    fn new(key: &SipKey) -> Self {
        Self {
            v0: key.k0 ^ 0x736f_6d65_7073_6575,
            v1: key.k1 ^ 0x646f_7261_6e64_6f6d,
            v2: key.k0 ^ 0x6c79_6765_6e65_7261,
            v3: key.k1 ^ 0x7465_6462_7974_6573,
        }
    }

    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

/// The bytes that do not fill a word yet, and how many there were in all.
#[derive(Default)]
struct Buffer {
    word: u64,
    length: usize,
}

impl Buffer {
    fn write(&mut self, state: &mut State, mut bytes: &[u8]) {
        while !self.length.is_multiple_of(8) {
            let Some((first, rest)) = bytes.split_first() else { return };
            self.push(state, *first);
            bytes = rest;
        }
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            state.absorb(little_endian(word));
            self.length += 8;
        }
        for byte in words.remainder() {
            self.push(state, *byte);
        }
    }

    fn push(&mut self, state: &mut State, byte: u8) {
        self.word |= u64::from(byte) << (8 * (self.length % 8));
        self.length += 1;
        if self.length.is_multiple_of(8) {
            state.absorb(self.word);
            self.word = 0;
        }
    }

    fn finish(self, mut state: State) -> u64 {
        state.absorb(self.word | (self.length as u64) << 56);
        state.v2 ^= 0xff;
        for _ in 0..4 {
            state.round();
        }
        state.v0 ^ state.v1 ^ state.v2 ^ state.v3
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SipKey {
        SipKey::new(std::array::from_fn(|i| i as u8))
    }

    /// The vectors of the paper's reference implementation: key 00..0f, inputs 00, 00 01, 00 01 02 and so on.
    #[test]
    fn agrees_with_the_reference_vectors() {
        let message: Vec<u8> = (0..64).collect();
        let expected: [(usize, u64); 6] = [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (7, 0xab02_00f5_8b01_d137),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
            (63, 0x958a_324c_eb06_4572),
        ];
        for (length, hash) in expected {
            assert_eq!(key().hash(&message[..length]), hash, "{length} bytes");
        }
    }

    #[test]
    fn parts_are_a_tuple_not_a_concatenation() {
        let key = key();
        assert_ne!(key.hash_parts(&[b"ab", b"c"]), key.hash_parts(&[b"a", b"bc"]));
        assert_ne!(key.hash_parts(&[b"abc", b""]), key.hash_parts(&[b"abc"]));
        assert_eq!(key.hash_parts(&[b"0123456789", b"xyz"]), key.hash(b"0123456789\xffxyz"));
    }
}

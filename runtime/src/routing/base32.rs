//! Base32 with RFC 4648's alphabet in lower case: five bits a character, read without regard to case.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Character code → its five bits; 0xff is no character of the alphabet.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut i = 0;
    while i < 32 {
        values[ALPHABET[i] as usize] = i as u8;
        values[ALPHABET[i].to_ascii_uppercase() as usize] = i as u8;
        i += 1;
    }
    values
};

/// The low `5 * N` bits, most significant character first.
pub(crate) fn encode<const N: usize>(bits: u128) -> [u8; N] {
    std::array::from_fn(|i| ALPHABET[(bits >> (5 * (N - 1 - i)) & 31) as usize])
}

/// The bits of at most 25 characters, or nothing when one of them is not of the alphabet.
pub(crate) fn decode(text: &[u8]) -> Option<u128> {
    debug_assert!(text.len() <= 25);
    text.iter().try_fold(0u128, |bits, byte| match VALUES[*byte as usize] {
        0xff => None,
        value => Some(bits << 5 | u128::from(value)),
    })
}

/// [`encode`], appended to a string.
pub(crate) fn push<const N: usize>(text: &mut String, bits: u128) {
    text.extend(encode::<N>(bits).map(char::from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_reads_back_in_both_cases() {
        for (value, character) in (0u128..).zip(ALPHABET) {
            assert_eq!(encode::<1>(value), [*character]);
            assert_eq!(decode(&[*character]), Some(value));
            assert_eq!(decode(&[character.to_ascii_uppercase()]), Some(value));
        }
        for other in [b'0', b'1', b'8', b'9', b'-', b'=', 0, 0xff] {
            assert_eq!(decode(&[b'a', other]), None);
        }
    }
}

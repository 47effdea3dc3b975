//! The lexical ground: tokens, linear white space, quoted strings, comma lists.

/// Whether every octet may stand in a token, and there is one (RFC 3261 §25.1).
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&octet| is_token_octet(octet))
}

/// Whether the octet may stand in a token.
pub(crate) const fn is_token_octet(octet: u8) -> bool {
    TOKEN[octet as usize]
}

/// A set of octets; asking is one look-up.
pub(crate) type Octets = [bool; 256];

const TOKEN: Octets = alphanumeric_and(b"-.!%*_+`'~");

/// Letters, digits and these.
pub(crate) const fn alphanumeric_and(marks: &[u8]) -> Octets {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = (octet as u8).is_ascii_alphanumeric();
        octet += 1;
    }
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
}

/// Everything but controls, blanks and these; octets beyond ASCII are in.
pub(crate) const fn visible_without(marks: &[u8]) -> Octets {
    let mut table = [true; 256];
    let mut octet = 0;
    while octet <= b' ' as usize {
        table[octet] = false;
        octet += 1;
    }
    table[0x7f] = false;
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = false;
        at += 1;
    }
    table
}

/// The first octet from `at` on that is not in the set, or the end.
pub(crate) fn skip(text: &[u8], at: usize, set: &Octets) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&octet| set[octet as usize]).count()
}

/// The first octet from `at` on that is no linear white space, or the end.
pub(crate) fn skip_lws(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && is_lws(text[at]) {
        at += 1;
    }
    at
}

/// Whether the octet is linear white space; line ends count, since they occur only in folds.
pub(crate) const fn is_lws(octet: u8) -> bool {
    // Nearly all octets are beyond the blank: one comparison says no.
    octet <= b' ' && matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// The text without linear white space at both ends.
#[inline]
pub(crate) fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [] => text,
        // Mostly there is none.
        [first, .., last] if !is_lws(*first) && !is_lws(*last) => text,
        octets => trim_octets(text, octets),
    }
}

fn trim_octets<'a>(text: &'a str, octets: &[u8]) -> &'a str {
    let (mut start, mut end) = (0, octets.len());
    while start < end && is_lws(octets[start]) {
        start += 1;
    }
    while end > start && is_lws(octets[end - 1]) {
        end -= 1;
    }
    &text[start..end]
}

/// The octet after the closing quote of the quoted string that opens at `open`; `None` if it never closes.
pub(crate) fn quoted_end(text: &[u8], open: usize) -> Option<usize> {
    debug_assert_eq!(text.get(open), Some(&b'"'));
    let mut at = open + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The first of `stops` outside quoted strings and angle brackets, from `from` on.
///
/// An unclosed quote or bracket hides the rest: its value will not parse, and nothing behind it may be misread.
pub(crate) fn find_bare(text: &[u8], from: usize, stop: u8) -> Option<usize> {
    let mut at = from;
    while let Some(&octet) = text.get(at) {
        at = match octet {
            b'"' => quoted_end(text, at)?,
            b'<' => at + memchr::memchr(b'>', &text[at..])? + 1,
            _ if octet == stop => return Some(at),
            _ => at + 1,
        };
    }
    None
}

/// The values of a comma-joined header line, trimmed; empty ones are left out (RFC 3261 §7.3.1).
pub(crate) fn split_list(text: &str) -> Values<'_> {
    Values { rest: text }
}

/// Iterator of [`split_list`].
#[derive(Clone, Debug)]
pub(crate) struct Values<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let octets = self.rest.as_bytes();
            // Most lines have no comma at all.
            let comma = memchr::memchr(b',', octets).and_then(|_| find_bare(octets, 0, b','));
            let comma = comma.unwrap_or(self.rest.len());
            let value = trim(&self.rest[..comma]);
            self.rest = self.rest.get(comma + 1..).unwrap_or_default();
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

/// The content of a quoted string, quotes already taken off, with its escapes resolved.
pub(crate) fn unescape(content: &str) -> String {
    let mut plain = String::with_capacity(content.len());
    let mut chars = content.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next().unwrap_or('\\') } else { char });
    }
    plain
}

/// Whether `text` is a decimal number, as a number; leading zeros are fine (RFC 4475 §3.1.1.1).
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

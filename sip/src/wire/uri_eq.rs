//! When two URIs mean the same: the comparison of RFC 3261 §19.1.4.

use std::borrow::Cow;

use super::uri::{Scheme, Uri};

/// Whether both mean the same resource.
pub(crate) fn equivalent(ours: &Uri, theirs: &Uri) -> bool {
    if ours.scheme != theirs.scheme || ours.port != theirs.port {
        return false;
    }
    if !ours.is_sip() {
        return match ours.scheme {
            Scheme::Tel => tel_number(ours) == tel_number(theirs) && params_equivalent(ours, theirs),
            _ => ours == theirs,
        };
    }
    same(ours.user.as_deref(), theirs.user.as_deref())
        && same(ours.password.as_deref(), theirs.password.as_deref())
        && ours.host.equivalent(&theirs.host)
        && params_equivalent(ours, theirs)
        && headers_equivalent(ours, theirs)
}

/// User parts compare with case, escapes of unreserved octets are resolved first.
fn same(ours: Option<&str>, theirs: Option<&str>) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => resolve(ours) == resolve(theirs),
        (ours, theirs) => ours == theirs,
    }
}

/// Parameters in both must match; some must be in both or in neither, the rest may be in one.
fn params_equivalent(ours: &Uri, theirs: &Uri) -> bool {
    const BOTH_OR_NEITHER: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    let agree = |left: &Uri, right: &Uri| {
        left.params.iter().all(|(name, value)| match right.params.get(name) {
            Some(other) => resolve(value.unwrap_or_default()).eq_ignore_ascii_case(&resolve(other)),
            None => !BOTH_OR_NEITHER.iter().any(|must| must.eq_ignore_ascii_case(name)),
        })
    };
    agree(ours, theirs) && agree(theirs, ours)
}

/// Headers are never ignored, their order is.
fn headers_equivalent(ours: &Uri, theirs: &Uri) -> bool {
    let sorted = |uri: &Uri| {
        let mut headers: Vec<(String, String)> = uri
            .headers
            .as_deref()
            .unwrap_or_default()
            .split('&')
            .filter(|header| !header.is_empty())
            .map(|header| header.split_once('=').unwrap_or((header, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), resolve(value).into_owned()))
            .collect();
        headers.sort();
        headers
    };
    sorted(ours) == sorted(theirs)
}

/// A number without its visual separators (RFC 3966 §4).
fn tel_number(uri: &Uri) -> String {
    uri.user.iter().flat_map(|number| number.chars()).filter(|char| !"-.()".contains(*char)).collect()
}

/// Resolves the escapes of octets that need none, and spells the others alike.
fn resolve(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(octet) if octet.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&octet) => {
                plain.push(char::from(octet));
            }
            Some(octet) => plain.push_str(&format!("%{octet:02X}")),
            None => {
                plain.push('%');
                rest = &rest[at + 1..];
                continue;
            }
        }
        rest = &rest[at + 3..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

//! The cluster key: one 32-byte secret, and the independent secrets derived from it.
//!
//! Who holds the key can be any node. Everything that must agree between nodes (the certificate authority of the
//! links, the sealing of gossip, the cookie of `ractor_cluster`) is derived with HKDF, each under its own label.

use std::fmt;
use std::path::Path;

use aws_lc_rs::hkdf;

/// Length of the cluster key in bytes.
const KEY_LEN: usize = 32;

/// The key that nodes on loopback share when none is configured; it protects nothing.
const DEVELOPMENT: [u8; KEY_LEN] = *b"holdline development key, public";

/// A cluster's shared secret.
///
/// ```
/// use holdline_cluster::key::ClusterKey;
///
/// let hex: ClusterKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff".parse()?;
/// let base64: ClusterKey = "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=".parse()?;
/// assert_eq!(hex.fingerprint(), base64.fingerprint());
/// # Ok::<(), holdline_cluster::key::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; KEY_LEN]);

impl ClusterKey {
    /// The key made of exactly these bytes.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The well-known key of clusters that live on loopback only: no secret, but the same code path.
    pub const fn development() -> Self {
        Self(DEVELOPMENT)
    }

    /// Reads a key file: 64 hex digits, base64 text of 32 bytes, or 32 raw bytes.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let content = std::fs::read(path)
            .map_err(|error| KeyError::Read { path: path.display().to_string(), error: error.to_string() })?;
        if let Ok(raw) = <[u8; KEY_LEN]>::try_from(content.as_slice()) {
            return Ok(Self(raw));
        }
        std::str::from_utf8(&content).map_err(|_| KeyError::Form { bytes: content.len() })?.parse()
    }

    /// The secret for one purpose: independent of those of all other labels.
    pub fn derive(&self, label: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"holdline/1")
            .extract(&self.0)
            .expand(&[label], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut out))
            .expect("32 bytes is a legal HKDF-SHA256 length");
        out
    }

    /// Eight hex digits that tell keys apart in logs and give nothing away.
    pub fn fingerprint(&self) -> String {
        hex(&self.derive(b"fingerprint")[..4])
    }
}

/// Never shows the secret.
impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterKey({})", self.fingerprint())
    }
}

impl std::str::FromStr for ClusterKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let decoded = if text.len() == 2 * KEY_LEN { from_hex(text) } else { from_base64(text) };
        let bytes = decoded.ok_or(KeyError::Form { bytes: text.len() })?;
        <[u8; KEY_LEN]>::try_from(bytes.as_slice())
            .map(Self)
            .map_err(|_| KeyError::Length { bytes: bytes.len() })
    }
}

/// Why a cluster key could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read.
    #[error("cannot read the cluster key file {path}: {error}")]
    Read {
        /// The file as it was given.
        path: String,
        /// What the system said.
        error: String,
    },
    /// Neither hex, nor base64, nor raw bytes.
    #[error(
        "a cluster key is 64 hex digits, base64 of 32 bytes or 32 raw bytes; this is none of them ({bytes} bytes)"
    )]
    Form {
        /// Length of what was given.
        bytes: usize,
    },
    /// Good base64, but not of 32 bytes.
    #[error("a cluster key has 32 bytes, this one has {bytes}")]
    Length {
        /// Length of what was decoded.
        bytes: usize,
    },
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// RFC 4648 §4 (also §5's alphabet), padding optional.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(sextet);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // Left-over bits must be padding zeros, else the text was cut off.
    (count < 6 && bits == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn raw() -> [u8; 32] {
        std::array::from_fn(|i| i as u8)
    }

    #[test]
    fn every_form_of_a_key_file_is_read() {
        let dir = std::env::temp_dir().join(format!("holdline-key-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("cluster.key");
        let forms: [&[u8]; 5] = [
            HEX.as_bytes(),
            &[HEX.to_uppercase().as_bytes(), b"\n"].concat(),
            &[BASE64.as_bytes(), b"\r\n"].concat(),
            BASE64.trim_end_matches('=').as_bytes(),
            &raw(),
        ];
        for form in forms {
            std::fs::write(&path, form).unwrap();
            assert_eq!(ClusterKey::from_file(&path), Ok(ClusterKey(raw())), "{form:?}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(matches!(ClusterKey::from_file(&path), Err(KeyError::Read { .. })));
    }

    #[test]
    fn bad_keys_say_what_is_wrong() {
        assert_eq!("".parse::<ClusterKey>(), Err(KeyError::Length { bytes: 0 }));
        assert_eq!("AAEC".parse::<ClusterKey>(), Err(KeyError::Length { bytes: 3 }));
        assert_eq!("not a key!".parse::<ClusterKey>(), Err(KeyError::Form { bytes: 10 }));
        assert_eq!(HEX.replace('0', "x").parse::<ClusterKey>(), Err(KeyError::Form { bytes: 64 }));
    }

    #[test]
    fn labels_and_keys_give_independent_secrets() {
        let (one, two) = (ClusterKey::development(), ClusterKey::from_bytes(raw()));
        assert_ne!(one.derive(b"a"), one.derive(b"b"));
        assert_ne!(one.derive(b"a"), two.derive(b"a"));
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert!(!format!("{two:?}").contains("0001"), "the secret must not reach a log");
    }
}

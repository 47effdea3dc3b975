//! Sealed datagrams: only holders of the cluster key can speak or read gossip.
//!
//! `version (1) | nonce (12) | ciphertext | tag (16)`, the version authenticated with the rest. A replayed datagram does no
//! harm: SWIM orders what it learns by boot, renewal and incarnation, and drops what is old.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use crate::key::ClusterKey;

/// Version of the gossip protocol, in the clear so that another version can be told from another key.
pub(super) const VERSION: u8 = 1;
const TAG_LEN: usize = 16;

/// Bytes that sealing adds to a payload.
pub(super) const OVERHEAD: usize = 1 + NONCE_LEN + TAG_LEN;

/// Seals and opens datagrams. AES-GCM-SIV, for the nonces are random: 500 nodes send 2^32 datagrams under one key in
/// days, and a repeated nonce must not give the key away.
pub(super) struct Sealer(RandomizedNonceKey);

/// Why a datagram was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsealed {
    /// Sealed with another key, damaged, or not ours at all.
    NotOurKey,
    /// Speaks another version of the protocol.
    Version(u8),
}

impl Sealer {
    pub(super) fn new(key: &ClusterKey) -> Self {
        let secret = key.derive(b"gossip");
        Self(
            RandomizedNonceKey::new(&AES_256_GCM_SIV, &secret)
                .expect("32 bytes is the key length of AES-256"),
        )
    }

    /// Writes the sealed `payload` to `out`; `false` when the system has no randomness.
    pub(super) fn seal(&self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let mut body = Vec::with_capacity(payload.len() + TAG_LEN);
        body.extend_from_slice(payload);
        let Ok(nonce) = self.0.seal_in_place_append_tag(Aad::from([VERSION]), &mut body) else {
            return false;
        };
        out.clear();
        out.push(VERSION);
        out.extend_from_slice(nonce.as_ref());
        out.append(&mut body);
        true
    }

    /// Opens a datagram in place.
    pub(super) fn open<'d>(&self, datagram: &'d mut [u8]) -> Result<&'d [u8], Unsealed> {
        if datagram.len() < OVERHEAD {
            return Err(Unsealed::NotOurKey);
        }
        let (head, body) = datagram.split_at_mut(1 + NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&head[1..]).map_err(|_| Unsealed::NotOurKey)?;
        match self.0.open_in_place(nonce, Aad::from([head[0]]), body) {
            Ok(payload) if head[0] == VERSION => Ok(payload),
            Ok(_) => Err(Unsealed::Version(head[0])),
            Err(_) => Err(Unsealed::NotOurKey),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0xff; 3];
        assert!(Sealer::new(&ClusterKey::development()).seal(payload, &mut out));
        assert_eq!(out.len(), payload.len() + OVERHEAD);
        out
    }

    fn open(mut datagram: Vec<u8>) -> Result<Vec<u8>, Unsealed> {
        Sealer::new(&ClusterKey::development()).open(&mut datagram).map(<[u8]>::to_vec)
    }

    #[test]
    fn what_is_sealed_opens_and_shows_nothing() {
        for payload in [&b""[..], b"x", &[7; 1_200]] {
            assert_eq!(open(sealed(payload)).unwrap(), payload);
        }
        assert_ne!(sealed(b"same"), sealed(b"same"), "nonces are fresh");
        assert!(!sealed(b"visible?").windows(8).any(|window| window == b"visible?"));
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let good = sealed(b"a gossip message");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(open(bad), Err(Unsealed::NotOurKey), "byte {at}");
            assert_eq!(open(good[..at].to_vec()), Err(Unsealed::NotOurKey), "cut at {at}");
        }
    }

    #[test]
    fn another_key_does_not_open_it() {
        let mut datagram = sealed(b"secret");
        let stranger = Sealer::new(&ClusterKey::from_bytes([9; 32]));
        assert_eq!(stranger.open(&mut datagram), Err(Unsealed::NotOurKey));
    }

    #[test]
    fn another_version_under_our_key_is_told_apart() {
        let sealer = Sealer::new(&ClusterKey::development());
        let mut body = b"from the future".to_vec();
        let nonce = sealer.0.seal_in_place_append_tag(Aad::from([2]), &mut body).unwrap();
        let datagram = [&[2][..], nonce.as_ref(), &body].concat();
        assert_eq!(open(datagram), Err(Unsealed::Version(2)));
    }
}

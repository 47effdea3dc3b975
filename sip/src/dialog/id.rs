//! The identity of a dialog: Call-ID and the two tags (RFC 3261 §12).

use std::fmt;
use std::str::FromStr;

/// Call-ID, our tag and the peer's tag; written `call-id;local=tag;remote=tag`.
///
/// ```
/// use holdline_sip::dialog::DialogId;
/// let id: DialogId = "a84b4c76e66710@pc33;local=314159;remote=1928301774".parse()?;
/// assert_eq!(id.local_tag, "314159");
/// assert_eq!(id.to_string(), "a84b4c76e66710@pc33;local=314159;remote=1928301774");
/// # Ok::<(), holdline_sip::dialog::InvalidDialogId>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialogId {
    /// The Call-ID, verbatim.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty while a UAC has none yet, or if the peer is from before RFC 3261.
    pub remote_tag: String,
}

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};local={};remote={}", self.call_id, self.local_tag, self.remote_tag)
    }
}

impl FromStr for DialogId {
    type Err = InvalidDialogId;

    /// Splits from the right: a Call-ID may hold any of the separators, a tag none.
    fn from_str(text: &str) -> Result<Self, InvalidDialogId> {
        let (rest, remote_tag) = text.rsplit_once(";remote=").ok_or(InvalidDialogId)?;
        let (call_id, local_tag) = rest.rsplit_once(";local=").ok_or(InvalidDialogId)?;
        if call_id.is_empty() || local_tag.is_empty() {
            return Err(InvalidDialogId);
        }
        Ok(Self { call_id: call_id.into(), local_tag: local_tag.into(), remote_tag: remote_tag.into() })
    }
}

/// The text is not `call-id;local=tag;remote=tag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a dialog id is written `call-id;local=tag;remote=tag`")]
pub struct InvalidDialogId;

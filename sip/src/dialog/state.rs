//! The states a dialog goes through, and which side of the INVITE we are.

use std::fmt;

/// Which side of the dialog's first INVITE we are; it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// We were called.
    Uas,
    /// We placed the call.
    Uac,
}

/// Where the dialog stands (RFC 3261 §12, with RFC 5407's "mortal" state as `Closing`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// INVITE received or sent, no response with a tag yet.
    Initial,
    /// A provisional response made an early dialog.
    Early,
    /// A 2xx was sent or received.
    Confirmed,
    /// Our BYE is out and not answered.
    Closing,
    /// Over; it only answers retransmissions.
    Terminated,
}

impl State {
    /// The INVITE that makes the dialog has no final response yet.
    pub fn is_unanswered(self) -> bool {
        matches!(self, Self::Initial | Self::Early)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Initial => "initial",
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Closing => "closing",
            Self::Terminated => "terminated",
        })
    }
}

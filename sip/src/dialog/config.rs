//! What a dialog is told from outside: the node's configuration, the call to place, a message body.

use bytes::Bytes;

use crate::transaction::Timers;
use crate::wire::HeaderName;

/// What all dialogs of one node have in common.
#[derive(Debug, Clone)]
pub struct Config {
    /// T1, T2 and T4 (RFC 3261 appendix A).
    pub timers: Timers,
    /// URI for our Contact, e.g. `sip:192.0.2.1:5060`.
    pub contact: String,
    /// Sent-by for our Via, `host` or `host:port`.
    pub via: String,
    /// User-Agent in requests and Server in responses; left out if empty.
    pub user_agent: String,
    /// Value for Allow.
    pub allow: String,
    /// Option tags we understand: the value for Supported, and what Require may ask for.
    pub supported: Vec<String>,
    /// How far our CSeq jumps ahead at a takeover, above all the lost node may have used.
    pub cseq_gap: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timers: Timers::default(),
            contact: "sip:127.0.0.1:5060".into(),
            via: "127.0.0.1:5060".into(),
            user_agent: String::new(),
            allow: "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO".into(),
            supported: Vec::new(),
            cseq_gap: 16,
        }
    }
}

/// A call to place as UAC.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Whom to call: Request-URI and To.
    pub to_uri: String,
    /// Who calls.
    pub from_uri: String,
    /// Display name for From; none if empty.
    pub from_display: String,
    /// The Call-ID, unique in space and time.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// Start of every branch of this dialog after the magic cookie, unique for it; our tag if empty.
    pub branch_prefix: String,
    /// Route values of a preloaded route set (RFC 3261 §8.1.1.1), in order, e.g. `<sip:proxy;lr>`.
    pub route_set: Vec<String>,
    /// The offer; without one the 2xx brings it and `ack` must carry the answer.
    pub body: Option<Body>,
    /// More headers for the INVITE.
    pub headers: Vec<(HeaderName, String)>,
}

/// A message body and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Value for Content-Type.
    pub content_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

impl Body {
    /// A session description, `application/sdp`.
    pub fn sdp(bytes: impl Into<Bytes>) -> Self {
        Self { content_type: "application/sdp".into(), bytes: bytes.into() }
    }
}

//! Why a verb was refused, and why an INVITE cannot become a dialog.

use super::State;
use crate::wire::{HeaderName, Request, Response, StatusCode};

/// A verb that was refused; the dialog is as it was before the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialogError {
    /// The state does not allow the verb.
    #[error("{verb} is not possible while {state}: {why}")]
    State {
        /// The verb.
        verb: &'static str,
        /// The state it met.
        state: State,
        /// What is in the way.
        why: &'static str,
    },
    /// The status is outside what the verb may send.
    #[error("{verb} cannot send status {status}")]
    Status {
        /// The verb.
        verb: &'static str,
        /// The status asked for.
        status: u16,
    },
    /// This method has a verb of its own.
    #[error("{method} cannot be sent as a plain in-dialog request")]
    Method {
        /// The method asked for.
        method: String,
    },
    /// No such request waits for an answer.
    #[error("that request is unknown or already answered")]
    NoSuchRequest,
    /// A URI of the call, its target or its route set cannot be read.
    #[error("not a usable URI: {0}")]
    Uri(String),
    /// A header value holds a line break.
    #[error("the value of header {0} holds a control character")]
    Header(String),
    /// The dialog used up its sequence numbers (RFC 3261 §8.1.1.5: below 2^31).
    #[error("the dialog has no sequence number left")]
    CSeqExhausted,
}

/// An INVITE that cannot become a dialog, and what it deserves instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Reject {
    /// Status of the refusal.
    pub status: StatusCode,
    /// Headers the status asks for, e.g. Unsupported with 420.
    pub headers: Vec<(HeaderName, String)>,
    /// The reason, for the log.
    pub why: &'static str,
}

impl Reject {
    pub(crate) fn new(status: StatusCode, why: &'static str) -> Self {
        Self { status, headers: Vec::new(), why }
    }

    /// The refusal as a response to `request`; `to_tag` is used if its To has none (RFC 3261 §8.2.6.2).
    pub fn response(&self, request: &Request, to_tag: &str) -> Response {
        let mut response = Response::builder(self.status, request).to_tag(to_tag);
        for (name, value) in &self.headers {
            response = response.header(name.clone(), value);
        }
        response.build()
    }
}

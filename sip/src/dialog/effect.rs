//! What a dialog asks its driver to do: messages to send, and events for the application.

use bytes::Bytes;

use crate::Flow;
use crate::transaction::ServerTransactionId;
use crate::wire::{Method, Request, Response, StatusCode, Uri};

/// One thing to do, in the order the dialog emitted it.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Answer a request through its server transaction.
    Respond {
        /// The server transaction of the request.
        tx: ServerTransactionId,
        /// The answer.
        response: Response,
    },
    /// Send these bytes back over `flow`, outside any transaction: a 2xx without its ACK (RFC 3261 §13.3.1.4), or
    /// an answer whose server transaction died with another node.
    Retransmit {
        /// The response as it was first sent.
        bytes: Bytes,
        /// Where its request came from.
        flow: Flow,
    },
    /// Start a client transaction; our Via with a unique branch is already on top.
    Send {
        /// The request.
        request: Request,
        /// Where it goes next (RFC 3261 §8.1.2).
        next_hop: Box<Uri>,
    },
    /// Send the ACK for a 2xx, which belongs to no transaction (RFC 3261 §13.2.2.4).
    Ack {
        /// The ACK.
        request: Request,
        /// Where it goes next.
        next_hop: Box<Uri>,
    },
    /// Cancel the INVITE client transaction with this branch (RFC 3261 §9.1).
    Cancel {
        /// Branch of the INVITE.
        branch: String,
    },
    /// Something the application may want to know or must answer.
    Event(Event),
}

/// What happened to the dialog, for the application.
#[derive(Debug, Clone)]
pub enum Event {
    /// UAS: a new call waits for `progress`, `answer`, `reject` or `redirect`.
    Invite,
    /// UAC: a provisional response other than 100 to our INVITE or re-INVITE.
    Provisional {
        /// The 1xx.
        response: Response,
    },
    /// UAC: our call was answered; when our INVITE had no body and the 2xx has one, `ack` must follow.
    Answered {
        /// The 2xx.
        response: Response,
    },
    /// UAC: our call was not answered; `None` when nothing came at all.
    Failed {
        /// The final response, if there was one.
        response: Option<Response>,
    },
    /// The call stands: its first ACK was seen (UAS) or sent (UAC).
    Established {
        /// The ACK; its body is the answer when the 2xx carried the offer.
        ack: Request,
    },
    /// The ACK of a later INVITE was seen or sent.
    Acked {
        /// The ACK.
        ack: Request,
    },
    /// The peer's re-INVITE waits for `answer` or `reject`.
    Reinvite {
        /// Its server transaction.
        tx: ServerTransactionId,
        /// The re-INVITE.
        request: Request,
    },
    /// Another in-dialog request waits for `respond`.
    Request {
        /// Its server transaction.
        tx: ServerTransactionId,
        /// The request.
        request: Request,
    },
    /// The peer cancelled its re-INVITE before it was answered; the dialog answered 487.
    RequestCancelled {
        /// Server transaction of the re-INVITE.
        tx: ServerTransactionId,
    },
    /// The final response to our re-INVITE or other in-dialog request.
    Response {
        /// The response.
        response: Response,
    },
    /// Our in-dialog request got no response: 408 nobody answered, 503 it could not be sent (RFC 3261 §8.1.3.1).
    RequestFailed {
        /// Method of the request.
        method: Method,
        /// Its CSeq number.
        cseq: u32,
        /// The status it counts as.
        status: StatusCode,
    },
    /// The dialog is over; always the last event.
    Ended(Ended),
}

/// Why a dialog is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The peer sent BYE.
    RemoteBye,
    /// We sent BYE and it was answered, or nobody is left to answer it.
    LocalBye,
    /// The INVITE was cancelled, by whichever side sent it.
    Cancelled,
    /// We refused or redirected the call with this status.
    Rejected(StatusCode),
    /// The peer refused the call, or an in-dialog request of ours, with this status.
    Failed(StatusCode),
    /// The ACK for our 2xx never came (RFC 3261 §13.3.1.4).
    NoAck,
    /// Nobody answered in time.
    Timeout,
}

//! What a transaction table wants done: messages to transmit and news for the transaction users.

use bytes::Bytes;

use super::{ClientTransactionId, ServerTransactionId};
use crate::Flow;
use crate::wire::{Request, Response};

/// One thing to do, in order; `U` is the user a client transaction was started for.
#[derive(Clone, Debug)]
pub enum Effect<U> {
    /// Put these bytes on the wire.
    Transmit {
        /// Where to.
        flow: Flow,
        /// The message.
        bytes: Bytes,
    },
    /// A request that starts a new server transaction; answer it with [`respond`](super::Transactions::respond).
    Request {
        /// Its transaction.
        id: ServerTransactionId,
        /// The request, `received` and `rport` filled into its top Via.
        request: Request,
        /// Where its answers go (RFC 3261 §18.2.2), which is where it came from unless its Via says otherwise.
        flow: Flow,
    },
    /// An ACK that belongs to no INVITE transaction with a failure: the ACK for a 2xx.
    Ack {
        /// The ACK.
        request: Request,
        /// Where it came from.
        flow: Flow,
    },
    /// A CANCEL for an INVITE this table knows; answer it by `respond(cancel, 200)`, and the INVITE if it is still open.
    Cancel {
        /// The transaction of the INVITE.
        id: ServerTransactionId,
        /// The transaction of the CANCEL itself.
        cancel: ServerTransactionId,
        /// The CANCEL.
        request: Request,
    },
    /// A provisional or final response; after a 2xx to an INVITE every further 2xx too (RFC 6026).
    Response {
        /// Whose request it answers.
        user: U,
        /// Its transaction.
        id: ClientTransactionId,
        /// The response.
        response: Response,
        /// Where it came from.
        flow: Flow,
    },
    /// A response that matches no transaction, such as a 2xx after its transaction has ended.
    StrayResponse {
        /// The response.
        response: Response,
        /// Where it came from.
        flow: Flow,
    },
    /// No (final) response in time (timers B, F, or 64·T1 after a CANCEL): act as on a 408. The transaction is gone.
    Timeout {
        /// Whose request it was.
        user: U,
        /// The transaction it had.
        id: ClientTransactionId,
    },
    /// The request could not be sent: act as on a 503. The transaction is gone.
    TransportError {
        /// Whose request it was.
        user: U,
        /// The transaction it had.
        id: ClientTransactionId,
    },
    /// No ACK came for a failure response (timer H), or the TU left the request unanswered. The transaction is gone.
    ServerTimeout {
        /// The transaction it was.
        id: ServerTransactionId,
    },
    /// A response could not be sent; an INVITE's transaction goes on (RFC 6026 §7.1), any other is gone.
    ServerTransportError {
        /// The transaction.
        id: ServerTransactionId,
    },
}

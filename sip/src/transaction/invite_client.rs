//! The INVITE client transaction: RFC 3261 §17.1.1 as changed by RFC 6026 §7.2, with timer C and §9.1 (CANCEL).

use super::machine::Action::{
    Again, Resend, Send, SendAck, SendCancel, Start, Stop, Tell, TellTimeout, TellTransportError, WantCancel,
};
use super::machine::ClientInput::{self, Cancel, Failure, Provisional, Success, Timer, TransportError};
use super::machine::{Step, to};
use super::timers::Timer::{A, B, C, Cancelled, D, M};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Calling,
    /// A 1xx came.
    Proceeding,
    /// A 1xx came, and the INVITE was cancelled.
    Cancelling,
    /// A failure came and was ACKed.
    Completed,
    /// A 2xx came (RFC 6026).
    Accepted,
    Terminated,
}
use State::{Accepted, Calling, Cancelling, Completed, Proceeding, Terminated};

/// The table; `None` is an input this state refuses or has no use for.
pub(super) fn step(state: State, input: ClientInput) -> Option<Step<State>> {
    match (state, input) {
        (Calling, ClientInput::Start) => to(Calling, &[Send, Start(A), Start(B)]),
        (Calling, Provisional) => to(Proceeding, &[Stop(A), Start(C), Tell]),
        (Calling, Success) => to(Accepted, &[Stop(A), Start(M), Tell]),
        (Calling, Failure) => to(Completed, &[SendAck, Stop(A), Start(D), Tell]),
        // RFC 3261 §9.1: no CANCEL before a provisional response.
        (Calling, Cancel) => to(Calling, &[WantCancel]),
        (Calling, Timer(A)) => to(Calling, &[Resend, Again(A)]),
        (Calling, Timer(B)) => to(Terminated, &[TellTimeout]),
        (Calling, TransportError) => to(Terminated, &[TellTransportError]),

        // RFC 3261 §16.7 step 2: every provisional response starts timer C anew; §16.8: it ends in a CANCEL.
        (Proceeding, Provisional) => to(Proceeding, &[Start(C), Tell]),
        (Proceeding, Success) => to(Accepted, &[Start(M), Tell]),
        (Proceeding, Failure) => to(Completed, &[SendAck, Start(D), Tell]),
        (Proceeding, Cancel | Timer(C)) => to(Cancelling, &[SendCancel, Start(Cancelled)]),

        (Cancelling, Provisional) => to(Cancelling, &[Tell]),
        (Cancelling, Success) => to(Accepted, &[Start(M), Tell]),
        (Cancelling, Failure) => to(Completed, &[SendAck, Start(D), Tell]),
        (Cancelling, Cancel) => to(Cancelling, &[]),
        // RFC 3261 §9.1: no final response within 64·T1 of the CANCEL counts as cancelled.
        (Cancelling, Timer(Cancelled)) => to(Terminated, &[TellTimeout]),

        (Completed, Failure) => to(Completed, &[Resend]),
        (Completed, TransportError) => to(Terminated, &[TellTransportError]),
        (Completed, Timer(D)) => to(Terminated, &[]),

        // RFC 6026 §7.2: every 2xx goes up, for forks and for the ACK to be sent again.
        (Accepted, Success) => to(Accepted, &[Tell]),
        (Accepted, Timer(M)) => to(Terminated, &[]),

        _ => None,
    }
}

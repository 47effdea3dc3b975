//! The non-INVITE server transaction: RFC 3261 §17.2.2.

use super::machine::Action::{Resend, Send, Start, Tell, TellTimeout, TellTransportError};
use super::machine::ServerInput::{self, Failure, Provisional, Request, Success, Timer, TransportError};
use super::machine::{Step, to};
use super::timers::Timer::{J, Unanswered};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The TU has not answered at all.
    Trying,
    /// The TU has answered 1xx.
    Proceeding,
    /// The final response was sent.
    Completed,
    Terminated,
}
use State::{Completed, Proceeding, Terminated, Trying};

/// The table; `None` is an input this state refuses or has no use for.
pub(super) fn step(state: State, input: ServerInput) -> Option<Step<State>> {
    match (state, input) {
        (Trying, ServerInput::Start) => to(Trying, &[Start(Unanswered), Tell]),
        (Trying, Request) => to(Trying, &[]),
        (Trying, Provisional) => to(Proceeding, &[Send]),
        (Trying, Success | Failure) => to(Completed, &[Send, Start(J)]),
        // RFC 4320 §4.2: an answer after the client's timer F is of no use to anybody.
        (Trying, Timer(Unanswered)) => to(Terminated, &[TellTimeout]),

        (Proceeding, Request) => to(Proceeding, &[Resend]),
        (Proceeding, Provisional) => to(Proceeding, &[Send]),
        (Proceeding, Success | Failure) => to(Completed, &[Send, Start(J)]),
        (Proceeding, Timer(Unanswered)) => to(Terminated, &[TellTimeout]),
        (Proceeding, TransportError) => to(Terminated, &[TellTransportError]),

        (Completed, Request) => to(Completed, &[Resend]),
        (Completed, TransportError) => to(Terminated, &[TellTransportError]),
        (Completed, Timer(J)) => to(Terminated, &[]),

        _ => None,
    }
}

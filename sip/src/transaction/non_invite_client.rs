//! The non-INVITE client transaction: RFC 3261 §17.1.2.

use super::machine::Action::{Again, Resend, Send, Slow, Start, Stop, Tell, TellTimeout, TellTransportError};
use super::machine::ClientInput::{self, Failure, Provisional, Success, Timer, TransportError};
use super::machine::{Step, to};
use super::timers::Timer::{E, F, K};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Trying,
    /// A 1xx came.
    Proceeding,
    /// The final response came.
    Completed,
    Terminated,
}
use State::{Completed, Proceeding, Terminated, Trying};

/// The table; `None` is an input this state refuses or has no use for.
pub(super) fn step(state: State, input: ClientInput) -> Option<Step<State>> {
    match (state, input) {
        (Trying, ClientInput::Start) => to(Trying, &[Send, Start(E), Start(F)]),
        (Trying, Provisional) => to(Proceeding, &[Tell]),
        (Trying, Success | Failure) => to(Completed, &[Stop(E), Start(K), Tell]),
        (Trying, Timer(E)) => to(Trying, &[Resend, Again(E)]),
        (Trying, Timer(F)) => to(Terminated, &[TellTimeout]),
        (Trying, TransportError) => to(Terminated, &[TellTransportError]),

        (Proceeding, Provisional) => to(Proceeding, &[Tell]),
        (Proceeding, Success | Failure) => to(Completed, &[Stop(E), Start(K), Tell]),
        // RFC 3261 §17.1.2.2: once a 1xx came, E runs at T2.
        (Proceeding, Timer(E)) => to(Proceeding, &[Resend, Slow(E)]),
        (Proceeding, Timer(F)) => to(Terminated, &[TellTimeout]),
        (Proceeding, TransportError) => to(Terminated, &[TellTransportError]),

        (Completed, Provisional | Success | Failure) => to(Completed, &[]),
        (Completed, Timer(K)) => to(Terminated, &[]),

        _ => None,
    }
}

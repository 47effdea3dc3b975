//! The INVITE server transaction: RFC 3261 §17.2.1 as changed by RFC 6026 §7.1.

use super::machine::Action::{
    Again, Resend, Send, SendTrying, Start, Stop, Tell, TellTimeout, TellTransportError,
};
use super::machine::ServerInput::{self, Ack, Failure, Provisional, Request, Success, Timer, TransportError};
use super::machine::{Step, to};
use super::timers::Timer::{G, H, I, L, Trying, UnansweredInvite};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Proceeding,
    /// A 2xx was sent (RFC 6026).
    Accepted,
    /// A failure was sent, its ACK is missing.
    Completed,
    /// The ACK came.
    Confirmed,
    Terminated,
}
use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};

/// The table; `None` is an input this state refuses or has no use for.
pub(super) fn step(state: State, input: ServerInput) -> Option<Step<State>> {
    match (state, input) {
        // RFC 3261 §17.2.1: 100 after 200 ms unless the TU answers before.
        (Proceeding, ServerInput::Start) => to(Proceeding, &[Start(Trying), Start(UnansweredInvite), Tell]),
        (Proceeding, Request) => to(Proceeding, &[Resend]),
        (Proceeding, Provisional) => to(Proceeding, &[Stop(Trying), Start(UnansweredInvite), Send]),
        (Proceeding, Success) => to(Accepted, &[Stop(Trying), Start(L), Send]),
        (Proceeding, Failure) => to(Completed, &[Start(G), Start(H), Send]),
        (Proceeding, Timer(Trying)) => to(Proceeding, &[SendTrying]),
        (Proceeding, Timer(UnansweredInvite)) => to(Terminated, &[TellTimeout]),
        (Proceeding, TransportError) => to(Proceeding, &[TellTransportError]),

        // RFC 6026 §7.1: retransmitted INVITEs are absorbed, the TU alone retransmits the 2xx.
        (Accepted, Request) => to(Accepted, &[]),
        (Accepted, Ack) => to(Accepted, &[Tell]),
        (Accepted, Success) => to(Accepted, &[Send]),
        (Accepted, TransportError) => to(Accepted, &[TellTransportError]),
        (Accepted, Timer(L)) => to(Terminated, &[]),

        (Completed, Request) => to(Completed, &[Resend]),
        (Completed, Ack) => to(Confirmed, &[Stop(G), Start(I)]),
        (Completed, Timer(G)) => to(Completed, &[Resend, Again(G)]),
        (Completed, Timer(H)) => to(Terminated, &[TellTimeout]),
        (Completed, TransportError) => to(Completed, &[TellTransportError]),

        (Confirmed, Request | Ack) => to(Confirmed, &[]),
        (Confirmed, Timer(I)) => to(Terminated, &[]),

        _ => None,
    }
}

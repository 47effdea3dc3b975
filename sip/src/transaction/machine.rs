//! The vocabulary the four state machines are written in: inputs, actions, and a step from one state to the next.

use super::timers::Timer;

/// What a server transaction can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerInput {
    /// The request that creates it.
    Start,
    /// The same request again.
    Request,
    /// An ACK (INVITE only).
    Ack,
    /// The TU answers 1xx.
    Provisional,
    /// The TU answers 2xx.
    Success,
    /// The TU answers 3xx to 6xx.
    Failure,
    TransportError,
    Timer(Timer),
}

/// What a client transaction can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientInput {
    /// The TU's request.
    Start,
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 3xx to 6xx.
    Failure,
    /// The TU wants the INVITE cancelled.
    Cancel,
    TransportError,
    Timer(Timer),
}

/// What a step does, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Transmit our message for the first time: the client's request, the server's response, which is kept for `Resend`.
    Send,
    /// Transmit the kept message again.
    Resend,
    /// Build 100 Trying, transmit and keep it.
    SendTrying,
    /// Build the ACK for a failure, transmit and keep it.
    SendAck,
    /// Start the transaction of a CANCEL for this INVITE.
    SendCancel,
    /// Cancel as soon as a provisional response has come.
    WantCancel,
    /// Hand the message to the TU.
    Tell,
    TellTimeout,
    TellTransportError,
    Start(Timer),
    /// Start a retransmission timer again, with twice its interval up to its cap.
    Again(Timer),
    /// Start a retransmission timer again at its cap, T2.
    Slow(Timer),
    Stop(Timer),
}

/// Where an input leads, and what is done on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step<S> {
    pub(super) next: S,
    pub(super) actions: &'static [Action],
}

/// A row of a table: `to(next, actions)`.
pub(super) fn to<S>(next: S, actions: &'static [Action]) -> Option<Step<S>> {
    Some(Step { next, actions })
}

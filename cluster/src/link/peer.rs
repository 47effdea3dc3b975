//! The sending side of one link: what may be in flight, and `ractor_cluster` behind [`PeerLink`].

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use ractor::ActorRef;

use super::control::Control;
use super::name::ProcessName;
use super::stream::Handle;

/// Largest application payload in bytes: a SIP message over UDP and room to spare, yet far below what delays others.
pub const PAYLOAD_MAX: usize = 128 * 1024;
/// Largest frame in bytes; the sessions refuse more, and die of it.
pub const FRAME_MAX: usize = 4 * 1024 * 1024;
/// Bytes in flight beyond which application payloads are refused: 256 KB of replication and as much of their own.
const PAYLOADS_IN_FLIGHT: u64 = 512 * 1024;
/// Bytes in flight at which the link is cut: replication keeps its own, much smaller window, so this peer has stopped
/// reading, and the queues below are not bounded.
const IN_FLIGHT_MAX: u64 = 16 * 1024 * 1024;
/// What a message costs besides its bytes; both sides count alike.
const PER_MESSAGE: u64 = 64;

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The link is gone.
    Down,
    /// Too much in flight.
    Full,
    /// Larger than a link carries.
    TooLarge,
}

/// A way to one peer process, in order, without loss until it is down. Hides what carries it.
pub trait PeerLink: Send + Sync {
    /// Whom it leads to.
    fn peer(&self) -> &ProcessName;
    /// Sends a replication frame. The engine bounds what it sends; if it did not, the link would be cut.
    fn send_frame(&self, frame: Vec<u8>) -> Result<(), SendError>;
    /// Sends an application payload, or refuses it when much is in flight.
    fn send_payload(&self, payload: Bytes) -> Result<(), SendError>;
    /// Bytes sent and not yet taken by the peer.
    fn in_flight(&self) -> u64;
    /// Ends the link; all that is queued is lost.
    fn close(&self);
}

/// Counts what is taken, for the peer's credit.
pub(super) fn cost(bytes: usize) -> u64 {
    bytes as u64 + PER_MESSAGE
}

/// A link over a `ractor_cluster` session.
pub(super) struct SessionLink {
    peer: ProcessName,
    link: u64,
    out: ActorRef<Control>,
    handle: Handle,
    sent: AtomicU64,
    taken: AtomicU64,
}

impl SessionLink {
    pub(super) fn new(peer: ProcessName, link: u64, out: ActorRef<Control>, handle: Handle) -> Self {
        Self { peer, link, out, handle, sent: AtomicU64::new(0), taken: AtomicU64::new(0) }
    }

    /// The peer has taken `total` bytes so far; a peer cannot take more than was sent.
    pub(super) fn credit(&self, total: u64) {
        self.taken.fetch_max(total.min(self.sent.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// Not counted: hellos and credits are few and small.
    pub(super) fn send_uncounted(&self, message: Control) {
        // A link that is down says so by its session's end.
        let _ = self.out.cast(message);
    }

    fn admit(&self, bytes: usize, size_max: usize, in_flight_max: u64) -> Result<(), SendError> {
        if bytes > size_max {
            return Err(SendError::TooLarge);
        }
        // Two threads may both pass just below the bound: it is a bound of memory, not a count.
        if self.in_flight() + cost(bytes) > in_flight_max {
            return Err(SendError::Full);
        }
        self.sent.fetch_add(cost(bytes), Ordering::Relaxed);
        Ok(())
    }
}

impl PeerLink for SessionLink {
    fn peer(&self) -> &ProcessName {
        &self.peer
    }

    fn send_frame(&self, frame: Vec<u8>) -> Result<(), SendError> {
        let admitted = self.admit(frame.len(), FRAME_MAX, IN_FLIGHT_MAX);
        if admitted == Err(SendError::Full) {
            self.close();
        }
        admitted?;
        self.out.cast(Control::R(self.link, frame)).map_err(|_| SendError::Down)
    }

    fn send_payload(&self, payload: Bytes) -> Result<(), SendError> {
        self.admit(payload.len(), PAYLOAD_MAX, PAYLOADS_IN_FLIGHT)?;
        self.out.cast(Control::P(self.link, payload.into())).map_err(|_| SendError::Down)
    }

    fn in_flight(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    fn close(&self) {
        self.handle.close();
    }
}

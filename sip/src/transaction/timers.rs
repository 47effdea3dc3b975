//! The timers of RFC 3261 §17 (A to M) with their values, from the three base values T1, T2 and T4.

use std::time::Duration;

/// The base values every timer is derived from (RFC 3261 table 4); all are durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// The round-trip estimate: first retransmission interval.
    pub t1: Duration,
    /// The longest retransmission interval of non-INVITE requests and INVITE responses.
    pub t2: Duration,
    /// How long a message may stay in the network.
    pub t4: Duration,
    /// Timer C: how long an INVITE may ring without another provisional response before it is cancelled.
    pub c: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Timers {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            // RFC 3261 §16.6 step 11 asks for more than three minutes.
            c: Duration::from_secs(300),
        }
    }
}

impl Timers {
    /// 64·T1: the time after which an unanswered request or an un-ACKed response is given up (timers B, D, F, H, J, L, M).
    pub fn lifetime(&self) -> Duration {
        self.t1 * 64
    }

    /// The interval before retransmission number `sent` (0 is the first), doubling from T1 and never above `cap`.
    pub fn backoff(&self, sent: u8, cap: Duration) -> Duration {
        let factor = 1u32.checked_shl(u32::from(sent)).unwrap_or(u32::MAX);
        self.t1.checked_mul(factor).map_or(cap, |interval| interval.min(cap))
    }

    /// How long `timer` runs when it is started, `None` if this transport needs it not at all.
    pub(super) fn duration(&self, timer: Timer, reliable: bool) -> Option<Duration> {
        let unless_reliable = |unreliable: Duration| if reliable { Duration::ZERO } else { unreliable };
        match timer {
            // RFC 3261 §17.2.1: 100 if the TU has not answered within 200 ms.
            Timer::Trying => Some(TRYING_AFTER),
            // RFC 3261 §17.1.1.2, §17.1.2.2, §17.2.1: a reliable transport retransmits by itself.
            Timer::A | Timer::E | Timer::G => (!reliable).then_some(self.t1),
            Timer::B | Timer::F | Timer::H => Some(self.lifetime()),
            Timer::C => Some(self.c),
            // RFC 3261 §17.1.1.2: as long as the server's timer H may have the response sent again, 32 s by default.
            Timer::D | Timer::J => Some(unless_reliable(self.lifetime())),
            Timer::I | Timer::K => Some(unless_reliable(self.t4)),
            // RFC 6026 §7.1, §7.2: on every transport, since the TU itself retransmits the 2xx.
            Timer::L | Timer::M => Some(self.lifetime()),
            Timer::Cancelled | Timer::Unanswered => Some(self.lifetime()),
            Timer::UnansweredInvite => Some(self.c * 2),
        }
    }

    /// How long `timer` runs when it is started again after `sent` retransmissions.
    pub(super) fn interval(&self, timer: Timer, sent: u8) -> Duration {
        match timer {
            // RFC 3261 §17.1.1.2: A doubles without a cap; timer B ends it.
            Timer::A => self.backoff(sent, self.lifetime()),
            _ => self.backoff(sent, self.t2),
        }
    }
}

const TRYING_AFTER: Duration = Duration::from_millis(200);

/// Which timer is meant; the letters are the RFC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// 100 Trying is due.
    Trying,
    /// INVITE request retransmission.
    A,
    /// INVITE timeout.
    B,
    /// INVITE rings too long.
    C,
    /// INVITE client absorbs response retransmissions.
    D,
    /// Non-INVITE request retransmission.
    E,
    /// Non-INVITE timeout.
    F,
    /// INVITE response retransmission.
    G,
    /// No ACK came.
    H,
    /// INVITE server absorbs ACK retransmissions.
    I,
    /// Non-INVITE server absorbs request retransmissions.
    J,
    /// Non-INVITE client absorbs response retransmissions.
    K,
    /// INVITE server absorbs INVITE retransmissions after a 2xx (RFC 6026).
    L,
    /// INVITE client takes further 2xx (RFC 6026).
    M,
    /// RFC 3261 §9.1: a cancelled INVITE that gets no final response for 64·T1 is over.
    Cancelled,
    /// The TU has not answered a non-INVITE request, and its client has given up by now (timer F).
    Unanswered,
    /// The TU has not touched an INVITE for so long that it has forgotten it; keeps the table from leaking.
    UnansweredInvite,
}

impl Timer {
    /// Retransmission timers share one slot of a transaction, the timers that end a state the other.
    pub(super) fn retransmits(self) -> bool {
        matches!(self, Timer::Trying | Timer::A | Timer::E | Timer::G)
    }
}

//! One heap of deadlines for a whole table: an entry per transaction, deleted lazily and compacted when half of it is stale.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::machine::Action;
use super::slab::Slot;
use super::timers::{Timer, Timers};
use crate::Timestamp;

/// A timestamp in nanoseconds: half the size of a `Duration`, so that a heap entry has 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At(u64);

impl At {
    pub(super) const NEVER: At = At(u64::MAX);

    fn after(now: Timestamp, wait: Duration) -> At {
        At::from(now.saturating_add(wait))
    }
}

impl From<Timestamp> for At {
    fn from(time: Timestamp) -> At {
        // 2^64 ns since 1970 is the year 2554.
        At(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1))
    }
}

/// Which slab a deadline's transaction is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Server,
    Client,
}

/// The running timers of one transaction: at most one that retransmits and one that ends the state.
#[derive(Debug)]
pub(super) struct Clock {
    resend_at: At,
    life_at: At,
    /// The time of the heap entry that stands for this clock.
    queued: At,
    resend: Timer,
    life: Timer,
    /// Retransmissions since the retransmission timer was started.
    sent: u8,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock {
            resend_at: At::NEVER,
            life_at: At::NEVER,
            queued: At::NEVER,
            resend: Timer::A,
            life: Timer::B,
            sent: 0,
        }
    }

    /// Starts `timer` in its slot; true if it runs for no time at all, so that it has fired already.
    fn start(&mut self, timer: Timer, now: Timestamp, timers: &Timers, reliable: bool) -> bool {
        let wait = timers.duration(timer, reliable);
        let at = wait.map_or(At::NEVER, |wait| At::after(now, wait));
        if timer.retransmits() {
            (self.resend, self.resend_at, self.sent) = (timer, at, 0);
            return false;
        }
        (self.life, self.life_at) = (timer, at);
        if wait == Some(Duration::ZERO) {
            self.life_at = At::NEVER;
            return true;
        }
        false
    }

    /// Does what `action` wants of the timers; the timer it started, if that has fired already.
    pub(super) fn act(
        &mut self,
        action: Action,
        now: Timestamp,
        timers: &Timers,
        reliable: bool,
    ) -> Option<Timer> {
        match action {
            Action::Start(timer) => return self.start(timer, now, timers, reliable).then_some(timer),
            Action::Again(timer) => self.again(timer, now, timers),
            Action::Slow(timer) => self.slow(timer, now, timers),
            Action::Stop(timer) => self.stop(timer),
            _ => {}
        }
        None
    }

    fn again(&mut self, timer: Timer, now: Timestamp, timers: &Timers) {
        self.sent = self.sent.saturating_add(1);
        (self.resend, self.resend_at) = (timer, At::after(now, timers.interval(timer, self.sent)));
    }

    fn slow(&mut self, timer: Timer, now: Timestamp, timers: &Timers) {
        (self.resend, self.resend_at) = (timer, At::after(now, timers.t2));
    }

    fn stop(&mut self, timer: Timer) {
        if timer.retransmits() {
            self.resend_at = At::NEVER;
        } else {
            self.life_at = At::NEVER;
        }
    }

    /// Takes the timer that is due; the one that ends the state goes first, so that a late driver sends no burst.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Timer> {
        let now = At::from(now);
        if self.life_at <= now {
            self.life_at = At::NEVER;
            return Some(self.life);
        }
        if self.resend_at <= now {
            self.resend_at = At::NEVER;
            return Some(self.resend);
        }
        None
    }

    /// Its heap entry was popped.
    pub(super) fn unqueue(&mut self) {
        self.queued = At::NEVER;
    }

    pub(super) fn is_queued_for(&self, at: At) -> bool {
        self.queued == at
    }
}

/// An entry that came due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) at: At,
    pub(super) slot: Slot,
    pub(super) side: Side,
}

pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<Entry>>,
    /// Entries no clock stands behind any more.
    stale: usize,
}

/// Below this many stale entries a compaction is not worth its pass.
const STALE_MIN: usize = 64;

impl Deadlines {
    pub(super) fn new() -> Self {
        Deadlines { heap: BinaryHeap::new(), stale: 0 }
    }

    /// Makes sure an entry wakes `clock` in time. A later deadline keeps the earlier entry and moves when that one pops.
    pub(super) fn queue(&mut self, clock: &mut Clock, side: Side, slot: Slot) {
        let at = clock.resend_at.min(clock.life_at);
        if at >= clock.queued {
            return;
        }
        if clock.queued != At::NEVER {
            self.stale += 1;
        }
        clock.queued = at;
        self.heap.push(Reverse(Entry { at, slot, side }));
    }

    /// Gives up the entry of a transaction that has ended.
    pub(super) fn forget(&mut self, clock: &Clock) {
        if clock.queued != At::NEVER {
            self.stale += 1;
        }
    }

    /// The next entry due at `now`; the caller says by `dropped` if it was stale.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Entry> {
        let Reverse(first) = self.heap.peek()?;
        if first.at > At::from(now) {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// A stale entry was popped.
    pub(super) fn dropped(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    /// Throws stale entries away once they are half of the heap, so that it stays within twice the live transactions.
    pub(super) fn compact(&mut self, is_live: impl Fn(&Entry) -> bool) {
        if self.stale >= STALE_MIN && self.stale * 2 >= self.heap.len() {
            self.heap.retain(|Reverse(entry)| is_live(entry));
            self.stale = 0;
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(entry)| Duration::from_nanos(entry.at.0))
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn clear(&mut self) {
        self.heap.clear();
        self.stale = 0;
    }
}

//! The deadlines of a whole table: an entry per transaction, deleted lazily and compacted when half of them are stale.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
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

    /// The bucket it falls into: 2^26 ns wide.
    fn bucket(self) -> u64 {
        self.0 >> 26
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
    /// The time of the entry that stands for this clock.
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

    /// Its entry was popped.
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

/// Entries by deadline: those of the next seconds in a heap, later ones in buckets of some 67 ms each, which go into the heap
/// when their time comes.
///
/// Most transactions end after 32 s (timers J and L), tens of thousands at a time: one heap of all of them costs a dozen cache
/// misses for each that goes, a bucket none.
pub(super) struct Deadlines {
    near: BinaryHeap<Reverse<Entry>>,
    far: BTreeMap<u64, Bucket>,
    /// The bucket of the time last heard of: all up to it are in the heap.
    opened: u64,
    len: usize,
    /// Entries no clock stands behind any more.
    stale: usize,
}

struct Bucket {
    first: At,
    entries: Vec<Entry>,
}

/// What is due within so many buckets goes into the heap at once: above T2, so that retransmissions need no bucket.
const NEAR_BUCKETS: u64 = 64;
/// Below this many stale entries a compaction is not worth its pass.
const STALE_MIN: usize = 64;

impl Deadlines {
    pub(super) fn new() -> Self {
        Deadlines { near: BinaryHeap::with_capacity(64), far: BTreeMap::new(), opened: 0, len: 0, stale: 0 }
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
        self.len += 1;
        let entry = Entry { at, slot, side };
        if at.bucket() <= self.opened + NEAR_BUCKETS {
            return self.near.push(Reverse(entry));
        }
        let bucket = self.far.entry(at.bucket()).or_insert_with(|| Bucket { first: at, entries: Vec::new() });
        bucket.first = bucket.first.min(at);
        bucket.entries.push(entry);
    }

    /// Gives up the entry of a transaction that has ended.
    pub(super) fn forget(&mut self, clock: &Clock) {
        if clock.queued != At::NEVER {
            self.stale += 1;
        }
    }

    /// The next entry due at `now`; the caller says by `dropped` if it was stale.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Entry> {
        let now = At::from(now);
        self.opened = self.opened.max(now.bucket());
        while let Some(bucket) = self.far.first_entry().filter(|bucket| *bucket.key() <= self.opened) {
            self.near.extend(bucket.remove().entries.into_iter().map(Reverse));
        }
        let Reverse(first) = self.near.peek()?;
        if first.at > now {
            return None;
        }
        self.len -= 1;
        self.near.pop().map(|Reverse(entry)| entry)
    }

    /// A stale entry was popped.
    pub(super) fn dropped(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    /// Throws stale entries away once they are half of all, so that these stay within twice the live transactions.
    pub(super) fn compact(&mut self, is_live: impl Fn(&Entry) -> bool) {
        if self.stale >= STALE_MIN && self.stale * 2 >= self.len {
            self.near.retain(|Reverse(entry)| is_live(entry));
            self.far.retain(|_, bucket| {
                bucket.entries.retain(&is_live);
                !bucket.entries.is_empty()
            });
            self.len = self.near.len() + self.far.values().map(|bucket| bucket.entries.len()).sum::<usize>();
            self.stale = 0;
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        let near = self.near.peek().map(|Reverse(entry)| entry.at);
        let far = self.far.values().next().map(|bucket| bucket.first);
        [near, far].into_iter().flatten().min().map(|at| Duration::from_nanos(at.0))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.near.clear();
        self.far.clear();
        (self.len, self.stale) = (0, 0);
    }
}

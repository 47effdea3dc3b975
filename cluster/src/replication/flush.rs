//! When to send: at once after a pause, else 5 ms after the last flush, early when a batch is full.

use std::time::Duration;

use super::{Effect, Replication};
use crate::Timestamp;
use crate::id::NodeId;

/// A batch unacknowledged for so long on a link that is up was lost by somebody in between: send it again.
const REWIND: Duration = Duration::from_secs(1);

impl Replication {
    /// Sends what waits for a peer now, whatever the gap; used before hashes are compared.
    pub fn handle_flush(&mut self, now: Timestamp, to: &NodeId) {
        if self.is_waiting_any(to) {
            self.flush(now, to);
        }
    }

    /// Sets the flush of a peer: at once if the last is long enough ago.
    pub(super) fn arm(&mut self, now: Timestamp, to: &NodeId) {
        let Some(peer) = self.peers.get(to) else { return };
        let at = peer.flushed.map_or(now, |last| now.max(last + self.config.flush));
        self.arm_at(at, to);
    }

    fn arm_at(&mut self, at: Timestamp, to: &NodeId) {
        if let Some(peer) = self.peers.get_mut(to)
            && peer.armed.is_none()
        {
            peer.armed = Some(at);
            self.flushes.insert((at, to.clone()));
        }
    }

    /// Sends batches until nothing waits, the window is full or the repair budget is spent.
    pub(super) fn flush(&mut self, now: Timestamp, to: &NodeId) {
        let Some(peer) = self.peers.get_mut(to) else { return };
        if let Some(at) = peer.armed.take() {
            self.flushes.remove(&(at, to.clone()));
        }
        let mut later = None;
        while peer.window.items() < self.config.window_items && peer.window.bytes() < self.config.window_bytes
        {
            let room = (self.config.window_items - peer.window.items()).min(self.config.early_items);
            // Nearly always all of it fits.
            let mut entries = peer.live.take_all(room, self.config.early_bytes).unwrap_or_default();
            let mut bytes = entries.iter().map(|(_, entry)| entry.size()).sum::<usize>();
            while entries.len() < room {
                let live = !peer.live.is_empty();
                let lane = if live { &mut peer.live } else { &mut peer.repair };
                let Some(size) = lane.peek().map(|(_, entry)| entry.size()) else { break };
                if bytes > 0 && bytes + size > self.config.early_bytes {
                    break;
                }
                if !live && let Err(wait) = self.repair_budget.spend(now, size) {
                    later = Some(now + wait.max(self.config.flush));
                    break;
                }
                bytes += size;
                entries.extend(lane.take());
            }
            if entries.is_empty() {
                break;
            }
            peer.flushed = Some(now);
            self.counters.batches += 1;
            let (stream, seq) = peer.window.send(now, entries.clone());
            self.effects.push_back(Effect::Batch { to: to.clone(), stream, seq, entries });
            self.rewind.get_or_insert(now + REWIND);
        }
        // With a full window the next acknowledgement goes on.
        if let Some(at) = later {
            self.arm_at(at, to);
        }
    }

    /// Puts everything in flight back, unless something newer waits, and starts a new stream.
    pub(super) fn rewind_peer(&mut self, now: Timestamp, id: &NodeId) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let mut lost = peer.window.restart(now);
        // Newest first: an older version of the same key must not replace it.
        while let Some((key, entry)) = lost.pop() {
            // A node that was a target and is none any more has been told to drop its copy, or soon will be.
            let targets = self.targets.get(key.shard());
            let unwanted = targets.is_some_and(|targets| !targets.contains(id));
            if !unwanted && !peer.live.contains(key) && !peer.repair.contains(key) {
                peer.live.put(key, entry);
            }
        }
        self.arm(now, id);
    }

    pub(super) fn rewind_timeout(&mut self, now: Timestamp) {
        if self.rewind.is_some_and(|due| now > due + REWIND / 2) {
            // Our own clock stood still: look again when what waits in our socket has been read.
            self.rewind = Some(now + REWIND / 2);
            return;
        }
        let overdue = |at: Option<Timestamp>| at.is_some_and(|at| at + REWIND <= now);
        let late = self.peers.iter().filter(|(_, peer)| overdue(peer.window.oldest()));
        let late: Vec<NodeId> = late.map(|(id, _)| id.clone()).collect();
        for id in late {
            self.rewind_peer(now, &id);
        }
        let in_flight = self.peers.values().any(|peer| !peer.window.is_empty());
        self.rewind = in_flight.then(|| now + REWIND / 2);
    }
}

/// A token bucket in bytes.
#[derive(Debug)]
pub(super) struct Budget {
    rate: u64,
    /// May fall below zero by one item.
    left: i64,
    filled: Timestamp,
}

impl Budget {
    /// What may be sent at once after a pause.
    const BURST: i64 = 1024 * 1024;

    pub(super) fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), left: Self::BURST, filled: Timestamp::ZERO }
    }

    /// Takes `bytes`, or says how long to wait.
    fn spend(&mut self, now: Timestamp, bytes: usize) -> Result<(), Duration> {
        let since = now.saturating_sub(self.filled).min(Duration::from_secs(1));
        let gain =
            i64::try_from(since.as_micros() * u128::from(self.rate) / 1_000_000).unwrap_or(Self::BURST);
        if gain > 0 {
            self.left = self.left.saturating_add(gain).min(Self::BURST);
            self.filled = now;
        }
        if self.left <= 0 {
            let micros = (1 - self.left).unsigned_abs().saturating_mul(1_000_000) / self.rate;
            return Err(Duration::from_micros(micros.max(1)));
        }
        self.left -= i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok(())
    }
}

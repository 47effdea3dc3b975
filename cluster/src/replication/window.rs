//! Batches sent to one peer and not acknowledged yet.

use std::collections::VecDeque;

use super::lane::Entry;
use crate::Timestamp;
use crate::id::Key;

/// The sending side of one stream. Items stay here until they are acknowledged, so that a lost batch can be sent again.
#[derive(Debug, Default)]
pub(crate) struct Window {
    stream: u64,
    /// Number of the batch sent last.
    seq: u64,
    batches: VecDeque<Sent>,
    items: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Sent {
    seq: u64,
    at: Timestamp,
    bytes: usize,
    entries: Vec<(Key, Entry)>,
}

impl Window {
    /// Records a batch as sent; returns its stream and number.
    pub(crate) fn send(&mut self, now: Timestamp, entries: Vec<(Key, Entry)>) -> (u64, u64) {
        self.seq += 1;
        let bytes = entries.iter().map(|(_, entry)| entry.size()).sum();
        self.items += entries.len();
        self.bytes += bytes;
        self.batches.push_back(Sent { seq: self.seq, at: now, bytes, entries });
        (self.stream, self.seq)
    }

    /// Takes out what a cumulative acknowledgement covers; nothing if it is about another stream or not sent yet.
    pub(crate) fn acknowledge(&mut self, stream: u64, seq: u64) -> Vec<(Key, Entry)> {
        let mut done = Vec::new();
        if stream != self.stream || seq > self.seq {
            return done;
        }
        while self.batches.front().is_some_and(|sent| sent.seq <= seq)
            && let Some(sent) = self.batches.pop_front()
        {
            self.items -= sent.entries.len();
            self.bytes -= sent.bytes;
            done.extend(sent.entries);
        }
        done
    }

    /// Starts a new stream and takes out everything in flight, oldest first.
    pub(crate) fn restart(&mut self, now: Timestamp) -> Vec<(Key, Entry)> {
        // Above every earlier stream of this process, also when this record was made anew in between.
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.stream = self.stream.saturating_add(1).max(micros);
        self.seq = 0;
        self.items = 0;
        self.bytes = 0;
        self.batches.drain(..).flat_map(|sent| sent.entries).collect()
    }

    pub(crate) fn stream(&self) -> u64 {
        self.stream
    }

    /// When the oldest batch in flight was sent.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.batches.front().map(|sent| sent.at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(crate) fn items(&self) -> usize {
        self.items
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The receiving side of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inbound {
    stream: u64,
    /// Number of the last batch before which none is missing.
    seq: u64,
}

/// Cumulative acknowledgement of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The stream it is about.
    pub stream: u64,
    /// Every batch up to this one was applied.
    pub seq: u64,
    /// A batch after it is missing.
    pub gap: bool,
}

impl Inbound {
    /// A batch was applied; `None` if it belongs to a stream that is over.
    pub(crate) fn receive(&mut self, stream: u64, seq: u64) -> Option<Ack> {
        if stream < self.stream {
            return None;
        }
        if stream > self.stream {
            *self = Self { stream, seq: 0 };
        }
        let gap = seq > self.seq + 1;
        if seq == self.seq + 1 {
            self.seq = seq;
        }
        Some(Ack { stream, seq: self.seq, gap })
    }
}

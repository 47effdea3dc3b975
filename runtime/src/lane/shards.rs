//! Shards that come and go: dialogs taken over, shards retired, requests held for a shard about to be ours.

use std::collections::{HashMap, VecDeque};

use holdline_cluster::engine::Stored;
use holdline_cluster::id::{Key, NodeId, Shard};
use holdline_sip::wire::{Message, Request, Response};
use holdline_sip::{Flow, Timestamp};

use super::directory::{Directory, Entry, Slot};
use super::{Effect, Lane};
use crate::limits;
use crate::recovery::snapshot;
use crate::step::Input;

/// What a lane knows of shards beside its dialogs.
#[derive(Debug, Default)]
pub(super) struct Shards {
    held: VecDeque<Held>,
    /// Dialogs taken over whose `on_recovered` is still to run.
    recovering: VecDeque<Key>,
    /// Dialogs taken over that have no ACK yet, by what their INVITE looks like.
    unacked: HashMap<(String, String), Key>,
}

#[derive(Debug)]
struct Held {
    until: Timestamp,
    shard: Shard,
    message: Message,
    flow: Flow,
}

impl Shards {
    /// Keeps a message for a shard that is about to be ours. False: the bound is reached.
    #[must_use]
    pub(super) fn hold(&mut self, now: Timestamp, shard: Shard, message: Message, flow: Flow) -> bool {
        let room = self.held.len() < limits::HELD_REQUESTS_MAX;
        if room {
            self.held.push_back(Held { until: now + limits::HELD_REQUEST_TTL, shard, message, flow });
        }
        room
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn drop_expired(&mut self, now: Timestamp, dropped: &mut u64) {
        while self.held.front().is_some_and(|held| held.until <= now) {
            self.held.pop_front();
            *dropped += 1;
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        let recovering = (!self.recovering.is_empty()).then_some(Timestamp::ZERO);
        recovering.or_else(|| self.held.front().map(|held| held.until))
    }

    /// The 2xx that a dead node sent for this very INVITE, if its dialog was taken over and still lacks its ACK.
    pub(super) fn answer_of<A>(&mut self, invite: &Request, directory: &Directory<A>) -> Option<Response> {
        if self.unacked.is_empty() {
            return None;
        }
        let name = (invite.call_id().to_owned(), invite.from_tag()?.to_owned());
        let entry = directory.get(self.unacked.get(&name)?);
        let answer = entry.and_then(|entry| snapshot::unacked_answer(&entry.snapshot));
        if answer.is_none() {
            self.unacked.remove(&name);
        }
        answer
    }
}

impl<A: Clone> Lane<A> {
    /// This node owns the shard from now on: its dialogs are passive here, and `on_recovered` will run for each.
    pub fn handle_activated(&mut self, now: Timestamp, shard: Shard, lost: Option<&NodeId>, items: Vec<Stored>) {
        for item in items {
            self.adopt(now, lost, item);
        }
        self.release_held(now, shard);
    }

    /// The shard is another node's: its actors stop, what waits for a confirmation here is never sent.
    pub fn handle_retired(&mut self, shard: Shard) {
        let keys: Vec<Key> = self.directory.keys().filter(|key| key.shard() == shard).copied().collect();
        for key in keys {
            self.gate.retire(key);
            self.calls.remove(&key);
            self.invites.retain(|_, (of, _)| *of != key);
            if let Some(Slot::Active { actor, .. }) = self.directory.remove(&key).map(|entry| entry.slot) {
                self.effects.push_back(Effect::Stop { actor });
            }
        }
    }

    /// Runs `on_recovered` for some of the dialogs taken over that nothing else has woken yet.
    pub(super) fn recover_some(&mut self, now: Timestamp) {
        for _ in 0..limits::RECOVERIES_PER_TICK {
            let Some(key) = self.shards.recovering.pop_front() else { break };
            if self.directory.get(&key).is_some_and(|entry| entry.recovered_from.is_some()) {
                self.deliver(now, key, Input::Recover);
            }
        }
    }

    fn adopt(&mut self, now: Timestamp, lost: Option<&NodeId>, item: Stored) {
        let key = item.key;
        if self.directory.get(&key).is_some_and(|entry| entry.version >= item.version) {
            return;
        }
        let peek = match snapshot::peek(&item.body) {
            Ok(peek) => peek,
            Err(error) => {
                tracing::error!(?key, %error, "a dialog's copy cannot be read: the dialog is given up");
                self.counts.unreadable += 1;
                return;
            }
        };
        let mut entry = Entry::passive(item.version, item.body, now);
        if item.terminated {
            entry.ended = true;
            entry.deadline = Some(now + limits::TOMBSTONE_TTL);
        } else {
            entry.recovered_from = lost.cloned();
            self.counts.taken_over += u64::from(lost.is_some());
            entry.deadline = peek.timer;
            // A dialog in the middle of something goes on at once, the quiet ones in the background.
            match peek.unacked_invite {
                Some(name) => {
                    self.shards.unacked.insert(name, key);
                    self.shards.recovering.push_front(key);
                }
                None if peek.urgent => self.shards.recovering.push_front(key),
                None => self.shards.recovering.push_back(key),
            }
        }
        if let Some(at) = entry.deadline {
            self.deadlines.push(at, key);
        }
        self.directory.insert(key, entry);
    }

    fn release_held(&mut self, now: Timestamp, shard: Shard) {
        let (free, held) = std::mem::take(&mut self.shards.held).into_iter().partition(|held| held.shard == shard);
        self.shards.held = held;
        let free: VecDeque<Held> = free;
        for Held { message, flow, .. } in free {
            self.handle_message(now, message, flow, true);
        }
    }
}

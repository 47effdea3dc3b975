//! Shards that come and go: dialogs taken over, shards retired, requests held for a shard about to be ours.

use std::collections::{HashMap, HashSet, VecDeque};

use holdline_cluster::engine::Stored;
use holdline_cluster::id::{Key, NodeId, SHARDS, Shard};
use holdline_cluster::own_ids::OwnIdSet;
use holdline_sip::wire::{Message, Method, Request};
use holdline_sip::{Flow, Timestamp};

use super::directory::{Entry, Slot};
use super::{Effect, Lane};
use crate::limits;
use crate::recovery::snapshot::{self, Repeated};
use crate::step::Input;

/// What a lane knows of shards beside its dialogs.
#[derive(Debug)]
pub(super) struct Shards {
    /// Shards whose dialogs are here; `None` for a node alone. The cluster says a little earlier that a shard is ours than
    /// its dialogs arrive: until then nobody is told that there is no such dialog.
    active: Option<Box<[bool]>>,
    held: VecDeque<Held>,
    /// Dialogs taken over whose `on_recovered` is still to run.
    recovering: VecDeque<Key>,
    /// Dialogs taken over, by Call-ID and the peer's tag, for as long as their INVITE may come again.
    taken_over: HashMap<u64, Key>,
    forget: VecDeque<(Timestamp, u64)>,
}

#[derive(Debug)]
struct Held {
    until: Timestamp,
    shard: Shard,
    early: Early,
}

/// Something for a shard that is about to be ours.
#[derive(Debug)]
pub(super) enum Early {
    Message(Message, Flow),
    /// Sent on to a live owner as well.
    Copy(Message, Flow),
    Input(Key, Input),
}

impl Shards {
    pub(super) fn new(alone: bool) -> Self {
        Self {
            active: (!alone).then(|| vec![false; usize::from(SHARDS)].into()),
            held: VecDeque::new(),
            recovering: VecDeque::new(),
            taken_over: HashMap::new(),
            forget: VecDeque::new(),
        }
    }

    fn is_active(&self, shard: Shard) -> bool {
        self.active.as_ref().is_none_or(|active| active[usize::from(shard.0)])
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        let recovering = (!self.recovering.is_empty()).then_some(Timestamp::ZERO);
        let held = self.held.front().map(|held| held.until);
        let forget = self.forget.front().map(|(at, _)| *at);
        [recovering, held, forget].into_iter().flatten().min()
    }
}

impl<A: Clone> Lane<A> {
    /// The shard is ours, and its dialogs are here.
    pub(super) fn owns(&self, shard: Shard) -> bool {
        !self.fence.is_up() && self.has(shard)
    }

    /// The same, whether or not it may be served now.
    pub(super) fn has(&self, shard: Shard) -> bool {
        self.ownership.owns(shard) && self.shards.is_active(shard)
    }

    /// Keeps something for a shard that is about to be ours; above the bound it is dropped. A copy of what was sent on may only
    /// take a quarter of the room: strangers can make as many as they like.
    pub(super) fn hold(&mut self, now: Timestamp, shard: Shard, early: Early) {
        let room = match early {
            Early::Copy(..) => limits::HELD_REQUESTS_MAX / 4,
            Early::Message(..) | Early::Input(..) => limits::HELD_REQUESTS_MAX,
        };
        if self.shards.held.len() < room {
            self.shards.held.push_back(Held { until: now + limits::HELD_REQUEST_TTL, shard, early });
        } else {
            self.drop_early(early);
        }
    }

    /// Drops what was held for too long. An INVITE whose shard nobody claimed in that time is placed in one of ours.
    pub(super) fn drop_held(&mut self, now: Timestamp) {
        while self.shards.held.front().is_some_and(|held| held.until <= now) {
            let Some(held) = self.shards.held.pop_front() else { break };
            match held.early {
                Early::Message(message, flow)
                    if makes_dialog(&message) && self.owned_shard_near(held.shard).is_some() =>
                {
                    self.transactions.handle_message(now, message, flow);
                    self.pump_transactions(now);
                }
                early => self.drop_early(early),
            }
        }
        while self.shards.forget.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, name)) = self.shards.forget.pop_front() {
                self.shards.taken_over.remove(&name);
            }
        }
    }

    /// True for an INVITE that a dead node's dialog was made by: it must make no second one. Its 2xx goes out again if it has
    /// no ACK yet; else it is absorbed, as its transaction would have (RFC 6026 §8.7).
    pub(super) fn absorbs(&mut self, invite: &Request, flow: Flow) -> bool {
        if self.shards.taken_over.is_empty() {
            return false;
        }
        let name = self.name(invite.call_id(), invite.from_tag().unwrap_or_default());
        let entry = self.shards.taken_over.get(&name).and_then(|key| self.directory.get(key));
        match entry.map(|entry| snapshot::repeated(&entry.snapshot, invite)) {
            None | Some(Repeated::No) => false,
            Some(Repeated::Settled) => true,
            Some(Repeated::Unacked(answer)) => {
                self.transmit(flow, answer);
                true
            }
        }
    }

    /// A dialog by what its INVITE says of it; two of the same name are told apart by [`snapshot::repeated`].
    fn name(&self, call_id: &str, tag: &str) -> u64 {
        self.config.tags.branch_hash(&[call_id.as_bytes(), tag.as_bytes()])
    }

    /// A SIP client sends it again, an application is told.
    fn drop_early(&mut self, early: Early) {
        match early {
            Early::Copy(..) => return,
            Early::Message(..) => {}
            Early::Input(_, input) => self.effects.extend(input.unknown_dialog()),
        }
        self.counts.dropped += 1;
    }

    /// This node owns the shard from now on: its dialogs are passive here, and `on_recovered` will run for each.
    pub fn handle_activated(
        &mut self,
        now: Timestamp,
        shard: Shard,
        lost: Option<&NodeId>,
        items: Vec<Stored>,
    ) {
        if let Some(active) = &mut self.shards.active {
            active[usize::from(shard.0)] = true;
        }
        for item in items {
            self.adopt(now, lost, item);
        }
        self.release_held(now, shard);
    }

    /// These shards are other nodes': their actors stop, what waits for a confirmation here is never sent.
    pub fn handle_retired(&mut self, now: Timestamp, shards: &HashSet<Shard>) {
        if let Some(active) = &mut self.shards.active {
            shards.iter().for_each(|shard| active[usize::from(shard.0)] = false);
        }
        self.fence.retire(|shard| shards.contains(&shard));
        let keys: Vec<Key> =
            self.directory.keys().filter(|key| shards.contains(&key.shard())).copied().collect();
        // A call that only rang here is nowhere else: nobody but us can tell its caller.
        let is_early = |key: &&Key| self.directory.get(*key).is_some_and(|entry| entry.snapshot.is_empty());
        let early: OwnIdSet<Key> = keys.iter().filter(is_early).copied().collect();
        self.refuse_invites(now, |key| early.contains(&key));
        for key in keys {
            self.forget(key);
        }
        self.forget_open(|of| shards.contains(&of.shard()));
    }

    /// Drops all there is of a dialog, and says nothing.
    fn forget(&mut self, key: Key) {
        self.gate.retire(key);
        self.calls.remove(&key);
        self.looked_up.remove(&key);
        if let Some(Slot::Active { actor, .. }) = self.directory.remove(&key).map(|entry| entry.slot) {
            self.effects.push_back(Effect::Stop { actor });
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
        // Ownership rule 10: what is terminated stays so, whatever its version.
        if self
            .directory
            .get(&key)
            .is_some_and(|entry| entry.ended || (entry.version >= item.version && !item.terminated))
        {
            return;
        }
        self.forget(key);
        if item.body.is_empty() {
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
            entry.takeover = lost.is_some();
            self.counts.taken_over += u64::from(lost.is_some());
            entry.deadline = peek.timer;
            let name = self.name(&peek.call_id, &peek.remote_tag);
            self.shards.taken_over.insert(name, key);
            self.shards.forget.push_back((now + limits::TOMBSTONE_TTL, name));
            // A dialog in the middle of something goes on at once, the quiet ones in the background.
            match peek.urgent {
                true => self.shards.recovering.push_front(key),
                false => self.shards.recovering.push_back(key),
            }
        }
        if let Some(at) = entry.deadline {
            self.deadlines.push(at, key);
        }
        self.directory.insert(key, entry);
    }

    fn release_held(&mut self, now: Timestamp, shard: Shard) {
        self.release(now, |held| held.shard == shard);
    }

    /// Looks at everything held again.
    pub(super) fn release_all(&mut self, now: Timestamp) {
        self.release(now, |_| true);
    }

    fn release(&mut self, now: Timestamp, is_free: impl Fn(&Held) -> bool) {
        if self.shards.held.is_empty() {
            return;
        }
        let (free, held): (VecDeque<_>, _) =
            std::mem::take(&mut self.shards.held).into_iter().partition(&is_free);
        self.shards.held = held;
        for held in free {
            match held.early {
                Early::Message(message, flow) | Early::Copy(message, flow) => {
                    self.handle_message(now, message, flow, true);
                }
                Early::Input(key, input) => self.handle_input(now, key, input),
            }
        }
    }
}

/// An INVITE without a To tag.
fn makes_dialog(message: &Message) -> bool {
    matches!(message, Message::Request(request) if *request.method() == Method::Invite && request.to_tag().is_none())
}

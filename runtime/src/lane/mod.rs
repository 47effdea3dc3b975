//! A lane: everything one core needs to run its share of the dialogs, as a pure machine.
//!
//! A lane holds the transactions, the directory of dialogs, their deadlines and the commit gate of the shards that fall
//! to it. It reads no socket and no clock and runs no actor: messages, time, the outcomes of steps and news of the
//! cluster go in, [`Effect`]s come out. A node drives it with real ones, the simulator with a virtual clock.

mod deadlines;
mod directory;
mod effect;
mod fence;
mod inbound;
mod outbound;
mod shards;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdline_cluster::engine::Durability;
use holdline_cluster::id::{Key, NodeId, SHARDS, Shard};
use holdline_cluster::own_ids::{OwnIdSet, OwnIds};
use holdline_sip::dialog;
use holdline_sip::transaction::{self, ClientTransactionId, ServerTransactionId, Transactions};
use holdline_sip::wire::{Message, Method, Request};
use holdline_sip::{Flow, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use self::effect::Effect;

use self::deadlines::Deadlines;
use self::directory::{Directory, Entry, Slot};
use self::fence::Fence;
use self::shards::{Early, Shards};
use crate::commit::Gate;
use crate::limits;
use crate::recovery::snapshot;
use crate::routing::TagKey;
use crate::step::{Birth, Input};

/// Who owns what, as far as this node knows now.
pub trait Ownership: Send + Sync {
    /// True if this node owns the shard and may write in it.
    fn owns(&self, shard: Shard) -> bool;
    /// The live node, other than this one, that owns the shard.
    fn owner(&self, shard: Shard) -> Option<NodeId>;
    /// True if the shard's requests may come here although another node owns it: placement has this node first or second, and
    /// that is where balancers send them.
    fn is_near(&self, shard: Shard) -> bool;
}

/// A node alone: it owns everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Ownership for Alone {
    fn owns(&self, _: Shard) -> bool {
        true
    }

    fn owner(&self, _: Shard) -> Option<NodeId> {
        None
    }

    fn is_near(&self, _: Shard) -> bool {
        true
    }
}

/// What all lanes of a node share.
#[derive(Debug, Clone)]
pub struct Config {
    /// Contact, Via and timers of the dialogs.
    pub dialog: Arc<dialog::Config>,
    /// Keys of our tags.
    pub tags: TagKey,
    /// How durable a version must be before what it says leaves; `None` for a node alone.
    pub durability: Option<Durability>,
    /// An established dialog without a step for this long is passivated.
    pub passivate_after: Duration,
    /// Lanes of this node; shard `s` falls to lane `s % lanes`.
    pub lanes: u16,
    /// This lane.
    pub lane: u16,
}

/// The user of a client transaction: which request of which dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    pub(crate) key: Key,
    pub(crate) cseq: u32,
    pub(crate) method: Method,
}

/// Numbers of a lane; all but the last group must be zero when no call is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Dialogs in the directory, tombstones included.
    pub dialogs: usize,
    /// Of these, running actors.
    pub active: usize,
    /// Transactions in any state.
    pub transactions: usize,
    /// Deadlines of dialogs that count.
    pub timers: usize,
    /// Dialogs with something waiting for a confirmation.
    pub waiting: usize,
    /// Requests held for a shard that is about to be ours.
    pub held: usize,
    /// Dialogs taken over from dead nodes, since the start.
    pub taken_over: u64,
    /// Of these, those whose `on_recovered` has run.
    pub recovered: u64,
    /// Inputs dropped at a bound, since the start.
    pub dropped: u64,
    /// Snapshots that could not be read, since the start.
    pub unreadable: u64,
    /// Versions too large to be replicated, since the start.
    pub oversized: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.dialogs += other.dialogs;
        self.active += other.active;
        self.transactions += other.transactions;
        self.timers += other.timers;
        self.waiting += other.waiting;
        self.held += other.held;
        self.taken_over += other.taken_over;
        self.recovered += other.recovered;
        self.dropped += other.dropped;
        self.unreadable += other.unreadable;
        self.oversized += other.oversized;
    }
}

/// See the module's page. `A` is the driver's handle of a running dialog actor.
pub struct Lane<A> {
    config: Config,
    ownership: Arc<dyn Ownership>,
    transactions: Transactions<Sender>,
    directory: Directory<A>,
    deadlines: Deadlines,
    gate: Gate,
    /// Dialogs by the time they may become idle, oldest first.
    idle: VecDeque<(Timestamp, Key)>,
    /// Requests handed to dialogs that have no final response: for CANCEL, and should the dialog's handler panic.
    open: OwnIds<ServerTransactionId, (Key, Request)>,
    /// Our own INVITEs without a final response, for CANCEL.
    calls: OwnIds<Key, ClientTransactionId>,
    /// Our own INVITEs whose target is being looked up: a CANCEL takes them off, and they are not sent.
    looked_up: OwnIdSet<Key>,
    shards: Shards,
    fence: Fence,
    rng: StdRng,
    lives: u64,
    counts: Counts,
    effects: VecDeque<Effect<A>>,
}

impl<A: Clone> Lane<A> {
    /// `seed` must be secret and new for each lane: tags and branches are drawn from it.
    pub fn new(config: Config, ownership: Arc<dyn Ownership>, seed: [u8; 32]) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let transactions = Transactions::new(transaction::Config {
            timers: config.dialog.timers,
            capacity: limits::TRANSACTIONS_PER_LANE_MAX,
            hash_seed: [rng.random(), rng.random()],
        });
        let shards = Shards::new(config.durability.is_none());
        Self {
            config,
            ownership,
            transactions,
            directory: Directory::default(),
            deadlines: Deadlines::default(),
            gate: Gate::default(),
            idle: VecDeque::new(),
            open: OwnIds::default(),
            calls: OwnIds::default(),
            looked_up: OwnIdSet::default(),
            shards,
            fence: Fence::default(),
            rng,
            lives: 0,
            counts: Counts::default(),
            effects: VecDeque::new(),
        }
    }

    /// A message came in. `hopped`: another node sent it on to us, so it is not sent on again.
    pub fn handle_message(&mut self, now: Timestamp, message: Message, flow: Flow, hopped: bool) {
        match self.gatekeep(now, &message, flow, hopped) {
            Some(()) => self.transactions.handle_message(now, message, flow),
            None => return,
        }
        self.pump_transactions(now);
    }

    /// Nothing can be sent on this flow.
    pub fn handle_transport_error(&mut self, now: Timestamp, flow: Flow) {
        self.transactions.handle_transport_error(now, flow);
        self.pump_transactions(now);
    }

    /// The actor that [`Effect::Spawn`] asked for runs.
    pub fn started(&mut self, key: Key, life: u64, actor: A) {
        let Some(entry) = self.directory.get_mut(&key).filter(|entry| entry.life == life) else {
            self.effects.push_back(Effect::Stop { actor });
            return;
        };
        if !matches!(entry.slot, Slot::Starting { .. }) {
            self.effects.push_back(Effect::Stop { actor });
            return;
        }
        let Slot::Starting { waiting, depth } = std::mem::replace(&mut entry.slot, Slot::Passive) else {
            return;
        };
        entry.slot = Slot::Active { actor: actor.clone(), depth };
        self.effects.extend(
            waiting.into_iter().map(|input| Effect::Deliver { actor: actor.clone(), input: Box::new(input) }),
        );
        self.bury(key);
    }

    /// The actor that [`Effect::Spawn`] asked for cannot run, since the application's data cannot be read.
    pub fn start_failed(&mut self, now: Timestamp, key: Key, life: u64) {
        if self.directory.get(&key).is_some_and(|entry| entry.life == life) {
            self.counts.unreadable += 1;
            self.directory.remove(&key);
            self.refuse_invites(now, |of| of == key);
        }
    }

    /// The dialog's actor of this life failed: the dialog goes back to its last snapshot, or is gone if it was early.
    pub fn failed(&mut self, now: Timestamp, key: Key, life: u64) {
        let Some(entry) = self.directory.get_mut(&key).filter(|entry| entry.life == life) else { return };
        if entry.snapshot.is_empty() {
            self.directory.remove(&key);
            self.refuse_invites(now, |of| of == key);
        } else {
            entry.slot = Slot::Passive;
            entry.busy = false;
            self.forget_open(|of| of == key);
            let Some(entry) = self.directory.get_mut(&key) else { return };
            // What was due or under way is taken up again, a little later in case it fails again.
            let at = now + limits::AFTER_FAILURE;
            entry.deadline = Some(at);
            self.deadlines.push(at, key);
        }
    }

    /// An application, here or on another node, uses the dialog. An unknown one is answered at once.
    pub fn handle_input(&mut self, now: Timestamp, key: Key, input: Input) {
        match self.owns(key.shard()) {
            true => self.deliver(now, key, input),
            false => self.hold(now, key.shard(), Early::Input(key, input)),
        }
    }

    /// Places a call: the dialog exists from now on under the returned id, its INVITE is on the way.
    pub fn handle_call(
        &mut self,
        now: Timestamp,
        call: dialog::Call,
        key: Key,
    ) -> Result<dialog::DialogId, dialog::DialogError> {
        let core = dialog::Dialog::uac(now, &self.config.dialog, call)?;
        let id = core.id().clone();
        self.born(now, key, core, Input::Start);
        Ok(id)
    }

    /// A shard of this lane that this node owns, near a pseudo-random start.
    #[must_use]
    pub fn pick_shard(&mut self) -> Option<Shard> {
        let start = Shard(self.rng.random_range(0..SHARDS));
        self.owned_shard_near(start)
    }

    /// A new key in this shard.
    #[must_use]
    pub fn new_key(&mut self, shard: Shard) -> Key {
        let group: u64 = self.rng.random::<u64>() >> 4;
        Key { placement: shard.keys().start().placement, id: group << 2 }
    }

    /// Random text for Call-IDs and branches: 20 characters, 100 bits.
    #[must_use]
    pub fn nonce(&mut self) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let bits: u128 = self.rng.random();
        (0..20).map(|i| char::from(ALPHABET[(bits >> (5 * i)) as usize & 31])).collect()
    }

    /// Fires what is due: transaction timers, dialog deadlines, passivation, recovery in the background, held requests.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.lower_fence(now);
        if self.fence.is_up() {
            return;
        }
        self.transactions.handle_timeout(now);
        self.pump_transactions(now);
        while let Some((at, key)) = self.deadlines.pop_due(now) {
            self.fire(now, at, key);
        }
        self.passivate(now);
        self.recover_some(now);
        self.drop_held(now);
        let directory = &self.directory;
        self.deadlines.compact(directory.len(), |at, key| {
            directory.get(&key).is_some_and(|entry| entry.deadline == Some(at))
        });
    }

    /// When [`Self::handle_timeout`] has something to do, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let idle = self.idle.front().map(|(touched, _)| *touched + self.config.passivate_after);
        let soon = self.shards.next();
        [self.transactions.poll_timeout(), self.deadlines.next(), idle, soon].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect<A>> {
        self.effects.pop_front()
    }

    /// Numbers of now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let active = self.directory.values().filter(|e| !matches!(e.slot, Slot::Passive)).count();
        Counts {
            dialogs: self.directory.len(),
            active,
            transactions: self.transactions.counts().total(),
            timers: self.directory.values().filter(|e| e.deadline.is_some()).count(),
            waiting: self.gate.len(),
            held: self.shards.held(),
            ..self.counts
        }
    }

    fn fire(&mut self, now: Timestamp, at: Timestamp, key: Key) {
        let Some(entry) = self.directory.get_mut(&key).filter(|entry| entry.deadline == Some(at)) else {
            return;
        };
        entry.deadline = None;
        if entry.ended && matches!(entry.slot, Slot::Passive) {
            self.directory.remove(&key);
            return;
        }
        self.deliver(now, key, Input::Deadline);
    }

    /// Hands an input to the dialog's actor, which is started first if the dialog is passive.
    fn deliver(&mut self, now: Timestamp, key: Key, input: Input) {
        let Some(entry) = self.directory.get_mut(&key) else {
            self.effects.extend(input.unknown_dialog());
            return;
        };
        match &mut entry.slot {
            Slot::Passive => self.activate(now, key, input),
            slot if slot.depth() >= limits::DIALOG_DEPTH_MAX => self.counts.dropped += 1,
            Slot::Active { actor, depth } => {
                *depth += 1;
                let input = Box::new(input);
                self.effects.push_back(Effect::Deliver { actor: actor.clone(), input });
            }
            Slot::Starting { waiting, depth } => {
                *depth += 1;
                waiting.push(input);
            }
        }
    }

    /// Starts the actor of a passive dialog; after a takeover `on_recovered` comes before anything else.
    fn activate(&mut self, now: Timestamp, key: Key, input: Input) {
        let Some(entry) = self.directory.get_mut(&key) else { return };
        let lost = entry.recovered_from.take();
        let restored = snapshot::restore(now, &self.config.dialog, key, &entry.snapshot, entry.takeover);
        let mut birth = match restored {
            Ok(birth) => birth,
            Err(error) => {
                tracing::error!(?key, %error, "a dialog's snapshot cannot be read: the dialog is given up");
                self.counts.unreadable += 1;
                self.directory.remove(&key);
                self.effects.extend(input.unknown_dialog());
                return;
            }
        };
        self.lives += 1;
        birth.life = self.lives;
        birth.version = entry.version;
        entry.life = self.lives;
        entry.touched = now;
        let (first, then) = match lost {
            Some(lost) => (Input::Recovered { lost }, vec![input]),
            None => (input, Vec::new()),
        };
        self.counts.recovered += u64::from(!then.is_empty());
        entry.slot =
            Slot::starting(then.into_iter().filter(|input| !matches!(input, Input::Recover)).collect());
        self.effects.push_back(Effect::Spawn { key, birth: Box::new(birth), input: Box::new(first) });
    }

    /// A new dialog: its actor starts with `input`.
    fn born(&mut self, now: Timestamp, key: Key, core: dialog::Dialog, input: Input) {
        self.lives += 1;
        self.directory.insert(key, Entry::new(self.lives, now));
        let birth = Birth {
            core,
            key,
            life: self.lives,
            version: 0,
            last: Bytes::new(),
            data: None,
            timers: Vec::new(),
        };
        self.effects.push_back(Effect::Spawn { key, birth: Box::new(birth), input: Box::new(input) });
    }

    /// Stops actors of dialogs that have been idle: their snapshot is all there is to them.
    fn passivate(&mut self, now: Timestamp) {
        while let Some((touched, key)) = self.idle.front().copied() {
            if touched + self.config.passivate_after > now {
                break;
            }
            self.idle.pop_front();
            let Some(entry) = self.directory.get_mut(&key) else { continue };
            if entry.touched > touched {
                self.idle.push_back((entry.touched, key));
            } else if entry.is_idle() && !self.gate.is_waiting(key) {
                entry.watched = false;
                if let Slot::Active { actor, .. } = std::mem::replace(&mut entry.slot, Slot::Passive) {
                    self.effects.push_back(Effect::Stop { actor });
                }
            } else {
                entry.touched = now;
                self.idle.push_back((now, key));
            }
        }
    }
}

//! The transaction layer (RFC 3261 §17, RFC 6026): one table of small values, one queue of deadlines, no task per transaction.
//!
//! Messages go in by [`Transactions::handle_message`], the transaction users' wishes by [`respond`](Transactions::respond),
//! [`send_request`](Transactions::send_request) and [`cancel`](Transactions::cancel), time by
//! [`handle_timeout`](Transactions::handle_timeout). After each of them the caller drains
//! [`poll_effect`](Transactions::poll_effect). Retransmissions are absorbed and answered here, without an allocation.
//!
//! The four machines are tables in one file each: `invite_server`, `non_invite_server`, `invite_client`,
//! `non_invite_client`. A table row says what is done (`machine::Action`); `server` and `client` do it.
//!
//! No RFC bounds how long a TU may leave a request unanswered. Here a non-INVITE request is given up after 64·T1, and an
//! INVITE after twice timer C without a response from the TU, so that no table leaks.

mod client;
mod compose;
mod counts;
mod deadlines;
mod effect;
mod error;
mod invite_client;
mod invite_server;
mod key;
mod machine;
mod non_invite_client;
mod non_invite_server;
mod return_path;
mod server;
mod slab;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use client::ClientTransaction;
pub use counts::{Counters, Counts};
use deadlines::{Clock, Deadlines, Side};
pub use effect::Effect;
pub use error::Error;
use key::{Index, KeyMaker};
use machine::{ClientInput, ServerInput};
use server::ServerTransaction;
use slab::{Slab, Slot};
pub use timers::Timers;

use crate::wire::Message;
use crate::{Flow, Timestamp};

/// How a table behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The base values of all timers.
    pub timers: Timers,
    /// Transactions held at most. New calls above it get 503 and leave no state; requests inside a dialog and CANCELs
    /// may take an eighth more, since they are what ends calls.
    pub capacity: usize,
    /// Secret under which keys are hashed; random per process, so that nobody can choose branches that collide.
    pub hash_seed: [u64; 2],
}

impl Default for Config {
    /// RFC timers, and [`CAPACITY`] transactions; the seed is zero and should be set by whoever faces a network.
    fn default() -> Self {
        Config { timers: Timers::default(), capacity: CAPACITY, hash_seed: [0, 0] }
    }
}

/// Default bound of a table: what 4,000 calls/s leave behind at two transactions a call, each held for 32 s.
pub const CAPACITY: usize = 1 << 18;

/// The server and client transactions of one shard.
///
/// ```
/// use bytes::Bytes;
/// use holdline_sip::transaction::{Config, Effect, Transactions};
/// use holdline_sip::wire::{Message, Response, StatusCode};
/// use holdline_sip::{Flow, Timestamp};
///
/// let mut transactions: Transactions<()> = Transactions::new(Config::default());
/// let now = Timestamp::from_secs(1_800_000_000);
/// let flow = Flow::udp(([192, 0, 2, 1], 5060).into());
/// let options = Message::parse(Bytes::from_static(
///     b"OPTIONS sip:bob@example.com SIP/2.0\r\n\
///       Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK7\r\n\
///       From: <sip:ann@example.org>;tag=a\r\nTo: <sip:bob@example.com>\r\n\
///       Call-ID: 1@example.org\r\nCSeq: 1 OPTIONS\r\n\r\n",
/// ))?;
///
/// transactions.handle_message(now, options.clone(), flow);
/// let Some(Effect::Request { id, request, .. }) = transactions.poll_effect() else { panic!("a request") };
/// let ok = Response::builder(StatusCode::OK, &request).to_tag("b").build();
/// transactions.respond(now, &id, ok)?;
/// assert!(matches!(transactions.poll_effect(), Some(Effect::Transmit { .. })));
///
/// // The same request again is answered here.
/// transactions.handle_message(now, options, flow);
/// assert!(matches!(transactions.poll_effect(), Some(Effect::Transmit { .. })));
/// assert!(transactions.poll_effect().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Transactions<U> {
    config: Config,
    keys: KeyMaker,
    servers: Slab<ServerTransaction>,
    server_index: Index<Slot>,
    clients: Slab<ClientTransaction<U>>,
    client_index: Index<Slot>,
    deadlines: Deadlines,
    failed: Vec<Flow>,
    failed_at: Timestamp,
    effects: VecDeque<Effect<U>>,
    counts: Counts,
    counters: Counters,
}

/// Room that an index keeps when nothing is left in it.
const INDEX_KEPT: usize = 1_024;
/// Transport failures remembered until the next `handle_timeout`; any more in one tick are left to the timers.
const FAILED_FLOWS_MAX: usize = 64;

impl<U: Clone> Transactions<U> {
    /// An empty table.
    pub fn new(mut config: Config) -> Self {
        // A timer that fires the moment it is set would never let `handle_timeout` return.
        let shortest = std::time::Duration::from_millis(1);
        for base in [&mut config.timers.t1, &mut config.timers.t2] {
            *base = (*base).max(shortest);
        }
        Transactions {
            keys: KeyMaker::new(config.hash_seed),
            config,
            servers: Slab::new(),
            server_index: Index::default(),
            clients: Slab::new(),
            client_index: Index::default(),
            deadlines: Deadlines::new(),
            failed: Vec::new(),
            failed_at: Timestamp::ZERO,
            effects: VecDeque::new(),
            counts: Counts::default(),
            counters: Counters::default(),
        }
    }

    /// Takes a message from the network.
    pub fn handle_message(&mut self, now: Timestamp, message: Message, flow: Flow) {
        match message {
            Message::Request(request) => self.handle_request(now, request, flow),
            Message::Response(response) => self.handle_response(now, response, flow),
        }
    }

    /// Something could not be sent over `flow`; its transactions are told at the next [`handle_timeout`](Self::handle_timeout),
    /// which is due at once. Any number of failures between two of them costs one pass over the table.
    pub fn handle_transport_error(&mut self, now: Timestamp, flow: Flow) {
        self.counters.transport_errors += 1;
        if self.failed.is_empty() {
            self.failed_at = now;
        }
        if self.failed.len() < FAILED_FLOWS_MAX && !self.failed.contains(&flow) {
            self.failed.push(flow);
        }
    }

    /// Fires every timer that is due at `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.fail_flows(now);
        while let Some(entry) = self.deadlines.pop_due(now) {
            let clock = match entry.side {
                Side::Server => self.servers.get_mut(entry.slot).map(|transaction| &mut transaction.clock),
                Side::Client => self.clients.get_mut(entry.slot).map(|transaction| &mut transaction.clock),
            };
            let Some(clock) = clock.filter(|clock| clock.is_queued_for(entry.at)) else {
                self.deadlines.dropped();
                continue;
            };
            clock.unqueue();
            match (clock.take_due(now), entry.side) {
                (None, side) => self.deadlines.queue(clock, side, entry.slot),
                (Some(timer), Side::Server) => self.fire_server(now, entry.slot, timer),
                (Some(timer), Side::Client) => self.fire_client(now, entry.slot, timer),
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, `None` if nothing is running. It may find nothing to do then.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let failed_at = (!self.failed.is_empty()).then_some(self.failed_at);
        match (failed_at, self.deadlines.next()) {
            (Some(failed_at), Some(next)) => Some(failed_at.min(next)),
            (failed_at, next) => failed_at.or(next),
        }
    }

    /// The next thing to do, in order; to be drained after every other verb.
    pub fn poll_effect(&mut self) -> Option<Effect<U>> {
        self.effects.pop_front()
    }

    /// The live transactions of each kind.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What has happened since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Entries in the deadline queue: at most twice the live transactions and a constant.
    pub fn timers_queued(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether one more transaction may be opened.
    fn has_room(&self, inside_dialog: bool) -> bool {
        let reserve = if inside_dialog { self.config.capacity / 8 } else { 0 };
        self.servers.len() + self.clients.len() < self.config.capacity.saturating_add(reserve)
    }

    fn fail_flows(&mut self, now: Timestamp) {
        if self.failed.is_empty() {
            return;
        }
        let failed = std::mem::take(&mut self.failed);
        let has_failed = |flow: &Flow| failed.contains(flow);
        let servers: Vec<Slot> = self
            .servers
            .iter()
            .filter(|(_, server)| has_failed(&server.flow))
            .map(|(slot, _)| slot)
            .collect();
        let clients: Vec<Slot> = self
            .clients
            .iter()
            .filter(|(_, client)| has_failed(&client.flow))
            .map(|(slot, _)| slot)
            .collect();
        for slot in servers {
            self.drive_server(now, slot, ServerInput::TransportError, &mut server::Carried::nothing()).ok();
        }
        for slot in clients {
            self.drive_client(now, slot, ClientInput::TransportError, &mut None).ok();
        }
    }

    /// A transaction has ended and left its clock.
    fn forget_clock(&mut self, clock: &Clock) {
        if self.servers.len() + self.clients.len() == 0 {
            self.deadlines.clear();
            self.servers.release();
            self.clients.release();
            self.server_index.shrink_to(INDEX_KEPT);
            self.client_index.shrink_to(INDEX_KEPT);
            return;
        }
        self.deadlines.forget(clock);
    }

    fn compact_deadlines(&mut self) {
        let (servers, clients) = (&self.servers, &self.clients);
        self.deadlines.compact(|entry| {
            let clock = match entry.side {
                Side::Server => servers.get(entry.slot).map(|server| &server.clock),
                Side::Client => clients.get(entry.slot).map(|client| &client.clock),
            };
            clock.is_some_and(|clock| clock.is_queued_for(entry.at))
        });
    }
}

/// Names one server transaction of one table while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerTransactionId(Slot);

/// Names one client transaction of one table while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientTransactionId(Slot);

impl ServerTransactionId {
    /// The id as a number, for drivers that keep it outside this process's types.
    pub fn to_bits(self) -> u64 {
        self.0.to_bits()
    }

    /// The id a number stands for; of a transaction that never was it is as harmless as that of an ended one.
    pub fn from_bits(bits: u64) -> Self {
        ServerTransactionId(Slot::from_bits(bits))
    }
}

impl ClientTransactionId {
    /// The id as a number, for drivers that keep it outside this process's types.
    pub fn to_bits(self) -> u64 {
        self.0.to_bits()
    }

    /// The id a number stands for; of a transaction that never was it is as harmless as that of an ended one.
    pub fn from_bits(bits: u64) -> Self {
        ClientTransactionId(Slot::from_bits(bits))
    }
}

impl From<ServerTransactionId> for Slot {
    fn from(id: ServerTransactionId) -> Slot {
        id.0
    }
}

impl From<ClientTransactionId> for Slot {
    fn from(id: ClientTransactionId) -> Slot {
        id.0
    }
}

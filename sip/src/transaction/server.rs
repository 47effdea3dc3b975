//! Server transactions: finds the one a request belongs to, steps its machine, and does what the step says.

use std::collections::VecDeque;

use bytes::Bytes;

use super::deadlines::{Clock, Side};
use super::key::{Key, is_rfc3261};
use super::machine::{Action, ServerInput};
use super::slab::Slot;
use super::timers::Timer;
use super::{Effect, Error, ServerTransactionId, Transactions};
use super::{compose, invite_server, non_invite_server, return_path};
use crate::wire::{Method, Request, Response, peek};
use crate::{Flow, Timestamp};

/// One server transaction; at most 192 bytes beside its last response.
pub(super) struct ServerTransaction {
    pub(super) clock: Clock,
    /// Where its responses go.
    pub(super) flow: Flow,
    machine: Machine,
    key: Key,
    /// Matched by RFC 2543's rules, where the ACK's To tag counts too.
    rfc2543: bool,
    /// The INVITE until its first response, for the 100; empty otherwise.
    request: Bytes,
    /// The last response, if it is ours to send again for each retransmission of the request.
    last: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Machine {
    Invite(invite_server::State),
    NonInvite(non_invite_server::State),
}

impl Machine {
    fn step(self, input: ServerInput) -> Option<(Machine, &'static [Action])> {
        match self {
            Machine::Invite(state) => {
                invite_server::step(state, input).map(|step| (Machine::Invite(step.next), step.actions))
            }
            Machine::NonInvite(state) => non_invite_server::step(state, input)
                .map(|step| (Machine::NonInvite(step.next), step.actions)),
        }
    }

    fn is_terminated(self) -> bool {
        matches!(
            self,
            Machine::Invite(invite_server::State::Terminated)
                | Machine::NonInvite(non_invite_server::State::Terminated)
        )
    }

    fn is_invite(self) -> bool {
        matches!(self, Machine::Invite(_))
    }
}

/// What an input brings along; by reference, since requests are large and most inputs bring nothing.
pub(super) struct Carried<U> {
    /// Our response; empty if the input is none.
    response: Bytes,
    /// What the TU is told if the step says so.
    news: Option<Effect<U>>,
}

impl<U> Carried<U> {
    pub(super) fn nothing() -> Self {
        Carried { response: Bytes::new(), news: None }
    }

    fn response(response: &Response) -> Self {
        Carried { response: response.as_bytes().clone(), news: None }
    }

    fn news(news: Effect<U>) -> Self {
        Carried { response: Bytes::new(), news: Some(news) }
    }
}

/// The state has no use for the input; nothing was changed.
#[derive(Debug)]
pub(super) struct Refused;

impl<U: Clone> Transactions<U> {
    /// Answers a request: any number of 1xx, then one final response; after a 2xx to an INVITE further 2xx (RFC 6026).
    pub fn respond(
        &mut self,
        now: Timestamp,
        id: &ServerTransactionId,
        response: Response,
    ) -> Result<(), Error> {
        let slot = Slot::from(*id);
        if self.servers.get(slot).is_none() {
            return Err(Error::NoSuchTransaction);
        }
        let status = response.status();
        let input = if status.is_provisional() {
            ServerInput::Provisional
        } else if status.is_success() {
            ServerInput::Success
        } else {
            ServerInput::Failure
        };
        let mut carried = Carried::response(&response);
        self.drive_server(now, slot, input, &mut carried).map_err(|Refused| Error::AlreadyAnswered)
    }

    /// Drops a server transaction without a word: the client sends its request again, and that starts a new one.
    pub fn forget(&mut self, id: &ServerTransactionId) {
        self.remove_server(Slot::from(*id));
    }

    /// Whether a request is one again that has its transaction here, or the CANCEL of an INVITE that has (RFC 3261 §17.2.3, §9.2).
    pub fn knows(&mut self, request: &Request) -> bool {
        let method = if *request.method() == Method::Cancel { &Method::Invite } else { request.method() };
        let key = self.keys.server(request, method);
        self.server_index.contains_key(&key)
    }

    pub(super) fn handle_request(&mut self, now: Timestamp, request: Request, flow: Flow) {
        if *request.method() == Method::Ack {
            return self.handle_ack(now, request, flow);
        }
        let key = self.keys.server(&request, request.method());
        match self.server_index.get(&key) {
            Some(&slot) => {
                self.counters.retransmissions_in += 1;
                self.drive_server(now, slot, ServerInput::Request, &mut Carried::nothing()).ok();
            }
            None => self.open_server(now, key, request, flow),
        }
    }

    // RFC 3261 §17.2.1, RFC 6026 §7.1: the ACK for a failure has the INVITE's branch and ends here.
    fn handle_ack(&mut self, now: Timestamp, ack: Request, flow: Flow) {
        let key = self.keys.server(&ack, &Method::Invite);
        let slot = self.server_index.get(&key).copied();
        let own = slot.filter(|&slot| self.servers.get(slot).is_some_and(|invite| invite.takes_ack(&ack)));
        let Some(slot) = own else {
            self.effects.push_back(Effect::Ack { request: ack, flow });
            return;
        };
        let mut carried = Carried::news(Effect::Ack { request: ack, flow });
        if self.drive_server(now, slot, ServerInput::Ack, &mut carried).is_err() {
            self.counters.ignored += 1;
        }
    }

    fn open_server(&mut self, now: Timestamp, key: Key, mut request: Request, flow: Flow) {
        let is_cancel = *request.method() == Method::Cancel;
        let flow = return_path::prepare(&mut request, flow);
        if !self.has_room(is_cancel || request.to_tag().is_some()) {
            // RFC 3261 §21.5.4; §8.2.7: kept nowhere, a retransmission is refused anew.
            self.counters.refused += 1;
            let bytes = compose::overloaded(&request, key).as_bytes().clone();
            self.effects.push_back(Effect::Transmit { flow, bytes });
            return;
        }
        let id = ServerTransactionId(self.insert_server(ServerTransaction::new(key, &request, flow)));
        let invite = if is_cancel { self.invite_of(&request) } else { None };
        let (input, mut carried) = match invite {
            Some(invite) => {
                (ServerInput::Start, Carried::news(Effect::Cancel { id: invite, cancel: id, request }))
            }
            // RFC 3261 §9.2.
            None if is_cancel => {
                self.counters.stray_cancels += 1;
                (ServerInput::Failure, Carried::response(&compose::no_such_transaction(&request, key)))
            }
            None => (ServerInput::Start, Carried::news(Effect::Request { id, request, flow })),
        };
        self.drive_server(now, id.0, input, &mut carried).ok();
    }

    /// The INVITE a CANCEL is for.
    fn invite_of(&mut self, cancel: &Request) -> Option<ServerTransactionId> {
        let key = self.keys.server(cancel, &Method::Invite);
        self.server_index.get(&key).copied().map(ServerTransactionId)
    }

    fn insert_server(&mut self, transaction: ServerTransaction) -> Slot {
        let key = transaction.key;
        *self.server_count(transaction.machine) += 1;
        self.counters.server_opened += 1;
        let slot = self.servers.insert(transaction);
        self.server_index.insert(key, slot);
        slot
    }

    fn server_count(&mut self, machine: Machine) -> &mut usize {
        if machine.is_invite() { &mut self.counts.invite_server } else { &mut self.counts.non_invite_server }
    }

    pub(super) fn fire_server(&mut self, now: Timestamp, slot: Slot, timer: Timer) {
        self.drive_server(now, slot, ServerInput::Timer(timer), &mut Carried::nothing()).ok();
    }

    /// Feeds one input to a machine, and after it every timer that runs for no time.
    pub(super) fn drive_server(
        &mut self,
        now: Timestamp,
        slot: Slot,
        input: ServerInput,
        carried: &mut Carried<U>,
    ) -> Result<(), Refused> {
        let mut pending = Some(input);
        while let Some(input) = pending.take() {
            let transaction = self.servers.get_mut(slot).ok_or(Refused)?;
            let (next, actions) = transaction.machine.step(input).ok_or(Refused)?;
            transaction.machine = next;
            let reliable = transaction.flow.transport.is_reliable();
            for &action in actions {
                let fired = transaction.clock.act(action, now, &self.config.timers, reliable);
                pending = pending.or(fired.map(ServerInput::Timer));
                match action {
                    Action::Resend if !transaction.last.is_empty() => self.counters.retransmissions_out += 1,
                    Action::TellTimeout => self.counters.timeouts += 1,
                    _ => {}
                }
                transaction.act(action, slot, carried, &mut self.effects);
            }
            self.deadlines.queue(&mut transaction.clock, Side::Server, slot);
            if next.is_terminated() {
                self.remove_server(slot);
            }
            self.compact_deadlines();
        }
        Ok(())
    }

    fn remove_server(&mut self, slot: Slot) {
        if let Some(transaction) = self.servers.remove(slot) {
            self.server_index.remove(&transaction.key);
            *self.server_count(transaction.machine) -= 1;
            self.forget_clock(&transaction.clock);
        }
    }
}

impl ServerTransaction {
    fn new(key: Key, request: &Request, flow: Flow) -> Self {
        let is_invite = *request.method() == Method::Invite;
        ServerTransaction {
            clock: Clock::new(),
            flow,
            machine: if is_invite {
                Machine::Invite(invite_server::State::Proceeding)
            } else {
                Machine::NonInvite(non_invite_server::State::Trying)
            },
            key,
            rfc2543: !is_rfc3261(request.branch()),
            request: if is_invite { request.as_bytes().clone() } else { Bytes::new() },
            last: Bytes::new(),
        }
    }

    /// Does one action that is not a timer's.
    fn act<U>(
        &mut self,
        action: Action,
        slot: Slot,
        carried: &mut Carried<U>,
        effects: &mut VecDeque<Effect<U>>,
    ) {
        let id = ServerTransactionId(slot);
        match action {
            Action::Send => {
                self.last = std::mem::take(&mut carried.response);
                self.transmit(effects);
                // RFC 6026 §7.1: a 2xx to an INVITE is the TU's to send again.
                if self.machine == Machine::Invite(invite_server::State::Accepted) {
                    self.last = Bytes::new();
                }
            }
            Action::SendTrying => {
                if let Some(invite) = compose::reread(&self.request) {
                    self.last = compose::trying(&invite).as_bytes().clone();
                    self.transmit(effects);
                }
            }
            Action::Resend if self.last.is_empty() => {}
            Action::Resend => self.transmit(effects),
            Action::Tell => effects.extend(carried.news.take()),
            Action::TellTimeout => effects.push_back(Effect::ServerTimeout { id }),
            Action::TellTransportError => effects.push_back(Effect::ServerTransportError { id }),
            _ => {}
        }
    }

    fn transmit<U>(&mut self, effects: &mut VecDeque<Effect<U>>) {
        // From the first response on the 100 needs no INVITE.
        self.request = Bytes::new();
        effects.push_back(Effect::Transmit { flow: self.flow, bytes: self.last.clone() });
    }

    // RFC 3261 §17.2.3: under RFC 2543's rules the ACK must carry the To tag of the response it acknowledges.
    fn takes_ack(&self, ack: &Request) -> bool {
        if !self.rfc2543 || self.last.is_empty() {
            return true;
        }
        peek(&self.last).and_then(|response| response.to_tag) == ack.to_tag()
    }
}

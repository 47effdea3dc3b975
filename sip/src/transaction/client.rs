//! Client transactions: opens them, finds the one a response belongs to, steps its machine, and does what the step says.

use std::collections::VecDeque;

use bytes::Bytes;

use super::deadlines::{Clock, Side};
use super::key::Key;
use super::machine::{Action, ClientInput};
use super::server::Refused;
use super::slab::Slot;
use super::timers::Timer;
use super::{ClientTransactionId, Effect, Error, Transactions};
use super::{compose, invite_client, non_invite_client};
use crate::wire::{Method, Request, Response};
use crate::{Flow, Timestamp};

/// One client transaction; at most 192 bytes beside its request.
pub(super) struct ClientTransaction<U> {
    pub(super) clock: Clock,
    /// Where its request goes.
    pub(super) flow: Flow,
    machine: Machine,
    key: Key,
    /// The INVITE is to be cancelled once a provisional response has come.
    wants_cancel: bool,
    /// What is sent again: the request, after a failure of an INVITE its ACK.
    last: Bytes,
    /// Nobody for a CANCEL, which this table sends by itself.
    user: Option<U>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Machine {
    Invite(invite_client::State),
    NonInvite(non_invite_client::State),
}

impl Machine {
    fn step(self, input: ClientInput) -> Option<(Machine, &'static [Action])> {
        match self {
            Machine::Invite(state) => {
                invite_client::step(state, input).map(|step| (Machine::Invite(step.next), step.actions))
            }
            Machine::NonInvite(state) => non_invite_client::step(state, input)
                .map(|step| (Machine::NonInvite(step.next), step.actions)),
        }
    }

    fn is_terminated(self) -> bool {
        matches!(
            self,
            Machine::Invite(invite_client::State::Terminated)
                | Machine::NonInvite(non_invite_client::State::Terminated)
        )
    }

    fn is_invite(self) -> bool {
        matches!(self, Machine::Invite(_))
    }
}

/// What an input brings along: a response, and where it came from.
pub(super) type Carried = Option<(Response, Flow)>;

impl<U: Clone> Transactions<U> {
    /// Sends a request that has our Via with a fresh branch on top, and keeps sending it until it is answered.
    pub fn send_request(
        &mut self,
        now: Timestamp,
        request: Request,
        flow: Flow,
        user: U,
    ) -> Result<ClientTransactionId, Error> {
        if *request.method() == Method::Ack {
            return Err(Error::Ack);
        }
        if request.branch().is_empty() {
            return Err(Error::NoBranch);
        }
        if !self.has_room(request.to_tag().is_some()) {
            return Err(Error::Full);
        }
        self.open_client(now, &request, flow, Some(user)).map(ClientTransactionId)
    }

    /// Cancels an INVITE (RFC 3261 §9.1): at once if a provisional response has come, else when it comes. Its own final
    /// response, 487 as a rule, or a timeout follows.
    pub fn cancel(&mut self, now: Timestamp, id: &ClientTransactionId) -> Result<(), Error> {
        let slot = Slot::from(*id);
        let invite = self.clients.get(slot).ok_or(Error::NoSuchTransaction)?;
        if !invite.machine.is_invite() {
            return Err(Error::NotCancellable);
        }
        self.drive_client(now, slot, ClientInput::Cancel, &mut None).map_err(|Refused| Error::AlreadyAnswered)
    }

    /// The live client transaction with this branch and method.
    pub fn client_transaction(&mut self, branch: &str, method: &Method) -> Option<ClientTransactionId> {
        let key = self.keys.client(branch, method);
        self.client_index.get(&key).copied().map(ClientTransactionId)
    }

    // RFC 3261 §17.1.3.
    pub(super) fn handle_response(&mut self, now: Timestamp, response: Response, flow: Flow) {
        let key = self.keys.client(response.branch(), &response.cseq().method);
        let Some(&slot) = self.client_index.get(&key) else {
            self.counters.stray_responses += 1;
            self.effects.push_back(Effect::StrayResponse { response, flow });
            return;
        };
        let status = response.status();
        let input = if status.is_provisional() {
            ClientInput::Provisional
        } else if status.is_success() {
            ClientInput::Success
        } else {
            ClientInput::Failure
        };
        if self.drive_client(now, slot, input, &mut Some((response, flow))).is_err() {
            self.counters.ignored += 1;
            return;
        }
        // RFC 3261 §9.1: the provisional response the CANCEL was waiting for.
        let waiting = self.clients.get(slot).is_some_and(|client| client.wants_cancel);
        if waiting && input == ClientInput::Provisional {
            self.drive_client(now, slot, ClientInput::Cancel, &mut None).ok();
        }
    }

    fn open_client(
        &mut self,
        now: Timestamp,
        request: &Request,
        flow: Flow,
        user: Option<U>,
    ) -> Result<Slot, Error> {
        let key = self.keys.client(request.branch(), request.method());
        if self.client_index.contains_key(&key) {
            return Err(Error::BranchInUse);
        }
        let transaction = ClientTransaction::new(key, request, flow, user);
        *self.client_count(transaction.machine) += 1;
        self.counters.client_opened += 1;
        let slot = self.clients.insert(transaction);
        self.client_index.insert(key, slot);
        self.drive_client(now, slot, ClientInput::Start, &mut None).ok();
        Ok(slot)
    }

    fn client_count(&mut self, machine: Machine) -> &mut usize {
        if machine.is_invite() { &mut self.counts.invite_client } else { &mut self.counts.non_invite_client }
    }

    pub(super) fn fire_client(&mut self, now: Timestamp, slot: Slot, timer: Timer) {
        self.drive_client(now, slot, ClientInput::Timer(timer), &mut None).ok();
    }

    /// Feeds one input to a machine, and after it every timer that runs for no time.
    pub(super) fn drive_client(
        &mut self,
        now: Timestamp,
        slot: Slot,
        input: ClientInput,
        carried: &mut Carried,
    ) -> Result<(), Refused> {
        let mut pending = Some(input);
        while let Some(input) = pending.take() {
            let transaction = self.clients.get_mut(slot).ok_or(Refused)?;
            let (next, actions) = transaction.machine.step(input).ok_or(Refused)?;
            transaction.machine = next;
            let reliable = transaction.flow.transport.is_reliable();
            let mut cancel = None;
            for &action in actions {
                let fired = transaction.clock.act(action, now, &self.config.timers, reliable);
                pending = pending.or(fired.map(ClientInput::Timer));
                match action {
                    Action::Resend => self.counters.retransmissions_out += 1,
                    Action::TellTimeout => self.counters.timeouts += 1,
                    Action::SendCancel => cancel = Some((transaction.last.clone(), transaction.flow)),
                    _ => {}
                }
                transaction.act(action, slot, carried, &mut self.effects);
            }
            self.deadlines.queue(&mut transaction.clock, Side::Client, slot);
            if next.is_terminated() {
                self.remove_client(slot);
            }
            self.compact_deadlines();
            if let Some((invite, flow)) = cancel {
                self.send_cancel(now, &invite, flow);
            }
        }
        Ok(())
    }

    // RFC 3261 §9.1: a transaction of its own, with nobody to tell; what matters is the INVITE's final response.
    fn send_cancel(&mut self, now: Timestamp, invite: &Bytes, flow: Flow) {
        if let Some(invite) = compose::reread(invite) {
            self.open_client(now, &compose::cancel(&invite), flow, None).ok();
        }
    }

    fn remove_client(&mut self, slot: Slot) {
        if let Some(transaction) = self.clients.remove(slot) {
            self.client_index.remove(&transaction.key);
            *self.client_count(transaction.machine) -= 1;
            self.forget_clock(&transaction.clock);
        }
    }
}

impl<U: Clone> ClientTransaction<U> {
    fn new(key: Key, request: &Request, flow: Flow, user: Option<U>) -> Self {
        let is_invite = *request.method() == Method::Invite;
        ClientTransaction {
            clock: Clock::new(),
            flow,
            machine: if is_invite {
                Machine::Invite(invite_client::State::Calling)
            } else {
                Machine::NonInvite(non_invite_client::State::Trying)
            },
            key,
            wants_cancel: false,
            last: request.as_bytes().clone(),
            user,
        }
    }

    /// Does one action that is not a timer's.
    fn act(&mut self, action: Action, slot: Slot, carried: &mut Carried, effects: &mut VecDeque<Effect<U>>) {
        let id = ClientTransactionId(slot);
        let user = || self.user.clone();
        match action {
            Action::Send | Action::Resend => self.transmit(effects),
            Action::SendAck => {
                if let (Some((response, _)), Some(invite)) = (carried, compose::reread(&self.last)) {
                    self.last = compose::ack(&invite, response).as_bytes().clone();
                    self.transmit(effects);
                }
            }
            Action::WantCancel => self.wants_cancel = true,
            Action::Tell => {
                if let (Some((response, flow)), Some(user)) = (carried.take(), user()) {
                    effects.push_back(Effect::Response { user, id, response, flow });
                }
            }
            Action::TellTimeout => effects.extend(user().map(|user| Effect::Timeout { user, id })),
            Action::TellTransportError => {
                effects.extend(user().map(|user| Effect::TransportError { user, id }));
            }
            _ => {}
        }
    }

    fn transmit(&self, effects: &mut VecDeque<Effect<U>>) {
        effects.push_back(Effect::Transmit { flow: self.flow, bytes: self.last.clone() });
    }
}

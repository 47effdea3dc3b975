//! The way out of a lane: outcomes of steps through the gate, and what they send into transactions and flows.

use std::net::{IpAddr, SocketAddr};

use holdline_cluster::engine::{Commit, Durability};
use holdline_cluster::id::Key;
use holdline_sip::wire::{Host, Method, Request, Uri};
use holdline_sip::{Flow, Timestamp};

use super::directory::{Entry, Slot};
use super::{Effect, Lane, Sender};
use crate::limits;
use crate::step::{NewVersion, Outcome, Send};

impl<A: Clone> Lane<A> {
    /// A step of a dialog is done: its new version is committed, what it sends leaves now or when that is durable.
    pub fn handle_outcome(&mut self, now: Timestamp, outcome: Outcome) {
        let Outcome { key, life, sends, version, deadline, busy, ended, replies } = outcome;
        self.effects
            .extend(replies.into_iter().map(|(to, reply)| Effect::Reply { to, reply: Box::new(reply) }));
        // Retired, or given up, while the step ran: the new owner decides what is sent.
        let Some(entry) = self.directory.get_mut(&key).filter(|entry| entry.life == life) else { return };
        entry.slot.done();
        entry.touched = now;
        entry.busy = busy;
        entry.takeover = false;
        entry.ended = ended;
        if entry.deadline != deadline {
            entry.deadline = deadline;
            if let Some(at) = deadline {
                self.deadlines.push(at, key);
            }
        }
        let number = version.as_ref().map(|version| version.number);
        let wait_for = version.and_then(|version| self.commit(key, version));
        self.watch(now, key);
        // Behind the fence nothing leaves, not even what waits for no version.
        let newest = self.directory.get(&key).map_or(0, |entry| entry.version);
        let wait_for = match wait_for {
            None if self.fence.keeps(key, newest) => Some(newest),
            wait_for => wait_for,
        };
        let free = self.gate.admit(key, wait_for, sends);
        self.send(now, key, free);
        // Nobody confirms for a node alone.
        if let Some(number) = number.filter(|_| self.config.durability.is_none()) {
            self.handle_confirmed(now, key, number);
        }
        self.bury(key);
    }

    /// A dialog with a snapshot may become idle: also one that was woken by a step that made no version.
    fn watch(&mut self, now: Timestamp, key: Key) {
        let Some(entry) = self.directory.get_mut(&key).filter(|entry| !entry.snapshot.is_empty()) else {
            return;
        };
        if !std::mem::replace(&mut entry.watched, true) {
            self.idle.push_back((now, key));
        }
    }

    /// `version` of the dialog is as durable as promised.
    pub fn handle_confirmed(&mut self, now: Timestamp, key: Key, version: u64) {
        if self.fence.keeps(key, version) {
            return;
        }
        let free = self.gate.confirm(key, version);
        if !free.is_empty() {
            self.send(now, key, free);
        }
        self.bury(key);
    }

    /// The target of [`Effect::Resolve`] was looked up; `None` if the name has no address.
    pub fn handle_resolved(
        &mut self,
        now: Timestamp,
        key: Key,
        request: Request,
        ack: bool,
        target: Option<SocketAddr>,
    ) {
        let given_up = *request.method() == Method::Invite && !self.looked_up.remove(&key);
        match target {
            Some(target) if ack => self.transmit(Flow::udp(target), request.as_bytes().clone()),
            Some(target) if !given_up => self.start_client(now, key, request, Flow::udp(target)),
            None if ack => {}
            // RFC 3261 §9.1: cancelled before it was sent, so there is nothing to cancel and nothing to send.
            _ => self.unsent(now, sender(key, &request)),
        }
        self.pump_transactions(now);
    }

    /// Keeps the version and has it replicated. Returns the version to wait for, if the sends of the step must wait.
    fn commit(&mut self, key: Key, version: NewVersion) -> Option<u64> {
        let NewVersion { number, local, replica, terminated } = version;
        if let Some(entry) = self.directory.get_mut(&key) {
            entry.version = number;
            entry.snapshot = local;
        }
        let durability = self.config.durability?;
        if replica.len() > limits::SNAPSHOT_BYTES_MAX {
            // It would hold up the versions of all other dialogs, and no peer takes such a frame.
            tracing::error!(
                ?key,
                bytes = replica.len(),
                max = limits::SNAPSHOT_BYTES_MAX,
                "a dialog is too large to be replicated: its application keeps too much data"
            );
            self.counts.oversized += 1;
            return None;
        }
        self.effects.push_back(Effect::Commit(Commit {
            key,
            version: number,
            terminated,
            body: replica,
            durability,
        }));
        match durability {
            Durability::Async => None,
            Durability::Acked | Durability::All => Some(number),
        }
    }

    /// Removes a dialog that is over once everything it said has left.
    pub(super) fn bury(&mut self, key: Key) {
        let over = |entry: &Entry<A>| {
            entry.ended && entry.slot.depth() == 0 && !matches!(entry.slot, Slot::Starting { .. })
        };
        if !self.directory.get(&key).is_some_and(over) || self.gate.is_waiting(key) {
            return;
        }
        self.calls.remove(&key);
        self.looked_up.remove(&key);
        if let Some(Slot::Active { actor, .. }) = self.directory.remove(&key).map(|entry| entry.slot) {
            self.effects.push_back(Effect::Stop { actor });
        }
    }

    /// Sends what has left the gate.
    fn send(&mut self, now: Timestamp, key: Key, sends: Vec<Send>) {
        for send in sends {
            match send {
                Send::Respond { transaction, response } => {
                    if response.status().is_final() {
                        self.open.remove(&transaction);
                    }
                    // The transaction may have ended meanwhile: then nobody waits for this response any more.
                    let _ = self.transactions.respond(now, &transaction, response);
                }
                Send::Retransmit { bytes, flow } => self.transmit(flow, bytes),
                Send::Request { request, next_hop } => match address(&next_hop) {
                    Ok(target) => self.start_client(now, key, request, Flow::udp(target)),
                    Err((host, port)) => self.resolve(key, request, host, port, false),
                },
                Send::Ack { request, next_hop } => match address(&next_hop) {
                    Ok(target) => self.transmit(Flow::udp(target), request.as_bytes().clone()),
                    Err((host, port)) => self.resolve(key, request, host, port, true),
                },
                Send::CancelInvite { .. } => {
                    self.looked_up.remove(&key);
                    if let Some(id) = self.calls.get(&key) {
                        // Answered meanwhile: then there is nothing to cancel (RFC 3261 §9.1).
                        let _ = self.transactions.cancel(now, id);
                    }
                }
            }
        }
        self.pump_transactions(now);
    }

    fn start_client(&mut self, now: Timestamp, key: Key, request: Request, flow: Flow) {
        let user = sender(key, &request);
        let is_invite = user.method == Method::Invite;
        match self.transactions.send_request(now, request, flow, user.clone()) {
            Ok(id) if is_invite => {
                self.calls.insert(key, id);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, ?key, "a request cannot be sent");
                self.unsent(now, user);
            }
        }
    }

    fn resolve(&mut self, key: Key, request: Request, host: String, port: u16, ack: bool) {
        if *request.method() == Method::Invite {
            self.looked_up.insert(key);
        }
        self.effects.push_back(Effect::Resolve { key, request: Box::new(request), host, port, ack });
    }

    pub(super) fn transmit(&mut self, flow: Flow, bytes: bytes::Bytes) {
        self.effects.push_back(Effect::Transmit { flow, bytes });
    }
}

fn sender(key: Key, request: &Request) -> Sender {
    let cseq = request.cseq();
    Sender { key, cseq: cseq.number, method: cseq.method }
}

/// The address a URI names by itself, or the name and port to look up (RFC 3263 §4.2, the part without NAPTR and SRV).
fn address(uri: &Uri) -> Result<SocketAddr, (String, u16)> {
    let port = uri.port_or_default();
    match &uri.host {
        Host::V4(ip) => Ok(SocketAddr::new(IpAddr::V4(*ip), port)),
        Host::V6(ip) => Ok(SocketAddr::new(IpAddr::V6(*ip), port)),
        Host::Name(name) => Err((name.clone(), port)),
    }
}

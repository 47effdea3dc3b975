//! Two user agents, each a transaction table and a dialog, on one virtual clock and a lossy wire.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdline_sip::dialog::{Config, Dialog, Effect, Event, Snapshot, State};
use holdline_sip::transaction::{self, ClientTransactionId, Transactions};
use holdline_sip::wire::{Message, Method, Request, StatusCode};
use holdline_sip::{Flow, Timestamp};

use super::{START, call, line, sdp};

/// What an application does at some moment; a verb its state forbids is simply refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verb {
    Ring,
    Answer,
    Reject,
    Reinvite,
    Info,
    Cancel,
    Bye,
    /// The node dies, and another takes the dialog over from the snapshot this many steps back.
    Crash(usize),
}

pub(crate) struct Ua {
    config: Arc<Config>,
    flow: Flow,
    table: Transactions<()>,
    clients: HashMap<ClientTransactionId, (Method, u32)>,
    pub(crate) dialog: Option<Dialog>,
    snapshots: Vec<Snapshot>,
    plan: Vec<(Timestamp, Verb)>,
    /// Takes calls by itself: rings, answers after 200 ms.
    pub(crate) answers: bool,
    /// Every effect so far, a line each.
    pub(crate) log: Vec<String>,
    /// Highest CSeq this side sent, to see that a new request always exceeds it.
    cseq_max: u32,
    branches: HashSet<String>,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) uas: [Ua; 2],
    wire: Vec<(Timestamp, u64, usize, Bytes)>,
    sent: u64,
    random: u64,
    /// Datagrams lost, in percent.
    pub(crate) loss: u64,
    /// Most of the extra delay that lets datagrams overtake each other, in ms.
    pub(crate) jitter: u64,
}

/// The side that places the call, and the side that takes it.
pub(crate) const CALLER: usize = 0;
pub(crate) const CALLEE: usize = 1;

impl Ua {
    fn new(name: &str, address: &str) -> Self {
        let contact = format!("sip:{name}@{address}");
        Self {
            config: Arc::new(Config { contact, via: address.into(), ..Config::default() }),
            flow: Flow::udp(address.parse().expect("an address")),
            table: Transactions::new(transaction::Config::default()),
            clients: HashMap::new(),
            dialog: None,
            snapshots: Vec::new(),
            plan: Vec::new(),
            answers: true,
            log: Vec::new(),
            cseq_max: 0,
            branches: HashSet::new(),
        }
    }

    pub(crate) fn state(&self) -> Option<State> {
        self.dialog.as_ref().map(Dialog::state)
    }

    /// Lines of the log that begin so.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.log.iter().filter(|line| line.starts_with(start)).count()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let plan = self.plan.iter().map(|(at, _)| *at).min();
        [self.table.poll_timeout(), self.dialog.as_ref().and_then(Dialog::poll_timeout), plan]
            .into_iter()
            .flatten()
            .min()
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let uas = [Ua::new("caller", "192.0.2.1:5060"), Ua::new("callee", "192.0.2.2:5060")];
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { now: START, uas, wire: Vec::new(), sent: 0, random, loss: 0, jitter: 0 }
    }

    pub(crate) fn plan(&mut self, side: usize, after_ms: u64, verb: Verb) {
        self.uas[side].plan.push((START + Duration::from_millis(after_ms), verb));
    }

    pub(crate) fn place_call(&mut self) {
        let ua = &mut self.uas[CALLER];
        let call = holdline_sip::dialog::Call { to_uri: "sip:them@192.0.2.2:5060".into(), ..call() };
        ua.dialog = Some(Dialog::uac(self.now, &ua.config, call).expect("a plain call"));
        self.drain(CALLER);
    }

    /// Runs until nothing is left to happen, at most `limit` long.
    pub(crate) fn run(&mut self, limit: Duration) {
        let end = self.now + limit;
        loop {
            let wire = self.wire.iter().map(|datagram| datagram.0).min();
            let deadlines = self.uas.iter().filter_map(Ua::next_deadline);
            let Some(next) = wire.into_iter().chain(deadlines).min() else { return };
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.deliver_due();
            for side in [CALLER, CALLEE] {
                self.fire(side);
            }
        }
    }

    /// Nothing holds a transaction or waits for a deadline.
    pub(crate) fn is_quiet(&self) -> bool {
        self.wire.is_empty() && self.uas.iter().all(|ua| ua.next_deadline().is_none())
    }

    fn deliver_due(&mut self) {
        self.wire.sort_by_key(|(at, number, ..)| (*at, *number));
        while self.wire.first().is_some_and(|datagram| datagram.0 <= self.now) {
            let (_, _, side, bytes) = self.wire.remove(0);
            let message = Message::parse(bytes).expect("a dialog writes valid messages");
            let from = self.uas[1 - side].flow;
            self.uas[side].table.handle_message(self.now, message, from);
            self.drain(side);
        }
    }

    fn fire(&mut self, side: usize) {
        let now = self.now;
        self.uas[side].table.handle_timeout(now);
        if let Some(dialog) = &mut self.uas[side].dialog
            && dialog.poll_timeout().is_some_and(|at| at <= now)
        {
            dialog.handle_timeout(now);
        }
        self.drain(side);
        while let Some(index) = self.uas[side].plan.iter().position(|(at, _)| *at <= now) {
            let (_, verb) = self.uas[side].plan.remove(index);
            self.act(side, verb);
            self.drain(side);
        }
    }

    fn act(&mut self, side: usize, verb: Verb) {
        let now = self.now;
        let ua = &mut self.uas[side];
        let Some(dialog) = &mut ua.dialog else { return };
        match verb {
            Verb::Ring => drop(dialog.progress(now, StatusCode::RINGING, None)),
            Verb::Answer => drop(dialog.answer(now, Some(&sdp("answer")))),
            Verb::Reject => drop(dialog.reject(now, StatusCode::BUSY_HERE, &[])),
            Verb::Reinvite => drop(dialog.reinvite(now, Some(sdp("hold")))),
            Verb::Info => drop(dialog.request(now, Method::Info, &[], None)),
            Verb::Cancel => drop(dialog.cancel(now)),
            Verb::Bye => drop(dialog.bye(now, None)),
            Verb::Crash(back) => {
                let newest = ua.snapshots.len().saturating_sub(1);
                let Some(snapshot) = ua.snapshots.get(newest.saturating_sub(back)).cloned() else { return };
                ua.table = Transactions::new(transaction::Config::default());
                ua.clients.clear();
                ua.dialog = Some(Dialog::restore(now, &ua.config, snapshot, true));
                ua.log.push("crash".into());
            }
        }
    }

    /// Moves effects between table, dialog and wire until there are none.
    fn drain(&mut self, side: usize) {
        loop {
            let from_dialog = self.uas[side].dialog.as_mut().and_then(Dialog::poll_effect);
            if let Some(effect) = from_dialog {
                self.uas[side].log.push(line(&effect));
                self.do_dialog_effect(side, effect);
            } else if let Some(effect) = self.uas[side].table.poll_effect() {
                self.do_table_effect(side, effect);
            } else {
                break;
            }
        }
        let ua = &mut self.uas[side];
        if let Some(dialog) = &ua.dialog {
            ua.snapshots.push(dialog.to_snapshot());
        }
    }

    fn do_dialog_effect(&mut self, side: usize, effect: Effect) {
        let (now, peer) = (self.now, self.uas[1 - side].flow);
        match effect {
            Effect::Respond { tx, response } => drop(self.uas[side].table.respond(now, &tx, response)),
            Effect::Retransmit { bytes, .. } => self.transmit(1 - side, bytes),
            Effect::Ack { request, .. } => self.transmit(1 - side, request.as_bytes().clone()),
            Effect::Send { request, .. } => {
                self.check_new_request(side, &request);
                let what = (request.method().clone(), request.cseq().number);
                if let Ok(id) = self.uas[side].table.send_request(now, request, peer, ()) {
                    self.uas[side].clients.insert(id, what);
                }
            }
            Effect::Cancel { branch } => {
                let table = &mut self.uas[side].table;
                if let Some(id) = table.client_transaction(&branch, &Method::Invite) {
                    table.cancel(now, &id).ok();
                }
            }
            Effect::Event(event) => self.application(side, &event),
        }
    }

    /// The peer never sees a CSeq from us at or below one it saw, nor a branch twice.
    fn check_new_request(&mut self, side: usize, request: &Request) {
        let ua = &mut self.uas[side];
        let cseq = request.cseq().number;
        assert!(cseq > ua.cseq_max, "{} {} after {}: {:#?}", request.method(), cseq, ua.cseq_max, ua.log);
        assert!(ua.branches.insert(request.branch().to_owned()), "a branch twice");
        ua.cseq_max = cseq;
    }

    fn do_table_effect(&mut self, side: usize, effect: transaction::Effect<()>) {
        let now = self.now;
        use transaction::Effect as E;
        match effect {
            E::Transmit { bytes, .. } => return self.transmit(1 - side, bytes),
            E::Request { id, request, flow } => {
                let ua = &mut self.uas[side];
                match &mut ua.dialog {
                    Some(dialog) => dialog.handle_request(now, id, &request, flow),
                    None => ua.dialog = Dialog::uas(now, &ua.config, id, &request, flow, "them".into()).ok(),
                }
                return;
            }
            _ => {}
        }
        let ua = &mut self.uas[side];
        let Some(dialog) = &mut ua.dialog else { return };
        match effect {
            E::Ack { request, .. } => dialog.handle_ack(now, &request),
            E::Cancel { cancel, request, .. } => dialog.handle_cancel(now, cancel, &request),
            E::Response { response, .. } | E::StrayResponse { response, .. } => {
                dialog.handle_response(now, &response);
            }
            E::Timeout { id, .. } => {
                if let Some((method, cseq)) = ua.clients.remove(&id) {
                    dialog.handle_transaction_timeout(now, &method, cseq);
                }
            }
            E::ServerTimeout { id } => dialog.handle_server_timeout(now, id),
            _ => {}
        }
    }

    fn application(&mut self, side: usize, event: &Event) {
        let now = self.now;
        let answers = self.uas[side].answers;
        let Some(dialog) = &mut self.uas[side].dialog else { return };
        match event {
            Event::Invite if answers => {
                dialog.progress(now, StatusCode::RINGING, None).expect("a new call may ring");
                self.uas[side].plan.push((now + Duration::from_millis(200), Verb::Answer));
            }
            Event::Reinvite { tx, .. } | Event::Request { tx, .. } => {
                let body = sdp("answer");
                dialog.respond(now, *tx, StatusCode::OK, &[], Some(&body)).expect("it was just asked");
            }
            Event::Ended(_) => assert_eq!(dialog.state(), State::Terminated),
            _ => {}
        }
    }

    fn transmit(&mut self, to: usize, bytes: Bytes) {
        if self.roll(100) < self.loss {
            return;
        }
        let delay = 5 + self.roll(self.jitter + 1);
        self.sent += 1;
        self.wire.push((self.now + Duration::from_millis(delay), self.sent, to, bytes));
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % sides
    }
}

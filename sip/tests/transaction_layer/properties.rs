//! Properties over random interleavings: no panic, an honest end for everybody, and nothing left at the end.

use std::collections::HashSet;
use std::time::Duration;

use holdline_sip::transaction::{ClientTransactionId, Config, Effect, ServerTransactionId, Transactions};
use holdline_sip::wire::{Message, Method, Request};
use holdline_sip::{Flow, Ingress, Timestamp, Transport};
use proptest::prelude::*;

use crate::kit::{request, response, text, text_with};

#[derive(Clone, Debug)]
enum Op {
    /// A request from the peer: method and branch.
    Receive(usize, u8),
    /// We answer one of the requests told.
    Respond(prop::sample::Index, u16),
    /// A request of ours.
    Send(usize, u8),
    /// The peer answers one of our requests.
    Answer(prop::sample::Index, u16),
    Cancel(prop::sample::Index),
    FailFlow,
    /// Time passes, timers firing on their own time.
    Wait(u32),
    /// Time passes, the driver wakes late.
    Sleep(u32),
}

const METHODS: [&str; 5] = ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"];
const STATUSES: [u16; 6] = [100, 180, 200, 302, 486, 603];

fn op() -> impl Strategy<Value = Op> {
    let index = || any::<prop::sample::Index>();
    let status = || prop::sample::select(&STATUSES[..]);
    prop_oneof![
        4 => (0..METHODS.len(), 0..6u8).prop_map(|(method, branch)| Op::Receive(method, branch)),
        4 => (index(), status()).prop_map(|(index, status)| Op::Respond(index, status)),
        3 => (0..METHODS.len(), 0..6u8).prop_map(|(method, branch)| Op::Send(method, branch)),
        4 => (index(), status()).prop_map(|(index, status)| Op::Answer(index, status)),
        1 => index().prop_map(Op::Cancel),
        1 => Just(Op::FailFlow),
        3 => (0..40_000u32).prop_map(Op::Wait),
        1 => (0..80_000u32).prop_map(Op::Sleep),
    ]
}

/// Drives a table and remembers who is owed what.
struct World {
    table: Transactions<u64>,
    flow: Flow,
    now: Timestamp,
    told: Vec<(ServerTransactionId, Request)>,
    sent: Vec<(ClientTransactionId, Request)>,
    next_user: u64,
    /// Users that had their timeout or error, or a final response to something other than an INVITE.
    ended: HashSet<u64>,
    invites: HashSet<u64>,
    ended_servers: HashSet<ServerTransactionId>,
    branches: u32,
}

impl World {
    fn new(transport: Transport, capacity: usize) -> Self {
        World {
            table: Transactions::new(Config { capacity, ..Config::default() }),
            flow: Flow { transport, remote: ([192, 0, 2, 1], 5060).into(), ingress: Ingress(0) },
            now: Duration::from_secs(1_700_000_000),
            told: Vec::new(),
            sent: Vec::new(),
            next_user: 0,
            ended: HashSet::new(),
            invites: HashSet::new(),
            ended_servers: HashSet::new(),
            branches: 0,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Receive(method, branch) => {
                let message = Message::parse(text(METHODS[method], &branch.to_string()).into()).unwrap();
                self.table.handle_message(self.now, message, self.flow);
            }
            Op::Respond(index, status) if !self.told.is_empty() => {
                let (id, request) = index.get(&self.told).clone();
                let responded = self.table.respond(self.now, &id, response(status, &request));
                assert!(
                    responded.is_err() || !self.ended_servers.contains(&id),
                    "an ended transaction answers"
                );
            }
            Op::Send(method, branch) => {
                self.branches += u32::from(branch > 2);
                let branch = format!("own{}", self.branches + u32::from(branch));
                let request = request(text_with(METHODS[method], &branch, "", ""));
                self.next_user += 1;
                let user = self.next_user;
                if let Ok(id) = self.table.send_request(self.now, request.clone(), self.flow, user) {
                    if *request.method() == Method::Invite {
                        self.invites.insert(user);
                    }
                    self.sent.push((id, request));
                }
            }
            Op::Answer(index, status) if !self.sent.is_empty() => {
                let (_, request) = index.get(&self.sent);
                let message = Message::Response(response(status, request));
                self.table.handle_message(self.now, message, self.flow);
            }
            Op::Cancel(index) if !self.sent.is_empty() => {
                let (id, _) = index.get(&self.sent).clone();
                self.table.cancel(self.now, &id).ok();
            }
            Op::FailFlow => self.table.handle_transport_error(self.now, self.flow),
            Op::Wait(ms) => self.wait(Duration::from_millis(ms.into())),
            Op::Sleep(ms) => {
                self.now += Duration::from_millis(ms.into());
                self.table.handle_timeout(self.now);
            }
            _ => {}
        }
        self.drain();
        let (live, queued) = (self.table.counts().total(), self.table.timers_queued());
        assert!(queued <= 2 * live + 64, "{queued} deadlines for {live}");
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(next) = self.table.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.table.handle_timeout(self.now);
            self.drain();
            wakes += 1;
            assert!(wakes < 100_000, "time stands still");
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(effect) = self.table.poll_effect() {
            match effect {
                Effect::Request { id, request, .. } => self.told.push((id, request)),
                Effect::Cancel { cancel, request, .. } => self.told.push((cancel, request)),
                Effect::Response { user, response, .. } => {
                    assert!(!self.ended.contains(&user), "user {user} hears more after its end");
                    if response.status().is_final() && !self.invites.contains(&user) {
                        self.ended.insert(user);
                    }
                }
                Effect::Timeout { user, .. } | Effect::TransportError { user, .. } => {
                    assert!(self.ended.insert(user), "user {user} ends twice");
                }
                Effect::ServerTimeout { id } => {
                    assert!(self.ended_servers.insert(id), "{id:?} times out twice");
                }
                Effect::Transmit { bytes, .. } => {
                    Message::parse(bytes).expect("what is sent can be parsed");
                }
                Effect::Ack { .. } | Effect::StrayResponse { .. } | Effect::ServerTransportError { .. } => {}
            }
        }
    }

    /// Everybody does what is still theirs to do, then time passes.
    fn finish(&mut self) {
        for (id, request) in self.told.clone() {
            self.table.respond(self.now, &id, response(500, &request)).ok();
        }
        for (id, _) in self.sent.clone() {
            self.table.cancel(self.now, &id).ok();
        }
        self.drain();
        // Timer B or F, a CANCEL that had to wait, and the last of the absorbing timers.
        self.wait(Duration::from_secs(64 + 5));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_ends_in_an_empty_table(
        ops in prop::collection::vec(op(), 0..120),
        reliable: bool,
        capacity in prop::sample::select(vec![4usize, 1_000]),
    ) {
        let transport = if reliable { Transport::Tcp } else { Transport::Udp };
        let mut world = World::new(transport, capacity);
        for op in ops {
            world.apply(op);
            prop_assert!(world.table.counts().total() <= capacity + capacity / 8 + world.sent.len());
        }
        world.finish();
        prop_assert_eq!(world.table.counts().total(), 0);
        prop_assert_eq!(world.table.poll_timeout(), None);
        prop_assert_eq!(world.table.timers_queued(), 0);
        let nothing = world.table.poll_effect().is_none();
        prop_assert!(nothing, "no effect after the end");
    }
}

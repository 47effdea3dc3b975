//! What a lane promises, shown with the real step function and no socket.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use holdline_cluster::engine::Stored;
use holdline_sip::wire::{Response, StatusCode};

use super::*;
use crate::behaviour::Uas;
use crate::step::{DialogState, NewVersion, ReplyTo, Send};

/// Ownership that a test sets.
#[derive(Default)]
struct Set {
    owned: Mutex<Vec<Shard>>,
    other: Mutex<Option<NodeId>>,
    near: AtomicBool,
}

impl Ownership for Set {
    fn owns(&self, shard: Shard) -> bool {
        self.owned.lock().unwrap().contains(&shard)
    }

    fn owner(&self, _: Shard) -> Option<NodeId> {
        self.other.lock().unwrap().clone()
    }

    fn is_near(&self, _: Shard) -> bool {
        self.near.load(Ordering::Relaxed)
    }
}

/// A lane with its actors, run by hand.
struct Bench {
    lane: Lane<u64>,
    actors: HashMap<u64, DialogState<Uas>>,
    next: u64,
    now: Timestamp,
}

/// What came out.
#[derive(Default)]
struct Out {
    sent: Vec<Message>,
    commits: Vec<holdline_cluster::engine::Commit>,
    relays: Vec<NodeId>,
    replies: Vec<crate::step::Reply>,
    lookups: Vec<(Key, Request)>,
}

impl Out {
    fn statuses(&self) -> Vec<u16> {
        let status = |message: &Message| match message {
            Message::Response(response) => Some(response.status().code()),
            Message::Request(_) => None,
        };
        self.sent.iter().filter_map(status).collect()
    }

    fn last(&self) -> &Response {
        match self.sent.last() {
            Some(Message::Response(response)) => response,
            other => panic!("a response, not {other:?}"),
        }
    }
}

impl Bench {
    fn new(ownership: Arc<dyn Ownership>, durability: Option<Durability>) -> Self {
        let config = Config {
            dialog: Arc::new(dialog::Config::default()),
            tags: TagKey::new(&[3; 32]),
            durability,
            passivate_after: Duration::from_secs(5),
            lanes: 1,
            lane: 0,
        };
        let mut lane = Lane::new(config, ownership.clone(), [9; 32]);
        let now = Duration::from_secs(1_700_000_000);
        for shard in Shard::all().filter(|shard| durability.is_some() && ownership.owns(*shard)) {
            lane.handle_activated(now, shard, None, Vec::new());
        }
        Self { lane, actors: HashMap::new(), next: 0, now }
    }

    fn alone() -> Self {
        Self::new(Arc::new(Alone), None)
    }

    fn owning_all(durability: Durability) -> Self {
        Self::new(Arc::new(Alone), Some(durability))
    }

    fn receive(&mut self, text: &str) -> Out {
        self.receive_from(text, false)
    }

    fn receive_from(&mut self, text: &str, hopped: bool) -> Out {
        let message = Message::parse(text.to_owned().into()).unwrap();
        let flow = Flow::udp("192.0.2.9:5060".parse().unwrap());
        self.lane.handle_message(self.now, message, flow, hopped);
        self.settle()
    }

    /// The only actor is gone, and the lane does not know; its key and life.
    fn lose_actor(&mut self) -> (Key, u64) {
        let (_, state) = self.actors.drain().next().unwrap();
        (state.key, state.life)
    }

    /// Time goes by, in ticks.
    fn later(&mut self, by: Duration) -> Out {
        let (until, mut out) = (self.now + by, Out::default());
        while self.now < until {
            self.now = (self.now + limits::TICK).min(until);
            self.lane.wake(self.now);
            self.lane.handle_timeout(self.now);
            let more = self.settle();
            out.sent.extend(more.sent);
            out.commits.extend(more.commits);
        }
        out
    }

    fn settle(&mut self) -> Out {
        let mut out = Out::default();
        while let Some(effect) = self.lane.poll_effect() {
            match effect {
                Effect::Transmit { bytes, .. } => out.sent.push(Message::parse(bytes).unwrap()),
                Effect::Commit(commit) => out.commits.push(commit),
                Effect::Relay { to, .. } => out.relays.push(to),
                Effect::Reply { reply, .. } => out.replies.push(*reply),
                Effect::Stop { actor } => drop(self.actors.remove(&actor)),
                Effect::Spawn { key, birth, input } => {
                    self.next += 1;
                    let life = birth.life;
                    self.actors.insert(self.next, DialogState::new(*birth, true).unwrap());
                    self.step(self.next, input);
                    self.lane.started(key, life, self.next);
                }
                Effect::Deliver { actor, input } => self.step(actor, input),
                Effect::Resolve { key, request, .. } => out.lookups.push((key, *request)),
            }
        }
        out
    }

    fn step(&mut self, actor: u64, input: Box<Input>) {
        let Some(state) = self.actors.get_mut(&actor) else { return };
        let step = pin!(state.step(&Uas, self.now, input));
        let Poll::Ready(outcome) = step.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("no handler waits")
        };
        self.lane.handle_outcome(self.now, outcome);
    }
}

fn request(method: &str, user: &str, branch: &str, cseq: u32, to_tag: &str) -> String {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} sip:{user}@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:ann@192.0.2.9>;tag=ann\r\nTo: <sip:{user}@127.0.0.1>{to_tag}\r\nCall-ID: c1\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:ann@192.0.2.9:5060>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Establishes a call and returns our tag.
fn call(bench: &mut Bench) -> String {
    let out = bench.receive(&request("INVITE", "answer", "1", 1, ""));
    assert_eq!(out.statuses(), [180, 200]);
    let tag = out.last().to_tag().unwrap().to_owned();
    assert_eq!(bench.receive(&request("ACK", "answer", "2", 1, &tag)).statuses(), [] as [u16; 0]);
    tag
}

#[test]
fn an_idle_call_is_bytes_until_its_bye_wakes_it() {
    let mut bench = Bench::alone();
    let tag = call(&mut bench);
    assert_eq!(bench.lane.counts().active, 1);
    bench.later(Duration::from_secs(6));
    assert_eq!((bench.lane.counts().dialogs, bench.lane.counts().active, bench.actors.len()), (1, 0, 0));
    assert_eq!(bench.receive(&request("BYE", "answer", "3", 2, &tag)).statuses(), [200]);
    bench.later(Duration::from_secs(40));
    assert_eq!(bench.lane.counts(), Counts::default());
    assert!(bench.actors.is_empty());
}

#[test]
fn a_retransmitted_request_reaches_no_handler() {
    let mut bench = Bench::alone();
    let first = bench.receive(&request("INVITE", "ring", "1", 1, ""));
    let again = bench.receive(&request("INVITE", "ring", "1", 1, ""));
    assert_eq!((first.statuses(), again.statuses()), (vec![180], vec![180]));
    assert_eq!(bench.lane.counts().dialogs, 1);
}

#[test]
fn a_step_that_confirms_the_call_waits_until_that_is_durable() {
    let mut bench = Bench::owning_all(Durability::Acked);
    let out = bench.receive(&request("INVITE", "answer", "1", 1, ""));
    assert_eq!((out.statuses(), out.commits.len()), (vec![], 1));
    let commit = &out.commits[0];
    bench.lane.handle_confirmed(bench.now, commit.key, commit.version);
    assert_eq!(bench.settle().statuses(), [180, 200]);
}

#[test]
fn a_180_alone_waits_for_nothing() {
    let mut bench = Bench::owning_all(Durability::Acked);
    let out = bench.receive(&request("INVITE", "ring", "1", 1, ""));
    assert_eq!((out.statuses(), out.commits.len()), (vec![180], 0));
}

#[test]
fn a_caller_whose_call_only_rang_on_a_retired_shard_is_told() {
    let mut bench = Bench::owning_all(Durability::Acked);
    bench.receive(&request("INVITE", "ring", "1", 1, ""));
    let shard = bench.lane.directory.keys().next().unwrap().shard();
    bench.lane.handle_retired(bench.now, &[shard].into());
    assert_eq!(bench.settle().statuses(), [500]);
}

#[test]
fn with_async_nothing_waits() {
    let mut bench = Bench::owning_all(Durability::Async);
    let out = bench.receive(&request("INVITE", "answer", "1", 1, ""));
    assert_eq!((out.statuses(), out.commits.len()), (vec![180, 200], 1));
}

#[test]
fn a_retired_shard_says_nothing_more() {
    let mut bench = Bench::owning_all(Durability::Acked);
    let out = bench.receive(&request("INVITE", "answer", "1", 1, ""));
    let commit = &out.commits[0];
    bench.lane.handle_retired(bench.now, &[commit.key.shard()].into());
    bench.lane.handle_confirmed(bench.now, commit.key, commit.version);
    assert!(bench.settle().sent.is_empty());
    assert_eq!((bench.lane.counts().dialogs, bench.actors.len()), (0, 0));
}

/// The state that a dead node's peer holds after the 200 and before the ACK.
fn unacked() -> (String, Stored) {
    let mut dead = Bench::owning_all(Durability::Acked);
    let commit = dead.receive(&request("INVITE", "answer", "1", 1, "")).commits.remove(0);
    dead.lane.handle_confirmed(dead.now, commit.key, commit.version);
    let tag = dead.settle().last().to_tag().unwrap().to_owned();
    let stored =
        Stored { key: commit.key, version: commit.version, terminated: commit.terminated, body: commit.body };
    (tag, stored)
}

#[test]
fn a_survivor_sends_an_unacknowledged_2xx_again_and_goes_on() {
    let (tag, stored) = unacked();
    let mut survivor = Bench::owning_all(Durability::Async);
    let lost = "n1".parse().unwrap();
    survivor.lane.handle_activated(survivor.now, stored.key.shard(), Some(&lost), vec![stored]);
    let out = survivor.later(limits::TICK);
    assert_eq!(out.statuses(), [200]);
    assert_eq!(out.last().to_tag(), Some(tag.as_str()));
    survivor.receive(&request("ACK", "answer", "2", 1, &tag));
    assert_eq!(
        survivor.later(Duration::from_secs(3)).statuses(),
        [] as [u16; 0],
        "acknowledged: not sent again"
    );
    assert_eq!(survivor.receive(&request("BYE", "answer", "3", 2, &tag)).statuses(), [200]);
    assert_eq!((survivor.lane.counts().taken_over, survivor.lane.counts().recovered), (1, 1));
}

#[test]
fn an_invite_that_comes_again_to_a_survivor_gets_its_2xx_not_a_second_dialog() {
    let (tag, stored) = unacked();
    let mut survivor = Bench::owning_all(Durability::Async);
    survivor.lane.handle_activated(
        survivor.now,
        stored.key.shard(),
        Some(&"n1".parse().unwrap()),
        vec![stored],
    );
    let out = survivor.receive(&request("INVITE", "answer", "1", 1, ""));
    assert_eq!((out.statuses(), out.last().to_tag()), (vec![200], Some(tag.as_str())));
    assert_eq!(survivor.lane.counts().dialogs, 1);
    survivor.receive(&request("ACK", "answer", "2", 1, &tag));
    assert!(
        survivor.receive(&request("INVITE", "answer", "1", 1, "")).sent.is_empty(),
        "acknowledged: absorbed"
    );
    assert_eq!(survivor.lane.counts().dialogs, 1);
    let another = request("INVITE", "answer", "9", 1, "").replace("Call-ID: c1", "Call-ID: c2");
    assert_eq!(survivor.receive(&another).statuses(), [180, 200]);
}

/// A balancer that hears of a death sends its last requests to the heir, who may not have the dialogs yet.
#[test]
fn an_invite_for_a_shard_without_an_owner_waits_for_what_comes_with_it() {
    let set = Arc::new(Set::default());
    let mut bench = Bench::new(set.clone(), Some(Durability::Async));
    let (_, stored) = unacked();
    let placement = bench.lane.config.tags.placement_of_call_id("c1");
    assert_eq!(stored.key.shard(), Key { placement, id: 0 }.shard());
    let mine = Shard((stored.key.shard().0 + 1) % SHARDS);
    set.owned.lock().unwrap().push(mine);
    bench.lane.handle_activated(bench.now, mine, None, Vec::new());
    let invite = request("INVITE", "answer", "1", 1, "");
    assert!(bench.receive(&invite).sent.is_empty(), "it may be a dialog's that is on its way here");
    set.owned.lock().unwrap().push(stored.key.shard());
    bench.lane.handle_activated(bench.now, stored.key.shard(), Some(&"n1".parse().unwrap()), vec![stored]);
    assert_eq!(bench.settle().statuses(), [200]);
    assert_eq!(bench.lane.counts().dialogs, 1);
}

#[test]
fn a_balancers_invite_of_a_neighbours_shard_is_sent_on_and_any_other_is_placed_here() {
    let set = Arc::new(Set::default());
    *set.other.lock().unwrap() = Some("n2".parse().unwrap());
    let mut bench = Bench::new(set.clone(), Some(Durability::Async));
    let hashed = Key { placement: bench.lane.config.tags.placement_of_call_id("c1"), id: 0 }.shard();
    let mine = Shard((hashed.0 + 1) % SHARDS);
    set.owned.lock().unwrap().push(mine);
    bench.lane.handle_activated(bench.now, mine, None, Vec::new());
    set.near.store(true, Ordering::Relaxed);
    let near = bench.receive(&request("INVITE", "answer", "lb1", 1, ""));
    assert_eq!((near.relays.len(), near.sent.len(), bench.lane.counts().held), (1, 0, 1));
    assert!(
        bench.later(limits::HELD_REQUEST_TTL).sent.is_empty(),
        "the copy is not placed: its owner has it"
    );
    let direct = bench.receive(&request("INVITE", "answer", "1", 1, ""));
    assert_eq!((direct.relays.len(), direct.statuses()), (0, vec![180, 200]), "no balancer chose this node");
    set.near.store(false, Ordering::Relaxed);
    assert_eq!(bench.receive(&request("INVITE", "answer", "lb2", 1, "")).statuses(), [180, 200]);
}

/// A lane that owns the shard next to the one that Call-ID `c1` hashes to, which is n2's.
fn beside_n2() -> Bench {
    let set = Arc::new(Set::default());
    *set.other.lock().unwrap() = Some("n2".parse().unwrap());
    set.near.store(true, Ordering::Relaxed);
    let mut bench = Bench::new(set.clone(), Some(Durability::Async));
    let hashed = Key { placement: bench.lane.config.tags.placement_of_call_id("c1"), id: 0 }.shard();
    let mine = Shard((hashed.0 + 1) % SHARDS);
    set.owned.lock().unwrap().push(mine);
    bench.lane.handle_activated(bench.now, mine, None, Vec::new());
    bench.lane.wake(bench.now);
    bench
}

#[test]
fn a_cancel_finds_the_invite_that_was_placed_here_also_behind_the_fence() {
    let mut bench = beside_n2();
    assert_eq!(bench.receive(&request("INVITE", "ring", "1", 1, "")).statuses(), [180]);
    bench.now += Duration::from_secs(1);
    bench.lane.wake(bench.now);
    let cancel = request("CANCEL", "ring", "1", 1, "");
    let held = bench.receive(&cancel);
    assert_eq!((held.relays.len(), held.sent.len()), (0, 0), "silent, and nobody else's");
    assert_eq!(bench.later(limits::FENCE + limits::TICK).statuses(), [200, 487]);
}

#[test]
fn an_invite_behind_the_fence_is_placed_here_when_it_is_down_and_once() {
    let mut bench = beside_n2();
    bench.now += Duration::from_secs(1);
    bench.lane.wake(bench.now);
    let invite = request("INVITE", "answer", "1", 1, "");
    let (first, again) = (bench.receive(&invite), bench.receive(&invite));
    assert_eq!((first.relays.len(), again.relays.len()), (0, 0));
    assert_eq!(bench.later(limits::FENCE + limits::TICK).statuses(), [180, 200]);
    assert_eq!(bench.lane.counts().dialogs, 1);
}

#[test]
fn a_cancel_of_an_invite_that_is_not_here_goes_where_its_shard_is() {
    let mut bench = beside_n2();
    assert_eq!(bench.receive(&request("CANCEL", "ring", "1", 1, "")).relays, ["n2".parse().unwrap()]);
}

#[test]
fn copies_of_what_strangers_send_leave_room_for_what_waits_for_a_takeover() {
    let mut bench = beside_n2();
    for n in 0..limits::HELD_REQUESTS_MAX {
        bench.receive(&request("INVITE", "answer", &format!("lb{n}"), 1, ""));
    }
    assert_eq!(bench.lane.counts().held, limits::HELD_REQUESTS_MAX / 4);
}

#[test]
fn a_call_cancelled_while_its_target_is_looked_up_is_never_sent() {
    let target = "192.0.2.7:5060".parse().unwrap();
    let call = || dialog::Call {
        to_uri: "sip:bob@example.com".into(),
        from_uri: "sip:ann@example.org".into(),
        call_id: "c2".into(),
        local_tag: "ours".into(),
        ..Default::default()
    };
    let mut bench = Bench::alone();
    let key = Key { placement: 1, id: 4 };
    bench.lane.handle_call(bench.now, call(), key).unwrap();
    let (_, invite) = bench.settle().lookups.remove(0);
    bench.lane.handle_resolved(bench.now, key, invite.clone(), false, Some(target));
    assert_eq!(bench.settle().sent.len(), 1, "found: sent");

    let mut bench = Bench::alone();
    bench.lane.handle_call(bench.now, call(), key).unwrap();
    let (_, invite) = bench.settle().lookups.remove(0);
    bench.lane.handle_input(bench.now, key, Input::Bye(ReplyTo::Here(1)));
    assert!(bench.settle().replies[0].is_ok());
    bench.lane.handle_resolved(bench.now, key, invite, false, Some(target));
    assert_eq!((bench.settle().sent.len(), bench.lane.counts().dialogs), (0, 0));
}

#[test]
fn a_version_too_large_to_be_replicated_holds_nothing_up_and_is_counted() {
    let mut bench = Bench::owning_all(Durability::Acked);
    let ringing = bench.receive(&request("INVITE", "ring", "1", 1, ""));
    let bytes = ringing.last().as_bytes().clone();
    let (key, life) = bench.lose_actor();
    let outcome = |number, size| crate::step::Outcome {
        key,
        life,
        sends: vec![Send::Retransmit {
            bytes: bytes.clone(),
            flow: Flow::udp("192.0.2.9:5060".parse().unwrap()),
        }],
        version: Some(NewVersion {
            number,
            local: Bytes::from_static(b"kept here"),
            replica: vec![0; size].into(),
            terminated: false,
        }),
        deadline: None,
        busy: false,
        ended: false,
        replies: Vec::new(),
    };
    bench.lane.handle_outcome(bench.now, outcome(1, limits::SNAPSHOT_BYTES_MAX + 1));
    let out = bench.settle();
    assert_eq!((out.commits.len(), out.sent.len(), bench.lane.counts().oversized), (0, 1, 1));
    bench.lane.handle_outcome(bench.now, outcome(2, limits::SNAPSHOT_BYTES_MAX));
    let out = bench.settle();
    assert_eq!((out.commits.len(), out.sent.len(), bench.lane.counts().oversized), (1, 0, 1));
}

#[test]
fn a_call_that_was_woken_for_nothing_is_put_away_again() {
    let mut bench = Bench::alone();
    let tag = call(&mut bench);
    bench.later(Duration::from_secs(10));
    assert_eq!(bench.lane.counts().active, 0);
    let key = bench.lane.config.tags.parse(&tag).unwrap();
    bench.lane.handle_input(bench.now, key, Input::Info(ReplyTo::Here(1)));
    assert!(bench.settle().replies[0].is_ok());
    assert_eq!(bench.lane.counts().active, 1);
    bench.later(Duration::from_secs(10));
    assert_eq!(bench.lane.counts().active, 0);
}

#[test]
fn an_invite_whose_shard_nobody_claims_is_answered_all_the_same() {
    let set = Arc::new(Set::default());
    let mut bench = Bench::new(set.clone(), Some(Durability::Async));
    let hashed = Key { placement: bench.lane.config.tags.placement_of_call_id("c1"), id: 0 }.shard();
    let mine = Shard((hashed.0 + 1) % SHARDS);
    set.owned.lock().unwrap().push(mine);
    bench.lane.handle_activated(bench.now, mine, None, Vec::new());
    assert!(bench.receive(&request("INVITE", "answer", "1", 1, "")).sent.is_empty());
    assert_eq!(bench.later(limits::HELD_REQUEST_TTL).statuses(), [180, 200]);
}

#[test]
fn a_bye_that_comes_again_to_a_survivor_gets_its_200() {
    let mut dead = Bench::owning_all(Durability::Async);
    let tag = call(&mut dead);
    let bye = request("BYE", "answer", "3", 2, &tag);
    let end = dead.receive(&bye).commits.pop().unwrap();
    assert!(end.terminated);
    let stored = Stored { key: end.key, version: end.version, terminated: true, body: end.body };
    let mut survivor = Bench::owning_all(Durability::Async);
    survivor.lane.handle_activated(
        survivor.now,
        stored.key.shard(),
        Some(&"n1".parse().unwrap()),
        vec![stored],
    );
    assert_eq!(survivor.receive(&bye).statuses(), [200]);
    survivor.later(Duration::from_secs(40));
    assert_eq!(survivor.lane.counts().dialogs, 0);
}

#[test]
fn another_nodes_request_is_sent_on_once_and_then_held() {
    let set = Arc::new(Set::default());
    *set.other.lock().unwrap() = Some("n2".parse().unwrap());
    let mut bench = Bench::new(set.clone(), Some(Durability::Acked));
    let tag = bench.lane.config.tags.tag(Key { placement: 77, id: 4 });
    let bye = request("BYE", "answer", "3", 2, &tag);
    assert_eq!(bench.receive(&bye).relays, ["n2".parse().unwrap()]);
    assert_eq!(bench.receive_from(&bye, true).relays, [] as [NodeId; 0], "no second hop");
    assert_eq!(bench.lane.counts().held, 1);
    bench.later(limits::HELD_REQUEST_TTL);
    assert_eq!((bench.lane.counts().held, bench.lane.counts().dropped), (0, 1));
}

#[test]
fn a_held_request_is_answered_when_its_shard_comes() {
    let set = Arc::new(Set::default());
    let mut bench = Bench::new(set.clone(), Some(Durability::Acked));
    let key = Key { placement: 77, id: 4 };
    let bye = request("BYE", "answer", "3", 2, &bench.lane.config.tags.tag(key));
    assert!(bench.receive(&bye).sent.is_empty());
    set.owned.lock().unwrap().push(key.shard());
    bench.lane.handle_activated(bench.now, key.shard(), None, Vec::new());
    assert_eq!(bench.settle().statuses(), [481], "the shard is here, the dialog is not");
}

#[test]
fn a_shard_that_is_ours_but_not_here_yet_has_no_unknown_dialogs() {
    let set = Arc::new(Set::default());
    let mut bench = Bench::new(set.clone(), Some(Durability::Acked));
    let (tag, stored) = unacked();
    set.owned.lock().unwrap().push(stored.key.shard());
    assert!(
        bench.receive(&request("BYE", "answer", "3", 2, &tag)).sent.is_empty(),
        "no 481 for a dialog on its way here"
    );
    bench.lane.handle_input(bench.now, stored.key, Input::Info(ReplyTo::Here(1)));
    assert!(bench.settle().replies.is_empty());
    bench.lane.handle_activated(bench.now, stored.key.shard(), Some(&"n1".parse().unwrap()), vec![stored]);
    let out = bench.settle();
    assert!(out.replies[0].is_ok());
    assert_eq!(out.commits.last().map(|commit| commit.terminated), Some(true), "the BYE was let in");
}

#[test]
fn a_paused_node_says_nothing_until_its_fence_is_down() {
    let mut bench = Bench::owning_all(Durability::Acked);
    bench.lane.wake(bench.now);
    let out = bench.receive(&request("INVITE", "answer", "1", 1, ""));
    let commit = &out.commits[0];
    bench.now += Duration::from_secs(5);
    bench.lane.wake(bench.now);
    bench.lane.handle_confirmed(bench.now, commit.key, commit.version);
    assert!(bench.settle().sent.is_empty(), "an acknowledgement from before the pause frees nothing");
    let tag = bench.lane.config.tags.tag(commit.key);
    assert!(bench.receive(&request("BYE", "answer", "3", 2, &tag)).sent.is_empty(), "held");
    assert!(
        bench.receive(&request("INVITE", "answer", "1", 1, "")).sent.is_empty(),
        "no stored answer either"
    );
    assert!(bench.later(limits::FENCE - limits::TICK).sent.is_empty());
    let out = bench.later(limits::TICK);
    assert_eq!(out.statuses()[..2], [180, 200], "nobody took the shard over: the call goes on");
}

#[test]
fn what_another_node_took_over_during_a_pause_is_never_answered() {
    let mut bench = Bench::owning_all(Durability::Acked);
    bench.lane.wake(bench.now);
    let commit = bench.receive(&request("INVITE", "answer", "1", 1, "")).commits.remove(0);
    bench.now += Duration::from_secs(5);
    bench.lane.wake(bench.now);
    bench.lane.handle_confirmed(bench.now, commit.key, commit.version);
    bench.lane.handle_retired(bench.now, &[commit.key.shard()].into());
    assert!(bench.later(limits::FENCE).sent.is_empty());
    assert_eq!(bench.lane.counts().dialogs, 0);
}

#[test]
fn an_end_that_surfaces_late_ends_the_dialog_here() {
    let (tag, stored) = unacked();
    let mut survivor = Bench::owning_all(Durability::Async);
    let (key, lost) = (stored.key, "n1".parse().unwrap());
    survivor.lane.handle_activated(survivor.now, key.shard(), Some(&lost), vec![stored]);
    survivor.later(limits::TICK);
    let grave = Stored { key, version: 0, terminated: true, body: Bytes::new() };
    survivor.lane.handle_activated(survivor.now, key.shard(), Some(&lost), vec![grave]);
    survivor.settle();
    assert_eq!((survivor.lane.counts().dialogs, survivor.actors.len()), (0, 0));
    assert_eq!(survivor.receive(&request("BYE", "answer", "3", 2, &tag)).statuses(), [481]);
}

#[test]
fn held_requests_are_bounded() {
    let set = Arc::new(Set::default());
    let mut bench = Bench::new(set, Some(Durability::Acked));
    let tag = bench.lane.config.tags.tag(Key { placement: 77, id: 4 });
    for n in 0..limits::HELD_REQUESTS_MAX + 10 {
        bench.receive(&request("INFO", "answer", &n.to_string(), 2, &tag));
    }
    assert_eq!((bench.lane.counts().held, bench.lane.counts().dropped), (limits::HELD_REQUESTS_MAX, 10));
}

#[test]
fn a_panicked_call_goes_on_from_its_snapshot_and_an_unanswered_one_gets_500() {
    let mut bench = Bench::alone();
    let tag = call(&mut bench);
    let (key, life) = bench.lose_actor();
    bench.lane.failed(bench.now, key, life);
    assert_eq!(bench.receive(&request("BYE", "answer", "3", 2, &tag)).statuses(), [200]);

    // The request that it failed over was not answered: sent again, it is.
    let mut bench = Bench::alone();
    let tag = call(&mut bench);
    let (key, life) = bench.lose_actor();
    assert!(bench.receive(&request("BYE", "answer", "3", 2, &tag)).sent.is_empty());
    bench.lane.failed(bench.now, key, life + 1);
    assert!(bench.receive(&request("BYE", "answer", "3", 2, &tag)).sent.is_empty(), "another life's failure");
    bench.lane.failed(bench.now, key, life);
    assert_eq!(bench.receive(&request("BYE", "answer", "3", 2, &tag)).statuses(), [200]);

    let mut bench = Bench::alone();
    bench.receive(&request("INVITE", "ring", "1", 1, ""));
    let (key, life) = bench.lose_actor();
    bench.lane.failed(bench.now, key, life);
    assert_eq!(bench.settle().statuses(), [500]);
}

#[test]
fn a_cancel_ends_what_rings_and_is_harmless_after() {
    let mut bench = Bench::alone();
    bench.receive(&request("INVITE", "ring", "1", 1, ""));
    let out = bench.receive(&request("CANCEL", "ring", "1", 1, ""));
    assert_eq!(out.statuses(), [200, 487]);
    assert_eq!(bench.lane.counts().dialogs, 0);
}

#[test]
fn what_belongs_to_no_dialog_is_answered_by_the_lane() {
    let mut bench = Bench::alone();
    let options = bench.receive(&request("OPTIONS", "answer", "1", 1, ""));
    assert_eq!(options.last().status(), StatusCode::OK);
    assert!(options.last().header("Allow").is_some());
    assert_eq!(bench.receive(&request("REGISTER", "answer", "2", 1, "")).statuses(), [405]);
    assert_eq!(bench.receive(&request("BYE", "answer", "3", 1, "nobody")).statuses(), [481]);
}

#[test]
fn a_use_of_an_unknown_dialog_is_told_so() {
    let mut bench = Bench::alone();
    bench.lane.handle_input(bench.now, Key { placement: 1, id: 1 }, Input::Bye(ReplyTo::Here(1)));
    assert_eq!(bench.settle().replies, [Err("no such dialog".to_owned())]);
}

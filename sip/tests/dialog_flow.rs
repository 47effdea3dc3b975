//! Calls between two dialogs, each with a transaction table, on a virtual clock and a wire that loses and reorders.

mod dialog_kit;

use std::time::Duration;

use dialog_kit::net::{CALLEE, CALLER, Verb, World};
use holdline_sip::dialog::{Ended, State};
use proptest::prelude::*;

const LONG: Duration = Duration::from_secs(900);

fn assert_over(world: &World, ended: [Ended; 2]) {
    for (side, why) in ended.into_iter().enumerate() {
        let ua = &world.uas[side];
        let dialog = ua.dialog.as_ref().expect("a call was placed");
        assert_eq!(dialog.state(), State::Terminated, "side {side}: {:#?}", ua.log);
        assert_eq!(dialog.ended(), Some(why), "side {side}: {:#?}", ua.log);
        assert_eq!(ua.count("event Ended"), 1, "side {side}: {:#?}", ua.log);
        assert_eq!(ua.log.last().map(String::as_str), Some(format!("event Ended {why:?}").as_str()));
    }
    assert!(world.is_quiet(), "something is left to do");
}

#[test]
fn a_call_the_caller_ends() {
    let mut world = World::new(1);
    world.plan(CALLER, 5_000, Verb::Bye);
    world.place_call();
    world.run(LONG);
    assert_over(&world, [Ended::LocalBye, Ended::RemoteBye]);
    assert_eq!(
        world.uas[CALLER].log,
        [
            "send 1 INVITE to - offer",
            "event Provisional 180",
            "event Answered 200",
            "ack 1 ACK to them",
            "event Established 1",
            "send 2 BYE to them",
            "event Ended LocalBye",
        ]
    );
    assert_eq!(
        world.uas[CALLEE].log,
        [
            "event Invite",
            "respond 180 to 1 INVITE",
            "respond 200 to 1 INVITE",
            "event Established 1",
            "respond 200 to 2 BYE",
            "event Ended RemoteBye",
        ]
    );
}

#[test]
fn a_call_the_callee_ends_with_its_own_numbers() {
    let mut world = World::new(1);
    world.plan(CALLEE, 5_000, Verb::Info);
    world.plan(CALLEE, 6_000, Verb::Bye);
    world.place_call();
    world.run(LONG);
    assert_over(&world, [Ended::RemoteBye, Ended::LocalBye]);
    assert!(world.uas[CALLEE].log.contains(&"send 1 INFO to us".to_owned()));
    assert!(world.uas[CALLEE].log.contains(&"send 2 BYE to us".to_owned()));
}

#[test]
fn a_call_the_callee_refuses() {
    let mut world = World::new(1);
    world.uas[CALLEE].answers = false;
    world.plan(CALLEE, 1_000, Verb::Reject);
    world.place_call();
    world.run(LONG);
    let busy = holdline_sip::wire::StatusCode::BUSY_HERE;
    assert_over(&world, [Ended::Failed(busy), Ended::Rejected(busy)]);
}

#[test]
fn a_call_the_caller_cancels() {
    let mut world = World::new(1);
    world.uas[CALLEE].answers = false;
    world.plan(CALLEE, 100, Verb::Ring);
    world.plan(CALLER, 1_000, Verb::Cancel);
    world.place_call();
    world.run(LONG);
    assert_over(&world, [Ended::Cancelled, Ended::Cancelled]);
}

#[test]
fn a_ringing_call_keeps_its_proxies_awake() {
    let mut world = World::new(1);
    world.uas[CALLEE].answers = false;
    world.plan(CALLEE, 100, Verb::Ring);
    world.place_call();
    world.run(Duration::from_secs(200));
    assert_eq!(world.uas[CALLEE].count("respond 180"), 4);
}

#[test]
fn re_invites_that_cross_are_both_refused_and_the_two_retries_do_not_cross() {
    let mut world = World::new(1);
    world.plan(CALLER, 2_000, Verb::Reinvite);
    world.plan(CALLEE, 2_000, Verb::Reinvite);
    world.plan(CALLER, 20_000, Verb::Bye);
    world.place_call();
    world.run(LONG);
    assert_over(&world, [Ended::LocalBye, Ended::RemoteBye]);
    for ua in &world.uas {
        assert_eq!(ua.count("respond 491"), 1, "{:#?}", ua.log);
        assert_eq!(ua.count("event Response 200 to INVITE"), 1, "{:#?}", ua.log);
        assert_eq!(ua.count("event Reinvite"), 1, "{:#?}", ua.log);
    }
}

#[test]
fn byes_that_cross_end_both_sides_at_once() {
    let mut world = World::new(1);
    world.plan(CALLER, 2_000, Verb::Bye);
    world.plan(CALLEE, 2_000, Verb::Bye);
    world.place_call();
    world.run(LONG);
    assert_over(&world, [Ended::LocalBye, Ended::LocalBye]);
    for ua in &world.uas {
        assert_eq!(
            ua.count("respond 200 to"),
            1 + usize::from(ua.count("event Invite") > 0),
            "{:#?}",
            ua.log
        );
    }
}

#[test]
fn a_callee_that_hears_no_ack_hangs_up() {
    let mut world = World::new(1);
    world.place_call();
    world.run(Duration::from_millis(150));
    // The answer and everything after it is lost.
    world.loss = 100;
    world.run(LONG);
    let callee = &world.uas[CALLEE];
    // RFC 3261 §13.3.1.4: after 0.5, 1.5, 3.5 and 7.5 s, then every 4 s up to 32 s.
    assert_eq!(callee.count("retransmit 200"), 10);
    assert_eq!(callee.log.last().map(String::as_str), Some("event Ended NoAck"));
    assert_eq!(callee.count("send 1 BYE"), 1);
}

fn verbs() -> impl Strategy<Value = Vec<(usize, u64, Verb)>> {
    let verb = prop_oneof![
        3 => Just(Verb::Reinvite),
        3 => Just(Verb::Info),
        1 => Just(Verb::Cancel),
        1 => Just(Verb::Bye),
        1 => Just(Verb::Answer),
        1 => Just(Verb::Reject),
    ];
    proptest::collection::vec((0..2_usize, 0..30_000_u64, verb), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever the applications do and the network loses, both sides end, once, and nothing is left.
    #[test]
    fn every_call_ends_on_both_sides(seed in any::<u64>(), loss in 0..30_u64, jitter in 0..800_u64, verbs in verbs()) {
        let mut world = World::new(seed);
        world.loss = loss;
        world.jitter = jitter;
        for (side, after, verb) in verbs {
            world.plan(side, after, verb);
        }
        for side in [CALLER, CALLEE] {
            // Two attempts: the first may meet a call that is not answered yet.
            world.plan(side, 60_000, Verb::Bye);
            world.plan(side, 120_000, Verb::Bye);
            world.plan(side, 180_000, Verb::Cancel);
        }
        world.place_call();
        world.run(LONG);
        for ua in &world.uas {
            if let Some(dialog) = &ua.dialog {
                prop_assert_eq!(dialog.state(), State::Terminated, "{:#?}", ua.log);
                prop_assert_eq!(ua.count("event Ended"), 1, "{:#?}", ua.log);
            }
        }
        prop_assert!(world.is_quiet());
    }

    /// A confirmed call outlives any node: after every crash both sides still hang up properly, with numbers the peer
    /// has not seen (the world checks each request), even if the snapshot misses the last steps.
    #[test]
    fn a_confirmed_call_survives_its_nodes(
        seed in any::<u64>(),
        loss in 0..10_u64,
        crashes in proptest::collection::vec((0..2_usize, 400..30_000_u64), 1..5),
        verbs in verbs(),
        hangs_up in 0..2_usize,
    ) {
        let mut world = World::new(seed);
        world.loss = loss;
        world.place_call();
        world.run(Duration::from_secs(40));
        prop_assume!(world.uas.iter().all(|ua| ua.state() == Some(State::Confirmed)));
        for (side, after) in crashes {
            world.plan(side, 40_000 + after, Verb::Crash(0));
        }
        for (side, after, verb) in verbs {
            if matches!(verb, Verb::Reinvite | Verb::Info) {
                world.plan(side, 40_000 + after, verb);
            }
        }
        world.plan(hangs_up, 80_000, Verb::Bye);
        world.run(LONG);
        for ua in &world.uas {
            let dialog = ua.dialog.as_ref().expect("the call was confirmed");
            prop_assert_eq!(dialog.state(), State::Terminated, "{:#?}", ua.log);
        }
        prop_assert!(world.is_quiet());
    }

    /// The same without the replica's acknowledgement: the survivor misses up to eight steps, and the CSeq gap covers it.
    #[test]
    fn a_stale_snapshot_never_repeats_a_number(
        seed in any::<u64>(),
        back in 0..8_usize,
        verbs in verbs(),
        crash_at in 1_000..20_000_u64,
    ) {
        let mut world = World::new(seed);
        for (side, after, verb) in verbs {
            world.plan(side, 1_000 + after, verb);
        }
        world.plan(CALLER, 1_000 + crash_at, Verb::Crash(back));
        world.plan(CALLER, 60_000, Verb::Bye);
        world.place_call();
        world.run(LONG);
    }
}

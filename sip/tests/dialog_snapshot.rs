//! The snapshot is the dialog: restored it goes on the same, taken over it does what the dead node owed, at rest it is small.

mod dialog_kit;

use dialog_kit::inputs::{INPUTS, Input, Scene};
use dialog_kit::*;
use holdline_sip::dialog::{Call, Dialog, Effect, Role, Snapshot, State};
use holdline_sip::transaction::ServerTransactionId;
use holdline_sip::wire::{Method, StatusCode};
use proptest::prelude::*;

use std::sync::LazyLock;
use std::time::Duration;

/// Server transactions for a walk's steps.
static TXS: LazyLock<Vec<ServerTransactionId>> = LazyLock::new(|| transactions(64));

fn begin(role: Role) -> Dialog {
    match role {
        Role::Uas => Dialog::uas(START, &config(), TXS[0], &invite().build(), flow(), "us".into())
            .expect("a good INVITE"),
        Role::Uac => Dialog::uac(START, &config(), call()).expect("a good call"),
    }
}

/// A dialog after these inputs, its effects taken.
fn after(role: Role, path: &[&str]) -> Dialog {
    let mut dialog = begin(role);
    for (index, input) in path.iter().enumerate() {
        let (_, act) = INPUTS.iter().find(|(name, _)| name == input).expect("an input of the table");
        act(Scene { dialog: &mut dialog, now: START, tx: TXS[index + 1] }).expect("the path is possible");
    }
    lines(&mut dialog);
    dialog
}

fn take_over(dialog: &Dialog, millis: u64) -> Dialog {
    Dialog::restore(at(millis), &config(), dialog.to_snapshot(), true)
}

// ---- random walks

fn steps() -> impl Strategy<Value = (bool, Vec<(usize, u64)>)> {
    let pause = prop_oneof![4 => 0..50_u64, 2 => 50..5_000_u64, 1 => 5_000..70_000_u64];
    (any::<bool>(), proptest::collection::vec((0..INPUTS.len(), pause), 1..40))
}

fn role(uas: bool) -> Role {
    if uas { Role::Uas } else { Role::Uac }
}

/// Time is the walk's own; the table's inputs that pass time are left out.
fn input(index: usize) -> Option<&'static Input> {
    Some(&INPUTS[index]).filter(|(name, _)| !name.contains("pass"))
}

/// One step: the timers that are due by then, then the input.
fn step(dialog: &mut Dialog, now: Duration, number: usize, index: usize) -> Vec<String> {
    while let Some(due) = dialog.poll_timeout().filter(|due| *due <= now) {
        dialog.handle_timeout(due);
        assert!(dialog.poll_timeout().is_none_or(|next| next > due), "a timer that is due for ever");
    }
    let mut outcome = Ok(());
    if let Some((_, act)) = input(index) {
        outcome = act(Scene { dialog: &mut *dialog, now, tx: TXS[number + 1] });
    }
    let mut all = lines(dialog);
    all.extend(outcome.err());
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Restored from its snapshot before every step, a dialog does what it would have done.
    #[test]
    fn a_restored_dialog_behaves_as_the_one_before((uas, walk) in steps()) {
        let mut kept = begin(role(uas));
        let mut restored = kept.clone();
        let mut now = START;
        for (number, (index, pause)) in walk.into_iter().enumerate() {
            now += Duration::from_millis(pause);
            prop_assert_eq!(step(&mut kept, now, number, index), step(&mut restored, now, number, index));
            prop_assert_eq!(kept.poll_timeout(), restored.poll_timeout());
            prop_assert_eq!(kept.state(), restored.state());
            restored = Dialog::restore(now, &config(), restored.to_snapshot(), false);
            prop_assert_eq!(format!("{:?}", kept.as_snapshot()), format!("{:?}", restored.as_snapshot()));
        }
    }

    /// Whatever comes: no panic, no way back, no number used twice, one end, and silence after it.
    #[test]
    fn whatever_comes_the_rules_hold((uas, walk) in steps(), takeovers in proptest::collection::vec(0..40_usize, 0..3)) {
        let mut dialog = begin(role(uas));
        let (mut now, mut newest, mut ended) = (START, 0, 0);
        for (number, (index, pause)) in walk.into_iter().enumerate() {
            now += Duration::from_millis(pause);
            let before = dialog.state();
            if takeovers.contains(&number) {
                dialog = Dialog::restore(now, &config(), dialog.to_snapshot(), true);
            }
            while let Some(due) = dialog.poll_timeout().filter(|due| *due <= now) {
                dialog.handle_timeout(due);
            }
            if let Some((_, act)) = input(index) {
                act(Scene { dialog: &mut dialog, now, tx: TXS[number + 1] }).ok();
            }
            prop_assert!(dialog.state() >= before, "{:?} after {:?}", dialog.state(), before);
            for effect in effects(&mut dialog) {
                let text = line(&effect);
                prop_assert!(ended == 0 || !text.starts_with("event"), "after the end: {}", text);
                ended += u32::from(text.starts_with("event Ended"));
                if let Effect::Send { request, .. } = &effect {
                    let cseq = request.cseq().number;
                    prop_assert!(cseq > newest, "{} after {}", cseq, newest);
                    newest = cseq;
                }
            }
            let s = dialog.as_snapshot();
            prop_assert_eq!(ended == 1, s.state == State::Terminated);
            prop_assert_eq!(s.ended.is_some(), s.state == State::Terminated);
            prop_assert_eq!(s.closing.is_some(), s.state == State::Closing);
            prop_assert!(s.pending.len() <= Dialog::PENDING_MAX && s.forks.len() <= Dialog::FORKS_MAX);
            if s.state == State::Terminated {
                prop_assert!(s.pending.is_empty() && s.unacked.is_none() && s.client_invite.is_none());
            }
        }
    }
}

// ---- takeover, case by case

#[test]
fn the_survivor_hangs_up_with_the_same_parties_and_a_number_beyond_the_gap() {
    for (role, path, from, to) in [
        (
            Role::Uas,
            &["answer", "ACK"][..],
            "<sip:us@example.com>;tag=us",
            "\"Them\" <sip:them@example.com>;tag=them",
        ),
        (
            Role::Uac,
            &["200 to INVITE"],
            "\"Us\" <sip:us@example.com>;tag=us",
            "<sip:them@example.com>;tag=them",
        ),
    ] {
        let lost = after(role, path);
        let last = lost.as_snapshot().local_cseq;
        let mut survivor = take_over(&lost, 1_000);
        assert!(lines(&mut survivor).is_empty());
        survivor.bye(at(1_000), None).expect("it is confirmed");
        let bye = sent(&effects(&mut survivor)).remove(0);
        assert_eq!(bye.cseq().number, last + 16 + 1);
        assert_eq!(bye.header("From"), Some(from));
        assert_eq!(bye.header("To"), Some(to));
        assert_eq!(bye.uri(), "sip:them@198.51.100.7:5060");
        assert_eq!(bye.values("Route").count(), lost.as_snapshot().route_set.len());
        assert_eq!(survivor.id(), lost.id());
    }
}

#[test]
fn two_takeovers_leave_two_gaps() {
    let lost = after(Role::Uac, &["200 to INVITE"]);
    let mut survivor = take_over(&take_over(&lost, 1_000), 2_000);
    survivor.bye(at(2_000), None).expect("it is confirmed");
    assert_eq!(lines(&mut survivor), ["send 34 BYE to them"]);
}

#[test]
fn the_survivor_sends_an_unacked_2xx_at_once_and_goes_on() {
    let lost = after(Role::Uas, &["answer"]);
    let mut survivor = take_over(&lost, 4_000);
    assert_eq!(lines(&mut survivor), ["retransmit 200 to 1 INVITE"]);
    assert_eq!(survivor.poll_timeout(), Some(at(4_500)));
    survivor.handle_timeout(at(4_500));
    assert_eq!(lines(&mut survivor), ["retransmit 200 to 1 INVITE"]);
    survivor.handle_ack(at(4_600), &request("ACK").build());
    assert_eq!(lines(&mut survivor), ["event Established 1"]);
    assert!(survivor.is_idle());
}

#[test]
fn a_long_outage_does_not_hang_up_on_a_peer_that_acked_the_dead_node() {
    let mut survivor = take_over(&after(Role::Uas, &["answer"]), 100_000);
    lines(&mut survivor);
    survivor.handle_timeout(at(100_500));
    assert_eq!(lines(&mut survivor), ["retransmit 200 to 1 INVITE"]);
    assert_eq!(survivor.state(), State::Confirmed);
}

#[test]
fn the_survivor_knows_the_invite_again_and_answers_it_as_before() {
    let mut survivor = take_over(&after(Role::Uas, &["answer"]), 1_000);
    lines(&mut survivor);
    let again = invite().build();
    assert!(survivor.is_retransmission_of_invite(&again));
    assert!(!survivor.is_retransmission_of_invite(&invite().branch("z9hG4bKother").build()));
    assert!(!survivor.is_retransmission_of_invite(&invite().cseq(2).build()));
    assert!(!survivor.is_retransmission_of_invite(&invite().with_from_tag("other").build()));
    assert!(!survivor.is_retransmission_of_invite(&request("INVITE").build()));
    survivor.handle_request(at(1_000), TXS[9], &again, flow());
    assert_eq!(lines(&mut survivor), ["respond 200 to 1 INVITE"]);
}

#[test]
fn the_survivor_acks_a_2xx_that_comes_again() {
    let mut lost = after(Role::Uac, &["200 to INVITE"]);
    let ok = response_to(1, "INVITE", 200, "them", CONTACT, "sdp");
    lost.handle_response(START, &ok);
    let ack = sent(&effects(&mut lost)).remove(0);
    let mut survivor = take_over(&lost, 1_000);
    survivor.handle_response(at(1_000), &ok);
    let again = sent(&effects(&mut survivor)).remove(0);
    assert_eq!(ack.as_bytes(), again.as_bytes());
}

#[test]
fn the_survivor_acks_with_the_answer_the_application_gave() {
    let lost = after(Role::Uac, &["200 to INVITE", "reinvite without offer", "200 to INVITE", "ack"]);
    let mut survivor = take_over(&lost, 1_000);
    survivor.handle_response(at(1_000), &response_to(2, "INVITE", 200, "them", CONTACT, "sdp"));
    assert_eq!(lines(&mut survivor), ["ack 2 ACK to them answer"]);
}

#[test]
fn the_survivor_takes_the_2xx_of_a_call_that_was_only_ringing() {
    let mut survivor = take_over(&after(Role::Uac, &["180 to INVITE"]), 1_000);
    survivor.handle_response(at(2_000), &response_to(1, "INVITE", 200, "them", CONTACT, "sdp"));
    assert_eq!(lines(&mut survivor), ["event Answered 200", "ack 1 ACK to them", "event Established 1"]);
    assert_eq!(survivor.poll_timeout(), None);
}

#[test]
fn a_call_nobody_answers_ends_on_the_survivor_too() {
    for (role, path, keeps_invite) in
        [(Role::Uac, "180 to INVITE", false), (Role::Uas, "progress", false), (Role::Uas, "progress", true)]
    {
        let mut lost = after(role, &[path]).to_snapshot();
        if !keeps_invite {
            lost.pending.clear();
        }
        let mut survivor = Dialog::restore(at(1_000), &config(), lost, true);
        survivor.handle_timeout(at(1_000) + Dialog::UNANSWERED_MAX);
        assert!(survivor.as_snapshot().pending.is_empty());
        assert_eq!(lines(&mut survivor).last().map(String::as_str), Some("event Ended Timeout"));
    }
}

#[test]
fn the_survivor_sends_an_unanswered_bye_again_as_a_new_request() {
    let mut lost = after(Role::Uas, &["answer", "ACK"]);
    lost.bye(START, None).expect("it is confirmed");
    let first = sent(&effects(&mut lost)).remove(0);
    let mut survivor = take_over(&lost, 1_000);
    let second = sent(&effects(&mut survivor)).remove(0);
    assert_eq!(second.method(), &Method::Bye);
    assert_eq!(second.cseq().number, first.cseq().number + 16 + 1);
    assert_ne!(second.branch(), first.branch());
    // The answer to the first is not the answer to the second.
    survivor.handle_transaction_timeout(at(2_000), &Method::Bye, first.cseq().number);
    assert_eq!(survivor.state(), State::Closing);
    survivor.handle_response(at(2_000), &response(&second, 481, "", "", ""));
    assert_eq!(lines(&mut survivor), ["event Ended LocalBye"]);
}

#[test]
fn a_bye_whose_answer_nobody_reports_ends_the_dialog_anyway() {
    let mut dialog = after(Role::Uac, &["200 to INVITE", "bye"]);
    let due = dialog.poll_timeout().expect("a last resort");
    assert!(due > at(32_000));
    dialog.handle_timeout(due);
    assert_eq!(lines(&mut dialog), ["event Ended LocalBye"]);
}

#[test]
fn a_request_answered_by_the_dead_node_gets_the_same_answer_and_no_event() {
    let mut lost = after(Role::Uas, &["answer", "ACK", "INFO"]);
    lost.accept_request(START, StatusCode::OK, &[], Some(&sdp("report"))).expect("it waits");
    let Some(Effect::Respond { response: first, .. }) = lost.poll_effect() else { panic!("a response") };
    let mut survivor = take_over(&lost, 1_000);
    survivor.handle_request(at(1_000), TXS[9], &request("INFO").cseq(2).build(), flow());
    let Some(Effect::Respond { response: again, tx }) = survivor.poll_effect() else { panic!("a response") };
    assert_eq!(first.as_bytes(), again.as_bytes());
    assert_eq!(tx, TXS[9]);
    assert!(survivor.poll_effect().is_none());
}

#[test]
fn a_bye_answered_by_the_dead_node_is_answered_by_the_survivor_and_the_call_stays_over() {
    let mut survivor = take_over(&after(Role::Uas, &["answer", "ACK", "BYE"]), 1_000);
    assert_eq!(survivor.state(), State::Terminated);
    survivor.handle_request(at(1_000), TXS[9], &request("BYE").cseq(2).build(), flow());
    survivor.handle_request(at(1_000), TXS[10], &request("INFO").cseq(3).build(), flow());
    assert_eq!(lines(&mut survivor), ["respond 200 to 2 BYE", "respond 481 to 3 INFO"]);
}

#[test]
fn a_request_the_dead_node_did_not_answer_is_new_to_the_survivor() {
    let lost = after(Role::Uas, &["answer", "ACK", "INFO"]);
    let mut survivor = take_over(&lost, 1_000);
    survivor.handle_request(at(1_000), TXS[9], &request("INFO").cseq(2).build(), flow());
    assert_eq!(lines(&mut survivor), ["event Request INFO"]);
    survivor.respond(at(1_000), TXS[9], StatusCode::OK, &[], None).expect("it waits");
    assert_eq!(lines(&mut survivor), ["respond 200 to 2 INFO"]);
}

#[test]
fn a_ringing_call_can_be_answered_by_the_survivor_if_its_invite_was_replicated() {
    let mut survivor = take_over(&after(Role::Uas, &["progress"]), 1_000);
    survivor.answer(at(1_000), Some(&sdp("answer"))).expect("its INVITE is known");
    // There is no transaction to send it through.
    assert_eq!(lines(&mut survivor), ["retransmit 200 to 1 INVITE"]);
    survivor.handle_ack(at(1_100), &request("ACK").build());
    assert_eq!(lines(&mut survivor), ["event Established 1"]);
}

#[test]
fn an_invite_that_comes_again_gets_the_1xx_again_and_its_answer_through_the_new_transaction() {
    let mut survivor = take_over(&after(Role::Uas, &["progress"]), 1_000);
    survivor.handle_request(at(1_500), TXS[9], &invite().build(), flow());
    assert_eq!(lines(&mut survivor), ["respond 180 to 1 INVITE"]);
    // A transaction watches over the call again: the survivor's own deadline is off.
    survivor.handle_timeout(at(1_000) + Dialog::UNANSWERED_MAX);
    assert_eq!(survivor.state(), State::Early);
    lines(&mut survivor);
    survivor.reject(at(200_000), StatusCode::BUSY_HERE, &[]).expect("it waits");
    assert_eq!(lines(&mut survivor)[0], "respond 486 to 1 INVITE");
}

#[test]
fn a_ringing_call_can_be_answered_by_the_survivor_if_its_invite_comes_again() {
    let mut lost = after(Role::Uas, &["progress"]).to_snapshot();
    lost.pending.clear();
    let mut survivor = Dialog::restore(at(1_000), &config(), lost, true);
    assert!(survivor.answer(at(1_000), None).is_err());
    survivor.handle_request(at(1_500), TXS[9], &invite().build(), flow());
    assert_eq!(lines(&mut survivor), ["event Invite"]);
    survivor.answer(at(1_600), None).expect("it waits again");
    assert_eq!(lines(&mut survivor), ["respond 200 to 1 INVITE"]);
    assert_eq!(survivor.state(), State::Confirmed);
}

#[test]
fn a_re_invite_in_flight_dies_with_its_node_but_its_2xx_is_acked() {
    let lost = after(Role::Uac, &["200 to INVITE", "reinvite"]);
    let mut survivor = take_over(&lost, 1_000);
    assert!(survivor.is_idle());
    survivor.handle_response(at(1_000), &response_to(2, "INVITE", 200, "them", CONTACT, "sdp"));
    assert_eq!(lines(&mut survivor), ["ack 2 ACK to them"]);
    survivor.reinvite(at(2_000), Some(sdp("hold"))).expect("nothing is in the way");
    assert_eq!(lines(&mut survivor), ["send 19 INVITE to them hold"]);
}

#[test]
fn numbers_never_pass_2_to_the_31() {
    let mut spent = after(Role::Uac, &["200 to INVITE"]).to_snapshot();
    spent.local_cseq = (1 << 31) - 1;
    let mut dialog = Dialog::restore(START, &config(), spent, false);
    assert!(dialog.request(START, Method::Info, &[], None).is_err());
    dialog.bye(START, None).expect("it is confirmed");
    assert_eq!(lines(&mut dialog), ["event Ended LocalBye"]);
}

// ---- size

/// What the fields of a snapshot need: their text, four bytes a number, two bytes of framing each.
fn size(s: &Snapshot) -> usize {
    let texts = [
        &s.id.call_id,
        &s.id.local_tag,
        &s.id.remote_tag,
        &s.local_uri,
        &s.remote_uri,
        &s.remote_target,
        &s.branch_prefix,
    ];
    let text = texts.into_iter().chain(&s.route_set).map(|text| text.len() + 2).sum::<usize>();
    let answer = s.last_answer.as_ref().map_or(0, |answer| answer.response.len() + answer.branch.len() + 20);
    let unacked = s.unacked.as_ref().map_or(0, |unacked| unacked.response.len() + unacked.branch.len() + 50);
    text + 8 * 6 + answer + unacked
}

#[test]
fn an_established_call_at_rest_is_small() {
    for (role, path) in [
        (Role::Uas, &["answer", "ACK", "INFO", "accept_request"][..]),
        (Role::Uac, &["200 to INVITE", "reinvite without offer", "200 to INVITE", "ack", "200 of a fork"]),
    ] {
        let mut dialog = after(role, path);
        while let Some(due) = dialog.poll_timeout() {
            dialog.handle_timeout(due);
        }
        assert!(lines(&mut dialog).is_empty());
        assert!(dialog.is_idle());
        let s = dialog.to_snapshot();
        assert!(size(&s) <= 700, "{} bytes", size(&s));
        assert!(s.ended.is_none() && s.unacked.is_none() && s.client_invite.is_none());
        assert!(s.awaiting_ack.is_none() && s.acked.is_none() && s.invite_deadline.is_none());
        assert!(s.retry.is_none() && s.closing.is_none() && s.bye_wanted.is_none());
        assert!(s.last_answer.is_none() && s.forks.is_empty() && s.pending.is_empty());
    }
}

#[test]
fn a_dialog_with_long_names_is_still_small_right_after_its_ack() {
    let call_id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6@gateway.example.com".to_owned();
    let local_tag = "4k7yq2mzd5x3h6wnpb2c".to_owned();
    let uri = |user: &str| format!("sip:{user}@customers.example.com");
    let (from_uri, to_uri) = (uri("+4930123456789"), uri("+4989987654321"));
    let call = Call { call_id, local_tag, from_uri, to_uri, ..call() };
    let mut dialog = Dialog::uac(START, &config(), call).expect("a good call");
    let invite = sent(&effects(&mut dialog)).remove(0);
    let more = "Contact: <sip:+4989987654321@192.0.2.77:5060;transport=udp;ob>\r\nRecord-Route: <sip:192.0.2.10:5060;lr;ftag=4k7yq2mzd5x3h6wnpb2c>\r\n";
    dialog.handle_response(START, &response(&invite, 200, "1928301774-as7d6f", more, "sdp"));
    lines(&mut dialog);
    let bytes = size(dialog.as_snapshot());
    assert!(dialog.is_idle() && bytes <= 700, "{bytes} bytes");
}

//! The races of RFC 3261 and RFC 5407: messages that cross, come late, twice or never. One named test each.

mod dialog_kit;

use dialog_kit::calls::*;
use dialog_kit::*;
use holdline_sip::dialog::{DialogError, Ended, State};
use holdline_sip::wire::{Method, StatusCode};

// ---- CANCEL

#[test]
fn a_cancel_in_time_gives_200_and_487() {
    let mut dialog = incoming(&invite());
    dialog.handle_cancel(START, tx(1), &request("CANCEL").no_to_tag().build());
    assert_eq!(
        lines(&mut dialog),
        ["respond 200 to 1 CANCEL", "respond 487 to 1 INVITE", "event Ended Cancelled"]
    );
}

#[test]
fn a_cancel_that_crosses_our_2xx_gives_200_and_changes_nothing() {
    let mut dialog = answered();
    dialog.handle_cancel(START, tx(1), &request("CANCEL").no_to_tag().build());
    assert_eq!(lines(&mut dialog), ["respond 200 to 1 CANCEL"]);
    assert_eq!(dialog.state(), State::Confirmed);
}

#[test]
fn a_cancelled_re_invite_leaves_the_call_up() {
    let mut dialog = uas();
    assert_eq!(receive(&mut dialog, &request("INVITE").cseq(2)), ["event Reinvite 2"]);
    dialog.handle_cancel(START, tx(2), &request("CANCEL").cseq(2).build());
    assert_eq!(
        lines(&mut dialog),
        ["respond 200 to 2 CANCEL", "respond 487 to 2 INVITE", "event RequestCancelled"]
    );
    assert_eq!(dialog.state(), State::Confirmed);
}

#[test]
fn a_2xx_that_crosses_our_cancel_is_acked_and_hung_up() {
    let (mut dialog, invite) = outgoing(call());
    dialog.handle_response(START, &response(&invite, 180, "them", CONTACT, ""));
    dialog.cancel(START).expect("it rings");
    dialog.cancel(START).expect("asking twice is asking once");
    assert_eq!(lines(&mut dialog), ["event Provisional 180", "cancel z9hG4bKus.1"]);
    let ok = response(&invite, 200, "them", CONTACT, "answer");
    dialog.handle_response(START, &ok);
    assert_eq!(lines(&mut dialog), ["ack 1 ACK to them", "send 2 BYE to them"]);
    // The 2xx again, because our ACK was lost.
    dialog.handle_response(START, &ok);
    assert_eq!(lines(&mut dialog), ["ack 1 ACK to them"]);
    dialog.handle_transaction_timeout(at(32_000), &Method::Bye, 2);
    assert_eq!(lines(&mut dialog), ["event Ended Cancelled"]);
}

#[test]
fn a_cancelled_call_that_never_gets_its_final_response_ends_after_64_t1() {
    let (mut dialog, invite) = outgoing(call());
    dialog.cancel(START).expect("it is unanswered");
    lines(&mut dialog);
    assert_eq!(dialog.poll_timeout(), Some(at(32_000)));
    dialog.handle_timeout(at(32_000));
    assert_eq!(lines(&mut dialog), ["event Failed -", "event Ended Cancelled"]);
    // And if the peer answers after all, it must not be left in a call.
    dialog.handle_response(at(33_000), &response(&invite, 200, "them", CONTACT, "answer"));
    assert_eq!(lines(&mut dialog), ["ack 1 ACK to them", "send 2 BYE to them"]);
}

// ---- re-INVITE and target refresh

#[test]
fn a_re_invite_during_ours_gets_491() {
    let mut dialog = uas();
    dialog.reinvite(START, Some(sdp("hold"))).expect("nothing is in the way");
    lines(&mut dialog);
    assert_eq!(receive(&mut dialog, &request("INVITE").cseq(2)), ["respond 491 to 2 INVITE"]);
}

#[test]
fn a_second_re_invite_before_the_first_is_answered_gets_500_and_retry_after() {
    let mut dialog = uas();
    assert_eq!(receive(&mut dialog, &request("INVITE").cseq(2)), ["event Reinvite 2"]);
    assert_eq!(receive(&mut dialog, &request("INVITE").cseq(3)), ["respond 500 to 3 INVITE +Retry-After"]);
}

#[test]
fn a_re_invite_before_the_ack_gets_491() {
    let mut dialog = answered();
    assert_eq!(receive(&mut dialog, &request("INVITE").cseq(2)), ["respond 491 to 2 INVITE"]);
    // Its ACK (a non-2xx one, should it stray here) is not the ACK that is waited for.
    dialog.handle_ack(START, &request("ACK").cseq(2).build());
    assert!(lines(&mut dialog).is_empty());
    dialog.handle_ack(START, &request("ACK").cseq(1).build());
    assert_eq!(lines(&mut dialog), ["event Established 1"]);
}

#[test]
fn no_re_invite_of_ours_while_another_is_in_progress() {
    let body = || Some(sdp("hold"));
    let mut dialog = answered();
    assert!(dialog.reinvite(START, body()).is_err(), "the 2xx has no ACK");
    let mut dialog = uas();
    receive(&mut dialog, &request("INVITE").cseq(2));
    assert!(dialog.reinvite(START, body()).is_err(), "the peer's is unanswered");
    let (mut dialog, _) = uac();
    dialog.reinvite(START, body()).expect("nothing is in the way");
    assert!(dialog.reinvite(START, body()).is_err(), "ours is unanswered");
    assert_eq!(lines(&mut dialog), ["send 2 INVITE to them hold"]);
}

#[test]
fn after_491_the_call_id_s_owner_waits_longer_and_both_try_just_once_more() {
    for (mut dialog, least, most) in [(uac().0, 2_100, 4_000), (uas(), 0, 2_000)] {
        dialog.reinvite(START, Some(sdp("hold"))).expect("nothing is in the way");
        let first = sent(&effects(&mut dialog)).remove(0);
        dialog.handle_response(START, &response(&first, 491, "", "", ""));
        assert!(lines(&mut dialog).is_empty());
        let due = dialog.poll_timeout().expect("a retry");
        assert!((at(least)..=at(most)).contains(&due), "{:?} {due:?}", dialog.role());
        dialog.handle_timeout(due);
        let second = sent(&effects(&mut dialog)).remove(0);
        assert_eq!(second.body(), "hold");
        assert_eq!(second.cseq().number, first.cseq().number + 1);
        dialog.handle_response(due, &response(&second, 491, "", "", ""));
        assert_eq!(lines(&mut dialog), ["event Response 491 to INVITE"]);
        assert_eq!(dialog.poll_timeout(), None);
    }
}

#[test]
fn a_refused_re_invite_leaves_the_session_and_the_target_as_they_were() {
    let (mut dialog, _) = uac();
    dialog.reinvite(START, Some(sdp("hold"))).expect("nothing is in the way");
    let reinvite = sent(&effects(&mut dialog)).remove(0);
    dialog.handle_response(START, &response(&reinvite, 488, "", "Contact: <sip:moved@x>\r\n", ""));
    assert_eq!(lines(&mut dialog), ["event Response 488 to INVITE"]);
    assert_eq!(dialog.remote_target(), "sip:them@198.51.100.7:5060");
    let mut dialog = uas();
    receive(&mut dialog, &request("INVITE").cseq(2).header("Contact: <sip:moved@x>"));
    dialog.reject(START, StatusCode::NOT_ACCEPTABLE_HERE, &[]).expect("it waits");
    assert_eq!(lines(&mut dialog), ["respond 488 to 2 INVITE"]);
    assert_eq!((dialog.state(), dialog.remote_target()), (State::Confirmed, "sip:them@198.51.100.7:5060"));
}

#[test]
fn an_accepted_re_invite_moves_the_target_either_way_but_not_the_route() {
    let (mut ours, _) = uac();
    ours.reinvite(START, Some(sdp("hold"))).expect("nothing is in the way");
    let reinvite = sent(&effects(&mut ours)).remove(0);
    let more = "Contact: <sip:moved@203.0.113.9>\r\nRecord-Route: <sip:new;lr>\r\n";
    let ok = response(&reinvite, 200, "", more, "");
    ours.handle_response(START, &ok);
    assert_eq!(lines(&mut ours), ["event Response 200 to INVITE", "ack 2 ACK to them", "event Acked 2"]);
    let mut theirs = uas();
    let moved = request("INVITE")
        .cseq(2)
        .header("Contact: <sip:moved@203.0.113.9>")
        .header("Record-Route: <sip:new;lr>");
    receive(&mut theirs, &moved);
    theirs.answer(START, Some(&sdp("answer"))).expect("it waits");
    theirs.handle_ack(START, &request("ACK").cseq(2).build());
    assert_eq!(lines(&mut theirs), ["respond 200 to 2 INVITE", "event Acked 2"]);
    for mut dialog in [ours, theirs] {
        let routes = dialog.as_snapshot().route_set.clone();
        assert!(!routes.contains(&"<sip:new;lr>".to_owned()));
        dialog.bye(START, None).expect("it is confirmed");
        assert_eq!(sent(&effects(&mut dialog))[0].uri(), "sip:moved@203.0.113.9");
    }
}

#[test]
fn an_unacked_2xx_to_a_re_invite_ends_the_call_too() {
    let mut dialog = uas();
    receive(&mut dialog, &request("INVITE").cseq(2));
    dialog.answer(START, None).expect("it waits");
    lines(&mut dialog);
    dialog.handle_timeout(at(32_000));
    assert_eq!(lines(&mut dialog), ["send 1 BYE to them"]);
}

#[test]
fn an_update_moves_the_target_and_meets_the_glare_rules() {
    let mut dialog = uas();
    let update = |cseq| request("UPDATE").cseq(cseq).header("Contact: <sip:moved@x>").body("offer");
    assert_eq!(receive(&mut dialog, &update(2)), ["event Request UPDATE"]);
    assert_eq!(receive(&mut dialog, &update(3)), ["respond 500 to 3 UPDATE +Retry-After"]);
    dialog.accept_request(START, StatusCode::OK, &[], None).expect("one waits");
    assert_eq!(dialog.remote_target(), "sip:moved@x");
    dialog.reinvite(START, Some(sdp("hold"))).expect("nothing is in the way");
    lines(&mut dialog);
    assert_eq!(receive(&mut dialog, &update(4)), ["respond 491 to 4 UPDATE"]);
}

// ---- the peer is gone

#[test]
fn a_481_or_408_or_silence_inside_the_dialog_ends_it_with_a_bye() {
    for status in [481, 408] {
        let (mut dialog, _) = uac();
        dialog.request(START, Method::Info, &[], None).expect("it is confirmed");
        let info = sent(&effects(&mut dialog)).remove(0);
        dialog.handle_response(START, &response(&info, status, "", "", ""));
        assert_eq!(
            lines(&mut dialog),
            [format!("event Response {status} to INFO"), "send 3 BYE to them".into()]
        );
    }
    let (mut dialog, _) = uac();
    dialog.reinvite(START, None).expect("nothing is in the way");
    lines(&mut dialog);
    dialog.handle_transaction_timeout(START, &Method::Invite, 2);
    assert_eq!(lines(&mut dialog), ["event RequestFailed 2 INVITE 408", "send 3 BYE to them"]);
    dialog.handle_transaction_timeout(START, &Method::Bye, 3);
    assert_eq!(dialog.ended(), Some(Ended::Failed(StatusCode::REQUEST_TIMEOUT)));
}

#[test]
fn other_failures_inside_the_dialog_leave_it_up() {
    let (mut dialog, _) = uac();
    dialog.request(START, Method::Info, &[], None).expect("it is confirmed");
    let info = sent(&effects(&mut dialog)).remove(0);
    dialog.handle_response(START, &response(&info, 500, "", "", ""));
    dialog.handle_transport_error(START, &Method::Info, 2);
    assert_eq!(lines(&mut dialog), ["event Response 500 to INFO", "event RequestFailed 2 INFO 503"]);
    assert_eq!(dialog.state(), State::Confirmed);
}

// ---- BYE

#[test]
fn any_final_response_to_our_bye_ends_the_dialog() {
    for status in [200, 401, 408, 481, 500] {
        let (mut dialog, _) = uac();
        dialog.bye(START, None).expect("it is confirmed");
        assert_eq!(dialog.state(), State::Closing);
        let bye = sent(&effects(&mut dialog)).remove(0);
        dialog.handle_response(START, &response(&bye, 100, "", "", ""));
        assert_eq!(dialog.state(), State::Closing);
        dialog.handle_response(START, &response(&bye, status, "", "", ""));
        assert_eq!(lines(&mut dialog), ["event Ended LocalBye"]);
    }
}

#[test]
fn byes_that_cross_are_both_answered_200() {
    let (mut dialog, _) = uac();
    dialog.bye(START, None).expect("it is confirmed");
    let bye = sent(&effects(&mut dialog)).remove(0);
    assert_eq!(
        receive(&mut dialog, &request("BYE").cseq(1)),
        ["respond 200 to 1 BYE", "event Ended LocalBye"]
    );
    dialog.handle_response(START, &response(&bye, 200, "", "", ""));
    dialog.handle_transaction_timeout(START, &Method::Bye, 2);
    assert!(lines(&mut dialog).is_empty());
}

#[test]
fn everything_but_bye_comes_too_late_for_a_closing_dialog() {
    let mut dialog = uas();
    dialog.bye(START, None).expect("it is confirmed");
    lines(&mut dialog);
    assert_eq!(receive(&mut dialog, &request("INVITE").cseq(2)), ["respond 481 to 2 INVITE"]);
    assert_eq!(receive(&mut dialog, &request("INFO").cseq(3)), ["respond 481 to 3 INFO"]);
}

#[test]
fn a_re_invite_answered_while_our_bye_is_out_is_acked() {
    let (mut dialog, _) = uac();
    dialog.reinvite(START, Some(sdp("hold"))).expect("nothing is in the way");
    let reinvite = sent(&effects(&mut dialog)).remove(0);
    dialog.bye(START, None).expect("it is confirmed");
    assert_eq!(lines(&mut dialog), ["send 3 BYE to them"]);
    dialog.handle_response(START, &response(&reinvite, 200, "", CONTACT, ""));
    assert_eq!(lines(&mut dialog), ["ack 2 ACK to them"]);
}

#[test]
fn a_bye_sent_while_the_peer_s_re_invite_waits_answers_it_487() {
    let mut dialog = uas();
    receive(&mut dialog, &request("INVITE").cseq(2));
    dialog.bye(START, None).expect("it is confirmed");
    assert_eq!(lines(&mut dialog), ["respond 487 to 2 INVITE", "send 1 BYE to them"]);
}

#[test]
fn a_bye_sent_again_gets_the_stored_answer_also_long_after_the_end() {
    let mut dialog = uas();
    let bye = request("BYE").cseq(2);
    receive(&mut dialog, &bye);
    assert_eq!(receive(&mut dialog, &bye), ["respond 200 to 2 BYE"]);
    assert_eq!(receive(&mut dialog, &request("BYE").cseq(3)), ["respond 481 to 3 BYE"]);
    dialog.handle_timeout(at(32_100));
    assert_eq!(dialog.poll_timeout(), None);
    assert_eq!(receive(&mut dialog, &bye), ["respond 481 to 2 BYE"]);
}

#[test]
fn a_terminated_dialog_refuses_every_verb() {
    let mut dialog = uas();
    receive(&mut dialog, &request("BYE").cseq(2));
    assert!(dialog.bye(START, None).is_err());
    assert!(dialog.cancel(START).is_err());
    assert!(dialog.answer(START, None).is_err());
    assert!(dialog.progress(START, StatusCode::RINGING, None).is_err());
    assert!(dialog.reject(START, StatusCode::BUSY_HERE, &[]).is_err());
    assert!(dialog.reinvite(START, None).is_err());
    assert!(dialog.ack(START, None).is_err());
    assert!(dialog.request(START, Method::Info, &[], None).is_err());
    assert!(lines(&mut dialog).is_empty());
}

#[test]
fn methods_with_a_verb_of_their_own_are_not_plain_requests() {
    let (mut dialog, _) = uac();
    for method in [Method::Invite, Method::Ack, Method::Bye, Method::Cancel] {
        assert!(matches!(dialog.request(START, method, &[], None), Err(DialogError::Method { .. })));
    }
}

#[test]
fn a_481_before_the_ack_hangs_up_only_after_it() {
    let mut dialog = answered();
    dialog.request(START, Method::Info, &[], None).expect("it is confirmed");
    let info = sent(&effects(&mut dialog)).remove(0);
    dialog.handle_response(START, &response(&info, 481, "", "", ""));
    assert_eq!(lines(&mut dialog), ["event Response 481 to INFO"]);
    dialog.handle_ack(START, &request("ACK").build());
    assert_eq!(lines(&mut dialog), ["event Established 1", "send 2 BYE to them"]);
}

//! The rules of an INVITE dialog, role by role: who may say what when, and what our requests look like.

mod dialog_kit;

use std::sync::Arc;

use dialog_kit::calls::*;
use dialog_kit::*;
use holdline_sip::dialog::{Body, Call, Config, Dialog, DialogError, DialogId, Effect, Event, Role, State};
use holdline_sip::wire::{HeaderName, Message, Method, StatusCode};

const GONE: StatusCode = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;

// ---- INVITE as UAS

#[test]
fn an_invite_with_an_unknown_extension_gets_420_and_its_name() {
    let invite = invite().header("Require: 100rel, timer").build();
    let config = Arc::new(Config { supported: vec!["timer".into()], ..Config::default() });
    let reject = Dialog::uas(START, &config, tx(0), &invite, flow(), "us".into()).expect_err("100rel");
    let response = reject.response(&invite, "us");
    assert_eq!(response.status(), StatusCode::BAD_EXTENSION);
    assert_eq!(response.header(HeaderName::Unsupported), Some("100rel"));
    assert_eq!(response.to_tag(), Some("us"));
}

#[test]
fn an_invite_needs_exactly_one_contact_and_no_to_tag() {
    let refused = |invite: PeerRequest| {
        Dialog::uas(START, &config(), tx(0), &invite.build(), flow(), "us".into())
            .expect_err("it is bad")
            .status
    };
    assert_eq!(refused(request("INVITE").no_to_tag()), StatusCode::BAD_REQUEST);
    assert_eq!(
        refused(request("INVITE").no_to_tag().header("Contact: <sip:a@b>, <sip:c@d>")),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(refused(invite().with_to_tag("us")), GONE);
    assert_eq!(refused(request("BYE").no_to_tag()), StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn a_2xx_says_who_we_are_and_keeps_the_route() {
    let mut dialog = incoming(&invite());
    dialog.answer(START, Some(&sdp("answer"))).expect("it waits");
    let Some(Effect::Respond { response, .. }) = dialog.poll_effect() else { panic!("a response") };
    assert_eq!(response.header(HeaderName::Contact), Some("<sip:us@192.0.2.1:5060>"));
    assert_eq!(response.to_tag(), Some("us"));
    assert!(response.header(HeaderName::Allow).is_some());
    let routes: Vec<_> = response.values(HeaderName::RecordRoute).collect();
    assert_eq!(routes, ["<sip:edge.example.com;lr>", "<sip:core.example.com;lr>"]);
}

#[test]
fn progress_sends_no_100_and_no_final_answer() {
    let mut dialog = incoming(&invite());
    for status in [StatusCode::TRYING, StatusCode::OK, StatusCode::BUSY_HERE] {
        let refused = DialogError::Status { verb: "progress", status: status.code() };
        assert_eq!(dialog.progress(START, status, None), Err(refused));
    }
    assert_eq!(dialog.state(), State::Initial);
    dialog.progress(START, StatusCode::RINGING, None).expect("it waits");
    assert_eq!(dialog.state(), State::Early);
}

#[test]
fn a_redirect_names_the_other_place_and_ends() {
    let mut dialog = incoming(&invite());
    dialog.redirect(START, "sip:elsewhere@example.com").expect("it waits");
    let all = effects(&mut dialog);
    let Effect::Respond { response, .. } = &all[0] else { panic!("a response") };
    assert_eq!(response.header(HeaderName::Contact), Some("<sip:elsewhere@example.com>"));
    assert_eq!(line(&all[1]), "event Ended Rejected(StatusCode(302))");
}

#[test]
fn a_header_with_a_line_break_is_refused_and_nothing_changes() {
    let mut dialog = incoming(&invite());
    let evil = [(HeaderName::Reason, "x\r\nEvil: yes".to_owned())];
    assert!(matches!(dialog.reject(START, StatusCode::BUSY_HERE, &evil), Err(DialogError::Header(_))));
    assert_eq!(dialog.state(), State::Initial);
    assert!(lines(&mut dialog).is_empty());
    dialog.answer(START, None).expect("it still waits");
    let (mut dialog, _) = uac();
    assert!(matches!(dialog.bye(START, Some("x\r\ny")), Err(DialogError::Header(_))));
    assert_eq!(dialog.state(), State::Confirmed);
}

#[test]
fn the_2xx_is_sent_again_until_its_ack() {
    let mut dialog = answered();
    let mut sent_at = Vec::new();
    while let Some(due) = dialog.poll_timeout().filter(|due| *due < at(20_000)) {
        dialog.handle_timeout(due);
        assert_eq!(lines(&mut dialog), ["retransmit 200 to 1 INVITE"]);
        sent_at.push((due - START).as_millis());
    }
    // RFC 3261 §13.3.1.4: T1, doubling up to T2.
    assert_eq!(sent_at, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500]);
    dialog.handle_ack(at(20_000), &request("ACK").build());
    assert_eq!(lines(&mut dialog), ["event Established 1"]);
    assert_eq!(dialog.poll_timeout(), None);
    assert!(dialog.is_idle());
}

#[test]
fn without_an_ack_the_call_is_hung_up_after_64_t1() {
    let mut dialog = answered();
    dialog.handle_timeout(at(31_999));
    assert_eq!(lines(&mut dialog), ["retransmit 200 to 1 INVITE"]);
    dialog.handle_timeout(at(32_000));
    assert_eq!(lines(&mut dialog), ["send 1 BYE to them"]);
    assert_eq!(dialog.state(), State::Closing);
    dialog.handle_transaction_timeout(at(64_000), &Method::Bye, 1);
    assert_eq!(lines(&mut dialog), ["event Ended NoAck"]);
}

#[test]
fn an_ack_with_another_number_or_tag_is_not_the_ack() {
    let mut dialog = answered();
    dialog.handle_ack(START, &request("ACK").cseq(2).build());
    dialog.handle_ack(START, &request("ACK").with_from_tag("other").build());
    dialog.handle_ack(START, &request("ACK").no_to_tag().build());
    assert!(lines(&mut dialog).is_empty());
    assert!(dialog.poll_timeout().is_some());
}

#[test]
fn a_callee_s_bye_waits_for_the_ack() {
    let mut dialog = answered();
    dialog.bye(START, Some("SIP;cause=200")).expect("it is confirmed");
    assert!(lines(&mut dialog).is_empty());
    dialog.handle_ack(START, &request("ACK").build());
    let all = effects(&mut dialog);
    assert_eq!(line(&all[0]), "event Established 1");
    assert_eq!(line(&all[1]), "send 1 BYE to them");
    assert_eq!(sent(&all)[0].header(HeaderName::Reason), Some("SIP;cause=200"));
}

#[test]
fn a_callee_s_bye_goes_without_the_ack_once_that_is_given_up() {
    let mut dialog = answered();
    dialog.bye(START, None).expect("it is confirmed");
    dialog.handle_timeout(at(32_000));
    assert_eq!(lines(&mut dialog), ["send 1 BYE to them"]);
    dialog.handle_transaction_timeout(at(64_000), &Method::Bye, 1);
    assert_eq!(lines(&mut dialog), ["event Ended LocalBye"]);
}

#[test]
fn a_bye_before_the_ack_ends_the_call_and_the_retransmissions() {
    let mut dialog = answered();
    assert_eq!(
        receive(&mut dialog, &request("BYE").cseq(2)),
        ["respond 200 to 2 BYE", "event Ended RemoteBye"]
    );
    dialog.handle_timeout(at(500));
    dialog.handle_ack(at(600), &request("ACK").build());
    assert!(lines(&mut dialog).is_empty());
}

#[test]
fn a_caller_may_send_bye_while_it_rings() {
    let mut dialog = incoming(&invite());
    dialog.progress(START, StatusCode::RINGING, None).expect("it waits");
    lines(&mut dialog);
    assert_eq!(
        receive(&mut dialog, &request("BYE").cseq(2)),
        ["respond 487 to 1 INVITE", "respond 200 to 2 BYE", "event Ended RemoteBye"]
    );
}

// ---- INVITE as UAC

#[test]
fn the_early_dialog_takes_the_first_tag_and_the_2xx_decides() {
    let (mut dialog, invite) = outgoing(call());
    dialog.handle_response(START, &response(&invite, 100, "", "", ""));
    assert_eq!((dialog.state(), dialog.id().remote_tag.as_str()), (State::Initial, ""));
    dialog.handle_response(START, &response(&invite, 183, "one", CONTACT, ""));
    dialog.handle_response(START, &response(&invite, 180, "two", CONTACT, ""));
    assert_eq!((dialog.state(), dialog.id().remote_tag.as_str()), (State::Early, "one"));
    dialog.handle_response(START, &response(&invite, 200, "two", CONTACT, ""));
    assert_eq!((dialog.state(), dialog.id().remote_tag.as_str()), (State::Confirmed, "two"));
    dialog.handle_response(START, &response(&invite, 180, "one", CONTACT, ""));
    assert_eq!(dialog.id().remote_tag, "two");
}

#[test]
fn a_2xx_that_comes_again_is_acked_again_with_the_same_ack() {
    let (mut dialog, invite) = outgoing(Call { body: None, ..call() });
    let ok = response(&invite, 200, "them", CONTACT, "offer");
    dialog.handle_response(START, &ok);
    assert_eq!(lines(&mut dialog), ["event Answered 200"]);
    // The offer is the application's to answer; until then there is nothing to send.
    dialog.handle_response(START, &ok);
    assert!(lines(&mut dialog).is_empty());
    dialog.ack(START, Some(&sdp("our answer"))).expect("the 2xx had an offer");
    let first = sent(&effects(&mut dialog));
    dialog.handle_response(START, &ok);
    let again = sent(&effects(&mut dialog));
    assert_eq!(first[0].as_bytes(), again[0].as_bytes());
    assert_eq!(first[0].body(), "our answer");
    assert_ne!(first[0].branch(), invite.branch());
    assert!(dialog.ack(START, None).is_err());
}

#[test]
fn hanging_up_before_the_answer_to_an_offer_still_acks() {
    let (mut dialog, invite) = outgoing(Call { body: None, ..call() });
    dialog.handle_response(START, &response(&invite, 200, "them", CONTACT, "offer"));
    lines(&mut dialog);
    dialog.bye(START, None).expect("it is confirmed");
    assert_eq!(lines(&mut dialog), ["ack 1 ACK to them", "event Established 1", "send 2 BYE to them"]);
}

#[test]
fn a_2xx_of_another_branch_is_acked_and_hung_up_and_the_call_goes_on() {
    let (mut dialog, invite) = uac();
    let more = "Contact: <sip:fork@203.0.113.5>\r\nRecord-Route: <sip:p2;lr>, <sip:p1;lr>\r\n";
    let fork = response(&invite, 200, "fork", more, "");
    dialog.handle_response(START, &fork);
    let all = effects(&mut dialog);
    assert_eq!(all.iter().map(line).collect::<Vec<_>>(), ["ack 1 ACK to fork", "send 2 BYE to fork"]);
    for request in sent(&all) {
        assert_eq!(request.uri(), "sip:fork@203.0.113.5");
        assert_eq!(request.values(HeaderName::Route).collect::<Vec<_>>(), ["<sip:p1;lr>", "<sip:p2;lr>"]);
    }
    dialog.handle_response(START, &fork);
    assert_eq!(lines(&mut dialog), ["ack 1 ACK to fork"]);
    // Its BYE's answer is not ours; nor is its timeout.
    dialog.handle_response(START, &response(&sent(&all)[1], 200, "", "", ""));
    dialog.handle_transaction_timeout(START, &Method::Bye, 2);
    assert!(lines(&mut dialog).is_empty());
    assert_eq!((dialog.state(), dialog.remote_target()), (State::Confirmed, "sip:them@198.51.100.7:5060"));
    dialog.bye(START, None).expect("it is confirmed");
    assert_eq!(lines(&mut dialog), ["send 3 BYE to them"]);
    dialog.handle_timeout(at(32_000));
    assert!(dialog.as_snapshot().forks.is_empty());
}

#[test]
fn forks_are_bounded() {
    let (mut dialog, invite) = uac();
    for n in 0..50 {
        dialog.handle_response(START, &response(&invite, 200, &format!("f{n}"), CONTACT, ""));
    }
    assert_eq!(dialog.as_snapshot().forks.len(), Dialog::FORKS_MAX);
    assert_eq!(effects(&mut dialog).len(), 2 * Dialog::FORKS_MAX);
}

#[test]
fn a_call_that_fails_says_how() {
    let (mut dialog, invite) = outgoing(call());
    dialog.handle_response(START, &response(&invite, 486, "them", "", ""));
    assert_eq!(lines(&mut dialog), ["event Failed 486", "event Ended Failed(StatusCode(486))"]);
    let (mut dialog, _) = outgoing(call());
    dialog.handle_transaction_timeout(START, &Method::Invite, 1);
    assert_eq!(lines(&mut dialog), ["event Failed -", "event Ended Timeout"]);
    let (mut dialog, _) = outgoing(call());
    dialog.handle_transport_error(START, &Method::Invite, 1);
    assert_eq!(lines(&mut dialog), ["event Failed -", "event Ended Failed(StatusCode(503))"]);
}

#[test]
fn a_call_to_nowhere_is_refused() {
    assert!(matches!(
        Dialog::uac(START, &config(), Call { to_uri: "not a uri".into(), ..call() }),
        Err(DialogError::Uri(_))
    ));
    assert!(matches!(
        Dialog::uac(START, &config(), Call { route_set: vec!["<sip:".into()], ..call() }),
        Err(DialogError::Uri(_))
    ));
}

#[test]
fn responses_to_other_calls_or_numbers_we_never_used_are_ignored() {
    let (mut dialog, _) = uac();
    let (_, stranger) = outgoing(Call { call_id: "call-2".into(), ..call() });
    dialog.handle_response(START, &response(&stranger, 200, "them", CONTACT, ""));
    let (mut ahead, _) = uac();
    ahead.request(START, Method::Info, &[], None).expect("it is confirmed");
    let info = sent(&effects(&mut ahead)).remove(0);
    dialog.handle_response(START, &response(&info, 481, "", "", ""));
    assert!(lines(&mut dialog).is_empty());
}

// ---- order and identity inside the dialog

#[test]
fn a_request_with_other_tags_is_not_of_this_dialog() {
    let mut dialog = uas();
    for stranger in [
        request("BYE").cseq(2).with_to_tag("other"),
        request("BYE").cseq(2).with_from_tag("other"),
        request("BYE").cseq(2).no_to_tag(),
    ] {
        assert_eq!(receive(&mut dialog, &stranger), ["respond 481 to 2 BYE"]);
    }
    assert_eq!(dialog.state(), State::Confirmed);
}

#[test]
fn a_late_request_gets_500_and_a_gap_is_fine() {
    let mut dialog = uas();
    assert_eq!(receive(&mut dialog, &request("INFO").cseq(9)), ["event Request INFO"]);
    assert_eq!(receive(&mut dialog, &request("INFO").cseq(8)), ["respond 500 to 8 INFO"]);
    assert_eq!(receive(&mut dialog, &request("BYE").cseq(1)), ["respond 500 to 1 BYE"]);
    assert_eq!(
        receive(&mut dialog, &request("INFO").cseq(9).branch("z9hG4bKother")),
        ["respond 500 to 9 INFO"]
    );
    assert_eq!(dialog.state(), State::Confirmed);
}

#[test]
fn a_number_that_was_answered_is_used_up() {
    let mut dialog = uas();
    receive(&mut dialog, &request("INFO").cseq(2));
    dialog.accept_request(START, StatusCode::OK, &[], None).expect("one waits");
    lines(&mut dialog);
    assert_eq!(receive(&mut dialog, &request("INFO").cseq(2)), ["respond 200 to 2 INFO"]);
    assert_eq!(receive(&mut dialog, &request("INFO").cseq(2).branch("z9hG4bKx")), ["respond 500 to 2 INFO"]);
    assert_eq!(receive(&mut dialog, &request("BYE").cseq(2)), ["respond 500 to 2 BYE"]);
    // Nor does it become free when the answer is forgotten.
    dialog.handle_timeout(at(40_000));
    assert_eq!(receive(&mut dialog, &request("INFO").cseq(2)), ["respond 500 to 2 INFO"]);
}

#[test]
fn an_unknown_extension_inside_the_dialog_gets_420() {
    let mut dialog = uas();
    assert_eq!(
        receive(&mut dialog, &request("INFO").cseq(2).header("Require: x-magic")),
        ["respond 420 to 2 INFO +Unsupported"]
    );
}

#[test]
fn unanswered_requests_of_the_peer_are_bounded() {
    let mut dialog = uas();
    for n in 0..Dialog::PENDING_MAX {
        assert_eq!(receive(&mut dialog, &request("INFO").cseq(2 + n as u32)), ["event Request INFO"]);
    }
    assert_eq!(receive(&mut dialog, &request("INFO").cseq(50)), ["respond 500 to 50 INFO +Retry-After"]);
    let ended = receive(&mut dialog, &request("BYE").cseq(51));
    assert_eq!(ended.len(), Dialog::PENDING_MAX + 2, "each of them gets 487: {ended:?}");
}

#[test]
fn a_request_answered_twice_is_refused_the_second_time() {
    let mut dialog = uas();
    dialog.handle_request(START, tx(1), &request("INFO").cseq(2).build(), flow());
    dialog.respond(START, tx(1), StatusCode::OK, &[], None).expect("it waits");
    assert_eq!(dialog.respond(START, tx(1), StatusCode::OK, &[], None), Err(DialogError::NoSuchRequest));
    assert_eq!(dialog.accept_request(START, StatusCode::OK, &[], None), Err(DialogError::NoSuchRequest));
}

#[test]
fn a_request_whose_transaction_ran_out_waits_no_more() {
    let mut dialog = uas();
    dialog.handle_request(START, tx(1), &request("INFO").cseq(2).build(), flow());
    lines(&mut dialog);
    dialog.handle_server_timeout(at(32_000), tx(1));
    assert!(dialog.is_idle());
    let mut dialog = incoming(&invite());
    dialog.handle_server_timeout(at(600_000), tx(0));
    assert_eq!(lines(&mut dialog), ["event Ended Timeout"]);
}

// ---- what our requests look like

#[test]
fn requests_of_a_uas_go_the_recorded_way_with_the_parties_swapped() {
    let mut dialog = uas();
    dialog.bye(START, None).expect("it is confirmed");
    let Some(Effect::Send { request, next_hop }) = dialog.poll_effect() else { panic!("a BYE") };
    assert_eq!(request.uri(), "sip:them@198.51.100.7:5060");
    assert_eq!(request.header(HeaderName::From), Some("<sip:us@example.com>;tag=us"));
    assert_eq!(request.header(HeaderName::To), Some("\"Them\" <sip:them@example.com>;tag=them"));
    assert_eq!(request.header(HeaderName::Via), Some("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKus.1;rport"));
    let routes: Vec<_> = request.values(HeaderName::Route).collect();
    assert_eq!(routes, ["<sip:edge.example.com;lr>", "<sip:core.example.com;lr>"]);
    assert_eq!(next_hop.to_string(), "sip:edge.example.com;lr");
}

#[test]
fn requests_of_a_uac_go_the_recorded_way_backwards() {
    let (mut dialog, invite) = outgoing(call());
    assert_eq!(invite.header(HeaderName::From), Some("\"Us\" <sip:us@example.com>;tag=us"));
    assert_eq!(invite.header(HeaderName::To), Some("<sip:them@example.com>"));
    let more = format!("{CONTACT}Record-Route: <sip:far;lr>, <sip:near;lr>\r\n");
    dialog.handle_response(START, &response(&invite, 200, "them", &more, ""));
    let all = effects(&mut dialog);
    let Some(Effect::Ack { request, next_hop }) = all.iter().find(|e| matches!(e, Effect::Ack { .. })) else {
        panic!("an ACK")
    };
    assert_eq!(request.uri(), "sip:them@198.51.100.7:5060");
    assert_eq!(request.values(HeaderName::Route).collect::<Vec<_>>(), ["<sip:near;lr>", "<sip:far;lr>"]);
    assert_eq!(next_hop.to_string(), "sip:near;lr");
    assert_eq!(request.cseq().method, Method::Ack);
}

#[test]
fn a_strict_router_finds_itself_in_the_request_uri() {
    let mut dialog = Dialog::uas(
        START,
        &config(),
        tx(0),
        &request("INVITE")
            .no_to_tag()
            .header("Contact: <sip:them@198.51.100.7:5060>")
            .header(
                "Record-Route: <sip:strict.example.com;method=INVITE?subject=x>, <sip:core.example.com;lr>",
            )
            .build(),
        flow(),
        "us".into(),
    )
    .expect("a good INVITE");
    dialog.answer(START, None).expect("it waits");
    dialog.handle_ack(START, &request("ACK").build());
    effects(&mut dialog);
    dialog.bye(START, None).expect("it is confirmed");
    let Some(Effect::Send { request, next_hop }) = dialog.poll_effect() else { panic!("a BYE") };
    assert_eq!(request.uri(), "sip:strict.example.com");
    let routes: Vec<_> = request.values(HeaderName::Route).collect();
    assert_eq!(routes, ["<sip:core.example.com;lr>", "<sip:them@198.51.100.7:5060>"]);
    assert_eq!(next_hop.host.to_string(), "strict.example.com");
}

#[test]
fn a_preloaded_route_is_used_for_the_invite_and_replaced_by_the_recorded_one() {
    let route_set = vec!["<sip:out.example.com;lr>".to_owned()];
    let (mut dialog, invite) = outgoing(Call { route_set, ..call() });
    assert_eq!(invite.values(HeaderName::Route).collect::<Vec<_>>(), ["<sip:out.example.com;lr>"]);
    dialog.handle_response(START, &response(&invite, 200, "them", CONTACT, ""));
    assert_eq!(sent(&effects(&mut dialog))[0].values(HeaderName::Route).count(), 0);
}

#[test]
fn the_via_names_the_transport_the_next_hop_asks_for() {
    for (uri, via) in [
        ("sip:them@example.com", "SIP/2.0/UDP"),
        ("sip:them@example.com;transport=tcp", "SIP/2.0/TCP"),
        ("sips:them@example.com", "SIP/2.0/TLS"),
    ] {
        let (_, invite) = outgoing(Call { to_uri: uri.into(), ..call() });
        assert!(invite.header(HeaderName::Via).is_some_and(|value| value.starts_with(via)), "{uri}");
    }
}

#[test]
fn a_peer_without_tags_is_still_a_peer() {
    // RFC 3261 §12.1.1: a missing From tag is an empty one.
    let text = invite().text().replace(";tag=them", "");
    let Ok(Message::Request(invite)) = Message::parse(text.into()) else { panic!("a request") };
    let mut dialog =
        Dialog::uas(START, &config(), tx(0), &invite, flow(), "us".into()).expect("a good INVITE");
    assert_eq!(dialog.id().remote_tag, "");
    assert_eq!(dialog.role(), Role::Uas);
    dialog.answer(START, None).expect("it waits");
    effects(&mut dialog);
    let ack = request("ACK").text().replace(";tag=them", "");
    let Ok(Message::Request(ack)) = Message::parse(ack.into()) else { panic!("a request") };
    dialog.handle_ack(START, &ack);
    dialog.bye(START, None).expect("it is confirmed");
    let all = effects(&mut dialog);
    assert!(matches!(all[0], Effect::Event(Event::Established { .. })));
    assert_eq!(sent(&all)[0].to_tag(), None);
}

#[test]
fn bodies_travel_with_their_type() {
    let (mut dialog, _) = uac();
    let body = Body { content_type: "application/dtmf-relay".into(), bytes: "Signal=1".into() };
    dialog
        .request(START, Method::Info, &[(HeaderName::Subject, "dtmf".into())], Some(&body))
        .expect("it is confirmed");
    let info = sent(&effects(&mut dialog)).remove(0);
    assert_eq!(info.content_type(), Some("application/dtmf-relay"));
    assert_eq!(info.header(HeaderName::Subject), Some("dtmf"));
    assert_eq!(info.body(), "Signal=1");
}

#[test]
fn an_id_survives_text_whatever_the_call_id_holds() {
    for call_id in ["a@b", "x:y;local=1", ";remote=;local=", "{}[]()<>?/\\\"=:", "ü"] {
        let id = DialogId { call_id: call_id.into(), local_tag: "us".into(), remote_tag: String::new() };
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    for text in
        ["", "a", "a;local=b", "a;remote=b", ";local=b;remote=c", "a;local=;remote=c", "a;remote=c;local=b"]
    {
        assert!(text.parse::<DialogId>().is_err(), "{text}");
    }
}

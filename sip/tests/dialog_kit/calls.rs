//! Calls in the situations most tests begin with.

use holdline_sip::dialog::{Call, Dialog};
use holdline_sip::transaction::ServerTransactionId;
use holdline_sip::wire::Request;

use super::*;

pub(crate) fn tx(number: usize) -> ServerTransactionId {
    transactions(20)[number]
}

pub(crate) fn incoming(invite: &PeerRequest) -> Dialog {
    let mut dialog =
        Dialog::uas(START, &config(), tx(0), &invite.build(), flow(), "us".into()).expect("a good INVITE");
    assert_eq!(lines(&mut dialog), ["event Invite"]);
    dialog
}

/// UAS: our 200 is out, no ACK yet.
pub(crate) fn answered() -> Dialog {
    let mut dialog = incoming(&invite());
    dialog.answer(START, Some(&sdp("answer"))).expect("it waits");
    assert_eq!(lines(&mut dialog), ["respond 200 to 1 INVITE"]);
    dialog
}

/// UAS: established.
pub(crate) fn uas() -> Dialog {
    let mut dialog = answered();
    dialog.handle_ack(START, &request("ACK").build());
    assert_eq!(lines(&mut dialog), ["event Established 1"]);
    dialog
}

pub(crate) fn outgoing(call: Call) -> (Dialog, Request) {
    let mut dialog = Dialog::uac(START, &config(), call).expect("a good call");
    let invite = sent(&effects(&mut dialog)).remove(0);
    (dialog, invite)
}

/// UAC: established; gives the INVITE too.
pub(crate) fn uac() -> (Dialog, Request) {
    let (mut dialog, invite) = outgoing(call());
    dialog.handle_response(START, &response(&invite, 200, "them", CONTACT, "answer"));
    assert_eq!(lines(&mut dialog), ["event Answered 200", "ack 1 ACK to them", "event Established 1"]);
    (dialog, invite)
}

/// Hands the dialog a request of the peer and gives what it wants done.
pub(crate) fn receive(dialog: &mut Dialog, request: &PeerRequest) -> Vec<String> {
    dialog.handle_request(at(100), tx(1), &request.build(), flow());
    lines(dialog)
}

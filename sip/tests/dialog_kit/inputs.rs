//! Everything that can happen to a dialog, by name: the columns of its table and the steps of its random walks.

use holdline_sip::Timestamp;
use holdline_sip::dialog::{Dialog, Role};
use holdline_sip::transaction::ServerTransactionId;
use holdline_sip::wire::{Method, StatusCode};

use super::{CONTACT, PeerRequest, flow, invite, request, response_to, sdp};

/// What an input needs from its surroundings.
pub(crate) struct Scene<'a> {
    pub(crate) dialog: &'a mut Dialog,
    pub(crate) now: Timestamp,
    /// A server transaction not used before.
    pub(crate) tx: ServerTransactionId,
}

pub(crate) type Input = (&'static str, fn(Scene<'_>) -> Outcome);

/// Whether a verb was taken; inputs from outside always are.
pub(crate) type Outcome = Result<(), String>;

pub(crate) const INPUTS: &[Input] = &[
    ("INVITE sent again", |s| s.receive(&invite())),
    ("INVITE by another path", |s| s.receive(&invite().branch("z9hG4bKcopy"))),
    ("re-INVITE", |s| s.next("INVITE")),
    ("re-INVITE moving", |s| s.next_with("INVITE", |r| r.header("Contact: <sip:moved@203.0.113.9>"))),
    ("BYE", |s| s.next("BYE")),
    ("BYE late", |s| s.receive(&request("BYE").cseq(0))),
    ("BYE of a stranger", |s| s.next_with("BYE", |r| r.with_from_tag("stranger"))),
    ("newest request sent again", |s| s.again()),
    ("INFO", |s| s.next("INFO")),
    ("INFO requiring magic", |s| s.next_with("INFO", |r| r.header("Require: magic"))),
    ("UPDATE with offer", |s| s.next_with("UPDATE", |r| r.body("offer"))),
    ("ACK", |s| s.ack()),
    ("ACK of nothing", |s| s.receive(&request("ACK").cseq(77))),
    ("CANCEL", |s| s.receive(&request("CANCEL").no_to_tag())),
    ("CANCEL of a re-INVITE", |s| s.cancel_newest()),
    ("100 to INVITE", |s| s.respond(100, "INVITE", "", "", "")),
    ("180 to INVITE", |s| s.respond(180, "INVITE", "them", CONTACT, "")),
    ("180 of a fork", |s| s.respond(180, "INVITE", "fork", CONTACT, "")),
    ("200 to INVITE", |s| s.respond(200, "INVITE", "them", CONTACT, "sdp")),
    ("200 of a fork", |s| s.respond(200, "INVITE", "fork", CONTACT, "sdp")),
    ("486 to INVITE", |s| s.respond(486, "INVITE", "them", "", "")),
    ("491 to INVITE", |s| s.respond(491, "INVITE", "them", "", "")),
    ("481 to INVITE", |s| s.respond(481, "INVITE", "them", "", "")),
    ("200 to BYE", |s| s.respond(200, "BYE", "them", "", "")),
    ("200 to INFO", |s| s.respond(200, "INFO", "them", "", "")),
    ("481 to INFO", |s| s.respond(481, "INFO", "them", "", "")),
    ("INVITE times out", |s| s.timeout(Method::Invite)),
    ("BYE times out", |s| s.timeout(Method::Bye)),
    ("INFO times out", |s| s.timeout(Method::Info)),
    ("INVITE cannot be sent", |s| s.transport_error(Method::Invite)),
    ("server transaction is gone", |s| s.server_timeout()),
    ("T1 passes", |s| s.pass(500)),
    ("64*T1 pass", |s| s.pass(32_000)),
    ("progress", |s| verb(s.dialog.progress(s.now, StatusCode::RINGING, None))),
    ("answer", |s| verb(s.dialog.answer(s.now, Some(&sdp("answer"))))),
    ("reject", |s| verb(s.dialog.reject(s.now, StatusCode::BUSY_HERE, &[]))),
    ("redirect", |s| verb(s.dialog.redirect(s.now, "sip:other@example.com"))),
    ("accept_request", |s| verb(s.dialog.accept_request(s.now, StatusCode::OK, &[], None))),
    ("ack", |s| verb(s.dialog.ack(s.now, Some(&sdp("answer"))))),
    ("reinvite", |s| verb(s.dialog.reinvite(s.now, Some(sdp("hold"))))),
    ("reinvite without offer", |s| verb(s.dialog.reinvite(s.now, None))),
    ("request INFO", |s| verb(s.dialog.request(s.now, Method::Info, &[], None))),
    ("cancel", |s| verb(s.dialog.cancel(s.now))),
    ("bye", |s| verb(s.dialog.bye(s.now, None))),
];

fn verb<T>(taken: Result<T, holdline_sip::dialog::DialogError>) -> Outcome {
    taken.map(drop).map_err(|error| error.to_string())
}

impl Scene<'_> {
    fn receive(self, request: &PeerRequest) -> Outcome {
        self.dialog.handle_request(self.now, self.tx, &request.build(), flow());
        Ok(())
    }

    fn next(self, method: &str) -> Outcome {
        self.next_with(method, |request| request)
    }

    /// The peer's next request in order.
    fn next_with(self, method: &str, change: impl FnOnce(PeerRequest) -> PeerRequest) -> Outcome {
        let cseq = self.dialog.as_snapshot().remote_cseq.map_or(1, |seen| seen + 1);
        let request = change(request(method).cseq(cseq));
        self.receive(&request)
    }

    /// The request with the highest number, by the method it most likely had.
    fn again(self) -> Outcome {
        let s = self.dialog.as_snapshot();
        let cseq = s.remote_cseq.unwrap_or(1);
        let pending = s.pending.iter().find(|pending| pending.request.cseq().number == cseq);
        let method = match (pending, &s.last_answer) {
            (Some(pending), _) => pending.request.method().clone(),
            (None, Some(answer)) if answer.cseq == cseq => answer.method.clone(),
            _ => Method::Invite,
        };
        let first = s.role == Role::Uas && cseq == s.invite_cseq;
        let request = if first { invite() } else { request(method.as_str()).cseq(cseq) };
        self.receive(&request)
    }

    fn ack(self) -> Outcome {
        let s = self.dialog.as_snapshot();
        let cseq = s.unacked.as_ref().map_or(s.invite_cseq, |unacked| unacked.cseq);
        self.receive(&request("ACK").cseq(cseq))
    }

    fn cancel_newest(self) -> Outcome {
        let cseq = self.dialog.as_snapshot().remote_cseq.unwrap_or(1);
        self.receive(&request("CANCEL").cseq(cseq))
    }

    /// A response to our newest request of this kind.
    fn respond(self, status: u16, method: &str, tag: &str, more: &str, body: &str) -> Outcome {
        let cseq = self.number(method);
        let response = response_to(cseq, method, status, tag, more, body);
        self.dialog.handle_response(self.now, &response);
        Ok(())
    }

    fn number(&self, method: &str) -> u32 {
        let s = self.dialog.as_snapshot();
        match method {
            "INVITE" => s.client_invite.as_ref().map_or(s.invite_cseq, |invite| invite.cseq),
            "BYE" => s.closing.as_ref().map_or(s.local_cseq, |closing| closing.cseq),
            _ => s.local_cseq,
        }
    }

    fn timeout(self, method: Method) -> Outcome {
        let cseq = self.number(method.as_str());
        self.dialog.handle_transaction_timeout(self.now, &method, cseq);
        Ok(())
    }

    fn transport_error(self, method: Method) -> Outcome {
        let cseq = self.number(method.as_str());
        self.dialog.handle_transport_error(self.now, &method, cseq);
        Ok(())
    }

    fn server_timeout(self) -> Outcome {
        let tx = self.dialog.as_snapshot().pending.first().and_then(|pending| pending.tx);
        self.dialog.handle_server_timeout(self.now, tx.unwrap_or(self.tx));
        Ok(())
    }

    fn pass(self, millis: u64) -> Outcome {
        self.dialog.handle_timeout(self.now + std::time::Duration::from_millis(millis));
        Ok(())
    }
}

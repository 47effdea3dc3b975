//! BYE from either side, crossing BYEs, and the end of the dialog (RFC 3261 §15).

use super::message::check_headers;
use super::{ByeWanted, Closing, Dialog, DialogError, Effect, Ended, Event, Role, State};
use crate::transaction::ServerTransactionId;
use crate::wire::{HeaderName, Method, Request, Response, StatusCode};
use crate::{Flow, Timestamp};

impl Dialog {
    /// Hangs up a confirmed call; `reason` becomes a Reason header (RFC 3326), e.g. `Q.850;cause=16`.
    ///
    /// A UAS whose 2xx has no ACK yet sends the BYE when the ACK comes, or is given up.
    pub fn bye(&mut self, now: Timestamp, reason: Option<&str>) -> Result<(), DialogError> {
        match self.s.state {
            State::Confirmed => {}
            State::Initial | State::Early => {
                return Err(self.refuse("bye", "the call is not answered: reject or cancel it"));
            }
            State::Closing | State::Terminated => return Err(self.refuse("bye", "the call is over")),
        }
        check_headers(&reason_header(reason))?;
        self.close_when_acked(now, Ended::LocalBye, reason);
        Ok(())
    }

    /// Sends BYE now, or as a callee when the ACK is there (RFC 3261 §15); it then counts as one of the application's.
    pub(crate) fn close_when_acked(&mut self, now: Timestamp, why: Ended, reason: Option<&str>) {
        if self.waits_for_first_ack() {
            self.s.bye_wanted = Some(ByeWanted { reason: reason.map(str::to_owned) });
        } else {
            self.close(now, why, reason);
        }
    }

    fn waits_for_first_ack(&self) -> bool {
        self.s.role == Role::Uas
            && self.s.unacked.as_ref().is_some_and(|unacked| unacked.cseq == self.s.invite_cseq)
    }

    /// Sends BYE; `why` is told once it is answered.
    pub(crate) fn close(&mut self, now: Timestamp, why: Ended, reason: Option<&str>) {
        if let Some(cseq) = self.s.awaiting_ack.take() {
            // The peer's 2xx wants its ACK first, even one without the answer the application owes.
            self.send_ack(now, cseq, None);
        }
        self.drop_open_work(now);
        let composed = self
            .next_cseq()
            .and_then(|cseq| Ok((cseq, self.compose(Method::Bye, cseq, &reason_header(reason), None)?)));
        // A BYE that cannot be written cannot be answered either.
        let Ok((cseq, bye)) = composed else { return self.terminate(now, why) };
        self.take_cseq(cseq);
        self.s.state = State::Closing;
        self.s.closing = Some(Closing { cseq, why, give_up_at: self.bye_guard(now) });
        self.emit(Effect::Send { request: bye.request, next_hop: bye.next_hop });
    }

    /// The transaction reports its timer F after 64·T1; should nobody report it, the dialog goes a little later.
    fn bye_guard(&self, now: Timestamp) -> Timestamp {
        self.give_up_at(now).saturating_add(self.config.timers.t4)
    }

    /// The peer's BYE: 200 in any state, and the end.
    pub(crate) fn receive_bye(
        &mut self,
        now: Timestamp,
        tx: ServerTransactionId,
        request: &Request,
        flow: Flow,
    ) {
        // RFC 3261 §15.1.2: what is still unanswered gets 487.
        self.refuse_pending(now);
        self.answer_at_once(now, tx, request, flow, StatusCode::OK, &[]);
        if self.s.state.is_unanswered() {
            // No callee hangs up before it answered, unless every copy of its 2xx was lost: stop asking.
            self.cancel_client_invite();
        }
        let why = self.s.closing.as_ref().map_or(Ended::RemoteBye, |closing| closing.why);
        self.terminate(now, why);
    }

    /// RFC 3261 §15.1.1: any final response to our BYE ends the dialog.
    pub(crate) fn bye_response(&mut self, now: Timestamp, response: &Response) {
        if response.status().is_final() {
            self.bye_done(now, response.cseq().number);
        }
    }

    /// Our BYE with this number is answered, or will never be.
    pub(crate) fn bye_done(&mut self, now: Timestamp, cseq: u32) {
        if let Some(closing) = self.s.closing.take_if(|closing| closing.cseq == cseq) {
            self.terminate(now, closing.why);
        }
    }

    /// The end, once: only what retransmissions need stays.
    pub(crate) fn terminate(&mut self, now: Timestamp, why: Ended) {
        if self.s.state == State::Terminated {
            return;
        }
        self.drop_open_work(now);
        self.s.closing = None;
        self.s.state = State::Terminated;
        self.s.ended = Some(why);
        self.event(Event::Ended(why));
    }

    /// Nothing of the session goes on: pending requests are refused, timers stop.
    fn drop_open_work(&mut self, now: Timestamp) {
        self.refuse_pending(now);
        let s = &mut self.s;
        s.unacked = None;
        s.client_invite = None;
        s.awaiting_ack = None;
        s.retry = None;
        s.bye_wanted = None;
        s.invite_deadline = None;
    }
}

fn reason_header(reason: Option<&str>) -> Vec<(HeaderName, String)> {
    reason.map(|reason| (HeaderName::Reason, reason.to_owned())).into_iter().collect()
}

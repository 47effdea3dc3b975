//! The ACK for a 2xx as UAC: sent once the 2xx is here, and again for every copy of it (RFC 3261 §13.2.2.4).

use super::message::Outgoing;
use super::{AckedBody, Body, Dialog, DialogError, Effect, Event, Role, State};
use crate::Timestamp;
use crate::wire::Method;

impl Dialog {
    /// Sends the ACK that waits for the answer to the peer's offer (our INVITE had no body, the 2xx had).
    pub fn ack(&mut self, now: Timestamp, body: Option<&Body>) -> Result<(), DialogError> {
        let cseq = self.s.awaiting_ack.take();
        let cseq = cseq.ok_or_else(|| self.refuse("ack", "no 2xx waits for its ACK"))?;
        self.send_ack(now, cseq, body);
        Ok(())
    }

    /// The first ACK for the 2xx to our INVITE with this number.
    pub(crate) fn send_ack(&mut self, now: Timestamp, cseq: u32, body: Option<&Body>) {
        if let Some(body) = body {
            let forget_at = self.give_up_at(now);
            self.s.acked = Some(AckedBody { cseq, body: body.clone(), forget_at });
        }
        let Some(ack) = self.compose_ack(cseq) else { return };
        let first = self.s.role == Role::Uac && cseq == self.s.invite_cseq;
        let event = ack.request.clone();
        self.emit(Effect::Ack { request: ack.request, next_hop: ack.next_hop });
        if self.s.state == State::Confirmed {
            self.event(if first { Event::Established { ack: event } } else { Event::Acked { ack: event } });
        }
    }

    /// The ACK again, built anew: no copy of it must survive the node that sent it first.
    pub(crate) fn ack_again(&mut self, cseq: u32) {
        // Until the application has given its answer there is no ACK; the 2xx will come again.
        if self.s.awaiting_ack != Some(cseq)
            && let Some(ack) = self.compose_ack(cseq)
        {
            self.emit(Effect::Ack { request: ack.request, next_hop: ack.next_hop });
        }
    }

    fn compose_ack(&self, cseq: u32) -> Option<Outgoing> {
        let body = self.s.acked.as_ref().filter(|acked| acked.cseq == cseq).map(|acked| &acked.body);
        // RFC 3261 §17.1.1.3 and §8.1.1.7: the ACK for a 2xx is a transaction of its own, so its branch is too.
        let branch = self.branch(cseq) + "a";
        self.compose_to(&self.peer(), Method::Ack, cseq, &branch, &[], body).ok()
    }
}

//! Our other requests inside the dialog, and requests that got no response (RFC 3261 §12.2.1).

use super::message::is_target_refresh;
use super::{Body, Dialog, DialogError, Effect, Ended, Event, State};
use crate::Timestamp;
use crate::wire::{HeaderName, Method, Response, StatusCode};

impl Dialog {
    /// Sends an in-dialog request (INFO, UPDATE, MESSAGE, ...) and gives its CSeq number.
    pub fn request(
        &mut self,
        _now: Timestamp,
        method: Method,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) -> Result<u32, DialogError> {
        if matches!(method, Method::Invite | Method::Ack | Method::Bye | Method::Cancel) {
            return Err(DialogError::Method { method: method.as_str().to_owned() });
        }
        if !matches!(self.s.state, State::Early | State::Confirmed) {
            return Err(self.refuse("request", "there is no dialog to send it in"));
        }
        let cseq = self.next_cseq()?;
        let composed = self.compose(method, cseq, headers, body)?;
        self.take_cseq(cseq);
        self.emit(Effect::Send { request: composed.request, next_hop: composed.next_hop });
        Ok(cseq)
    }

    /// A response to one of these; the transaction lets each final one through once.
    pub(crate) fn handle_other_response(&mut self, now: Timestamp, response: &Response) {
        let status = response.status();
        if status.is_provisional() || matches!(self.s.state, State::Closing | State::Terminated) {
            return;
        }
        if status.is_success() && is_target_refresh(&response.cseq().method) {
            self.refresh_from_response(response);
        }
        self.event(Event::Response { response: response.clone() });
        self.close_if_gone(now, status);
    }

    /// No final response came to our request: as if 408 (RFC 3261 §8.1.3.1).
    pub fn handle_transaction_timeout(&mut self, now: Timestamp, method: &Method, cseq: u32) {
        self.handle_no_response(now, method, cseq, StatusCode::REQUEST_TIMEOUT);
    }

    /// Our request could not be sent: as if 503 (RFC 3261 §8.1.3.1).
    pub fn handle_transport_error(&mut self, now: Timestamp, method: &Method, cseq: u32) {
        self.handle_no_response(now, method, cseq, StatusCode::SERVICE_UNAVAILABLE);
    }

    fn handle_no_response(&mut self, now: Timestamp, method: &Method, cseq: u32, status: StatusCode) {
        if *method == Method::Bye {
            return self.bye_done(now, cseq);
        }
        if *method == Method::Invite {
            let Some(invite) = self.s.client_invite.take_if(|invite| invite.cseq == cseq) else { return };
            self.s.invite_deadline = None;
            if self.s.state.is_unanswered() {
                self.event(Event::Failed { response: None });
                let timeout = status == StatusCode::REQUEST_TIMEOUT;
                let lost = if timeout { Ended::Timeout } else { Ended::Failed(status) };
                return self.terminate(now, if invite.cancelled { Ended::Cancelled } else { lost });
            }
        }
        let open = matches!(self.s.state, State::Early | State::Confirmed);
        if open && (1..=self.s.local_cseq).contains(&cseq) && !matches!(method, Method::Cancel | Method::Ack)
        {
            self.event(Event::RequestFailed { method: method.clone(), cseq, status });
            self.close_if_gone(now, status);
        }
    }
}

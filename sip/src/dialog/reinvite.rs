//! re-INVITE as UAC, and its retry after glare (RFC 3261 §14).

use super::in_dialog::spread;
use super::{Body, ClientInvite, Dialog, DialogError, Effect, Ended, Event, Retry, Role, State};
use crate::Timestamp;
use crate::wire::{Method, Response, StatusCode};

use std::time::Duration;

impl Dialog {
    /// Changes the session; without a body the 2xx brings the offer and `ack` must follow.
    ///
    /// If it meets the peer's re-INVITE (491) it is sent once more after a pause (RFC 3261 §14.1).
    pub fn reinvite(&mut self, _now: Timestamp, body: Option<Body>) -> Result<u32, DialogError> {
        if self.s.state != State::Confirmed {
            return Err(self.refuse("reinvite", "the call is not established"));
        }
        if let Some(why) = self.invite_obstacle() {
            return Err(self.refuse("reinvite", why));
        }
        self.send_reinvite(body, false)
    }

    /// RFC 3261 §14.1: no new INVITE while another one is in progress in either direction.
    fn invite_obstacle(&self) -> Option<&'static str> {
        if self.our_invite_is_open() {
            Some("our own INVITE is in progress")
        } else if self.pending_invite().is_some() {
            Some("the peer's INVITE is unanswered")
        } else if self.s.unacked.is_some() {
            Some("our 2xx has no ACK yet")
        } else if self.s.bye_wanted.is_some() {
            Some("the call is being hung up")
        } else {
            None
        }
    }

    fn send_reinvite(&mut self, body: Option<Body>, retried: bool) -> Result<u32, DialogError> {
        let cseq = self.next_cseq()?;
        let composed = self.compose(Method::Invite, cseq, &[], body.as_ref())?;
        self.take_cseq(cseq);
        self.s.retry = None;
        self.s.client_invite = Some(ClientInvite { cseq, body, retried, cancelled: false });
        self.emit(Effect::Send { request: composed.request, next_hop: composed.next_hop });
        Ok(cseq)
    }

    /// A response to our re-INVITE in flight.
    pub(crate) fn handle_reinvite_response(&mut self, now: Timestamp, response: &Response) {
        let status = response.status();
        if status.is_provisional() {
            if status != StatusCode::TRYING {
                self.event(Event::Provisional { response: response.clone() });
            }
            return;
        }
        let Some(invite) = self.s.client_invite.take() else { return };
        self.s.invite_deadline = None;
        if status == StatusCode::REQUEST_PENDING && !invite.retried && !invite.cancelled {
            let at = now.saturating_add(self.glare_pause(invite.cseq));
            self.s.retry = Some(Retry { at, body: invite.body });
            return;
        }
        if status.is_success() {
            // RFC 3261 §12.2.1.2: only success moves the target.
            self.refresh_from_response(response);
        }
        self.event(Event::Response { response: response.clone() });
        if status.is_success() {
            self.acknowledge(now, &invite, response);
        } else {
            self.close_if_gone(now, status);
        }
    }

    /// RFC 3261 §14.1: the owner of the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms.
    fn glare_pause(&self, cseq: u32) -> Duration {
        let hash = spread(&[&self.s.id.local_tag], cseq);
        match self.s.role {
            Role::Uac => Duration::from_millis(2_100 + hash % 191 * 10),
            Role::Uas => Duration::from_millis(hash % 201 * 10),
        }
    }

    /// The pause after glare is over: once more, or a little later if something is in the way again.
    pub(crate) fn retry_reinvite(&mut self, now: Timestamp, retry: Retry) {
        if self.invite_obstacle().is_some() {
            let at = now.saturating_add(self.config.timers.t2);
            self.s.retry = Some(Retry { at, ..retry });
            return;
        }
        if self.send_reinvite(retry.body, true).is_err() {
            let (method, cseq, status) = (Method::Invite, self.s.local_cseq, StatusCode::REQUEST_PENDING);
            self.event(Event::RequestFailed { method, cseq, status });
        }
    }

    /// RFC 3261 §12.2.1.2: 481, 408 or silence mean that the peer has no such dialog any more.
    pub(crate) fn close_if_gone(&mut self, now: Timestamp, status: StatusCode) {
        let gone = [StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, StatusCode::REQUEST_TIMEOUT];
        if self.s.state == State::Confirmed && gone.contains(&status) {
            self.close_when_acked(now, Ended::Failed(status), None);
        }
    }
}

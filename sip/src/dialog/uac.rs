//! The INVITE as UAC: the call placed and every response to it (RFC 3261 §12.1.2, §13.2).

use std::sync::Arc;

use super::message::check_headers;
use super::{
    Call, ClientInvite, Config, Dialog, DialogError, DialogId, Effect, Ended, Event, Role, Snapshot, State,
    route_set,
};
use crate::Timestamp;
use crate::wire::{Method, NameAddr, Response, StatusCode};

impl Dialog {
    /// Places a call; its INVITE is the first effect.
    pub fn uac(_now: Timestamp, config: &Arc<Config>, call: Call) -> Result<Self, DialogError> {
        let id = DialogId { call_id: call.call_id, local_tag: call.local_tag, remote_tag: String::new() };
        let invite = ClientInvite { cseq: 1, body: call.body, retried: false, cancelled: false };
        let mut dialog = Self::from_state(
            config,
            Snapshot {
                local_uri: address(&call.from_display, &call.from_uri)?,
                remote_uri: address("", &call.to_uri)?,
                remote_target: call.to_uri,
                route_set: call.route_set,
                branch_prefix: call.branch_prefix,
                local_cseq: invite.cseq,
                invite_cseq: invite.cseq,
                ..Snapshot::new(id, Role::Uac)
            },
        );
        check_headers(&call.headers)?;
        let composed = dialog.compose(Method::Invite, invite.cseq, &call.headers, invite.body.as_ref())?;
        dialog.s.client_invite = Some(invite);
        dialog.emit(Effect::Send { request: composed.request, next_hop: composed.next_hop });
        Ok(dialog)
    }

    /// Takes any response to a request of this dialog, also one whose transaction is long gone.
    pub fn handle_response(&mut self, now: Timestamp, response: &Response) {
        let cseq = response.cseq();
        let ours = response.call_id() == self.s.id.call_id
            && response.from_tag() == Some(self.s.id.local_tag.as_str())
            && (1..=self.s.local_cseq).contains(&cseq.number);
        if !ours {
            return;
        }
        match cseq.method {
            Method::Invite => self.handle_invite_response(now, cseq.number, response),
            // The transaction matched the CANCEL's 200; the INVITE's own response decides.
            Method::Ack | Method::Cancel => {}
            _ if !self.is_from_peer(response) => {}
            Method::Bye => self.bye_response(now, response),
            _ => self.handle_other_response(now, response),
        }
    }

    fn handle_invite_response(&mut self, now: Timestamp, cseq: u32, response: &Response) {
        let in_flight = self.s.client_invite.as_ref().is_some_and(|invite| invite.cseq == cseq);
        let first = self.s.role == Role::Uac && cseq == self.s.invite_cseq;
        match (in_flight, first) {
            (true, true) => self.handle_first_response(now, response),
            (true, false) if self.is_from_peer(response) => self.handle_reinvite_response(now, response),
            _ if !response.status().is_success() => {}
            // A 2xx that comes again, or that outlived its transaction or the node that waited for it.
            _ if self.s.confirmed && self.is_from_peer(response) => self.ack_again(cseq),
            (_, true) => self.handle_fork(now, response),
            _ => {}
        }
    }

    fn handle_first_response(&mut self, now: Timestamp, response: &Response) {
        let status = response.status();
        match status.class() {
            1 => self.handle_provisional(response),
            2 => self.handle_answer(now, response),
            _ => {
                let cancelled = self.s.client_invite.take().is_some_and(|invite| invite.cancelled);
                self.event(Event::Failed { response: Some(response.clone()) });
                self.terminate(now, if cancelled { Ended::Cancelled } else { Ended::Failed(status) });
            }
        }
    }

    fn handle_provisional(&mut self, response: &Response) {
        if response.status() == StatusCode::TRYING {
            return;
        }
        // RFC 3261 §12.1.2: the first 1xx with a tag makes the early dialog; other branches' wait for their 2xx.
        let tag = response.to_tag().unwrap_or_default();
        if !tag.is_empty() && (self.s.state == State::Initial || tag == self.s.id.remote_tag) {
            self.s.state = State::Early;
            self.learn_peer(response);
        }
        self.event(Event::Provisional { response: response.clone() });
    }

    fn handle_answer(&mut self, now: Timestamp, response: &Response) {
        let Some(invite) = self.s.client_invite.take() else { return };
        self.learn_peer(response);
        self.s.state = State::Confirmed;
        self.s.confirmed = true;
        self.s.invite_deadline = None;
        if invite.cancelled {
            // RFC 3261 §9.1: the 2xx won the race; the call is up and must be taken down.
            self.ack_again(invite.cseq);
            return self.close(now, Ended::Cancelled, None);
        }
        self.event(Event::Answered { response: response.clone() });
        self.acknowledge(now, &invite, response);
    }

    /// ACKs a 2xx, unless it brought an offer and the ACK must bring the application's answer (RFC 3261 §13.2.1).
    pub(crate) fn acknowledge(&mut self, now: Timestamp, invite: &ClientInvite, response: &Response) {
        if invite.body.is_none() && !invite.cancelled && !response.body().is_empty() {
            self.s.awaiting_ack = Some(invite.cseq);
        } else {
            self.send_ack(now, invite.cseq, None);
        }
    }

    /// RFC 3261 §12.1.2 and §13.2.2.4: tag, target and route set from the response, anew with the 2xx.
    fn learn_peer(&mut self, response: &Response) {
        self.s.id.remote_tag = response.to_tag().unwrap_or_default().to_owned();
        self.refresh_from_response(response);
        if let Ok(routes) = route_set::of_response(response) {
            self.s.route_set = routes;
        }
    }

    /// The target from the Contact of a response, if it has one.
    pub(crate) fn refresh_from_response(&mut self, response: &Response) {
        if let Ok(Some(target)) = response.contact_uri() {
            target.clone_into(&mut self.s.remote_target);
        }
    }

    /// The response comes from the other end of this dialog, not of another branch.
    fn is_from_peer(&self, response: &Response) -> bool {
        response.to_tag().unwrap_or_default() == self.s.id.remote_tag
    }
}

/// A name-addr from what the application gave, checked.
fn address(display_name: &str, uri: &str) -> Result<String, DialogError> {
    let uri_error = || DialogError::Uri(uri.to_owned());
    let parsed = uri.parse().map_err(|_| uri_error())?;
    let mut addr = NameAddr::new(parsed);
    addr.display_name = (!display_name.is_empty()).then(|| display_name.to_owned());
    Ok(addr.to_string())
}

//! The INVITE as UAS: its check, 1xx, 2xx, refusal, and its second coming (RFC 3261 §8.2, §12.1.1, §13.3).

use std::sync::Arc;

use super::in_dialog::unsupported;
use super::message::{check_headers, is_target_refresh};
use super::{
    Body, Config, Dialog, DialogError, DialogId, Effect, Ended, Event, Pending, Reject, Role, Snapshot,
    State, route_set,
};
use crate::transaction::ServerTransactionId;
use crate::wire::{HeaderName, Method, Request, StatusCode};
use crate::{Flow, Timestamp};

impl Dialog {
    /// A call that comes in. `local_tag` must be unique in space and time (RFC 3261 §19.3); `Event::Invite` follows.
    pub fn uas(
        _now: Timestamp,
        config: &Arc<Config>,
        tx: ServerTransactionId,
        invite: &Request,
        flow: Flow,
        local_tag: String,
    ) -> Result<Self, Reject> {
        let target = check_invite(config, invite)?;
        let route_set = route_set::of_request(invite)
            .map_err(|_| Reject::new(StatusCode::BAD_REQUEST, "a Record-Route value cannot be read"))?;
        let id = DialogId {
            call_id: invite.call_id().to_owned(),
            local_tag,
            remote_tag: invite.from_tag().unwrap_or_default().to_owned(),
        };
        let cseq = invite.cseq().number;
        let mut dialog = Self::from_state(
            config,
            Snapshot {
                local_uri: invite.callee_party(),
                remote_uri: invite.caller_party(),
                remote_target: target,
                route_set,
                invite_cseq: cseq,
                remote_cseq: Some(cseq),
                pending: vec![Pending { tx: Some(tx), request: invite.clone(), flow, provisional: None }],
                ..Snapshot::new(id, Role::Uas)
            },
        );
        dialog.event(Event::Invite);
        Ok(dialog)
    }

    /// Sends a 1xx (101 to 199) to the INVITE or re-INVITE that waits.
    pub fn progress(
        &mut self,
        now: Timestamp,
        status: StatusCode,
        body: Option<&Body>,
    ) -> Result<(), DialogError> {
        self.progress_with(now, status, &[], body)
    }

    /// Answers the INVITE or re-INVITE that waits with 200, which is sent again until its ACK comes.
    pub fn answer(&mut self, now: Timestamp, body: Option<&Body>) -> Result<(), DialogError> {
        self.answer_with(now, StatusCode::OK, &[], body)
    }

    /// Refuses the INVITE or re-INVITE that waits (300 to 699); refusing the first ends the dialog.
    pub fn reject(
        &mut self,
        now: Timestamp,
        status: StatusCode,
        headers: &[(HeaderName, String)],
    ) -> Result<(), DialogError> {
        self.reject_with("reject", now, status, headers, None)
    }

    /// Refuses the INVITE that waits with 302 and the URI to try instead (RFC 3261 §13.3.1.2).
    pub fn redirect(&mut self, now: Timestamp, uri: &str) -> Result<(), DialogError> {
        let contact = (HeaderName::Contact, format!("<{uri}>"));
        self.reject_with("redirect", now, StatusCode::MOVED_TEMPORARILY, &[contact], None)
    }

    /// Any answer to the INVITE that waits.
    pub(crate) fn respond_to_invite(
        &mut self,
        now: Timestamp,
        status: StatusCode,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) -> Result<(), DialogError> {
        match status.class() {
            1 => self.progress_with(now, status, headers, body),
            2 => self.answer_with(now, status, headers, body),
            _ => self.reject_with("reject", now, status, headers, body),
        }
    }

    fn progress_with(
        &mut self,
        now: Timestamp,
        status: StatusCode,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) -> Result<(), DialogError> {
        let at = self.invite_for("progress")?;
        // 100 is the transaction's (RFC 3261 §17.2.1): it makes no dialog.
        if !status.is_provisional() || status == StatusCode::TRYING {
            return Err(DialogError::Status { verb: "progress", status: status.code() });
        }
        check_headers(headers)?;
        if self.s.state == State::Initial {
            self.s.state = State::Early;
        }
        self.settle(now, at, status, headers, body);
        Ok(())
    }

    fn answer_with(
        &mut self,
        now: Timestamp,
        status: StatusCode,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) -> Result<(), DialogError> {
        let at = self.invite_for("answer")?;
        check_headers(headers)?;
        if self.is_first_invite(&self.s.pending[at]) {
            self.s.state = State::Confirmed;
            self.s.confirmed = true;
            self.s.invite_deadline = None;
        }
        self.settle(now, at, status, headers, body);
        Ok(())
    }

    fn reject_with(
        &mut self,
        verb: &'static str,
        now: Timestamp,
        status: StatusCode,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) -> Result<(), DialogError> {
        let at = self.invite_for(verb)?;
        if status.class() < 3 {
            return Err(DialogError::Status { verb, status: status.code() });
        }
        check_headers(headers)?;
        let first = self.is_first_invite(&self.s.pending[at]);
        self.settle(now, at, status, headers, body);
        if first {
            self.terminate(now, Ended::Rejected(status));
        }
        Ok(())
    }

    fn invite_for(&self, verb: &'static str) -> Result<usize, DialogError> {
        self.pending_invite().ok_or_else(|| self.refuse(verb, "no INVITE waits for an answer"))
    }

    /// Whether this is the INVITE that made the dialog, sent again by its client: it must come to this dialog, not to
    /// a new one, when no server transaction absorbs it (on a survivor).
    pub fn is_retransmission_of_invite(&self, request: &Request) -> bool {
        let branch = |known: &str| known == request.branch();
        self.is_copy_of_invite(request)
            && self.s.pending.iter().all(|p| !p.is_invite(self.s.invite_cseq) || branch(p.request.branch()))
            && self.s.unacked.as_ref().is_none_or(|u| u.cseq != self.s.invite_cseq || branch(&u.branch))
    }

    /// The same without a look at the branch: also a copy that came by another path.
    pub(crate) fn is_copy_of_invite(&self, request: &Request) -> bool {
        self.s.role == Role::Uas
            && *request.method() == Method::Invite
            && request.to_tag().is_none()
            && request.cseq().number == self.s.invite_cseq
            && request.from_tag().unwrap_or_default() == self.s.id.remote_tag
            && request.call_id() == self.s.id.call_id
    }

    /// The first INVITE again, through a server transaction of its own.
    pub(crate) fn repeat_invite(&mut self, tx: ServerTransactionId, request: &Request, flow: Flow) {
        if let Some(response) = self.stored_answer(request) {
            return self.emit(Effect::Respond { tx, response });
        }
        if self.adopt(tx, request, flow) {
            return;
        }
        if self.s.state.is_unanswered() && self.s.pending.is_empty() {
            // A call that rang on a node that died: this is all there is of its INVITE.
            self.s.invite_deadline = None;
            self.s.pending.push(Pending { tx: Some(tx), request: request.clone(), flow, provisional: None });
            return self.event(Event::Invite);
        }
        // RFC 3261 §8.2.2.2: a copy by another path, or one that outlived its client.
        self.refuse_request(tx, request, StatusCode::LOOP_DETECTED, &[]);
    }

    /// RFC 3261 §12.2.2: an accepted target refresh moves the remote target.
    pub(crate) fn refresh_from_request(&mut self, request: &Request) {
        if is_target_refresh(request.method())
            && let Ok(Some(target)) = request.contact_uri()
        {
            target.clone_into(&mut self.s.remote_target);
        }
    }
}

/// RFC 3261 §8.2 and §12.1.1: what an INVITE needs to make a dialog; gives its remote target.
fn check_invite(config: &Config, invite: &Request) -> Result<String, Reject> {
    if *invite.method() != Method::Invite {
        return Err(Reject {
            headers: vec![(HeaderName::Allow, config.allow.clone())],
            ..Reject::new(StatusCode::METHOD_NOT_ALLOWED, "only an INVITE makes a call")
        });
    }
    if invite.to_tag().is_some() {
        // RFC 3261 §12.2.2: a To tag we do not know.
        return Err(Reject::new(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, "the dialog is not known"));
    }
    let unsupported = unsupported(invite, &config.supported);
    if !unsupported.is_empty() {
        // RFC 3261 §8.2.2.3.
        return Err(Reject {
            headers: vec![(HeaderName::Unsupported, unsupported.join(", "))],
            ..Reject::new(StatusCode::BAD_EXTENSION, "Require names an extension that is not understood")
        });
    }
    // RFC 3261 §8.1.1.8: exactly one.
    match invite.contact_uri() {
        Ok(Some(target)) => Ok(target.to_owned()),
        Ok(None) => Err(Reject::new(StatusCode::BAD_REQUEST, "an INVITE has exactly one Contact")),
        Err(_) => Err(Reject::new(StatusCode::BAD_REQUEST, "the Contact cannot be read")),
    }
}

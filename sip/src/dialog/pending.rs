//! The peer's unanswered requests and every way an answer leaves.

use super::message::check_headers;
use super::timeout::PROVISIONAL_AGAIN;
use super::{Body, Dialog, DialogError, Effect, LastAnswer, Pending, Role};
use crate::transaction::ServerTransactionId;
use crate::wire::{HeaderName, Message, Method, Request, Response, StatusCode};
use crate::{Flow, Timestamp};

impl Dialog {
    /// Answers the request of `tx`, whatever it is; an INVITE is dispatched to `progress`, `answer` or `reject`.
    pub fn respond(
        &mut self,
        now: Timestamp,
        tx: ServerTransactionId,
        status: StatusCode,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) -> Result<(), DialogError> {
        let at = self.s.pending.iter().position(|pending| pending.tx == Some(tx));
        let at = at.ok_or(DialogError::NoSuchRequest)?;
        if *self.s.pending[at].request.method() == Method::Invite {
            return self.respond_to_invite(now, status, headers, body);
        }
        check_headers(headers)?;
        self.settle(now, at, status, headers, body);
        Ok(())
    }

    /// Answers the newest unanswered in-dialog request (a re-INVITE, INFO, ...).
    pub fn accept_request(
        &mut self,
        now: Timestamp,
        status: StatusCode,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) -> Result<(), DialogError> {
        let newest = self.s.pending.iter().rfind(|pending| !self.is_first_invite(pending));
        let tx = newest.and_then(|pending| pending.tx).ok_or(DialogError::NoSuchRequest)?;
        self.respond(now, tx, status, headers, body)
    }

    /// The peer's INVITE that waits for an answer; there is one at most.
    pub(crate) fn pending_invite(&self) -> Option<usize> {
        self.s.pending.iter().position(|pending| *pending.request.method() == Method::Invite)
    }

    /// Whether this is the INVITE that would make the dialog.
    pub(crate) fn is_first_invite(&self, pending: &Pending) -> bool {
        self.s.role == Role::Uas && self.s.state.is_unanswered() && pending.is_invite(self.s.invite_cseq)
    }

    /// Sends an answer to the pending request at `at`; a final one takes it off the list.
    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        at: usize,
        status: StatusCode,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) {
        let response = self.reply(&self.s.pending[at].request, status, headers, body);
        if status.is_provisional() {
            let pending = &mut self.s.pending[at];
            let (tx, flow) = (pending.tx, pending.flow);
            if *pending.request.method() == Method::Invite {
                pending.provisional = Some((response.clone(), now.saturating_add(PROVISIONAL_AGAIN)));
            }
            return self.deliver(tx, flow, response);
        }
        let pending = self.s.pending.remove(at);
        self.remember(now, &pending.request, pending.flow, &response);
        self.deliver(pending.tx, pending.flow, response);
    }

    /// RFC 3261 §15.1.2: requests still unanswered when the dialog goes get 487.
    pub(crate) fn refuse_pending(&mut self, now: Timestamp) {
        while !self.s.pending.is_empty() {
            self.settle(now, 0, StatusCode::REQUEST_TERMINATED, &[], None);
        }
    }

    /// Answers a request that was never pending, and remembers the answer.
    pub(crate) fn answer_at_once(
        &mut self,
        now: Timestamp,
        tx: ServerTransactionId,
        request: &Request,
        flow: Flow,
        status: StatusCode,
        headers: &[(HeaderName, String)],
    ) {
        let response = self.reply(request, status, headers, None);
        self.remember(now, request, flow, &response);
        self.emit(Effect::Respond { tx, response });
    }

    /// Sends the response through its transaction, or straight over the flow if that is on another node.
    pub(crate) fn deliver(&mut self, tx: Option<ServerTransactionId>, flow: Flow, response: Response) {
        self.emit(match tx {
            Some(tx) => Effect::Respond { tx, response },
            None => Effect::Retransmit { bytes: response.as_bytes().clone(), flow },
        });
    }

    /// Notes the final answer, so that the request gets it again wherever it comes again.
    fn remember(&mut self, now: Timestamp, request: &Request, flow: Flow, response: &Response) {
        let cseq = request.cseq().number;
        if self.s.remote_cseq == Some(cseq) {
            self.s.remote_answered = true;
        }
        if response.status().is_success() {
            self.refresh_from_request(request);
        }
        if *request.method() == Method::Invite && response.status().is_success() {
            return self.await_ack(now, request, flow, response);
        }
        self.s.last_answer = Some(LastAnswer {
            cseq,
            method: request.method().clone(),
            branch: request.branch().to_owned(),
            response: response.as_bytes().clone(),
            forget_at: self.give_up_at(now),
        });
    }

    /// The answer this very request got before, if it is still known.
    pub(crate) fn stored_answer(&self, request: &Request) -> Option<Response> {
        let (cseq, branch) = (request.cseq().number, request.branch());
        let answered = self.s.last_answer.as_ref().filter(|answer| {
            answer.cseq == cseq && answer.method == *request.method() && answer.branch == branch
        });
        let unacked = self.s.unacked.as_ref().filter(|unacked| {
            unacked.cseq == cseq && *request.method() == Method::Invite && unacked.branch == branch
        });
        let bytes = match (answered, unacked) {
            (Some(answer), _) => &answer.response,
            (None, Some(unacked)) => &unacked.response,
            (None, None) => return None,
        };
        match Message::parse(bytes.clone()) {
            Ok(Message::Response(response)) => Some(response),
            _ => None,
        }
    }

    /// A pending request that comes again through a new transaction, as it does on a survivor: the answer will go
    /// there. `false` if no such request is pending.
    pub(crate) fn adopt(&mut self, tx: ServerTransactionId, request: &Request, flow: Flow) -> bool {
        let Some(pending) = self.s.pending.iter_mut().find(|pending| pending.repeats(request)) else {
            return false;
        };
        pending.tx = Some(tx);
        pending.flow = flow;
        let provisional = pending.provisional.clone();
        if self.s.state.is_unanswered() && self.s.role == Role::Uas {
            // The new transaction watches over the INVITE again.
            self.s.invite_deadline = None;
        }
        if let Some((response, _)) = provisional {
            self.emit(Effect::Respond { tx, response });
        }
        true
    }

    /// The server transaction is gone without our answer: its client has long given up.
    pub fn handle_server_timeout(&mut self, now: Timestamp, tx: ServerTransactionId) {
        let Some(at) = self.s.pending.iter().position(|pending| pending.tx == Some(tx)) else { return };
        let pending = self.s.pending.remove(at);
        if self.is_first_invite(&pending) {
            self.terminate(now, super::Ended::Timeout);
        }
    }
}

impl Pending {
    /// An INVITE with this CSeq number.
    pub(crate) fn is_invite(&self, cseq: u32) -> bool {
        *self.request.method() == Method::Invite && self.request.cseq().number == cseq
    }

    fn repeats(&self, request: &Request) -> bool {
        self.request.method() == request.method()
            && self.request.cseq().number == request.cseq().number
            && self.request.branch() == request.branch()
    }
}

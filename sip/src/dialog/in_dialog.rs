//! Requests of the peer inside the dialog: whose they are, their order, who handles them (RFC 3261 §12.2.2).

use super::{Dialog, Effect, Event, Pending, Role, State};
use crate::transaction::ServerTransactionId;
use crate::wire::{HeaderName, Method, Request, StatusCode};
use crate::{Flow, Timestamp};

impl Dialog {
    /// Takes any request that was routed to this dialog; it is answered now, or an event asks the application.
    pub fn handle_request(&mut self, now: Timestamp, tx: ServerTransactionId, request: &Request, flow: Flow) {
        match request.method() {
            Method::Ack => return self.handle_ack(now, request),
            Method::Cancel => return self.handle_cancel(now, tx, request),
            _ => {}
        }
        if self.is_copy_of_invite(request) {
            return self.repeat_invite(tx, request, flow);
        }
        if !self.is_ours(request) {
            return self.refuse_request(tx, request, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, &[]);
        }
        // A survivor has no transaction to absorb what the dead node answered.
        if let Some(response) = self.stored_answer(request) {
            return self.emit(Effect::Respond { tx, response });
        }
        if self.adopt(tx, request, flow) {
            return;
        }
        match self.s.state {
            State::Terminated => {
                self.refuse_request(tx, request, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, &[]);
            }
            _ if !self.is_in_order(request) => {
                // RFC 3261 §12.2.2: what comes late is refused and changes nothing.
                self.refuse_request(tx, request, StatusCode::SERVER_INTERNAL_ERROR, &[]);
            }
            _ => self.receive(now, tx, request, flow),
        }
    }

    /// A request in order: the number counts even if the request is refused.
    fn receive(&mut self, now: Timestamp, tx: ServerTransactionId, request: &Request, flow: Flow) {
        self.s.remote_cseq = Some(request.cseq().number);
        self.s.remote_answered = false;
        let refusal = match (self.s.state, request.method()) {
            // RFC 3261 §15.1.2: BYEs that cross are both answered 200.
            (_, Method::Bye) => return self.receive_bye(now, tx, request, flow),
            // RFC 5407 §3.2: in the mortal state everything else comes too late.
            (State::Closing, _) => Some((StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, Vec::new())),
            _ => self.extension_refusal(request).or_else(|| self.glare(request)),
        };
        if let Some((status, headers)) = refusal {
            return self.answer_at_once(now, tx, request, flow, status, &headers);
        }
        self.s.pending.push(Pending { tx: Some(tx), request: request.clone(), flow, provisional: None });
        let request = request.clone();
        self.event(match request.method() {
            Method::Invite => Event::Reinvite { tx, request },
            _ => Event::Request { tx, request },
        });
    }

    /// RFC 3261 §12.2.2: the tags and the Call-ID make the dialog; a missing tag counts as an empty one.
    pub(crate) fn is_ours(&self, request: &Request) -> bool {
        let id = &self.s.id;
        let made = self.s.role == Role::Uas || self.s.state != State::Initial;
        made && request.to_tag() == Some(id.local_tag.as_str())
            && request.from_tag().unwrap_or_default() == id.remote_tag
            && request.call_id() == id.call_id
    }

    /// RFC 3261 §12.2.2: lower numbers are late. The same number is new only if what bore it is still unanswered, and
    /// not in our hands: then the node that took it died with it.
    fn is_in_order(&self, request: &Request) -> bool {
        let cseq = request.cseq().number;
        match self.s.remote_cseq {
            Some(seen) if cseq == seen => {
                !self.s.remote_answered
                    && !self.s.pending.iter().any(|pending| pending.request.cseq().number == cseq)
            }
            Some(seen) => cseq > seen,
            None => true,
        }
    }

    /// RFC 3261 §8.2.2.3: a Require we do not understand.
    fn extension_refusal(&self, request: &Request) -> Option<Refusal> {
        let unsupported = unsupported(request, &self.config.supported);
        (!unsupported.is_empty())
            .then(|| (StatusCode::BAD_EXTENSION, vec![(HeaderName::Unsupported, unsupported.join(", "))]))
    }

    /// What stands in the way of this request right now.
    fn glare(&self, request: &Request) -> Option<Refusal> {
        let later = || vec![(HeaderName::RetryAfter, self.retry_after(request).to_string())];
        let (s, established) = (&self.s, self.s.state == State::Confirmed);
        if s.pending.len() >= Self::PENDING_MAX {
            return Some((StatusCode::SERVER_INTERNAL_ERROR, later()));
        }
        match request.method() {
            // RFC 3261 §14.2: a second INVITE before the final response to the first.
            Method::Invite if self.pending_invite().is_some() => {
                Some((StatusCode::SERVER_INTERNAL_ERROR, later()))
            }
            // RFC 3261 §14.2: ours is under way. RFC 5407 §3.1.4: so is the last one, until its ACK.
            Method::Invite if self.our_invite_is_open() || s.unacked.is_some() => {
                Some((StatusCode::REQUEST_PENDING, Vec::new()))
            }
            // RFC 3311 §5.2: an UPDATE while another is unanswered, or while we offer ourselves.
            Method::Update if s.pending.iter().any(|pending| *pending.request.method() == Method::Update) => {
                Some((StatusCode::SERVER_INTERNAL_ERROR, later()))
            }
            Method::Update if established && self.our_invite_is_open() && !request.body().is_empty() => {
                Some((StatusCode::REQUEST_PENDING, Vec::new()))
            }
            _ => None,
        }
    }

    /// Our INVITE has no final response, or its 2xx no ACK.
    pub(crate) fn our_invite_is_open(&self) -> bool {
        self.s.client_invite.is_some() || self.s.awaiting_ack.is_some()
    }

    /// Answers without any trace in the dialog.
    pub(crate) fn refuse_request(
        &mut self,
        tx: ServerTransactionId,
        request: &Request,
        status: StatusCode,
        headers: &[(HeaderName, String)],
    ) {
        let response = self.reply(request, status, headers, None);
        self.emit(Effect::Respond { tx, response });
    }

    /// RFC 3261 §14.2: 0 to 10 seconds, spread over the requests.
    fn retry_after(&self, request: &Request) -> u64 {
        spread(&[request.branch(), &self.s.id.local_tag], request.cseq().number) % 11
    }
}

/// A status and the headers it needs.
type Refusal = (StatusCode, Vec<(HeaderName, String)>);

/// The option tags of Require that are not in `supported`.
pub(crate) fn unsupported(request: &Request, supported: &[String]) -> Vec<String> {
    let known = |tag: &&str| supported.iter().any(|known| known.eq_ignore_ascii_case(tag));
    request.values(&HeaderName::Require).filter(|tag| !known(tag)).map(str::to_owned).collect()
}

/// A number as good as random where RFC 3261 asks for one, yet the same on every node: FNV-1a over what is random
/// already.
pub(crate) fn spread(texts: &[&str], number: u32) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes()).chain(number.to_be_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

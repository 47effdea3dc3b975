//! CANCEL from either side, and its race with the 2xx (RFC 3261 §9).

use super::{Dialog, DialogError, Effect, Ended, Event};
use crate::Timestamp;
use crate::transaction::ServerTransactionId;
use crate::wire::{Request, StatusCode};

impl Dialog {
    /// Asks the peer to stop ringing, or to forget our re-INVITE; asking twice is the same as once.
    ///
    /// If the peer's 2xx crosses the CANCEL, the call is ACKed and sent a BYE.
    pub fn cancel(&mut self, now: Timestamp) -> Result<(), DialogError> {
        if self.s.client_invite.is_none() {
            return Err(self.refuse("cancel", "no INVITE of ours is unanswered"));
        }
        if self.cancel_client_invite() {
            // RFC 3261 §9.1: no final response 64·T1 after the CANCEL, and the INVITE counts as cancelled.
            self.s.invite_deadline = Some(self.give_up_at(now));
        }
        Ok(())
    }

    /// Cancels our INVITE if it is in flight and not cancelled yet.
    pub(crate) fn cancel_client_invite(&mut self) -> bool {
        let Some(invite) = self.s.client_invite.as_mut().filter(|invite| !invite.cancelled) else {
            return false;
        };
        invite.cancelled = true;
        let cseq = invite.cseq;
        let branch = self.branch(cseq);
        self.emit(Effect::Cancel { branch });
        true
    }

    /// Takes the peer's CANCEL, which has a server transaction of its own.
    pub fn handle_cancel(&mut self, now: Timestamp, tx: ServerTransactionId, request: &Request) {
        let id = &self.s.id;
        let known =
            request.call_id() == id.call_id && request.from_tag().unwrap_or_default() == id.remote_tag;
        if !known {
            return self.refuse_request(tx, request, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, &[]);
        }
        // RFC 3261 §9.2: 200 with the To tag of the INVITE's response, whether or not the CANCEL comes in time.
        self.refuse_request(tx, request, StatusCode::OK, &[]);
        let cseq = request.cseq().number;
        let Some(at) = self.s.pending.iter().position(|pending| pending.is_invite(cseq)) else { return };
        let first = self.is_first_invite(&self.s.pending[at]);
        let invite_tx = self.s.pending[at].tx;
        self.settle(now, at, StatusCode::REQUEST_TERMINATED, &[], None);
        match invite_tx {
            _ if first => self.terminate(now, Ended::Cancelled),
            Some(tx) => self.event(Event::RequestCancelled { tx }),
            None => {}
        }
    }
}

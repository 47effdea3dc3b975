//! The dialog's deadlines: the earliest of them, and what each one does.

use super::{Dialog, Ended, Event, State};
use crate::Timestamp;
use crate::wire::{Method, StatusCode};

use std::time::Duration;

impl Dialog {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None` if never.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let s = &self.s;
        let unacked = s.unacked.as_ref().map(|unacked| unacked.next_at.min(unacked.give_up_at));
        let provisional = s.pending.iter().filter_map(|pending| Some(pending.provisional.as_ref()?.1)).min();
        let forks = s.forks.iter().map(|fork| fork.forget_at).min();
        [
            unacked,
            provisional,
            forks,
            s.invite_deadline,
            s.retry.as_ref().map(|retry| retry.at),
            s.closing.as_ref().map(|closing| closing.give_up_at),
            s.last_answer.as_ref().map(|answer| answer.forget_at),
            s.acked.as_ref().map(|acked| acked.forget_at),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.handle_unacked_timeout(now);
        self.handle_provisional_timeout(now);
        if self.s.invite_deadline.is_some_and(|at| at <= now) {
            self.handle_invite_deadline(now);
        }
        if let Some(retry) = self.s.retry.take_if(|retry| retry.at <= now) {
            self.retry_reinvite(now, retry);
        }
        if let Some(closing) = self.s.closing.take_if(|closing| closing.give_up_at <= now) {
            self.terminate(now, closing.why);
        }
        let s = &mut self.s;
        s.last_answer.take_if(|answer| answer.forget_at <= now);
        s.acked.take_if(|acked| acked.forget_at <= now);
        s.forks.retain(|fork| fork.forget_at > now);
    }

    /// RFC 3261 §13.3.1.1: the last 1xx again, so that no proxy takes the ringing for silence.
    fn handle_provisional_timeout(&mut self, now: Timestamp) {
        for at in 0..self.s.pending.len() {
            let pending = &mut self.s.pending[at];
            let Some((response, again_at)) = &mut pending.provisional else { continue };
            if *again_at <= now {
                *again_at = now.saturating_add(PROVISIONAL_AGAIN);
                let (tx, flow, response) = (pending.tx, pending.flow, response.clone());
                self.deliver(tx, flow, response);
            }
        }
    }

    /// An INVITE that neither a response nor a transaction ended.
    fn handle_invite_deadline(&mut self, now: Timestamp) {
        self.s.invite_deadline = None;
        let invite = self.s.client_invite.take();
        let cancelled = invite.as_ref().is_some_and(|invite| invite.cancelled);
        if self.s.state.is_unanswered() {
            if invite.is_some() {
                self.event(Event::Failed { response: None });
            }
            self.terminate(now, if cancelled { Ended::Cancelled } else { Ended::Timeout });
        } else if let Some(invite) = invite {
            debug_assert_eq!(self.s.state, State::Confirmed);
            let (method, status) = (Method::Invite, StatusCode::REQUEST_TIMEOUT);
            self.event(Event::RequestFailed { method, cseq: invite.cseq, status });
        }
    }
}

/// RFC 3261 §13.3.1.1: proxies cancel an INVITE that is silent for three minutes, so its 1xx goes out every minute.
pub(crate) const PROVISIONAL_AGAIN: Duration = Duration::from_secs(60);

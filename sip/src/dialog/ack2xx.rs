//! Our 2xx to an INVITE until its ACK: sent again and again, then given up (RFC 3261 §13.3.1.4).

use super::{Dialog, Effect, Ended, Event, Role, Unacked};
use crate::wire::{Request, Response};
use crate::{Flow, Timestamp};

impl Dialog {
    /// Takes an ACK that belongs to no server transaction; one that nobody waits for is ignored.
    pub fn handle_ack(&mut self, now: Timestamp, request: &Request) {
        let cseq = request.cseq().number;
        if !self.is_ours(request) || self.s.unacked.as_ref().is_none_or(|unacked| unacked.cseq != cseq) {
            return;
        }
        self.s.unacked = None;
        let ack = request.clone();
        let first = self.s.role == Role::Uas && cseq == self.s.invite_cseq;
        self.event(if first { Event::Established { ack } } else { Event::Acked { ack } });
        if let Some(bye) = self.s.bye_wanted.take() {
            self.close(now, Ended::LocalBye, bye.reason.as_deref());
        }
    }

    /// Keeps the 2xx that was just sent until its ACK comes.
    pub(crate) fn await_ack(&mut self, now: Timestamp, invite: &Request, flow: Flow, response: &Response) {
        let timers = &self.config.timers;
        self.s.unacked = Some(Unacked {
            cseq: invite.cseq().number,
            branch: invite.branch().to_owned(),
            response: response.as_bytes().clone(),
            flow,
            next_at: now.saturating_add(timers.t1),
            interval: (timers.t1 * 2).min(timers.t2),
            give_up_at: self.give_up_at(now),
        });
    }

    /// T1, doubling up to T2, over any transport; after 64·T1 the session is over and a BYE says so.
    pub(crate) fn handle_unacked_timeout(&mut self, now: Timestamp) {
        let Some(unacked) = &mut self.s.unacked else { return };
        if unacked.give_up_at <= now {
            // A BYE of ours that waited for the ACK may go now (RFC 3261 §15), and is then the reason.
            let bye = self.s.bye_wanted.take();
            let why = if bye.is_some() { Ended::LocalBye } else { Ended::NoAck };
            return self.close(now, why, bye.and_then(|bye| bye.reason).as_deref());
        }
        if unacked.next_at <= now {
            // A late tick sends one copy, not those it missed.
            unacked.next_at = unacked
                .next_at
                .saturating_add(unacked.interval)
                .max(now.saturating_add(self.config.timers.t1));
            unacked.interval = (unacked.interval * 2).min(self.config.timers.t2);
            let (bytes, flow) = (unacked.response.clone(), unacked.flow);
            self.emit(Effect::Retransmit { bytes, flow });
        }
    }
}

//! 2xx from other branches of our forked INVITE: each makes a dialog, which we end at once (RFC 3261 §13.2.2.4).

use super::message::Peer;
use super::{Dialog, Effect, Fork, route_set};
use crate::Timestamp;
use crate::wire::{Method, Response};

impl Dialog {
    /// Answers a 2xx whose dialog is not ours: ACK each time it comes, and one BYE.
    pub(crate) fn handle_fork(&mut self, now: Timestamp, response: &Response) {
        let tag = response.to_tag().unwrap_or_default();
        let known = self.s.forks.iter().find(|fork| fork.tag == tag).map(|fork| fork.bye_cseq);
        if known.is_none() && self.s.forks.len() >= Self::FORKS_MAX {
            return;
        }
        // One number space for all branches: a timeout then says by its number whose BYE it was.
        let Ok(bye_cseq) = known.map_or_else(|| self.next_cseq(), Ok) else { return };
        let target = response.contact_uri().ok().flatten().unwrap_or(&self.s.remote_target);
        let route_set = route_set::of_response(response).unwrap_or_default();
        let peer = Peer { tag, target, route_set: &route_set };
        let branch = self.branch(bye_cseq);
        let ack_branch = format!("{branch}a");
        let ack = self.compose_to(&peer, Method::Ack, self.s.invite_cseq, &ack_branch, &[], None);
        let bye = self.compose_to(&peer, Method::Bye, bye_cseq, &branch, &[], None);
        let (Ok(ack), Ok(bye)) = (ack, bye) else { return };
        self.emit(Effect::Ack { request: ack.request, next_hop: ack.next_hop });
        if known.is_none() {
            self.take_cseq(bye_cseq);
            let forget_at = self.give_up_at(now);
            self.s.forks.push(Fork { tag: tag.to_owned(), bye_cseq, forget_at });
            self.emit(Effect::Send { request: bye.request, next_hop: bye.next_hop });
        }
    }
}

//! The way into a lane: what came in is this node's or sent on, then goes through transactions to its dialog.

use holdline_cluster::id::{Key, SHARDS, Shard};
use holdline_protos::v1::{Forward, Relay, relay};
use holdline_sip::dialog;
use holdline_sip::transaction::{self, ClientTransactionId, ServerTransactionId};
use holdline_sip::wire::{HeaderName, Message, Method, Request, Response, StatusCode};
use holdline_sip::{Flow, Timestamp};

use super::shards::Early;
use super::{Effect, Lane, Sender};
use crate::recovery::address;
use crate::routing::is_of_balancer;
use crate::step::Input;

impl<A: Clone> Lane<A> {
    /// Passes a message whose shard is ours; one of another's is sent on or held, and is not passed.
    ///
    /// What has no tag of ours yet may also be placed in another shard of ours, which saves the hop; but not if a balancer may
    /// have sent it here in place of a node that died: the dialog may exist already, on its way to us.
    pub(super) fn gatekeep(
        &mut self,
        now: Timestamp,
        message: &Message,
        flow: Flow,
        hopped: bool,
    ) -> Option<()> {
        let shard = match message {
            Message::Request(request) => match (self.key_of_request(request), request.to_tag()) {
                (Some(key), _) => key.shard(),
                // A tag that is not ours: the dialog is nobody's here, so 481 is for us to say.
                (None, Some(_)) => return Some(()),
                (None, None) if *request.method() == Method::Invite && self.absorbs(request, flow) => {
                    return None;
                }
                (None, None) => self.shard_of_call_id(request.call_id()),
            },
            Message::Response(response) => {
                match response.from_tag().and_then(|tag| self.config.tags.parse(tag)) {
                    Some(key) => key.shard(),
                    None => return Some(()),
                }
            }
        };
        if self.owns(shard) {
            return Some(());
        }
        match self.ownership.owner(shard) {
            _ if self.is_served_here(message, shard) => {
                if !self.fence.is_up() {
                    return Some(());
                }
                self.hold(now, shard, Early::Message(message.clone(), flow));
            }
            Some(owner) if !hopped => {
                let forward = Forward { datagram: message.as_bytes().clone(), source: Some(address(flow)) };
                let relay = Box::new(Relay { body: Some(relay::Body::Forward(forward)) });
                self.effects.push_back(Effect::Relay { to: owner, relay });
                // The owner may be dead and we its heir, not told yet: then the shard, when it comes, finds this here.
                if self.ownership.is_near(shard) {
                    self.hold(now, shard, Early::Copy(message.clone(), flow));
                }
            }
            _ => self.hold(now, shard, Early::Message(message.clone(), flow)),
        }
        None
    }

    /// Whether a message of another's shard is for us all the same: it belongs to a transaction of ours, or may be placed here.
    fn is_served_here(&mut self, message: &Message, shard: Shard) -> bool {
        let Message::Request(request) = message else { return false };
        if request.to_tag().is_some() {
            return false;
        }
        let in_place_of_another = is_of_balancer(request.branch()) && self.ownership.is_near(shard);
        let is_placeable = *request.method() != Method::Cancel
            && !in_place_of_another
            && self.ownership.owner(shard).is_some()
            && self.owned_shard_near(shard).is_some();
        is_placeable || self.transactions.knows(request)
    }

    /// Takes up what the transactions have to say.
    pub(super) fn pump_transactions(&mut self, now: Timestamp) {
        use transaction::Effect as T;
        while let Some(effect) = self.transactions.poll_effect() {
            match effect {
                T::Transmit { flow, bytes } => self.transmit(flow, bytes),
                T::Request { id, request, flow } => self.request(now, id, request, flow),
                T::Ack { request, .. } => {
                    if let Some(key) = self.key_in_hand(&request) {
                        self.deliver(now, key, Input::Ack(request));
                    }
                }
                T::Cancel { id, cancel, request } => self.cancel(now, &id, cancel, request),
                T::Response { user, id, response, .. } => self.response(now, &user, id, response),
                T::StrayResponse { response, .. } => self.stray(now, response),
                T::Timeout { user, id } => self.timed_out(now, user, id),
                T::TransportError { user, id } => {
                    self.answered(&user, id);
                    self.unsent(now, user);
                }
                T::ServerTimeout { id } => {
                    if let Some((key, _)) = self.open.remove(&id) {
                        self.deliver(now, key, Input::Expired(id));
                    }
                }
                // RFC 6026 §7.1: the INVITE's transaction goes on; any other client sends its request again.
                T::ServerTransportError { .. } => {}
            }
        }
    }

    fn timed_out(&mut self, now: Timestamp, user: Sender, id: ClientTransactionId) {
        self.answered(&user, id);
        let Sender { key, cseq, method } = user;
        self.deliver(now, key, Input::TimedOut { cseq, method });
    }

    /// A request of ours cannot be sent.
    pub(super) fn unsent(&mut self, now: Timestamp, Sender { key, cseq, method }: Sender) {
        self.deliver(now, key, Input::Unsent { cseq, method });
    }

    /// Drops the transactions of requests that a dialog will not answer: sent again, they are taken up anew.
    pub(super) fn forget_open(&mut self, of: impl Fn(Key) -> bool) {
        let Self { open, transactions, .. } = self;
        open.retain(|id, (key, _)| {
            let gone = of(*key);
            if gone {
                transactions.forget(id);
            }
            !gone
        });
    }

    /// The callers of dialogs that are given up before they could answer get a 500; one pass over all open requests.
    pub(super) fn refuse_invites(&mut self, now: Timestamp, of: impl Fn(Key) -> bool) {
        let given_up: Vec<_> = self.open.extract_if(|_, (key, _)| of(*key)).collect();
        for (id, (key, invite)) in given_up {
            let tag = self.config.tags.tag(key);
            let response = Response::builder(StatusCode::SERVER_INTERNAL_ERROR, &invite).to_tag(&tag).build();
            self.answer(now, &id, response);
        }
        self.pump_transactions(now);
    }

    fn request(&mut self, now: Timestamp, id: ServerTransactionId, request: Request, flow: Flow) {
        if request.to_tag().is_some() {
            match self.key_in_hand(&request).filter(|key| self.directory.contains_key(key)) {
                Some(key) => {
                    self.open.insert(id, (key, request.clone()));
                    self.deliver(now, key, Input::Request { transaction: id, request, flow });
                }
                // RFC 3261 §12.2.2: no dialog, 481.
                None => self.refuse(now, &id, &request, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST),
            }
            return;
        }
        match request.method() {
            Method::Invite => self.invite(now, id, request, flow),
            // RFC 3261 §11.2: what an INVITE would get, less the ringing.
            Method::Options => {
                let response = Response::builder(StatusCode::OK, &request)
                    .to_tag(&self.nonce())
                    .header(HeaderName::Allow, &self.config.dialog.allow)
                    .header(HeaderName::Accept, "application/sdp")
                    .build();
                self.answer(now, &id, response);
            }
            _ => self.refuse(now, &id, &request, StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    /// RFC 3261 §13.3.1.
    fn invite(&mut self, now: Timestamp, id: ServerTransactionId, request: Request, flow: Flow) {
        let shard = self.shard_of_call_id(request.call_id());
        let Some(shard) = self.owned_shard_near(shard) else {
            return self.refuse(now, &id, &request, StatusCode::SERVICE_UNAVAILABLE);
        };
        let key = self.new_key(shard);
        let tag = self.config.tags.tag(key);
        match dialog::Dialog::uas(now, &self.config.dialog, id, &request, flow, tag.clone()) {
            Ok(core) => {
                self.open.insert(id, (key, request.clone()));
                self.born(now, key, core, Input::Invite(request));
            }
            Err(reject) => {
                let response = reject.response(&request, &tag);
                self.answer(now, &id, response);
            }
        }
    }

    /// RFC 3261 §9.2.
    fn cancel(
        &mut self,
        now: Timestamp,
        invite: &ServerTransactionId,
        cancel: ServerTransactionId,
        request: Request,
    ) {
        match self.open.get(invite) {
            Some((key, _)) => {
                let key = *key;
                self.deliver(now, key, Input::Cancel { transaction: cancel, request });
            }
            // Its INVITE has a final response: the CANCEL has no effect but is answered.
            None => {
                let response = Response::builder(StatusCode::OK, &request).to_tag(&self.nonce()).build();
                self.answer(now, &cancel, response);
            }
        }
    }

    /// This INVITE of ours cannot be cancelled any more; a later one of the dialog can.
    fn answered(&mut self, user: &Sender, id: ClientTransactionId) {
        if self.calls.get(&user.key) == Some(&id) {
            self.calls.remove(&user.key);
        }
    }

    fn response(&mut self, now: Timestamp, user: &Sender, id: ClientTransactionId, response: Response) {
        if response.status().is_final() {
            self.answered(user, id);
        }
        self.deliver(now, user.key, Input::Response(response));
    }

    /// A 2xx to an INVITE of ours after its transaction: the dialog sends its ACK again (RFC 3261 §13.2.2.4). The dialog
    /// may have been taken over from the node that sent the INVITE.
    fn stray(&mut self, now: Timestamp, response: Response) {
        if !response.status().is_success() || response.cseq().method != Method::Invite {
            return;
        }
        if let Some(key) = response.from_tag().and_then(|tag| self.config.tags.parse(tag)) {
            self.deliver(now, key, Input::Response(response));
        }
    }

    fn refuse(&mut self, now: Timestamp, id: &ServerTransactionId, request: &Request, status: StatusCode) {
        let mut response = Response::builder(status, request).to_tag(&self.nonce());
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response = response.header(HeaderName::Allow, &self.config.dialog.allow);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response = response.header(HeaderName::RetryAfter, 2);
        }
        self.answer(now, id, response.build());
    }

    fn answer(&mut self, now: Timestamp, id: &ServerTransactionId, response: Response) {
        // The transaction was made in this very call: it can only be gone if its flow failed, and then nobody waits.
        let _ = self.transactions.respond(now, id, response);
    }

    fn key_of_request(&self, request: &Request) -> Option<Key> {
        request.to_tag().and_then(|tag| self.config.tags.parse(tag))
    }

    /// The same of a request that was let in: a forged tag then names no dialog, or one that knows its tag better.
    fn key_in_hand(&self, request: &Request) -> Option<Key> {
        request.to_tag().and_then(|tag| self.config.tags.reread(tag))
    }

    fn shard_of_call_id(&self, call_id: &str) -> Shard {
        Key { placement: self.config.tags.placement_of_call_id(call_id), id: 0 }.shard()
    }

    /// This shard if we own it, else the next one of this lane that we own.
    pub(super) fn owned_shard_near(&self, shard: Shard) -> Option<Shard> {
        let (lanes, lane) = (self.config.lanes, self.config.lane);
        let around = (shard.0..SHARDS).chain(0..shard.0).map(Shard);
        around.filter(|shard| shard.0 % lanes == lane).find(|shard| self.has(*shard))
    }
}

//! A dialog's whole state as plain data, and how a dialog comes back from it, here or on a survivor.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Body, Config, Dialog, DialogId, Effect, Ended, Role, State};
use crate::transaction::ServerTransactionId;
use crate::wire::{Method, Request, Response};
use crate::{Flow, Timestamp};

/// Everything a dialog knows. Nothing is derived from a message seen earlier: what the peer was told is stored as told.
///
/// An established call at rest, 64·T1 after its last message, uses only the fields down to `confirmed`; all others are
/// empty then.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Call-ID and tags.
    pub id: DialogId,
    /// Which side of the first INVITE we are.
    pub role: Role,
    /// Where the dialog stands.
    pub state: State,
    /// Our name-addr as in From or To of the first INVITE, without its parameters.
    pub local_uri: String,
    /// The peer's name-addr, likewise.
    pub remote_uri: String,
    /// URI from the peer's newest accepted Contact.
    pub remote_target: String,
    /// Route values for our requests, in the order they are sent.
    pub route_set: Vec<String>,
    /// Start of our branches after the magic cookie; empty: our tag.
    pub branch_prefix: String,
    /// CSeq number of our newest request; 0 before the first.
    pub local_cseq: u32,
    /// CSeq number of the INVITE that made the dialog, ours or the peer's.
    pub invite_cseq: u32,
    /// Highest CSeq number seen from the peer; `None` before its first request.
    pub remote_cseq: Option<u32>,
    /// The request with `remote_cseq` has its final answer.
    pub remote_answered: bool,
    /// A 2xx fixed the peer's tag.
    pub confirmed: bool,
    /// Why the dialog is over, once it is.
    pub ended: Option<Ended>,
    /// Our 2xx without its ACK.
    pub unacked: Option<Unacked>,
    /// Our INVITE without its final response.
    pub client_invite: Option<ClientInvite>,
    /// CSeq number of our INVITE whose 2xx waits for the application's `ack`.
    pub awaiting_ack: Option<u32>,
    /// Body of our last ACK, for a 2xx that comes again.
    pub acked: Option<AckedBody>,
    /// When an INVITE that nothing else ends is given up.
    pub invite_deadline: Option<Timestamp>,
    /// Our re-INVITE that met the peer's and will be sent again.
    pub retry: Option<Retry>,
    /// Our unanswered BYE.
    pub closing: Option<Closing>,
    /// A BYE that must wait for the ACK (RFC 3261 §15).
    pub bye_wanted: Option<ByeWanted>,
    /// The answer to the peer's newest finished request, for its retransmission.
    pub last_answer: Option<LastAnswer>,
    /// Other branches that answered our INVITE, each ACKed and sent a BYE; at most [`Dialog::FORKS_MAX`].
    pub forks: Vec<Fork>,
    /// The peer's unanswered requests, oldest first; at most [`Dialog::PENDING_MAX`].
    ///
    /// A takeover keeps only the first INVITE. Leave it out of what peers hold unless early dialogs are replicated.
    pub pending: Vec<Pending>,
}

/// A 2xx to an INVITE that is sent again until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug, Clone)]
pub struct Unacked {
    /// CSeq number of the INVITE.
    pub cseq: u32,
    /// Branch of the INVITE, to know it again.
    pub branch: String,
    /// The 2xx as sent.
    pub response: Bytes,
    /// Where it goes.
    pub flow: Flow,
    /// When it is sent next.
    pub next_at: Timestamp,
    /// The pause after that.
    pub interval: Duration,
    /// When we hang up instead.
    pub give_up_at: Timestamp,
}

/// Our INVITE or re-INVITE in flight.
#[derive(Debug, Clone)]
pub struct ClientInvite {
    /// Its CSeq number.
    pub cseq: u32,
    /// Its body, for a second attempt after 491; without one the 2xx brings the offer.
    pub body: Option<Body>,
    /// It is that second attempt.
    pub retried: bool,
    /// We asked to cancel it.
    pub cancelled: bool,
}

/// The body an ACK carried.
#[derive(Debug, Clone)]
pub struct AckedBody {
    /// CSeq number of the INVITE.
    pub cseq: u32,
    /// The body.
    pub body: Body,
    /// When no 2xx can come again.
    pub forget_at: Timestamp,
}

/// A re-INVITE to be sent again (RFC 3261 §14.1).
#[derive(Debug, Clone)]
pub struct Retry {
    /// When.
    pub at: Timestamp,
    /// With which body.
    pub body: Option<Body>,
}

/// Our unanswered BYE.
#[derive(Debug, Clone)]
pub struct Closing {
    /// Its CSeq number.
    pub cseq: u32,
    /// What the application is told when it is answered.
    pub why: Ended,
    /// When nobody waits for the answer any more.
    pub give_up_at: Timestamp,
}

/// A BYE waiting for the ACK.
#[derive(Debug, Clone)]
pub struct ByeWanted {
    /// Value for its Reason header.
    pub reason: Option<String>,
}

/// The final answer to a request of the peer.
#[derive(Debug, Clone)]
pub struct LastAnswer {
    /// CSeq number of the request.
    pub cseq: u32,
    /// Its method.
    pub method: Method,
    /// Its branch.
    pub branch: String,
    /// The answer as sent.
    pub response: Bytes,
    /// When the request cannot come again.
    pub forget_at: Timestamp,
}

/// Another branch that answered our INVITE (RFC 3261 §13.2.2.4).
#[derive(Debug, Clone)]
pub struct Fork {
    /// Its To tag.
    pub tag: String,
    /// CSeq number of the BYE we sent it.
    pub bye_cseq: u32,
    /// When its 2xx cannot come again.
    pub forget_at: Timestamp,
}

/// A request of the peer without its final answer.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Its server transaction; `None` once that is on another node, answers then go straight to `flow`.
    pub tx: Option<ServerTransactionId>,
    /// The request.
    pub request: Request,
    /// Where it came from.
    pub flow: Flow,
    /// The newest provisional answer and when it is due again (RFC 3261 §13.3.1.1).
    pub provisional: Option<(Response, Timestamp)>,
}

impl Snapshot {
    /// A dialog of which nothing is known but who takes part.
    pub(crate) fn new(id: DialogId, role: Role) -> Self {
        Self {
            id,
            role,
            state: State::Initial,
            local_uri: String::new(),
            remote_uri: String::new(),
            remote_target: String::new(),
            route_set: Vec::new(),
            branch_prefix: String::new(),
            local_cseq: 0,
            invite_cseq: 0,
            remote_cseq: None,
            remote_answered: false,
            confirmed: false,
            ended: None,
            unacked: None,
            client_invite: None,
            awaiting_ack: None,
            acked: None,
            invite_deadline: None,
            retry: None,
            closing: None,
            bye_wanted: None,
            last_answer: None,
            forks: Vec::new(),
            pending: Vec::new(),
        }
    }
}

impl Dialog {
    /// The state to keep or to replicate; take it when every effect is polled.
    pub fn to_snapshot(&self) -> Snapshot {
        (*self.s).clone()
    }

    /// The same without the copy, for encoding.
    pub fn as_snapshot(&self) -> &Snapshot {
        &self.s
    }

    /// A dialog from its snapshot.
    ///
    /// Without `takeover` it goes on as if nothing had been (passivation, a handler that panicked). With it the
    /// snapshot is another node's: that node may have done more than we know, and its transactions are gone.
    pub fn restore(now: Timestamp, config: &Arc<Config>, snapshot: Snapshot, takeover: bool) -> Self {
        let mut dialog = Self::from_state(config, snapshot);
        if takeover {
            dialog.take_over(now);
        }
        dialog
    }

    fn take_over(&mut self, now: Timestamp) {
        // RFC 3261 §12.2.1.1: the peer must not see a number twice; §12.2.2 lets it accept a gap.
        self.s.local_cseq = self.s.local_cseq.saturating_add(self.config.cseq_gap);
        self.forget_lost_transactions(now);
        let (t1, give_up_at) = (self.config.timers.t1, self.give_up_at(now));
        if let Some(unacked) = &mut self.s.unacked {
            // The ACK may have reached the dead node, and the pause may have outlasted the deadline: ask again first.
            unacked.next_at = now.saturating_add(t1);
            unacked.interval = (t1 * 2).min(self.config.timers.t2);
            unacked.give_up_at = unacked.give_up_at.max(give_up_at);
            let (bytes, flow) = (unacked.response.clone(), unacked.flow);
            self.emit(Effect::Retransmit { bytes, flow });
        }
        if let Some(closing) = self.s.closing.take() {
            self.close(now, closing.why, None);
        }
    }

    fn forget_lost_transactions(&mut self, now: Timestamp) {
        let invite_cseq = self.s.invite_cseq;
        let unanswered = self.s.state.is_unanswered();
        self.s.pending.retain(|pending| unanswered && pending.is_invite(invite_cseq));
        for pending in &mut self.s.pending {
            pending.tx = None;
        }
        if !unanswered {
            self.s.client_invite = None;
            self.s.invite_deadline = None;
        } else {
            // No transaction is left to time out: wait as long as a proxy would (RFC 3261 §16.6, timer C).
            self.s.invite_deadline.get_or_insert(now.saturating_add(Self::UNANSWERED_MAX));
        }
    }
}

//! INVITE dialogs as UAS and as UAC (RFC 3261 §12 to §15): one value, pure, replicable at every step.
//!
//! A [`Dialog`] takes requests, responses, timeouts and the application's verbs, each with the time, and queues
//! [`Effect`]s. Whatever comes in whatever state has a defined result. Its whole state is its [`Snapshot`]; nothing
//! else decides what it does next, so a dialog can move to another node between any two steps.
//!
//! Where two rules of RFC 3261 meet in the network, RFC 5407 decides; the races have names in `tests/dialog_races.rs`.
//!
//! Not followed, and why:
//! - §12.1.1 secure flag: whether a `sips` call may leave TLS is the transport's decision, which sees the next hop.
//! - §13.2.2.4 credentials in the ACK: authentication is the application's, which places the call anew.
//! - §13.3.1.1 Expires of an INVITE: the application's timer, since it must survive a failover with its other timers.
//! - §14.1 and §14.2 ask for random delays: hashed from tag and CSeq instead, which is as well spread and replayable.
//! - §12.2.1.1 contiguous CSeq: a takeover leaves a gap, which §12.2.2 makes every UAS accept.

mod ack;
mod ack2xx;
mod bye;
mod cancel;
mod config;
mod effect;
mod error;
mod fork;
mod id;
mod in_dialog;
mod message;
mod pending;
mod reinvite;
mod request;
mod route_set;
mod snapshot;
mod state;
mod timeout;
mod uac;
mod uas;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub use config::{Body, Call, Config};
pub use effect::{Effect, Ended, Event};
pub use error::{DialogError, Reject};
pub use id::{DialogId, InvalidDialogId};
pub use snapshot::{
    AckedBody, ByeWanted, ClientInvite, Closing, Fork, LastAnswer, Pending, Retry, Snapshot, Unacked,
};
pub use state::{Role, State};

use crate::Timestamp;

/// One INVITE dialog.
///
/// After each call, drain [`poll_effect`](Self::poll_effect) and ask [`poll_timeout`](Self::poll_timeout) again.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use holdline_sip::dialog::{Call, Config, Dialog, Effect, State};
///
/// let call = Call {
///     to_uri: "sip:bob@example.com".into(),
///     from_uri: "sip:alice@example.org".into(),
///     call_id: "a84b4c76e66710@pc33.example.org".into(),
///     local_tag: "1928301774".into(),
///     ..Call::default()
/// };
/// let now = Duration::from_secs(1_700_000_000);
/// let mut dialog = Dialog::uac(now, &Arc::new(Config::default()), call)?;
/// let Some(Effect::Send { request, next_hop }) = dialog.poll_effect() else { panic!("the INVITE") };
/// assert_eq!(request.header("CSeq"), Some("1 INVITE"));
/// assert_eq!(next_hop.to_string(), "sip:bob@example.com");
/// assert_eq!(dialog.state(), State::Initial);
/// # Ok::<(), holdline_sip::dialog::DialogError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dialog {
    config: Arc<Config>,
    /// The whole state; one letter because every line of the machine names it. In a box, since a dialog is moved often.
    s: Box<Snapshot>,
    effects: VecDeque<Effect>,
}

impl Dialog {
    /// Most requests of the peer that may wait for an answer at once; a peer that sends more gets 500 and Retry-After.
    pub const PENDING_MAX: usize = 8;
    /// Most branches of a forked INVITE that are ACKed and sent a BYE; more than that is no call but an attack.
    pub const FORKS_MAX: usize = 16;
    /// How long a call nobody answered lives on after a takeover, when no transaction is left to time out.
    pub const UNANSWERED_MAX: Duration = Duration::from_secs(180);

    fn from_state(config: &Arc<Config>, s: Snapshot) -> Self {
        Self { config: Arc::clone(config), s: Box::new(s), effects: VecDeque::new() }
    }

    /// Call-ID and tags; the remote tag of a UAC may change until the dialog is confirmed.
    pub fn id(&self) -> &DialogId {
        &self.s.id
    }

    /// Which side of the first INVITE we are.
    pub fn role(&self) -> Role {
        self.s.role
    }

    /// Where the dialog stands.
    pub fn state(&self) -> State {
        self.s.state
    }

    /// Our name-addr.
    pub fn local_uri(&self) -> &str {
        &self.s.local_uri
    }

    /// The peer's name-addr.
    pub fn remote_uri(&self) -> &str {
        &self.s.remote_uri
    }

    /// Where the peer is reached now: the URI of its newest accepted Contact.
    pub fn remote_target(&self) -> &str {
        &self.s.remote_target
    }

    /// Why the dialog is over; `None` while it is not.
    pub fn ended(&self) -> Option<Ended> {
        self.s.ended
    }

    /// Nothing is under way that a transaction, a retransmission or the application must finish: an established
    /// dialog in this state may be put away as its snapshot.
    pub fn is_idle(&self) -> bool {
        let s = &self.s;
        matches!(s.state, State::Confirmed | State::Terminated)
            && self.effects.is_empty()
            && s.pending.is_empty()
            && s.client_invite.is_none()
            && s.awaiting_ack.is_none()
            && s.unacked.is_none()
            && s.retry.is_none()
    }

    /// The next thing to do, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn emit(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    fn event(&mut self, event: Event) {
        self.emit(Effect::Event(event));
    }

    /// 64·T1 from now: when a message of this moment can come no more.
    fn give_up_at(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.config.timers.lifetime())
    }

    fn refuse(&self, verb: &'static str, why: &'static str) -> DialogError {
        DialogError::State { verb, state: self.s.state, why }
    }
}

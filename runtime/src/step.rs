//! A step: one input → dialog core → handler callbacks → one outcome.
//!
//! Everything a step wants to send is in its [`Outcome`]; nothing leaves from inside it. The same function runs in the
//! dialog's actor and in the simulator.

use bytes::Bytes;
use holdline_cluster::id::{Key, NodeId};
use holdline_protos::v1::DialogInfo;
use holdline_sip::dialog::{self, Effect, Event, Role, State};
use holdline_sip::transaction::ServerTransactionId;
use holdline_sip::wire::{Method, Request, Response, StatusCode, Uri};
use holdline_sip::{Flow, Timestamp};

use crate::dialog::{Dialog, Timers, hang_up};
use crate::handler::{DialogHandler, Result};
use crate::recovery::snapshot;

/// What a dialog's actor starts from.
#[derive(Debug)]
pub struct Birth {
    /// The dialog.
    pub core: dialog::Dialog,
    /// Its key.
    pub key: Key,
    /// Tells this life of the actor from others.
    pub life: u64,
    /// Its newest version.
    pub version: u64,
    /// The snapshot of that version; empty for a new dialog.
    pub last: Bytes,
    /// The application's data, encoded; `None` for a new dialog or where it is not replicated.
    pub data: Option<Bytes>,
    /// The application's timers.
    pub timers: Vec<(String, Timestamp)>,
}

/// What can happen to a dialog.
#[derive(Debug)]
pub enum Input {
    /// The INVITE that made it.
    Invite(Request),
    /// We place the call: what to send is in the core already.
    Start,
    /// A request in the dialog.
    Request {
        /// Its server transaction.
        transaction: ServerTransactionId,
        /// The request.
        request: Request,
        /// Where it came from.
        flow: Flow,
    },
    /// An ACK for a 2xx.
    Ack(Request),
    /// A CANCEL of its INVITE.
    Cancel {
        /// The CANCEL's own server transaction.
        transaction: ServerTransactionId,
        /// The CANCEL.
        request: Request,
    },
    /// A response to a request of ours.
    Response(Response),
    /// A request of ours got no final response in time.
    TimedOut {
        /// Its CSeq number.
        cseq: u32,
        /// Its method.
        method: Method,
    },
    /// A request of ours could not be sent.
    Unsent {
        /// Its CSeq number.
        cseq: u32,
        /// Its method.
        method: Method,
    },
    /// A server transaction ended without our answer.
    Expired(ServerTransactionId),
    /// A deadline is due.
    Deadline,
    /// This node took the dialog over.
    Recovered {
        /// From whom.
        lost: NodeId,
    },
    /// Start the actor of a dialog taken over; carries nothing itself.
    Recover,
    /// An encoded message of the application.
    Message {
        /// `DialogHandler::Msg`, encoded.
        message: Bytes,
        /// Who waits for the step.
        reply: ReplyTo,
    },
    /// Hang up.
    Bye(ReplyTo),
    /// Say what you are.
    Info(ReplyTo),
}

impl Input {
    /// The answer to a use of a dialog that is not here.
    pub(crate) fn unknown_dialog<A>(self) -> Option<crate::lane::Effect<A>> {
        match self {
            Self::Message { reply, .. } | Self::Bye(reply) | Self::Info(reply) => {
                Some(crate::lane::Effect::Reply { to: reply, reply: Box::new(Err("no such dialog".into())) })
            }
            _ => None,
        }
    }
}

/// Who used a `DialogRef`: a waiting caller in this process, or one on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyTo {
    /// A caller here.
    Here(u64),
    /// A caller there.
    Node(NodeId, u64),
}

/// The answer to a use of a `DialogRef`.
pub type Reply = std::result::Result<DialogInfo, String>;

/// One thing that a step sends, in order.
#[derive(Debug)]
pub enum Send {
    /// A response through its server transaction.
    Respond {
        /// The transaction.
        transaction: ServerTransactionId,
        /// The response.
        response: Response,
    },
    /// A response outside its transaction: a 2xx again (RFC 3261 §13.3.1.4), or one whose transaction died with its node.
    Retransmit {
        /// The response.
        bytes: Bytes,
        /// Where to.
        flow: Flow,
    },
    /// A request in a new client transaction.
    Request {
        /// The request.
        request: Request,
        /// The first hop: a route, or the remote target.
        next_hop: Box<Uri>,
    },
    /// An ACK for a 2xx: no transaction.
    Ack {
        /// The ACK.
        request: Request,
        /// The first hop.
        next_hop: Box<Uri>,
    },
    /// Cancel our INVITE.
    CancelInvite {
        /// Its branch.
        branch: String,
    },
}

/// What a step leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// The dialog.
    pub key: Key,
    /// The life of the actor that made the step.
    pub life: u64,
    /// What leaves when the version is durable, in order.
    pub sends: Vec<Send>,
    /// The new version, if the step changed what is worth keeping.
    pub version: Option<NewVersion>,
    /// When the dialog wants to be woken.
    pub deadline: Option<Timestamp>,
    /// A request of the peer waits for its answer.
    pub busy: bool,
    /// The dialog is over.
    pub ended: bool,
    /// Answers to uses of `DialogRef`s.
    pub replies: Vec<(ReplyTo, Reply)>,
}

/// A new version of a dialog.
#[derive(Debug)]
pub struct NewVersion {
    /// Grows by one with each.
    pub number: u64,
    /// What this node keeps.
    pub local: Bytes,
    /// What the replicas keep: the same, less the application's data where a node does not replicate it.
    pub replica: Bytes,
    /// A tombstone.
    pub terminated: bool,
}

/// A dialog between two steps, as its actor holds it.
pub struct DialogState<H: DialogHandler> {
    pub(crate) key: Key,
    pub(crate) life: u64,
    pub(crate) core: dialog::Dialog,
    pub(crate) data: H::Data,
    pub(crate) timers: Timers,
    version: u64,
    last: Bytes,
    replicate_data: bool,
}

impl<H: DialogHandler> DialogState<H> {
    /// Takes up the dialog. Fails when the application's data cannot be read.
    pub fn new(birth: Birth, replicate_data: bool) -> std::result::Result<Self, prost::DecodeError> {
        let data = birth.data.map(<H::Data as prost::Message>::decode).transpose()?.unwrap_or_default();
        Ok(Self {
            key: birth.key,
            life: birth.life,
            core: birth.core,
            data,
            timers: Timers::from(birth.timers),
            version: birth.version,
            last: birth.last,
            replicate_data,
        })
    }

    /// One step.
    pub async fn step(&mut self, handler: &H, now: Timestamp, input: Box<Input>) -> Outcome {
        let mut step =
            Step { handler, state: self, now, invite: None, sends: Vec::new(), replies: Vec::new() };
        step.take(input).await;
        step.pump().await;
        step.fire_timers().await;
        let Step { sends, replies, .. } = step;
        let ended = self.core.state() == State::Terminated;
        Outcome {
            key: self.key,
            life: self.life,
            sends,
            version: self.next_version(ended),
            deadline: [self.core.poll_timeout(), self.timers.next()].into_iter().flatten().min(),
            busy: !self.core.is_idle(),
            ended,
            replies,
        }
    }

    /// The next version, if there is something to keep and it differs from the last: a dialog is kept once confirmed.
    fn next_version(&mut self, ended: bool) -> Option<NewVersion> {
        let core = self.core.as_snapshot();
        if !core.confirmed {
            return None;
        }
        let local = snapshot::encode(core, Some(&self.data), &self.timers);
        if local == self.last {
            return None;
        }
        let replica = match self.replicate_data {
            true => local.clone(),
            false => snapshot::encode(core, None::<&H::Data>, &self.timers),
        };
        self.version += 1;
        self.last = local.clone();
        Some(NewVersion { number: self.version, local, replica, terminated: ended })
    }

    fn info(&self) -> DialogInfo {
        let id = self.core.id();
        DialogInfo {
            call_id: id.call_id.clone(),
            local_tag: id.local_tag.clone(),
            remote_tag: id.remote_tag.clone(),
            role: snapshot::role(self.core.role()).into(),
            state: snapshot::state(self.core.state()).into(),
            version: self.version,
            node: String::new(),
        }
    }
}

/// A step under way.
struct Step<'a, H: DialogHandler> {
    handler: &'a H,
    state: &'a mut DialogState<H>,
    now: Timestamp,
    /// The INVITE whose event is to come.
    invite: Option<Request>,
    sends: Vec<Send>,
    replies: Vec<(ReplyTo, Reply)>,
}

impl<H: DialogHandler> Step<'_, H> {
    async fn take(&mut self, input: Box<Input>) {
        let (core, now) = (&mut self.state.core, self.now);
        match *input {
            Input::Invite(request) => self.invite = Some(request),
            Input::Start | Input::Recover => {}
            Input::Request { transaction, request, flow } => {
                core.handle_request(now, transaction, &request, flow)
            }
            Input::Ack(request) => core.handle_ack(now, &request),
            Input::Cancel { transaction, request } => core.handle_cancel(now, transaction, &request),
            Input::Response(response) => core.handle_response(now, &response),
            Input::TimedOut { cseq, method } => core.handle_transaction_timeout(now, &method, cseq),
            Input::Unsent { cseq, method } => core.handle_transport_error(now, &method, cseq),
            Input::Expired(transaction) => core.handle_server_timeout(now, transaction),
            Input::Deadline => core.handle_timeout(now),
            Input::Recovered { lost } => {
                let (handler, mut dialog) = self.dialog();
                let done = handler.on_recovered(&mut dialog, &lost).await;
                self.noted("on_recovered", done);
            }
            Input::Message { message, reply } => self.message(message, reply).await,
            Input::Bye(reply) => {
                let done = hang_up(core, now).map_err(|error| error.to_string());
                self.replies.push((reply, done.map(|()| self.state.info())));
            }
            Input::Info(reply) => self.replies.push((reply, Ok(self.state.info()))),
        }
    }

    async fn message(&mut self, message: Bytes, reply: ReplyTo) {
        let answer = match <H::Msg as prost::Message>::decode(message) {
            Ok(message) => {
                let (handler, mut dialog) = self.dialog();
                let done = handler.on_message(&mut dialog, message).await;
                done.map(|()| self.state.info()).map_err(|error| error.to_string())
            }
            Err(error) => Err(format!("the message cannot be read as the handler's Msg: {error}")),
        };
        self.replies.push((reply, answer));
    }

    /// Carries the core's effects out: events to the handler, whose verbs make new effects, the rest into the outcome.
    async fn pump(&mut self) {
        while let Some(effect) = self.state.core.poll_effect() {
            match effect {
                Effect::Respond { tx: transaction, response } => {
                    self.sends.push(Send::Respond { transaction, response });
                }
                Effect::Retransmit { bytes, flow } => self.sends.push(Send::Retransmit { bytes, flow }),
                Effect::Send { request, next_hop } => self.sends.push(Send::Request { request, next_hop }),
                Effect::Ack { request, next_hop } => self.sends.push(Send::Ack { request, next_hop }),
                Effect::Cancel { branch } => self.sends.push(Send::CancelInvite { branch }),
                Effect::Event(event) => self.event(event).await,
            }
        }
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Invite => {
                let Some(invite) = self.invite.take() else { return };
                let (handler, mut dialog) = self.dialog();
                let done = handler.on_invite(&mut dialog, &invite).await;
                self.noted("on_invite", done);
            }
            Event::Provisional { response }
            | Event::Answered { response }
            | Event::Response { response }
            | Event::Failed { response: Some(response) } => self.response(&response).await,
            Event::Established { .. } => {
                let (handler, mut dialog) = self.dialog();
                let done = handler.on_established(&mut dialog).await;
                self.noted("on_established", done);
            }
            Event::Reinvite { tx, request } => {
                self.request(tx, request, StatusCode::NOT_ACCEPTABLE_HERE).await
            }
            Event::Request { tx, request } => {
                // RFC 3261 §8.2.1 and §11.2: a known method is not allowed here, an unknown one not implemented.
                let otherwise = match request.method() {
                    Method::Options => StatusCode::OK,
                    Method::Ext(_) => StatusCode::NOT_IMPLEMENTED,
                    _ => StatusCode::METHOD_NOT_ALLOWED,
                };
                self.request(tx, request, otherwise).await;
            }
            Event::Ended(why) => {
                self.state.timers.clear();
                let (handler, mut dialog) = self.dialog();
                let done = handler.on_ended(&mut dialog, why).await;
                self.noted("on_ended", done);
            }
            Event::Failed { response: None }
            | Event::Acked { .. }
            | Event::RequestCancelled { .. }
            | Event::RequestFailed { .. } => {}
        }
    }

    async fn response(&mut self, response: &Response) {
        let (handler, mut dialog) = self.dialog();
        let done = handler.on_response(&mut dialog, response).await;
        self.noted("on_response", done);
        // An offer in a 2xx that the handler did not answer: the ACK goes out all the same (RFC 3261 §13.2.2.4).
        let _ = self.state.core.ack(self.now, None);
    }

    /// A request inside the dialog: what the handler leaves unanswered gets `otherwise`.
    async fn request(&mut self, transaction: ServerTransactionId, request: Request, otherwise: StatusCode) {
        let (handler, mut dialog) = self.dialog();
        let done = handler.on_request(&mut dialog, &request).await;
        let status = if done.is_ok() { otherwise } else { StatusCode::SERVER_INTERNAL_ERROR };
        // Refused where the handler has answered: then there is nothing to do.
        let _ = self.state.core.respond(self.now, transaction, status, &[], None);
        self.noted("on_request", done);
    }

    /// Timers of the application that are due, each once, in the order of their deadlines.
    async fn fire_timers(&mut self) {
        while let Some(name) = self.state.timers.pop_due(self.now) {
            let (handler, mut dialog) = self.dialog();
            let done = handler.on_timer(&mut dialog, &name).await;
            self.noted("on_timer", done);
            self.pump().await;
        }
    }

    /// A callback that fails is logged; a caller that has no final response yet gets a 500.
    fn noted(&mut self, callback: &'static str, done: Result) {
        if let Err(error) = done {
            let call_id = &self.state.core.id().call_id;
            tracing::warn!(%call_id, callback, %error, "a handler failed");
            if self.state.core.role() == Role::Uas && self.state.core.state().is_unanswered() {
                let _ = self.state.core.reject(self.now, StatusCode::SERVER_INTERNAL_ERROR, &[]);
            }
        }
    }

    fn dialog(&mut self) -> (&H, Dialog<'_, H>) {
        let Self { handler, state, now, .. } = self;
        (handler, Dialog::new(&mut state.core, &mut state.data, &mut state.timers, *now))
    }
}

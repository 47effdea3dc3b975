//! The actor of a dialog: one input at a time, each a step.

use std::marker::PhantomData;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::handler::DialogHandler;
use crate::node::LaneHost;
use crate::node::inbox::News;
use crate::step::{Birth, DialogState, Input};

/// A message to a dialog's actor.
#[derive(Debug)]
pub(crate) struct DialogMsg(pub(crate) Box<Input>);

/// Local only, on purpose: ractor_cluster announces every actor whose message can be serialised to every peer, and a
/// dialog costs each of them 10 KB then. Dialogs of other nodes are reached by key.
impl ractor::Message for DialogMsg {}

/// A running dialog.
pub(crate) type DialogRefOf = ActorRef<DialogMsg>;

/// The actor's behaviour; its state is a [`DialogState`].
pub(crate) struct DialogActor<H>(PhantomData<fn() -> H>);

/// What the actor starts from: the first message travels with it, which saves a hop.
pub(crate) struct Start<H: DialogHandler> {
    pub(crate) host: Arc<LaneHost<H>>,
    pub(crate) birth: Box<Birth>,
    pub(crate) input: Box<Input>,
}

pub(crate) struct Running<H: DialogHandler> {
    host: Arc<LaneHost<H>>,
    dialog: DialogState<H>,
    first: Option<Box<Input>>,
}

impl<H> DialogActor<H> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<H: DialogHandler> Actor for DialogActor<H> {
    type Msg = DialogMsg;
    type State = Box<Running<H>>;
    type Arguments = Start<H>;

    async fn pre_start(&self, _: DialogRefOf, start: Start<H>) -> Result<Self::State, ActorProcessingErr> {
        let Start { host, birth, input } = start;
        let dialog = DialogState::new(*birth, host.replicates_data())?;
        Ok(Box::new(Running { host, dialog, first: Some(input) }))
    }

    async fn post_start(&self, _: DialogRefOf, running: &mut Self::State) -> Result<(), ActorProcessingErr> {
        if let Some(input) = running.first.take() {
            running.step(input).await;
        }
        Ok(())
    }

    async fn handle(
        &self,
        _: DialogRefOf,
        DialogMsg(input): DialogMsg,
        running: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        running.step(input).await;
        Ok(())
    }
}

impl<H: DialogHandler> Running<H> {
    async fn step(&mut self, input: Box<Input>) {
        let now = self.host.now();
        let outcome = self.dialog.step(self.host.handler(), now, input).await;
        self.host.run(|lane, now| lane.handle_outcome(now, outcome));
    }
}

/// Supervises a share of a lane's dialogs. It never fails: a supervisor that does takes all its children with it.
pub(crate) struct DialogSupervisor<H>(PhantomData<fn() -> H>);

/// A supervisor is told nothing; it only hears of its children.
pub(crate) struct Nothing;

impl ractor::Message for Nothing {}

impl<H> DialogSupervisor<H> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<H: DialogHandler> Actor for DialogSupervisor<H> {
    type Msg = Nothing;
    type State = Arc<LaneHost<H>>;
    type Arguments = Arc<LaneHost<H>>;

    async fn pre_start(
        &self,
        _: ActorRef<Nothing>,
        host: Arc<LaneHost<H>>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(host)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Nothing>,
        event: SupervisionEvent,
        host: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(who, error) = event {
            tracing::error!(actor = %who.get_id(), %error, "a dialog's handler panicked: it goes on from its last snapshot");
            host.inbox().push(News::Failed(who.get_id()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialogs_message_cannot_leave_the_process() {
        assert!(!<DialogMsg as ractor::Message>::serializable());
        assert!(!<Nothing as ractor::Message>::serializable());
    }
}

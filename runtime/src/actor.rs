//! The actor of a dialog: one input at a time, each a step.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef};

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
        match running.first.take() {
            Some(input) => running.step(input).await,
            None => Ok(()),
        }
    }

    async fn handle(
        &self,
        _: DialogRefOf,
        DialogMsg(input): DialogMsg,
        running: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        running.step(input).await
    }
}

impl<H: DialogHandler> Running<H> {
    /// One step. A handler that panics ends the actor, and the dialog goes on from its last snapshot: caught here and not by a
    /// supervisor, which would be woken at the start and the end of every dialog.
    async fn step(&mut self, input: Box<Input>) -> Result<(), ActorProcessingErr> {
        let Self { host, dialog, .. } = self;
        let (key, life) = (dialog.key, dialog.life);
        let step = async {
            let outcome = dialog.step(host.handler(), host.now(), input).await;
            host.run(|lane, now| lane.handle_outcome(now, outcome));
        };
        // What the step may have left half done is dropped with the actor.
        AssertUnwindSafe(step).catch_unwind().await.map_err(|panic| {
            let what = panic_text(&*panic);
            tracing::error!(
                ?key,
                what,
                "a dialog's handler panicked: the dialog goes on from its last snapshot"
            );
            host.inbox().push(News::Failed { key, life });
            what.into()
        })
    }
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialogs_message_cannot_leave_the_process() {
        assert!(!<DialogMsg as ractor::Message>::serializable());
    }
}

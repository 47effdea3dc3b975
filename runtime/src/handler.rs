//! What an application writes: the handler of its dialogs and the data that travels with them.

use std::fmt;
use std::future::Future;

use holdline_cluster::id::NodeId;
use holdline_sip::dialog::Ended;
use holdline_sip::wire::{Request, Response};

use crate::dialog::Dialog;

/// Application state that is replicated with its dialog, or a message to a dialog's actor: a prost message, or `()`.
///
/// It is encoded into the dialog's snapshot after each step, so protobuf's rules for changing a message over time apply.
pub trait DialogData: prost::Message + Default + 'static {}

impl<T: prost::Message + Default + 'static> DialogData for T {}

/// The callbacks of a dialog's actor. One value serves every dialog of a node; what differs per dialog is in [`Self::Data`].
///
/// A callback runs inside a *step*: the verbs it calls on [`Dialog`] only record. What they record leaves when the
/// callback has returned and the dialog's new version is as durable as the node promises
/// ([`Durability`](crate::Durability)). One that panics leaves the dialog as it was before the step. One that returns an error
/// is logged and what it recorded stays; a caller without a final response gets a 500.
///
/// Callbacks of one dialog never overlap and come in the order of its messages. One that blocks stalls its core.
///
/// ```
/// use holdline::{Dialog, DialogHandler, Request, Result};
///
/// struct Answer;
///
/// impl DialogHandler for Answer {
///     type Data = ();
///     type Msg = ();
///
///     async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, _invite: &Request) -> Result {
///         dialog.ring()?;
///         dialog.answer(None)
///     }
/// }
/// ```
pub trait DialogHandler: Sized + Send + Sync + 'static {
    /// Replicated with the dialog; `()` for none.
    type Data: DialogData;
    /// The application's own messages to a dialog, sent by [`DialogRef::tell`](crate::DialogRef::tell) from any node.
    type Msg: DialogData;

    /// A call comes in. Return without a final response to give it later, from a timer or a message.
    fn on_invite(
        &self,
        dialog: &mut Dialog<'_, Self>,
        invite: &Request,
    ) -> impl Future<Output = Result> + Send;

    /// A response to a request of ours: a provisional or final one to the INVITE, or to [`Dialog::request`].
    fn on_response(
        &self,
        _dialog: &mut Dialog<'_, Self>,
        _response: &Response,
    ) -> impl Future<Output = Result> + Send {
        async { Ok(()) }
    }

    /// The call is up: the ACK came (as UAS) or is about to leave (as UAC).
    fn on_established(&self, _dialog: &mut Dialog<'_, Self>) -> impl Future<Output = Result> + Send {
        async { Ok(()) }
    }

    /// A request inside the dialog that is not BYE: answer it with [`Dialog::respond`]. Unanswered, a re-INVITE gets 488
    /// and the session stays as it is (RFC 3261 §14.2), OPTIONS 200, another known method 405, an unknown one 501.
    fn on_request(
        &self,
        _dialog: &mut Dialog<'_, Self>,
        _request: &Request,
    ) -> impl Future<Output = Result> + Send {
        async { Ok(()) }
    }

    /// A timer set with [`Dialog::set_timer`] is due. It fires once, on the node that owns the dialog then.
    fn on_timer(&self, _dialog: &mut Dialog<'_, Self>, _name: &str) -> impl Future<Output = Result> + Send {
        async { Ok(()) }
    }

    /// A message from [`DialogRef::tell`](crate::DialogRef::tell).
    fn on_message(
        &self,
        _dialog: &mut Dialog<'_, Self>,
        _message: Self::Msg,
    ) -> impl Future<Output = Result> + Send {
        async { Ok(()) }
    }

    /// This node took the dialog over from `lost`. Runs before anything else does here.
    fn on_recovered(
        &self,
        _dialog: &mut Dialog<'_, Self>,
        _lost: &NodeId,
    ) -> impl Future<Output = Result> + Send {
        async { Ok(()) }
    }

    /// The dialog is over; the last callback.
    fn on_ended(&self, _dialog: &mut Dialog<'_, Self>, _why: Ended) -> impl Future<Output = Result> + Send {
        async { Ok(()) }
    }
}

/// What callbacks return.
pub type Result<T = ()> = std::result::Result<T, HandlerError>;

/// Why a callback failed: any error, kept for the log. Before a final response the caller gets a 500.
pub struct HandlerError(Box<dyn std::error::Error + Send + Sync>);

impl HandlerError {
    /// An error that is only a text.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into().into())
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

//! A dialog from outside its actor, wherever in the cluster it lives.

use std::fmt;

use holdline_cluster::id::Key;
use holdline_protos::v1::{self, DialogInfo, call::Command};
use holdline_sip::dialog::DialogId;
use prost::Message as _;

use crate::handler::DialogHandler;
use crate::node::Node;

/// A dialog by its id. Holds nothing of the dialog: each use finds the owner of that moment, so it stays good over
/// passivation and failover.
///
/// A use returns when its step was made at the owner. [`UseError::Timeout`] leaves open whether it was.
pub struct DialogRef<H: DialogHandler> {
    node: Node<H>,
    id: DialogId,
    key: Key,
}

impl<H: DialogHandler> DialogRef<H> {
    pub(crate) fn new(node: Node<H>, id: DialogId, key: Key) -> Self {
        Self { node, id, key }
    }

    /// Its Call-ID and tags, as they were when this reference was made.
    #[must_use]
    pub fn id(&self) -> &DialogId {
        &self.id
    }

    /// Hangs up: see [`Dialog::bye`](crate::Dialog::bye).
    pub async fn bye(&self) -> Result<(), UseError> {
        self.node.use_dialog(self.key, Command::Bye(v1::Bye {})).await.map(drop)
    }

    /// Hands the handler a message: [`DialogHandler::on_message`]. Its error, if it returns one, comes back here.
    pub async fn tell(&self, message: &H::Msg) -> Result<(), UseError> {
        self.node.use_dialog(self.key, Command::Message(message.encode_to_vec().into())).await.map(drop)
    }

    /// What the dialog says of itself: state, version, owner.
    pub async fn info(&self) -> Result<DialogInfo, UseError> {
        self.node.use_dialog(self.key, Command::Info(v1::Info {})).await
    }
}

impl<H: DialogHandler> Clone for DialogRef<H> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), id: self.id.clone(), key: self.key }
    }
}

impl<H: DialogHandler> fmt::Debug for DialogRef<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DialogRef").field(&self.id.to_string()).finish()
    }
}

/// Why a dialog could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UseError {
    /// The local tag was not made with this cluster's key.
    #[error("the tag {0:?} is none of this cluster's: is it the local tag, and the cluster key the same?")]
    NotOurs(String),
    /// The owner said no: there is no such dialog, its state forbids it, or the handler failed.
    #[error("{0}")]
    Refused(String),
    /// No reply in time: the owner may just have died. The step may have been made.
    #[error("the dialog's owner did not reply in time")]
    Timeout,
    /// Too many uses wait for a reply.
    #[error("too many uses of dialogs wait for a reply")]
    Busy,
    /// The node owns no shard yet, so it can place no call.
    #[error("the node owns no shard: it has not joined its cluster yet, or has just restarted in it")]
    NoShard,
}

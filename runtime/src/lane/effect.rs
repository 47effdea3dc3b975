//! What a lane asks its driver to do.

use bytes::Bytes;
use holdline_cluster::engine::Commit;
use holdline_cluster::id::{Key, NodeId};
use holdline_protos::v1::Relay;
use holdline_sip::Flow;
use holdline_sip::wire::Request;

use crate::step::{Birth, Input, Reply, ReplyTo};

/// An effect of a [`Lane`](super::Lane). `A` is the driver's handle of a running dialog actor.
#[derive(Debug)]
pub enum Effect<A> {
    /// Send these bytes on this flow.
    Transmit {
        /// Where to.
        flow: Flow,
        /// One SIP message.
        bytes: Bytes,
    },
    /// Start the dialog's actor; its inputs follow as [`Effect::Deliver`] once [`Lane::started`](super::Lane::started) was called.
    Spawn {
        /// The dialog.
        key: Key,
        /// What the actor starts from.
        birth: Box<Birth>,
        /// Its first input.
        input: Box<Input>,
    },
    /// Hand an input to a running actor.
    Deliver {
        /// The actor.
        actor: A,
        /// The input.
        input: Box<Input>,
    },
    /// Stop the actor: the dialog is passive, over, or another node's.
    Stop {
        /// The actor.
        actor: A,
    },
    /// Replicate a version; [`Lane::handle_confirmed`](super::Lane::handle_confirmed) follows when it is durable.
    Commit(Commit),
    /// Say this to another node's runtime.
    Relay {
        /// The node.
        to: NodeId,
        /// What.
        relay: Box<Relay>,
    },
    /// Look the host up, then call [`Lane::handle_resolved`](super::Lane::handle_resolved).
    Resolve {
        /// The dialog that sends.
        key: Key,
        /// The request that waits for its target.
        request: Box<Request>,
        /// A host name.
        host: String,
        /// The port.
        port: u16,
        /// An ACK for a 2xx goes outside transactions.
        ack: bool,
    },
    /// Answer a use of a `DialogRef`.
    Reply {
        /// Who asked.
        to: ReplyTo,
        /// The answer.
        reply: Box<Reply>,
    },
}

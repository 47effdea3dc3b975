//! `NodeCtl`: the one serialisable actor of a node, and the few messages it takes.
//!
//! ractor_cluster announces every actor with a serialisable message type to every peer, so this is the only one there
//! may be. Its messages are bytes; what they mean is decided, fallibly and counted, behind it.

use bytes::{Buf, BufMut};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef};
use ractor_cluster::RactorClusterMessage;
use tokio::sync::mpsc::UnboundedSender;

use super::Event;
use super::name::ProcessName;

/// Where peers find each other's `NodeCtl`.
const SCOPE: &str = "holdline";
const GROUP: &str = "nodectl";
/// Version of what goes through the links.
const VERSION: u8 = 1;

/// What nodes say to each other. The variant names travel with every message, hence so short; they are a contract.
#[derive(Debug, RactorClusterMessage)]
pub(crate) enum Control {
    /// Hello: opens the sender's direction and says which number its messages carry.
    H(Vec<u8>),
    /// A replication frame on the link of this number.
    R(u64, Vec<u8>),
    /// An application payload on the link of this number.
    P(u64, Vec<u8>),
    /// Credit and heartbeat: how many bytes the sender has taken from us so far.
    C(u64, u64),
}

/// The actor: hands every message to the links.
pub(super) struct NodeCtl;

impl Actor for NodeCtl {
    type Msg = Control;
    // Bounded by the credit of the peers: what they may send before the links have taken what is here.
    type State = UnboundedSender<Event>;
    type Arguments = UnboundedSender<Event>;

    async fn pre_start(
        &self,
        me: ActorRef<Control>,
        links: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        ractor::pg::join_scoped(SCOPE.into(), GROUP.into(), vec![me.get_cell()]);
        Ok(links)
    }

    async fn handle(
        &self,
        _: ActorRef<Control>,
        message: Control,
        links: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // The links go before this actor does; an error here would restart nothing.
        let _ = links.send(Event::Message(message));
        Ok(())
    }
}

/// The name a process registers its `NodeCtl` under.
pub(super) fn actor_name(process: &ProcessName) -> String {
    format!("nodectl/{process}")
}

/// The `NodeCtl` of `peer` as announced over the session `node_id`.
///
/// The reference is a shim: casting to it is all that may be done. Stopping it would end the whole session.
pub(super) fn remote(node_id: u64, peer: &ProcessName) -> Option<ActorRef<Control>> {
    let name = actor_name(peer);
    let is_it = |cell: &ActorCell| {
        matches!(cell.get_id(), ActorId::Remote { node_id: of, .. } if of == node_id)
            && cell.get_name().as_deref() == Some(name.as_str())
    };
    let members = ractor::pg::get_scoped_members(&SCOPE.to_owned(), &GROUP.to_owned());
    members.into_iter().find(is_it).map(Into::into)
}

/// The first message in each direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    /// Number that the sender's messages carry on this link.
    pub(super) link: u64,
    /// Who says so; must be the verified name of a session.
    pub(super) from: ProcessName,
}

/// Why a hello was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHello {
    Version(u8),
    Malformed,
}

impl Hello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u64(self.link);
        out.put_slice(self.from.to_string().as_bytes());
        out
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self, BadHello> {
        let version = bytes.try_get_u8().map_err(|_| BadHello::Malformed)?;
        if version != VERSION {
            return Err(BadHello::Version(version));
        }
        let link = bytes.try_get_u64().map_err(|_| BadHello::Malformed)?;
        let name = std::str::from_utf8(bytes).ok().and_then(|name| name.parse().ok());
        Ok(Self { link, from: name.ok_or(BadHello::Malformed)? })
    }
}

#[cfg(test)]
mod tests {
    use ractor::Message;

    use super::*;

    #[test]
    fn control_is_serialisable_and_reads_back() {
        assert!(Control::serializable());
        let sent = Control::R(7, vec![1, 2, 3]).serialize().unwrap();
        let Ok(Control::R(link, bytes)) = Control::deserialize(sent) else { panic!("another variant") };
        assert_eq!((link, bytes), (7, vec![1, 2, 3]));
    }

    #[test]
    fn a_hello_reads_back_and_a_bad_one_is_told_apart() {
        let hello = Hello { link: 9, from: "n1#5".parse().unwrap() };
        let bytes = hello.encode();
        assert_eq!(Hello::decode(&bytes), Ok(hello));
        assert_eq!(Hello::decode(&bytes[..12]), Err(BadHello::Malformed));
        assert_eq!(Hello::decode(&[]), Err(BadHello::Malformed));
        assert_eq!(Hello::decode(&[2, 0]), Err(BadHello::Version(2)));
    }
}

//! The membership as one node sees it at one moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::id::NodeId;

/// What a member is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Owns shards and holds copies.
    Node,
    /// Only watches, like a balancer: in no placement and no quorum.
    Observer,
}

/// How far a member is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Receives copies, is no owner yet.
    Joining,
    /// Takes part in the placement.
    Up,
    /// Gives everything away before it leaves.
    Draining,
}

/// One member that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// Start of its process, in milliseconds since the UNIX epoch.
    pub boot: u64,
    /// What it is for.
    pub role: Role,
    /// How far it is in its life.
    pub phase: Phase,
    /// Where its gossip (UDP) and its links (TCP) listen.
    pub cluster: SocketAddr,
    /// Where it serves the outside; opaque to the cluster.
    pub service: SocketAddr,
    /// Failure domain, may be empty.
    pub zone: String,
}

/// The members that one node believes alive, itself included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    me: NodeId,
    members: BTreeMap<NodeId, Member>,
    formed: bool,
}

impl View {
    /// A view of `members` as `me` sees it; `formed` says whether `me` may claim shards.
    pub fn new(me: NodeId, members: impl IntoIterator<Item = Member>, formed: bool) -> Self {
        let members = members.into_iter().map(|member| (member.id.clone(), member)).collect();
        Self { me, members, formed }
    }

    /// Whose view it is.
    pub fn me(&self) -> &NodeId {
        &self.me
    }

    /// Whether this node has seen enough of the cluster to claim shards.
    pub fn formed(&self) -> bool {
        self.formed
    }

    /// Every member, observers too, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The members that can hold shards, in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Member> {
        self.members().filter(|member| member.role == Role::Node)
    }

    /// The nodes that take part in the placement.
    pub fn up_nodes(&self) -> impl Iterator<Item = &Member> {
        self.nodes().filter(|member| member.phase == Phase::Up)
    }

    /// The member of this name.
    pub fn get(&self, id: &NodeId) -> Option<&Member> {
        self.members.get(id)
    }

    /// Whether this very process of that node is alive.
    pub fn is_alive(&self, id: &NodeId, boot: u64) -> bool {
        self.get(id).is_some_and(|member| member.boot == boot)
    }
}

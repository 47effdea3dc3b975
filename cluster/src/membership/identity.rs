//! The identity a member has in gossip: what never changes while its process lives, and a count of its rejoins.

use std::net::SocketAddr;

use crate::id::NodeId;
use crate::view::{Member, Phase, Role};

/// A member as SWIM knows it.
///
/// `boot` names the *process*: a member that was declared down by mistake comes back with the same `boot` and the
/// next `renew`, hence keeps its claim on shards until a higher epoch says otherwise; a restarted one has lost it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: NodeId,
    pub(super) boot: u64,
    pub(super) renew: u32,
    pub(super) role: Role,
    pub(super) cluster: SocketAddr,
    pub(super) service: SocketAddr,
    pub(super) zone: String,
}

impl Identity {
    pub(super) fn of(me: &Member) -> Self {
        Self {
            name: me.id.clone(),
            boot: me.boot,
            renew: 0,
            role: me.role,
            cluster: me.cluster,
            service: me.service,
            zone: me.zone.clone(),
        }
    }

    /// Stands for whoever answers at `addr`: foca accepts an `Announce` by the address alone.
    pub(super) fn unknown_at(addr: SocketAddr) -> Self {
        let name = "seed".parse().expect("\"seed\" is a valid node name");
        Self { name, boot: 0, renew: 0, role: Role::Node, cluster: addr, service: addr, zone: String::new() }
    }

    pub(super) fn member(&self, phase: Phase) -> Member {
        Member {
            id: self.name.clone(),
            boot: self.boot,
            role: self.role,
            phase,
            cluster: self.cluster,
            service: self.service,
            zone: self.zone.clone(),
        }
    }

    /// Of two live members with one name, the one that came first keeps it; a total order, equal on every machine.
    pub(super) fn older_than(&self, other: &Self) -> bool {
        (self.boot, self.cluster) < (other.boot, other.cluster)
    }
}

impl foca::Identity for Identity {
    type Addr = SocketAddr;

    fn renew(&self) -> Option<Self> {
        Some(Self { renew: self.renew.checked_add(1)?, ..self.clone() })
    }

    fn addr(&self) -> SocketAddr {
        self.cluster
    }

    // One socket belongs to one process, so the later process replaces the earlier.
    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.boot, self.renew, &self.name) > (adversary.boot, adversary.renew, &adversary.name)
    }
}

//! The few-second comparison: one hash for a pair of nodes, and single shards only when it differs.

use std::collections::BTreeMap;

use super::message::{Audit, Message};
use super::{Ownership, Role, arm};
use crate::Timestamp;
use crate::id::{NodeId, Shard};
use crate::placement::mix;

impl Ownership {
    pub(super) fn audit_timeout(&mut self, now: Timestamp) {
        self.timers.audit = None;
        if self.owned.is_empty() {
            return;
        }
        arm(&mut self.timers.audit, now + self.config.digest_all);
        let mut audits: BTreeMap<NodeId, Audit> = BTreeMap::new();
        for (shard, copies) in &self.owned {
            let part = self.audit_part(*shard);
            for peer in copies.targets() {
                match audits.get_mut(peer) {
                    Some(audit) => add(audit, part),
                    None => {
                        audits.insert(peer.clone(), Audit { shards: 1, hash: part, differs: false });
                    }
                }
            }
        }
        for (peer, audit) in audits {
            // While single shards are being repaired the sum would differ for a known reason.
            if self.links.get(&peer).is_some_and(|link| link.unequal.is_empty()) {
                self.send(&peer, Message::Audit(audit));
            }
        }
    }

    pub(super) fn handle_audit(&mut self, now: Timestamp, from: &NodeId, audit: Audit) {
        if audit.differs {
            let theirs = self.owned.iter().filter(|(_, copies)| copies.is_target(from));
            let shards: Vec<Shard> = theirs.map(|(shard, _)| *shard).collect();
            for shard in shards {
                self.doubt(now, shard, from);
                self.ask(shard, from);
            }
            return;
        }
        let boot = self.links.get(from).map(|link| link.boot);
        let mut mine = Audit { differs: true, ..Audit::default() };
        for shard in Shard::all() {
            let epoch = self.epoch(shard);
            let followed =
                epoch.node == *from && Some(epoch.boot) == boot && self.role(shard) == Role::Holder;
            if followed && self.placement.targets(shard, from).any(|node| *node == self.config.me) {
                add(&mut mine, self.audit_part(shard));
            }
        }
        if (mine.shards, mine.hash) != (audit.shards, audit.hash) {
            self.send(from, Message::Audit(mine));
        }
    }

    fn audit_part(&self, shard: Shard) -> u64 {
        mix(self.store.hash(shard) ^ mix(u64::from(self.epoch(shard).term) << 16 | u64::from(shard.0)))
    }
}

fn add(audit: &mut Audit, part: u64) {
    audit.shards += 1;
    audit.hash ^= part;
}

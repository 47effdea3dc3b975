//! New views and links: who may own, who is a target, who may come back with old copies.

use std::sync::Arc;

use super::copies::{Copy, CopyState};
use super::{Away, Effect, Link, Ownership, arm};
use crate::Timestamp;
use crate::id::{NodeId, Shard};
use crate::placement::Placement;
use crate::view::{Member, Phase, Role as MemberRole, View};

impl Ownership {
    /// The membership changed. Looks at every shard once.
    pub fn handle_view(&mut self, now: Timestamp, view: Arc<View>) {
        let old = std::mem::replace(&mut self.view, view.clone());
        if !old.up_nodes().map(|member| &member.id).eq(view.up_nodes().map(|member| &member.id)) {
            self.placement = Placement::new(&view, self.config.replicas);
        }
        for member in
            old.nodes().filter(|member| member.id != *view.me() && !view.is_alive(&member.id, member.boot))
        {
            self.part(now, member);
        }
        self.retarget_all(now);
        for member in view.nodes().filter(|member| !old.is_alive(&member.id, member.boot)) {
            self.away.remove(&member.id);
            self.meet(now, &member.id);
        }
        for shard in Shard::all() {
            self.consider(now, shard);
            self.note_orphan(now, shard);
        }
        self.sweep_all();
    }

    /// A process left the view.
    fn part(&mut self, now: Timestamp, member: &Member) {
        let restarted = self.view.get(&member.id).is_some();
        // A drained node has given everything away, and a restarted one has lost it.
        if member.phase != Phase::Draining && !restarted {
            let away = Away { boot: member.boot, until: now + self.config.away };
            self.away.insert(member.id.clone(), away);
            arm(&mut self.timers.absence, away.until);
        }
        self.forget_state(&member.id);
        self.claims_lost_peer(now, &member.id, true);
    }

    /// The link to a peer process went up or down. Whatever was in flight when it went down is lost.
    pub fn handle_link(&mut self, now: Timestamp, peer: &NodeId, boot: u64, up: bool) {
        let known = self.links.get(peer).map(|link| link.boot);
        if known.is_some_and(|known| up || known == boot) {
            self.links.remove(peer);
            self.forget_state(peer);
            self.claims_lost_peer(now, peer, false);
            if self.view.get(peer).is_none() {
                // The link was all that spoke for it.
                let theirs: Vec<Shard> =
                    Shard::all().filter(|shard| self.epoch(*shard).node == *peer).collect();
                for shard in theirs {
                    self.note_orphan(now, shard);
                    self.consider(now, shard);
                }
            }
        }
        if up {
            self.links.insert(peer.clone(), Link { boot, unequal: Default::default(), silent_rounds: 0 });
            self.meet(now, peer);
        }
    }

    /// Nothing is known any more of the copies there.
    fn forget_state(&mut self, peer: &NodeId) {
        for copies in self.owned.values_mut() {
            if let Some(copy) = copies.get_mut(peer) {
                copy.state = CopyState::Unknown;
            }
        }
    }

    /// A peer is alive and linked: it may hold anything of what we own, and know anything.
    fn meet(&mut self, now: Timestamp, peer: &NodeId) {
        let Some(boot) = self.links.get(peer).map(|link| link.boot) else { return };
        let alive = self.view.get(peer).is_some_and(|it| it.boot == boot && it.role == MemberRole::Node);
        if !alive {
            return;
        }
        self.claims_met_peer(peer);
        let shards: Vec<Shard> = self.owned.keys().copied().collect();
        for shard in shards {
            if let Some(copies) = self.owned.get_mut(&shard)
                && copies.get(peer).is_none()
            {
                copies.push(Copy { peer: peer.clone(), target: false, state: CopyState::Unknown });
            }
            self.doubt(now, shard, peer);
            self.ask(shard, peer);
        }
    }

    fn retarget_all(&mut self, now: Timestamp) {
        let shards: Vec<Shard> = self.owned.keys().copied().collect();
        for shard in shards {
            self.retarget(now, shard);
        }
    }

    /// Puts the copies of an owned shard where the view wants them.
    fn retarget(&mut self, now: Timestamp, shard: Shard) {
        let wanted: Vec<NodeId> = self.placement.targets(shard, &self.config.me).cloned().collect();
        let Some(copies) = self.owned.get_mut(&shard) else { return };
        let before: Vec<NodeId> = copies.targets().cloned().collect();
        let gone: Vec<NodeId> = copies
            .iter()
            .filter(|copy| self.view.get(&copy.peer).is_none())
            .map(|copy| copy.peer.clone())
            .collect();
        for peer in &gone {
            copies.remove(peer);
        }
        let mut changed = Vec::new();
        for peer in &wanted {
            match copies.get_mut(peer) {
                Some(copy) if copy.target => {}
                Some(copy) => {
                    copy.target = true;
                    changed.push(peer.clone());
                }
                None => {
                    copies.push(Copy { peer: peer.clone(), target: true, state: CopyState::Unknown });
                    changed.push(peer.clone());
                }
            }
        }
        for peer in before.iter().filter(|peer| !wanted.contains(peer) && !gone.contains(peer)) {
            if let Some(copy) = copies.get_mut(peer) {
                copy.target = false;
                changed.push(peer.clone());
            }
        }
        for peer in gone {
            self.settled(shard, &peer);
        }
        let differs = wanted.len() != before.len() || wanted.iter().any(|peer| !before.contains(peer));
        if differs {
            self.effects.push_back(Effect::Targets { shard, nodes: wanted });
        }
        for peer in changed {
            self.doubt(now, shard, &peer);
            self.ask(shard, &peer);
        }
    }
}

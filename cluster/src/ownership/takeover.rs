//! Rule 3: the first of the order takes a shard over when the owner its epoch names is gone.
//!
//! A takeover raises the term, asks every live node with `Query` (which promises to refuse lower epochs) and serves when
//! all have answered or left. A node that has never heard of the shard first asks under term 0 whether anybody owns it:
//! so a node that joins a running cluster takes nothing away from its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::copies::{Copies, Copy, CopyState};
use super::message::{Keys, Line, Listing, Message};
use super::{Effect, Ownership, Role, arm};
use crate::Timestamp;
use crate::id::{Epoch, Key, NodeId, Shard};

/// A takeover under way.
#[derive(Debug)]
pub(crate) struct Claim {
    stage: Stage,
    /// Live nodes that have not answered.
    wait: BTreeSet<NodeId>,
    /// Newer items that others listed: who has them, and the version and epoch to wait for.
    wants: BTreeMap<Key, Want>,
    /// What the shard hashed to at those who answered.
    heard: BTreeMap<NodeId, u64>,
    until: Timestamp,
    lost: Option<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Does anybody own it?
    Asking,
    /// It is mine now; what do you hold?
    Taking,
}

#[derive(Debug)]
struct Want {
    peer: NodeId,
    terminated: bool,
    epoch: Arc<Epoch>,
    version: u64,
}

impl Ownership {
    /// Claims the shard if it is this node's turn.
    pub(super) fn consider(&mut self, now: Timestamp, shard: Shard) {
        let mine = self.view.formed()
            && self.role(shard) == Role::Holder
            && self.placement.place(shard) == Some(&self.config.me)
            && !self.is_alive(self.epoch(shard));
        if !mine {
            return;
        }
        if self.epoch(shard).is_unclaimed() {
            let until = now + self.config.claim_limit;
            self.begin(now, shard, Stage::Asking, until, None);
        } else {
            self.take(now, shard);
        }
    }

    fn take(&mut self, now: Timestamp, shard: Shard) {
        let old = self.epoch(shard).clone();
        let epoch =
            Epoch { term: old.term.saturating_add(1), node: self.config.me.clone(), boot: self.config.boot };
        self.shard_mut(shard).epoch = Arc::new(epoch);
        self.orphans.remove(&shard);
        if self.view.get(&old.node).is_none() {
            // Believed dead, yet still linked: it must not find out by its next change only.
            let epoch = self.epoch(shard).clone();
            self.send(&old.node, Message::Stale(Line { shard, epoch, hash: 0 }));
        }
        let lost = (!old.is_unclaimed()).then(|| old.node.clone());
        self.begin(now, shard, Stage::Taking, now + self.config.query_limit, lost);
    }

    fn begin(&mut self, now: Timestamp, shard: Shard, stage: Stage, until: Timestamp, lost: Option<NodeId>) {
        self.shard_mut(shard).role = Role::Recovering;
        let (wants, heard) = (BTreeMap::new(), BTreeMap::new());
        let claim = Claim { stage, wait: self.live_peers(), wants, heard, until, lost };
        self.claims.insert(shard, claim);
        arm(&mut self.timers.claims, now + self.config.digest_repair);
        self.query(shard);
        self.claim_progress(now, shard);
    }

    /// Asks those who have not answered yet.
    fn query(&mut self, shard: Shard) {
        let Some(claim) = self.claims.get(&shard) else { return };
        let wait: Vec<NodeId> = claim.wait.iter().cloned().collect();
        for peer in wait {
            self.query_one(shard, &peer);
        }
    }

    fn query_one(&mut self, shard: Shard, peer: &NodeId) {
        let mut line = self.line(shard);
        if line.epoch.is_unclaimed() {
            line.epoch = Arc::new(Epoch { term: 0, node: self.config.me.clone(), boot: self.config.boot });
        }
        self.send(peer, Message::Query(line));
    }

    pub(super) fn handle_query(&mut self, now: Timestamp, from: &NodeId, line: &Line) {
        if line.epoch.node != *from {
            return;
        }
        if line.epoch.is_unclaimed() {
            if self.epoch(line.shard).is_unclaimed() {
                self.send(from, Message::Same(line.clone()));
            } else {
                // Not `tell_stale`: a newcomer that asks does nothing wrong.
                let epoch = self.epoch(line.shard).clone();
                self.send(from, Message::Stale(Line { shard: line.shard, epoch, hash: 0 }));
            }
        } else if self.accepts_epoch(now, from, line.shard, &line.epoch) {
            self.answer_hash(from, line);
        }
    }

    /// A node has answered a `Query`: equal to us, or holding what it lists.
    pub(super) fn claim_heard(&mut self, now: Timestamp, from: &NodeId, shard: Shard, hash: u64) {
        if let Some(claim) = self.claims.get_mut(&shard) {
            claim.wait.remove(from);
            claim.heard.insert(from.clone(), hash);
            self.claim_progress(now, shard);
        }
    }

    /// A node listed what it holds: want what is newer than ours and than what we already asked for.
    pub(super) fn claim_listed(&mut self, now: Timestamp, from: &NodeId, listing: &Listing) {
        let shard = listing.shard;
        let Some(claim) = self.claims.get_mut(&shard).filter(|claim| claim.stage == Stage::Taking) else {
            return;
        };
        let mut keys = Vec::new();
        for listed in &listing.items {
            let newer = self.store.get(listed.key).is_none_or(|held| listed.is_newer_than(held));
            if listed.bare {
                self.store.bury(listed.key);
                claim.wants.remove(&listed.key);
            } else if newer && !self.store.is_buried(listed.key) {
                let wanted = claim.wants.get(&listed.key);
                if wanted.is_none_or(|want| listed.rank() > (want.terminated, &want.epoch, want.version)) {
                    let (peer, terminated) = (from.clone(), listed.terminated);
                    let want =
                        Want { peer, terminated, epoch: listed.epoch.clone(), version: listed.version };
                    claim.wants.insert(listed.key, want);
                    keys.push(listed.key);
                }
            }
        }
        if !keys.is_empty() {
            let epoch = listing.epoch.clone();
            self.send(from, Message::Want(Keys { shard, epoch, keys }));
        }
        self.claim_heard(now, from, shard, listing.hash());
    }

    /// Goes on to the next stage once nothing is missing.
    pub(super) fn claim_progress(&mut self, now: Timestamp, shard: Shard) {
        let Some(claim) = self.claims.get_mut(&shard) else { return };
        let store = &self.store;
        claim.wants.retain(|key, want| {
            let rank = (want.terminated, &*want.epoch, want.version);
            !store.is_buried(*key) && store.get(*key).is_none_or(|held| held.rank() < rank)
        });
        if !claim.wait.is_empty() || !claim.wants.is_empty() {
            return;
        }
        match claim.stage {
            Stage::Asking => self.take(now, shard),
            Stage::Taking => self.activate(now, shard),
        }
    }

    fn activate(&mut self, now: Timestamp, shard: Shard) {
        let Some(claim) = self.claims.remove(&shard) else { return };
        self.shard_mut(shard).role = Role::Owner;
        let (epoch, hash) = ((**self.epoch(shard)).clone(), self.store.hash(shard));
        let items = self.stored(shard);
        self.effects.push_back(Effect::Activated { shard, epoch, lost: claim.lost, items });

        let mut copies = Copies::default();
        // Who answered with our hash is equal: only we may have changed it since, and every change goes there.
        let state = |peer: &NodeId| match claim.heard.get(peer) {
            Some(heard) if *heard == hash => CopyState::Equal,
            _ => CopyState::Unknown,
        };
        let targets: Vec<NodeId> = self.placement.targets(shard, &self.config.me).cloned().collect();
        for peer in &targets {
            copies.push(Copy { peer: peer.clone(), target: true, state: state(peer) });
        }
        for (peer, heard) in &claim.heard {
            if *heard != 0 && !targets.contains(peer) && self.view.get(peer).is_some() {
                copies.push(Copy { peer: peer.clone(), target: false, state: CopyState::Unknown });
            }
        }
        // Who is live and did not answer in time may hold something: found out when its link comes up.
        for peer in &claim.wait {
            if !targets.contains(peer) && self.view.get(peer).is_some() {
                copies.push(Copy { peer: peer.clone(), target: false, state: CopyState::Unknown });
            }
        }
        let doubtful: Vec<NodeId> = copies
            .iter()
            .filter(|copy| copy.state != CopyState::Equal)
            .map(|copy| copy.peer.clone())
            .collect();
        self.owned.insert(shard, copies);
        self.effects.push_back(Effect::Targets { shard, nodes: targets });
        for peer in doubtful {
            self.doubt(now, shard, &peer);
            self.ask(shard, &peer);
        }
        arm(&mut self.timers.audit, now + self.config.digest_all);
        self.sweep(shard);
    }

    /// A peer is not what it was: its answers are void, and what was wanted of it must be found elsewhere.
    pub(super) fn claims_lost_peer(&mut self, now: Timestamp, peer: &NodeId, left: bool) {
        let live = self.live_peers();
        let shards: Vec<Shard> = self.claims.keys().copied().collect();
        for shard in shards {
            let Some(claim) = self.claims.get_mut(&shard) else { continue };
            let wanted = claim.wants.len();
            claim.wants.retain(|_, want| want.peer != *peer);
            if claim.wants.len() < wanted {
                // Others listed the same items, or older ones we did not ask for.
                claim.wait.extend(live.iter().cloned());
                self.query(shard);
            }
            if left && let Some(claim) = self.claims.get_mut(&shard) {
                claim.wait.remove(peer);
                claim.heard.remove(peer);
                self.claim_progress(now, shard);
            }
        }
    }

    /// A link came up: those who waited for that peer ask again.
    pub(super) fn claims_met_peer(&mut self, peer: &NodeId) {
        let waiting = self.claims.iter().filter(|(_, claim)| claim.wait.contains(peer));
        let shards: Vec<Shard> = waiting.map(|(shard, _)| *shard).collect();
        for shard in shards {
            self.query_one(shard, peer);
        }
    }

    pub(super) fn claims_timeout(&mut self, now: Timestamp) {
        self.timers.claims = None;
        let shards: Vec<Shard> = self.claims.keys().copied().collect();
        for shard in shards {
            let Some(claim) = self.claims.get(&shard) else { continue };
            if claim.until <= now {
                self.claim_limit(now, shard);
            } else {
                let mut by_peer: BTreeMap<NodeId, Vec<Key>> = BTreeMap::new();
                for (key, want) in &claim.wants {
                    by_peer.entry(want.peer.clone()).or_default().push(*key);
                }
                for (peer, keys) in by_peer {
                    let epoch = self.epoch(shard).clone();
                    self.send(&peer, Message::Want(Keys { shard, epoch, keys }));
                }
                self.query(shard);
            }
        }
        if let Some(until) = self.claims.values().map(|claim| claim.until).min() {
            arm(&mut self.timers.claims, until.min(now + self.config.digest_repair));
        }
    }

    fn claim_limit(&mut self, now: Timestamp, shard: Shard) {
        let Some(claim) = self.claims.get(&shard) else { return };
        let stage = claim.stage;
        let missing = claim.wait.iter().chain(claim.wants.values().map(|want| &want.peer)).cloned().collect();
        self.effects.push_back(Effect::Unanswered { shard, missing });
        match stage {
            Stage::Asking => self.take(now, shard),
            Stage::Taking => self.activate(now, shard),
        }
    }

    /// Every node alive but this one, whatever its phase.
    fn live_peers(&self) -> BTreeSet<NodeId> {
        self.view
            .nodes()
            .filter(|member| member.id != self.config.me)
            .map(|member| member.id.clone())
            .collect()
    }
}

//! Rule 5: the owner compares hashes with its targets and brings over what is missing.
//!
//! A copy that was equal once gets every change since, so only unequal ones are compared: on activation, on a new view,
//! on a new link, and every 100 ms until they are equal.

use std::collections::BTreeMap;

use super::copies::CopyState;
use super::message::{Keys, Line, Listed, Listing, Message};
use super::{Effect, Ownership, Role, arm};
use crate::Timestamp;
use crate::id::{Key, NodeId, Shard};

impl Ownership {
    /// Sends the digest of an owned shard.
    pub(super) fn ask(&mut self, shard: Shard, peer: &NodeId) {
        let line = self.line(shard);
        if let Some(copy) = self.owned.get_mut(&shard).and_then(|copies| copies.get_mut(peer)) {
            copy.state = CopyState::Asked(line.hash);
            self.send(peer, Message::Digest(line));
        }
    }

    /// A copy may differ: compare it until it is proven equal.
    pub(super) fn doubt(&mut self, now: Timestamp, shard: Shard, peer: &NodeId) {
        if let Some(copy) = self.owned.get_mut(&shard).and_then(|copies| copies.get_mut(peer)) {
            copy.state = CopyState::Unknown;
            if let Some(link) = self.links.get_mut(peer) {
                link.unequal.insert(shard);
                arm(&mut self.timers.repair, now + self.config.digest_repair);
            }
        }
    }

    pub(super) fn doubt_targets(&mut self, now: Timestamp, shard: Shard) {
        let targets: Vec<NodeId> =
            self.owned.get(&shard).map(|copies| copies.targets().cloned().collect()).unwrap_or_default();
        for peer in targets {
            self.doubt(now, shard, &peer);
        }
    }

    pub(super) fn repair_timeout(&mut self, now: Timestamp) {
        self.timers.repair = None;
        let mut asks = Vec::new();
        for (peer, link) in &mut self.links {
            if link.unequal.is_empty() {
                continue;
            }
            arm(&mut self.timers.repair, now + self.config.digest_repair);
            link.silent_rounds += 1;
            // A peer that says nothing is asked ever less often, so that its link does not fill with questions.
            if link.silent_rounds.is_power_of_two() {
                // What is no target any more can wait until it may be released.
                let owned = &self.owned;
                let matters = |shard: &&Shard| {
                    let copies = owned.get(*shard);
                    copies.is_some_and(|copies| copies.is_target(peer) || copies.targets_equal())
                };
                asks.extend(link.unequal.iter().filter(matters).map(|shard| (*shard, peer.clone())));
            }
        }
        for (shard, peer) in asks {
            self.ask(shard, &peer);
        }
    }

    pub(super) fn handle_digest(&mut self, now: Timestamp, from: &NodeId, line: &Line) {
        if line.epoch.node == *from && self.accepts_epoch(now, from, line.shard, &line.epoch) {
            self.answer_hash(from, line);
        }
    }

    /// `Same` if our hash is the one asked about, else everything we hold.
    pub(super) fn answer_hash(&mut self, from: &NodeId, line: &Line) {
        if self.store.hash(line.shard) == line.hash {
            self.send(from, Message::Same(line.clone()));
            return;
        }
        let epoch = line.epoch.clone();
        let items = self.store.items(line.shard).map(|(key, item)| Listed {
            key,
            epoch: item.epoch.clone(),
            version: item.version,
            terminated: item.terminated,
            bare: false,
        });
        let bare = |key| Listed { key, epoch: epoch.clone(), version: 0, terminated: true, bare: true };
        let items = items.chain(self.store.graves(line.shard).map(bare)).collect();
        self.send(from, Message::Have(Listing { shard: line.shard, epoch: epoch.clone(), items }));
    }

    pub(super) fn handle_same(&mut self, now: Timestamp, from: &NodeId, line: &Line) {
        let shard = line.shard;
        match self.role(shard) {
            Role::Recovering if self.is_answer(line) => self.claim_heard(now, from, shard, line.hash),
            Role::Owner if line.epoch == *self.epoch(shard) => {
                let Some(copy) = self.owned.get_mut(&shard).and_then(|copies| copies.get_mut(from)) else {
                    return;
                };
                if copy.state != CopyState::Asked(line.hash) {
                    return;
                }
                if copy.target {
                    copy.state = CopyState::Equal;
                    self.settled(shard, from);
                    self.sweep(shard);
                } else {
                    self.release(from, shard, line.hash);
                }
            }
            _ => {}
        }
    }

    /// Whether a `Same` belongs to the stage of the claim: it echoes the epoch that was asked about.
    fn is_answer(&self, line: &Line) -> bool {
        let mine = self.epoch(line.shard);
        line.epoch == *mine || (line.epoch.is_unclaimed() && mine.is_unclaimed())
    }

    pub(super) fn handle_have(&mut self, now: Timestamp, from: &NodeId, listing: Listing) {
        if listing.epoch != *self.epoch(listing.shard) {
            return;
        }
        match self.role(listing.shard) {
            Role::Recovering => self.claim_listed(now, from, &listing),
            Role::Owner => self.compare(now, from, &listing),
            Role::Holder => {}
        }
    }

    /// The owner looks at what a copy holds: wants what is newer there, brings what is older or missing.
    fn compare(&mut self, now: Timestamp, from: &NodeId, listing: &Listing) {
        let shard = listing.shard;
        let Some(copy) = self.owned.get_mut(&shard).and_then(|copies| copies.get_mut(from)) else { return };
        copy.state = CopyState::Unknown;
        let target = copy.target;
        let theirs: BTreeMap<Key, &Listed> =
            listing.items.iter().map(|listed| (listed.key, listed)).collect();

        let (mut want, mut ended) = (Vec::new(), Vec::new());
        for listed in &listing.items {
            match self.store.get(listed.key) {
                None if self.store.is_buried(listed.key) => {}
                None if listed.terminated => ended.push(listed.key),
                Some(held) if listed.terminated && !held.terminated => ended.push(listed.key),
                Some(held) if listed.terminated || !listed.is_newer_than(held) => {}
                _ => want.push(listed.key),
            }
        }
        let complete = want.is_empty() && ended.is_empty();
        let epoch = listing.epoch.clone();
        if !want.is_empty() {
            self.send(from, Message::Want(Keys { shard, epoch: epoch.clone(), keys: want }));
        }
        self.learn_ends(now, from, shard, ended);
        if target {
            self.bring_missing(from, shard, &theirs);
        } else if complete {
            self.release(from, shard, listing.hash());
        }
    }

    fn bring_missing(&mut self, to: &NodeId, shard: Shard, theirs: &BTreeMap<Key, &Listed>) {
        let under = self.epoch(shard).clone();
        let older = self.store.items(shard).filter(|(key, item)| {
            theirs.get(key).is_none_or(|listed| !listed.terminated && item.rank() > listed.rank())
        });
        let lost_graves =
            self.store.graves(shard).filter(|key| theirs.get(key).is_none_or(|listed| !listed.terminated));
        let older: Vec<_> = older.map(|(key, item)| (key, item.clone())).collect();
        let graves: Vec<_> = lost_graves.map(|key| (key, self.item_or_grave(key))).collect();
        for (key, item) in older.into_iter().chain(graves) {
            self.effects.push_back(Effect::Repair { to: to.clone(), key, under: under.clone(), item });
        }
    }

    pub(super) fn handle_want(&mut self, now: Timestamp, from: &NodeId, keys: &Keys) {
        if !self.accepts_epoch(now, from, keys.shard, &keys.epoch) {
            return;
        }
        let under = self.epoch(keys.shard).clone();
        for key in keys.keys.iter().copied().filter(|key| key.shard() == keys.shard) {
            if self.store.get(key).is_some() || self.store.is_buried(key) {
                let item = self.item_or_grave(key);
                self.effects.push_back(Effect::Repair { to: from.clone(), key, under: under.clone(), item });
            }
        }
    }

    /// A copy is as it should be, or none at all: nothing more to compare.
    pub(super) fn settled(&mut self, shard: Shard, peer: &NodeId) {
        if let Some(link) = self.links.get_mut(peer) {
            link.unequal.remove(&shard);
        }
    }
}

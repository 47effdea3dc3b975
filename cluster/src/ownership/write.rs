//! Rule 2: only the owner writes, and only under its own epoch.

use std::sync::Arc;

use bytes::Bytes;

use super::item::Item;
use super::{Effect, Ownership, Role, Stored};
use crate::Timestamp;
use crate::id::{Epoch, Key, NodeId};

/// A change that was made: what to bring to the targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The epoch this node owns the shard under.
    pub under: Arc<Epoch>,
    /// The new version; its body is shared with the store.
    pub item: Item,
}

/// Why a change was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The shard is not ours.
    NotOwner,
    /// A version as new exists, or the item has ended.
    Outdated,
}

impl Ownership {
    /// The application changed an item.
    pub fn handle_commit(
        &mut self,
        now: Timestamp,
        key: Key,
        version: u64,
        terminated: bool,
        body: Bytes,
    ) -> Result<Written, Refused> {
        let shard = key.shard();
        if self.role(shard) != Role::Owner {
            return Err(Refused::NotOwner);
        }
        let under = self.epoch(shard).clone();
        let item = Item { epoch: under.clone(), version, terminated, body };
        if !self.store.merge(key, item.clone()) {
            return Err(Refused::Outdated);
        }
        if terminated {
            self.await_end(now, key);
        }
        Ok(Written { under, item })
    }

    /// A peer brings an item; false if it spoke under an epoch that is over, so that the item does not count.
    pub fn handle_put(
        &mut self,
        now: Timestamp,
        from: &NodeId,
        under: &Arc<Epoch>,
        key: Key,
        mut item: Item,
    ) -> bool {
        let shard = key.shard();
        if under.is_unclaimed()
            || !self.links.contains_key(from)
            || !self.accepts_epoch(now, from, shard, under)
        {
            return false;
        }
        let bare = item.terminated && item.body.is_empty();
        let news = if bare {
            self.store.bury(key)
        } else if self.store.accepts(key, &item) {
            // A kept slice would pin the whole frame it came in: up to 64 KB for one item.
            item.body = Bytes::copy_from_slice(&item.body);
            self.share_epoch(&mut item, key);
            if item.terminated {
                self.await_end(now, key);
            }
            self.store.merge(key, item)
        } else {
            false
        };
        match self.role(shard) {
            Role::Owner if news => self.surfaced(now, key),
            Role::Recovering if news => self.claim_progress(now, shard),
            _ => {}
        }
        true
    }

    /// An item newer than ours turned up although we already serve: tell the application, and the copies.
    pub(super) fn surfaced(&mut self, now: Timestamp, key: Key) {
        let shard = key.shard();
        let under = self.epoch(shard).clone();
        let item = self.item_or_grave(key);
        let stored =
            Stored { key, version: item.version, terminated: item.terminated, body: item.body.clone() };
        let epoch = (*under).clone();
        self.effects.push_back(Effect::Activated { shard, epoch, lost: None, items: vec![stored] });
        let targets: Vec<NodeId> =
            self.owned.get(&shard).map(|copies| copies.targets().cloned().collect()).unwrap_or_default();
        for to in targets {
            self.effects.push_back(Effect::Repair { to, key, under: under.clone(), item: item.clone() });
        }
        self.doubt_targets(now, shard);
    }

    /// What is held under a key; a grave in the form in which it travels.
    pub(super) fn item_or_grave(&self, key: Key) -> Item {
        self.store.get(key).cloned().unwrap_or_else(|| Item {
            epoch: self.epoch(key.shard()).clone(),
            version: 0,
            terminated: true,
            body: Bytes::new(),
        })
    }

    /// Most items of a shard were written under the same epoch: let them share it.
    fn share_epoch(&self, item: &mut Item, key: Key) {
        let current = self.epoch(key.shard());
        if *current == item.epoch {
            item.epoch = current.clone();
        } else if let Some(held) = self.store.get(key).filter(|held| held.epoch == item.epoch) {
            item.epoch = held.epoch.clone();
        }
    }
}

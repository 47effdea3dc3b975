//! A frame off the wire, checked and taken apart into messages; nothing in it is believed before.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdline_protos::v1::{self, Frame};

use crate::id::{Epoch, Key, NodeId, SHARDS, Shard};
use crate::ownership::{Audit, Item, Keys, Line, Listed, Listing, Message};
use crate::placement::shard_of;
use crate::replication::Ack;

/// The parts of a frame in the order in which they are handled.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) before_items: Vec<Message>,
    pub(super) batch: Option<Batch>,
    pub(super) ack: Option<Ack>,
    pub(super) after_items: Vec<Message>,
    /// What was wrong with it; the parts before the fault stand.
    pub(super) malformed: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct Batch {
    pub(super) stream: u64,
    pub(super) seq: u64,
    /// Key, epoch of the shard, item.
    pub(super) items: Vec<(Key, Arc<Epoch>, Item)>,
}

type Fault = &'static str;

impl Incoming {
    pub(super) fn decode(frame: Frame) -> Self {
        let mut incoming = Self::default();
        incoming.malformed = incoming.fill(frame).err();
        incoming
    }

    fn fill(&mut self, frame: Frame) -> Result<(), Fault> {
        let table = Table::new(frame.epochs)?;
        table.lines(frame.stale, Message::Stale, &mut self.before_items)?;
        table.lines(frame.query, Message::Query, &mut self.before_items)?;
        if let Some(batch) = frame.batch {
            self.batch = Some(table.batch(batch)?);
        }
        self.ack = frame.ack.map(|ack| Ack { stream: ack.stream, seq: ack.seq, gap: ack.gap });
        table.names(frame.forget, Message::Forget, &mut self.after_items)?;
        table.lines(frame.digest, Message::Digest, &mut self.after_items)?;
        table.lines(frame.same, Message::Same, &mut self.after_items)?;
        for have in frame.have {
            table.have(have, &mut self.after_items)?;
        }
        table.names(frame.want, Message::Want, &mut self.after_items)?;
        table.lines(frame.release, Message::Release, &mut self.after_items)?;
        let audit =
            |it: v1::Audit| Message::Audit(Audit { shards: it.shards, hash: it.hash, differs: it.differs });
        self.after_items.extend(frame.audit.map(audit));
        Ok(())
    }
}

/// The epochs a frame names.
struct Table(Vec<Arc<Epoch>>);

impl Table {
    fn new(epochs: Vec<v1::Epoch>) -> Result<Self, Fault> {
        let epoch = |epoch: v1::Epoch| {
            let node: NodeId = epoch.node.parse().map_err(|_| "an epoch names no node")?;
            Ok(Arc::new(Epoch { term: epoch.term, node, boot: epoch.boot }))
        };
        epochs.into_iter().map(epoch).collect::<Result<_, _>>().map(Self)
    }

    fn get(&self, index: u32) -> Result<&Arc<Epoch>, Fault> {
        self.0.get(index as usize).ok_or("an epoch is not in the table of the frame")
    }

    fn lines(
        &self,
        groups: Vec<v1::Shards>,
        kind: fn(Line) -> Message,
        out: &mut Vec<Message>,
    ) -> Result<(), Fault> {
        for group in groups {
            let epoch = self.get(group.epoch)?;
            if group.hashes.len() != group.shards.len() {
                return Err("shards and hashes differ in number");
            }
            for (shard, hash) in group.shards.into_iter().zip(group.hashes) {
                out.push(kind(Line { shard: checked_shard(shard)?, epoch: epoch.clone(), hash }));
            }
        }
        Ok(())
    }

    fn names(
        &self,
        groups: Vec<v1::Names>,
        kind: fn(Keys) -> Message,
        out: &mut Vec<Message>,
    ) -> Result<(), Fault> {
        for group in groups {
            let epoch = self.get(group.epoch)?;
            if group.placements.len() != group.ids.len() {
                return Err("placements and ids differ in number");
            }
            let mut by_shard: BTreeMap<Shard, Vec<Key>> = BTreeMap::new();
            for (placement, id) in group.placements.into_iter().zip(group.ids) {
                let key = checked_key(placement, id)?;
                by_shard.entry(key.shard()).or_default().push(key);
            }
            out.extend(
                by_shard.into_iter().map(|(shard, keys)| kind(Keys { shard, epoch: epoch.clone(), keys })),
            );
        }
        Ok(())
    }

    fn have(&self, have: v1::Have, out: &mut Vec<Message>) -> Result<(), Fault> {
        let epoch = self.get(have.epoch)?;
        let mut by_shard: BTreeMap<Shard, Vec<Listed>> = BTreeMap::new();
        for shard in have.shards {
            by_shard.insert(checked_shard(shard)?, Vec::new());
        }
        for listed in have.items {
            let key = checked_key(listed.placement, listed.id)?;
            let (epoch, version) = (self.get(listed.epoch)?.clone(), listed.version);
            let bare = listed.bare;
            let listed = Listed { key, epoch, version, terminated: listed.terminated || bare, bare };
            let items =
                by_shard.get_mut(&shard_of(key.placement)).ok_or("an item of a shard that is not listed")?;
            items.push(listed);
        }
        let listing = |(shard, items)| Message::Have(Listing { shard, epoch: epoch.clone(), items });
        out.extend(by_shard.into_iter().map(listing));
        Ok(())
    }

    fn batch(&self, batch: v1::Batch) -> Result<Batch, Fault> {
        let item = |item: v1::Item| {
            let key = checked_key(item.placement, item.id)?;
            let epoch = self.get(item.epoch)?.clone();
            let under = self.get(item.under)?.clone();
            let (version, terminated) = (item.version, item.terminated);
            Ok((key, under, Item { epoch, version, terminated, body: item.body }))
        };
        let items = batch.items.into_iter().map(item).collect::<Result<_, Fault>>()?;
        Ok(Batch { stream: batch.stream, seq: batch.seq, items })
    }
}

fn checked_shard(shard: u32) -> Result<Shard, Fault> {
    u16::try_from(shard).ok().filter(|shard| *shard < SHARDS).map(Shard).ok_or("a shard number out of range")
}

fn checked_key(placement: u32, id: u64) -> Result<Key, Fault> {
    let placement = u16::try_from(placement).map_err(|_| "a placement out of range")?;
    Ok(Key { placement, id })
}

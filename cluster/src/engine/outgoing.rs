//! Frames being put together: messages about many shards share one, and name their epochs by index.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdline_protos::v1::{self, Frame};

use crate::id::{Epoch, Key, NodeId, Shard};
use crate::ownership::{Audit, Keys, Line, Listing, Message};
use crate::replication::{Ack, Entry};

/// A frame is closed when it is estimated above this, so that no frame blocks a link for long.
///
/// One message is never split: the listing of a shard of 2,000 items, or one large item, makes a larger frame.
const FRAME_BYTES: usize = 64 * 1024;

/// Frames under construction, one a peer.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    open: BTreeMap<NodeId, Draft>,
    closed: Vec<(NodeId, Frame)>,
}

#[derive(Debug, Default)]
struct Draft {
    frame: Frame,
    epochs: BTreeMap<Arc<Epoch>, u32>,
    /// The epoch named last: mostly the next one, too.
    last: Option<(Arc<Epoch>, u32)>,
    bytes: usize,
}

impl Outgoing {
    /// Adds a message to the peer's frame.
    pub(super) fn message(&mut self, to: &NodeId, message: Message) {
        let draft = self.draft(to);
        match message {
            Message::Stale(line) => draft.lines(line, |frame| &mut frame.stale),
            Message::Query(line) => draft.lines(line, |frame| &mut frame.query),
            Message::Digest(line) => draft.lines(line, |frame| &mut frame.digest),
            Message::Same(line) => draft.lines(line, |frame| &mut frame.same),
            Message::Release(line) => draft.lines(line, |frame| &mut frame.release),
            Message::Have(listing) => draft.have(&listing),
            Message::Want(keys) => draft.names(&keys, |frame| &mut frame.want),
            Message::Forget(keys) => draft.names(&keys, |frame| &mut frame.forget),
            Message::Audit(Audit { shards, hash, differs }) => {
                draft.frame.audit = Some(v1::Audit { shards, hash, differs });
            }
        }
    }

    /// Adds a batch; each frame carries one at most.
    pub(super) fn batch(&mut self, to: &NodeId, stream: u64, seq: u64, entries: Vec<(Key, Entry)>) {
        if self.open.get(to).is_some_and(|draft| draft.frame.batch.is_some()) {
            self.close(to);
        }
        let draft = self.draft(to);
        let mut items = Vec::with_capacity(entries.len());
        for (key, entry) in entries {
            let (under, epoch) = (draft.epoch(&entry.under), draft.epoch(&entry.item.epoch));
            draft.bytes += entry.size();
            let (placement, version) = (u32::from(key.placement), entry.item.version);
            let (terminated, body) = (entry.item.terminated, entry.item.body);
            items.push(v1::Item { under, epoch, placement, id: key.id, version, terminated, body });
        }
        draft.frame.batch = Some(v1::Batch { stream, seq, items });
    }

    /// Adds an acknowledgement; a later one covers an earlier one.
    pub(super) fn ack(&mut self, to: &NodeId, ack: Ack) {
        self.draft(to).frame.ack = Some(v1::Ack { stream: ack.stream, seq: ack.seq, gap: ack.gap });
    }

    /// Closes every frame and hands them out, in order for each peer.
    pub(super) fn finish(&mut self) -> Vec<(NodeId, Frame)> {
        while let Some((to, draft)) = self.open.pop_first() {
            self.closed.push((to, draft.frame));
        }
        std::mem::take(&mut self.closed)
    }

    fn draft(&mut self, to: &NodeId) -> &mut Draft {
        if self.open.get(to).is_some_and(|draft| draft.bytes >= FRAME_BYTES) {
            self.close(to);
        }
        self.open.entry(to.clone()).or_default()
    }

    fn close(&mut self, to: &NodeId) {
        if let Some((to, draft)) = self.open.remove_entry(to) {
            self.closed.push((to, draft.frame));
        }
    }
}

impl Draft {
    fn lines(&mut self, line: Line, field: impl Fn(&mut Frame) -> &mut Vec<v1::Shards>) {
        const BYTES: usize = 11;
        self.bytes += BYTES;
        let epoch = self.epoch(&line.epoch);
        let groups = field(&mut self.frame);
        // A frame names few epochs, and shards under the same one mostly come together.
        let index = groups.iter().rposition(|group| group.epoch == epoch).unwrap_or_else(|| {
            groups.push(v1::Shards { epoch, ..Default::default() });
            groups.len() - 1
        });
        groups[index].shards.push(u32::from(line.shard.0));
        groups[index].hashes.push(line.hash);
    }

    fn names(&mut self, keys: &Keys, field: impl Fn(&mut Frame) -> &mut Vec<v1::Names>) {
        const BYTES: usize = 11;
        self.bytes += BYTES * keys.keys.len();
        let epoch = self.epoch(&keys.epoch);
        let groups = field(&mut self.frame);
        let index = groups.iter().rposition(|group| group.epoch == epoch).unwrap_or_else(|| {
            groups.push(v1::Names { epoch, ..Default::default() });
            groups.len() - 1
        });
        groups[index].placements.extend(keys.keys.iter().map(|key| u32::from(key.placement)));
        groups[index].ids.extend(keys.keys.iter().map(|key| key.id));
    }

    fn have(&mut self, listing: &Listing) {
        const BYTES: usize = 26;
        self.bytes += 3 + BYTES * listing.items.len();
        let epoch = self.epoch(&listing.epoch);
        let mut items = Vec::with_capacity(listing.items.len());
        for listed in &listing.items {
            items.push(v1::Listed {
                epoch: self.epoch(&listed.epoch),
                placement: u32::from(listed.key.placement),
                id: listed.key.id,
                version: listed.version,
                terminated: listed.terminated,
                bare: listed.bare,
            });
        }
        let Shard(shard) = listing.shard;
        match self.frame.have.iter_mut().rfind(|have| have.epoch == epoch) {
            Some(have) => {
                have.shards.push(u32::from(shard));
                have.items.extend(items);
            }
            None => self.frame.have.push(v1::Have { epoch, shards: vec![u32::from(shard)], items }),
        }
    }

    /// The index of an epoch in this frame's table.
    fn epoch(&mut self, epoch: &Arc<Epoch>) -> u32 {
        if let Some((last, index)) = &self.last
            && last == epoch
        {
            return *index;
        }
        let next = u32::try_from(self.epochs.len()).expect("a frame of 64 KB names fewer than 2^32 epochs");
        let index = *self.epochs.entry(epoch.clone()).or_insert(next);
        if index == next {
            const BYTES: usize = 48;
            self.bytes += BYTES;
            let (term, node, boot) = (epoch.term, epoch.node.to_string(), epoch.boot);
            self.frame.epochs.push(v1::Epoch { term, node, boot });
        }
        self.last = Some((epoch.clone(), index));
        index
    }
}

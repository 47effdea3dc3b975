//! What the cluster asks of the program that embeds it.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Confirmation, Stored};
use crate::id::{Epoch, NodeId, Shard};
use crate::view::View;

/// The embedding program's side of a cluster member.
///
/// Every method is called on the cluster thread, in order, and must not block: hand over and return.
pub trait Host: Send + Sync + 'static {
    /// `shard` is ours from now on, under `epoch`; `items` is all that was known of it, `lost` its dead owner.
    fn activated(&self, shard: Shard, epoch: &Epoch, lost: Option<&NodeId>, items: Vec<Stored>);
    /// `shard` is no longer ours: nothing of it may be answered or changed.
    fn retired(&self, shard: Shard);
    /// Commits that are durable now; one call for all of one acknowledgement.
    fn confirmed(&self, batch: &[Confirmation]);
    /// Members came, went or changed.
    fn view_changed(&self, view: &Arc<View>);
    /// An application payload from a peer's [`Cluster::relay`](super::Cluster::relay).
    fn relayed(&self, from: &NodeId, payload: Bytes);
    /// The member cannot go on (its name is taken, for example) and has stopped; `reason` is one line.
    fn fatal(&self, reason: &str);
}

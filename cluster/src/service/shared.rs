//! What the cluster thread publishes for all other threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::commits::CommitQueue;
use super::refusals::Refusals;
use crate::id::{NodeId, SHARDS, Shard};
use crate::view::View;

/// Where the member is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Forming,
    Formed,
    Stopped,
}

/// A node and its boot.
pub(super) type Owner = (NodeId, u64);

/// Read by any thread, written by the cluster thread.
pub(super) struct Shared {
    pub(super) commits: CommitQueue,
    pub(super) refusals: Refusals,
    view: RwLock<Arc<View>>,
    owned: Box<[AtomicBool]>,
    /// The owner each epoch names, and which process of that name.
    owners: RwLock<Box<[Option<Owner>]>>,
    stage: watch::Sender<Stage>,
    stage_blocking: (Mutex<Stage>, Condvar),
}

impl Shared {
    pub(super) fn new(view: View) -> Self {
        Self {
            commits: CommitQueue::default(),
            refusals: Refusals::default(),
            view: RwLock::new(Arc::new(view)),
            owned: (0..SHARDS).map(|_| AtomicBool::new(false)).collect(),
            owners: RwLock::new(vec![None; usize::from(SHARDS)].into()),
            stage: watch::Sender::new(Stage::Forming),
            stage_blocking: (Mutex::new(Stage::Forming), Condvar::new()),
        }
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_view(&self, view: Arc<View>) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    pub(super) fn owns(&self, shard: Shard) -> bool {
        self.owned.get(usize::from(shard.0)).is_some_and(|owned| owned.load(Ordering::Acquire))
    }

    pub(super) fn set_owned(&self, shard: Shard, owned: bool) {
        if let Some(flag) = self.owned.get(usize::from(shard.0)) {
            flag.store(owned, Ordering::Release);
        }
    }

    /// No shard is ours any more; those that were.
    pub(super) fn disown_all(&self) -> Vec<Shard> {
        Shard::all().filter(|shard| self.owned[usize::from(shard.0)].swap(false, Ordering::AcqRel)).collect()
    }

    /// The owner by the epoch last seen, if that very process is alive.
    pub(super) fn owner(&self, shard: Shard) -> Option<NodeId> {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        let (owner, boot) = owners.get(usize::from(shard.0))?.as_ref()?;
        self.view().is_alive(owner, *boot).then(|| owner.clone())
    }

    /// Takes over the owners as `current` tells them; the lock is taken for writing only if one differs.
    pub(super) fn set_owners(&self, shards: &[Shard], current: impl Fn(Shard) -> Option<Owner>) {
        let differing: Vec<(usize, Option<Owner>)> = {
            let known = self.owners.read().unwrap_or_else(PoisonError::into_inner);
            let entry = |shard: &Shard| (usize::from(shard.0), current(*shard));
            shards
                .iter()
                .map(entry)
                .filter(|(at, owner)| known.get(*at).is_some_and(|was| was != owner))
                .collect()
        };
        if !differing.is_empty() {
            let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
            for (at, owner) in differing {
                owners[at] = owner;
            }
        }
    }

    /// A member that has stopped stays so.
    pub(super) fn set_stage(&self, stage: Stage) {
        let (state, changed) = &self.stage_blocking;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != Stage::Stopped {
            *state = stage;
            self.stage.send_replace(stage);
            changed.notify_all();
        }
    }

    /// `false` if the member stopped instead.
    pub(super) async fn wait_formed(&self) -> bool {
        let mut stage = self.stage.subscribe();
        let settled = stage.wait_for(|stage| *stage != Stage::Forming).await;
        settled.is_ok_and(|stage| *stage == Stage::Formed)
    }

    /// `false` if the member stopped, or `limit` passed.
    pub(super) fn wait_formed_blocking(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let (state, changed) = &self.stage_blocking;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        while *state == Stage::Forming {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *state == Stage::Formed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Member, Phase, Role};

    fn shared() -> Shared {
        Shared::new(View::new("n1".parse().unwrap(), [], false))
    }

    #[test]
    fn ownership_is_one_flag_a_shard() {
        let shared = shared();
        shared.set_owned(Shard(7), true);
        assert!(shared.owns(Shard(7)) && !shared.owns(Shard(8)) && !shared.owns(Shard(u16::MAX)));
        assert_eq!(shared.disown_all(), [Shard(7)]);
        assert!(!shared.owns(Shard(7)));
    }

    #[test]
    fn the_owner_table_follows_the_engine() {
        let shared = shared();
        let n2: NodeId = "n2".parse().unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        let member = Member {
            id: n2.clone(),
            boot: 7,
            role: Role::Node,
            phase: Phase::Up,
            cluster: address,
            service: address,
            zone: String::new(),
        };
        shared.set_view(Arc::new(View::new("n1".parse().unwrap(), [member], true)));
        assert_eq!(shared.owner(Shard(3)), None);
        let boot = |shard: Shard| if shard.0 == 3 { 7 } else { 6 };
        shared.set_owners(&[Shard(3), Shard(4)], |shard| Some((n2.clone(), boot(shard))));
        assert_eq!(
            (shared.owner(Shard(3)), shared.owner(Shard(4))),
            (Some(n2), None),
            "an earlier process is dead"
        );
        shared.set_owners(&[Shard(3)], |_| None);
        assert_eq!(shared.owner(Shard(3)), None);
    }

    #[test]
    fn whoever_waits_for_the_cluster_learns_of_its_end_too() {
        let shared = shared();
        assert!(!shared.wait_formed_blocking(Duration::ZERO));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| shared.wait_formed_blocking(Duration::from_secs(10)));
            shared.set_stage(Stage::Formed);
            assert!(waiting.join().unwrap());
        });
        shared.set_stage(Stage::Stopped);
        shared.set_stage(Stage::Formed);
        assert!(!shared.wait_formed_blocking(Duration::from_secs(10)), "stopped for good");
    }
}

//! Flow control one rule at a time: when a batch leaves, how much is in flight, when a commit is confirmed.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod engine_kit;

use std::sync::Arc;

use bytes::Bytes;
use engine_kit::{ms, node};
use holdline_cluster::Timestamp;
use holdline_cluster::id::{Epoch, Key};
use holdline_cluster::ownership::Item;
use holdline_cluster::replication::{Ack, Config, Confirmation, Durability, Effect, Entry, Replication};

const BOOT: u64 = 1;

/// The core with n1 (and n2) as targets of everything, linked.
struct Flow {
    core: Replication,
    now: Timestamp,
    batches: Vec<Sent>,
    confirmed: Vec<(u64, u64, bool)>,
    other: Vec<Effect>,
    targets: usize,
}

#[derive(Clone, Debug)]
struct Sent {
    at: Timestamp,
    to: usize,
    stream: u64,
    seq: u64,
    items: Vec<(u64, u64)>,
}

fn config() -> Config {
    Config {
        flush: ms(5),
        early_items: 64,
        early_bytes: 64 * 1024,
        window_items: 512,
        window_bytes: 256 * 1024,
        lagging: ms(200),
        link_grace: ms(200),
        repair_rate: 20 * 1024 * 1024,
    }
}

impl Flow {
    fn to(targets: usize) -> Self {
        let mut flow = Self {
            core: Replication::new(config()),
            now: ms(1_000_000),
            batches: Vec::new(),
            confirmed: Vec::new(),
            other: Vec::new(),
            targets,
        };
        for at in 1..=targets {
            flow.core.handle_link(flow.now, &node(at), BOOT, true);
        }
        flow.retarget(&(1..=targets).collect::<Vec<_>>());
        flow
    }

    fn retarget(&mut self, targets: &[usize]) {
        let nodes = targets.iter().map(|at| node(*at)).collect();
        self.core.handle_targets(self.now, key(0).shard(), nodes);
        self.drain();
    }

    fn commit(&mut self, id: u64, version: u64, durability: Durability) {
        self.commit_sized(id, version, durability, 100);
    }

    fn commit_sized(&mut self, id: u64, version: u64, durability: Durability, size: usize) {
        self.core.handle_commit(self.now, key(id), durability, entry(version, size));
        self.drain();
    }

    /// Lets time pass and does what is due.
    fn advance(&mut self, by: Timestamp) {
        let end = self.now + by;
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.core.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// A peer acknowledges everything it was sent.
    fn ack(&mut self, at: usize) {
        if let Some(last) = self.batches.iter().rfind(|sent| sent.to == at) {
            let ack = Ack { stream: last.stream, seq: last.seq, gap: false };
            self.core.handle_ack(self.now, &node(at), ack);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Batch { to, stream, seq, entries } => {
                    let items = entries.iter().map(|(key, entry)| (key.id, entry.item.version)).collect();
                    let to = to.as_str()[1..].parse().unwrap();
                    self.batches.push(Sent { at: self.now, to, stream, seq, items });
                }
                Effect::Confirmed(Confirmation { key, version, protected }) => {
                    self.confirmed.push((key.id, version, protected));
                }
                other => self.other.push(other),
            }
        }
    }
}

fn key(id: u64) -> Key {
    Key { placement: 3, id }
}

fn epoch(term: u32) -> Arc<Epoch> {
    Arc::new(Epoch { term, node: node(0), boot: BOOT })
}

fn entry(version: u64, size: usize) -> Entry {
    let item = Item { epoch: epoch(1), version, terminated: false, body: Bytes::from(vec![0; size]) };
    Entry { under: epoch(1), item }
}

mod when_a_batch_leaves {
    use super::*;

    #[test]
    fn at_once_after_a_pause_with_everything_committed_until_then() {
        let mut flow = Flow::to(1);
        flow.commit(1, 1, Durability::Acked);
        flow.commit(2, 1, Durability::Acked);
        assert_eq!(flow.core.poll_timeout(), Some(flow.now));
        flow.advance(ms(0));
        assert_eq!(flow.batches[0].items, [(1, 1), (2, 1)]);
    }

    #[test]
    fn else_5_ms_after_the_last() {
        let mut flow = Flow::to(1);
        let start = flow.now;
        for id in 0..20 {
            flow.commit(id, 1, Durability::Async);
            flow.advance(ms(1));
        }
        let times: Vec<Timestamp> = flow.batches.iter().map(|sent| sent.at - start).collect();
        assert_eq!(times, [ms(0), ms(5), ms(10), ms(15), ms(20)]);
    }

    #[test]
    fn early_at_64_items() {
        let mut flow = Flow::to(1);
        flow.commit(0, 1, Durability::Async);
        flow.advance(ms(1));
        for id in 1..=64 {
            flow.commit(id, 1, Durability::Async);
        }
        assert_eq!(flow.batches.len(), 2);
        assert_eq!((flow.batches[1].at, flow.batches[1].items.len()), (flow.now, 64));
    }

    #[test]
    fn early_at_64_kb_and_never_more_than_that_in_one() {
        let mut flow = Flow::to(1);
        flow.commit(0, 1, Durability::Async);
        flow.advance(ms(1));
        for id in 1..=7 {
            flow.commit_sized(id, 1, Durability::Async, 10_000);
        }
        assert_eq!(flow.batches[1..].iter().map(|sent| sent.items.len()).collect::<Vec<_>>(), [6, 1]);
    }

    #[test]
    fn an_item_above_64_kb_goes_alone() {
        let mut flow = Flow::to(1);
        flow.commit_sized(1, 1, Durability::Async, 10);
        flow.commit_sized(2, 1, Durability::Async, 100_000);
        flow.commit_sized(3, 1, Durability::Async, 10);
        flow.advance(ms(5));
        assert_eq!(flow.batches.iter().map(|sent| sent.items.len()).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn a_burst_of_changes_collapses_to_the_newest() {
        let mut flow = Flow::to(1);
        for version in 1..=100 {
            flow.commit(1, version, Durability::Acked);
        }
        flow.advance(ms(0));
        assert_eq!(flow.batches[0].items, [(1, 100)]);
        flow.ack(1);
        let expected: Vec<_> = (1..=100).map(|version| (1, version, true)).collect();
        assert_eq!(flow.confirmed, expected, "and its acknowledgement confirms them all, in order");
    }

    #[test]
    fn at_3_000_commits_a_second_there_are_200_batches() {
        let mut flow = Flow::to(1);
        for id in 0..3_000 {
            flow.commit(id, 1, Durability::Acked);
            flow.advance(Timestamp::from_micros(333));
            flow.ack(1);
        }
        assert!((195..=205).contains(&flow.batches.len()), "{}", flow.batches.len());
        assert!(flow.confirmed.len() > 2_980);
    }

    #[test]
    fn live_changes_go_before_repair() {
        let mut flow = Flow::to(1);
        for id in 0..5 {
            flow.core.handle_repair(flow.now, &node(1), key(id), entry(1, 100));
        }
        flow.commit(9, 1, Durability::Acked);
        flow.advance(ms(0));
        assert_eq!(flow.batches[0].items[0], (9, 1));
        assert_eq!(flow.batches[0].items.len(), 6);
    }

    #[test]
    fn repair_keeps_to_its_rate_and_live_changes_do_not_wait_for_it() {
        let mut flow = Flow::to(1);
        let start = flow.now;
        for id in 0..600 {
            flow.core.handle_repair(flow.now, &node(1), key(id), entry(1, 10_000));
        }
        // 6 MB at 20 MB/s, the first of them at once.
        let mut sent = 0;
        while sent < 600 {
            flow.advance(ms(1));
            flow.ack(1);
            sent = flow.batches.iter().map(|sent| sent.items.len()).sum();
        }
        let took = flow.now - start;
        assert!((ms(200)..ms(280)).contains(&took), "{took:?}");
    }

    #[test]
    fn no_key_waits_for_ever_behind_busier_ones() {
        let mut flow = Flow::to(1);
        for round in 0..20 {
            for id in 0..100 {
                flow.commit(id, round + 1, Durability::Async);
            }
            flow.advance(ms(5));
            flow.ack(1);
        }
        let last =
            |id| flow.batches.iter().flat_map(|sent| &sent.items).rfind(|item| item.0 == id).unwrap().1;
        assert!((0..100).all(|id| last(id) >= 19));
    }
}

mod what_is_in_flight {
    use super::*;

    #[test]
    fn is_at_most_512_items() {
        let mut flow = Flow::to(1);
        for id in 0..2_000 {
            flow.commit(id, 1, Durability::Async);
        }
        flow.advance(ms(20));
        let items = |flow: &Flow| flow.batches.iter().map(|sent| sent.items.len()).sum::<usize>();
        assert_eq!(items(&flow), 512);
        flow.ack(1);
        flow.advance(ms(5));
        assert_eq!(items(&flow), 1_024);
    }

    #[test]
    fn is_at_most_256_kb_and_one_batch() {
        let mut flow = Flow::to(1);
        for id in 0..200 {
            flow.commit_sized(id, 1, Durability::Async, 10_000);
        }
        flow.advance(ms(20));
        let bytes = flow.core.gauges().bytes_in_flight;
        assert!((256 * 1024..320 * 1024).contains(&bytes), "{bytes}");
    }

    #[test]
    fn is_sent_again_in_a_new_stream_when_the_peer_misses_a_batch() {
        let mut flow = Flow::to(1);
        flow.commit(1, 1, Durability::Acked);
        flow.advance(ms(5));
        flow.commit(2, 1, Durability::Acked);
        flow.advance(ms(5));
        let stream = flow.batches[0].stream;
        flow.core.handle_ack(flow.now, &node(1), Ack { stream, seq: 0, gap: true });
        flow.advance(ms(5));
        let again = flow.batches.last().unwrap().clone();
        assert!(again.stream > stream);
        assert_eq!((again.seq, again.items), (1, vec![(1, 1), (2, 1)]));
        // What was said about the old stream counts no more.
        flow.core.handle_ack(flow.now, &node(1), Ack { stream, seq: 2, gap: false });
        flow.drain();
        assert_eq!(flow.confirmed, []);
        flow.ack(1);
        assert_eq!(flow.confirmed, [(1, 1, true), (2, 1, true)]);
    }

    #[test]
    fn is_acknowledged_only_up_to_the_first_gap() {
        let mut flow = Flow::to(1);
        let mut heard = |stream, seq| flow.core.handle_batch(&node(1), stream, seq);
        assert_eq!(heard(5, 1), Some(Ack { stream: 5, seq: 1, gap: false }));
        assert_eq!(heard(5, 3), Some(Ack { stream: 5, seq: 1, gap: true }));
        assert_eq!(heard(4, 9), None, "a stream that is over");
        assert_eq!(heard(6, 1), Some(Ack { stream: 6, seq: 1, gap: false }));
        assert_eq!(heard(6, 1), Some(Ack { stream: 6, seq: 1, gap: false }), "twice is no gap");
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_is_ignored() {
        let mut flow = Flow::to(1);
        flow.commit(1, 1, Durability::Acked);
        flow.advance(ms(0));
        let stream = flow.batches[0].stream;
        flow.core.handle_ack(flow.now, &node(1), Ack { stream, seq: 99, gap: false });
        flow.drain();
        assert_eq!(flow.confirmed, []);
    }
}

mod when_a_commit_is_confirmed {
    use super::*;

    #[test]
    fn async_at_once() {
        let mut flow = Flow::to(1);
        flow.commit(1, 1, Durability::Async);
        assert_eq!(flow.confirmed, [(1, 1, false)]);
        assert_eq!(flow.core.counters().unprotected, 0, "nobody asked for protection");
    }

    #[test]
    fn acked_by_the_first_of_two() {
        let mut flow = Flow::to(2);
        flow.commit(1, 1, Durability::Acked);
        flow.advance(ms(0));
        flow.ack(2);
        assert_eq!(flow.confirmed, [(1, 1, true)]);
    }

    #[test]
    fn all_by_the_last_of_two() {
        let mut flow = Flow::to(2);
        flow.commit(1, 1, Durability::All);
        flow.advance(ms(0));
        flow.ack(2);
        assert_eq!(flow.confirmed, []);
        flow.ack(1);
        assert_eq!(flow.confirmed, [(1, 1, true)]);
    }

    #[test]
    fn in_version_order_whatever_each_asked_for() {
        let mut flow = Flow::to(2);
        flow.commit(1, 1, Durability::All);
        flow.commit(1, 2, Durability::Acked);
        flow.commit(1, 3, Durability::Async);
        flow.advance(ms(0));
        flow.ack(1);
        assert_eq!(flow.confirmed, [], "the first still waits for n2");
        flow.ack(2);
        assert_eq!(flow.confirmed, [(1, 1, true), (1, 2, true), (1, 3, true)]);
    }

    #[test]
    fn all_of_one_acknowledgement_follow_each_other() {
        let mut flow = Flow::to(1);
        for id in 0..40 {
            flow.commit(id, 1, Durability::Acked);
        }
        flow.advance(ms(0));
        let stream = flow.batches[0].stream;
        flow.core.handle_ack(flow.now, &node(1), Ack { stream, seq: 1, gap: false });
        let effects: Vec<Effect> = std::iter::from_fn(|| flow.core.poll_effect()).collect();
        assert_eq!(effects.len(), 40);
        assert!(effects.iter().all(|effect| matches!(effect, Effect::Confirmed(_))));
    }

    #[test]
    fn at_once_without_protection_when_there_is_no_target() {
        let mut flow = Flow::to(0);
        flow.commit(1, 1, Durability::Acked);
        flow.commit(2, 1, Durability::All);
        assert_eq!(flow.confirmed, [(1, 1, false), (2, 1, false)]);
        assert_eq!(flow.core.counters().unprotected, 2);
        assert_eq!(flow.targets, 0);
    }

    #[test]
    fn by_the_rest_when_a_target_leaves_the_view() {
        let mut flow = Flow::to(2);
        flow.commit(1, 1, Durability::All);
        flow.advance(ms(0));
        flow.ack(1);
        assert_eq!(flow.confirmed, []);
        flow.retarget(&[1]);
        assert_eq!(flow.confirmed, [(1, 1, true)]);
    }

    #[test]
    fn by_the_new_target_when_the_only_one_is_replaced() {
        let mut flow = Flow::to(1);
        flow.core.handle_link(flow.now, &node(2), BOOT, true);
        flow.commit(1, 1, Durability::Acked);
        flow.advance(ms(0));
        flow.core.handle_link(flow.now, &node(1), BOOT, false);
        flow.retarget(&[2]);
        flow.advance(ms(0));
        assert_eq!(flow.confirmed, []);
        flow.ack(2);
        assert_eq!(flow.confirmed, [(1, 1, true)]);
    }

    #[test]
    fn a_broken_link_has_200_ms_to_come_back_and_what_waits_is_sent_again() {
        let mut flow = Flow::to(1);
        flow.commit(1, 1, Durability::Acked);
        flow.advance(ms(0));
        flow.core.handle_link(flow.now, &node(1), BOOT, false);
        flow.advance(ms(150));
        assert_eq!(flow.confirmed, []);
        flow.core.handle_link(flow.now, &node(1), BOOT, true);
        flow.advance(ms(0));
        flow.ack(1);
        assert_eq!(flow.confirmed, [(1, 1, true)]);
    }

    #[test]
    fn without_protection_when_the_link_stays_down_for_200_ms() {
        let mut flow = Flow::to(1);
        flow.core.handle_link(flow.now, &node(1), BOOT, false);
        flow.commit(1, 1, Durability::Acked);
        flow.advance(ms(199));
        assert_eq!(flow.confirmed, []);
        flow.advance(ms(1));
        assert_eq!(flow.confirmed, [(1, 1, false)]);
        flow.commit(2, 1, Durability::Acked);
        assert_eq!(flow.confirmed.last(), Some(&(2, 1, false)), "the next one at once");
    }

    #[test]
    fn never_when_the_shard_went_to_another_owner() {
        let mut flow = Flow::to(1);
        flow.commit(1, 1, Durability::Acked);
        flow.advance(ms(0));
        flow.core.handle_retired(key(0).shard());
        flow.ack(1);
        flow.advance(ms(1_000));
        assert_eq!(flow.confirmed, []);
        assert_eq!(flow.other, [Effect::Abandoned { shard: key(0).shard(), commits: 1 }]);
        assert_eq!(flow.core.gauges().pending, 0);
    }

    #[test]
    fn not_by_the_acknowledgement_of_an_earlier_epoch() {
        let mut flow = Flow::to(1);
        flow.commit(1, 7, Durability::Acked);
        flow.advance(ms(0));
        // Lost and won again meanwhile.
        flow.core.handle_retired(key(0).shard());
        flow.retarget(&[1]);
        let under = epoch(3);
        let item = Item { epoch: under.clone(), version: 7, terminated: false, body: Bytes::new() };
        flow.core.handle_commit(flow.now, key(1), Durability::Acked, Entry { under, item });
        flow.ack(1);
        assert_eq!(flow.confirmed, []);
        flow.advance(ms(5));
        flow.ack(1);
        assert_eq!(flow.confirmed, [(1, 7, true)]);
    }
}

mod a_peer_that_lags {
    use super::*;

    #[test]
    fn by_200_ms_counts_no_more_and_costs_a_commit_that_time_once() {
        let mut flow = Flow::to(1);
        flow.commit(1, 1, Durability::Acked);
        flow.advance(ms(199));
        assert_eq!(flow.confirmed, []);
        flow.advance(ms(1));
        assert_eq!(flow.confirmed, [(1, 1, false)]);
        assert_eq!(flow.other, [Effect::Lagging { peer: node(1) }]);
        flow.commit(2, 1, Durability::Acked);
        assert_eq!(flow.confirmed.last(), Some(&(2, 1, false)));
        assert_eq!(flow.core.counters().unprotected, 2);
    }

    #[test]
    fn leaves_the_others_to_confirm() {
        let mut flow = Flow::to(2);
        flow.commit(1, 1, Durability::All);
        flow.advance(ms(0));
        flow.ack(1);
        flow.advance(ms(200));
        assert_eq!(flow.confirmed, [(1, 1, true)]);
        assert_eq!(flow.other, [Effect::Lagging { peer: node(2) }]);
        assert_eq!(flow.core.gauges().lagging, 1);
    }

    #[test]
    fn counts_again_when_it_has_caught_up() {
        let mut flow = Flow::to(1);
        flow.commit(1, 1, Durability::Acked);
        flow.advance(ms(200));
        flow.commit(2, 1, Durability::Acked);
        flow.advance(ms(5));
        flow.ack(1);
        assert_eq!(flow.other.last(), Some(&Effect::CaughtUp { peer: node(1) }));
        flow.commit(3, 1, Durability::Acked);
        assert_eq!(flow.confirmed.len(), 2, "the third waits again");
    }

    #[test]
    fn is_not_blamed_when_our_own_clock_stood_still() {
        let mut flow = Flow::to(1);
        flow.commit(1, 1, Durability::Acked);
        flow.advance(ms(0));
        // Stopped for five seconds: whether we still own anything is to be learned first.
        flow.now += ms(5_000);
        flow.core.handle_timeout(flow.now);
        flow.drain();
        assert_eq!(flow.confirmed, []);
        flow.ack(1);
        assert_eq!(flow.confirmed, [(1, 1, true)]);
    }
}

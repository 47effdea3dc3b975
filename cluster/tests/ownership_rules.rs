//! The ownership rules one by one, each test named by what it demands.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod engine_kit;

use engine_kit::bench::{Bench, body};
use engine_kit::{ms, node, view};
use holdline_cluster::engine::{Config, Durability, Effect, Engine, Notice, Role};
use holdline_cluster::id::{Epoch, Key, SHARDS, Shard};
use holdline_protos::v1;

/// How long a bench needs to bring copies up to date: a round of repair, its batch and its proof.
const REPAIR: std::time::Duration = ms(300);

mod rule_1_epochs {
    use super::*;

    #[test]
    fn a_higher_epoch_turns_an_owner_into_a_holder_that_keeps_its_copies() {
        let mut bench = Bench::formed(3, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        // n1 believes that n0 is gone, n0 does not.
        bench.see(1, &[1, 2]);
        assert_eq!(bench.owners(key.shard()), [1]);
        assert_eq!(bench.engines[0].role(key.shard()), Role::Holder);
        assert!(bench.effects[0].contains(&Effect::Retired { shard: key.shard() }));
        assert_eq!(bench.version(0, key), Some(1));
    }

    #[test]
    fn a_lower_epoch_is_answered_with_stale_and_changes_nothing() {
        let mut bench = Bench::formed(3, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        // n0 hears nothing while n1 takes over, and goes on writing.
        bench.hold.extend([(1, 0), (2, 0)]);
        bench.see(1, &[1, 2]);
        bench.advance(ms(500));
        assert_eq!(bench.owners(key.shard()), [0, 1]);
        bench.commit(0, key, 2, Durability::Acked);
        bench.advance(ms(10));
        assert_eq!(bench.version(1, key), Some(1), "a put under an epoch that is over is refused");
        assert!(matches!(bench.notices(1)[..], [.., Notice::Stale { .. }]));
        assert_eq!(bench.confirmed(0), [(1, true)], "nothing of the stale owner is confirmed");
        // The answer reaches it: it stops, and what waited is never confirmed.
        bench.release();
        assert_eq!(bench.owners(key.shard()), [1]);
        let abandoned = Notice::Abandoned { shard: key.shard(), commits: 1 };
        assert!(bench.notices(0).contains(&abandoned));
        bench.advance(ms(1_000));
        assert_eq!(bench.confirmed(0), [(1, true)]);
    }

    #[test]
    fn of_two_owners_after_a_split_the_higher_epoch_stays() {
        let mut bench = Bench::formed(2, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        bench.link(0, 1, false);
        bench.see(0, &[0]);
        bench.see(1, &[1]);
        assert_eq!(bench.owners(key.shard()), [0, 1], "each half serves");
        bench.commit(0, key, 2, Durability::Acked);
        bench.link(0, 1, true);
        bench.see_all(&[0, 1]);
        bench.advance(REPAIR);
        assert_eq!(bench.owners(key.shard()), [1], "the one that took over has the higher term");
        assert_eq!(bench.version(0, key), bench.version(1, key));
        for shard in Shard::all() {
            assert_eq!(bench.owners(shard).len(), 1, "shard {shard}");
        }
    }
}

mod rule_2_writes {
    use super::*;

    #[test]
    fn only_the_owner_writes() {
        let mut bench = Bench::formed(3, 1);
        let key = bench.key(0, 1);
        bench.commit(1, key, 1, Durability::Acked);
        bench.advance(ms(300));
        assert_eq!(bench.notices(1), [Notice::NotOwner { key, version: 1 }]);
        assert_eq!(bench.confirmed(1), []);
        assert_eq!(bench.version(1, key), None);
    }

    #[test]
    fn an_old_version_and_a_change_after_the_end_are_refused() {
        let mut bench = Bench::formed(2, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 5);
        bench.commit(0, key, 5, Durability::Acked);
        bench.end(0, key, 6);
        bench.commit(0, key, 7, Durability::Acked);
        let outdated = |version| Notice::Outdated { key, version };
        assert_eq!(bench.notices(0), [outdated(5), outdated(7)]);
    }

    #[test]
    fn the_body_is_shared_between_the_store_and_the_caller() {
        let mut bench = Bench::formed(1, 1);
        let key = Key { placement: 7, id: 4 };
        bench.commit(0, key, 1, Durability::Acked);
        assert_eq!(bench.stored(0, key).unwrap().body, body(1));
        assert_eq!(bench.confirmed(0), [(1, false)], "alone there is nobody to protect it");
    }
}

mod rule_3_takeover {
    use super::*;

    #[test]
    fn nothing_is_claimed_before_the_view_is_formed() {
        let mut engine = Engine::new(Config::new(node(0), 1));
        engine.handle_view(ms(1), view(0, &[(0, 1)], false));
        assert_eq!((engine.stats().owned, engine.poll_timeout()), (0, None));
        engine.handle_view(ms(2), view(0, &[(0, 1)], true));
        assert_eq!(engine.stats().owned, usize::from(SHARDS));
    }

    #[test]
    fn a_formed_cluster_owns_every_shard_exactly_once() {
        let bench = Bench::formed(3, 1);
        for shard in Shard::all() {
            assert_eq!(bench.owners(shard).len(), 1, "shard {shard}");
        }
    }

    #[test]
    fn the_first_copy_takes_over_and_says_whom_it_lost() {
        let mut bench = Bench::formed(3, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 3);
        bench.isolate(0);
        bench.see(1, &[1, 2]);
        bench.see(2, &[1, 2]);
        let activated = bench.effects[1].iter().find_map(|effect| match effect {
            Effect::Activated { shard, epoch, lost, items } if *shard == key.shard() => {
                Some((epoch, lost, items))
            }
            _ => None,
        });
        let (epoch, lost, items) = activated.unwrap();
        assert_eq!(*epoch, Epoch { term: 2, node: node(1), boot: 1 });
        assert_eq!(*lost, Some(node(0)));
        assert_eq!((items.len(), items[0].version, &items[0].body), (1, 3, &body(3)));
        assert_eq!(bench.engines[2].owner(key.shard()), epoch, "everybody asked knows the new epoch");
    }

    #[test]
    fn the_same_name_with_another_boot_is_not_the_owner() {
        let mut bench = Bench::formed(2, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        bench.isolate(0);
        bench.restart(0);
        bench.link(0, 1, true);
        bench.see_all(&[0, 1]);
        bench.advance(REPAIR);
        // It is its turn by the placement, and it gets everything back from the copy.
        assert_eq!(bench.owners(key.shard()), [0]);
        assert_eq!(bench.engines[0].owner(key.shard()), &Epoch { term: 2, node: node(0), boot: 2 });
        assert_eq!(bench.version(0, key), Some(1));
    }

    #[test]
    fn a_newcomer_takes_nothing_from_a_living_owner() {
        let mut bench = Bench::formed(2, 1);
        let before: Vec<_> = Shard::all().map(|shard| bench.owners(shard)).collect();
        let at = bench.spawn();
        bench.link(0, at, true);
        bench.link(1, at, true);
        bench.see(at, &[0, 1, at]);
        bench.see_all(&[0, 1, at]);
        bench.advance(ms(3_000));
        let after: Vec<_> = Shard::all().map(|shard| bench.owners(shard)).collect();
        assert_eq!(before, after);
        assert_eq!(bench.engines[at].stats().recovering, 0);
    }

    #[test]
    fn it_serves_only_when_every_live_node_has_answered() {
        let mut bench = Bench::formed(3, 1);
        let shard = bench.shard(0, 1);
        bench.isolate(0);
        bench.hold.insert((2, 1));
        bench.see(1, &[1, 2]);
        bench.advance(ms(390));
        assert_eq!(bench.engines[1].role(shard), Role::Recovering);
        bench.release();
        assert_eq!(bench.engines[1].role(shard), Role::Owner);
    }

    #[test]
    fn a_node_that_does_not_answer_is_waited_for_400_ms_and_no_longer() {
        let mut bench = Bench::formed(3, 1);
        let shard = bench.shard(0, 1);
        bench.isolate(0);
        bench.hold.insert((2, 1));
        bench.see(1, &[1, 2]);
        bench.advance(ms(400));
        assert_eq!(bench.engines[1].role(shard), Role::Owner);
        assert!(bench.notices(1).contains(&Notice::Unanswered { shard, missing: vec![node(2)] }));
    }

    #[test]
    fn a_node_that_leaves_meanwhile_is_not_waited_for() {
        let mut bench = Bench::formed(3, 1);
        let shard = bench.shard(0, 1);
        bench.isolate(0);
        bench.hold.insert((2, 1));
        bench.see(1, &[1, 2]);
        assert_eq!(bench.engines[1].role(shard), Role::Recovering);
        bench.see(1, &[1]);
        assert_eq!(bench.engines[1].role(shard), Role::Owner);
    }

    #[test]
    fn the_newest_version_wins_wherever_it_is() {
        let mut bench = Bench::formed(3, 2);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        // Only the second copy gets version 2, and its acknowledgement is enough.
        bench.hold.insert((0, 1));
        bench.commit(0, key, 2, Durability::Acked);
        bench.advance(ms(10));
        assert_eq!(bench.confirmed(0), [(1, true), (2, true)]);
        bench.kept.clear();
        bench.hold.clear();
        bench.isolate(0);
        bench.see_all(&[1, 2]);
        bench.advance(REPAIR);
        assert_eq!(bench.engines[1].role(key.shard()), Role::Owner);
        assert_eq!(bench.version(1, key), Some(2));
    }

    #[test]
    fn what_was_promised_by_a_copy_that_died_is_asked_of_the_others_again() {
        let mut bench = Bench::formed(4, 3);
        let key = bench.key(0, 1);
        bench.hold.insert((0, 1));
        bench.commit(0, key, 1, Durability::Acked);
        bench.advance(ms(10));
        bench.kept.clear();
        bench.hold.clear();
        bench.isolate(0);
        // Both others list it, n1 wants it of one of them, and that one dies before it answers.
        bench.hold.extend([(1, 2), (1, 3)]);
        bench.see(1, &[1, 2, 3]);
        let wants = |kept: &(usize, usize, v1::Frame)| !kept.2.query.is_empty();
        assert!(bench.kept.iter().all(wants));
        let queries = std::mem::take(&mut bench.kept);
        for (from, to, frame) in queries {
            bench.deliver(from, to, frame);
        }
        bench.exchange();
        let wanted: Vec<usize> =
            bench.kept.iter().filter(|(_, _, frame)| !frame.want.is_empty()).map(|(_, to, _)| *to).collect();
        assert_eq!(wanted.len(), 1, "one of them is asked");
        bench.kept.clear();
        bench.hold.clear();
        let rest: Vec<usize> = [1, 2, 3].into_iter().filter(|at| *at != wanted[0]).collect();
        bench.isolate(wanted[0]);
        bench.see_all(&rest);
        bench.advance(ms(10));
        assert_eq!(bench.engines[1].role(key.shard()), Role::Owner);
        assert_eq!(bench.version(1, key), Some(1));
    }

    #[test]
    fn a_copy_that_turns_up_late_reaches_the_application_and_the_other_copies() {
        let mut bench = Bench::formed(3, 2);
        let key = bench.key(0, 1);
        bench.hold.insert((0, 1));
        bench.commit(0, key, 1, Durability::Acked);
        bench.advance(ms(10));
        bench.kept.clear();
        bench.hold.clear();
        bench.isolate(0);
        // n2 holds it, but n1 cannot reach n2 in time.
        bench.link(1, 2, false);
        bench.see_all(&[1, 2]);
        bench.advance(ms(500));
        assert_eq!(bench.version(1, key), None);
        bench.effects[1].clear();
        bench.link(1, 2, true);
        bench.advance(REPAIR);
        let late = bench.effects[1].iter().find_map(|effect| match effect {
            Effect::Activated { shard, items, .. } if *shard == key.shard() => Some(items.clone()),
            _ => None,
        });
        assert_eq!(late.map(|items| items[0].version), Some(1));
    }
}

mod rule_5_repair {
    use super::*;

    #[test]
    fn a_new_target_gets_everything_it_lacks() {
        let mut bench = Bench::formed(1, 1);
        let keys: Vec<Key> = (0..500).map(|n| Key { placement: n * 100, id: u64::from(n) << 2 }).collect();
        for key in &keys {
            bench.commit(0, *key, 1, Durability::Acked);
        }
        let at = bench.spawn();
        bench.link(0, at, true);
        bench.see_all(&[0, at]);
        bench.advance(ms(500));
        assert!(keys.iter().all(|key| bench.version(at, *key) == Some(1)));
        assert_eq!(bench.engines[0].stats().unequal, 0);
    }

    #[test]
    fn unequal_copies_are_compared_every_100_ms_until_they_are_equal() {
        let mut bench = Bench::formed(2, 1);
        let key = bench.key(0, 1);
        bench.link(0, 1, false);
        bench.hold.extend([(0, 1), (1, 0)]);
        bench.link(0, 1, true);
        bench.advance(ms(350));
        // The first when the link comes up; then ever fewer, because nobody answers.
        let digests =
            bench.kept.iter().filter(|(from, _, frame)| *from == 0 && !frame.digest.is_empty()).count();
        assert_eq!(digests, 3);
        assert!(bench.engines[0].stats().unequal > 0);
        bench.release();
        bench.advance(ms(100));
        assert_eq!(bench.engines[0].stats().unequal, 0);
        bench.store(0, key, 1);
    }

    #[test]
    fn a_broken_link_loses_what_was_in_flight_and_repair_brings_it() {
        let mut bench = Bench::formed(2, 1);
        let key = bench.key(0, 1);
        bench.hold.insert((0, 1));
        bench.commit(0, key, 1, Durability::Async);
        bench.advance(ms(10));
        bench.kept.clear();
        bench.hold.clear();
        bench.link(0, 1, false);
        bench.link(0, 1, true);
        bench.advance(REPAIR);
        assert_eq!(bench.version(1, key), Some(1));
    }

    #[test]
    fn a_difference_that_nobody_noticed_is_found_within_seconds() {
        let mut bench = Bench::formed(2, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        bench.end(0, key, 2);
        // The `Forget` of the end is lost.
        bench.advance(ms(31_900));
        bench.hold.insert((0, 1));
        bench.advance(ms(500));
        assert_eq!((bench.engines[0].stats().items, bench.engines[0].stats().graves), (0, 0));
        bench.kept.clear();
        bench.hold.clear();
        bench.advance(ms(4_000));
        assert_eq!((bench.engines[1].stats().items, bench.engines[1].stats().graves), (0, 0));
    }

    #[test]
    fn at_rest_there_is_one_small_frame_each_way_every_three_seconds() {
        let mut bench = Bench::formed(2, 1);
        bench.advance(ms(3_000));
        bench.hold.extend([(0, 1), (1, 0)]);
        bench.advance(ms(9_000));
        assert!(bench.kept.iter().all(|(_, _, frame)| frame.audit.is_some() && frame.digest.is_empty()));
        assert_eq!(bench.kept.len(), 6);
    }
}

mod release {
    use super::*;

    #[test]
    fn a_copy_on_a_node_that_is_no_target_goes_when_the_targets_are_equal_and_not_before() {
        let mut bench = Bench::formed(2, 1);
        let newcomer = bench.spawn();
        // A shard whose copy moves from n1 to the newcomer.
        let all = view(0, &[(0, 1), (1, 1), (newcomer, 1)], true);
        let moves = |shard: &Shard| {
            bench.engines[0].role(*shard) == Role::Owner
                && holdline_cluster::placement::targets(*shard, &all, &node(0), 1) == [node(newcomer)]
        };
        let key = *Shard::all().find(moves).unwrap().keys().start();
        bench.store(0, key, 1);
        bench.link(0, newcomer, true);
        bench.link(1, newcomer, true);
        bench.hold.insert((newcomer, 0));
        bench.see(newcomer, &[0, 1, newcomer]);
        bench.see_all(&[0, 1]);
        bench.see_all(&[0, 1, newcomer]);
        bench.advance(ms(1_000));
        assert_eq!(bench.version(1, key), Some(1), "the newcomer has not proven anything yet");
        bench.release();
        bench.advance(ms(1_000));
        assert_eq!(bench.version(newcomer, key), Some(1));
        assert_eq!(bench.version(1, key), None);
    }

    #[test]
    fn copies_of_a_shard_without_an_owner_have_a_time_to_live() {
        let mut bench = Bench::formed(3, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        let copy = 1;
        // n1 loses sight of n0 but is not the next owner in what it sees, and nobody tells it anything.
        bench.isolate(copy);
        let heir = (2..200).find(|other| {
            let seen = view(copy, &[(copy, 1), (*other, 1)], true);
            holdline_cluster::placement::place(key.shard(), &seen).unwrap().id == node(*other)
        });
        let seen = view(copy, &[(copy, 1), (heir.unwrap(), 1)], true);
        bench.engines[copy].handle_view(bench.now, seen);
        bench.advance(ms(3_599_000));
        assert_eq!(bench.version(copy, key), Some(1));
        bench.advance(ms(2_000));
        assert_eq!(bench.version(copy, key), None);
        assert!(bench.notices(copy).contains(&Notice::Orphaned { shard: key.shard(), items: 1 }));
    }
}

mod rule_11_tombstones {
    use super::*;

    #[test]
    fn the_end_of_an_item_is_kept_for_32_s_and_gone_everywhere_within_40() {
        let mut bench = Bench::formed(3, 2);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        bench.end(0, key, 2);
        bench.advance(ms(31_900));
        for at in 0..3 {
            let stats = bench.engines[at].stats();
            assert_eq!((stats.items, stats.tombstones), (1, 1), "n{at}");
            assert_eq!(bench.stored(at, key).unwrap().body, "ended");
        }
        bench.advance(ms(8_000));
        for at in 0..3 {
            let stats = bench.engines[at].stats();
            assert_eq!((stats.items, stats.tombstones, stats.graves), (0, 0, 0), "n{at}");
        }
    }

    #[test]
    fn while_a_node_is_away_its_end_is_remembered_without_a_body() {
        let mut bench = Bench::formed(3, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        bench.isolate(2);
        bench.see_all(&[0, 1]);
        bench.end(0, key, 2);
        bench.advance(ms(60_000));
        for at in 0..2 {
            let stats = bench.engines[at].stats();
            assert_eq!((stats.items, stats.graves), (0, 1), "n{at}");
        }
        bench.advance(ms(3_600_000));
        for at in 0..2 {
            assert_eq!(bench.engines[at].stats().graves, 0, "n{at}: an hour is the longest");
        }
    }

    #[test]
    fn a_restarted_node_holds_nothing_so_nothing_need_be_remembered() {
        let mut bench = Bench::formed(3, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        bench.isolate(2);
        bench.see_all(&[0, 1]);
        bench.end(0, key, 2);
        bench.advance(ms(60_000));
        assert_eq!(bench.engines[0].stats().graves, 1);
        bench.restart(2);
        bench.link(0, 2, true);
        bench.link(1, 2, true);
        bench.see_all(&[0, 1, 2]);
        bench.advance(ms(4_000));
        assert!((0..3).all(|at| bench.engines[at].stats().graves == 0));
    }

    #[test]
    fn an_item_that_has_ended_does_not_come_back_with_a_node_that_was_away() {
        let mut bench = Bench::formed(3, 1);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        // The owner is cut off; its call goes on elsewhere and ends there.
        bench.isolate(0);
        bench.see(0, &[0]);
        bench.see_all(&[1, 2]);
        bench.end(1, key, 2);
        bench.advance(ms(60_000));
        assert_eq!(bench.version(0, key), Some(1), "the lost owner still has it");
        bench.link(0, 1, true);
        bench.link(0, 2, true);
        bench.see_all(&[0, 1, 2]);
        bench.advance(ms(40_000));
        for at in 0..3 {
            assert_eq!(bench.version(at, key), None, "n{at}");
            assert_eq!(bench.engines[at].stats().graves, 0, "n{at}");
        }
    }

    #[test]
    fn a_heir_inherits_the_ends_too() {
        let mut bench = Bench::formed(3, 2);
        let key = bench.key(0, 1);
        bench.store(0, key, 1);
        bench.end(0, key, 2);
        bench.advance(ms(10));
        bench.isolate(0);
        bench.see_all(&[1, 2]);
        bench.advance(REPAIR);
        assert!(bench.stored(1, key).unwrap().terminated);
        bench.commit(1, key, 3, Durability::Acked);
        assert!(bench.notices(1).contains(&Notice::Outdated { key, version: 3 }));
    }
}

mod what_comes_off_the_wire {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_of_a_process_without_a_link_is_ignored() {
        let mut bench = Bench::formed(2, 1);
        let frame = v1::Frame { audit: Some(v1::Audit::default()), ..v1::Frame::default() };
        bench.engines[0].handle_frame(bench.now, &node(1), 99, frame);
        assert_eq!(bench.engines[0].stats().malformed, 1);
        assert_eq!(bench.engines[0].poll_effect(), None);
    }

    #[test]
    fn what_is_out_of_range_is_counted_and_noticed() {
        let epochs = vec![v1::Epoch { term: 9, node: "n1".into(), boot: 1 }];
        let digest = |shard, epoch| v1::Shards { epoch, shards: vec![shard], hashes: vec![0] };
        let item = |placement| v1::Item { placement, ..v1::Item::default() };
        let batch = |placement| Some(v1::Batch { stream: 1, seq: 1, items: vec![item(placement)] });
        let bad = [
            v1::Frame { epochs: epochs.clone(), digest: vec![digest(4096, 0)], ..v1::Frame::default() },
            v1::Frame { epochs: epochs.clone(), digest: vec![digest(1, 1)], ..v1::Frame::default() },
            v1::Frame { epochs: epochs.clone(), batch: batch(65_536), ..v1::Frame::default() },
            v1::Frame { epochs: vec![v1::Epoch::default()], ..v1::Frame::default() },
            v1::Frame {
                epochs: epochs.clone(),
                want: vec![v1::Names { epoch: 0, placements: vec![1, 2], ids: vec![1] }],
                ..v1::Frame::default()
            },
            v1::Frame {
                epochs,
                have: vec![v1::Have { epoch: 0, shards: vec![1], items: vec![v1::Listed::default()] }],
                ..v1::Frame::default()
            },
        ];
        let count = bad.len() as u64;
        let mut bench = Bench::formed(2, 1);
        for frame in bad {
            bench.deliver(1, 0, frame);
        }
        bench.exchange();
        assert_eq!(bench.engines[0].stats().malformed, count);
        assert!(bench.notices(0).iter().all(|notice| matches!(notice, Notice::Malformed { .. })));
    }

    fn shards() -> impl Strategy<Value = Vec<v1::Shards>> {
        let group = (0u32..3, 0u32..4100, any::<u64>());
        let group = group.prop_map(|(epoch, shard, hash)| v1::Shards {
            epoch,
            shards: vec![shard],
            hashes: vec![hash],
        });
        prop::collection::vec(group, 0..3)
    }

    fn frame() -> impl Strategy<Value = v1::Frame> {
        let epoch = (0u32..4, 0usize..3, 0u64..3);
        let epoch = epoch.prop_map(|(term, at, boot)| v1::Epoch { term, node: format!("n{at}"), boot });
        let item = (0u32..3, 0u32..3, 0u32..65_540, 0u64..3, any::<bool>());
        let item = item.prop_map(|(under, epoch, placement, version, terminated)| v1::Item {
            under,
            epoch,
            placement,
            id: 4,
            version,
            terminated,
            body: body(version),
        });
        let items = prop::collection::vec(item, 0..3);
        (
            prop::collection::vec(epoch, 0..3),
            items,
            shards(),
            shards(),
            shards(),
            shards(),
            shards(),
            any::<u64>(),
        )
            .prop_map(|(epochs, items, stale, query, digest, same, release, seq)| v1::Frame {
                epochs,
                batch: Some(v1::Batch { stream: seq % 5, seq: seq % 7, items }),
                ack: Some(v1::Ack { stream: seq % 3, seq, gap: seq % 2 == 0 }),
                stale,
                query,
                digest,
                same,
                release,
                audit: Some(v1::Audit { shards: 1, hash: seq, differs: seq % 2 == 0 }),
                ..v1::Frame::default()
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Whatever a peer says, no engine panics, and afterwards the cluster comes to rest again.
        #[test]
        fn no_frame_panics_or_breaks_the_cluster(frames in prop::collection::vec(frame(), 1..6)) {
            let mut bench = Bench::formed(2, 1);
            for frame in frames {
                bench.deliver(1, 0, frame);
                bench.exchange();
            }
            bench.advance(ms(500));
            prop_assert_eq!(bench.engines[0].stats().pending, 0);
        }
    }
}

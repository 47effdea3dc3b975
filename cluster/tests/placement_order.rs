//! Placement is the same everywhere, fair, and hands a dead node's shards to the nodes that hold their copies.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod engine_kit;

use engine_kit::{node, view};
use holdline_cluster::id::{Key, NodeId, SHARDS, Shard};
use holdline_cluster::placement::{Placement, order, place, shard_of, targets};

#[test]
fn it_never_changes_between_versions_and_machines() {
    let seen = view(0, &[(0, 1), (1, 1), (2, 1)], true);
    let owners: String = (0..32).map(|shard| &place(Shard(shard), &seen).unwrap().id.as_str()[1..]).collect();
    assert_eq!(owners, GOLDEN, "a balancer of another version would send calls to the wrong node");
}

const GOLDEN: &str = "11211221020201021122110210222100";

#[test]
fn neither_the_observer_nor_the_boot_matters() {
    let (a, b) = (view(0, &[(0, 1), (1, 1), (2, 1)], true), view(2, &[(0, 7), (1, 8), (2, 9)], false));
    for shard in Shard::all() {
        assert_eq!(place(shard, &a).map(|it| &it.id), place(shard, &b).map(|it| &it.id));
    }
}

#[test]
fn the_table_says_what_the_functions_say() {
    for (count, k) in [(1, 1), (2, 1), (3, 1), (3, 2), (5, 2), (2, 4), (4, 0)] {
        let members: Vec<(usize, u64)> = (0..count).map(|index| (index, 1)).collect();
        let seen = view(0, &members, true);
        let table = Placement::new(&seen, k);
        for shard in Shard::all().step_by(7) {
            assert_eq!(table.place(shard), place(shard, &seen).map(|member| &member.id));
            // Also for an owner that is not the first of the order, or is not in it at all.
            for owner in 0..=count {
                let expected = targets(shard, &seen, &node(owner), k);
                let found: Vec<NodeId> = table.targets(shard, &node(owner)).cloned().collect();
                assert_eq!(found, expected, "{count} nodes, {k} copies, owner n{owner}");
            }
        }
    }
    assert_eq!(Placement::default().place(Shard(0)), None);
}

#[test]
fn the_first_copy_is_the_next_owner() {
    let all: Vec<(usize, u64)> = (0..6).map(|index| (index, 1)).collect();
    let seen = view(0, &all, true);
    for shard in Shard::all() {
        let owner = &place(shard, &seen).unwrap().id;
        let left: Vec<(usize, u64)> =
            all.iter().copied().filter(|(index, _)| node(*index) != *owner).collect();
        let heir = place(shard, &view(0, &left, true)).unwrap().id.clone();
        assert_eq!(targets(shard, &seen, owner, 1).as_slice(), std::slice::from_ref(&heir));
        assert_eq!(order(shard, &seen)[1].id, heir);
    }
}

#[test]
fn every_node_of_eight_owns_within_an_eighth_of_the_mean() {
    let seen = view(0, &(0..8).map(|index| (index, 1)).collect::<Vec<_>>(), true);
    for index in 0..8 {
        let owned = Shard::all().filter(|shard| place(*shard, &seen).unwrap().id == node(index)).count();
        assert!((448..=576).contains(&owned), "n{index} owns {owned} of {SHARDS}");
    }
}

#[test]
fn keys_sort_by_shard_and_a_shard_is_one_range_of_them() {
    assert_eq!(shard_of(0), Shard(0));
    assert_eq!(shard_of(u16::MAX), Shard(SHARDS - 1));
    for shard in Shard::all() {
        let keys = shard.keys();
        assert_eq!((keys.start().shard(), keys.end().shard()), (shard, shard));
        let after = keys.end().placement.checked_add(1).map(|placement| Key { placement, id: 0 });
        assert!(after.is_none_or(|key| key.shard() == Shard(shard.0 + 1)));
    }
}

#[test]
fn node_names_are_checked_with_a_clear_word() {
    for good in ["n1", "a", "node-1.example_2", &"x".repeat(32)] {
        assert_eq!(good.parse::<NodeId>().unwrap().as_str(), good);
    }
    let why = |name: &str| name.parse::<NodeId>().unwrap_err().to_string();
    assert_eq!(why(""), "a node name has 1 to 32 characters, this one has 0");
    assert_eq!(why(&"x".repeat(33)), "a node name has 1 to 32 characters, this one has 33");
    assert_eq!(why("n 1"), "node name \"n 1\" contains ' '; allowed are letters, digits, '.', '_' and '-'");
}

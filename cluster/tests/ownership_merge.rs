//! Rule 10: the merge of two versions is commutative, associative and idempotent, and puts the epoch before the version.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use bytes::Bytes;
use holdline_cluster::id::{Epoch, NodeId};
use holdline_cluster::ownership::Item;
use proptest::prelude::*;

fn item(terminated: bool, term: u32, node: &str, boot: u64, version: u64) -> Item {
    let node: NodeId = node.parse().unwrap();
    // What is written under one epoch and version is one thing: the body follows from them.
    let body = Bytes::from(format!("{terminated} {term} {node} {boot} {version}"));
    Item { epoch: Arc::new(Epoch { term, node, boot }), version, terminated, body }
}

fn any_item() -> impl Strategy<Value = Item> {
    (any::<bool>(), 0u32..3, "[ab]", 0u64..2, 0u64..3)
        .prop_map(|(terminated, term, node, boot, version)| item(terminated, term, &node, boot, version))
}

proptest! {
    #[test]
    fn merge_is_commutative(a in any_item(), b in any_item()) {
        prop_assert_eq!(a.clone().merge(b.clone()), b.merge(a));
    }

    #[test]
    fn merge_is_associative(a in any_item(), b in any_item(), c in any_item()) {
        prop_assert_eq!(a.clone().merge(b.clone()).merge(c.clone()), a.merge(b.merge(c)));
    }

    #[test]
    fn merge_is_idempotent(a in any_item(), b in any_item()) {
        let once = a.merge(b.clone());
        prop_assert_eq!(once.clone().merge(b), once.clone());
        prop_assert_eq!(once.clone().merge(once.clone()), once);
    }
}

#[test]
fn the_end_absorbs_every_version() {
    let ended = item(true, 1, "a", 1, 1);
    assert_eq!(item(false, 9, "b", 9, 9).merge(ended.clone()), ended);
}

#[test]
fn unconfirmed_changes_of_a_stale_owner_lose_against_the_new_one() {
    let (stale, new) = (item(false, 1, "b", 1, 9), item(false, 2, "a", 1, 3));
    assert_eq!(stale.merge(new.clone()), new);
}

#[test]
fn equal_terms_are_decided_by_the_node_and_then_by_its_process() {
    let (a, b) = (item(false, 1, "a", 9, 9), item(false, 1, "b", 1, 1));
    assert_eq!(a.merge(b.clone()), b);
    let (old, young) = (item(false, 1, "a", 1, 9), item(false, 1, "a", 2, 1));
    assert_eq!(old.merge(young.clone()), young);
}

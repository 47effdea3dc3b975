//! Engines against each other on one virtual clock: nothing confirmed is lost, one owner an epoch, nothing left at rest.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod engine_kit;

use engine_kit::sim::{Plan, Verdict, run};
use holdline_cluster::engine::Durability;

const PLAN: Plan = Plan {
    nodes: 3,
    replicas: 1,
    durability: Durability::Acked,
    crashes: 1,
    flaps: 0,
    loss: 0,
    drop_query: false,
};

#[test]
fn a_confirmed_item_survives_the_crash_of_a_node() {
    sweep(PLAN, 0..90);
}

#[test]
fn a_confirmed_item_survives_crashes_while_links_break() {
    sweep(Plan { flaps: 3, crashes: 2, ..PLAN }, 1_000..1_050);
}

#[test]
fn a_confirmed_item_survives_crashes_while_frames_vanish() {
    sweep(Plan { nodes: 4, loss: 3, ..PLAN }, 2_000..2_050);
}

#[test]
fn two_copies_and_all_of_them_acknowledged() {
    sweep(
        Plan { nodes: 4, replicas: 2, durability: Durability::All, flaps: 2, loss: 2, ..PLAN },
        3_000..3_030,
    );
}

#[test]
fn two_nodes_alone() {
    sweep(Plan { nodes: 2, crashes: 2, ..PLAN }, 4_000..4_040);
}

/// The plan in which the mutation below must show: two copies, one acknowledgement, links that lose.
const LOSSY: Plan = Plan { nodes: 4, replicas: 2, loss: 10, ..PLAN };

#[test]
fn one_of_two_copies_is_enough_because_a_takeover_asks_all() {
    sweep(LOSSY, 5_000..5_040);
}

/// The mutation: if `Query` never arrives, the first of the order serves what it happens to have, and the change that
/// only the second acknowledged is gone.
#[test]
fn without_query_confirmed_updates_are_lost() {
    let losing: Vec<u64> = (5_000..5_040)
        .filter(|seed| !run(Plan { drop_query: true, ..LOSSY }, *seed).lost.is_empty())
        .collect();
    println!("seeds that lose: {losing:?}");
    assert!(!losing.is_empty(), "the simulation is blind to a missing Query");
}

/// Runs the seeds of a plan; `SEED=5011 TRACE=1 cargo test --test engine_simulation` replays one and prints it.
fn sweep(plan: Plan, seeds: std::ops::Range<u64>) {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        if seeds.contains(&seed) {
            run(plan, seed).assert_clean(seed);
        }
        return;
    }
    let mut total = Verdict::default();
    let runs = seeds.end - seeds.start;
    for seed in seeds {
        let verdict = run(plan, seed);
        verdict.assert_clean(seed);
        total.protected += verdict.protected;
        total.taken_over += verdict.taken_over;
    }
    // A run in which nothing happens proves nothing.
    assert!(total.protected > 300 * runs, "only {} protected commits", total.protected);
    assert!(total.taken_over > 100 * runs, "only {} takeovers", total.taken_over);
}

//! The whole cluster on a virtual clock: no confirmed call is lost, one owner per shard and epoch, nothing left at the end.

use holdline::Durability;
use holdline_integration::sim::{self, Plan, Violation};

#[test]
fn a_crash_loses_no_confirmed_call() {
    sim::hold(&Plan::CRASH, 0..200);
}

#[test]
fn loss_loses_no_confirmed_call() {
    sim::hold(&Plan::LOSS, 0..150);
}

#[test]
fn a_restart_loses_no_confirmed_call() {
    sim::hold(&Plan::RESTART, 0..150);
}

/// The gate without "acknowledged before the 2xx": the simulator must see calls being lost, or it could not see any.
#[test]
fn a_2xx_before_its_acknowledgement_is_caught() {
    let hasty = Plan { durability: Durability::Async, ..Plan::CRASH };
    let lost = (0..500).find(|seed| {
        sim::run(&hasty, *seed).violations.iter().any(|violation| matches!(violation, Violation::Lost { .. }))
    });
    println!("first seed that loses a call: {lost:?}");
    assert!(lost.is_some(), "500 crashes, and no call lost although its 2xx left before its copy");
}

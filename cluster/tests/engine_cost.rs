//! What a commit costs: work that stays small however many shards and items there are.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod engine_kit;

use std::time::{Duration, Instant};

use engine_kit::bench::Bench;
use engine_kit::ms;
use holdline_cluster::engine::Durability;
use holdline_cluster::id::Key;

#[test]
fn at_3_000_commits_a_second_there_are_200_frames_each_way() {
    let mut bench = Bench::formed(2, 1);
    let keys = owned(&bench, 0, 300);
    bench.hold.extend([(0, 1), (1, 0)]);
    let mut frames = [0, 0];
    for round in 0..10 {
        for key in &keys {
            bench.commit(0, *key, round + 1, Durability::Acked);
            bench.advance(Duration::from_micros(333));
            for (from, to, frame) in std::mem::take(&mut bench.kept) {
                frames[from] += 1;
                bench.deliver(from, to, frame);
            }
        }
    }
    assert!((195..=215).contains(&frames[0]), "{frames:?}");
    assert!((195..=215).contains(&frames[1]), "{frames:?}");
}

/// `cargo test --release --test engine_cost -- --ignored --nocapture`
#[test]
#[ignore = "measures time"]
fn a_commit_with_its_flush_and_acknowledgement_takes_microseconds() {
    let mut bench = Bench::formed(2, 1);
    let keys = owned(&bench, 0, 20_000.min(bench.engines[0].stats().owned * 16));
    for key in &keys {
        bench.commit(0, *key, 1, Durability::Acked);
    }
    bench.advance(ms(1_000));
    let start = Instant::now();
    let mut commits = 0;
    for key in keys.chunks(15).take(1_000) {
        for key in key {
            bench.commit(0, *key, 2, Durability::Acked);
            commits += 1;
        }
        bench.advance(ms(5));
    }
    let each = start.elapsed() / commits;
    println!("{each:?} a commit, both nodes together, {} items held", bench.engines[0].stats().items);
    assert!(each < Duration::from_micros(20));
}

fn owned(bench: &Bench, at: usize, count: usize) -> Vec<Key> {
    let own = |placement: &u16| bench.owners(holdline_cluster::placement::shard_of(*placement)) == [at];
    (0..=u16::MAX).filter(own).take(count).map(|placement| Key { placement, id: 4 }).collect()
}

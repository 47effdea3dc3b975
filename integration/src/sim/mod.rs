//! The simulator: three nodes' real cores, a balancer and callers on one virtual clock, everything drawn from one seed.
//!
//! Nothing here re-implements the product: membership is foca with our core around it, ownership and replication are the
//! engine, calls run through lanes, transactions, dialogs, snapshots and the commit gate, and the balancer is its proxy
//! core. What is simulated is what lies between them: clocks, sockets, links, and the deaths of nodes.

mod agent;
mod balancer;
mod endpoint;
mod node;
mod plan;
mod verdict;
mod world;

pub use plan::{Fault, Plan};
pub use verdict::{Verdict, Violation};

/// Runs one plan from one seed to its end.
#[must_use]
pub fn run(plan: &Plan, seed: u64) -> Verdict {
    world::World::new(plan, seed).run()
}

/// Runs a plan from many seeds; the first that fails panics with its violations and the command that replays it.
///
/// # Panics
/// When a seed has a violation.
pub fn hold(plan: &Plan, seeds: std::ops::Range<u64>) {
    let mut calls = 0;
    for seed in seeds.clone() {
        let verdict = run(plan, seed);
        assert!(
            verdict.violations.is_empty(),
            "plan {} seed {seed}: {:#?}\nreplay: cargo run -p holdline-integration --bin sim -- {} {seed}",
            plan.name,
            verdict.violations,
            plan.name,
        );
        calls += verdict.confirmed;
    }
    println!("plan {}: seeds {}..{}, {calls} confirmed calls, none lost", plan.name, seeds.start, seeds.end);
}

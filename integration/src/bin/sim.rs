//! Replays a seed of the simulator, or runs many: `sim PLAN SEED`, `sim PLAN FROM..TO`.

use holdline_integration::sim::{self, Plan};

fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let (plan, seeds) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let known = Plan::ALL.map(|plan| plan.name).join(", ");
    let plan = Plan::ALL.into_iter().find(|known| known.name == plan);
    let plan = plan.ok_or_else(|| format!("usage: sim PLAN SEED|FROM..TO; plans are {known}"))?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("seed {text:?}: {error}"));
    let seeds = match seeds.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => number(&seeds)?..number(&seeds)? + 1,
    };
    let mut failed = 0;
    for seed in seeds.clone() {
        let verdict = sim::run(&plan, seed);
        if !verdict.violations.is_empty() {
            failed += 1;
            println!("seed {seed}: {verdict:#?}");
        } else if seeds.end - seeds.start == 1 {
            println!("seed {seed}: {verdict:?}");
        }
    }
    println!("plan {}: {} seeds, {failed} with violations", plan.name, seeds.end - seeds.start);
    if failed == 0 { Ok(()) } else { Err("violations".into()) }
}

//! The bench: CPU per call and memory per held dialog of node processes under SIPp, beside SIPp's own UAS as the yardstick.
//!
//! Absolute figures swing by two with a machine's load; the ratio to SIPp's UAS, measured right before and right after, holds
//! within 15 %. One xUAS is that UAS's CPU per call.

mod measure;
mod summary;
mod target;

use std::process::ExitCode;

use clap::Parser;
use holdline_integration::harness::sipp_or_skip;

use measure::{CpuRun, Load, cpu_per_call, memory_per_dialog};
use summary::{Figures, Report, Spread};
use target::Target;

/// CPU time per call and memory per held dialog of node processes under SIPp.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, required = true)]
    targets: Vec<Target>,
    /// Rounds; each measures every target once, each between two runs of SIPp's own UAS of half as many calls.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Calls that are measured in each run.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
    /// Calls per second.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds of the same load before the measured calls, so that the 32 s timers of ended calls (RFC 3261 timers J and L,
    /// tombstones) run out inside the measurement as fast as new ones start.
    #[arg(long, default_value_t = 36)]
    settle: u32,
    /// Dialogs held for the measurement of memory; 0 leaves it out.
    #[arg(long, default_value_t = 20_000)]
    held: u32,
    /// Print the figures as JSON on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !sipp_or_skip("bench") {
        return ExitCode::FAILURE;
    }
    let report = run(&arguments);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report).expect("figures are plain numbers and texts"));
    } else {
        println!("{report}");
    }
    if report.goals_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(arguments: &Arguments) -> Report {
    let load = Load { rate: arguments.rate, calls: arguments.calls, settle_s: arguments.settle };
    let mut runs: Vec<Vec<CpuRun>> = vec![Vec::new(); arguments.targets.len()];
    for round in 1..=arguments.runs {
        for (target, runs) in arguments.targets.iter().zip(&mut runs) {
            let run = cpu_per_call(*target, load);
            eprintln!("round {round} of {}: {target}: {run}", arguments.runs);
            runs.push(run);
        }
    }
    let yardsticks: Vec<f64> = runs.iter().flatten().map(|run| run.yardstick_us).collect();
    let figures = arguments
        .targets
        .iter()
        .zip(runs)
        .map(|(target, runs)| {
            let memory = (arguments.held > 0 && *target != Target::Sipp)
                .then(|| memory_per_dialog(*target, arguments.held));
            Figures::new(*target, &runs, memory)
        })
        .collect();
    Report { rate: arguments.rate, calls: arguments.calls, sipp_uas_us: Spread::of(&yardsticks), figures }
}

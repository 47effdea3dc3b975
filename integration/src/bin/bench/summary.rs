//! The figures of all runs: medians, spreads, and the goals beside them.

use std::fmt;

use serde::Serialize;

use super::measure::{CpuRun, Memory};
use super::target::Target;

/// Median and ends of some values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Spread { median, min: sorted[0], max: sorted[sorted.len() - 1] }
    }
}

/// The value that a share of the sorted values do not exceed; 0 when there are none.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

/// What one target came to.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) target: Target,
    /// CPU per call of all its processes, in µs.
    pub(crate) cpu_us: Spread,
    /// The same, divided by that of SIPp's UAS beside it.
    pub(crate) xuas: Spread,
    pub(crate) xuas_each: Vec<f64>,
    pub(crate) goal_xuas: Option<f64>,
    pub(crate) memory: Option<Memory>,
    pub(crate) goal_dialog_bytes: Option<f64>,
    pub(crate) runs: Vec<CpuRun>,
}

impl Figures {
    pub(crate) fn new(target: Target, runs: &[CpuRun], memory: Option<Memory>) -> Figures {
        let cpu_us: Vec<f64> = runs.iter().map(|run| run.cpu_us).collect();
        let xuas_each: Vec<f64> = runs.iter().map(|run| run.cpu_us / run.yardstick_us).collect();
        Figures {
            target,
            cpu_us: Spread::of(&cpu_us),
            xuas: Spread::of(&xuas_each),
            xuas_each,
            goal_xuas: target.goal_xuas(),
            memory,
            goal_dialog_bytes: target.goal_dialog_bytes(),
            runs: runs.to_vec(),
        }
    }

    fn goals_met(&self) -> bool {
        let cpu = self.goal_xuas.is_none_or(|goal| self.xuas.median <= goal);
        let memory = match (&self.memory, self.goal_dialog_bytes) {
            (Some(memory), Some(goal)) => memory.owner_bytes <= goal,
            _ => true,
        };
        cpu && memory
    }
}

/// What the bench prints.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) rate: u32,
    pub(crate) calls: u32,
    /// CPU per call of SIPp's UAS, in µs.
    pub(crate) sipp_uas_us: Spread,
    pub(crate) figures: Vec<Figures>,
}

impl Report {
    /// Whether every figure that has a goal meets it.
    pub(crate) fn goals_met(&self) -> bool {
        self.figures.iter().all(Figures::goals_met)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, min, max } = self.sipp_uas_us;
        writeln!(f, "{} calls/s, {} calls a run; medians (smallest … largest)", self.rate, self.calls)?;
        writeln!(f, "1 xUAS, the CPU per call of sipp -sn uas: {median:.1} µs ({min:.1} … {max:.1})\n")?;
        writeln!(f, "{:<16} {:>26} {:>22} {:>8}", "", "µs a call", "xUAS", "goal")?;
        for figures in &self.figures {
            let Figures { target, cpu_us, xuas, goal_xuas, .. } = figures;
            let cpu = format!("{:.1} ({:.1} … {:.1})", cpu_us.median, cpu_us.min, cpu_us.max);
            let ratio = format!("{:.2} ({:.2} … {:.2})", xuas.median, xuas.min, xuas.max);
            let goal = goal_xuas.map_or("-".to_owned(), |goal| format!("≤ {goal:.2}"));
            writeln!(
                f,
                "{target:<16} {cpu:>26} {ratio:>22} {goal:>8}  {}",
                verdict(goal_xuas.map(|goal| xuas.median <= goal))
            )?;
        }
        for figures in &self.figures {
            let Some(memory) = &figures.memory else { continue };
            let copy = memory
                .replica_bytes
                .map(|bytes| format!(", {bytes:.0} bytes on the replica"))
                .unwrap_or_default();
            let goal = figures.goal_dialog_bytes.unwrap_or(f64::INFINITY);
            let (name, held, owner) = (figures.target, memory.held, memory.owner_bytes);
            let met = verdict(Some(owner <= goal));
            write!(
                f,
                "\n{name:<16} {owner:.0} bytes a held dialog at {held} held (goal ≤ {goal:.0}) {met}{copy}"
            )?;
            let idle: Vec<String> =
                memory.idle_bytes.iter().map(|bytes| format!("{:.1} MB", bytes / 1e6)).collect();
            write!(f, "; before them {}", idle.join(" and "))?;
        }
        Ok(())
    }
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cpu_us: f64, yardstick_us: f64) -> CpuRun {
        CpuRun {
            cpu_us,
            yardstick_us,
            each_us: vec![cpu_us],
            answer_p50_ms: 1.0,
            answer_p99_ms: 2.0,
            retransmissions: 0,
            attempt: 1,
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.50), percentile(&values, 0.99)), (50.0, 99.0));
        assert_eq!((percentile(&[7.0], 0.5), percentile(&[], 0.5)), (7.0, 0.0));
    }

    #[test]
    fn each_run_is_divided_by_the_yardstick_beside_it() {
        let figures = Figures::new(Target::Uas, &[run(80.0, 100.0), run(120.0, 200.0)], None);
        assert_eq!(figures.xuas_each, [0.8, 0.6]);
        assert!(figures.goals_met());
    }

    #[test]
    fn a_missed_goal_is_said() {
        let memory = Memory {
            held: 20_000,
            owner_bytes: 2_600.0,
            replica_bytes: Some(900.0),
            idle_bytes: vec![3e7, 2e7],
        };
        let report = Report {
            rate: 1_000,
            calls: 10_000,
            sipp_uas_us: Spread::of(&[100.0]),
            figures: vec![Figures::new(Target::UasReplicated, &[run(150.0, 100.0)], Some(memory))],
        };
        assert!(!report.goals_met());
        let text = report.to_string();
        assert!(
            text.contains("≤ 1.70  met") && text.contains("2600 bytes") && text.contains("MISSED, 900 bytes"),
            "{text}"
        );
    }
}

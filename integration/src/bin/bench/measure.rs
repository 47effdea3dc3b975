//! One run of each measurement.

use std::fmt;
use std::time::{Duration, Instant};

use holdline_integration::harness::{
    Cluster, LogDirectory, Scenario, Sipp, SippReport, SippRun, cpu_time, resident_bytes, wait_for,
};
use serde::Serialize;

use super::summary::percentile;
use super::target::Target;

/// How long a measured call is up.
const HOLD: Duration = Duration::from_millis(100);
/// How much longer than its calls take a run may last.
const SLACK: Duration = Duration::from_secs(30);

/// Longer than the 32 s timers of ended transactions and the idle time before a dialog is kept as bytes.
const REST: Duration = Duration::from_secs(90);

/// How often a disturbed run is made again.
const ATTEMPTS: u32 = 3;

/// What callers do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Calls per second.
    pub(crate) rate: u32,
    /// Calls that are measured.
    pub(crate) calls: u32,
    /// Seconds of calls before them.
    pub(crate) settle_s: u32,
}

/// What one run took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CpuRun {
    /// CPU time per call of all processes together, in µs.
    pub(crate) cpu_us: f64,
    /// CPU time per call of SIPp's own UAS, right before and right after, in µs.
    pub(crate) yardstick_us: f64,
    /// CPU time per call of each process, in µs.
    pub(crate) each_us: Vec<f64>,
    /// Median time from the INVITE to its 200, in ms.
    pub(crate) answer_p50_ms: f64,
    /// Its 99th percentile, in ms.
    pub(crate) answer_p99_ms: f64,
    /// Messages that a caller sent or got more than once.
    pub(crate) retransmissions: u64,
    /// 1, or more when runs before it were disturbed and thrown away.
    pub(crate) attempt: u32,
}

impl fmt::Display for CpuRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} µs a call (", self.cpu_us)?;
        for (place, each) in self.each_us.iter().enumerate() {
            write!(f, "{}{each:.1}", if place == 0 { "" } else { " + " })?;
        }
        write!(f, "), answered in {} ms (p99 {}), ", self.answer_p50_ms, self.answer_p99_ms)?;
        write!(f, "{} retransmissions; ", self.retransmissions)?;
        write!(f, "{:.2} xUAS of {:.1} µs", self.cpu_us / self.yardstick_us, self.yardstick_us)
    }
}

/// Fresh processes under `load`; once more, and said, when the machine kept SIPp from running.
pub(crate) fn cpu_per_call(target: Target, load: Load) -> CpuRun {
    let attempts = (1..=ATTEMPTS).find_map(|attempt| match one_run(target, load) {
        Ok(run) => Some(CpuRun { attempt, ..run }),
        Err(Stalled) => {
            eprintln!("{target}: SIPp itself did not get to run; this run does not count");
            None
        }
    });
    attempts.unwrap_or_else(|| panic!("{ATTEMPTS} runs disturbed: the machine is too busy to measure on"))
}

/// The callers were kept from running for half a second: the calls that failed are not the server's fault.
struct Stalled;

fn one_run(target: Target, load: Load) -> Result<CpuRun, Stalled> {
    let server = Server::start(target, load);
    if load.settle_s > 0 {
        server.call("settle", load.rate, load.rate * load.settle_s)?;
    }
    let yardstick_before = yardstick(load)?;
    let (each_us, report) = server.cpu_of("measured", load.rate, load.calls)?;
    let yardstick_after = yardstick(load)?;
    let mut answers = report.response_times_ms.get("answer").cloned().unwrap_or_default();
    answers.sort_by(f64::total_cmp);
    Ok(CpuRun {
        cpu_us: each_us.iter().sum(),
        yardstick_us: (yardstick_before + yardstick_after) / 2.0,
        each_us,
        answer_p50_ms: percentile(&answers, 0.50),
        answer_p99_ms: percentile(&answers, 0.99),
        retransmissions: report.retransmissions,
        attempt: 1,
    })
}

/// CPU time per call of SIPp's own UAS in µs, over half the calls; nothing of it runs on after a call, so it needs no settling.
fn yardstick(load: Load) -> Result<f64, Stalled> {
    let server = Server::start(Target::Sipp, load);
    let (each_us, _) = server.cpu_of("yardstick", load.rate, load.calls.div_ceil(2))?;
    Ok(each_us.iter().sum())
}

/// Resident memory per held dialog.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Memory {
    /// Dialogs held.
    pub(crate) held: u64,
    /// Bytes for each of them on the node that owns them.
    pub(crate) owner_bytes: f64,
    /// Bytes for each of them on the node that holds the copies.
    pub(crate) replica_bytes: Option<f64>,
    /// Resident bytes of each node before the first of them.
    pub(crate) idle_bytes: Vec<f64>,
}

/// Fresh nodes that hold `held` idle dialogs, after their transactions are over: what each dialog has added.
pub(crate) fn memory_per_dialog(target: Target, held: u32) -> Memory {
    let cluster = target.cluster().expect("memory is measured of nodes");
    let caller = Sipp { rate: 1_000, ..Sipp::caller(Scenario::Caller, cluster.sip()) };
    // What the start left over goes back to the system with the first work: some 16 MB that would hide as many bytes of dialogs.
    Sipp { calls: 100, ..caller.clone() }.start(cluster.logs(), "warm-up").finish();
    cluster.wait_at_rest(REST);
    let idle_bytes = settled_memory(&cluster);

    let hold = Duration::from_secs(600);
    let callers = Sipp { calls: held, hold, limit: hold, ..caller }.start(cluster.logs(), "held");
    let ramp = Duration::from_secs(u64::from(held) / 1_000);
    let dialogs = wait_for("idle dialogs", ramp + REST, || {
        let stats = cluster.stats(0);
        // A few may be missing on a machine so busy that calls failed; those that are there are what is divided by.
        let there = stats.dialogs >= u64::from(held) * 99 / 100;
        let idle = there && stats.transactions == 0 && stats.active == 0;
        if idle { Ok(stats.dialogs) } else { Err(format!("{stats:?}")) }
    });
    let full = settled_memory(&cluster);
    drop(callers);
    let each: Vec<f64> =
        idle_bytes.iter().zip(full).map(|(idle, full)| (full - idle) / dialogs as f64).collect();
    Memory { held: dialogs, owner_bytes: each[0], replica_bytes: each.get(1).copied(), idle_bytes }
}

/// Resident bytes of each node, once they change by less than 1 % in a second.
fn settled_memory(cluster: &Cluster) -> Vec<f64> {
    let resident = || -> Vec<f64> {
        let pids = cluster.nodes().iter().map(|node| node.process.pid());
        pids.map(|pid| resident_bytes(pid).expect("the node runs") as f64).collect()
    };
    let (mut since, mut seen) = (Instant::now(), resident());
    wait_for("steady memory", REST, || {
        let now = resident();
        if now.iter().zip(&seen).any(|(now, seen)| (now - seen).abs() > seen * 0.01) {
            (since, seen) = (Instant::now(), now);
        }
        if since.elapsed() >= Duration::from_secs(1) { Ok(()) } else { Err(format!("{seen:?} bytes")) }
    });
    resident()
}

/// The server processes of one run.
enum Server {
    Sipp(SippRun, LogDirectory),
    Nodes(Cluster),
}

impl Server {
    fn start(target: Target, load: Load) -> Server {
        match target.cluster() {
            Some(cluster) => Server::Nodes(cluster),
            None => {
                let logs = LogDirectory::new("bench-sipp");
                let calls = load.calls + load.calls.div_ceil(2);
                let seconds = u64::from(load.settle_s + calls.div_ceil(load.rate));
                let answerer = Sipp::answerer(Duration::from_secs(seconds) + SLACK * 2).start(&logs, "uas");
                Server::Sipp(answerer, logs)
            }
        }
    }

    /// Calls that must all succeed: the cost of a call that failed says nothing.
    fn call(&self, name: &str, rate: u32, calls: u32) -> Result<SippReport, Stalled> {
        let (remote, logs) = match self {
            Server::Sipp(answerer, logs) => (answerer.address(), logs),
            Server::Nodes(cluster) => (cluster.sip(), cluster.logs()),
        };
        let limit = Duration::from_secs(u64::from(calls / rate)) + SLACK;
        let sipp = Sipp { rate, calls, hold: HOLD, limit, ..Sipp::caller(Scenario::Caller, remote) };
        let report = sipp.start(logs, name).finish();
        if report.stalls > 0 {
            return Err(Stalled);
        }
        assert_eq!(
            report.successful,
            u64::from(calls),
            "calls failed: there is nothing to measure: {report}"
        );
        Ok(report)
    }

    /// CPU time per call of each process in µs, over so many calls.
    fn cpu_of(&self, name: &str, rate: u32, calls: u32) -> Result<(Vec<f64>, SippReport), Stalled> {
        let before = self.cpu();
        let report = self.call(name, rate, calls)?;
        let spent = before.iter().zip(self.cpu()).map(|(before, after)| (after - *before).as_secs_f64());
        Ok((spent.map(|seconds| seconds * 1e6 / f64::from(calls)).collect(), report))
    }

    /// CPU time of each process so far.
    fn cpu(&self) -> Vec<Duration> {
        let pids = match self {
            Server::Sipp(answerer, _) => vec![answerer.pid()],
            Server::Nodes(cluster) => cluster.nodes().iter().map(|node| node.process.pid()).collect(),
        };
        pids.into_iter().map(|pid| cpu_time(pid).expect("the server runs")).collect()
    }
}

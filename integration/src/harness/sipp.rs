//! SIPp as a child process: bounded runs, and what it counted.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::log::LogDirectory;
use super::port::free_address;
use super::wait::{say, wait_for};

/// How much longer than its own limit a run may take before the harness ends it: at its limit SIPp begins no more calls, but
/// waits for those begun, which give up 32 s after their last request (RFC 3261 §17.1.1.2, timer B).
const GRACE: Duration = Duration::from_secs(40);
/// How long SIPp may take to bind its port.
const START: Duration = Duration::from_secs(5);

/// Whether SIPp is there. Without it the test says one line and is skipped, unless `HOLDLINE_REQUIRE_SIPP=1`, which makes
/// that a failure.
#[track_caller]
pub fn sipp_or_skip(test: &str) -> bool {
    match Command::new("sipp").arg("-v").stdin(Stdio::null()).output() {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let required = env::var("HOLDLINE_REQUIRE_SIPP").is_ok_and(|value| value == "1");
            assert!(
                !required,
                "{test}: HOLDLINE_REQUIRE_SIPP=1, but there is no sipp on the PATH (Debian: apt-get install sip-tester)"
            );
            say(&format!(
                "{test}: skipped, since there is no sipp on the PATH (Debian: apt-get install sip-tester)"
            ));
            false
        }
        Err(error) => panic!("{test}: sipp cannot be run: {error}"),
    }
}

/// What a run does for each call.
#[derive(Clone, Copy, Debug)]
pub enum Scenario {
    /// One that SIPp has built in, such as `uac`; it sends requests inside the dialog where it sent the INVITE.
    Stock(&'static str),
    /// Our caller, which follows Contact and Record-Route.
    Caller,
}

/// One run of SIPp.
#[derive(Clone, Debug)]
pub struct Sipp {
    /// What each call does.
    pub scenario: Scenario,
    /// Where a caller sends to; `None` waits for calls instead.
    pub remote: Option<SocketAddr>,
    /// User part of the Request-URI.
    pub service: &'static str,
    /// Calls per second.
    pub rate: u32,
    /// Calls in all, after which it ends.
    pub calls: u32,
    /// How long a call is held.
    pub hold: Duration,
    /// When it ends even if calls are missing.
    pub limit: Duration,
}

impl Sipp {
    /// A caller of `remote`: 200 calls/s, 10,000 calls, each hung up at once, at most two minutes.
    pub fn caller(scenario: Scenario, remote: SocketAddr) -> Sipp {
        Sipp {
            scenario,
            remote: Some(remote),
            service: "answer",
            rate: 200,
            calls: 10_000,
            hold: Duration::ZERO,
            limit: Duration::from_secs(120),
        }
    }

    /// SIPp's own UAS, which waits for calls until it is dropped or `limit` has passed.
    pub fn answerer(limit: Duration) -> Sipp {
        Sipp {
            scenario: Scenario::Stock("uas"),
            remote: None,
            service: "service",
            rate: 0,
            calls: 0,
            hold: Duration::ZERO,
            limit,
        }
    }

    /// Starts it; what it writes goes into `logs` under `name`.
    #[track_caller]
    pub fn start(&self, logs: &LogDirectory, name: &str) -> SippRun {
        let directory = logs.path().join(name);
        fs::create_dir_all(&directory)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", directory.display()));
        let address = free_address();
        let mut command = self.command(&directory, address);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut run = SippRun { child, address, directory, limit: self.limit + GRACE };
        wait_for("the port of sipp", START, || {
            if let Ok(Some(_)) = run.child.try_wait() {
                return Ok(());
            }
            if UdpSocket::bind(address).is_err() { Ok(()) } else { Err(format!("{address} is free")) }
        });
        run
    }

    fn command(&self, directory: &Path, address: SocketAddr) -> Command {
        let screen = File::create(directory.join("screen.log"))
            .unwrap_or_else(|error| panic!("cannot write a log: {error}"));
        let mut command = Command::new("sipp");
        command.current_dir(directory).stdin(Stdio::null()).stdout(screen).stderr(Stdio::null());
        match self.scenario {
            Scenario::Stock(name) => command.args(["-sn", name]),
            Scenario::Caller => {
                let file = directory.join("caller.xml");
                fs::write(&file, CALLER)
                    .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
                command.arg("-sf").arg(file)
            }
        };
        if let Some(remote) = self.remote {
            command.arg(remote.to_string());
            for (option, value) in [("-r", self.rate), ("-m", self.calls), ("-l", self.calls)] {
                command.args([option, &value.to_string()]);
            }
            command.args(["-s", self.service, "-d", &self.hold.as_millis().to_string()]);
            command.args(["-trace_counts", "-trace_rtt", "-rtt_freq", "1"]);
        }
        command.args(["-i", &address.ip().to_string(), "-p", &address.port().to_string(), "-nostdin"]);
        command.args(["-timeout", &self.limit.as_secs().to_string()]);
        // `-fd 3600`: one line at the start, one at the end.
        command.args([
            "-trace_stat",
            "-stf",
            "totals.csv",
            "-fd",
            "3600",
            "-trace_err",
            "-error_file",
            "errors.log",
        ]);
        command
    }
}

/// The scenario of [`Scenario::Caller`].
const CALLER: &str = include_str!("../../scenarios/caller.xml");

/// A SIPp that runs; killed when dropped.
#[derive(Debug)]
pub struct SippRun {
    child: Child,
    address: SocketAddr,
    directory: PathBuf,
    limit: Duration,
}

impl SippRun {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The SIP address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for its end and reads what it counted.
    #[track_caller]
    pub fn finish(mut self) -> SippReport {
        let status = wait_for("the end of sipp", self.limit, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => panic!("sipp cannot be waited for: {error}"),
        });
        SippReport::read(&self.directory, status)
    }
}

impl Drop for SippRun {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a SIPp run counted; displayed without the single times.
#[derive(Clone)]
pub struct SippReport {
    /// Calls begun.
    pub created: u64,
    /// Calls that went through the whole scenario.
    pub successful: u64,
    /// Calls that did not.
    pub failed: u64,
    /// Requests sent more than once, and messages received more than once.
    pub retransmissions: u64,
    /// Times that SIPp itself was kept from running for half a second or more: the machine was busy with something else.
    pub stalls: u64,
    /// Calls whose INVITE had its 200.
    pub answered: u64,
    /// Calls whose BYE had its 200.
    pub ended: u64,
    /// Times from a request to its 200 in ms, by the name of the timer (SIPp's own resolution is 1 ms).
    pub response_times_ms: BTreeMap<String, Vec<f64>>,
    /// The first of the errors that it logged.
    pub errors: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl SippReport {
    #[track_caller]
    fn read(directory: &Path, status: ExitStatus) -> SippReport {
        let totals = last_row(&read(&directory.join("totals.csv")));
        let total = |name: &str| {
            *totals.get(name).unwrap_or_else(|| panic!("sipp has no column {name}; it ended with {status}"))
        };
        let counts =
            written_by_sipp(directory, "_counts.csv").map(|text| last_row(&text)).unwrap_or_default();
        // Columns are called `<step>_<message>_Recv`: the first 200 answers the INVITE and the last one the BYE.
        let mut answers: Vec<(u64, u64)> = counts
            .iter()
            .filter_map(|(name, count)| Some((name.strip_suffix("_200_Recv")?.parse().ok()?, *count)))
            .collect();
        answers.sort_unstable();
        let errors = fs::read_to_string(directory.join("errors.log")).unwrap_or_default();
        SippReport {
            created: total("TotalCallCreated"),
            successful: total("SuccessfulCall(C)"),
            failed: total("FailedCall(C)"),
            retransmissions: total("Retransmissions(C)"),
            stalls: total("WatchdogMajor(C)") + total("WatchdogMinor(C)"),
            answered: answers.first().map_or(0, |(_, count)| *count),
            ended: answers.last().map_or(0, |(_, count)| *count),
            response_times_ms: written_by_sipp(directory, "_rtt.csv")
                .map(|text| response_times(&text))
                .unwrap_or_default(),
            errors: errors.lines().take(40).collect::<Vec<_>>().join("\n"),
            status,
        }
    }
}

impl fmt::Display for SippReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SippReport { created, successful, failed, retransmissions, answered, ended, status, .. } = self;
        write!(
            f,
            "{created} calls, {successful} successful, {failed} failed; {answered} answered, {ended} ended; "
        )?;
        write!(f, "{retransmissions} retransmissions; sipp: {status}")?;
        if self.errors.is_empty() { Ok(()) } else { write!(f, "\n{}", self.errors) }
    }
}

/// The one file of a run whose name SIPp makes up, by its end.
fn written_by_sipp(directory: &Path, end: &str) -> Option<String> {
    let entries = fs::read_dir(directory).ok()?;
    let file =
        entries.filter_map(Result::ok).find(|entry| entry.file_name().to_string_lossy().ends_with(end))?;
    Some(read(&file.path()))
}

#[track_caller]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("sipp left no {}: {error}", path.display()))
}

/// The last row of a table with a header, its whole numbers by column; the names may hold `;` nowhere.
fn last_row(table: &str) -> BTreeMap<String, u64> {
    let mut lines = table.lines();
    let names = lines.next().unwrap_or_default().split(';');
    let values = lines.next_back().unwrap_or_default().split(';');
    names.zip(values).filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

/// Rows of `time;response time;timer`.
fn response_times(table: &str) -> BTreeMap<String, Vec<f64>> {
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in table.lines().skip(1) {
        let mut fields = line.split(';');
        let (Some(_), Some(Ok(time)), Some(timer)) =
            (fields.next(), fields.next().map(str::parse), fields.next())
        else {
            continue;
        };
        times.entry(timer.to_owned()).or_default().push(time);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_is_read_by_column() {
        let row = last_row("Elapsed;Total;Failed(C);\n00:00:01;1;1;\n00:00:02;20;3;\n");
        assert_eq!(row.get("Total"), Some(&20));
        assert_eq!(row.get("Failed(C)"), Some(&3));
        assert_eq!(row.get("Elapsed"), None);
        assert!(last_row("").is_empty());
    }

    #[test]
    fn response_times_are_grouped_by_timer() {
        let times = response_times(
            "Date_ms;response_time_ms;rtd_no\n12.0;3;answer\n13.0;4.5;hangup\n14.0;5;answer\njunk\n",
        );
        assert_eq!(times["answer"], [3.0, 5.0]);
        assert_eq!(times["hangup"], [4.5]);
    }

    #[test]
    fn sipp_calls_sipp() {
        if !sipp_or_skip("sipp_calls_sipp") {
            return;
        }
        let logs = LogDirectory::new("sipp-sipp_calls_sipp");
        let answerer = Sipp::answerer(Duration::from_secs(30)).start(&logs, "uas");
        for (name, scenario) in [("stock", Scenario::Stock("uac")), ("caller", Scenario::Caller)] {
            let report =
                Sipp { calls: 50, ..Sipp::caller(scenario, answerer.address()) }.start(&logs, name).finish();
            assert!(report.status.success(), "{report}");
            assert_eq!((report.created, report.successful, report.failed), (50, 50, 0), "{report}");
            assert_eq!((report.answered, report.ended, report.retransmissions), (50, 50, 0), "{report}");
            assert_eq!(report.response_times_ms.values().next().map(Vec::len), Some(50), "{report}");
        }
    }

    #[test]
    fn a_refused_call_is_counted_as_failed() {
        if !sipp_or_skip("a_refused_call_is_counted_as_failed") {
            return;
        }
        let busy = UdpSocket::bind(free_address()).unwrap();
        let address = busy.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, source)) = busy.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if text.starts_with("INVITE") {
                    let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
                    let lines = text.lines().filter(|line| copied.iter().any(|name| line.starts_with(name)));
                    let head: String = lines.map(|line| format!("{line}\r\n")).collect();
                    let _ = busy.send_to(
                        format!("SIP/2.0 486 Busy Here\r\n{head}Content-Length: 0\r\n\r\n").as_bytes(),
                        source,
                    );
                }
            }
        });
        let logs = LogDirectory::new("sipp-a_refused_call");
        let report =
            Sipp { calls: 2, ..Sipp::caller(Scenario::Caller, address) }.start(&logs, "caller").finish();
        assert_eq!(
            (report.created, report.successful, report.failed, report.answered),
            (2, 0, 2, 0),
            "{report}"
        );
        assert!(!report.status.success() && report.errors.contains("486"), "{report}");
    }
}

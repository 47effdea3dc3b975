//! One child process: started, watched, signalled, and killed when it is dropped.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::console::{Console, ConsoleError, Stats};
use super::log::LogFile;
use super::wait::wait_for;

/// How long a process may take from its start to its `ready` line, on a machine that is busy with a build.
const READY: Duration = Duration::from_secs(20);

/// What to start.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// How it is called in messages and in the name of its log.
    pub name: String,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables in addition to the test's own.
    pub environment: Vec<(String, String)>,
    /// Where its standard error goes.
    pub log: LogFile,
}

/// A running (or ended) child process with a console.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    console: Console,
    log: LogFile,
}

impl Process {
    /// Starts it and waits for nothing.
    #[track_caller]
    pub fn start(options: &ProcessOptions) -> Process {
        let mut command = Command::new(&options.program);
        // Ours steer the tests; a node would take them for its own settings.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"HOLDLINE_"))
        {
            command.env_remove(name);
        }
        let mut child = command
            .args(&options.arguments)
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(options.log.open())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", options.program.display()));
        let commands = child.stdin.take().expect("standard input was asked for as a pipe");
        let answers = child.stdout.take().expect("standard output was asked for as a pipe");
        let console = Console::new(commands, answers);
        Process { name: options.name.clone(), child, console, log: options.log.clone() }
    }

    /// Waits for the `ready` line and gives it.
    #[track_caller]
    pub fn wait_ready(&self) -> String {
        match self.console.line(READY) {
            Ok(line) if line.starts_with("ready ") => line,
            Ok(line) => panic!("{} said {line:?} before it was ready\n{}", self.name, self.log.tail()),
            Err(error) => panic!("{} did not get ready: {error}\n{}", self.name, self.log.tail()),
        }
    }

    /// How it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its console.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Its log.
    pub fn log(&self) -> &LogFile {
        &self.log
    }

    /// Its counts.
    pub fn stats(&self) -> Result<Stats, ConsoleError> {
        self.console.stats()
    }

    /// SIGKILL: gone at once, nothing flushed, nobody told.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap_or_else(|error| panic!("{} cannot be waited for: {error}", self.name));
    }

    /// SIGSTOP: stands still with all it holds.
    #[track_caller]
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: goes on after [`pause`](Process::pause).
    #[track_caller]
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM, and how it ended; panics when it has not within `limit`.
    #[track_caller]
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit(limit)
    }

    /// How it ended by itself; panics when it has not within `limit`.
    #[track_caller]
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait_for(&what, limit, || self.exit_status().ok_or_else(|| "still running".to_owned()))
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    #[track_caller]
    fn signal(&mut self, signal: Signal) {
        // Not reaped yet, so its id cannot belong to another process.
        if let Some(status) = self.exit_status() {
            panic!("{} has ended with {status}, too early for {signal:?}\n{}", self.name, self.log.tail());
        }
        kill_process(Pid::from_child(&self.child), signal)
            .unwrap_or_else(|error| panic!("{signal:?} to {} failed: {error}", self.name));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log.tail());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::super::log::LogDirectory;
    use super::*;

    fn shell(test: &str, script: &str) -> Process {
        Process::start(&ProcessOptions {
            name: "shell".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("WORD".into(), "hold".into())],
            log: LogDirectory::new(&format!("process-{test}")).file("shell"),
        })
    }

    const ECHO: &str =
        "echo ready name=$WORD; echo logged >&2; while read -r line; do echo \"got $line\"; done";

    #[test]
    fn a_console_answers_and_the_log_is_kept() {
        let process = shell("console", ECHO);
        assert_eq!(process.wait_ready(), "ready name=hold");
        assert_eq!(process.console().ask("members"), Ok("got members".into()));
        assert_eq!(process.stats(), Err(ConsoleError::Unreadable("got stats".into())));
        assert_eq!(process.console().bye("id"), Err(ConsoleError::Refused("got bye id".into())));
        assert_eq!(process.log().lines_with("logged"), ["logged"]);
    }

    #[test]
    fn a_killed_process_is_gone_and_its_console_closed() {
        let mut process = shell("kill", ECHO);
        process.wait_ready();
        process.kill();
        assert_eq!(process.exit_status().and_then(|status| status.signal()), Some(9));
        assert_eq!(process.console().ask("stats"), Err(ConsoleError::Closed));
    }

    #[test]
    fn a_paused_process_stands_still_until_it_is_resumed() {
        let mut process = shell("pause", ECHO);
        process.wait_ready();
        let pid = process.pid();
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().chars().next().unwrap()
        };
        let reaches = |wanted: char| {
            wait_for("its state", Duration::from_secs(5), || {
                let seen = state();
                if seen == wanted { Ok(()) } else { Err(seen.to_string()) }
            })
        };
        process.pause();
        reaches('T');
        process.resume();
        reaches('S');
        assert_eq!(process.console().ask("again"), Ok("got again".into()));
    }

    #[test]
    fn termination_gives_the_exit_status() {
        let mut process = shell("terminate", "trap 'kill $!; exit 0' TERM; sleep 60 & echo ready; wait");
        process.console().line(Duration::from_secs(5)).unwrap();
        assert!(process.terminate(Duration::from_secs(5)).success());
    }

    #[test]
    fn a_dropped_process_is_killed() {
        let process = shell("drop", ECHO);
        process.wait_ready();
        let pid = process.pid();
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}

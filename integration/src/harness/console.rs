//! The console of a node process: one command a line on its standard input, one answer a line on its standard output.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How long an answer may take: a console that is slower is broken, or its process is paused.
const ANSWER: Duration = Duration::from_secs(5);

/// Both ends of one process's console.
#[derive(Debug)]
pub struct Console {
    pipes: Mutex<Pipes>,
}

#[derive(Debug)]
struct Pipes {
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Console {
    /// Reads `answers` on a thread of its own until the process closes them.
    pub(super) fn new(commands: ChildStdin, answers: ChildStdout) -> Console {
        let (send, receive) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(answers).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Console { pipes: Mutex::new(Pipes { commands, answers: receive }) }
    }

    /// The next line that the process prints by itself, such as `ready name=n1 sip=127.0.0.1:5061`.
    pub fn line(&self, limit: Duration) -> Result<String, ConsoleError> {
        self.lock().answers.recv_timeout(limit).map_err(ConsoleError::from)
    }

    /// Sends `command` and gives its answer.
    pub fn ask(&self, command: &str) -> Result<String, ConsoleError> {
        let mut pipes = self.lock();
        // An answer that came after its caller had given up belongs to nobody.
        while pipes.answers.try_recv().is_ok() {}
        writeln!(pipes.commands, "{command}").map_err(|_| ConsoleError::Closed)?;
        pipes.answers.recv_timeout(ANSWER).map_err(ConsoleError::from)
    }

    /// The counts of the node.
    pub fn stats(&self) -> Result<Stats, ConsoleError> {
        let answer = self.ask("stats")?;
        answer.parse().map_err(|_| ConsoleError::Unreadable(answer))
    }

    /// Asks the cluster to hang up the dialog `id`; the owner may be any node.
    pub fn bye(&self, id: &str) -> Result<(), ConsoleError> {
        match self.ask(&format!("bye {id}"))?.as_str() {
            "ok" => Ok(()),
            refusal => Err(ConsoleError::Refused(refusal.to_owned())),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pipes> {
        self.pipes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Why the console gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleError {
    /// The process has ended or closed its console.
    Closed,
    /// No answer in time.
    Silent,
    /// It said no, in these words.
    Refused(String),
    /// It answered something that is no answer to the command.
    Unreadable(String),
}

impl From<RecvTimeoutError> for ConsoleError {
    fn from(error: RecvTimeoutError) -> ConsoleError {
        match error {
            RecvTimeoutError::Timeout => ConsoleError::Silent,
            RecvTimeoutError::Disconnected => ConsoleError::Closed,
        }
    }
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConsoleError::Closed => f.write_str("the console is closed"),
            ConsoleError::Silent => f.write_str("the console does not answer"),
            ConsoleError::Refused(why) => write!(f, "refused: {why}"),
            ConsoleError::Unreadable(answer) => write!(f, "not an answer: {answer:?}"),
        }
    }
}

impl std::error::Error for ConsoleError {}

/// What a node counts, as its console tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Dialogs that this node owns.
    pub dialogs: u64,
    /// Of these, the ones with a running actor.
    pub active: u64,
    /// Of these, the ones kept as a snapshot only.
    pub passive: u64,
    /// Transactions of all four kinds.
    pub transactions: u64,
    /// Replicated items held, own ones, copies and tombstones.
    pub snapshots: u64,
    /// Deadlines pending.
    pub timers: u64,
    /// Shards owned.
    pub owned: u64,
    /// Members seen in the gossip, this node among them.
    pub members: u64,
    /// Commits confirmed without any live copy.
    pub unprotected: u64,
    /// Dialogs taken over from dead nodes.
    pub taken_over: u64,
    /// Of these, the ones whose handler has been told.
    pub recovered: u64,
}

impl Stats {
    /// Whether nothing of any call is left: dialogs, transactions, snapshots and timers are all zero.
    pub fn is_at_rest(&self) -> bool {
        self.dialogs == 0 && self.transactions == 0 && self.snapshots == 0 && self.timers == 0
    }
}

impl FromStr for Stats {
    type Err = String;

    /// Reads `stats dialogs=1 active=1 …`; counters that this harness does not know are passed over.
    fn from_str(line: &str) -> Result<Stats, String> {
        let mut words = line.split_whitespace();
        if words.next() != Some("stats") {
            return Err(format!("not a line of counts: {line:?}"));
        }
        let mut stats = Stats::default();
        let mut missing = NAMES.to_vec();
        for word in words {
            let (name, number) = word.split_once('=').ok_or_else(|| format!("{word:?} is no name=number"))?;
            let value = number.parse().map_err(|_| format!("{word:?} has no number"))?;
            let Some(field) = stats.field(name) else { continue };
            *field = value;
            missing.retain(|known| *known != name);
        }
        if missing.is_empty() { Ok(stats) } else { Err(format!("missing: {}", missing.join(" "))) }
    }
}

const NAMES: [&str; 11] = [
    "dialogs",
    "active",
    "passive",
    "transactions",
    "snapshots",
    "timers",
    "owned",
    "members",
    "unprotected",
    "taken_over",
    "recovered",
];

impl Stats {
    fn field(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "dialogs" => &mut self.dialogs,
            "active" => &mut self.active,
            "passive" => &mut self.passive,
            "transactions" => &mut self.transactions,
            "snapshots" => &mut self.snapshots,
            "timers" => &mut self.timers,
            "owned" => &mut self.owned,
            "members" => &mut self.members,
            "unprotected" => &mut self.unprotected,
            "taken_over" => &mut self.taken_over,
            "recovered" => &mut self.recovered,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "stats dialogs=7 active=1 passive=6 transactions=2 snapshots=14 timers=3 owned=1365 members=3 unprotected=0 \
                        taken_over=5 recovered=4";

    #[test]
    fn a_line_of_counts_is_read() {
        let stats: Stats = LINE.parse().unwrap();
        assert_eq!((stats.dialogs, stats.passive, stats.owned, stats.recovered), (7, 6, 1365, 4));
        assert!(!stats.is_at_rest());
    }

    #[test]
    fn a_counter_may_be_added_but_none_may_be_missing() {
        assert!(format!("{LINE} new=1").parse::<Stats>().is_ok());
        let error = LINE.replace(" timers=3", "").parse::<Stats>().unwrap_err();
        assert_eq!(error, "missing: timers");
    }

    #[test]
    fn anything_else_is_refused() {
        for line in ["", "ok", "stats dialogs", "stats dialogs=x"] {
            assert!(line.parse::<Stats>().is_err(), "{line:?}");
        }
    }

    #[test]
    fn at_rest_means_all_four_are_zero() {
        assert!(Stats { owned: 4096, members: 3, taken_over: 9, ..Stats::default() }.is_at_rest());
        for busy in [
            Stats { dialogs: 1, ..Stats::default() },
            Stats { transactions: 1, ..Stats::default() },
            Stats { snapshots: 1, ..Stats::default() },
            Stats { timers: 1, ..Stats::default() },
        ] {
            assert!(!busy.is_at_rest(), "{busy:?}");
        }
    }
}

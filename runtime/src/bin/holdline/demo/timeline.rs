//! What the demonstration prints: events with the time since the start, and since the kill, and progress in between.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often progress is shown anew on a terminal; elsewhere only events are.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

pub(super) struct Timeline {
    start: Instant,
    kill: Option<Instant>,
    shown: Option<Instant>,
    terminal: bool,
}

impl Timeline {
    pub(super) fn start() -> Self {
        println!("     since start   since kill");
        Self { start: Instant::now(), kill: None, shown: None, terminal: std::io::stdout().is_terminal() }
    }

    pub(super) fn event(&mut self, what: &str) {
        self.clear();
        let since_kill =
            self.kill.map(|kill| format!("{:>8} ms", kill.elapsed().as_millis())).unwrap_or_default();
        println!("{:>13} ms {since_kill:>12}   {what}", self.start.elapsed().as_millis());
    }

    /// The event that the others are measured from.
    pub(super) fn kill(&mut self, what: &str) {
        self.kill = Some(Instant::now());
        self.event(what);
    }

    pub(super) fn progress(&mut self, what: &str, done: usize, of: usize) {
        if !self.terminal || self.shown.is_some_and(|shown| shown.elapsed() < PROGRESS_EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        print!("\r{:>13} ms {:>12}   {what}: {done} of {of}\x1b[K", self.start.elapsed().as_millis(), "");
        let _ = std::io::stdout().flush();
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            print!("\r\x1b[K");
        }
    }
}

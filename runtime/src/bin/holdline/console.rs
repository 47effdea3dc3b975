//! The console: commands on standard input, one answer line each on standard output, in the order they were given.

use std::io::{BufRead, Write};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Commands under way at a time; whoever sends more waits.
const PENDING_MAX: usize = 64;

/// What a process can be asked.
pub(crate) trait Commands: Clone + Send + 'static {
    /// Carries out one command; the answer has no line break.
    fn run(&self, command: &str, argument: &str) -> impl Future<Output = String> + Send;
}

/// Serves the console until standard input ends.
pub(crate) async fn serve(commands: impl Commands) {
    let mut lines = read_lines();
    let (answers, mut answering) = mpsc::channel::<JoinHandle<String>>(PENDING_MAX);
    let take = async move {
        while let Some(line) = lines.recv().await {
            let commands = commands.clone();
            let answer = tokio::spawn(async move {
                let (command, argument) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
                commands.run(command, argument.trim()).await
            });
            if answers.send(answer).await.is_err() {
                return;
            }
        }
    };
    let print = async move {
        while let Some(answer) = answering.recv().await {
            say(&answer.await.unwrap_or_else(|_| "error the command failed".into()));
        }
    };
    tokio::join!(take, print);
}

/// Prints one line. Nobody listening any more is no reason to fail.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The answer to what is no command.
pub(crate) fn unknown(command: &str, known: &str) -> String {
    format!("error no command {command:?}: {known}")
}

/// A thread of its own: a blocking read cannot be cancelled, and must not keep the runtime from ending.
fn read_lines() -> mpsc::Receiver<String> {
    let (lines, receiver) = mpsc::channel(PENDING_MAX);
    std::thread::spawn(move || {
        for line in
            std::io::stdin().lock().lines().map_while(Result::ok).filter(|line| !line.trim().is_empty())
        {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

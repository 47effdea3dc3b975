//! Where the output of a test's child processes goes, and how a failed test shows the end of it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::binary::target_directory;

/// Lines of each log shown when a test fails: enough for a membership change and a takeover.
const SHOWN: usize = 60;

/// The directory that keeps what the processes of one test wrote, until the same test runs again.
#[derive(Clone, Debug)]
pub struct LogDirectory {
    path: PathBuf,
}

impl LogDirectory {
    /// An empty directory for `test`, under the build's target directory.
    #[track_caller]
    pub fn new(test: &str) -> LogDirectory {
        let path = target_directory().join("process-logs").join(test);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                panic!("cannot clear {}: {error}", path.display())
            }
            _ => {}
        }
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        LogDirectory { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log of one process.
    #[track_caller]
    pub fn file(&self, process: &str) -> LogFile {
        LogFile { path: self.path.join(format!("{process}.log")) }
    }
}

/// What one process wrote to its standard error.
#[derive(Clone, Debug)]
pub struct LogFile {
    path: PathBuf,
}

impl LogFile {
    /// The file, opened to be written at its end.
    #[track_caller]
    pub(super) fn open(&self) -> File {
        File::options()
            .create(true)
            .append(true)
            .open(&self.path)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", self.path.display()))
    }

    /// All of it so far.
    pub fn text(&self) -> String {
        fs::read(&self.path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its lines that contain `needle`.
    pub fn lines_with(&self, needle: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(needle)).map(str::to_owned).collect()
    }

    /// Its end, for a failure message.
    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        let left_out = lines.len().saturating_sub(SHOWN);
        let mut shown = format!(
            "--- {} ({} lines, the last {})\n",
            self.path.display(),
            lines.len(),
            lines.len() - left_out
        );
        for line in &lines[left_out..] {
            shown.push_str(line);
            shown.push('\n');
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn keeps_what_was_written_and_shows_the_end() {
        let log = LogDirectory::new("log-keeps_what_was_written").file("n1");
        let mut file = log.open();
        for n in 0..100 {
            writeln!(file, "line {n}").unwrap();
        }
        assert_eq!(log.lines_with("line 9").len(), 11);
        let tail = log.tail();
        assert!(tail.contains("100 lines, the last 60"), "{tail}");
        assert!(
            tail.contains("line 40\n") && tail.contains("line 99\n") && !tail.contains("line 39\n"),
            "{tail}"
        );
    }

    #[test]
    fn starts_empty_each_time() {
        writeln!(LogDirectory::new("log-starts_empty").file("n1").open(), "old").unwrap();
        assert_eq!(LogDirectory::new("log-starts_empty").file("n1").text(), "");
    }
}

//! Waiting for a condition with a deadline, the only way this crate waits; and saying what was measured.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// How often a condition is looked at: well under every limit the tests assert.
const POLL: Duration = Duration::from_millis(5);

/// Looks at `condition` until it gives a value; panics with `what` and the last refusal when `limit` has passed.
///
/// The condition says in its `Err` what it saw, so that a failure tells what was missing.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(seen) if start.elapsed() >= limit => {
                panic!("{what}: not within {} ms; last seen: {seen}", limit.as_millis())
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// Prints a line that is seen although the test passes: `println!` would be kept for failures.
pub fn say(line: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_as_soon_as_the_condition_holds() {
        let mut looks = 0;
        let value = wait_for("three looks", Duration::from_secs(5), || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("{looks} looks")) }
        });
        assert_eq!(value, 3);
    }

    #[test]
    #[should_panic(expected = "a thing that never comes: not within 10 ms; last seen: nothing")]
    fn says_what_was_missing() {
        wait_for("a thing that never comes", Duration::from_millis(10), || Err::<(), _>("nothing".into()));
    }
}

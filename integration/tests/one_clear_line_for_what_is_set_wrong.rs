//! Promise: a wrong cluster key, an unreachable seed and a taken name are each said in one clear line, once.

use std::fs;
use std::time::{Duration, Instant};

use holdline_integration::harness::{LogDirectory, LogFile, Member, MemberOptions, free_address, wait_for};

/// Longer than it takes to call a seed unreachable.
const LIMIT: Duration = Duration::from_secs(15);
/// Many of the retries that could each say it again: seeds are tried four times a second.
const RETRIES: Duration = Duration::from_secs(3);

#[test]
fn one_clear_line_for_a_wrong_cluster_key() {
    let logs = LogDirectory::new("one_clear_line_for_a_wrong_key");
    let key = |name: &str, digit: &str| {
        let file = logs.path().join(name);
        fs::write(&file, format!("{}\n", digit.repeat(64))).unwrap();
        vec!["--cluster-key-file".into(), file.into()]
    };
    let first = MemberOptions { arguments: key("first.key", "a"), ..MemberOptions::node("n1") }.start(&logs);
    first.process.wait_ready();
    let second = MemberOptions { arguments: key("second.key", "b"), ..MemberOptions::node("n2") };
    let second = second.joining(&first).start(&logs);

    let line = the_one_line(first.process.log(), &["cluster key", &second.cluster.to_string()]);
    assert!(line.contains("WARN") || line.contains("ERROR"), "{line}");
}

#[test]
fn one_clear_line_for_an_unreachable_seed() {
    let logs = LogDirectory::new("one_clear_line_for_an_unreachable_seed");
    let nobody = free_address().to_string();
    let node = MemberOptions { seeds: vec![nobody.clone()], ..MemberOptions::node("n1") }.start(&logs);

    let line = the_one_line(node.process.log(), &["seed", &nobody]);
    assert!(line.contains("WARN") || line.contains("ERROR"), "{line}");
}

#[test]
fn one_clear_line_for_a_seed_that_is_no_name() {
    let logs = LogDirectory::new("one_clear_line_for_a_seed_that_is_no_name");
    // RFC 6761 §6.4: `.invalid` is never found.
    let nobody = "seed.invalid:7001";
    let node = MemberOptions { seeds: vec![nobody.into()], ..MemberOptions::node("n1") }.start(&logs);

    let line = the_one_line(node.process.log(), &["seed", nobody]);
    assert!(line.contains("WARN") || line.contains("ERROR"), "{line}");
}

#[test]
fn one_clear_line_for_a_taken_name() {
    let logs = LogDirectory::new("one_clear_line_for_a_taken_name");
    let first = MemberOptions::node("n1").start(&logs);
    first.process.wait_ready();
    let elsewhere = LogDirectory::new("one_clear_line_for_a_taken_name-second");
    let mut second: Member = MemberOptions::node("n1").joining(&first).start(&elsewhere);

    let status = second.process.wait_exit(LIMIT);
    assert!(!status.success(), "{status}");
    let said = second.process.log().lines_with("the name n1 is taken");
    assert_eq!(said.len(), 1, "{}", second.process.log().tail());
    assert!(said[0].contains(&first.cluster.to_string()), "it says by whom: {}", said[0]);
    // The one that was there first goes on.
    assert!(first.process.stats().is_ok(), "{}", first.process.log().tail());
}

/// The only line with all of `words`, which comes within the limit and is not said again.
#[track_caller]
fn the_one_line(log: &LogFile, words: &[&str]) -> String {
    let matching = || -> Vec<String> {
        log.text()
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .map(str::to_owned)
            .collect()
    };
    let what = format!("a line with {words:?}");
    wait_for(&what, LIMIT, || if matching().is_empty() { Err(log.tail()) } else { Ok(()) });
    let said = Instant::now();
    wait_for("the retries after it", RETRIES * 2, || {
        if said.elapsed() >= RETRIES { Ok(()) } else { Err(String::new()) }
    });
    let lines = matching();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines[0].clone()
}

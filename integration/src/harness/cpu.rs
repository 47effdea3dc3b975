//! What a process has used: CPU time of all its threads to the nanosecond, and resident memory.

use std::fs;
use std::io;
use std::time::Duration;

/// CPU time that the live threads of process `pid` have used, user and kernel together.
///
/// `schedstat` counts nanoseconds where `stat` counts ticks of 10 ms. Threads that have ended are not in it, so measure processes
/// whose threads live as long as they do.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        match fs::read_to_string(task?.path().join("schedstat")) {
            Ok(text) => total += Duration::from_nanos(first_number(&text)?),
            // The thread ended between the listing and the look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Resident memory of process `pid` in bytes, exact (`smaps_rollup`, not the lagging counters of `status`).
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "smaps_rollup without an Rss line"))?;
    Ok(first_number(rest)? * 1024)
}

fn first_number(text: &str) -> io::Result<u64> {
    text.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no number in {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_in_any_thread_is_counted() {
        let me = std::process::id();
        let before = cpu_time(me).unwrap();
        let (done, finished) = std::sync::mpsc::channel();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let worker = std::thread::spawn(move || {
            let mut sum = 0u64;
            for n in 0..20_000_000u64 {
                sum = std::hint::black_box(sum.wrapping_add(n));
            }
            done.send(sum).unwrap();
            held.recv().ok();
        });
        finished.recv().unwrap();
        // The counter of a running thread is brought up to date when it is next scheduled.
        let used = super::super::wait_for("CPU of a busy thread", Duration::from_secs(5), || {
            let used = cpu_time(me).unwrap() - before;
            if used > Duration::from_millis(1) { Ok(used) } else { Err(format!("{used:?}")) }
        });
        drop(release);
        worker.join().unwrap();
        assert!(used < Duration::from_secs(60), "{used:?}");
    }

    #[test]
    fn memory_that_is_touched_is_resident() {
        let me = std::process::id();
        let before = resident_bytes(me).unwrap();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let grown = resident_bytes(me).unwrap() - before;
        assert!(grown > 48 << 20, "{grown} bytes after touching {}", block.len());
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(cpu_time(u32::MAX).is_err());
        assert!(resident_bytes(u32::MAX).is_err());
    }
}

//! The process harness: real nodes as child processes on loopback, watched through their consoles.
//!
//! Everything here waits for conditions with a deadline and never for a fixed time, and everything it starts is killed when it is
//! dropped. A step that fails panics with what was seen, since its callers are tests and measurements.

mod binary;
mod cluster;
mod console;
mod cpu;
mod dialog;
mod log;
mod peer;
mod port;
mod process;
mod sipp;
mod wait;

pub use binary::holdline;
pub use cluster::{Cluster, ClusterOptions, Member, MemberOptions};
pub use console::{Console, ConsoleError, Stats};
pub use cpu::{cpu_time, resident_bytes};
pub use dialog::Call;
pub use log::{LogDirectory, LogFile};
pub use peer::{Peer, Received};
pub use port::free_address;
pub use process::{Process, ProcessOptions};
pub use sipp::{Scenario, Sipp, SippReport, SippRun, sipp_or_skip};
pub use wait::{say, wait_for};

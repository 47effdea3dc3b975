//! Seeds are names: they are resolved again for ever, on a thread of their own, for a resolver may block for seconds.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Between two resolutions while something is missing or changing.
const RETRY: Duration = Duration::from_secs(1);
/// Between two resolutions when all is well: a seed may move.
const REFRESH: Duration = Duration::from_secs(30);
/// Failures in a row before a name deserves its line.
const FAILURES_MAX: u32 = 4;

/// One round of resolving all seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Every address of every name.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whether every name had an address.
    pub(crate) complete: bool,
    /// Names that have failed for a while, with the reason; each once.
    pub(crate) failed: Vec<(String, String)>,
    /// Which name an address came from, for messages.
    pub(crate) names: BTreeMap<SocketAddr, String>,
}

/// Resolves the seeds, counting failures.
pub(super) struct Resolver {
    seeds: Vec<String>,
    failures: BTreeMap<String, u32>,
}

impl Resolver {
    pub(super) fn new(seeds: Vec<String>) -> Self {
        Self { seeds, failures: BTreeMap::new() }
    }

    /// Addresses given literally, without asking anybody; complete if there are no names.
    pub(super) fn literal(&mut self) -> Resolved {
        self.round(|seed| seed.parse::<SocketAddr>().map(|addr| vec![addr]).map_err(|_| None))
    }

    /// Asks the system.
    pub(super) fn resolve(&mut self) -> Resolved {
        self.round(|seed| match seed.to_socket_addrs() {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => Err(Some(error.to_string())),
        })
    }

    fn round(&mut self, look_up: impl Fn(&str) -> Result<Vec<SocketAddr>, Option<String>>) -> Resolved {
        let mut out =
            Resolved { addresses: Vec::new(), complete: true, failed: Vec::new(), names: BTreeMap::new() };
        for seed in &self.seeds {
            match look_up(seed) {
                Ok(addresses) if !addresses.is_empty() => {
                    self.failures.remove(seed);
                    out.names.extend(addresses.iter().map(|addr| (*addr, seed.clone())));
                    out.addresses.extend(addresses);
                }
                failed => {
                    out.complete = false;
                    let why = failed.err().unwrap_or_else(|| Some("no address".to_owned()));
                    let Some(why) = why else { continue };
                    let failures = self.failures.entry(seed.clone()).or_default();
                    *failures += 1;
                    if *failures == FAILURES_MAX {
                        out.failed.push((seed.clone(), why));
                    }
                }
            }
        }
        out.addresses.sort();
        out.addresses.dedup();
        out
    }
}

/// Resolves until `stop` is dropped, reporting every round.
pub(super) fn run(mut resolver: Resolver, stop: &Receiver<()>, report: impl Fn(Resolved)) {
    loop {
        let resolved = resolver.resolve();
        let pause = if resolved.complete { REFRESH } else { RETRY };
        report(resolved);
        if stop.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(seeds: &[&str]) -> Resolver {
        Resolver::new(seeds.iter().map(|seed| (*seed).to_owned()).collect())
    }

    #[test]
    fn literal_addresses_need_no_resolver() {
        let literal = resolver(&["127.0.0.1:7002", "[::1]:7003", "127.0.0.1:7002"]).literal();
        assert_eq!(literal.addresses, ["127.0.0.1:7002".parse().unwrap(), "[::1]:7003".parse().unwrap()]);
        assert!(literal.complete && literal.failed.is_empty());
        assert!(!resolver(&["127.0.0.1:7002", "n2.example:7002"]).literal().complete);
    }

    #[test]
    fn a_name_that_keeps_failing_is_reported_once_until_it_has_worked_again() {
        let mut resolver = resolver(&["n2.example:7002"]);
        let fails = |_: &str| Err(Some("no such name".to_owned()));
        let reports: Vec<usize> = (0..10).map(|_| resolver.round(fails).failed.len()).collect();
        assert_eq!(reports, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        let works = resolver.round(|_| Ok(vec!["10.0.0.2:7002".parse().unwrap()]));
        assert!(works.complete);
        assert_eq!(works.names[&"10.0.0.2:7002".parse().unwrap()], "n2.example:7002");
        assert_eq!((0..4).map(|_| resolver.round(fails).failed.len()).sum::<usize>(), 1);
    }
}

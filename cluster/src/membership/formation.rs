//! Finding the cluster: whom to announce to, and when the first view may be trusted ("formed").

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::effect::Notice;
use crate::Timestamp;

/// While alone, every seed is asked this often.
const ANNOUNCE_ALONE: Duration = Duration::from_millis(250);
/// In company, one seed that is no member: heals splits whose dead each side has forgotten.
const ANNOUNCE_STRANGER: Duration = Duration::from_secs(10);
/// A seed that cannot be understood is answered this often at most.
const GREET_UNREADABLE: Duration = Duration::from_secs(1);
/// A seed that has not answered for so long is worth a line.
const SEED_SILENT: Duration = Duration::from_secs(5);
/// Addresses kept of all seed names together.
const SEEDS_MAX: usize = 64;

/// The seeds as last resolved, and the formed rule.
#[derive(Debug)]
pub(super) struct Formation {
    me: SocketAddr,
    settle: Duration,
    bootstrap_at: Timestamp,
    /// Addresses of others, with the time they were first asked; `None` once they have been members or were reported.
    seeds: BTreeMap<SocketAddr, Option<Timestamp>>,
    next_announce: Option<Timestamp>,
    /// Turns over the seeds that are no members.
    turn: usize,
    next_greeting: Timestamp,
    settled_at: Option<Timestamp>,
    /// Another member has our name.
    blocked: bool,
    formed: bool,
}

impl Formation {
    /// `alone`: no seed is configured, so this node is the cluster.
    pub(super) fn new(me: SocketAddr, alone: bool, settle: Duration, bootstrap_at: Timestamp) -> Self {
        Self {
            me,
            settle,
            bootstrap_at,
            seeds: BTreeMap::new(),
            next_announce: None,
            turn: 0,
            next_greeting: Timestamp::ZERO,
            settled_at: None,
            blocked: false,
            formed: alone,
        }
    }

    pub(super) fn formed(&self) -> bool {
        self.formed
    }

    /// The newest addresses of the seeds; `complete` when every name was resolved.
    pub(super) fn handle_seeds(&mut self, now: Timestamp, addresses: &[SocketAddr], complete: bool) {
        let others = addresses.iter().filter(|addr| **addr != self.me).take(SEEDS_MAX);
        self.seeds = others.map(|addr| (*addr, self.seeds.get(addr).copied().unwrap_or(Some(now)))).collect();
        if self.seeds.is_empty() {
            self.next_announce = None;
            // We are the only seed: nobody to wait for.
            self.formed |= complete;
        } else if self.next_announce.is_none() {
            self.next_announce = Some(now);
        }
    }

    /// The set of members changed: the view has to settle again.
    pub(super) fn handle_change(&mut self, now: Timestamp, other_nodes: usize) {
        self.settled_at = (other_nodes > 0).then_some(now + self.settle);
        if other_nodes == 0 && !self.seeds.is_empty() {
            self.next_announce = Some(now);
        }
    }

    /// Whom to announce to now.
    pub(super) fn announce(&mut self, now: Timestamp, members: &[SocketAddr]) -> Vec<SocketAddr> {
        for addr in members {
            if let Some(asked) = self.seeds.get_mut(addr) {
                *asked = None;
            }
        }
        if self.next_announce.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let strangers: Vec<SocketAddr> =
            self.seeds.keys().filter(|addr| !members.contains(addr)).copied().collect();
        if members.is_empty() {
            self.next_announce = Some(now + ANNOUNCE_ALONE);
            return strangers;
        }
        self.next_announce = Some(now + ANNOUNCE_STRANGER);
        if strangers.is_empty() {
            return Vec::new();
        }
        self.turn = self.turn.wrapping_add(1);
        vec![strangers[self.turn % strangers.len()]]
    }

    /// Whether to announce to a source that could not be understood: only to a seed, which we would ask anyway, so that
    /// forged datagrams cannot make us send to others.
    pub(super) fn greets(&mut self, now: Timestamp, from: &SocketAddr) -> bool {
        let due = self.next_greeting <= now && self.seeds.contains_key(from);
        if due {
            self.next_greeting = now + GREET_UNREADABLE;
        }
        due
    }

    /// Nothing forms while another member has our name.
    pub(super) fn block(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// Whether the cluster just formed.
    pub(super) fn form(&mut self, now: Timestamp) -> bool {
        let due = self.form_at().is_some_and(|at| at <= now);
        self.formed |= due;
        due
    }

    /// The seeds that deserve their one line.
    pub(super) fn silent(&mut self, now: Timestamp) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (addr, asked) in &mut self.seeds {
            if asked.is_some_and(|at| at + SEED_SILENT <= now) {
                *asked = None;
                notices.push(Notice::SeedSilent { addr: *addr, seconds: SEED_SILENT.as_secs() });
            }
        }
        notices
    }

    fn form_at(&self) -> Option<Timestamp> {
        let waiting = !self.formed && !self.blocked;
        waiting.then(|| self.settled_at.map_or(self.bootstrap_at, |at| at.min(self.bootstrap_at)))
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let form = self.form_at();
        let silent = self.seeds.values().flatten().min().map(|at| *at + SEED_SILENT);
        [form, self.next_announce, silent].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_millis(300);
    const BOOTSTRAP: Duration = Duration::from_secs(5);

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn ms(ms: u64) -> Timestamp {
        Duration::from_millis(ms)
    }

    fn formation() -> Formation {
        Formation::new(addr(1), false, SETTLE, BOOTSTRAP)
    }

    #[test]
    fn without_seeds_or_as_the_only_seed_a_node_forms_at_once() {
        assert!(Formation::new(addr(1), true, SETTLE, BOOTSTRAP).formed());
        let mut only = formation();
        only.handle_seeds(ms(0), &[addr(1)], false);
        assert!(!only.formed(), "a name is still unresolved: it may be another node");
        only.handle_seeds(ms(0), &[addr(1)], true);
        assert!(only.formed());
    }

    #[test]
    fn a_joiner_forms_when_its_view_has_settled() {
        let mut joiner = formation();
        joiner.handle_seeds(ms(0), &[addr(1), addr(2)], true);
        joiner.handle_change(ms(100), 1);
        assert!(!joiner.form(ms(399)));
        joiner.handle_change(ms(399), 2);
        assert!(!joiner.form(ms(400)), "the view changed: settle again");
        assert_eq!(joiner.poll_timeout(), Some(ms(0)), "the announcement is due first");
        joiner.announce(ms(0), &[addr(2), addr(3)]);
        assert_eq!(joiner.poll_timeout(), Some(ms(699)));
        joiner.block(true);
        assert!(!joiner.form(ms(9_999)), "somebody has our name");
        joiner.block(false);
        assert!(joiner.form(ms(699)));
        assert!(joiner.formed() && !joiner.form(ms(700)), "formed once");
    }

    #[test]
    fn without_an_answer_a_node_forms_after_the_bootstrap_time() {
        let mut lonely = formation();
        lonely.handle_seeds(ms(0), &[addr(2)], true);
        assert!(!lonely.form(ms(4_999)));
        assert!(lonely.form(ms(5_000)));
    }

    #[test]
    fn alone_every_seed_is_asked_and_in_company_one_stranger_at_a_time() {
        let mut node = formation();
        node.handle_seeds(ms(0), &[addr(1), addr(2), addr(3), addr(4)], true);
        assert_eq!(node.announce(ms(0), &[]), [addr(2), addr(3), addr(4)], "never ourselves");
        assert_eq!(node.announce(ms(249), &[]), []);
        assert_eq!(node.announce(ms(250), &[]).len(), 3);
        let in_company = [addr(2), addr(9)];
        assert_eq!(node.announce(ms(500), &in_company), [addr(4)]);
        assert_eq!(node.announce(ms(10_499), &in_company), []);
        assert_eq!(node.announce(ms(10_500), &in_company), [addr(3)], "they take turns");
        assert_eq!(node.announce(ms(20_500), &[addr(2), addr(3), addr(4)]), []);
        node.handle_change(ms(21_000), 0);
        assert_eq!(node.announce(ms(21_000), &[]).len(), 3, "alone again: at once");
    }

    #[test]
    fn only_a_seed_that_cannot_be_understood_is_answered_and_not_often() {
        let mut node = formation();
        node.handle_seeds(ms(0), &[addr(2)], true);
        assert!(!node.greets(ms(0), &addr(3)), "anybody can forge a source");
        assert!(node.greets(ms(0), &addr(2)));
        assert!(!node.greets(ms(999), &addr(2)));
        assert!(node.greets(ms(1_000), &addr(2)));
    }

    #[test]
    fn a_silent_seed_is_reported_once_and_an_answering_one_never() {
        let mut node = formation();
        node.handle_seeds(ms(0), &[addr(2), addr(3)], true);
        node.announce(ms(0), &[addr(2)]);
        assert!(node.silent(ms(4_999)).is_empty());
        assert_eq!(node.silent(ms(5_000)), [Notice::SeedSilent { addr: addr(3), seconds: 5 }]);
        node.handle_seeds(ms(5_001), &[addr(2), addr(3)], true);
        assert!(node.silent(ms(60_000)).is_empty());
    }
}

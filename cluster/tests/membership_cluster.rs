//! Clusters of pure membership machines on one virtual clock: joining, dying, lossy networks, restarts, taken names.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use holdline_cluster::membership::{Config, Effect, Membership, Notice, Refusal};
use holdline_cluster::view::{Member, Phase, Role, View};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const START: Duration = Duration::from_secs(1_700_000_000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

/// A network of members; each listens on a port of its own.
struct Net {
    now: Duration,
    rng: SmallRng,
    /// Part of the datagrams that get lost.
    loss: f64,
    /// Ports that cannot talk to the others, while a split lasts.
    island: Vec<u16>,
    nodes: BTreeMap<u16, Node>,
    flying: BinaryHeap<Reverse<(Duration, u64, u16, Bytes)>>,
    sent: u64,
}

struct Node {
    machine: Membership,
    view: View,
    /// Every set of names this node has seen, in order.
    seen: Vec<Vec<String>>,
    rejoined: usize,
    refused: Option<Refusal>,
    notices: Vec<Notice>,
}

impl Node {
    fn names(&self) -> Vec<String> {
        self.view.members().map(|member| member.id.to_string()).collect()
    }
}

impl Net {
    fn new(seed: u64) -> Self {
        Self {
            now: START,
            rng: SmallRng::seed_from_u64(seed),
            loss: 0.0,
            island: Vec::new(),
            nodes: BTreeMap::new(),
            flying: BinaryHeap::new(),
            sent: 0,
        }
    }

    /// `n` nodes `n1..` on ports `1..`, all seeded with the first two, run until everybody sees everybody.
    fn formed(seed: u64, n: u16) -> Self {
        let mut net = Self::new(seed);
        for port in 1..=n {
            net.start(&format!("n{port}"), port, &[1, 2]);
        }
        let joined = net.run_until(ms(5_000), |net| net.all_see(usize::from(n)));
        assert!(joined.is_some(), "no full view: {:?}", net.views());
        assert!(net.run_until(ms(1_000), |net| net.nodes.values().all(|node| node.view.formed())).is_some());
        net
    }

    fn start(&mut self, name: &str, port: u16, seeds: &[u16]) {
        self.start_as(name, port, seeds, Role::Node);
    }

    fn start_as(&mut self, name: &str, port: u16, seeds: &[u16], role: Role) {
        let boot = self.now.as_millis() as u64 + u64::from(port);
        let me = Member {
            id: name.parse().unwrap(),
            boot,
            role,
            phase: Phase::Up,
            cluster: addr(port),
            service: SocketAddr::from(([10, 0, 0, 1], 5_000 + port)),
            zone: "z".into(),
        };
        let mut config = Config::new(me, self.rng.random());
        config.seeded = !seeds.is_empty();
        let mut machine = Membership::new(self.now, config);
        let seeds: Vec<SocketAddr> = seeds.iter().map(|port| addr(*port)).collect();
        machine.handle_seeds(self.now, &seeds, true);
        let view = View::clone(machine.view());
        let node = Node { machine, view, seen: Vec::new(), rejoined: 0, refused: None, notices: Vec::new() };
        self.nodes.insert(port, node);
        self.pump(port);
    }

    fn kill(&mut self, port: u16) -> Node {
        self.nodes.remove(&port).unwrap()
    }

    fn with(&mut self, port: u16, act: impl FnOnce(&mut Membership, Duration)) {
        let now = self.now;
        act(&mut self.nodes.get_mut(&port).unwrap().machine, now);
        self.pump(port);
    }

    /// Carries out what a machine asks for.
    fn pump(&mut self, port: u16) {
        let Some(node) = self.nodes.get_mut(&port) else { return };
        while let Some(effect) = node.machine.poll_effect() {
            match effect {
                Effect::Send { to, payload } => {
                    self.sent += 1;
                    let cut = self.island.contains(&port) != self.island.contains(&to.port());
                    if !cut && self.rng.random_range(0.0..1.0) >= self.loss {
                        let at = self.now + Duration::from_micros(self.rng.random_range(150..600));
                        self.flying.push(Reverse((at, self.sent, to.port(), payload)));
                    }
                }
                Effect::View(view) => {
                    node.view = View::clone(&view);
                    node.seen.push(node.names());
                }
                Effect::Rejoined => node.rejoined += 1,
                Effect::Refused(refusal) => node.refused = Some(refusal),
                Effect::Notice(notice) => node.notices.push(notice),
            }
        }
    }

    /// Runs until `done`, at most `limit`; how long it took.
    fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (from, until) = (self.now, self.now + limit);
        while !done(self) {
            let timer = self
                .nodes
                .iter()
                .filter_map(|(port, node)| Some((node.machine.poll_timeout()?, *port)))
                .min();
            let arrival = self.flying.peek().map(|Reverse((at, ..))| *at);
            let next =
                [timer.map(|(at, _)| at), arrival].into_iter().flatten().min().filter(|at| *at <= until);
            let Some(next) = next else {
                self.now = until;
                return done(self).then_some(limit);
            };
            self.now = self.now.max(next);
            let port = if arrival == Some(next) {
                let Reverse((_, _, port, payload)) = self.flying.pop().unwrap();
                if let Some(node) = self.nodes.get_mut(&port) {
                    node.machine.handle_datagram(self.now, &payload);
                }
                port
            } else {
                let (_, port) = timer.unwrap();
                self.nodes.get_mut(&port).unwrap().machine.handle_timeout(self.now);
                port
            };
            self.pump(port);
        }
        Some(self.now - from)
    }

    fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn all_see(&self, members: usize) -> bool {
        self.nodes.values().all(|node| node.view.members().count() == members)
    }

    fn nobody_sees(&self, name: &str) -> bool {
        self.nodes.values().all(|node| node.view.get(&name.parse().unwrap()).is_none())
    }

    fn views(&self) -> Vec<Vec<String>> {
        self.nodes.values().map(Node::names).collect()
    }
}

#[test]
fn a_fresh_cluster_forms_within_a_second_and_agrees() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        for port in 1..=5 {
            net.start(&format!("n{port}"), port, &[1, 2, 3]);
        }
        let formed =
            net.run_until(ms(1_000), |net| net.all_see(5) && net.nodes.values().all(|n| n.view.formed()));
        assert!(formed.is_some_and(|t| t >= ms(300)), "seed {seed}: {formed:?} {:?}", net.views());
        let n3 = net.nodes[&1].view.get(&"n3".parse().unwrap()).unwrap();
        assert_eq!((n3.cluster, n3.service.port(), n3.zone.as_str()), (addr(3), 5_003, "z"));
    }
}

#[test]
fn nobody_forms_before_the_others_are_in_its_view() {
    let mut net = Net::new(1);
    for port in 1..=3 {
        net.start(&format!("n{port}"), port, &[1, 2, 3]);
    }
    while !net.nodes.values().any(|node| node.view.formed()) {
        net.run(ms(10));
    }
    assert!(net.all_see(3), "formed on a partial view: {:?}", net.views());
}

#[test]
fn without_any_seed_alive_a_node_forms_alone_after_five_seconds_and_names_the_silent_seed() {
    let mut net = Net::new(1);
    net.start("n1", 1, &[1, 2]);
    net.run(ms(4_990));
    assert!(!net.nodes[&1].view.formed());
    net.run(ms(20));
    assert!(net.nodes[&1].view.formed());
    assert_eq!(net.nodes[&1].notices, [Notice::SeedSilent { addr: addr(2), seconds: 5 }]);
    net.start("n2", 2, &[1, 2]);
    assert!(net.run_until(ms(1_000), |net| net.all_see(2)).is_some(), "the late seed is found");
}

#[test]
fn an_observer_alone_is_not_company_enough_to_form() {
    let mut net = Net::new(1);
    net.start_as("lb", 9, &[1], Role::Observer);
    net.start("n1", 1, &[1, 9]);
    net.run(ms(2_000));
    assert!(net.all_see(2) && !net.nodes[&1].view.formed());
    assert_eq!(net.nodes[&1].view.nodes().count(), 1);
}

#[test]
fn a_death_is_known_to_all_within_700_ms_typically_and_nobody_else_is_blamed() {
    let mut times = Vec::new();
    for seed in 0..40 {
        let mut net = Net::formed(seed, 5);
        net.run(ms(1_000 + 7 * seed));
        net.kill(5);
        times.push(net.run_until(ms(5_000), |net| net.nobody_sees("n5")).unwrap());
        net.run(ms(1_000));
        assert!(net.all_see(4), "seed {seed}: {:?}", net.views());
    }
    times.sort();
    // A probe round, the suspicion and a gossip tick or two; the tail waits for the victim's turn to be probed.
    assert!(times[0] > ms(300) && times[20] <= ms(550) && times[36] <= ms(700), "{times:?}");
}

#[test]
fn ten_percent_loss_for_a_minute_takes_nobody_down_and_nobody_rejoins() {
    let mut net = Net::formed(7, 8);
    net.loss = 0.1;
    net.run(ms(60_000));
    assert!(net.all_see(8), "{:?}", net.views());
    let refuted: u64 = net.nodes.values().map(|node| node.machine.stats().refuted).sum();
    assert!(refuted > 0, "the run must contain refuted suspicions, else it shows nothing");
    for (port, node) in &net.nodes {
        assert_eq!(node.rejoined, 0, "n{port}");
        assert!(
            node.seen.iter().skip_while(|names| names.len() < 8).all(|names| names.len() == 8),
            "n{port}"
        );
    }
}

#[test]
fn evidence_at_one_node_is_known_to_all_within_10_ms() {
    for seed in 0..20 {
        let mut net = Net::formed(seed, 4);
        let dead = net.kill(3);
        let boot = dead.view.get(dead.view.me()).unwrap().boot;
        net.with(1, |machine, now| machine.handle_evidence(now, &"n3".parse().unwrap(), boot));
        let known = net.run_until(ms(1_000), |net| net.nobody_sees("n3")).unwrap();
        assert!(known <= ms(10), "seed {seed}: {known:?}");
    }
}

#[test]
fn evidence_against_an_earlier_process_or_a_stranger_changes_nothing() {
    let mut net = Net::formed(1, 3);
    let boot = net.nodes[&1].view.get(&"n3".parse().unwrap()).unwrap().boot;
    net.with(1, |machine, now| machine.handle_evidence(now, &"n3".parse().unwrap(), boot - 1));
    net.with(1, |machine, now| machine.handle_evidence(now, &"n9".parse().unwrap(), boot));
    net.run(ms(500));
    assert!(net.all_see(3));
    assert_eq!(net.nodes[&1].machine.stats().evidence, 0);
}

#[test]
fn a_member_declared_down_by_mistake_learns_it_and_comes_back_with_its_boot() {
    let mut net = Net::formed(3, 4);
    let n3 = "n3".parse().unwrap();
    let boot = net.nodes[&1].view.get(&n3).unwrap().boot;
    net.with(1, |machine, now| machine.handle_evidence(now, &n3, boot));
    assert!(net.nodes[&1].view.get(&n3).is_none());
    let back = net.run_until(ms(2_000), |net| net.nodes[&3].rejoined == 1 && net.all_see(4));
    assert!(back.is_some(), "{:?}", net.views());
    assert!(net.nodes.values().all(|node| node.view.is_alive(&n3, boot)));
}

#[test]
fn a_restarted_node_replaces_its_former_self_without_waiting_for_its_death() {
    let mut net = Net::formed(5, 4);
    let n2 = "n2".parse().unwrap();
    let before = net.kill(2).view.get(&n2).unwrap().boot;
    net.run(ms(100));
    net.start("n2", 2, &[1, 2]);
    let boot = net.nodes[&2].view.get(&n2).unwrap().boot;
    assert!(boot > before);
    let replaced = net.run_until(ms(2_000), |net| {
        net.all_see(4) && net.nodes.values().all(|node| node.view.is_alive(&n2, boot))
    });
    assert!(replaced.is_some(), "{:?}", net.views());
    assert!(net.nodes.values().all(|node| node.refused.is_none()));
    net.run(ms(5_000));
    assert!(net.all_see(4), "and stays: {:?}", net.views());
}

#[test]
fn a_restart_at_another_address_is_accepted_once_the_old_process_is_known_dead() {
    let mut net = Net::formed(5, 4);
    net.kill(2);
    net.start("n2", 22, &[1, 3]);
    let boot = net.nodes[&22].view.get(&"n2".parse().unwrap()).unwrap().boot;
    let accepted = net.run_until(ms(3_000), |net| {
        net.nodes.values().all(|node| node.view.is_alive(&"n2".parse().unwrap(), boot)) && net.all_see(4)
    });
    assert!(accepted.is_some(), "{:?}", net.views());
    assert_eq!(net.nodes[&22].refused, None);
}

#[test]
fn a_name_in_use_turns_the_newcomer_away_and_nobody_else_notices() {
    for seed in 0..10 {
        let mut net = Net::formed(seed, 4);
        let boots: Vec<u64> = net.nodes[&1].view.members().map(|member| member.boot).collect();
        net.run(ms(1_000));
        net.start("n2", 22, &[1, 2, 3]);
        let refused = net.run_until(ms(2_000), |net| net.nodes[&22].refused.is_some());
        assert!(refused.is_some(), "seed {seed}");
        let newcomer = net.kill(22);
        assert_eq!(newcomer.refused, Some(Refusal::NameTaken { name: "n2".into(), holder: addr(2) }));
        assert!(!newcomer.view.formed(), "it must not have claimed anything");
        net.run(ms(2_000));
        for node in net.nodes.values() {
            assert_eq!(
                node.view.members().map(|member| member.boot).collect::<Vec<_>>(),
                boots,
                "seed {seed}"
            );
            assert_eq!((node.rejoined, &node.refused), (0, &None));
        }
    }
}

#[test]
fn a_process_whose_clock_is_behind_its_predecessors_says_so() {
    let mut net = Net::formed(5, 3);
    net.run(ms(10_000));
    net.kill(3);
    net.run(ms(1_000));
    let later = net.now;
    net.now = START - ms(60_000);
    net.start("n3", 3, &[1, 2]);
    net.now = later;
    net.run_until(ms(10_000), |net| net.nodes[&3].refused.is_some());
    assert!(matches!(net.nodes[&3].refused, Some(Refusal::BootBehind { .. })), "{:?}", net.nodes[&3].refused);
}

#[test]
fn a_split_heals_to_one_view_and_both_sides_keep_their_boots() {
    let mut net = Net::formed(11, 4);
    let boots: Vec<u64> = net.nodes[&1].view.members().map(|member| member.boot).collect();
    net.island = vec![3, 4];
    assert!(net.run_until(ms(2_000), |net| net.all_see(2)).is_some(), "{:?}", net.views());
    net.run(ms(5_000));
    net.island.clear();
    let healed = net.run_until(ms(4_000), |net| net.all_see(4));
    assert!(healed.is_some(), "{:?}", net.views());
    for node in net.nodes.values() {
        assert_eq!(node.view.members().map(|member| member.boot).collect::<Vec<_>>(), boots);
    }
}

#[test]
fn a_leaving_member_is_gone_at_once_and_stays_silent() {
    let mut net = Net::formed(2, 4);
    net.with(4, |machine, now| machine.handle_leave(now));
    let known = net.run_until(ms(1_000), |net| {
        net.nodes.iter().all(|(port, node)| *port == 4 || node.view.members().count() == 3)
    });
    assert!(known.is_some_and(|t| t <= ms(10)), "{known:?}");
    assert_eq!(net.nodes[&4].machine.poll_timeout(), None);
}

#[test]
fn a_phase_reaches_everybody_and_the_member_itself_first() {
    let mut net = Net::formed(2, 4);
    let n4 = "n4".parse().unwrap();
    net.with(4, |machine, now| machine.handle_phase(now, Phase::Draining));
    assert_eq!(net.nodes[&4].view.get(&n4).unwrap().phase, Phase::Draining);
    let known = net.run_until(ms(1_000), |net| {
        net.nodes.values().all(|node| node.view.get(&n4).unwrap().phase == Phase::Draining)
    });
    assert!(known.is_some_and(|t| t <= ms(300)), "{known:?}");
}

#[test]
fn fifty_nodes_join_at_once_and_a_death_among_them_is_known_within_a_second() {
    let mut net = Net::formed(1, 50);
    net.kill(50);
    let known = net.run_until(ms(3_000), |net| net.nobody_sees("n50")).unwrap();
    assert!(known <= ms(1_100), "{known:?}");
}

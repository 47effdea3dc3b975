//! A bench: engines side by side, frames delivered at once unless a test holds them, time moved by hand.

use std::collections::BTreeSet;

use bytes::Bytes;
use holdline_cluster::Timestamp;
use holdline_cluster::engine::{
    Commit, Config, Confirmation, Durability, Effect, Engine, Notice, Role, Stored,
};
use holdline_cluster::id::{Key, Shard};
use holdline_protos::v1::Frame;

use super::{ms, node, view};

pub struct Bench {
    pub now: Timestamp,
    pub engines: Vec<Engine>,
    pub boots: Vec<u64>,
    /// What each engine asked for besides sending.
    pub effects: Vec<Vec<Effect>>,
    /// Frames from the first to the second of these are kept in `kept` instead of delivered.
    pub hold: BTreeSet<(usize, usize)>,
    pub kept: Vec<(usize, usize, Frame)>,
    replicas: usize,
}

impl Bench {
    /// `count` nodes that see and reach each other, formed and at rest.
    pub fn formed(count: usize, replicas: usize) -> Self {
        let mut bench = Self::strangers(count, replicas);
        for a in 0..count {
            for b in a + 1..count {
                bench.link(a, b, true);
            }
        }
        bench.see_all(&(0..count).collect::<Vec<_>>());
        bench.advance(ms(200));
        bench.effects.iter_mut().for_each(Vec::clear);
        bench
    }

    /// `count` nodes that know nobody.
    pub fn strangers(count: usize, replicas: usize) -> Self {
        let mut bench = Self {
            now: ms(1_000_000),
            engines: Vec::new(),
            boots: Vec::new(),
            effects: Vec::new(),
            hold: BTreeSet::new(),
            kept: Vec::new(),
            replicas,
        };
        for _ in 0..count {
            bench.spawn();
        }
        bench
    }

    /// One more node; says which.
    pub fn spawn(&mut self) -> usize {
        let at = self.engines.len();
        self.boots.push(1);
        self.engines.push(Engine::new(Config { replicas: self.replicas, ..Config::new(node(at), 1) }));
        self.effects.push(Vec::new());
        at
    }

    /// The process of a node is replaced by a fresh one.
    pub fn restart(&mut self, at: usize) {
        self.boots[at] += 1;
        let config = Config { replicas: self.replicas, ..Config::new(node(at), self.boots[at]) };
        self.engines[at] = Engine::new(config);
        self.effects[at].clear();
    }

    pub fn link(&mut self, a: usize, b: usize, up: bool) {
        for (at, peer) in [(a, b), (b, a)] {
            self.engines[at].handle_link(self.now, &node(peer), self.boots[peer], up);
        }
        self.exchange();
    }

    /// All links of a node break.
    pub fn isolate(&mut self, at: usize) {
        for peer in (0..self.engines.len()).filter(|peer| *peer != at) {
            self.link(at, peer, false);
        }
    }

    /// These nodes see exactly each other.
    pub fn see_all(&mut self, members: &[usize]) {
        for at in members {
            self.see(*at, members);
        }
    }

    pub fn see(&mut self, at: usize, members: &[usize]) {
        let members: Vec<(usize, u64)> =
            members.iter().map(|member| (*member, self.boots[*member])).collect();
        self.engines[at].handle_view(self.now, view(at, &members, true));
        self.exchange();
    }

    /// Lets time pass, step by step of what is due.
    pub fn advance(&mut self, by: Timestamp) {
        let end = self.now + by;
        loop {
            self.exchange();
            let due =
                (0..self.engines.len()).filter_map(|at| Some((self.engines[at].poll_timeout()?, at))).min();
            match due.filter(|(t, _)| *t <= end) {
                Some((t, at)) => {
                    self.now = self.now.max(t);
                    self.engines[at].handle_timeout(self.now);
                }
                None => break,
            }
        }
        self.now = end;
    }

    /// Delivers frames until nobody has anything to say.
    pub fn exchange(&mut self) {
        loop {
            let mut frames = Vec::new();
            for from in 0..self.engines.len() {
                while let Some(effect) = self.engines[from].poll_effect() {
                    match effect {
                        Effect::Send { to, frame } => {
                            frames.push((from, to.as_str()[1..].parse().unwrap(), frame));
                        }
                        other => self.effects[from].push(other),
                    }
                }
            }
            if frames.is_empty() {
                return;
            }
            for (from, to, frame) in frames {
                if self.hold.contains(&(from, to)) {
                    self.kept.push((from, to, frame));
                } else {
                    self.deliver(from, to, frame);
                }
            }
        }
    }

    pub fn deliver(&mut self, from: usize, to: usize, frame: Frame) {
        self.engines[to].handle_frame(self.now, &node(from), self.boots[from], frame);
    }

    /// Delivers what was held, and holds no more.
    pub fn release(&mut self) {
        self.hold.clear();
        for (from, to, frame) in std::mem::take(&mut self.kept) {
            self.deliver(from, to, frame);
        }
        self.exchange();
    }

    pub fn commit(&mut self, at: usize, key: Key, version: u64, durability: Durability) {
        self.write(at, Commit { key, version, terminated: false, body: body(version), durability });
    }

    pub fn end(&mut self, at: usize, key: Key, version: u64) {
        let (body, durability) = (Bytes::from_static(b"ended"), Durability::Acked);
        self.write(at, Commit { key, version, terminated: true, body, durability });
    }

    fn write(&mut self, at: usize, commit: Commit) {
        self.engines[at].handle_commit(self.now, commit);
        self.exchange();
    }

    /// Commits and waits until everything is where it belongs.
    pub fn store(&mut self, at: usize, key: Key, version: u64) {
        self.commit(at, key, version, Durability::Acked);
        self.advance(ms(10));
        assert!(self.confirmed(at).contains(&(version, true)), "a commit on a quiet bench is confirmed");
    }

    /// A shard owned by one node with its (first) copy on another.
    pub fn shard(&self, owner: usize, target: usize) -> Shard {
        let seen: Vec<(usize, u64)> = self.boots.iter().copied().enumerate().collect();
        let seen = view(owner, &seen, true);
        let fits = |shard: &Shard| {
            self.engines[owner].role(*shard) == Role::Owner
                && holdline_cluster::placement::targets(*shard, &seen, &node(owner), 1) == [node(target)]
        };
        Shard::all().find(fits).expect("4,096 shards have every combination")
    }

    pub fn key(&self, owner: usize, target: usize) -> Key {
        *self.shard(owner, target).keys().start()
    }

    pub fn owners(&self, shard: Shard) -> Vec<usize> {
        (0..self.engines.len()).filter(|at| self.engines[*at].role(shard) == Role::Owner).collect()
    }

    /// The version a node holds.
    pub fn version(&self, at: usize, key: Key) -> Option<u64> {
        self.stored(at, key).map(|item| item.version)
    }

    pub fn stored(&self, at: usize, key: Key) -> Option<Stored> {
        self.engines[at].stored(key.shard()).into_iter().find(|item| item.key == key)
    }

    /// Versions confirmed so far on a node, and whether with a copy.
    pub fn confirmed(&self, at: usize) -> Vec<(u64, bool)> {
        let confirmation = |effect: &Effect| match effect {
            Effect::Confirmed(Confirmation { version, protected, .. }) => Some((*version, *protected)),
            _ => None,
        };
        self.effects[at].iter().filter_map(confirmation).collect()
    }

    pub fn notices(&self, at: usize) -> Vec<Notice> {
        let notice = |effect: &Effect| match effect {
            Effect::Notice(notice) => Some(notice.clone()),
            _ => None,
        };
        self.effects[at].iter().filter_map(notice).collect()
    }
}

pub fn body(version: u64) -> Bytes {
    Bytes::from(format!("body of version {version}"))
}

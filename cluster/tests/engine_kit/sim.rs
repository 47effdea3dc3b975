//! The simulation: engines, the links between them, an application on each, and what must hold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use bytes::Bytes;
use holdline_cluster::Timestamp;
use holdline_cluster::engine::{Commit, Config, Confirmation, Durability, Effect, Engine, Role, Stored};
use holdline_cluster::id::{Epoch, Key, SHARDS, Shard};
use holdline_protos::Message as _;
use holdline_protos::v1::Frame;

use super::{Rng, ms, node, view};

const TOMBSTONE: Timestamp = ms(2_000);
/// When the application ends what it still has, for the last time.
const LAST_END: Timestamp = ms(2_400);

/// What a run does to its nodes.
#[derive(Clone, Copy)]
pub struct Plan {
    pub nodes: usize,
    pub replicas: usize,
    pub durability: Durability,
    /// Crash and restart a node this often.
    pub crashes: usize,
    /// Break a link this often between two crashes.
    pub flaps: usize,
    /// Percent of frames that vanish on a link that stays up.
    pub loss: u64,
    /// The mutation: the `Query` of a takeover never arrives.
    pub drop_query: bool,
}

#[derive(Default)]
pub struct Verdict {
    pub confirmed: u64,
    pub protected: u64,
    pub taken_over: u64,
    /// Confirmed and protected, and yet not in what the next owner serves.
    pub lost: Vec<String>,
    /// Confirmed as ended, and yet alive again.
    pub revived: Vec<String>,
    /// Still something there long after everything ended.
    pub left: Vec<String>,
}

impl Verdict {
    pub fn assert_clean(&self, seed: u64) {
        assert!(self.lost.is_empty(), "seed {seed}: lost {:?}", self.lost);
        assert!(self.revived.is_empty(), "seed {seed}: revived {:?}", self.revived);
        assert!(self.left.is_empty(), "seed {seed}: left {:?}", self.left);
    }
}

enum Event {
    Timer { at: usize, boot: u64 },
    Frame { to: usize, from: usize, session: u64, bytes: Bytes },
    Link { at: usize, boot: u64, peer: usize, peer_boot: u64, session: u64, up: bool },
    Refresh { at: usize },
    Formed { at: usize, boot: u64 },
    Client,
    Crash { at: usize, evident: bool },
    Restart { at: usize },
    Flap { a: usize, b: usize },
    EndAll,
}

struct Node {
    /// `None` while the process is dead.
    engine: Option<Engine>,
    boot: u64,
    formed: bool,
    seen: Vec<(usize, u64)>,
    wake: Option<Timestamp>,
    /// The session this side believes up, for each peer.
    sessions: BTreeMap<usize, u64>,
    app: BTreeMap<Key, App>,
    issued: HashMap<(Key, u64), App>,
}

/// An item as the application on its owner knows it: which update made it.
#[derive(Clone, Copy)]
struct App {
    version: u64,
    update: u64,
    ended: bool,
}

pub struct Sim {
    plan: Plan,
    now: Timestamp,
    rng: Rng,
    queue: BinaryHeap<Reverse<(Timestamp, u64)>>,
    events: HashMap<u64, Event>,
    sequence: u64,
    nodes: Vec<Node>,
    /// Session of each pair, and when the last frame of each direction arrives.
    sessions: HashMap<(usize, usize), u64>,
    arrivals: HashMap<(usize, usize), Timestamp>,
    /// The update each update was made from.
    parents: HashMap<u64, u64>,
    updates: u64,
    keys: Vec<Key>,
    /// The update confirmed last, with a copy, for each key; and whether that ended it.
    confirmed: BTreeMap<Key, (u64, bool)>,
    owners: HashMap<(Shard, Epoch), usize>,
    client_until: Timestamp,
    verdict: Verdict,
    tracing: bool,
}

/// Runs a plan to its end.
pub fn run(plan: Plan, seed: u64) -> Verdict {
    let mut sim = Sim::new(plan, seed);
    sim.script();
    sim.run();
    sim.check_rest();
    sim.verdict
}

impl Sim {
    fn new(plan: Plan, seed: u64) -> Self {
        let dead = |_| Node {
            engine: None,
            boot: 0,
            formed: false,
            seen: Vec::new(),
            wake: None,
            sessions: BTreeMap::new(),
            app: BTreeMap::new(),
            issued: HashMap::new(),
        };
        Self {
            plan,
            now: ms(1_000_000),
            rng: Rng(seed),
            queue: BinaryHeap::new(),
            events: HashMap::new(),
            sequence: 0,
            nodes: (0..plan.nodes).map(dead).collect(),
            sessions: HashMap::new(),
            arrivals: HashMap::new(),
            parents: HashMap::new(),
            updates: 0,
            keys: Vec::new(),
            confirmed: BTreeMap::new(),
            owners: HashMap::new(),
            client_until: Timestamp::ZERO,
            verdict: Verdict::default(),
            tracing: std::env::var_os("TRACE").is_some(),
        }
    }

    /// Lays out the whole run beforehand.
    fn script(&mut self) {
        for at in 0..self.plan.nodes {
            let start = self.now + self.rng.micros(0, 50_000);
            self.at(start, Event::Restart { at });
        }
        let mut t = self.now + ms(1_500);
        self.at(t, Event::Client);
        t += ms(500);
        for _ in 0..self.plan.crashes {
            for _ in 0..self.plan.flaps {
                let (a, b) = (
                    self.rng.below(self.plan.nodes as u64) as usize,
                    1 + self.rng.below(self.plan.nodes as u64 - 1) as usize,
                );
                let when = t + self.rng.micros(0, 900_000);
                self.at(when, Event::Flap { a, b: (a + b) % self.plan.nodes });
            }
            t += ms(1_000);
            let at = self.rng.below(self.plan.nodes as u64) as usize;
            let evident = self.rng.chance(50);
            self.at(t, Event::Crash { at, evident });
            t += self.rng.micros(700_000, 1_500_000);
            self.at(t, Event::Restart { at });
            t += ms(1_500);
        }
        self.client_until = t;
        for again in 0..4 {
            self.at(t + ms(300 + 700 * again), Event::EndAll);
        }
    }

    fn run(&mut self) {
        let end = self.client_until + LAST_END + TOMBSTONE + ms(20_000);
        while let Some(Reverse((t, sequence))) = self.queue.pop() {
            if t > end {
                break;
            }
            self.now = t;
            let event = self.events.remove(&sequence).unwrap();
            self.handle(event);
        }
        self.now = end;
    }

    fn at(&mut self, t: Timestamp, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((t, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Timer { at, boot } => {
                let it = &mut self.nodes[at];
                if it.boot != boot || it.wake != Some(now) {
                    return;
                }
                it.wake = None;
                if let Some(engine) = &mut it.engine {
                    engine.handle_timeout(now);
                    self.drain(at);
                }
            }
            Event::Frame { to, from, session, bytes } => self.deliver(to, from, session, bytes),
            Event::Link { at, boot, peer, peer_boot, session, up } => {
                self.link(at, boot, peer, peer_boot, session, up)
            }
            Event::Refresh { at } => self.refresh(at),
            Event::Formed { at, boot } => {
                if self.nodes[at].boot == boot {
                    self.nodes[at].formed = true;
                    self.nodes[at].seen.clear();
                    self.refresh(at);
                }
            }
            Event::Client => {
                if now < self.client_until {
                    self.client();
                    let next = now + self.rng.micros(1_000, 6_000);
                    self.at(next, Event::Client);
                }
            }
            Event::Crash { at, evident } => self.crash(at, evident),
            Event::Restart { at } => self.restart(at),
            Event::Flap { a, b } => self.flap(a, b),
            Event::EndAll => self.end_all(),
        }
    }

    fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].engine.is_some()).collect()
    }

    fn refresh(&mut self, at: usize) {
        let seen: Vec<(usize, u64)> = self.alive().into_iter().map(|it| (it, self.nodes[it].boot)).collect();
        let it = &mut self.nodes[at];
        if it.seen == seen {
            return;
        }
        if let Some(engine) = &mut it.engine {
            engine.handle_view(self.now, view(at, &seen, it.formed));
            let line = format!("n{at} sees {seen:?}, formed: {}", it.formed);
            it.seen = seen;
            self.trace(|| line);
            self.drain(at);
        }
    }

    fn refresh_all(&mut self, from: u64, to: u64) {
        for at in 0..self.nodes.len() {
            let when = self.now + self.rng.micros(from, to);
            self.at(when, Event::Refresh { at });
        }
    }

    fn restart(&mut self, at: usize) {
        let boot = self.now.as_micros() as u64;
        // Ends are remembered for 2 s instead of 32, or most of a run would be spent waiting.
        let config =
            Config { replicas: self.plan.replicas, tombstone: TOMBSTONE, ..Config::new(node(at), boot) };
        self.nodes[at] = Node {
            engine: Some(Engine::new(config)),
            boot,
            formed: false,
            seen: Vec::new(),
            wake: None,
            sessions: BTreeMap::new(),
            app: BTreeMap::new(),
            issued: HashMap::new(),
        };
        self.refresh_all(1_000, 60_000);
        self.at(self.now + ms(350), Event::Formed { at, boot });
        for peer in self.alive() {
            if peer != at {
                let when = self.now + self.rng.micros(5_000, 90_000);
                self.connect(when, at, peer);
            }
        }
    }

    fn crash(&mut self, at: usize, evident: bool) {
        let Some(_) = self.nodes[at].engine.take() else { return };
        self.trace(|| format!("n{at} crashes, evident: {evident}"));
        for peer in self.alive() {
            self.disconnect(at, peer);
        }
        // With evidence from the links, or after suspicion.
        if evident { self.refresh_all(5_000, 15_000) } else { self.refresh_all(400_000, 550_000) }
    }

    fn flap(&mut self, a: usize, b: usize) {
        if self.nodes[a].engine.is_some() && self.nodes[b].engine.is_some() {
            self.disconnect(a, b);
            let when = self.now + self.rng.micros(5_000, 60_000);
            self.connect(when, a, b);
        }
    }

    /// Both sides learn of a new session at the same time.
    fn connect(&mut self, when: Timestamp, a: usize, b: usize) {
        let session = self.sessions.entry((a.min(b), a.max(b))).or_insert(0);
        *session += 1;
        let session = *session;
        for (at, peer) in [(a, b), (b, a)] {
            let (boot, peer_boot) = (self.nodes[at].boot, self.nodes[peer].boot);
            self.at(when, Event::Link { at, boot, peer, peer_boot, session, up: true });
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        // What is in flight is lost: it belongs to a session that is over.
        *self.sessions.entry((a.min(b), a.max(b))).or_insert(0) += 1;
        for (at, peer) in [(a, b), (b, a)] {
            let (boot, peer_boot) = (self.nodes[at].boot, self.nodes[peer].boot);
            let when = self.now + self.rng.micros(50, 1_000);
            self.at(when, Event::Link { at, boot, peer, peer_boot, session: 0, up: false });
        }
    }

    fn link(&mut self, at: usize, boot: u64, peer: usize, peer_boot: u64, session: u64, up: bool) {
        if self.nodes[at].boot != boot || self.nodes[at].engine.is_none() {
            return;
        }
        if up {
            let current = self.sessions[&(at.min(peer), at.max(peer))];
            let both = self.nodes[peer].engine.is_some() && self.nodes[peer].boot == peer_boot;
            if session != current || !both {
                return;
            }
            self.nodes[at].sessions.insert(peer, session);
        } else {
            self.nodes[at].sessions.remove(&peer);
        }
        let now = self.now;
        self.trace(|| format!("n{at} link to n{peer} up: {up}"));
        if let Some(engine) = &mut self.nodes[at].engine {
            engine.handle_link(now, &node(peer), peer_boot, up);
        }
        self.drain(at);
    }

    fn send(&mut self, from: usize, to: usize, frame: &Frame) {
        let Some(session) = self.nodes[from].sessions.get(&to).copied() else { return };
        if self.rng.chance(self.plan.loss) {
            return;
        }
        let arrival = self.now + self.rng.micros(100, 600);
        let last = self.arrivals.get(&(from, to)).copied().unwrap_or_default();
        let arrival = arrival.max(last + Timestamp::from_nanos(1));
        self.arrivals.insert((from, to), arrival);
        self.at(arrival, Event::Frame { to, from, session, bytes: frame.encode_to_vec().into() });
    }

    fn deliver(&mut self, to: usize, from: usize, session: u64, bytes: Bytes) {
        let current = self.sessions.get(&(from.min(to), from.max(to))).copied();
        if current != Some(session) || self.nodes[to].sessions.get(&from) != Some(&session) {
            return;
        }
        let mut frame = Frame::decode(bytes).unwrap();
        if self.plan.drop_query {
            // Only takeovers: a newcomer's question under term 0 is another rule, and would hide what this one is for.
            let epochs = &frame.epochs;
            frame.query.retain(|group| epochs.get(group.epoch as usize).is_some_and(|epoch| epoch.term == 0));
        }
        let (now, boot) = (self.now, self.nodes[from].boot);
        if let Some(engine) = &mut self.nodes[to].engine {
            engine.handle_frame(now, &node(from), boot, frame);
            self.drain(to);
        }
    }

    fn drain(&mut self, at: usize) {
        while let Some(effect) = self.nodes[at].engine.as_mut().and_then(Engine::poll_effect) {
            match effect {
                Effect::Send { to, frame } => {
                    let to: usize = to.as_str()[1..].parse().unwrap();
                    self.send(at, to, &frame);
                }
                Effect::Confirmed(confirmation) => self.confirmed(at, confirmation),
                Effect::Activated { shard, epoch, lost, items } => {
                    self.activated(at, shard, epoch, lost.is_some(), items);
                }
                Effect::Retired { shard } => {
                    let keys: Vec<Key> =
                        self.nodes[at].app.range(shard.keys()).map(|(key, _)| *key).collect();
                    for key in keys {
                        self.nodes[at].app.remove(&key);
                    }
                }
                Effect::Notice(notice) => {
                    self.trace(|| format!("n{at} {notice:?}"));
                }
            }
        }
        let it = &mut self.nodes[at];
        let due = it.engine.as_mut().and_then(Engine::poll_timeout).map(|due| due.max(self.now));
        if let Some(due) = due
            && it.wake.is_none_or(|wake| due < wake)
        {
            it.wake = Some(due);
            let boot = it.boot;
            self.at(due, Event::Timer { at, boot });
        }
    }

    /// I1: one owner a shard and epoch; and nothing confirmed is missing from what the owner serves.
    fn activated(&mut self, at: usize, shard: Shard, epoch: Epoch, took_over: bool, items: Vec<Stored>) {
        let first = !self.owners.contains_key(&(shard, epoch.clone()));
        let owner = *self.owners.entry((shard, epoch.clone())).or_insert(at);
        assert_eq!(owner, at, "two owners of shard {shard} at {epoch}");
        let keys: Vec<_> = items.iter().map(|item| (item.key, item.version, item.terminated)).collect();
        if !keys.is_empty() || self.confirmed.range(shard.keys()).next().is_some() {
            self.trace(|| format!("n{at} activates {shard} at {epoch} with {keys:?}, first: {first}"));
        }
        self.verdict.taken_over += u64::from(first && took_over);
        for item in &items {
            let update = item.body.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            let app = App { version: item.version, update, ended: item.terminated };
            self.nodes[at].app.insert(item.key, app);
        }
        if !first {
            return;
        }
        let confirmed: Vec<(Key, u64, bool)> = self
            .confirmed
            .range(shard.keys())
            .map(|(key, (update, ended))| (*key, *update, *ended))
            .collect();
        for (key, update, ended) in confirmed {
            let found = self.nodes[at].app.get(&key).copied();
            if ended {
                if found.is_some_and(|app| !app.ended) {
                    self.verdict.revived.push(format!("{key:?} on n{at} at {:?}", self.now));
                }
            } else if !found.is_some_and(|app| self.descends(app.update, update)) {
                let version = found.map(|app| app.version);
                self.verdict
                    .lost
                    .push(format!("{key:?} on n{at} at {:?}: serves version {version:?}", self.now));
            } else if let Some(app) = found.filter(|app| app.ended) {
                // The end was not confirmed, but it got through, and may be forgotten in its time.
                self.confirmed.insert(key, (app.update, true));
            }
        }
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if self.tracing {
            println!("{:>11.6} {}", self.now.as_secs_f64(), line());
        }
    }

    fn descends(&self, mut update: u64, from: u64) -> bool {
        loop {
            if update == from {
                return true;
            }
            match self.parents.get(&update) {
                Some(parent) => update = *parent,
                None => return false,
            }
        }
    }

    fn confirmed(&mut self, at: usize, confirmation: Confirmation) {
        self.verdict.confirmed += 1;
        let app = self.nodes[at].issued[&(confirmation.key, confirmation.version)];
        self.trace(|| format!("n{at} {confirmation:?} update {} ended {}", app.update, app.ended));
        if confirmation.protected {
            self.verdict.protected += 1;
            self.confirmed.insert(confirmation.key, (app.update, app.ended));
        } else if app.ended {
            // Ended without a copy: it may be gone for good, or come back, and nobody was promised otherwise.
            self.confirmed.remove(&confirmation.key);
        }
    }

    /// The application changes an item on the node that serves it.
    fn commit(&mut self, at: usize, key: Key, ended: bool) {
        let old = self.nodes[at].app.get(&key).copied();
        self.updates += 1;
        let (version, update) = (old.map_or(1, |old| old.version + 1), self.updates);
        if let Some(old) = old {
            self.parents.insert(update, old.update);
        }
        let app = App { version, update, ended };
        self.nodes[at].app.insert(key, app);
        self.nodes[at].issued.insert((key, version), app);
        let body = Bytes::copy_from_slice(&update.to_be_bytes());
        let commit = Commit { key, version, terminated: ended, body, durability: self.plan.durability };
        let now = self.now;
        if let Some(engine) = &mut self.nodes[at].engine {
            engine.handle_commit(now, commit);
        }
        self.drain(at);
    }

    fn owner_of(&self, shard: Shard) -> Option<usize> {
        let owns = |at: &usize| {
            self.nodes[*at].engine.as_ref().is_some_and(|engine| engine.role(shard) == Role::Owner)
        };
        (0..self.nodes.len()).find(owns)
    }

    fn client(&mut self) {
        let dice = self.rng.below(100);
        if dice < 25 || self.keys.is_empty() {
            let shard = Shard(self.rng.below(u64::from(SHARDS)) as u16);
            let Some(at) = self.owner_of(shard) else { return };
            let placement = shard.0 * 16 + self.rng.below(16) as u16;
            let key = Key { placement, id: (self.updates + 1) << 2 };
            self.keys.push(key);
            self.commit(at, key, false);
        } else {
            // A few busy items, so that a fault often meets one with something in flight.
            let recent = self.keys.len().min(12) as u64;
            let key = self.keys[self.keys.len() - 1 - self.rng.below(recent) as usize];
            let Some(at) = self.owner_of(key.shard()) else { return };
            if self.nodes[at].app.get(&key).is_some_and(|app| !app.ended) {
                self.commit(at, key, dice > 95);
            }
        }
    }

    fn end_all(&mut self) {
        for at in self.alive() {
            let live: Vec<Key> =
                self.nodes[at].app.iter().filter(|(_, app)| !app.ended).map(|(key, _)| *key).collect();
            for key in live {
                self.commit(at, key, true);
            }
        }
    }

    /// 20 s after the last end was due to be forgotten: nothing held, nothing waiting, one owner a shard, every copy equal.
    fn check_rest(&mut self) {
        let mut owners = BTreeMap::<Shard, BTreeSet<usize>>::new();
        for at in self.alive() {
            let Some(engine) = &self.nodes[at].engine else { continue };
            let stats = engine.stats();
            if (stats.items, stats.graves, stats.pending, stats.waiting, stats.unequal) != (0, 0, 0, 0, 0) {
                let held = Shard::all().flat_map(|shard| engine.stored(shard));
                let held: Vec<_> = held.map(|item| (item.key, item.version, item.terminated)).collect();
                self.verdict.left.push(format!("n{at}: {stats:?} {held:?}"));
            }
            for shard in Shard::all().filter(|shard| engine.role(*shard) == Role::Owner) {
                owners.entry(shard).or_default().insert(at);
            }
        }
        for shard in Shard::all() {
            let count = owners.get(&shard).map_or(0, BTreeSet::len);
            if count != 1 {
                self.verdict.left.push(format!("shard {shard} has {count} owners"));
            }
        }
    }
}

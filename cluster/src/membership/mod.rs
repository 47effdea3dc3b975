//! Who is alive: SWIM membership as a pure core over foca.
//!
//! [`Membership`] takes datagrams (already opened), resolved seeds, link evidence and time; it gives datagrams to send
//! and one [`View`] after another. It has no socket, no clock and no randomness of its own.

mod codec;
mod effect;
mod formation;
mod identity;
mod phases;
mod timers;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use foca::{AccumulatingRuntime, Foca, OwnedNotification, PeriodicParams, State, Timer};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use self::codec::Codec;
use self::formation::Formation;
use self::identity::Identity;
use self::phases::Phases;
use self::timers::Timers;
use crate::Timestamp;
use crate::id::NodeId;
use crate::view::{Member, Phase, Role, View};

pub use self::codec::ZONE_MAX;
pub use self::effect::{Effect, Notice, Refusal};

/// Largest gossip payload in bytes: a 1,280-byte path (the least IPv6 promises) less headers and sealing.
pub const PAYLOAD_MAX: usize = 1_200;

/// How often each change is passed on; 15 carries it through 500 nodes at 10 % loss, and costs nothing at rest.
const TRANSMISSIONS: u8 = 15;
/// Members asked to probe for us, and told of a change at a time.
const FANOUT: usize = 3;
/// How long the dead are remembered: longer than any split we promise to heal cleanly.
const REMEMBER_DOWN: Duration = Duration::from_secs(3_600);
/// The dead are greeted now and then, so that both sides of a healed split meet again.
const ANNOUNCE_TO_DOWN: PeriodicParams = params(Duration::from_secs(1), 2);
/// Asking a member for more members closes gaps that gossip left.
const ANNOUNCE_TO_MEMBER: PeriodicParams = params(Duration::from_secs(30), 1);
/// So many rejoins without ever being accepted mean that somebody outranks us for good.
const REJOINS_MAX: u32 = 8;

/// Timings of the failure detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// One member is probed per period.
    pub probe: Duration,
    /// How long a direct answer may take before others are asked to probe.
    pub rtt: Duration,
    /// How long a suspect has to refute.
    pub suspect: Duration,
    /// How often changes are passed on.
    pub gossip: Duration,
}

impl Default for Timings {
    /// Detects a death in about half a second, and none falsely at 20 % loss.
    fn default() -> Self {
        Self {
            probe: Duration::from_millis(100),
            rtt: Duration::from_millis(33),
            suspect: Duration::from_millis(300),
            gossip: Duration::from_millis(50),
        }
    }
}

/// What a member is told at start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Ourselves, as others shall see us.
    pub me: Member,
    /// Whether seeds are configured; without any, this node is the cluster.
    pub seeded: bool,
    /// Timings of the failure detector.
    pub timings: Timings,
    /// How long the first view must stay unchanged before it counts as formed.
    pub settle: Duration,
    /// After this time without a seed, the node forms a cluster of its own.
    pub bootstrap_after: Duration,
    /// Seed of the random choices (whom to probe, whom to tell).
    pub rng_seed: u64,
}

impl Config {
    /// Defaults around `me`: seeded, settle 300 ms, bootstrap after 5 s.
    pub fn new(me: Member, rng_seed: u64) -> Self {
        Self {
            me,
            seeded: true,
            timings: Timings::default(),
            settle: Duration::from_millis(300),
            bootstrap_after: Duration::from_secs(5),
            rng_seed,
        }
    }
}

/// Counters since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams whose content was no gossip message of ours.
    pub malformed: u64,
    /// Times we were declared down although alive.
    pub rejoins: u64,
    /// Suspicions whose member refuted in time.
    pub refuted: u64,
    /// Members declared down on evidence from a link.
    pub evidence: u64,
}

/// One member's membership machine.
pub struct Membership {
    foca: Foca<Identity, Codec, SmallRng, Phases>,
    runtime: AccumulatingRuntime<Identity>,
    timers: Timers,
    formation: Formation,
    phases: Phases,
    phase: Phase,
    revision: u32,
    view: Arc<View>,
    /// An older live member with our name at another address; we go if it answers.
    rival: Option<Identity>,
    /// Rejoins since we last had company.
    rejoins_alone: u32,
    left: bool,
    effects: VecDeque<Effect>,
    stats: Stats,
}

impl Membership {
    /// A member that knows nobody yet.
    pub fn new(now: Timestamp, config: Config) -> Self {
        let identity = Identity::of(&config.me);
        let phases = Phases::default();
        let foca = Foca::with_custom_broadcast(
            identity,
            foca_config(&config.timings),
            SmallRng::seed_from_u64(config.rng_seed),
            Codec,
            phases.clone(),
        );
        let formation =
            Formation::new(config.me.cluster, !config.seeded, config.settle, now + config.bootstrap_after);
        let view = Arc::new(View::new(config.me.id.clone(), [config.me.clone()], formation.formed()));
        Self {
            foca,
            runtime: AccumulatingRuntime::new(),
            timers: Timers::default(),
            formation,
            phases,
            phase: config.me.phase,
            revision: 0,
            effects: VecDeque::from([Effect::View(Arc::clone(&view))]),
            view,
            rival: None,
            rejoins_alone: 0,
            left: false,
            stats: Stats::default(),
        }
    }

    /// The current view.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Counters since start.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// A datagram, opened.
    pub fn handle_datagram(&mut self, now: Timestamp, payload: &[u8]) {
        if self.left {
            return;
        }
        if self.foca.handle_data(payload, &mut self.runtime).is_err() {
            self.stats.malformed += 1;
        }
        self.settle(now);
        self.meet_rival(now, payload);
    }

    /// A datagram that could not be opened. If it came from a seed it is answered now and then, so that the operator of
    /// the node with the other key reads of it there, too.
    pub fn handle_unreadable(&mut self, now: Timestamp, from: SocketAddr) {
        if !self.left && self.formation.greets(now, &from) {
            let sent = self.foca.announce(Identity::unknown_at(from), &mut self.runtime);
            debug_assert!(sent.is_ok(), "announcing fails only when our identity cannot be encoded");
            self.drain(now);
        }
    }

    /// The seeds' addresses as resolved now; `complete` when every configured name could be resolved.
    pub fn handle_seeds(&mut self, now: Timestamp, addresses: &[SocketAddr], complete: bool) {
        self.formation.handle_seeds(now, addresses, complete);
        self.announce(now);
        self.drain(now);
        self.refresh(now);
    }

    /// A link saw that the process `boot` of `name` is dead: its kernel refuses connections.
    pub fn handle_evidence(&mut self, now: Timestamp, name: &NodeId, boot: u64) {
        let dead =
            self.foca.iter_members().map(foca::Member::id).find(|id| id.name == *name && id.boot == boot);
        let Some(dead) = dead.filter(|_| !self.left).cloned() else { return };
        self.stats.evidence += 1;
        let applied = self.foca.apply_many([foca::Member::down(dead)].into_iter(), true, &mut self.runtime);
        debug_assert!(applied.is_ok(), "a known member can be encoded");
        // Tell some at once instead of at the next gossip tick.
        let told = self.foca.gossip(&mut self.runtime);
        debug_assert!(told.is_ok(), "gossip fails only when our identity cannot be encoded");
        self.settle(now);
    }

    /// Changes our phase and tells everybody.
    pub fn handle_phase(&mut self, now: Timestamp, phase: Phase) {
        if phase == self.phase || self.left {
            return;
        }
        // Our own view first: a joiner that learned last of its own turn gave its shards straight back (simulated).
        self.phase = phase;
        self.revision += 1;
        let me = self.foca.identity();
        let record = phases::encode(&me.name, me.boot, self.revision, phase);
        let added = self.foca.add_broadcast(&record);
        debug_assert!(added.is_ok(), "our own record is well-formed");
        self.refresh(now);
        self.settle(now);
    }

    /// Leaves: some members are told, nothing else comes from us any more. May be repeated to tell more of them.
    pub fn handle_leave(&mut self, now: Timestamp) {
        let left = self.foca.leave_cluster(&mut self.runtime);
        debug_assert!(left.is_ok(), "leaving fails only when our identity cannot be encoded");
        self.drain(now);
        self.left = true;
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.left {
            return;
        }
        let mut changed = false;
        while let Some(timer) = self.timers.pop_due(now) {
            if self.refuted(&timer) {
                self.stats.refuted += 1;
                continue;
            }
            // Only an incomplete probe cycle fails here, after a stall of ours; foca recovers by itself.
            let _ = self.foca.handle_timer(timer, &mut self.runtime);
            changed |= self.drain(now);
        }
        self.announce(now);
        changed |= self.drain(now);
        if changed {
            self.refresh(now);
        }
        self.effects.extend(self.formation.silent(now).into_iter().map(Effect::Notice));
        if self.formation.form(now) {
            self.refresh(now);
        }
    }

    /// When [`Membership::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.left {
            return None;
        }
        [self.timers.next(), self.formation.poll_timeout()].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// foca 2.0.0 tells a member that refuted its suspicion in time that it is down, and it needlessly rejoins (each a
    /// fence for the shards it owns): `ChangeSuspectToDown` is dropped unless the member is still suspect as it was.
    fn refuted(&self, timer: &Timer<Identity>) -> bool {
        let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = timer else { return false };
        !self.foca.iter_members().any(|member| {
            member.id() == member_id
                && member.incarnation() == *incarnation
                && member.state() == State::Suspect
        })
    }

    fn announce(&mut self, now: Timestamp) {
        let members: Vec<SocketAddr> = self.foca.iter_members().map(|member| member.id().cluster).collect();
        for addr in self.formation.announce(now, &members) {
            let sent = self.foca.announce(Identity::unknown_at(addr), &mut self.runtime);
            debug_assert!(sent.is_ok(), "announcing fails only when our identity cannot be encoded");
        }
        if let Some(rival) = self.rival.clone() {
            // A live rival answers; a dead one is declared down.
            let sent = self.foca.announce(rival, &mut self.runtime);
            debug_assert!(sent.is_ok(), "announcing fails only when our identity cannot be encoded");
        }
    }

    /// Takes over what foca said and makes a new view of it.
    fn settle(&mut self, now: Timestamp) {
        let changed = self.drain(now);
        if self.phases.take_changed() || changed {
            self.refresh(now);
        }
    }

    /// Empties foca's runtime; `true` when the set of members changed.
    fn drain(&mut self, now: Timestamp) -> bool {
        let mut changed = false;
        while let Some((to, payload)) = self.runtime.to_send() {
            self.effects.push_back(Effect::Send { to: to.cluster, payload });
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.timers.submit(now + after, timer);
        }
        while let Some(notification) = self.runtime.to_notify() {
            match notification {
                OwnedNotification::MemberUp(_)
                | OwnedNotification::MemberDown(_)
                | OwnedNotification::Rename(..) => {
                    changed = true;
                }
                OwnedNotification::Rejoin(_) => {
                    self.stats.rejoins += 1;
                    self.rejoins_alone += 1;
                    self.effects.push_back(Effect::Rejoined);
                }
                OwnedNotification::Active | OwnedNotification::Idle | OwnedNotification::Defunct => {}
            }
        }
        changed
    }

    /// Makes the view anew and emits it if it differs.
    fn refresh(&mut self, now: Timestamp) {
        let me = self.foca.identity().clone();
        let mut oldest: BTreeMap<&NodeId, &Identity> = BTreeMap::new();
        for id in self.foca.iter_members().map(foca::Member::id) {
            // Two live members with one name: all see the older, so the newcomer can be turned away unseen.
            oldest
                .entry(&id.name)
                .and_modify(|kept| *kept = if id.older_than(kept) { id } else { kept })
                .or_insert(id);
        }
        self.rival = oldest.remove(&me.name).filter(|other| other.older_than(&me)).cloned();
        self.formation.block(self.rival.is_some());
        let members: Vec<Member> = std::iter::once(me.member(self.phase))
            .chain(oldest.values().map(|id| id.member(self.phases.of(id))))
            .collect();
        self.phases.trim(|name| members.iter().any(|member| member.id == *name));
        let others = members.iter().skip(1).filter(|member| member.role == Role::Node).count();
        if members.len() > 1 {
            self.rejoins_alone = 0;
        }
        let view = View::new(me.name, members, self.formation.formed());
        if view == *self.view {
            return;
        }
        if view.formed() == self.view.formed() {
            self.formation.handle_change(now, others);
        }
        self.view = Arc::new(view);
        self.effects.push_back(Effect::View(Arc::clone(&self.view)));
    }

    /// The newcomer gives up as soon as the older member with its name shows that it lives.
    fn meet_rival(&mut self, now: Timestamp, payload: &[u8]) {
        let me = self.foca.identity();
        let refusal = match &self.rival {
            Some(rival) if sender(payload).is_some_and(|src| src == *rival) => {
                Refusal::NameTaken { name: rival.name.to_string(), holder: rival.cluster }
            }
            _ if self.rejoins_alone >= REJOINS_MAX => Refusal::BootBehind { addr: me.cluster, boot: me.boot },
            _ => return,
        };
        self.handle_leave(now);
        self.effects.push_back(Effect::Refused(refusal));
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership")
            .field("view", &self.view)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// Who sent a message that foca has taken.
fn sender(payload: &[u8]) -> Option<Identity> {
    foca::Codec::decode_header(&mut Codec, payload).ok().map(|header| header.src)
}

const fn params(frequency: Duration, members: usize) -> PeriodicParams {
    PeriodicParams { frequency, num_members: NonZeroUsize::new(members).expect("at least one member") }
}

fn foca_config(timings: &Timings) -> foca::Config {
    foca::Config {
        probe_period: timings.probe,
        probe_rtt: timings.rtt,
        num_indirect_probes: NonZeroUsize::new(FANOUT).expect("the fan-out is not zero"),
        max_transmissions: NonZeroU8::new(TRANSMISSIONS).expect("the transmissions are not zero"),
        suspect_to_down_after: timings.suspect,
        remove_down_after: Some(REMEMBER_DOWN),
        max_packet_size: NonZeroUsize::new(PAYLOAD_MAX).expect("the payload limit is not zero"),
        notify_down_members: true,
        periodic_announce: Some(ANNOUNCE_TO_MEMBER),
        periodic_announce_to_down_members: Some(ANNOUNCE_TO_DOWN),
        periodic_gossip: Some(params(timings.gossip, FANOUT)),
    }
}

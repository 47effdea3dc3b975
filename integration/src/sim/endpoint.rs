//! A lane with its actors, run to rest after each input: what a core of a node is, less the sockets and the threads.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use holdline::DialogHandler;
use holdline::lane::{Config, Effect, Lane, Ownership};
use holdline::limits::TICK;
use holdline::routing::TagKey;
use holdline::step::{DialogState, Input, Outcome};
use holdline_cluster::engine::{Commit, Durability};
use holdline_cluster::id::NodeId;
use holdline_protos::v1::Relay;
use holdline_sip::dialog;
use holdline_sip::{Flow, Timestamp};

/// An actor's name.
type Actor = u64;

pub(super) struct Endpoint<H: DialogHandler> {
    pub(super) address: SocketAddr,
    pub(super) lane: Lane<Actor>,
    handler: H,
    actors: HashMap<Actor, DialogState<H>>,
    next_actor: Actor,
}

/// What leaves an endpoint.
pub(super) enum Out {
    Transmit(Flow, Bytes),
    Commit(Commit),
    Relay(NodeId, Relay),
}

impl<H: DialogHandler> Endpoint<H> {
    pub(super) fn new(
        address: SocketAddr,
        contact: SocketAddr,
        handler: H,
        ownership: Arc<dyn Ownership>,
        durability: Option<Durability>,
        seed: [u8; 32],
    ) -> Self {
        let dialog = dialog::Config {
            contact: format!("sip:{contact}"),
            via: address.to_string(),
            ..Default::default()
        };
        let config = Config {
            dialog: Arc::new(dialog),
            tags: tags(),
            durability,
            passivate_after: std::time::Duration::from_secs(2),
            lanes: 1,
            lane: 0,
        };
        let lane = Lane::new(config, ownership, seed);
        Self { address, lane, handler, actors: HashMap::new(), next_actor: 0 }
    }

    /// Carries out everything the lane asks for that is its own business; the rest comes back.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<Out> {
        let mut out = Vec::new();
        let mut inputs: VecDeque<(Actor, Box<Input>)> = VecDeque::new();
        loop {
            while let Some(effect) = self.lane.poll_effect() {
                match effect {
                    Effect::Transmit { flow, bytes } => out.push(Out::Transmit(flow, bytes)),
                    Effect::Commit(commit) => out.push(Out::Commit(commit)),
                    Effect::Relay { to, relay } => out.push(Out::Relay(to, *relay)),
                    Effect::Deliver { actor, input } => inputs.push_back((actor, input)),
                    Effect::Stop { actor } => drop(self.actors.remove(&actor)),
                    Effect::Spawn { key, birth, input } => {
                        let life = birth.life;
                        match DialogState::new(*birth, true) {
                            Ok(state) => {
                                self.next_actor += 1;
                                self.actors.insert(self.next_actor, state);
                                inputs.push_back((self.next_actor, input));
                                self.lane.started(key, life, self.next_actor);
                            }
                            Err(_) => self.lane.start_failed(now, key, life),
                        }
                    }
                    // Every address of a run is a number.
                    Effect::Resolve { key, request, ack, .. } => {
                        self.lane.handle_resolved(now, key, *request, ack, None)
                    }
                    Effect::Reply { .. } => {}
                }
            }
            let Some((actor, input)) = inputs.pop_front() else { return out };
            // Stopped with inputs on the way: they are lost with it, as they are in a mailbox.
            if let Some(state) = self.actors.get_mut(&actor) {
                let outcome = at_once(state.step(&self.handler, now, input));
                self.lane.handle_outcome(now, outcome);
            }
        }
    }

    /// When the lane wants its tick: deadlines have the grain of the real one.
    pub(super) fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        self.lane.poll_timeout().map(|at| at.max(now) + TICK)
    }

    /// What is left here.
    pub(super) fn leftover(&self) -> Option<String> {
        let counts = self.lane.counts();
        let zero = holdline::lane::Counts {
            taken_over: counts.taken_over,
            recovered: counts.recovered,
            dropped: counts.dropped,
            ..Default::default()
        };
        (counts != zero || !self.actors.is_empty())
            .then(|| format!("{counts:?}, {} actors", self.actors.len()))
    }
}

/// Tags of the simulated cluster.
pub(super) fn tags() -> TagKey {
    TagKey::new(&[7; 32])
}

/// The handlers of a run never wait, so a step is done when it is first polled.
fn at_once(step: impl Future<Output = Outcome>) -> Outcome {
    match pin!(step).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("a handler of the simulator waits for something"),
    }
}

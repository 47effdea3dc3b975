//! The loop of the gossip thread.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::seal::{OVERHEAD, Sealer, Unsealed, VERSION};
use super::seeds::Resolved;
use super::{Clock, Command, Counters, Listener, Trouble};
use crate::Timestamp;
use crate::membership::{self, Effect, Membership, Notice, PAYLOAD_MAX};

/// Longest sleep, in case a wake-up gets lost.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// Datagrams taken before timers get their turn, so that a flood cannot hold them up.
const BATCH_MAX: usize = 512;
/// The goodbye is told to this many groups of members, this far apart.
const FAREWELLS: u32 = 2;
const FAREWELL_GAP: Duration = Duration::from_millis(10);

/// The gossip thread's possessions.
pub(super) struct Driver<L> {
    pub(super) socket: UdpSocket,
    pub(super) sealer: Sealer,
    pub(super) fingerprint: String,
    pub(super) clock: Clock,
    pub(super) machine: Membership,
    pub(super) listener: L,
    pub(super) commands: Receiver<Command>,
    pub(super) counters: Arc<Counters>,
    pub(super) stats: Arc<Mutex<membership::Stats>>,
    /// The seed each address was resolved from.
    pub(super) names: BTreeMap<SocketAddr, String>,
    /// The datagram being sealed.
    pub(super) out: Vec<u8>,
}

/// Whether the loop goes on.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

impl<L: Listener> Driver<L> {
    pub(super) fn run(mut self) {
        let mut buffer = [0; PAYLOAD_MAX + OVERHEAD + 1];
        while self.effects() == Next::GoOn {
            let now = self.clock.now();
            let due = self.machine.poll_timeout().unwrap_or(now + SLEEP_MAX);
            self.read(due.saturating_sub(now).min(SLEEP_MAX), &mut buffer);
            if self.obey() == Next::Stop {
                return self.leave();
            }
            let now = self.clock.now();
            if self.machine.poll_timeout().is_some_and(|at| at <= now) {
                self.machine.handle_timeout(now);
            }
            *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = self.machine.stats();
        }
    }

    /// Waits for a datagram, then takes all that are there.
    fn read(&mut self, wait: Duration, buffer: &mut [u8]) {
        // Zero would mean "for ever".
        let wait = wait.max(Duration::from_micros(1));
        if self.socket.set_nonblocking(false).and_then(|()| self.socket.set_read_timeout(Some(wait))).is_err()
        {
            std::thread::sleep(wait);
        }
        for taken in 0..BATCH_MAX {
            match self.socket.recv_from(buffer) {
                Ok((len, from)) => self.datagram(from, &mut buffer[..len]),
                // An ICMP error of an earlier send: that member is SWIM's business.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
                Err(error) => {
                    self.listener.trouble(Trouble::Socket(error.to_string()));
                    std::thread::sleep(wait);
                    return;
                }
            }
            if taken == 0 && self.socket.set_nonblocking(true).is_err() {
                return;
            }
        }
    }

    fn datagram(&mut self, from: SocketAddr, datagram: &mut [u8]) {
        if datagram.is_empty() {
            return; // a wake-up
        }
        self.counters.received.fetch_add(1, Ordering::Relaxed);
        match self.sealer.open(datagram) {
            Ok(payload) => self.machine.handle_datagram(self.clock.now(), payload),
            Err(unsealed) => {
                self.counters.unsealed.fetch_add(1, Ordering::Relaxed);
                self.machine.handle_unreadable(self.clock.now(), from);
                self.listener.trouble(match unsealed {
                    Unsealed::NotOurKey => Trouble::NotSealed { from, fingerprint: self.fingerprint.clone() },
                    Unsealed::Version(theirs) => Trouble::Version { from, theirs, ours: VERSION },
                });
            }
        }
    }

    /// Takes the commands that are there.
    fn obey(&mut self) -> Next {
        let now = self.clock.now();
        loop {
            match self.commands.try_recv() {
                Ok(Command::Evidence { name, boot }) => self.machine.handle_evidence(now, &name, boot),
                Ok(Command::Seeds(resolved)) => self.seeds(now, resolved),
                Ok(Command::Leave) | Err(TryRecvError::Disconnected) => return Next::Stop,
                Err(TryRecvError::Empty) => return Next::GoOn,
            }
        }
    }

    fn seeds(&mut self, now: Timestamp, resolved: Resolved) {
        for (seed, why) in resolved.failed {
            self.listener.trouble(Trouble::SeedUnresolved { seed, why });
        }
        self.names = resolved.names;
        self.machine.handle_seeds(now, &resolved.addresses, resolved.complete);
    }

    fn effects(&mut self) -> Next {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Send { to, payload } => self.send(to, &payload),
                Effect::View(view) => self.listener.view(view),
                Effect::Rejoined => self.listener.rejoined(),
                Effect::Refused(refusal) => {
                    self.listener.refused(refusal);
                    return Next::Stop;
                }
                Effect::Notice(Notice::SeedSilent { addr, seconds }) => {
                    let seed = self.names.get(&addr).cloned().unwrap_or_else(|| addr.to_string());
                    self.listener.trouble(Trouble::SeedSilent { seed, addr, seconds });
                }
            }
        }
        Next::GoOn
    }

    fn send(&mut self, to: SocketAddr, payload: &[u8]) {
        let sent = self.sealer.seal(payload, &mut self.out) && self.socket.send_to(&self.out, to).is_ok();
        let counter = if sent { &self.counters.sent } else { &self.counters.send_errors };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Says goodbye: twice, for a datagram may get lost, and whoever misses both finds out by probing.
    fn leave(mut self) {
        for farewell in 0..FAREWELLS {
            if farewell > 0 {
                std::thread::sleep(FAREWELL_GAP);
            }
            self.machine.handle_leave(self.clock.now());
            self.effects();
        }
    }
}

//! The loop of the cluster thread: engine and links on one single-threaded runtime, inputs in, effects out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdline_protos::Message;
use holdline_protos::v1::Frame;
use tokio::sync::mpsc::UnboundedReceiver;

use super::shared::{Shared, Stage};
use super::{ClusterStats, Host};
use crate::Timestamp;
use crate::engine::{Commit, Confirmation, Effect, Engine, Notice};
use crate::gossip::{Clock, Gossip};
use crate::id::{Key, NodeId, SHARDS, Shard};
use crate::link::{self, HEARTBEAT, Links, Output, ProcessName};
use crate::membership::Refusal;
use crate::view::View;

/// Inputs taken before timers and effects get their turn.
const BATCH_MAX: usize = 256;
/// Longest sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(1);
/// Closing links get this long to say so to their peers.
const LINGER: Duration = Duration::from_millis(20);

/// What the cluster thread is told.
pub(super) enum Input {
    View(Arc<View>),
    Rejoined,
    Refused(Refusal),
    Stats(SyncSender<ClusterStats>),
    Shutdown,
}

/// The cluster thread's possessions.
pub(super) struct Driver {
    pub(super) clock: Clock,
    pub(super) shared: Arc<Shared>,
    pub(super) host: Arc<dyn Host>,
    pub(super) gossip: Gossip,
    /// Nodes have both; an observer only watches.
    pub(super) node: Option<Node>,
    pub(super) inputs: UnboundedReceiver<Input>,
    pub(super) counts: Counts,
}

/// What makes a member a node.
pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) links: Links,
    pub(super) events: UnboundedReceiver<link::Event>,
    /// Least gap between two looks at the commits.
    pub(super) flush: Duration,
    /// When the commits that wait are taken.
    pub(super) gather_at: Option<Instant>,
    /// When they were taken last.
    pub(super) gathered: Instant,
    pub(super) beat_at: Instant,
    /// The buffer that the commits come in, kept for its capacity.
    pub(super) buffer: Vec<Commit>,
}

/// Counters of the driver itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    undecodable: u64,
    unsent: u64,
    wakes: u64,
}

/// Why the loop ends.
enum End {
    Asked,
    Fatal(String),
}

impl Driver {
    pub(super) async fn run(mut self) {
        let end = loop {
            if let Err(end) = self.wait().await {
                break end;
            }
            self.counts.wakes += 1;
            if let Err(end) = self.advance() {
                break end;
            }
        };
        self.stop(end).await;
    }

    /// Waits for something to do, and takes the inputs that are there.
    async fn wait(&mut self) -> Result<(), End> {
        let due = self.due();
        let Some(node) = &mut self.node else {
            tokio::select! {
                input = self.inputs.recv() => return self.input(input.unwrap_or(Input::Shutdown)),
                () = tokio::time::sleep_until(due.into()) => return Ok(()),
            }
        };
        tokio::select! {
            biased;
            input = self.inputs.recv() => return self.input(input.unwrap_or(Input::Shutdown)),
            Some(event) = node.events.recv() => {
                node.links.handle_event(event);
                for _ in 1..BATCH_MAX {
                    let Ok(event) = node.events.try_recv() else { break };
                    node.links.handle_event(event);
                }
            }
            () = self.shared.commits.wanted() => {
                let (now, full) = (Instant::now(), self.shared.commits.is_full());
                node.gather_at = Some(if full { now } else { now.max(node.gathered + node.flush) });
            }
            () = tokio::time::sleep_until(due.into()) => {}
        }
        Ok(())
    }

    fn due(&mut self) -> Instant {
        let idle = Instant::now() + IDLE;
        let Some(node) = &mut self.node else { return idle };
        let engine = node.engine.poll_timeout().map(|at| self.clock.instant(at));
        let links = node.links.poll_timeout();
        [engine, links, node.gather_at, Some(node.beat_at)].into_iter().flatten().fold(idle, Instant::min)
    }

    fn input(&mut self, input: Input) -> Result<(), End> {
        match input {
            Input::View(view) => self.view(view),
            // The fence of owned shards comes with ownership rule 8; until then the higher epochs of others tell us, and a host
            // whose clock leapt keeps silent by itself.
            Input::Rejoined => tracing::warn!("declared down by mistake; joined again"),
            Input::Refused(refusal) => return Err(End::Fatal(refusal.to_string())),
            // Whoever asked may have given up waiting.
            Input::Stats(reply) => drop(reply.try_send(self.stats())),
            Input::Shutdown => return Err(End::Asked),
        }
        Ok(())
    }

    fn view(&mut self, view: Arc<View>) {
        log_changes(&self.shared.view(), &view);
        self.shared.set_view(Arc::clone(&view));
        self.host.view_changed(&view);
        if let Some(node) = &mut self.node {
            node.engine.handle_view(self.clock.now(), Arc::clone(&view));
            node.links.handle_view(&view);
        }
        if view.formed() {
            self.shared.set_stage(Stage::Formed);
        }
    }

    /// Moves everything on that can be moved.
    fn advance(&mut self) -> Result<(), End> {
        // One time for all of it: the gap between two looks at the commits is then the gap between two flushes, and what a
        // look finds is flushed at once instead of a timer's grain later.
        let at = self.clock.now();
        let now = self.clock.instant(at);
        let Some(node) = &mut self.node else { return Ok(()) };
        let beat = node.beat_at <= now;
        if beat {
            node.beat_at = now + HEARTBEAT;
        }
        node.links.handle_tick(beat);
        self.outputs()?;
        self.gather(now, at);
        let Some(node) = &mut self.node else { return Ok(()) };
        if node.engine.poll_timeout().is_some_and(|due| due <= at) {
            node.engine.handle_timeout(at);
        }
        self.effects();
        Ok(())
    }

    /// Takes the commits when their time has come.
    fn gather(&mut self, now: Instant, at: Timestamp) {
        let Some(node) = self.node.as_mut().filter(|node| node.gather_at.is_some_and(|at| at <= now)) else {
            return;
        };
        node.gather_at = None;
        node.gathered = now;
        let mut commits = self.shared.commits.take(std::mem::take(&mut node.buffer));
        for commit in commits.drain(..) {
            node.engine.handle_commit(at, commit);
        }
        node.buffer = commits;
    }

    /// What the links have for us.
    fn outputs(&mut self) -> Result<(), End> {
        loop {
            let Some(output) = self.node.as_mut().and_then(|node| node.links.poll_output()) else {
                return Ok(());
            };
            match output {
                Output::Up(peer) => self.linked(&peer, true),
                Output::Down(peer) => self.linked(&peer, false),
                Output::Frame(peer, frame) => self.frame(&peer, frame),
                Output::Payload(peer, payload) => self.host.relayed(&peer.id, payload),
                Output::Evidence(peer) => {
                    tracing::info!(%peer, "dead: its link broke and its port is closed");
                    self.gossip.evidence(peer.id, peer.boot);
                }
                Output::Trouble(trouble) => self.shared.refusals.report(trouble.to_string()),
                Output::Broken(what) => {
                    return Err(End::Fatal(format!("{what} has ended: links are impossible")));
                }
            }
        }
    }

    fn linked(&mut self, peer: &ProcessName, up: bool) {
        if let Some(node) = &mut self.node {
            node.engine.handle_link(self.clock.now(), &peer.id, peer.boot, up);
        }
        self.effects();
    }

    fn frame(&mut self, peer: &ProcessName, frame: Vec<u8>) {
        let Some(node) = &mut self.node else { return };
        let Ok(frame) = Frame::decode(Bytes::from(frame)) else {
            self.counts.undecodable += 1;
            return self.shared.refusals.report(format!("{peer} sent a frame that cannot be decoded"));
        };
        let touched = touched(&frame);
        node.engine.handle_frame(self.clock.now(), &peer.id, peer.boot, frame);
        let engine = &node.engine;
        self.shared.set_owners(&touched, |shard| owner(engine, shard));
        self.effects();
    }

    /// Does what the engine asks for.
    fn effects(&mut self) {
        let Some(node) = &mut self.node else { return };
        let mut confirmed: Vec<Confirmation> = Vec::new();
        while let Some(effect) = node.engine.poll_effect() {
            if let Effect::Confirmed(confirmation) = effect {
                confirmed.push(confirmation);
                continue;
            }
            confirm(&*self.host, &mut confirmed);
            match effect {
                Effect::Send { to, frame } => {
                    self.counts.unsent += u64::from(!node.links.send(&to, frame.encode_to_vec()));
                }
                Effect::Activated { shard, epoch, lost, items } => {
                    self.shared.set_owned(shard, true);
                    self.shared.set_owners(&[shard], |_| Some((epoch.node.clone(), epoch.boot)));
                    self.host.activated(shard, &epoch, lost.as_ref(), items);
                }
                Effect::Retired { shard } => {
                    self.shared.set_owned(shard, false);
                    self.shared.set_owners(&[shard], |shard| owner(&node.engine, shard));
                    self.host.retired(shard);
                }
                Effect::Notice(notice) => log_notice(&notice),
                Effect::Confirmed(_) => {}
            }
        }
        confirm(&*self.host, &mut confirmed);
    }

    fn stats(&self) -> ClusterStats {
        ClusterStats {
            engine: self.node.as_ref().map(|node| node.engine.stats()).unwrap_or_default(),
            gossip: self.gossip.stats(),
            links: self.node.as_ref().map_or(0, |node| node.links.count()),
            undecodable: self.counts.undecodable,
            unsent: self.counts.unsent,
            wakes: self.counts.wakes,
        }
    }

    /// Leaves: first gossip, so that the others know; the listener last, so that nobody takes it for a crash.
    async fn stop(mut self, end: End) {
        self.shared.set_stage(Stage::Stopped);
        for shard in self.shared.disown_all() {
            self.host.retired(shard);
        }
        if let End::Fatal(reason) = &end {
            // The host says it: one line, not two.
            self.shared.refusals.keep(reason);
            self.host.fatal(reason);
        }
        self.gossip.leave();
        if let Some(node) = &mut self.node {
            node.links.close();
            tokio::time::sleep(LINGER).await;
        }
    }
}

fn confirm(host: &dyn Host, confirmed: &mut Vec<Confirmation>) {
    if !confirmed.is_empty() {
        host.confirmed(confirmed);
        confirmed.clear();
    }
}

fn owner(engine: &Engine, shard: Shard) -> Option<(NodeId, u64)> {
    let epoch = engine.owner(shard);
    (!epoch.is_unclaimed()).then(|| (epoch.node.clone(), epoch.boot))
}

/// The shards whose epoch a frame may raise.
fn touched(frame: &Frame) -> Vec<Shard> {
    let listed = [&frame.stale, &frame.query, &frame.digest, &frame.same, &frame.release];
    let listed = listed.into_iter().flatten().flat_map(|shards| &shards.shards);
    let have = frame.have.iter().flat_map(|have| &have.shards);
    let items = frame.batch.iter().flat_map(|batch| &batch.items);
    let known = |shard: &u32| u16::try_from(*shard).ok().filter(|shard| *shard < SHARDS).map(Shard);
    let named = listed.chain(have).filter_map(known);
    let placed =
        items.filter_map(|item| Some(Key { placement: u16::try_from(item.placement).ok()?, id: 0 }.shard()));
    named.chain(placed).collect::<BTreeSet<Shard>>().into_iter().collect()
}

fn log_changes(before: &View, after: &View) {
    for member in after.members().filter(|member| !before.is_alive(&member.id, member.boot)) {
        tracing::info!(member = %member.id, addr = %member.cluster, "member up");
    }
    for member in before.members().filter(|member| !after.is_alive(&member.id, member.boot)) {
        tracing::info!(member = %member.id, addr = %member.cluster, "member gone");
    }
    if after.formed() && !before.formed() {
        tracing::info!(members = after.members().count(), "cluster formed");
    }
}

fn log_notice(notice: &Notice) {
    match notice {
        Notice::Lagging { .. }
        | Notice::Unanswered { .. }
        | Notice::Orphaned { .. }
        | Notice::Malformed { .. } => {
            tracing::warn!(?notice, "replication");
        }
        Notice::CaughtUp { .. } => tracing::info!(?notice, "replication"),
        // One a commit or a frame: they are counted, not told.
        Notice::NotOwner { .. }
        | Notice::Outdated { .. }
        | Notice::Abandoned { .. }
        | Notice::Stale { .. } => {
            tracing::debug!(?notice, "replication");
        }
    }
}

#[cfg(test)]
mod tests {
    use holdline_protos::v1::{Have, Shards};

    use super::*;

    #[test]
    fn a_frame_touches_no_shard_beyond_the_last() {
        let beyond = u32::from(SHARDS);
        let digest = Shards { shards: vec![beyond - 1, beyond, u32::MAX], ..Default::default() };
        let have = Have { shards: vec![beyond, 3], ..Default::default() };
        let frame = Frame { digest: vec![digest], have: vec![have], ..Default::default() };
        assert_eq!(touched(&frame), [Shard(3), Shard(SHARDS - 1)]);
    }
}

//! What the lanes of a node share, and the cluster's side of it: routes between lanes and between nodes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use holdline_cluster::engine::{Commit, Confirmation, Stored};
use holdline_cluster::id::{Epoch, Key, NodeId, Shard};
use holdline_cluster::placement;
use holdline_cluster::service::{Cluster, Host};
use holdline_cluster::view::View;
use holdline_protos::v1::{self, Relay, relay};
use holdline_sip::Flow;
use holdline_sip::wire::Message;
use prost::Message as _;
use tokio::sync::watch;

use super::calls::Calls;
use super::clock::Clock;
use super::inbox::News;
use super::lane_host::{LaneHost, Peers};
use crate::handler::DialogHandler;
use crate::lane::Ownership;
use crate::recovery;
use crate::routing::{RouteBy, TagKey};
use crate::step::{Input, Reply, ReplyTo};

pub(crate) struct Shared<H: DialogHandler> {
    pub(super) handler: H,
    pub(super) name: NodeId,
    pub(super) clock: Clock,
    pub(super) tags: TagKey,
    pub(super) replicate_data: bool,
    pub(super) gap: Duration,
    pub(super) calls: Calls,
    pub(super) peers: Peers,
    pub(super) lanes: OnceLock<Vec<Arc<LaneHost<H>>>>,
    pub(super) cluster: Arc<OnceLock<Cluster>>,
    /// Moves with each change of view or ownership: what waits for an owner looks again.
    pub(super) changes: watch::Sender<u64>,
    /// The one line that says why the node cannot go on.
    pub(super) fatal: watch::Sender<Option<String>>,
}

impl<H: DialogHandler> Shared<H> {
    pub(super) fn lanes(&self) -> &[Arc<LaneHost<H>>] {
        self.lanes.get().map_or(&[], Vec::as_slice)
    }

    /// The lane that the shard falls to.
    pub(super) fn lane_of(&self, shard: Shard) -> &Arc<LaneHost<H>> {
        let lanes = self.lanes();
        &lanes[usize::from(shard.0) % lanes.len()]
    }

    /// Hands a message to its lane: at once if that is `here`, else by its inbox.
    pub(super) fn route(&self, message: Message, flow: Flow, hopped: bool, here: Option<&LaneHost<H>>) {
        let lane = match self.lanes() {
            [only] => only,
            _ => self.lane_of(self.shard_of(&message)),
        };
        match here.filter(|here| std::ptr::eq(*here, Arc::as_ptr(lane))) {
            Some(here) => here.run(|lane, now| lane.handle_message(now, message, flow, hopped)),
            None => {
                lane.inbox().push(News::Message { message, flow, hopped });
            }
        }
    }

    /// Where a message belongs: by the tag that is ours, else by its Call-ID.
    fn shard_of(&self, message: &Message) -> Shard {
        let (tag, call_id) = match message {
            Message::Request(request) => (request.to_tag(), request.call_id()),
            Message::Response(response) => (response.from_tag(), response.call_id()),
        };
        match tag.and_then(|tag| self.tags.parse(tag)) {
            Some(key) => RouteBy::Tag(key).shard(),
            None => RouteBy::CallId(self.tags.placement_of_call_id(call_id)).shard(),
        }
    }

    /// Has the version replicated. One that the cluster's queue has no room for is confirmed as unprotected: the call goes
    /// on, and a later version of it catches up.
    pub(super) fn commit(&self, commit: Commit) {
        let (key, version) = (commit.key, commit.version);
        let Some(Err(overloaded)) = self.cluster.get().map(|cluster| cluster.commit(commit)) else { return };
        tracing::warn!(?key, version, %overloaded, "a version is not replicated");
        let unprotected = Confirmation { key, version, protected: false };
        self.lane_of(key.shard()).inbox().push(News::Confirmed(vec![unprotected]));
    }

    pub(super) fn relay(&self, to: &NodeId, relay: &Relay) {
        let Some(cluster) = self.cluster.get() else { return };
        if let Err(error) = cluster.relay(to, relay.encode_to_vec().into()) {
            tracing::debug!(%to, %error, "not relayed");
        }
    }

    pub(super) fn reply(&self, to: &NodeId, id: u64, reply: Reply) {
        let result = match reply {
            Ok(info) => v1::reply::Result::Done(info),
            Err(why) => v1::reply::Result::Failed(why),
        };
        let reply = v1::Reply { id, result: Some(result) };
        self.relay(to, &Relay { body: Some(relay::Body::Reply(reply)) });
    }

    /// A peer's runtime has something to say; what cannot be understood is dropped and logged.
    fn relayed(&self, from: &NodeId, relay: relay::Body) -> Result<(), &'static str> {
        match relay {
            relay::Body::Forward(forward) => {
                let source = forward.source.ok_or("a forward without its source")?;
                let flow =
                    recovery::flow(&source, self.peers.ingress(from)).ok_or("a forward from no address")?;
                let message = Message::parse(forward.datagram).map_err(|_| "a forward of no SIP message")?;
                self.route(message, flow, true, None);
            }
            relay::Body::Transmit(transmit) => {
                let target = transmit.target.ok_or("a transmit without its target")?;
                let flow = recovery::flow(&target, Default::default()).ok_or("a transmit to no address")?;
                if let Some(lane) = self.lanes().first() {
                    lane.transmit(flow, transmit.datagram);
                }
            }
            relay::Body::Call(call) => {
                let placement = u16::try_from(call.placement).map_err(|_| "a call to no placement")?;
                let (key, reply) = (Key { placement, id: call.dialog }, ReplyTo::Node(from.clone(), call.id));
                let input = match call.command.ok_or("a call without a command")? {
                    v1::call::Command::Info(_) => Input::Info(reply),
                    v1::call::Command::Bye(_) => Input::Bye(reply),
                    v1::call::Command::Message(message) => Input::Message { message, reply },
                };
                self.lane_of(key.shard()).inbox().push(News::Input { key, input });
            }
            relay::Body::Reply(reply) => {
                let result = match reply.result.ok_or("a reply without a result")? {
                    v1::reply::Result::Done(info) => Ok(info),
                    v1::reply::Result::Failed(why) => Err(why),
                };
                self.calls.resolve(reply.id, result);
            }
        }
        Ok(())
    }
}

/// What the cluster tells a node, on the cluster's thread: everything is handed to a lane.
pub(super) struct Bridge<H: DialogHandler>(pub(super) Arc<Shared<H>>);

impl<H: DialogHandler> Host for Bridge<H> {
    fn activated(&self, shard: Shard, _: &Epoch, lost: Option<&NodeId>, items: Vec<Stored>) {
        self.0.changes.send_modify(|n| *n += 1);
        let news = News::Activated { shard, lost: lost.cloned(), items };
        self.0.lane_of(shard).inbox().push(news);
    }

    fn retired(&self, shard: Shard) {
        self.0.changes.send_modify(|n| *n += 1);
        self.0.lane_of(shard).inbox().push(News::Retired(shard));
    }

    fn confirmed(&self, batch: &[Confirmation]) {
        let lanes = self.0.lanes();
        let of = |confirmation: &Confirmation| usize::from(confirmation.key.shard().0) % lanes.len();
        for (index, lane) in lanes.iter().enumerate() {
            let mine: Vec<_> = batch.iter().filter(|c| of(c) == index).cloned().collect();
            if !mine.is_empty() {
                lane.inbox().push(News::Confirmed(mine));
            }
        }
    }

    fn view_changed(&self, view: &Arc<View>) {
        let names: Vec<_> = view.members().map(|member| member.id.as_str()).collect();
        tracing::info!(members = names.join(" "), formed = view.formed(), "view");
        self.0.changes.send_modify(|n| *n += 1);
    }

    fn relayed(&self, from: &NodeId, payload: Bytes) {
        let body = Relay::decode(payload).ok().and_then(|relay| relay.body);
        let done = body.ok_or("a relay that is none").and_then(|body| self.0.relayed(from, body));
        if let Err(what) = done {
            tracing::warn!(%from, what, "a peer's message cannot be understood");
        }
    }

    fn fatal(&self, reason: &str) {
        self.0.fatal.send_replace(Some(reason.to_owned()));
    }
}

/// Ownership as the cluster has it; until the cluster runs this node owns nothing.
pub(super) struct Clustered(pub(super) Arc<OnceLock<Cluster>>);

impl Ownership for Clustered {
    fn owns(&self, shard: Shard) -> bool {
        self.0.get().is_some_and(|cluster| cluster.owns(shard))
    }

    fn owner(&self, shard: Shard) -> Option<NodeId> {
        let cluster = self.0.get()?;
        cluster.owner(shard).filter(|owner| *owner != cluster.me().id)
    }

    fn is_near(&self, shard: Shard) -> bool {
        self.0.get().is_some_and(|cluster| is_near(shard, &cluster.view()))
    }
}

/// Whether the one whose view this is comes first or second in the shard's order.
fn is_near(shard: Shard, view: &View) -> bool {
    placement::order(shard, view).iter().take(2).any(|member| member.id == *view.me())
}

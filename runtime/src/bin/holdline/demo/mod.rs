//! `holdline demo`: a balancer and three nodes as processes, many calls, one kill -9, and every call ended all the same.

mod caller;
mod children;
mod timeline;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use holdline::DialogId;

use self::caller::Caller;
use self::children::{Child, Cluster};
use self::timeline::Timeline;
use crate::Failure;

/// Nodes beside the balancer: the least where a call has an owner, a copy, and a node that never had anything of it.
const NODES: usize = 3;
/// Calls being set up at a time: as many as a busy entry point has, and no flood.
const CALLS_AT_ONCE: usize = 64;
/// The whole of it takes less; what takes longer has failed.
const LIMIT: Duration = Duration::from_secs(55);
/// Survivors that do not have all calls by then have lost some; the rest is shown all the same.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(10);
/// How often the survivors are asked whether they know already.
const POLL: Duration = Duration::from_millis(2);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many calls to place
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(2..=20_000))]
    calls: u16,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let calls = usize::from(args.calls);
    let lost = crate::block_on(async {
        tokio::select! {
            lost = show(calls) => lost,
            stop = crate::told_to_stop() => stop.and(Err("stopped before the end".into())),
            () = tokio::time::sleep(LIMIT) => Err(format!("not finished after {} s", LIMIT.as_secs()).into()),
        }
    })?;
    match lost {
        0 => Ok(()),
        lost => Err(format!("{lost} of {calls} calls were lost").into()),
    }
}

/// The whole demonstration; gives how many calls were lost. All processes end with it, however it ends.
async fn show(calls: usize) -> Result<usize, Failure> {
    let mut timeline = Timeline::start();
    let mut cluster = Cluster::start(NODES).await?;
    timeline.event("started a balancer and three nodes, each a process of its own");
    cluster.formed().await?;
    timeline.event("view formed: all see each other, and own all shards between them");

    let caller = Caller::start().await?;
    place(&caller, calls, &cluster.entry(), &mut timeline).await?;
    timeline.event(&format!("{calls} calls up"));

    let ids: Vec<DialogId> = caller.ledger.up().iter().map(caller::seen_from_the_cluster).collect();
    let before = owners(&mut cluster.nodes[0], &ids).await?;
    let victim = owner_of_most(&before, &cluster.nodes);
    let dead = cluster.kill(victim).await?;
    let orphans: Vec<DialogId> = of(&before, &dead).cloned().collect();
    timeline.kill(&format!("kill -9 {dead}, which owns {} of the calls", orphans.len()));
    await_takeover(&mut cluster, calls, &mut timeline).await?;

    let after = owners(&mut cluster.nodes[0], &ids).await?;
    let taken_over = orphans.iter().filter(|id| after.contains_key(*id)).count();
    timeline.event(&format!("{taken_over} calls answer for themselves on another node"));
    hang_up(&caller, &mut cluster, &ids, &after, &mut timeline).await?;
    let alive = still_up(&mut cluster.nodes[0], &ids).await?;

    let lost = calls - caller.ledger.well_ended(|id| after.contains_key(id) && !alive.contains(id));
    caller.node.shutdown().await;
    cluster.stop(lost > 0).await;
    println!("{calls} calls, {taken_over} taken over, {lost} lost");
    Ok(lost)
}

/// Places the calls through the balancer and waits until each is up.
async fn place(caller: &Caller, calls: usize, entry: &str, timeline: &mut Timeline) -> Result<(), Failure> {
    let mut progress = caller.ledger.progress();
    for placed in 0..calls {
        caller.call(entry).await?;
        let now = *progress.wait_for(|now| placed < now.up + now.ended + CALLS_AT_ONCE).await?;
        timeline.progress("calls up", now.up, calls);
    }
    loop {
        let now = *progress.borrow_and_update();
        timeline.progress("calls up", now.up, calls);
        match (now.up, now.ended) {
            (up, _) if up == calls => return Ok(()),
            (_, 0) => progress.changed().await?,
            (_, ended) => return Err(format!("{ended} calls failed before anything was killed").into()),
        }
    }
}

/// Waits until the survivors know of the death, and until they have all the calls between them.
async fn await_takeover(cluster: &mut Cluster, calls: usize, timeline: &mut Timeline) -> Result<(), Failure> {
    let members = cluster.nodes.len() + 1;
    let (mut known, start) = (false, Instant::now());
    loop {
        let (mut least, mut most, mut dialogs) = (usize::MAX, 0, 0);
        for node in &mut cluster.nodes {
            let stats = node.stats().await?;
            least = least.min(stats.get("members"));
            most = most.max(stats.get("members"));
            dialogs += stats.get("dialogs");
        }
        if !known && least == members && most == members {
            known = true;
            timeline.event("death known to both survivors");
        }
        if dialogs >= calls {
            timeline.event("calls taken over: the survivors have all of them");
            return Ok(());
        }
        if start.elapsed() >= TAKEOVER_LIMIT {
            timeline.event(&format!("the survivors have only {dialogs} of {calls} calls"));
            return Ok(());
        }
        timeline.progress("calls on the survivors", dialogs, calls);
        tokio::time::sleep(POLL).await;
    }
}

/// Ends each call: every other by a BYE of the caller, the rest by a BYE that the application has the cluster send, asking
/// for it on a node that never owned the call.
async fn hang_up(
    caller: &Caller,
    cluster: &mut Cluster,
    ids: &[DialogId],
    owners: &BTreeMap<DialogId, String>,
    timeline: &mut Timeline,
) -> Result<(), Failure> {
    let total = owners.len();
    let (by_caller, by_cluster): (Vec<_>, Vec<_>) =
        ids.iter().filter(|id| owners.contains_key(id)).enumerate().partition(|(at, _)| at % 2 == 0);
    let mut progress = caller.ledger.progress();
    let watch = async {
        let mut first = true;
        loop {
            let ended = progress.borrow_and_update().ended;
            if ended > 0 && std::mem::take(&mut first) {
                timeline.event("first BYE answered");
            }
            timeline.progress("calls ended", ended, total);
            if ended >= total {
                timeline.event("last BYE answered");
                return Ok(());
            }
            progress.changed().await?;
        }
    };
    let from_caller = async {
        for (_, id) in by_caller {
            caller.hang_up(id).await?;
        }
        Ok(())
    };
    let from_cluster = async {
        for node in &mut cluster.nodes {
            // Of two survivors the one that does not own the call never did: nothing has moved but from the dead node.
            let others =
                by_cluster.iter().filter(|(_, id)| owners.get(*id).is_some_and(|owner| *owner != node.name));
            let commands: Vec<String> = others.map(|(_, id)| format!("bye {id}")).collect();
            for (command, answer) in commands.iter().zip(node.ask_all(&commands).await?) {
                if answer != "ok" {
                    eprintln!("{}: {command}: {answer}", node.name);
                }
            }
        }
        Ok(())
    };
    let ended: Result<_, Failure> =
        tokio::time::timeout(caller::BYE_LIMIT, async { tokio::try_join!(watch, from_caller, from_cluster) })
            .await
            .unwrap_or(Ok(((), (), ())));
    ended.map(drop)
}

/// Who owns each of the calls, as the owner itself says; calls that nobody answers for are left out.
async fn owners(node: &mut Child, ids: &[DialogId]) -> Result<BTreeMap<DialogId, String>, Failure> {
    let confirmed =
        infos(node, ids).await?.into_iter().filter(|(_, info)| info.contains(" state=confirmed "));
    Ok(confirmed.filter_map(|(id, info)| Some((id, children::field(&info, "node")?.to_owned()))).collect())
}

/// Calls that are up though they were ended.
async fn still_up(node: &mut Child, ids: &[DialogId]) -> Result<Vec<DialogId>, Failure> {
    Ok(owners(node, ids).await?.into_keys().collect())
}

async fn infos(node: &mut Child, ids: &[DialogId]) -> Result<Vec<(DialogId, String)>, Failure> {
    let commands: Vec<String> = ids.iter().map(|id| format!("info {id}")).collect();
    Ok(ids.iter().cloned().zip(node.ask_all(&commands).await?).collect())
}

fn of<'a>(owners: &'a BTreeMap<DialogId, String>, node: &str) -> impl Iterator<Item = &'a DialogId> {
    owners.iter().filter(move |(_, owner)| *owner == node).map(|(id, _)| id)
}

fn owner_of_most(owners: &BTreeMap<DialogId, String>, nodes: &[Child]) -> usize {
    (0..nodes.len()).max_by_key(|at| of(owners, &nodes[*at].name).count()).unwrap_or_default()
}

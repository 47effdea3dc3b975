//! Promise: a node that stood still while others took its dialogs over answers for none of them when it goes on.

use std::time::{Duration, Instant};

use holdline_cluster::id::SHARDS;
use holdline_integration::harness::{Call, Cluster, ClusterOptions, Peer, wait_for};
use holdline_sip::wire::{Message, Method};

const CALLS: usize = 40;
const PAUSE: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_paused_node_never_answers_for_a_dialog_taken_over() {
    let mut cluster = Cluster::start("a_paused_node_never_answers", &ClusterOptions::new());
    let mut peer = Peer::bind();
    let calls: Vec<Call> = (0..CALLS).map(|_| peer.establish("answer", cluster.sip())).collect();
    let paused = cluster.busiest();
    let at = cluster.node(paused).sip;
    let others: Vec<usize> = (0..3).filter(|place| *place != paused).collect();
    let dialogs = |cluster: &Cluster| others.iter().map(|place| cluster.stats(*place).dialogs).sum::<u64>();

    let stopped = Instant::now();
    cluster.node_mut(paused).pause();
    wait_for("all dialogs at the other two", LIMIT, || {
        let there = dialogs(&cluster);
        if there == CALLS as u64 { Ok(()) } else { Err(format!("{there}")) }
    });
    let (ended, held): (Vec<Call>, Vec<Call>) = calls
        .into_iter()
        .filter(|call| call.target().contains(&at.to_string()))
        .enumerate()
        .fold((Vec::new(), Vec::new()), |mut halves, (n, call)| {
            if n % 2 == 0 {
                halves.0.push(call)
            } else {
                halves.1.push(call)
            }
            halves
        });
    assert!(!ended.is_empty() && !held.is_empty(), "the busiest of three nodes has two of {CALLS} calls");

    // Half of its calls end at the survivors. What then waits in the paused node's socket is a BYE in a dialog that is over:
    // 481 is right (RFC 3261 §15.1.2), and 200 is what only a node that missed the end would say.
    let mut late = Vec::new();
    for mut call in ended {
        let bye = call.request(Method::Bye);
        let answer = peer.transact(call.next_hop(), &bye, LIMIT);
        assert_eq!(answer.status().code(), 200, "{}", peer.transcript());
        late.push(call.request(Method::Bye));
    }
    for bye in &late {
        peer.send(at, bye.as_bytes());
    }
    wait_for("the end of the pause", PAUSE * 2, || {
        if stopped.elapsed() >= PAUSE { Ok(()) } else { Err(String::new()) }
    });
    cluster.node_mut(paused).resume();

    // Longer than its view needs to be right again, and than T1: what it wants to say, it says in this time.
    for received in peer.drain(Duration::from_secs(3)) {
        let Message::Response(response) = &received.message else { continue };
        let to_late = late.iter().any(|bye| bye.branch() == response.branch());
        assert!(!to_late || response.status().code() != 200, "a stale answer\n{}", peer.transcript());
    }
    // The other half is still up, and answers once, with one voice.
    for mut call in held {
        let bye = call.request(Method::Bye);
        let answer = peer.transact(call.next_hop(), &bye, LIMIT);
        assert_eq!(answer.status().code(), 200, "{}", peer.transcript());
    }
    wait_for("one owner for each shard", LIMIT, || {
        let living = cluster.living();
        let owned: u64 = living.iter().map(|(_, stats)| stats.owned).sum();
        if living.len() == 3 && owned == u64::from(SHARDS) { Ok(()) } else { Err(format!("{living:?}")) }
    });
}

//! Promise: a node dies in the middle of thousands of calls, and every call that had its 200 has its BYE answered.

use std::time::Duration;

use holdline_integration::harness::{Cluster, ClusterOptions, Scenario, Sipp, say, sipp_or_skip, wait_for};

const HOLD: Duration = Duration::from_secs(20);

#[test]
fn no_confirmed_call_is_lost_when_a_node_dies() {
    if !sipp_or_skip("no_confirmed_call_is_lost_when_a_node_dies") {
        return;
    }
    // An only lane shares the cluster's thread, two have threads of their own.
    for lanes in ["1", "2"] {
        kill_one_of_three(lanes);
    }
}

fn kill_one_of_three(lanes: &str) {
    let options = ClusterOptions::new().set("HOLDLINE_LANES", lanes);
    let mut cluster = Cluster::start(&format!("no_confirmed_call_is_lost_{lanes}"), &options);
    let sipp = Sipp { hold: HOLD, ..Sipp::caller(Scenario::Stock("uac"), cluster.sip()) };
    let run = sipp.start(cluster.logs(), "sipp");

    // 200 calls/s held for 20 s: as many begin as end from 4,000 on.
    wait_for("3,900 calls at once", Duration::from_secs(60), || {
        let up: u64 = cluster.living().iter().map(|(_, stats)| stats.dialogs).sum();
        if up >= 3_900 { Ok(()) } else { Err(format!("{up}")) }
    });
    let dead = cluster.busiest();
    let owned = cluster.stats(dead).dialogs;
    cluster.node_mut(dead).kill();
    let report = run.finish();

    let taken_over: u64 = cluster.living().iter().map(|(_, stats)| stats.taken_over).sum();
    say(&format!("{lanes} lanes: killed a node with {owned} dialogs; {taken_over} taken over; {report}"));
    assert!(taken_over >= owned / 2, "the dead node's dialogs went nowhere: {:?}", cluster.living());
    assert_eq!((report.answered, report.ended), (10_000, 10_000), "{report}");
    assert_eq!((report.successful, report.failed), (10_000, 0), "{report}");
}

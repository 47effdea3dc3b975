//! Promise: stock SIPp through the balancer against three nodes completes every call, and nothing is ever sent twice.

use holdline_integration::harness::{Cluster, ClusterOptions, Scenario, Sipp, say, sipp_or_skip};

#[test]
fn stock_sipp_completes_every_call() {
    if !sipp_or_skip("stock_sipp_completes_every_call") {
        return;
    }
    let cluster = Cluster::start("stock_sipp_completes_every_call", &ClusterOptions::new());

    let sipp = Sipp::caller(Scenario::Stock("uac"), cluster.sip());
    let report = sipp.start(cluster.logs(), "sipp").finish();

    say(&format!("stock_sipp_completes_every_call: {report}"));
    assert_eq!((report.successful, report.failed), (10_000, 0), "{report}");
    assert_eq!(report.retransmissions, 0, "{report}");
    for (place, stats) in cluster.living() {
        assert_eq!(stats.unprotected, 0, "node {place} confirmed without a copy: {stats:?}");
    }
}

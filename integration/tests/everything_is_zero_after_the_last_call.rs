//! Promise: after the last call has ended, however it ended, no node holds a dialog, transaction, snapshot or timer.

use std::time::Duration;

use holdline_integration::harness::{Call, Cluster, ClusterOptions, Peer, Scenario, Sipp, sipp_or_skip};
use holdline_sip::wire::Method;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn everything_is_zero_after_the_last_call() {
    let cluster = Cluster::start("everything_is_zero", &ClusterOptions::new());
    let mut peer = Peer::bind();

    // Hung up by the caller, by the node, refused, and given up while it rang.
    let mut call = peer.establish("answer", cluster.sip());
    let bye = call.request(Method::Bye);
    assert_eq!(peer.transact(call.next_hop(), &bye, LIMIT).status().code(), 200);

    peer.establish("answer-bye", cluster.sip());
    let (bye, source) = peer.expect_request(&Method::Bye, LIMIT);
    peer.send(source, Call::respond(&bye, 200).as_bytes());

    let call = Call::new(&peer, "reject486", cluster.sip());
    let invite = call.invite();
    let refusal = peer.transact(cluster.sip(), &invite, LIMIT);
    assert_eq!(refusal.status().code(), 486, "{}", peer.transcript());
    peer.send(cluster.sip(), call.ack_refusal(&invite, &refusal).as_bytes());

    let call = Call::new(&peer, "ring", cluster.sip());
    let invite = call.invite();
    peer.send(cluster.sip(), invite.as_bytes());
    let ringing = peer.response_to(&invite, LIMIT).expect("a call that rings says so");
    assert!(ringing.status().is_provisional());
    assert_eq!(peer.transact(cluster.sip(), &call.cancel(&invite), LIMIT).status().code(), 200);
    let terminated = loop {
        let response = peer.response_to(&invite, LIMIT).expect("a cancelled INVITE has its final response");
        if response.status().is_final() {
            break response;
        }
    };
    assert_eq!(terminated.status().code(), 487, "{}", peer.transcript());
    peer.send(cluster.sip(), call.ack_refusal(&invite, &terminated).as_bytes());

    if sipp_or_skip("everything_is_zero_after_the_last_call, the part with many calls") {
        let sipp = Sipp {
            calls: 1_000,
            hold: Duration::from_millis(500),
            ..Sipp::caller(Scenario::Caller, cluster.sip())
        };
        let report = sipp.start(cluster.logs(), "sipp").finish();
        assert_eq!((report.successful, report.failed), (1_000, 0), "{report}");
    }
    cluster.wait_at_rest(Duration::from_secs(40));
    assert_eq!(cluster.living().len(), 3);
}

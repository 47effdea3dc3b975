//! Promise: a node dies between its 200 and the ACK; a survivor sends the 200 again, takes the ACK and answers the BYE.

use std::time::Duration;

use holdline_integration::harness::{Call, Cluster, ClusterOptions, Peer};
use holdline_sip::wire::{Message, Method, Response};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn an_unacknowledged_200_is_retransmitted_by_the_survivor() {
    let mut cluster = Cluster::start("an_unacknowledged_200", &ClusterOptions::new());
    let mut peer = Peer::bind();
    let mut call = Call::new(&peer, "answer", cluster.sip());
    let invite = call.invite();
    let ok = peer.transact(cluster.sip(), &invite, LIMIT);
    assert_eq!(ok.status().code(), 200, "{}", peer.transcript());
    call.learn(&ok);

    let dead = cluster.busiest();
    cluster.node_mut(dead).kill();
    // What came until now may still be the dead node's.
    let _ = peer.drain(Duration::from_millis(20));

    let Some(again) = peer.response_to(&invite, LIMIT) else {
        panic!("the 200 did not come again\n{}", peer.transcript());
    };
    assert_eq!(again.status().code(), 200);
    assert_eq!(again.to_tag(), ok.to_tag(), "the same dialog");
    assert_eq!(record_routes(&again), record_routes(&ok));
    assert_eq!(again.body(), ok.body(), "the same answer");

    peer.send(call.next_hop(), call.ack().as_bytes());
    // The next ones would be due after 1 and 2 s at the latest; an ACK on its way may cross one.
    let crossing = Duration::from_millis(100);
    let _ = peer.drain(crossing);
    let after: Vec<_> = peer
        .drain(Duration::from_millis(2_500))
        .into_iter()
        .filter(|received| matches!(&received.message, Message::Response(response) if response.branch() == invite.branch()))
        .collect();
    assert!(after.is_empty(), "the 200 came again after its ACK\n{}", peer.transcript());

    let bye = call.request(Method::Bye);
    let answer = peer.transact(call.next_hop(), &bye, LIMIT);
    assert_eq!(answer.status().code(), 200, "{}", peer.transcript());
    let taken_over: u64 = cluster.living().iter().map(|(_, stats)| stats.taken_over).sum();
    assert_eq!(taken_over, 1);
}

fn record_routes(response: &Response) -> Vec<String> {
    response.values(&holdline_sip::wire::HeaderName::RecordRoute).map(|value| value.to_string()).collect()
}

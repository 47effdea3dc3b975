//! Promise: what a handler kept with a dialog on a node that died is there in `on_recovered` on the survivor.

use std::time::Duration;

use holdline_integration::harness::{Call, Cluster, ClusterOptions, Peer, wait_for};
use holdline_sip::wire::Method;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn application_data_survives() {
    let (note, dead) = note_after_a_failover("application_data_survives", &[]);
    // The INVITE and two INFOs changed it.
    assert_eq!(note, format!("note subject=weather-report steps=3 lost={dead}"));
}

#[test]
fn application_data_stays_behind_when_it_is_switched_off() {
    let (note, dead) = note_after_a_failover("application_data_stays_behind", &["--no-data"]);
    assert_eq!(note, format!("note subject= steps=0 lost={dead}"));
}

/// The note that the one survivor read, and the name of the node that died.
fn note_after_a_failover(test: &str, arguments: &[&str]) -> (String, String) {
    let mut options = ClusterOptions::running(env!("CARGO_BIN_EXE_notebook"));
    options.arguments.extend(arguments.iter().map(Into::into));
    let mut cluster = Cluster::start(test, &options);
    let mut peer = Peer::bind();
    let call = Call::new(&peer, "notebook", cluster.sip()).about("weather-report");
    let mut call = peer.establish_call(call, cluster.sip());
    for _ in 0..2 {
        let info = call.request(Method::Info);
        let answer = peer.transact(call.next_hop(), &info, LIMIT);
        assert_eq!(answer.status().code(), 200, "{}", peer.transcript());
    }

    let dead = cluster.busiest();
    let name = cluster.node(dead).process.name().to_owned();
    cluster.node_mut(dead).kill();

    let command = format!("note {}", call.call_id());
    let notes = wait_for("the recovery", LIMIT, || {
        let survivors = cluster.nodes().iter().enumerate().filter(|(place, _)| *place != dead);
        let answers = survivors
            .map(|(_, node)| node.process.console().ask(&command).map_err(|error| error.to_string()));
        let notes: Vec<String> =
            answers.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|note| note != "none").collect();
        if notes.is_empty() { Err("no survivor has it".to_owned()) } else { Ok(notes) }
    });
    assert_eq!(notes.len(), 1, "one survivor takes it over: {notes:?}");

    // And the dialog goes on.
    let bye = call.request(Method::Bye);
    assert_eq!(peer.transact(call.next_hop(), &bye, LIMIT).status().code(), 200, "{}", peer.transcript());
    (notes[0].clone(), name)
}

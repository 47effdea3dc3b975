//! Promise: a node dies that had placed a call; a survivor hangs it up with everything that the called side expects of its caller.

use std::time::Duration;

use holdline_integration::harness::{Call, Cluster, ClusterOptions, Peer, wait_for};
use holdline_sip::wire::{HeaderName, Method, Request};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_survivor_hangs_up_for_a_dead_uac() {
    let options = ClusterOptions {
        advertise_balancer: true,
        ..ClusterOptions::running(env!("CARGO_BIN_EXE_notebook"))
    };
    let mut cluster = Cluster::start("a_survivor_hangs_up", &options);
    let mut callee = Peer::bind();
    let caller = 0;
    let ask = |cluster: &Cluster, place: usize, command: &str| {
        let console = cluster.node(place).process.console();
        console.ask(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    };

    // The call, as if a proxy stayed on its path.
    let answer = ask(&cluster, caller, &format!("invite sip:callee@{}", callee.address()));
    assert!(answer.starts_with("dialog "), "{answer}");
    let (invite, source) = callee.expect_request(&Method::Invite, LIMIT);
    let proxy = format!("<sip:{};lr>", callee.address());
    let (call, ok) = Call::answer(&callee, &invite, std::slice::from_ref(&proxy));
    callee.send(source, ok.as_bytes());
    let (ack, _) = callee.expect_request(&Method::Ack, LIMIT);
    assert_eq!(ack.cseq().number, invite.cseq().number);
    let tag = |tag: Option<&str>| tag.unwrap_or_default().to_owned();
    let id = format!("{};local={};remote={}", call.call_id(), tag(invite.from_tag()), tag(ok.to_tag()));

    // A request that raises the CSeq, asked for at a node that does not own the call.
    assert_eq!(ask(&cluster, 1, &format!("info {id}")), "ok");
    let (info, source) = callee.expect_request(&Method::Info, LIMIT);
    callee.send(source, Call::respond(&info, 200).as_bytes());

    cluster.node_mut(caller).kill();
    let survivor = cluster.node(2).process.console();
    wait_for("the hang-up", LIMIT, || survivor.bye(&id).map_err(|error| error.to_string()));

    let (bye, source) = callee.expect_request(&Method::Bye, LIMIT);
    let shown = callee.transcript();
    assert_eq!(bye.call_id(), invite.call_id(), "{shown}");
    assert_eq!(
        bye.header(HeaderName::From),
        invite.header(HeaderName::From),
        "URI and tag of the caller\n{shown}"
    );
    assert_eq!(bye.header(HeaderName::To), ok.header(HeaderName::To), "URI and tag of the called\n{shown}");
    assert_eq!(bye.uri(), contact(&callee), "the remote target\n{shown}");
    assert_eq!(routes(&bye), [proxy], "the route set\n{shown}");
    let seen = info.cseq().number.max(invite.cseq().number);
    assert!(bye.cseq().number > seen, "CSeq {} after {seen}\n{shown}", bye.cseq().number);
    let dead = cluster.node(caller).sip.to_string();
    assert!(!bye.top_via().to_string().contains(&dead), "its answer would go to the dead node\n{shown}");

    // Its answer ends the matter: a BYE whose 200 is lost would come again after 500 ms.
    callee.send(source, Call::respond(&bye, 200).as_bytes());
    let again = callee.take(Duration::from_millis(1_200), |message| {
        matches!(message, holdline_sip::wire::Message::Request(request) if *request.method() == Method::Bye)
    });
    assert!(again.is_none(), "{}", callee.transcript());
}

fn contact(peer: &Peer) -> String {
    format!("sip:peer@{}", peer.address())
}

fn routes(request: &Request) -> Vec<String> {
    request.values(HeaderName::Route).map(str::to_owned).collect()
}

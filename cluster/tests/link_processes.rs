//! Nodes as real processes on loopback: they form, replicate, relay, survive a SIGKILL and refuse what must be refused.
//!
//! The test binary starts itself as the nodes: ractor's registries are process-wide, so there is one node a process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(feature = "link")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdline_cluster::engine::{Commit, Confirmation, Durability, Stored};
use holdline_cluster::id::{Epoch, Key, NodeId, Shard};
use holdline_cluster::key::ClusterKey;
use holdline_cluster::service::{Cluster, ClusterConfig, Host};
use holdline_cluster::view::{Role, View};

/// Generous: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn three_processes_form_replicate_relay_and_outlive_a_kill() {
    let ports = free_ports(3);
    let mut nodes: Vec<Process> = (0..3).map(|i| Process::node(i, &ports, 0)).collect();
    for node in &mut nodes {
        node.wait("formed n1,n2,n3");
        node.wait("links 2");
    }
    wait_all_owned(&mut nodes);

    nodes[0].say("relay n3 hello");
    nodes[2].wait("relayed n1 hello");
    nodes[0].say("relay n9 hello");
    nodes[0].wait("relay error no link to that node");

    for node in &mut nodes {
        node.say("commit 200");
        node.wait("confirmed 200 protected 200");
    }

    let mut dead = nodes.remove(0);
    dead.child.kill().unwrap();
    let killed = Instant::now();
    for node in &mut nodes {
        node.wait("view n2,n3");
    }
    println!("death known to both after {:?}", killed.elapsed());
    wait_all_owned(&mut nodes);
    let taken: usize = nodes.iter_mut().map(|node| node.ask_number("taken")).sum();
    assert_eq!(taken, 200, "every confirmed item of the dead node has a new owner");

    // A restarted node comes back under its name and is linked again.
    let mut again = Process::node(0, &ports, 0);
    again.wait("formed n1,n2,n3");
    again.wait("links 2");
    again.say("relay n2 back");
    nodes[0].wait("relayed n1 back");
    again.say("shutdown");
    for node in &mut nodes {
        node.wait("view n2,n3");
    }
}

#[test]
fn another_key_and_a_taken_name_give_one_clear_line_each() {
    let ports = free_ports(4);
    let mut nodes: Vec<Process> =
        (0..2).map(|i| Process::start("n1,n2".split(',').nth(i).unwrap(), i, &ports, 0, "node")).collect();
    for node in &mut nodes {
        node.wait("formed n1,n2");
    }
    let mut stranger = Process::start("n3", 2, &ports, 7, "node");
    let line = nodes[0].wait("refusal a datagram from");
    assert!(line.contains("is not sealed with our cluster key (ours is "), "{line}");
    stranger.wait("refusal a datagram from");

    let mut twin = Process::start("n1", 3, &ports, 0, "node");
    let line = twin.wait("fatal");
    assert_eq!(
        line,
        format!(
            "fatal the name n1 is taken: a live member at 127.0.0.1:{} has it; give this node another name",
            ports[0]
        )
    );
    assert_eq!(nodes[0].ask("view"), "view n1,n2");
    drop(twin);

    let mut observer = Process::start("lb", 3, &ports, 0, "observer");
    observer.wait("view lb,n1,n2");
    nodes[1].wait("view lb,n1,n2");
    assert_eq!(observer.ask_number("owned"), 0);
}

#[test]
fn thousands_of_commits_a_second_wake_the_cluster_thread_a_few_hundred_times() {
    let ports = free_ports(3);
    let mut nodes: Vec<Process> =
        (0..2).map(|i| Process::start(["n1", "n2"][i], i, &ports[..2], 0, "node")).collect();
    for node in &mut nodes {
        node.wait("formed n1,n2");
        node.wait("links 1");
    }
    wait_all_owned(&mut nodes);
    let before = nodes[0].ask_number("wakes");
    nodes[0].say("stream 3000");
    nodes[0].wait("confirmed 3000 protected 3000");
    let wakes = nodes[0].ask_number("wakes") - before;
    println!("{wakes} wake-ups for 3,000 commits in a second");
    // Own flushes, acknowledgements, heartbeats; an own wake-up for each commit would be 3,000 more.
    assert!(wakes < 1_500, "{wakes}");
}

/// One node in a process of its own.
struct Process {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    fn node(i: usize, ports: &[u16], key: u8) -> Self {
        Self::start(&format!("n{}", i + 1), i, ports, key, "node")
    }

    fn start(name: &str, i: usize, ports: &[u16], key: u8, role: &str) -> Self {
        let seeds: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_node_in_a_process_of_its_own", "--ignored", "--nocapture"])
            .env("HOLDLINE_TEST_NODE", format!("{name} {} {key} {role} {}", ports[i], seeds.join(",")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Takes the first line that starts so, of those that came and were not taken.
    fn wait(&mut self, start: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.seen.iter().position(|line| line.starts_with(start)) {
                return self.seen.remove(at);
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("no line {start:?}, but {:#?}", self.seen),
            }
        }
    }

    fn ask(&mut self, what: &str) -> String {
        self.say(&format!("ask {what}"));
        self.wait("answer ")["answer ".len()..].to_owned()
    }

    fn ask_number(&mut self, what: &str) -> usize {
        self.ask(what).parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Until every shard is owned, each by one node.
fn wait_all_owned(nodes: &mut [Process]) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let owned: Vec<usize> = nodes.iter_mut().map(|node| node.ask_number("owned")).collect();
        if owned.iter().sum::<usize>() == 4_096 {
            return;
        }
        assert!(Instant::now() < deadline, "{owned:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn free_ports(n: usize) -> Vec<u16> {
    let sockets: Vec<UdpSocket> = (0..n).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect()
}

#[derive(Default)]
struct Counts {
    confirmed: usize,
    protected: usize,
    taken: usize,
}

#[derive(Default)]
struct Printer(Mutex<Counts>);

impl Host for Printer {
    fn activated(&self, _: Shard, _: &Epoch, lost: Option<&NodeId>, items: Vec<Stored>) {
        if lost.is_some() {
            self.0.lock().unwrap().taken += items.len();
        }
    }

    fn retired(&self, _: Shard) {}

    fn confirmed(&self, batch: &[Confirmation]) {
        let mut counts = self.0.lock().unwrap();
        counts.confirmed += batch.len();
        counts.protected += batch.iter().filter(|confirmation| confirmation.protected).count();
        if counts.confirmed.is_multiple_of(200) {
            println!("confirmed {} protected {}", counts.confirmed, counts.protected);
        }
    }

    fn view_changed(&self, view: &Arc<View>) {
        println!("{}", shown(view));
        if view.formed() {
            println!("formed{}", &shown(view)[4..]);
        }
    }

    fn relayed(&self, from: &NodeId, payload: Bytes) {
        println!("relayed {from} {}", String::from_utf8_lossy(&payload));
    }

    fn fatal(&self, reason: &str) {
        println!("fatal {reason}");
    }
}

fn shown(view: &View) -> String {
    format!("view {}", view.members().map(|member| member.id.to_string()).collect::<Vec<_>>().join(","))
}

#[test]
#[ignore = "started by the other tests, as a process"]
fn a_node_in_a_process_of_its_own() {
    let Ok(spec) = std::env::var("HOLDLINE_TEST_NODE") else { return };
    let spec: Vec<&str> = spec.split(' ').collect();
    let bind: SocketAddr = format!("127.0.0.1:{}", spec[1]).parse().unwrap();
    let mut config = ClusterConfig::new(spec[0].parse().unwrap(), bind, "127.0.0.1:5060".parse().unwrap());
    config.key = Some(ClusterKey::from_bytes([spec[2].parse().unwrap(); 32]));
    config.role = if spec[3] == "observer" { Role::Observer } else { Role::Node };
    config.seeds = spec[4].split(',').map(str::to_owned).collect();
    let printer = Arc::new(Printer::default());
    println!();
    let cluster = Cluster::start(config, Arc::clone(&printer) as Arc<dyn Host>).unwrap();
    let watched = cluster.clone();
    std::thread::spawn(move || watch(&watched));
    for line in std::io::stdin().lines().map_while(Result::ok) {
        obey(&cluster, &printer, &line);
        if line == "shutdown" {
            return;
        }
    }
}

/// Reports links and refusals as they change.
fn watch(cluster: &Cluster) {
    let (mut links, mut refusals) = (0, 0);
    while let Some(stats) = cluster.stats() {
        if stats.links != links {
            links = stats.links;
            println!("links {links}");
        }
        for line in &cluster.refusals()[refusals..] {
            println!("refusal {line}");
            refusals += 1;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn obey(cluster: &Cluster, printer: &Printer, line: &str) {
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    match words[..] {
        ["relay", to, text] => {
            if let Err(error) = cluster.relay(&to.parse().unwrap(), text.to_owned().into()) {
                println!("relay error {error}");
            }
        }
        ["commit", n] => {
            commits(cluster, n.parse().unwrap()).for_each(|commit| cluster.commit(commit).unwrap());
            cluster.flush();
        }
        ["stream", n] => {
            for (i, commit) in commits(cluster, n.parse().unwrap()).enumerate() {
                cluster.commit(commit).unwrap();
                if i % 3 == 2 {
                    cluster.flush();
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        ["ask", "owned"] => println!("answer {}", Shard::all().filter(|shard| cluster.owns(*shard)).count()),
        ["ask", "view"] => println!("answer {}", shown(&cluster.view())),
        ["ask", "taken"] => println!("answer {}", printer.0.lock().unwrap().taken),
        ["ask", "wakes"] => println!("answer {}", cluster.stats().unwrap().wakes),
        ["shutdown"] => cluster.shutdown(),
        _ => panic!("what is {line:?}?"),
    }
}

/// New items in shards of ours.
fn commits(cluster: &Cluster, n: usize) -> impl Iterator<Item = Commit> {
    let shards: Vec<Shard> = Shard::all().filter(|shard| cluster.owns(*shard)).collect();
    assert!(!shards.is_empty(), "this node owns nothing");
    (0..n).map(move |i| {
        let key =
            Key { placement: shards[i % shards.len()].keys().start().placement, id: (i as u64 + 1) << 2 };
        Commit {
            key,
            version: 1,
            terminated: false,
            body: vec![7; 700].into(),
            durability: Durability::Acked,
        }
    })
}

//! Configuration: precedence of its sources, every default, and every error with its key, value, origin and remedy.

#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    reason = "a test that cannot go on fails, and its tables are types of their own"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdline::config::{BalancerConfig, ConfigError, NodeConfig, Sources};
use holdline_cluster::engine::Durability;
use holdline_cluster::key::ClusterKey;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(dir: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn flags(pairs: &[(&'static str, &str)]) -> Sources {
    pairs.iter().fold(Sources::new(), |sources, (key, value)| sources.flag(key, value))
}

fn node(pairs: &[(&'static str, &str)]) -> Result<NodeConfig, ConfigError> {
    NodeConfig::load(&flags(pairs))
}

fn balancer(pairs: &[(&'static str, &str)]) -> Result<BalancerConfig, ConfigError> {
    BalancerConfig::load(&flags(pairs))
}

#[test]
fn a_lone_node_needs_no_setting() {
    let config = node(&[]).unwrap();
    assert_eq!(config.name.as_str(), "holdline");
    assert_eq!(config.sip, "127.0.0.1:5060".parse().unwrap());
    assert_eq!((config.advertise, config.cluster, config.key), (None, None, None));
    assert_eq!((config.durability, config.replicas, config.lanes), (Durability::Acked, 1, None));
    assert_eq!(config.flush, Duration::from_millis(5));
    assert!(config.replicate_data);
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(
        &dir,
        "n1.toml",
        r#"
        name = "from-file"
        sip = "127.0.0.1:5001"
        replicas = 3
        durability = "all"
        link_evidence = false
        cluster = "127.0.0.1:7001"
        seeds = ["a.example.com:7001", "[::1]:7002"]
        "#,
    );
    let sources = Sources::new()
        .file(&path)
        .environment(variables(&[
            ("HOLDLINE_NAME", "from-env"),
            ("HOLDLINE_REPLICAS", "2"),
            ("HOLDLINE_DURABILITY", ""),
            ("UNRELATED", "x"),
        ]))
        .flag("name", "from-flag")
        .flag_option("lanes", None::<usize>);
    let config = NodeConfig::load(&sources).unwrap();
    assert_eq!(config.name.as_str(), "from-flag");
    assert_eq!(config.replicas, 2, "the environment beats the file");
    assert_eq!(config.durability, Durability::All, "an empty variable is none");
    assert_eq!(config.sip.port(), 5001);
    let cluster = config.cluster.unwrap();
    assert!(!cluster.link_evidence);
    assert_eq!(cluster.seeds, ["a.example.com:7001", "[::1]:7002"]);
}

#[test]
fn seeds_are_a_list_in_every_source() {
    let by_flags = Sources::new()
        .flag("name", "n1")
        .flag("cluster", "127.0.0.1:7001")
        .flag_list("seeds", &["a:1".to_owned(), "b:2".to_owned()]);
    let by_variable = flags(&[("name", "n1"), ("cluster", "127.0.0.1:7001")])
        .environment(variables(&[("HOLDLINE_SEEDS", "a:1, b:2,")]));
    for sources in [by_flags, by_variable] {
        assert_eq!(NodeConfig::load(&sources).unwrap().cluster.unwrap().seeds, ["a:1", "b:2"]);
    }
}

#[test]
fn a_key_file_opens_the_door_to_other_machines() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "cluster.key", KEY);
    let key = Sources::new().flag("cluster_key_file", path.display());
    let config = NodeConfig::load(&key.clone().flag("sip", "0.0.0.0:5060")).unwrap();
    assert_eq!(config.key, Some(KEY.parse::<ClusterKey>().unwrap()));

    let sources = key.flag("name", "lb").flag("sip", "192.0.2.1:5060").flag("cluster", "192.0.2.1:7000");
    let config = BalancerConfig::load(&sources).unwrap();
    assert_eq!((config.name.as_str(), config.cluster.seeds.len()), ("lb", 0));
}

#[test]
fn the_service_address_is_one_that_can_be_reached() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "cluster.key", KEY);
    let base = Sources::new().flag("cluster_key_file", path.display()).flag("name", "n1");
    let wildcard = base.flag("sip", "0.0.0.0:5060").flag("cluster", "0.0.0.0:7001");
    let config = NodeConfig::load(&wildcard.flag("cluster_advertise", "192.0.2.7:7001")).unwrap();
    assert_eq!(config.service("0.0.0.0:5060".parse().unwrap()), "192.0.2.7:5060".parse().unwrap());
    assert_eq!(config.service("192.0.2.8:5061".parse().unwrap()), "192.0.2.8:5061".parse().unwrap());
}

/// What each mistake is answered with. The texts are what an operator sees, so they are asserted whole.
#[test]
fn every_error_names_key_value_origin_and_remedy() {
    let address = "write an IP address and a port, like 127.0.0.1:5060 or [::1]:5060";
    let name = "write 1 to 32 letters, digits, dots, dashes or underscores";
    let table: [(&[(&'static str, &str)], String); 14] = [
        (&[("sip", "localhost")], format!("sip = \"localhost\" (flag --sip) is not valid: {address}")),
        (&[("name", "n 1")], format!("name = \"n 1\" (flag --name) is not valid: {name}")),
        (
            &[("durability", "sync")],
            "durability = \"sync\" (flag --durability) is not valid: write acked, async or all".into(),
        ),
        (
            &[("replicas", "9")],
            "replicas = \"9\" (flag --replicas) is not valid: write a number from 0 to 8".into(),
        ),
        (&[("lanes", "0")], "lanes = \"0\" (flag --lanes) is not valid: write a number from 1 to 256".into()),
        (
            &[("flush_ms", "-1")],
            "flush_ms = \"-1\" (flag --flush-ms) is not valid: write a number from 0 to 250".into(),
        ),
        (
            &[("gap_ms", "101")],
            "gap_ms = \"101\" (flag --gap-ms) is not valid: write a number from 0 to 100".into(),
        ),
        (
            &[("replicate_data", "maybe")],
            "replicate_data = \"maybe\" (flag --replicate-data) is not valid: write true or false".into(),
        ),
        (
            &[("advertise", "0.0.0.0:5060")],
            "advertise = \"0.0.0.0:5060\" (flag --advertise) is not valid: others must be able to reach it: write an IP \
             address and a port, neither of them zero"
                .into(),
        ),
        (
            &[("cluster", "127.0.0.1:0")],
            "cluster = \"127.0.0.1:0\" (flag --cluster) is not valid: write an IP address and a port that is not zero, \
             like 127.0.0.1:7001"
                .into(),
        ),
        (
            &[("cluster", "127.0.0.1:7001"), ("seeds", "127.0.0.1:7001,nowhere")],
            "seeds = \"nowhere\" (flag --seed) is not valid: write host:port, like peers.example.com:7946".into(),
        ),
        (
            &[("cluster", "127.0.0.1:7001")],
            "name is missing (--name, HOLDLINE_NAME or name in the file): every process of a cluster needs its own name: 1 \
             to 32 letters, digits, dots, dashes or underscores"
                .into(),
        ),
        (
            &[("seeds", "127.0.0.1:7001")],
            "cluster is missing (--cluster, HOLDLINE_CLUSTER or cluster in the file): seeds are given, so write the address \
             for gossip and links, like 127.0.0.1:7001"
                .into(),
        ),
        (
            &[("cluster", "127.0.0.1:7001"), ("zone", "a zone whose name is far too long to be sent around")],
            "zone = \"a zone whose name is far too long to be sent around\" (flag --zone) is not valid: write at most 32 \
             characters"
                .into(),
        ),
    ];
    for (settings, expected) in table {
        assert_eq!(node(settings).unwrap_err().to_string(), expected);
    }
}

#[test]
fn without_a_key_no_address_may_leave_the_machine() {
    let table: [&[(&'static str, &str)]; 4] = [
        &[("sip", "0.0.0.0:5060")],
        &[("sip", "127.0.0.1:5060"), ("advertise", "192.0.2.1:5060")],
        &[("name", "n1"), ("cluster", "192.0.2.1:7001")],
        &[("name", "n1"), ("cluster", "127.0.0.1:7001"), ("cluster_advertise", "192.0.2.1:7001")],
    ];
    for settings in table {
        let (key, value) = *settings.last().unwrap();
        let flag = format!("--{}", key.replace('_', "-"));
        assert_eq!(
            node(settings).unwrap_err().to_string(),
            format!(
                "{key} = {value:?} (flag {flag}) is not a loopback address, and without a cluster key every address must \
                 be one: give a cluster_key_file (32 random bytes, the same on every node), or stay on 127.0.0.1"
            )
        );
    }
    for loopback in ["127.0.0.1:5060", "127.9.9.9:5060", "[::1]:5060", "[::ffff:127.0.0.1]:5060"] {
        assert!(node(&[("sip", loopback)]).is_ok(), "{loopback}");
    }
}

#[test]
fn a_balancer_has_needs_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let key = file(&dir, "cluster.key", KEY).display().to_string();
    let cluster = ("cluster", "127.0.0.1:7000");
    let table: [(&[(&'static str, &str)], &str); 4] = [
        (&[("name", "lb")], "cluster is missing"),
        (&[cluster], "name is missing"),
        (
            &[("name", "lb"), cluster, ("sip", "127.0.0.1:0")],
            "sip = \"127.0.0.1:0\" (flag --sip) is not valid",
        ),
        (
            &[("name", "lb"), cluster, ("sip", "0.0.0.0:5060"), ("cluster_key_file", &key)],
            "advertise is missing (--advertise, HOLDLINE_ADVERTISE or advertise in the file): sip is bound to every \
             address, so say which one Via and Record-Route shall name",
        ),
    ];
    for (settings, expected) in table {
        let error = balancer(settings).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn errors_say_which_source_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let load =
        |content: &str| NodeConfig::load(&Sources::new().file(file(&dir, "bad.toml", content))).unwrap_err();
    let path = dir.path().join("bad.toml").display().to_string();

    assert_eq!(
        load("replicas = 99").to_string(),
        format!("replicas = \"99\" (file {path}) is not valid: write a number from 0 to 8")
    );
    assert!(load("sip = [1]").to_string().contains("(file "), "a list where one value belongs");
    assert_eq!(load("sipp = 1").to_string(), format!("sipp (file {path}) is no setting: did you mean sip?"));
    assert!(load("colour = 1").to_string().contains("the settings are name, sip,"));
    let error = load("sip = ").to_string();
    assert!(error.starts_with(&format!("cannot read the configuration file {path}: ")), "{error}");

    let sources = Sources::new().environment(variables(&[("HOLDLINE_LANES", "many")]));
    assert_eq!(
        NodeConfig::load(&sources).unwrap_err().to_string(),
        "lanes = \"many\" (environment variable HOLDLINE_LANES) is not valid: write a number from 1 to 256"
    );
    let missing = Sources::new().file(Path::new("/nonexistent/holdline.toml"));
    let error = NodeConfig::load(&missing).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the configuration file /nonexistent/holdline.toml: "), "{error}");
}

#[test]
fn a_key_file_that_is_none_is_named_with_its_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "short.key", "AAEC").display().to_string();
    assert_eq!(
        node(&[("cluster_key_file", &path)]).unwrap_err().to_string(),
        format!(
            "cluster_key_file = {path:?} (flag --cluster-key-file) is not valid: a cluster key has 32 bytes, this one has 3"
        )
    );
    let error = node(&[("cluster_key_file", "/nonexistent/key")]).unwrap_err().to_string();
    assert!(error.contains("cannot read the cluster key file /nonexistent/key"), "{error}");
}

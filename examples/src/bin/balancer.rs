//! A balancer in front of the `shootme` nodes: no state, no table, the tag knows the way.
//!
//! ```text
//! cargo run -p holdline-examples --bin balancer -- 127.0.0.1:5060 127.0.0.1:7000 127.0.0.1:7001 127.0.0.1:7002
//! cargo run -p holdline-examples --bin shootist -- sip:anyone@127.0.0.1:5060
//! ```

use std::error::Error;

use holdline::balancer::Balancer;
use holdline::config::{BalancerConfig, Sources};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("info,ractor=warn").init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [sip, cluster, seeds @ ..] = arguments.as_slice() else {
        return Err("usage: balancer SIP-ADDRESS CLUSTER-ADDRESS SEED…".into());
    };
    let sources = Sources::new().flag("name", "lb").flag("sip", sip).flag("cluster", cluster);
    let sources = seeds.iter().fold(sources, |sources, seed| sources.flag("seeds", seed));
    let balancer = Balancer::start(&BalancerConfig::load(&sources)?)?;
    println!("balancing at {}", balancer.local_addr());
    tokio::signal::ctrl_c().await?;
    println!("{:?}", balancer.stats());
    balancer.shutdown();
    Ok(())
}

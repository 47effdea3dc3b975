//! A UAS that answers after a second, and then keeps a reminder: a timer that survives the node.
//!
//! Four terminals make a cluster; kill the node that has the call while it is up, and hang up:
//!
//! ```text
//! cargo run -p holdline-examples --bin shootme -- n1 127.0.0.1:5061 127.0.0.1:7001 127.0.0.1:7002
//! cargo run -p holdline-examples --bin shootme -- n2 127.0.0.1:5062 127.0.0.1:7002 127.0.0.1:7001
//! cargo run -p holdline-examples --bin balancer -- 127.0.0.1:5060 127.0.0.1:7000 127.0.0.1:7001 127.0.0.1:7002
//! cargo run -p holdline-examples --bin shootist -- sip:anyone@127.0.0.1:5060
//! ```

use std::error::Error;
use std::time::Duration;

use holdline::{Dialog, DialogHandler, Ended, Node, NodeId, Request, Result};

struct Shootme;

/// What travels with each call.
#[derive(Clone, PartialEq, prost::Message)]
struct Journey {
    /// The nodes that have had it, in order.
    #[prost(string, repeated, tag = "1")]
    lost: Vec<String>,
}

impl DialogHandler for Shootme {
    type Data = Journey;
    type Msg = ();

    async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, invite: &Request) -> Result {
        println!("{} calls", invite.from());
        dialog.ring()?;
        dialog.set_timer("answer", Duration::from_secs(1))
    }

    async fn on_timer(&self, dialog: &mut Dialog<'_, Self>, name: &str) -> Result {
        match name {
            "answer" => {
                dialog.set_timer("remind", Duration::from_secs(5))?;
                dialog.answer(None)
            }
            _ => {
                println!("still talking: {}", dialog.id());
                dialog.set_timer("remind", Duration::from_secs(5))
            }
        }
    }

    async fn on_recovered(&self, dialog: &mut Dialog<'_, Self>, lost: &NodeId) -> Result {
        println!("took {} over from {lost}", dialog.id());
        dialog.data_mut().lost.push(lost.to_string());
        Ok(())
    }

    async fn on_ended(&self, dialog: &mut Dialog<'_, Self>, why: Ended) -> Result {
        println!("over ({why:?}) after losing {:?}", dialog.data().lost);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("info,ractor=warn,ractor_cluster=warn").init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let node = Node::builder(Shootme);
    let node = match arguments.as_slice() {
        [] => node.udp("127.0.0.1:5061".parse()?),
        // Callers are told to send to the balancer: it knows which node has their call.
        [name, sip, cluster, seeds @ ..] => {
            node.udp(sip.parse()?).advertise("127.0.0.1:5060").join(name, cluster.parse()?, seeds)
        }
        _ => return Err("usage: shootme [NAME SIP-ADDRESS CLUSTER-ADDRESS SEED…]".into()),
    };
    let node = node.start().await?;
    node.ready().await;
    println!("{} waits for calls at {}", node.name(), node.local_addr());
    tokio::signal::ctrl_c().await?;
    node.shutdown().await;
    Ok(())
}

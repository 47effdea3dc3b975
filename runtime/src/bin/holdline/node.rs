//! `holdline node`: the built-in behaviour `Uas` on a node of a cluster, or alone.

use holdline::behaviour::Uas;
use holdline::config::{NodeConfig, Sources};
use holdline::{DialogId, DialogState, Node, StartError};

use crate::Failure;
use crate::args::{Common, PRECEDENCE};
use crate::console::{self, Commands};

const COMMANDS: &str = "stats, members, dialogs, info <dialog-id>, bye <dialog-id>";

#[derive(clap::Args)]
#[command(after_help = PRECEDENCE)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// What a 2xx waits for: acked (one copy), all (every copy) or async (none) [default: acked]
    #[arg(long, value_name = "acked|all|async")]
    durability: Option<String>,
    /// Copies of each dialog on other nodes [default: 1]
    #[arg(long, value_name = "N")]
    replicas: Option<String>,
    /// Least milliseconds between two frames of changes to one node [default: 5]
    #[arg(long, value_name = "MS")]
    flush_ms: Option<String>,
    /// Milliseconds between two looks at a busy SIP socket; 0 looks for each datagram [default: 6]
    #[arg(long, value_name = "MS")]
    gap_ms: Option<String>,
    /// Whether application data travels with the dialogs [default: true]
    #[arg(long, value_name = "BOOL")]
    replicate_data: Option<String>,
}

impl Args {
    fn sources(&self) -> Sources {
        self.common
            .sources()
            .flag_option("durability", self.durability.as_ref())
            .flag_option("replicas", self.replicas.as_ref())
            .flag_option("flush_ms", self.flush_ms.as_ref())
            .flag_option("gap_ms", self.gap_ms.as_ref())
            .flag_option("replicate_data", self.replicate_data.as_ref())
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = NodeConfig::load(&args.sources())?;
    crate::block_on(async {
        let node = start(&config).await?;
        let ended = tokio::select! {
            stop = crate::told_to_stop() => stop,
            why = node.fatal() => Err(why.into()),
            () = serve(&node, &config, args.common.console) => Ok(()),
        };
        node.shutdown().await;
        ended
    })
}

/// Says when the node is ready, then serves the console until it ends; without a console, for ever.
async fn serve(node: &Node<Uas>, config: &NodeConfig, console: bool) {
    node.ready().await;
    console::say(&format!("ready name={} sip={}", config.name, node.local_addr()));
    match console {
        true => console::serve(Asked(node.clone())).await,
        false => std::future::pending().await,
    }
}

async fn start(config: &NodeConfig) -> Result<Node<Uas>, StartError> {
    let mut builder = Node::builder(Uas)
        .udp(config.sip)
        .durability(config.durability)
        .replicas(config.replicas)
        .gap(config.gap)
        .replicate_data(config.replicate_data);
    if let Some(advertise) = config.advertise {
        builder = builder.advertise(advertise.to_string());
    }
    if let Some(lanes) = config.lanes {
        builder = builder.lanes(lanes);
    }
    if let Some(key) = &config.key {
        builder = builder.cluster_key(key.clone());
    }
    if let Some(section) = config.cluster.clone() {
        let config = config.clone();
        builder =
            builder.join(config.name.as_str(), section.bind, section.seeds).cluster_config(move |cluster| {
                cluster.advertise = section.advertise;
                cluster.zone = section.zone;
                cluster.link_evidence = section.link_evidence;
                cluster.flush = config.flush;
                cluster.service = config.service(cluster.service);
            });
    }
    builder.start().await
}

#[derive(Clone)]
struct Asked(Node<Uas>);

impl Commands for Asked {
    async fn run(&self, command: &str, argument: &str) -> String {
        match command {
            "stats" => format!("stats {}", self.0.stats()),
            "dialogs" => format!("dialogs {}", self.0.stats().lanes.dialogs),
            "members" => {
                let members = self.0.members();
                let list = members.iter().map(|member| format!(" {}={}", member.id, member.service));
                format!("members {}{}", members.len(), list.collect::<String>())
            }
            "bye" => self.bye(argument).await.map_or_else(|why| format!("error {why}"), |()| "ok".into()),
            "info" => self.info(argument).await.unwrap_or_else(|why| format!("error {why}")),
            other => console::unknown(other, COMMANDS),
        }
    }
}

impl Asked {
    async fn bye(&self, id: &str) -> Result<(), Failure> {
        Ok(self.0.dialog(&id.parse::<DialogId>()?)?.bye().await?)
    }

    async fn info(&self, id: &str) -> Result<String, Failure> {
        let info = self.0.dialog(&id.parse::<DialogId>()?)?.info().await?;
        let state = match info.state() {
            DialogState::Confirmed => "confirmed",
            DialogState::Closing => "closing",
            DialogState::Terminated => "terminated",
            _ => "unanswered",
        };
        Ok(format!("info node={} state={state} version={}", info.node, info.version))
    }
}

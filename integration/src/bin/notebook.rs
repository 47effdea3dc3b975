//! The application of the process tests: a note travels with each dialog, and its console says what was recovered.
//!
//! Beside the commands of `holdline node --console` it knows `invite URI` (answered `dialog ID`), `info ID` (sends an INFO inside
//! the dialog) and `note CALL-ID` (answered with the note that `on_recovered` read here).

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use holdline::{Call, Dialog, DialogHandler, DialogId, Node, NodeId, Request, Result};
use holdline_sip::wire::Method;

/// What travels with a dialog.
#[derive(Clone, PartialEq, prost::Message)]
struct Note {
    /// The Subject of the INVITE.
    #[prost(string, tag = "1")]
    subject: String,
    /// Steps that changed it.
    #[prost(uint32, tag = "2")]
    steps: u32,
}

/// Tells a dialog's actor to send an INFO.
#[derive(Clone, PartialEq, prost::Message)]
struct SendInfo {}

/// Notes read in `on_recovered`, by Call-ID.
type Recovered = Arc<Mutex<HashMap<String, String>>>;

struct Notebook {
    recovered: Recovered,
}

impl DialogHandler for Notebook {
    type Data = Note;
    type Msg = SendInfo;

    async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, invite: &Request) -> Result {
        let note = dialog.data_mut();
        note.subject = invite.header("Subject").unwrap_or_default().to_owned();
        note.steps = 1;
        dialog.answer(None)
    }

    async fn on_request(&self, dialog: &mut Dialog<'_, Self>, _request: &Request) -> Result {
        dialog.data_mut().steps += 1;
        dialog.respond(200, None)
    }

    async fn on_message(&self, dialog: &mut Dialog<'_, Self>, _message: SendInfo) -> Result {
        dialog.request(Method::Info, None)
    }

    async fn on_recovered(&self, dialog: &mut Dialog<'_, Self>, lost: &NodeId) -> Result {
        let note =
            format!("note subject={} steps={} lost={lost}", dialog.data().subject, dialog.data().steps);
        self.recovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(dialog.id().call_id.clone(), note);
        Ok(())
    }
}

/// A node of the process tests.
#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    name: String,
    #[arg(long)]
    sip: SocketAddr,
    #[arg(long)]
    advertise: Option<SocketAddr>,
    #[arg(long)]
    cluster: SocketAddr,
    #[arg(long = "seed")]
    seeds: Vec<String>,
    /// Leave the notes at home: they do not travel with their dialogs.
    #[arg(long)]
    no_data: bool,
    /// Always on; taken so that the command line is that of `holdline node`.
    #[arg(long)]
    console: bool,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> std::result::Result<(), Failure> {
    let arguments = Arguments::parse();
    let recovered = Recovered::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut builder = Node::builder(Notebook { recovered: recovered.clone() })
        .udp(arguments.sip)
        .replicate_data(!arguments.no_data);
    if let Some(address) = arguments.advertise {
        builder = builder.advertise(address.to_string());
    }
    let node = runtime.block_on(builder.join(arguments.name, arguments.cluster, arguments.seeds).start())?;
    runtime.block_on(node.ready());

    println!("ready name={} sip={}", node.name(), node.local_addr());
    for line in std::io::stdin().lock().lines() {
        let answer =
            runtime.block_on(answer(&node, &recovered, &line?)).unwrap_or_else(|why| format!("error {why}"));
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

async fn answer(
    node: &Node<Notebook>,
    recovered: &Recovered,
    line: &str,
) -> std::result::Result<String, Failure> {
    let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match command {
        "stats" => format!("stats {}", node.stats()),
        "invite" => format!("dialog {}", node.invite(Call::to(argument).sdp("v=0\r\n")).await?.id()),
        "info" => {
            node.dialog(&argument.parse::<DialogId>()?)?.tell(&SendInfo {}).await?;
            "ok".to_owned()
        }
        "bye" => {
            node.dialog(&argument.parse::<DialogId>()?)?.bye().await?;
            "ok".to_owned()
        }
        "note" => {
            let recovered = recovered.lock().unwrap_or_else(PoisonError::into_inner);
            recovered.get(argument).cloned().unwrap_or_else(|| "none".to_owned())
        }
        _ => format!("error no command {command:?}"),
    })
}

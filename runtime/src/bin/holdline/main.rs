//! The `holdline` program: a node, a balancer, or a demonstration of both.

mod args;
mod balancer;
mod console;
mod demo;
mod node;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use holdline::config::ConfigError;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Without the second part every dialog's actor is a span, and links log the payloads they carry.
const LOG_FILTER: &str = "info,ractor=warn,ractor_cluster=warn";

/// What went wrong is one line on standard error; the status tells a bad configuration from a failure.
const EXIT_FAILED: u8 = 1;
const EXIT_CONFIG: u8 = 2;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Hold the line: SIP calls that outlive the node they run on.
#[derive(Parser)]
#[command(name = "holdline", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node: it answers calls, and takes over those of nodes that die
    Node(node::Args),
    /// Run a balancer: it sends every request to the node that owns its call
    Balancer(balancer::Args),
    /// Show a failover: a balancer and three nodes, many calls, one kill -9, no call lost
    Demo(demo::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    let result = match cli.command {
        Command::Node(args) => node::run(&args),
        Command::Balancer(args) => balancer::run(&args),
        Command::Demo(args) => demo::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("holdline: {failure}");
            ExitCode::from(if failure.is::<ConfigError>() { EXIT_CONFIG } else { EXIT_FAILED })
        }
    }
}

/// Logs go to standard error: standard output belongs to the console.
fn log() {
    let filter = EnvFilter::try_from_env("HOLDLINE_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
}

/// The runtime of the program itself; nodes and balancers have threads of their own.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // What may still hang in a name look-up must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Waits for SIGTERM or ctrl-c.
async fn told_to_stop() -> Result<(), Failure> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}

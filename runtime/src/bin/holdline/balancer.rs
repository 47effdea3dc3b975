//! `holdline balancer`.

use std::sync::Arc;

use holdline::balancer::Balancer;
use holdline::config::BalancerConfig;

use crate::Failure;
use crate::args::{Common, PRECEDENCE};
use crate::console::{self, Commands};

const COMMANDS: &str = "stats, members";

#[derive(clap::Args)]
#[command(after_help = PRECEDENCE)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = BalancerConfig::load(&args.common.sources())?;
    let balancer = Arc::new(Balancer::start(&config)?);
    console::say(&format!("ready name={} sip={}", config.name, balancer.local_addr()));
    crate::block_on(async {
        tokio::select! {
            stop = crate::told_to_stop() => stop,
            why = balancer.failed() => Err(why.into()),
            () = console::serve(Asked(Arc::clone(&balancer))), if args.common.console => Ok(()),
        }
    })?;
    balancer.shutdown();
    Ok(())
}

#[derive(Clone)]
struct Asked(Arc<Balancer>);

impl Commands for Asked {
    async fn run(&self, command: &str, _argument: &str) -> String {
        match command {
            "stats" => format!("stats members={} {}", self.0.view().members().count(), self.0.stats()),
            "members" => {
                let view = self.0.view();
                let members = view.members().map(|member| format!(" {}={}", member.id, member.service));
                format!("members {}{}", view.members().count(), members.collect::<String>())
            }
            other => console::unknown(other, COMMANDS),
        }
    }
}

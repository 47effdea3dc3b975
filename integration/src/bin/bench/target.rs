//! What the bench measures: which processes stand behind each name, and the goals for each.

use std::fmt;

use clap::ValueEnum;
use holdline_integration::harness::{Cluster, ClusterOptions};
use serde::Serialize;

/// A set of server processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    /// SIPp's own UAS, which must come out at 1: a check of the bench itself.
    Sipp,
    /// One node by itself.
    Uas,
    /// Two nodes: what one answers, the other holds a copy of before the 2xx leaves.
    UasReplicated,
}

impl Target {
    /// The most CPU per call that is wanted, in xUAS, all processes together.
    pub(crate) fn goal_xuas(self) -> Option<f64> {
        match self {
            Target::Sipp => None,
            Target::Uas => Some(1.0),
            Target::UasReplicated => Some(1.7),
        }
    }

    /// The most resident memory that is wanted for each held dialog on its owner, in bytes.
    pub(crate) fn goal_dialog_bytes(self) -> Option<f64> {
        match self {
            Target::Sipp => None,
            Target::Uas | Target::UasReplicated => Some(2_500.0),
        }
    }

    /// Its nodes, without a balancer: callers send to the first.
    pub(crate) fn cluster(self) -> Option<Cluster> {
        let nodes = match self {
            Target::Sipp => return None,
            Target::Uas => 1,
            Target::UasReplicated => 2,
        };
        let options = ClusterOptions { nodes, balancer: false, alone: nodes == 1, ..ClusterOptions::new() };
        Some(Cluster::start(&format!("bench-{self}"), &options))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Target::Sipp => "sipp",
            Target::Uas => "uas",
            Target::UasReplicated => "uas-replicated",
        })
    }
}

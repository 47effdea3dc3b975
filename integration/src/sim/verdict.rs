//! What a run showed.

use std::collections::BTreeMap;

use holdline_cluster::id::{Epoch, NodeId, Shard};
use holdline_sip::wire::{Message, Method, StatusCode};

/// The result of a run.
#[derive(Debug, Default, Clone)]
pub struct Verdict {
    /// Calls whose caller got a 2xx.
    pub confirmed: usize,
    /// Of these, those that a survivor took over.
    pub taken_over: usize,
    /// What must never be.
    pub violations: Vec<Violation>,
}

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A caller got a 2xx, and nobody answered its BYE.
    Lost {
        /// The call.
        call_id: String,
        /// What its BYE got instead.
        instead: Option<StatusCode>,
    },
    /// Two nodes owned a shard under one epoch.
    TwoOwners {
        /// The shard.
        shard: Shard,
        /// The epoch.
        epoch: Epoch,
    },
    /// Something was left when every call had ended.
    Leftover {
        /// Where.
        at: String,
        /// What.
        what: String,
    },
}

/// Keeps the books while a run goes on: what callers were told, and who claimed which epoch.
#[derive(Debug, Default)]
pub(super) struct Books {
    calls: BTreeMap<String, Call>,
    owners: BTreeMap<(Shard, Epoch), NodeId>,
    violations: Vec<Violation>,
}

#[derive(Debug, Default)]
struct Call {
    answered: bool,
    ended: bool,
    refused: Option<StatusCode>,
}

impl Books {
    /// A message reached a caller.
    pub(super) fn saw(&mut self, message: &Message) {
        match message {
            Message::Response(response) => {
                let call = self.calls.entry(response.call_id().to_owned()).or_default();
                match response.cseq().method {
                    Method::Invite if response.status().is_success() => call.answered = true,
                    Method::Bye if response.status().is_success() => call.ended = true,
                    Method::Bye if response.status().is_final() => call.refused = Some(response.status()),
                    _ => {}
                }
            }
            Message::Request(request) if *request.method() == Method::Bye => {
                self.calls.entry(request.call_id().to_owned()).or_default().ended = true;
            }
            Message::Request(_) => {}
        }
    }

    /// A node serves a shard under this epoch.
    pub(super) fn activated(&mut self, node: &NodeId, shard: Shard, epoch: &Epoch) {
        let owner = self.owners.entry((shard, epoch.clone())).or_insert_with(|| node.clone());
        if owner != node {
            self.violations.push(Violation::TwoOwners { shard, epoch: epoch.clone() });
        }
    }

    /// Something is left at the end.
    pub(super) fn leftover(&mut self, at: &str, what: String) {
        self.violations.push(Violation::Leftover { at: at.to_owned(), what });
    }

    pub(super) fn close(mut self, taken_over: usize) -> Verdict {
        for (call_id, call) in &self.calls {
            if call.answered && !call.ended {
                self.violations.push(Violation::Lost { call_id: call_id.clone(), instead: call.refused });
            }
        }
        let confirmed = self.calls.values().filter(|call| call.answered).count();
        Verdict { confirmed, taken_over, violations: self.violations }
    }
}

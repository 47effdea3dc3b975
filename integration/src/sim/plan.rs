//! What goes wrong in a run.

use std::time::Duration;

use holdline::Durability;

/// A kind of run: the load, the network and the fault.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name, as the replay command takes it.
    pub name: &'static str,
    /// What happens in the middle of it.
    pub fault: Fault,
    /// Share of SIP and gossip datagrams that are lost.
    pub loss: f64,
    /// What the nodes promise before a 2xx leaves.
    pub durability: Durability,
    /// Calls placed.
    pub calls: u32,
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// One dies for good.
    Crash,
    /// One dies and comes back under its name after this long.
    Restart(Duration),
}

impl Plan {
    /// One node dies while calls are up and being set up.
    pub const CRASH: Self =
        Self { name: "crash", fault: Fault::Crash, loss: 0.0, durability: Durability::Acked, calls: 24 };
    /// One datagram in twenty is lost; nobody dies.
    pub const LOSS: Self = Self { name: "loss", fault: Fault::None, loss: 0.05, ..Self::CRASH };
    /// One node dies and comes back a second later, with what it had forgotten.
    pub const RESTART: Self =
        Self { name: "restart", fault: Fault::Restart(Duration::from_secs(1)), loss: 0.01, ..Self::CRASH };

    /// All of them, and what their names are.
    pub const ALL: [Self; 3] = [Self::CRASH, Self::LOSS, Self::RESTART];
}

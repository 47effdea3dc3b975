//! Membership, placement, ownership and replication as pure cores, and the links that carry them.
//!
//! The cores know no socket, clock, randomness or task. They share four verbs: `handle_*(now, input)`,
//! `handle_timeout(now)`, `poll_timeout()` and `poll_effect()`. The drivers (feature `link`) run them.
//!
//! The cluster moves opaque bytes under a [`Key`](id::Key); it knows nothing of SIP.

/// A moment: time since the UNIX epoch.
///
/// A driver anchors it once at start to the wall clock and then advances it by the monotonic clock.
pub type Timestamp = std::time::Duration;

pub mod engine;
pub mod id;
pub mod membership;
pub mod own_ids;
pub mod ownership;
pub mod placement;
pub mod replication;
pub mod view;

#[cfg(feature = "link")]
pub mod gossip;
#[cfg(feature = "link")]
pub mod key;
#[cfg(feature = "link")]
pub mod link;
#[cfg(feature = "link")]
pub mod service;

//! The transaction layer as its users see it: schedules, matching, bounds and properties, on a virtual clock.

// A test that can not go on panics.
#![allow(clippy::unwrap_used)]

mod bounds;
mod client;
mod kit;
mod properties;
mod schedules;
mod server;

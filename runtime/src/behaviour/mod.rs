//! Behaviours that need no code: what `holdline node` runs.

mod uas;

pub use uas::Uas;

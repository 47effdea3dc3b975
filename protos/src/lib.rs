//! Holdline's wire and snapshot formats: protobuf messages, generated from `proto/` and committed.
//!
//! The generated file is compared with a fresh generation by `cargo test -p holdline-protos`;
//! `UPDATE=1 cargo test -p holdline-protos` rewrites it. No `protoc` is needed.

/// Version 1 of every format.
pub mod v1 {
    #![allow(missing_docs, reason = "generated: the documentation is the comments of the .proto files")]
    include!("generated/holdline.v1.rs");
}

pub use prost::{DecodeError, Message};

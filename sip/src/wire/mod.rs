//! The wire format: messages over shared bytes, typed lazily, copied and edited verbatim.

mod build;
mod cseq;
mod edit;
mod error;
mod header;
mod headers;
mod host;
mod key;
mod lex;
mod message;
mod method;
mod name_addr;
mod params;
mod peek;
mod raw;
mod reply;
mod scan;
mod status;
mod uri;
mod uri_eq;
mod via;

pub use build::{RequestBuilder, ResponseBuilder};
pub use cseq::CSeq;
pub use edit::{RequestEdit, ResponseEdit};
pub use error::{ErrorKind, ParseError};
pub use header::{HeaderKey, HeaderName};
pub use host::Host;
pub use message::{Header, Message, Request, Response};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::{ParamIter, Params};
pub use peek::{Peek, peek};
pub use status::StatusCode;
pub use uri::{Scheme, Uri};
pub use via::Via;

/// The longest message taken: what a UDP datagram can hold.
pub const MESSAGE_BYTES_MAX: usize = 65_535;

/// The most header lines taken; a call through 70 proxies has fewer, and look-ups stay short.
pub const HEADERS_MAX: usize = 256;

/// What every branch starts with that is unique by itself (RFC 3261 §8.1.1.7).
pub const BRANCH_COOKIE: &str = "z9hG4bK";

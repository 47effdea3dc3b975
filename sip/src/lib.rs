//! SIP for Holdline: the wire format, transactions and dialogs as pure cores, and the transports that drive them.
//!
//! Nothing outside [`transport`](crate) opens a socket, reads a clock or asks for randomness: time comes in as a
//! [`Timestamp`], bytes come in as [`bytes::Bytes`], and what has to happen comes out as effects.
//!
//! ```
//! use bytes::Bytes;
//! use holdline_sip::wire::{Message, Method};
//!
//! let datagram = Bytes::from_static(
//!     b"OPTIONS sip:example.com SIP/2.0\r\n\
//!       Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK7\r\n\
//!       f: <sip:ann@example.org>;tag=a\r\n\
//!       t: <sip:example.com>\r\n\
//!       i: 1@example.org\r\n\
//!       CSeq: 1 OPTIONS\r\n\r\n",
//! );
//! let Message::Request(request) = Message::parse(datagram)? else { panic!("a request") };
//! assert_eq!(request.method(), &Method::Options);
//! assert_eq!(request.from_tag(), Some("a"));
//! # Ok::<(), holdline_sip::wire::ParseError>(())
//! ```

pub mod dialog;
mod flow;
#[cfg(feature = "rsip")]
pub mod rsip;
pub mod transaction;
#[cfg(feature = "transport")]
pub mod transport;
pub mod wire;

pub use flow::{Flow, Ingress, Transport, UnknownTransport};

/// A moment, as the time since the UNIX epoch; drivers anchor it once and then advance it monotonically.
pub type Timestamp = std::time::Duration;

//! Holdline: SIP services whose calls survive the death of a node.
//!
//! Write a [`DialogHandler`], start a [`Node`]. Each dialog is an actor; its state is replicated to peers before its
//! answer leaves; when its node dies, a survivor goes on with it: timers, application data and all.
//!
//! ```no_run
//! use holdline::{Dialog, DialogHandler, Node, Request, Result};
//!
//! struct Answer;
//!
//! impl DialogHandler for Answer {
//!     type Data = ();
//!     type Msg = ();
//!
//!     async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, _invite: &Request) -> Result {
//!         dialog.answer(None)
//!     }
//! }
//!
//! # async fn run() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder(Answer)
//!     .udp("127.0.0.1:5061".parse()?)
//!     .join("n1", "127.0.0.1:7001".parse()?, ["127.0.0.1:7001", "127.0.0.1:7002"])
//!     .start()
//!     .await?;
//! node.ready().await;
//! # Ok(())
//! # }
//! ```
//!
//! Logs are `tracing` events; filter `ractor=warn,ractor_cluster=warn`, else each actor costs a span and payloads are logged.

mod actor;
pub mod balancer;
pub mod behaviour;
mod call;
mod commit;
pub mod config;
mod dialog;
mod dialog_ref;
mod handler;
#[doc(hidden)] // For the simulator; no promise of stability.
pub mod lane;
#[doc(hidden)]
pub mod limits;
mod node;
mod recovery;
#[doc(hidden)]
pub mod routing;
#[doc(hidden)]
pub mod step;

pub use call::Call;
pub use dialog::Dialog;
pub use dialog_ref::{DialogRef, UseError};
pub use handler::{DialogData, DialogHandler, HandlerError, Result};
pub use node::{Node, NodeBuilder, StartError, Stats};

pub use holdline_cluster::engine::Durability;
pub use holdline_cluster::id::{NodeId, NodeNameError};
pub use holdline_cluster::key::{ClusterKey, KeyError};
pub use holdline_cluster::service::{ClusterConfig, ClusterStats, StartError as ClusterError};
pub use holdline_cluster::view::{Member, View};
pub use holdline_protos::v1::{DialogInfo, DialogRole, DialogState};
pub use holdline_sip::dialog::{Body, DialogId, Ended, Role, State};
pub use holdline_sip::wire::{HeaderName, Method, Request, Response, StatusCode, Uri};
pub use lane::Counts;

//! Every bound of the runtime, with its reason; each is counted where it bites.

use std::time::Duration;

/// Requests held for a shard that is about to become ours: one second of in-dialog requests of a dead peer.
pub const HELD_REQUESTS_MAX: usize = 1_024;
/// A held request is dropped after this long: a UDP client has sent it again by then (T1 is 500 ms).
pub const HELD_REQUEST_TTL: Duration = Duration::from_secs(1);
/// Messages on their way to another thread of the same process; above it datagrams are dropped like the kernel would.
pub const INBOX_MAX: usize = 65_536;
/// Inputs that wait for an actor which is being started or busy; above it requests of that dialog are dropped.
pub const DIALOG_DEPTH_MAX: u32 = 256;
/// Server and client transactions of one lane; new calls get 503 above it.
pub const TRANSACTIONS_PER_LANE_MAX: usize = 400_000;
/// Uses of remote `DialogRef`s waiting for their reply.
pub const CALLS_PENDING_MAX: usize = 16_384;
/// A remote `DialogRef` use fails when the owner has not replied after this long.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Dialogs recovered in the background per tick and lane: 20,000 a second at a 20 ms tick.
pub const RECOVERIES_PER_TICK: usize = 400;
/// A clock that stood still for longer than this says that the process was paused: shorter than any death is detected without
/// link evidence (ownership rule 8).
pub const PAUSE_MAX: Duration = Duration::from_millis(250);
/// After a pause a lane says nothing for this long: links come back in it, and tell of shards that went to others.
pub const FENCE: Duration = Duration::from_millis(800);
/// Host names being looked up at once, per lane; the requests that wait are a peer's choice.
pub const LOOKUPS_MAX: usize = 256;
/// A host name that is not found in this time has no address: a request waits for it.
pub const LOOKUP_MAX: Duration = Duration::from_secs(5);
/// Time between two looks at a busy SIP socket, unless told otherwise: half of it is what a message waits on average, and what comes
/// in it shares one wake-up and one frame to each replica. At 1,000 calls/s, 6 ms are some 20 messages.
pub const GAP: Duration = Duration::from_millis(6);
/// Longest such time: a fifth of T1, for a sender must have its answer long before it would send again (RFC 3261 §17.1.1.1).
pub const GAP_MAX: Duration = Duration::from_millis(100);
/// The tick of a lane's deadlines: the grain of every SIP timer here.
pub const TICK: Duration = Duration::from_millis(20);
/// The tick of a lane without a deadline: it must see a pause of [`PAUSE_MAX`] when it wakes.
pub const IDLE_TICK: Duration = Duration::from_millis(60);
/// Bytes of a dialog's snapshot, the application's data included, that are replicated: a quarter of the largest frame that a link
/// takes. A larger version stays on its node, and is counted.
pub const SNAPSHOT_BYTES_MAX: usize = 1 << 20;
/// Application timers of one dialog.
pub const TIMERS_PER_DIALOG_MAX: usize = 32;
/// A dialog whose actor failed is woken again after this long: what it had to do is not forgotten, and does not spin.
pub const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A terminated dialog taken over from a dead node answers retransmitted requests this long: 64·T1 (RFC 3261 §17.1.2.2).
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(32);

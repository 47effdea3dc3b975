//! A connected socket towards one node: unlike the public one it learns when nobody listens at the node any more.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use holdline_cluster::id::Shard;
use holdline_sip::Timestamp;
use holdline_sip::transport::BUFFER_BYTES;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::lane::{Lane, LaneHandle, lock};

/// How long ago a request may have been sent that an ICMP error is about: those of a local network take a millisecond.
const RECENT_FOR: Duration = Duration::from_millis(100);
/// Requests kept for that time; beyond 160 a second and port the oldest ones rely on their retransmission.
const RECENT_MAX: usize = 16;

/// A port that sends to one node only.
///
/// A refused datagram comes back as an ICMP message, which the kernel reports on connected sockets alone, and without
/// the datagram; so the last few requests are kept for a moment, to be sent to the node that inherits the shard.
pub(super) struct NodePort {
    socket: Arc<UdpSocket>,
    recent: VecDeque<(Timestamp, Sent)>,
    task: JoinHandle<()>,
}

/// A request on its way to a node.
pub(super) struct Sent {
    pub(super) shard: Shard,
    pub(super) spread: u16,
    pub(super) bytes: Bytes,
}

/// What became of a request.
pub(super) enum Outcome {
    Sent,
    /// The kernel's buffer is full; SIP's retransmission covers it.
    Lost,
    /// An earlier request was refused, and so this one was not sent.
    Refused(Sent),
}

impl NodePort {
    /// Opens a port towards `node` on the address of `public`, and listens on it for `lane`.
    pub(super) fn open(
        lane: &LaneHandle,
        public: SocketAddr,
        node: SocketAddr,
        slot: usize,
    ) -> io::Result<Self> {
        let from = match (public.ip(), node.ip()) {
            (ip @ IpAddr::V4(_), IpAddr::V4(_)) | (ip @ IpAddr::V6(_), IpAddr::V6(_)) => ip,
            (_, IpAddr::V4(_)) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            (_, IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = std::net::UdpSocket::bind((from, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(node)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let task = tokio::spawn(listen(Arc::downgrade(lane), Arc::clone(&socket), node, slot));
        Ok(Self { socket, recent: VecDeque::new(), task })
    }

    pub(super) fn send(&mut self, now: Timestamp, sent: Sent) -> Outcome {
        // Past tokio, which takes a new socket for unwritable until its driver has polled once.
        match SockRef::from(&*self.socket).send(&sent.bytes) {
            Ok(_) => {
                if self.recent.len() == RECENT_MAX {
                    self.recent.pop_front();
                }
                self.recent.push_back((now, sent));
                Outcome::Sent
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Outcome::Refused(sent),
            Err(_) => Outcome::Lost,
        }
    }

    /// The requests that an ICMP error received now may be about.
    pub(super) fn take_recent(&mut self, now: Timestamp) -> Vec<Sent> {
        let recent = std::mem::take(&mut self.recent);
        recent.into_iter().filter(|(at, _)| *at + RECENT_FOR >= now).map(|(_, sent)| sent).collect()
    }
}

impl Drop for NodePort {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for errors, and for what a node sends back to this port.
async fn listen(lane: Weak<Mutex<Lane>>, socket: Arc<UdpSocket>, node: SocketAddr, slot: usize) {
    while let Ok(ready) = socket.ready(Interest::READABLE | Interest::ERROR).await {
        let Some(lane) = lane.upgrade() else { return };
        if ready.is_error() && is_refused(&socket) {
            lock(&lane).handle_refused(&lane, node, slot);
        }
        if !ready.is_readable() {
            continue;
        }
        // What comes here is rare: no 64 KiB per port are kept for it.
        let mut buffer = vec![0; BUFFER_BYTES];
        match socket.try_recv(&mut buffer) {
            Ok(length) => lock(&lane).handle_stray(&lane, Bytes::copy_from_slice(&buffer[..length]), node),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                lock(&lane).handle_refused(&lane, node, slot);
            }
            Err(_) => {}
        }
    }
}

/// Takes the socket's pending error; whether it is a refusal.
fn is_refused(socket: &UdpSocket) -> bool {
    let error = socket.take_error();
    // No operation waits for errors, so nothing else would tell tokio that this one is seen.
    let _ = socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    matches!(error, Ok(Some(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}

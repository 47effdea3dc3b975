//! UDP: one non-blocking socket, shared by port with the sockets of other cores if asked, that no peer can bring down.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};

/// A bound UDP socket. Datagrams are taken from it by [`Arrivals`](super::Arrivals).
#[derive(Debug)]
pub struct UdpTransport {
    socket: UdpSocket,
    local: SocketAddr,
    counts: Counts,
}

/// Size in bytes of the receive buffer to pass in: no datagram is longer.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// Kernel buffer asked for, in bytes: 4 MiB hold a burst of some 4,000 INVITEs while a core is busy.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Datagrams and errors passed over in one `try_recv`, so that a flood of either can not keep it from returning.
const SKIPPED_MAX: usize = 64;

impl UdpTransport {
    /// Binds to `addr`; with `reuse_port` several sockets share it and the kernel spreads the peers over them.
    pub fn bind(addr: SocketAddr, reuse_port: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            // Otherwise "[::]" would also take IPv4, and peers would show up with mapped addresses.
            socket.set_only_v6(true)?;
        }
        #[cfg(unix)]
        socket.set_reuse_port(reuse_port)?;
        #[cfg(not(unix))]
        let _ = reuse_port;
        // Best effort: the kernel caps it by its own limit.
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES).ok();
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        let socket = UdpSocket::from(socket);
        let local = socket.local_addr()?;
        Ok(UdpTransport { socket, local, counts: Counts::default() })
    }

    /// The address it is bound to, with the port the kernel chose if none was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// For the reactor to watch.
    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The next datagram, copied once out of `buffer`; [`ErrorKind::WouldBlock`] if there is none now,
    /// [`ErrorKind::Interrupted`] if too many in a row were not SIP.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(Bytes, SocketAddr)> {
        for _ in 0..SKIPPED_MAX {
            match self.socket.recv_from(buffer) {
                Ok((length, remote)) => {
                    let datagram = &buffer[..length];
                    if is_keep_alive(datagram) {
                        bump(&self.counts.keep_alives);
                        continue;
                    }
                    bump(&self.counts.received);
                    return Ok((Bytes::copy_from_slice(datagram), remote));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                // An ICMP error of an earlier send, reported here without its address: the socket itself is well.
                Err(_) => bump(&self.counts.receive_errors),
            }
        }
        Err(ErrorKind::Interrupted.into())
    }

    /// Sends one datagram, or says why not; nothing is queued.
    pub fn try_send(&self, bytes: &Bytes, remote: SocketAddr) -> SendOutcome {
        let mut result = self.socket.send_to(bytes, remote);
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            // The kernel reports an earlier datagram's ICMP error on this call, which then has sent nothing.
            bump(&self.counts.send_errors);
            result = self.socket.send_to(bytes, remote);
        }
        match result {
            Ok(_) => {
                bump(&self.counts.sent);
                SendOutcome::Sent
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                bump(&self.counts.dropped);
                SendOutcome::WouldBlock
            }
            Err(error) => {
                bump(&self.counts.send_errors);
                SendOutcome::Error { remote, kind: error.kind() }
            }
        }
    }

    /// What has happened since it was bound.
    pub fn counters(&self) -> UdpCounters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        UdpCounters {
            received: read(&self.counts.received),
            sent: read(&self.counts.sent),
            keep_alives: read(&self.counts.keep_alives),
            dropped: read(&self.counts.dropped),
            receive_errors: read(&self.counts.receive_errors),
            send_errors: read(&self.counts.send_errors),
        }
    }
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum SendOutcome {
    /// The kernel has it.
    Sent,
    /// The kernel's buffer is full; the datagram is dropped and counted, and SIP's retransmission covers it.
    WouldBlock,
    /// It can not be sent to this address: a transport error for its transactions.
    Error {
        /// The address.
        remote: SocketAddr,
        /// What the kernel said.
        kind: ErrorKind,
    },
}

/// Totals of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounters {
    /// Datagrams handed out.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Keep-alives passed over.
    pub keep_alives: u64,
    /// Datagrams dropped because the kernel's buffer was full.
    pub dropped: u64,
    /// Errors on receiving.
    pub receive_errors: u64,
    /// Errors on sending.
    pub send_errors: u64,
}

#[derive(Debug, Default)]
struct Counts {
    received: AtomicU64,
    sent: AtomicU64,
    keep_alives: AtomicU64,
    dropped: AtomicU64,
    receive_errors: AtomicU64,
    send_errors: AtomicU64,
}

fn bump(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// RFC 5626 §3.5 (CRLF, STUN) and the empty or blank datagrams some phones send. A STUN message starts with a byte
/// below 4 (RFC 7983), no SIP message does.
fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram.first().is_none_or(|first| *first < 4) || datagram.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests;

//! Making connections: the acceptor, the dialler, and the probe that proves a death.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

use super::name::ProcessName;
use super::stream::{Handle, LinkStream};
use super::tls::{HandshakeError, LinkTls, Tls};
use super::{Event, Trouble};

/// Handshakes at a time on the accepting side; connections beyond are closed at once.
const PENDING_MAX: usize = 64;
/// A peer on the same network answers or refuses much sooner.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// After a failed `accept` (no file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks whether a port is closed.
const PROBE_GAP: Duration = Duration::from_millis(5);
/// Looks at a port before its owner counts as alive.
const PROBES_MAX: u32 = 4;

/// What every connection of this process needs.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) tls: LinkTls,
    pub(super) events: UnboundedSender<Event>,
    pub(super) numbers: Arc<AtomicU64>,
}

impl Connector {
    /// Accepts for ever. A task per connection: a silent client must not hold up the others.
    pub(super) async fn accept(self, listener: TcpListener) {
        let pending = Arc::new(Semaphore::new(PENDING_MAX));
        loop {
            let (tcp, addr) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "accepting a link failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&pending).try_acquire_owned() else {
                tracing::debug!(%addr, "too many handshakes, connection closed");
                continue;
            };
            let connector = self.clone();
            tokio::spawn(async move {
                let _permit = permit;
                let event = match connector.tls.accept(tcp).await {
                    Ok(verified) => Event::Accepted(connector.stream(verified, addr)),
                    // A prober looking whether we live, or a port scan.
                    Err(HandshakeError::Closed) => return,
                    Err(error) => Event::Trouble(Trouble::Accept { from: addr.ip(), error }),
                };
                // The links are gone only when the process ends.
                let _ = connector.events.send(event);
            });
        }
    }

    /// Connects to `peer`, which its member record says is at `addr`.
    pub(super) async fn dial(self, peer: ProcessName, addr: SocketAddr) {
        let result = match connect(addr).await {
            Ok(tcp) => self.tls.connect(tcp).await.map(|verified| self.stream(verified, addr)),
            Err(error) => Err(HandshakeError::Connect(error)),
        };
        let _ = self.events.send(Event::Dialled { peer, addr, result });
    }

    /// Looks whether the process behind a link that broke is dead, and says so if it is.
    pub(super) async fn probe(self, peer: ProcessName, addr: SocketAddr) {
        if refused_twice(addr).await {
            let _ = self.events.send(Event::Dead(peer));
        }
    }

    fn stream(&self, (tls, peer): (Tls, ProcessName), addr: SocketAddr) -> LinkStream {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        LinkStream { tls, peer, addr, number, handle: Handle::default() }
    }
}

/// Two refusals in a row: only a live kernel of a dead process refuses. A stopped process, a lost host and a full
/// backlog stay silent, and one refusal may be a listener on its way up or down.
async fn refused_twice(addr: SocketAddr) -> bool {
    let mut refused = 0;
    for probe in 0..PROBES_MAX {
        if probe > 0 {
            tokio::time::sleep(PROBE_GAP).await;
        }
        match connect(addr).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => refused += 1,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return false,
            _ => refused = 0,
        }
        if refused == 2 {
            return true;
        }
    }
    false
}

async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    tokio::time::timeout(CONNECT_MAX, TcpStream::connect(addr))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn a_closed_port_is_evidence_and_an_open_one_is_not() {
        runtime().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            assert!(!refused_twice(addr).await, "alive, even if it never accepts");
            drop(listener);
            assert!(refused_twice(addr).await);
        });
    }
}

//! When to look at a socket: at once after a pause, and every few milliseconds while datagrams keep coming.
//!
//! A wake-up costs as much as the work on the datagram it is for, so a busy socket is taken from the kernel's watch and
//! looked at by the clock until it is found empty, as Linux' network drivers do with their interrupts (NAPI).

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::UdpTransport;
use super::watch::Watch;

/// The receiving end of a [`UdpTransport`]: wait, then take datagrams until there are no more.
///
/// ```
/// # use std::time::Duration;
/// # use holdline_sip::transport::{Arrivals, BUFFER_BYTES, UdpTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let transport = UdpTransport::bind("127.0.0.1:0".parse().unwrap(), false)?;
/// # let _ = transport.try_send(&"OPTIONS".into(), transport.local_addr());
/// let mut arrivals = Arrivals::new(&transport, Duration::from_millis(5));
/// let mut buffer = vec![0; BUFFER_BYTES];
/// arrivals.wait().await?;
/// while let Some((datagram, from)) = arrivals.try_recv(&mut buffer) {
///     println!("{} octets from {from}", datagram.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Arrivals<'a> {
    transport: &'a UdpTransport,
    gap: Duration,
    /// The kernel's watch, while it is on; else the clock says when to look.
    watch: Option<Watch<'a>>,
    clock: Pin<Box<Sleep>>,
    looked: Instant,
    /// Datagrams of this look.
    found: u32,
}

/// What one look should find at most: with more, the next comes sooner. So many INVITEs fit into the receive buffer that Linux
/// gives who may not have a larger one (212,992 octets, some 1,300 for a datagram).
const FOUND: u32 = 128;

impl<'a> Arrivals<'a> {
    /// Two looks that the kernel asks for within `gap` make the socket a busy one, which is then looked at each `gap`; zero
    /// leaves it to the kernel. Must be called inside a tokio runtime.
    pub fn new(transport: &'a UdpTransport, gap: Duration) -> Self {
        let looked = Instant::now();
        let clock = Box::pin(sleep_until(looked));
        Self { transport, gap, watch: Watch::on(transport.socket()).ok(), clock, looked, found: 0 }
    }

    /// Waits until it is time to look; may be dropped and called again. An error says that the runtime is ending.
    pub async fn wait(&mut self) -> io::Result<()> {
        match &self.watch {
            Some(watch) => watch.readable().await,
            None => {
                self.clock.as_mut().await;
                Ok(())
            }
        }
    }

    /// The next datagram, copied once out of `buffer`; `None` if there is none now, or if too many in a row were not SIP
    /// (then [`wait`](Self::wait) returns at once).
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Option<(Bytes, SocketAddr)> {
        let transport = self.transport;
        let received = match &self.watch {
            Some(watch) => watch.try_io(|| transport.receive(buffer)),
            None => transport.receive(buffer),
        };
        match received {
            Ok(received) => {
                self.found += 1;
                Some(received)
            }
            Err(error) => {
                if error.kind() == ErrorKind::WouldBlock {
                    self.drained(Instant::now());
                }
                None
            }
        }
    }

    /// The look is over.
    fn drained(&mut self, now: Instant) {
        match self.watch {
            Some(_) if now - self.looked < self.gap => self.watch = None,
            // Without a descriptor left for it the clock goes on.
            None if self.found == 0 => self.watch = Watch::on(self.transport.socket()).ok(),
            _ => {}
        }
        if self.watch.is_none() {
            self.clock.as_mut().reset(now + self.gap * FOUND / self.found.max(FOUND));
        }
        self.looked = now;
        self.found = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BUFFER_BYTES, SendOutcome};
    use super::*;

    const GAP: Duration = Duration::from_millis(200);

    fn bind() -> UdpTransport {
        UdpTransport::bind("127.0.0.1:0".parse().unwrap(), false).unwrap()
    }

    fn send(transport: &UdpTransport, text: &'static str) {
        assert_eq!(transport.try_send(&text.into(), transport.local_addr()), SendOutcome::Sent);
    }

    /// Waits, and takes all there is.
    async fn look(arrivals: &mut Arrivals<'_>) -> Vec<Bytes> {
        arrivals.wait().await.unwrap();
        let mut buffer = vec![0; BUFFER_BYTES];
        std::iter::from_fn(|| arrivals.try_recv(&mut buffer).map(|(datagram, _)| datagram)).collect()
    }

    #[tokio::test]
    async fn a_busy_socket_is_looked_at_by_the_clock_until_it_is_found_empty() {
        let transport = bind();
        let mut arrivals = Arrivals::new(&transport, GAP);
        let mut now = arrivals.looked;
        // Time since the look before, datagrams found, and in how long the clock says to look; by the kernel where it does not.
        let looks = [
            (GAP, 1, None),
            (GAP * 9 / 10, 1, Some(GAP)),
            (GAP, 1, Some(GAP)),
            (GAP, FOUND, Some(GAP)),
            (GAP, FOUND * 4, Some(GAP / 4)),
            (GAP / 4, 1, Some(GAP)),
            (GAP, 0, None),
            (GAP, 1, None),
        ];
        for (index, (since, found, next)) in looks.into_iter().enumerate() {
            now += since;
            arrivals.found = found;
            arrivals.drained(now);
            let clock = arrivals.watch.is_none().then(|| arrivals.clock.deadline() - now);
            assert_eq!(clock, next, "look {index}");
        }
    }

    #[tokio::test]
    async fn the_clock_brings_all_that_came_since() {
        let transport = bind();
        let mut arrivals = Arrivals::new(&transport, GAP);
        arrivals.drained(arrivals.looked);
        assert!(arrivals.watch.is_none());
        send(&transport, "third");
        send(&transport, "fourth");
        assert_eq!(look(&mut arrivals).await, ["third", "fourth"]);
    }

    #[tokio::test]
    async fn what_comes_before_the_kernel_watches_again_is_not_forgotten() {
        let transport = bind();
        let mut arrivals = Arrivals::new(&transport, GAP);
        arrivals.watch = None;
        arrivals.drained(Instant::now());
        send(&transport, "early");
        assert_eq!(look(&mut arrivals).await, ["early"]);
    }

    #[tokio::test]
    async fn without_a_gap_the_kernel_watches_for_good() {
        let transport = bind();
        let mut arrivals = Arrivals::new(&transport, Duration::ZERO);
        for text in ["one", "two", "three"] {
            send(&transport, text);
            assert_eq!(look(&mut arrivals).await, [text]);
            assert!(arrivals.watch.is_some());
        }
    }
}

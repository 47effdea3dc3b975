//! A verified TLS connection as the byte stream of a `ractor_cluster` session: idle deadline, linked halves, cause of death.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::name::ProcessName;
use super::tls::Tls;

/// A peer sends a heartbeat every 500 ms; four missed and the link counts as dead (a stopped process, a cut cable).
pub(super) const IDLE_MAX: Duration = Duration::from_secs(2);

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The peer's kernel closed or reset it: its process is gone, or closed the link.
    Closed,
    /// Nothing came for [`IDLE_MAX`].
    Idle,
    /// We closed it.
    Local,
}

/// Shared by both halves of a stream and by us: closes it, and says why it ended.
///
/// ractor_cluster leaks the writer of a session that is stopped, with all that is queued for it; so we never stop a
/// session but close its stream, and the end of one half fails the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Handle(Arc<Mutex<End>>);

#[derive(Debug, Default)]
struct End {
    cause: Option<Cause>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Handle {
    /// Ends the stream from outside.
    pub(super) fn close(&self) {
        self.end(Cause::Local);
    }

    /// Why it ended; a stream whose session ended by itself was closed by us.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.lock().cause
    }

    fn end(&self, cause: Cause) {
        let mut end = self.lock();
        end.cause.get_or_insert(cause);
        for waker in [end.reader.take(), end.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection whose peer has proven its key and its name.
pub(crate) struct LinkStream {
    pub(super) tls: Tls,
    pub(super) peer: ProcessName,
    pub(super) addr: SocketAddr,
    /// Tells this stream from all others of this process.
    pub(super) number: u64,
    pub(super) handle: Handle,
}

impl ClusterBidiStream for LinkStream {
    /// Comes back in every event of the session: so the session's events find their stream and its verified name.
    fn peer_label(&self) -> Option<String> {
        Some(label(self.number, &self.peer))
    }

    fn local_label(&self) -> Option<String> {
        Some(self.addr.to_string())
    }

    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = tokio::io::split(self.tls);
        let reader = Reader {
            inner: read,
            last: Instant::now(),
            deadline: Box::pin(tokio::time::sleep(IDLE_MAX)),
            handle: self.handle.clone(),
        };
        (Box::new(reader), Box::new(Writer { inner: write, handle: self.handle }))
    }
}

pub(super) fn label(number: u64, peer: &ProcessName) -> String {
    format!("{number}/{peer}")
}

/// The number in a label.
pub(super) fn number_of(label: &str) -> Option<u64> {
    label.split_once('/')?.0.parse().ok()
}

struct Reader<R> {
    inner: R,
    last: Instant,
    deadline: Pin<Box<Sleep>>,
    handle: Handle,
}

impl<R> Drop for Reader<R> {
    fn drop(&mut self) {
        self.handle.end(Cause::Local);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Reader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        {
            let mut end = self.handle.lock();
            if end.cause.is_some() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            end.reader = Some(cx.waker().clone());
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                self.last = Instant::now();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(ended) => {
                self.handle.end(Cause::Closed);
                Poll::Ready(ended)
            }
            // The timer is only moved when it fires: moving it for each read would cost more than the read.
            Poll::Pending => loop {
                if self.deadline.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let until = self.last + IDLE_MAX;
                if until <= Instant::now() {
                    self.handle.end(Cause::Idle);
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                self.deadline.as_mut().reset(until);
            },
        }
    }
}

struct Writer<W> {
    inner: W,
    handle: Handle,
}

impl<W> Writer<W> {
    /// An error once the stream has ended; else whoever ends it wakes us.
    fn alive(&self, cx: &Context<'_>) -> io::Result<()> {
        let mut end = self.handle.lock();
        if end.cause.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        end.writer = Some(cx.waker().clone());
        Ok(())
    }
}

impl<W> Drop for Writer<W> {
    fn drop(&mut self) {
        self.handle.end(Cause::Local);
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Writer<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.alive(cx)?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive(cx)?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn halves(
        inner: tokio::io::DuplexStream,
    ) -> (impl AsyncReadExt + Unpin, impl AsyncWriteExt + Unpin, Handle) {
        let (read, write) = tokio::io::split(inner);
        let handle = Handle::default();
        let deadline = Box::pin(tokio::time::sleep(IDLE_MAX));
        let reader = Reader { inner: read, last: Instant::now(), deadline, handle: handle.clone() };
        (reader, Writer { inner: write, handle: handle.clone() }, handle)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_ends_the_stream_and_a_talking_one_does_not() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let (mut reader, _writer, handle) = halves(ours);
        let talker = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(IDLE_MAX * 3 / 4).await;
                theirs.write_all(b"x").await.unwrap();
            }
            theirs // stays open, but silent
        });
        for _ in 0..10 {
            assert_eq!(reader.read_u8().await.unwrap(), b'x');
        }
        let silent_since = Instant::now();
        assert_eq!(reader.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(silent_since.elapsed() <= IDLE_MAX + Duration::from_millis(1));
        assert_eq!(handle.cause(), Some(Cause::Idle));
        drop(talker.await);
    }

    #[tokio::test]
    async fn the_end_of_the_reader_frees_a_writer_that_is_stuck() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let (reader, mut writer, _handle) = halves(ours);
        let stuck = tokio::spawn(async move { writer.write_all(&[0; 64]).await });
        tokio::task::yield_now().await;
        drop(reader);
        assert_eq!(stuck.await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn closing_from_outside_wakes_the_reader_and_the_cause_tells_who_ended_it() {
        let (ours, theirs) = tokio::io::duplex(8);
        let (mut reader, _writer, handle) = halves(ours);
        let reading = tokio::spawn(async move { reader.read_u8().await });
        tokio::task::yield_now().await;
        handle.close();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(handle.cause(), Some(Cause::Local));
        drop(theirs);

        let (ours, theirs) = tokio::io::duplex(8);
        let (mut reader, _writer, handle) = halves(ours);
        drop(theirs);
        assert!(reader.read_u8().await.is_err());
        assert_eq!(handle.cause(), Some(Cause::Closed));
    }

    #[test]
    fn a_label_gives_the_number_back() {
        let peer: ProcessName = "n1#5".parse().unwrap();
        assert_eq!(label(42, &peer), "42/n1#5");
        assert_eq!(number_of("42/n1#5"), Some(42));
        assert_eq!(number_of("external"), None);
    }
}

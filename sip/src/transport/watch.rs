//! The kernel's watch over a socket, by the reactor of the runtime it is set up in, for as long as it lives.

use std::io;
use std::net::UdpSocket;

/// For reading only: a reactor that also waits for room to write is woken by every datagram that has left.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct Watch<'a>(tokio::io::unix::AsyncFd<std::os::fd::BorrowedFd<'a>>);

#[cfg(unix)]
impl<'a> Watch<'a> {
    #[allow(
        deprecated,
        reason = "unsound for types that close what they lend, which a BorrowedFd cannot; its successor is unsafe"
    )]
    pub(super) fn on(socket: &'a UdpSocket) -> io::Result<Self> {
        let socket = std::os::fd::AsFd::as_fd(socket);
        tokio::io::unix::AsyncFd::with_interest(socket, tokio::io::Interest::READABLE).map(Self)
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }

    /// Makes `readable` wait again if `read` would block.
    pub(super) fn try_io<T>(&self, read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.try_io(tokio::io::Interest::READABLE, |_| read())
    }
}

/// Elsewhere a second handle to the socket is watched.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Watch<'a>(tokio::net::UdpSocket, std::marker::PhantomData<&'a UdpSocket>);

#[cfg(not(unix))]
impl<'a> Watch<'a> {
    pub(super) fn on(socket: &'a UdpSocket) -> io::Result<Self> {
        Ok(Self(tokio::net::UdpSocket::from_std(socket.try_clone()?)?, std::marker::PhantomData))
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    pub(super) fn try_io<T>(&self, read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.try_io(tokio::io::Interest::READABLE, read)
    }
}

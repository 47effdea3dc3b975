//! A handler that panics ends its dialog's actor, not the dialog: an answered call goes on from its last snapshot.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::UdpSocket;
use std::time::Duration;

use bytes::Bytes;
use holdline::{Dialog, DialogHandler, Node, Request, Result};
use holdline_sip::wire::{Message, Method, Response};

/// Answers calls, and panics on every INFO.
struct Clumsy;

impl DialogHandler for Clumsy {
    type Data = ();
    type Msg = ();

    async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, _: &Request) -> Result {
        dialog.answer(None)
    }

    async fn on_request(&self, _: &mut Dialog<'_, Self>, request: &Request) -> Result {
        assert_ne!(*request.method(), Method::Info, "this handler cannot stand an INFO");
        Ok(())
    }
}

/// A caller on a socket of its own.
struct Caller {
    socket: UdpSocket,
    to_tag: String,
}

impl Caller {
    fn send(&self, method: &str, branch: u32, cseq: u32) {
        let me = self.socket.local_addr().unwrap();
        let tag = if self.to_tag.is_empty() { String::new() } else { format!(";tag={}", self.to_tag) };
        let text = format!(
            "{method} sip:bob@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:ann@{me}>;tag=ann\r\nTo: <sip:bob@127.0.0.1>{tag}\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:ann@{me}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.socket.send(text.as_bytes()).unwrap();
    }

    /// The next final response.
    fn response(&self) -> Response {
        let mut buffer = [0; 4_096];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap();
            match Message::parse(Bytes::copy_from_slice(&buffer[..length])).unwrap() {
                Message::Response(response) if response.status().is_final() => return response,
                _ => {}
            }
        }
    }
}

#[test]
fn an_answered_call_outlives_its_handlers_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = runtime.block_on(Node::builder(Clumsy).udp(free).start()).unwrap();

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(free).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut caller = Caller { socket, to_tag: String::new() };
    caller.send("INVITE", 1, 1);
    let answer = caller.response();
    assert_eq!(answer.status().code(), 200);
    caller.to_tag = answer.to_tag().unwrap().to_owned();
    caller.send("ACK", 2, 1);

    caller.send("INFO", 3, 2);
    // The BYE that comes right behind may meet the dying actor: a caller sends it again after T1.
    caller.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let bye = (0..20).find_map(|_| {
        caller.send("BYE", 4, 3);
        let mut buffer = [0; 4_096];
        let length = caller.socket.recv(&mut buffer).ok()?;
        Some(Response::parse(Bytes::copy_from_slice(&buffer[..length])).unwrap())
    });
    let bye = bye.expect("the BYE is answered");
    assert_eq!((bye.status().code(), bye.cseq().method), (200, Method::Bye));
    runtime.block_on(node.shutdown());
}

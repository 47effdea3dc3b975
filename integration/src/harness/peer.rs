//! A scripted SIP peer on a plain UDP socket: it does what a test says and nothing by itself.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdline_sip::wire::{Message, Method, Request, Response, StatusCode};

use super::dialog::Call;
use super::port::free_address;

/// The largest UDP payload.
const DATAGRAM: usize = 65_535;
/// RFC 3261 §17.1.1.1, T1: how long a request waits before it is sent again.
const T1: Duration = Duration::from_millis(500);
/// How long a call may take to be answered.
const ANSWER: Duration = Duration::from_secs(10);

/// A message that the peer received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// Where it came from.
    pub source: SocketAddr,
    /// When.
    pub at: Instant,
}

/// A SIP user agent without any behaviour of its own.
#[derive(Debug)]
pub struct Peer {
    socket: UdpSocket,
    address: SocketAddr,
    /// Received while something else was waited for.
    inbox: VecDeque<Received>,
    started: Instant,
    transcript: Vec<String>,
}

impl Peer {
    /// A peer on a free loopback address.
    #[track_caller]
    pub fn bind() -> Peer {
        let address = free_address();
        let socket = UdpSocket::bind(address)
            .unwrap_or_else(|error| panic!("the peer cannot bind {address}: {error}"));
        Peer { socket, address, inbox: VecDeque::new(), started: Instant::now(), transcript: Vec::new() }
    }

    /// Where it is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a message once.
    #[track_caller]
    pub fn send(&mut self, to: SocketAddr, bytes: &Bytes) {
        self.note("->", to, bytes);
        if let Err(error) = self.socket.send_to(bytes, to) {
            // An ICMP error of an earlier datagram: the other side was just killed, which is what tests do.
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "the peer cannot send to {to}: {error}");
        }
    }

    /// Sends `request` again and again, as RFC 3261 §17.1 says for UDP, until its final response comes; provisional ones are
    /// passed over, and stop an INVITE from being sent again.
    #[track_caller]
    pub fn transact(&mut self, to: SocketAddr, request: &Request, limit: Duration) -> Response {
        let start = Instant::now();
        let mut provisional = false;
        let mut interval = T1;
        let mut next_send = start;
        loop {
            let now = Instant::now();
            if now >= start + limit {
                panic!(
                    "no final response to {} within {limit:?}\n{}",
                    request.method().as_str(),
                    self.transcript()
                );
            }
            if now >= next_send && !(provisional && *request.method() == Method::Invite) {
                self.send(to, request.as_bytes());
                next_send = now + interval;
                interval *= 2;
            }
            let wait =
                next_send.min(start + limit).saturating_duration_since(now).max(Duration::from_millis(1));
            let Some(response) = self.response_to(request, wait) else { continue };
            if response.status().is_final() {
                return response;
            }
            provisional = true;
        }
    }

    /// The next response to `request` (same branch and method), if one comes within `limit`; what else comes is kept.
    pub fn response_to(&mut self, request: &Request, limit: Duration) -> Option<Response> {
        let found = self.take(limit, |message| match message {
            Message::Response(response) => {
                response.branch() == request.branch() && response.cseq().method == request.cseq().method
            }
            Message::Request(_) => false,
        })?;
        match found.message {
            Message::Response(response) => Some(response),
            Message::Request(_) => None,
        }
    }

    /// The next request with `method`, which must come within `limit`; what else comes is kept.
    #[track_caller]
    pub fn expect_request(&mut self, method: &Method, limit: Duration) -> (Request, SocketAddr) {
        let wanted =
            |message: &Message| matches!(message, Message::Request(request) if request.method() == method);
        match self.take(limit, wanted) {
            Some(Received { message: Message::Request(request), source, .. }) => (request, source),
            _ => panic!("no {} within {limit:?}\n{}", method.as_str(), self.transcript()),
        }
    }

    /// Everything that comes within `limit`, kept messages first.
    pub fn drain(&mut self, limit: Duration) -> Vec<Received> {
        let end = Instant::now() + limit;
        let mut all: Vec<Received> = self.inbox.drain(..).collect();
        while let Some(received) = self.receive(end) {
            all.push(received);
        }
        all
    }

    /// The first kept or coming message that `wanted` takes, within `limit`.
    pub fn take(&mut self, limit: Duration, wanted: impl Fn(&Message) -> bool) -> Option<Received> {
        if let Some(place) = self.inbox.iter().position(|received| wanted(&received.message)) {
            return self.inbox.remove(place);
        }
        let end = Instant::now() + limit;
        loop {
            let received = self.receive(end)?;
            if wanted(&received.message) {
                return Some(received);
            }
            self.inbox.push_back(received);
        }
    }

    /// A call to `user` at `remote` that is up when this returns: its 200 has come, and its ACK is sent.
    #[track_caller]
    pub fn establish(&mut self, user: &str, remote: SocketAddr) -> Call {
        let call = Call::new(self, user, remote);
        self.establish_call(call, remote)
    }

    /// Brings `call` up by way of `remote`.
    #[track_caller]
    pub fn establish_call(&mut self, mut call: Call, remote: SocketAddr) -> Call {
        let ok = self.transact(remote, &call.invite(), ANSWER);
        assert_eq!(ok.status(), StatusCode::OK, "{}", self.transcript());
        call.learn(&ok);
        self.send(call.next_hop(), call.ack().as_bytes());
        call
    }

    /// Sends every request, and again every `interval`, until each has its final response: when it came, or `None` if it did
    /// not within `limit`. For many dialogs at once; finer than a user agent's own retransmissions.
    #[track_caller]
    pub fn transact_all(
        &mut self,
        requests: &[(SocketAddr, Request)],
        interval: Duration,
        limit: Duration,
    ) -> Vec<Option<(Instant, Response)>> {
        let end = Instant::now() + limit;
        let mut answers: Vec<Option<(Instant, Response)>> = vec![None; requests.len()];
        let mut next_send = Instant::now();
        while Instant::now() < end && answers.iter().any(Option::is_none) {
            if Instant::now() >= next_send {
                for ((to, request), _) in requests.iter().zip(&answers).filter(|(_, answer)| answer.is_none())
                {
                    self.send(*to, request.as_bytes());
                }
                next_send = Instant::now() + interval;
            }
            while let Some(received) = self.receive(next_send.min(end)) {
                let Message::Response(response) = &received.message else {
                    self.inbox.push_back(received);
                    continue;
                };
                let place = requests.iter().position(|(_, request)| request.branch() == response.branch());
                if let Some(place) = place.filter(|_| response.status().is_final()) {
                    answers[place].get_or_insert((received.at, response.clone()));
                }
            }
        }
        answers
    }

    /// What was sent and received so far, a line each, for a failure message.
    pub fn transcript(&self) -> String {
        let shown = self.transcript.len().saturating_sub(200);
        format!("--- what the peer at {} saw\n{}", self.address, self.transcript[shown..].join("\n"))
    }

    /// The next datagram, up to `end`; one that is no SIP message fails the test.
    #[track_caller]
    fn receive(&mut self, end: Instant) -> Option<Received> {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).expect("a time that is not zero is a valid timeout");
            match self.socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let bytes = Bytes::copy_from_slice(&buffer[..length]);
                    self.note("<-", source, &bytes);
                    let message = Message::parse(bytes).unwrap_or_else(|error| {
                        panic!("{source} sent no SIP message: {error}\n{}", self.transcript())
                    });
                    return Some(Received { message, source, at: Instant::now() });
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                // See `send`.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => {}
                Err(error) => panic!("the peer cannot receive: {error}"),
            }
        }
    }

    fn note(&mut self, direction: &str, other: SocketAddr, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let first = text.lines().next().unwrap_or_default();
        let cseq = text.lines().find(|line| line.starts_with("CSeq")).unwrap_or_default();
        let ms = self.started.elapsed().as_secs_f64() * 1000.0;
        self.transcript.push(format!("{ms:10.1} ms {direction} {other} {first}  {cseq}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn two_peers_hold_a_call() {
        let (mut caller, mut callee) = (Peer::bind(), Peer::bind());
        let mut call = Call::new(&caller, "answer", callee.address());
        let invite = call.invite();
        caller.send(callee.address(), invite.as_bytes());

        let (received, source) = callee.expect_request(&Method::Invite, SOON);
        assert_eq!(source, caller.address());
        let (mut answering, ok) = Call::answer(&callee, &received, &[]);
        callee.send(source, ok.as_bytes());

        let ok = caller.response_to(&invite, SOON).expect("the callee answered");
        call.learn(&ok);
        caller.send(call.next_hop(), call.ack().as_bytes());
        let (ack, _) = callee.expect_request(&Method::Ack, SOON);
        assert_eq!((ack.from_tag(), ack.to_tag()), (received.from_tag(), ok.to_tag()));

        let bye = answering.request(Method::Bye);
        callee.send(answering.next_hop(), bye.as_bytes());
        let (bye, source) = caller.expect_request(&Method::Bye, SOON);
        assert_eq!((bye.from_tag(), bye.to_tag(), bye.call_id()), (ok.to_tag(), ok.from_tag(), ok.call_id()));
        caller.send(source, Call::respond(&bye, 200).as_bytes());
        let answer = callee.take(SOON, |message| matches!(message, Message::Response(_)));
        assert!(answer.is_some(), "{}", callee.transcript());
    }

    #[test]
    fn a_request_is_sent_again_until_its_final_response() {
        let (mut caller, mut callee) = (Peer::bind(), Peer::bind());
        let to = callee.address();
        let request = Call::new(&caller, "answer", to).invite();
        let answering = std::thread::spawn(move || {
            let (first, source) = callee.expect_request(&Method::Invite, SOON);
            let (again, _) = callee.expect_request(&Method::Invite, SOON);
            assert_eq!(first.as_bytes(), again.as_bytes());
            callee.send(source, Call::respond(&first, 180).as_bytes());
            callee.send(source, Call::respond(&first, 486).as_bytes());
        });
        assert_eq!(caller.transact(to, &request, SOON).status().code(), 486);
        answering.join().unwrap();
    }

    #[test]
    fn many_requests_are_matched_with_their_answers() {
        let (mut caller, mut callee) = (Peer::bind(), Peer::bind());
        let to = callee.address();
        let requests: Vec<_> = (0..10).map(|_| (to, Call::new(&caller, "answer", to).invite())).collect();
        let answering = std::thread::spawn(move || {
            for n in 0..10 {
                let (request, source) = callee.expect_request(&Method::Invite, SOON);
                // The last one is never answered.
                if n < 9 {
                    callee.send(source, Call::respond(&request, 486).as_bytes());
                }
            }
        });
        let answers = caller.transact_all(&requests, SOON, Duration::from_millis(500));
        assert_eq!(answers.iter().flatten().count(), 9, "{}", caller.transcript());
        for ((_, request), answer) in requests.iter().zip(&answers) {
            if let Some((_, response)) = answer {
                assert_eq!(response.call_id(), request.call_id());
            }
        }
        answering.join().unwrap();
    }
}

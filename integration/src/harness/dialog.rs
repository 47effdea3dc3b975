//! The scripted side of one call: the state that RFC 3261 §12 asks a user agent to keep, and the requests made from it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use holdline_sip::wire::{HeaderName, Method, Request, Response, StatusCode};

use super::peer::Peer;

/// An offer or answer that means nothing.
const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

/// One call as a [`Peer`] sees it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Where the peer is reached: its Via and Contact.
    local: SocketAddr,
    call_id: String,
    /// The whole From of our requests, tag included.
    from: String,
    /// The whole To of our requests; its tag comes with the first response that has one.
    to: String,
    target: String,
    /// Where requests go while there is neither a target nor a route to go by.
    remote: SocketAddr,
    routes: Vec<String>,
    cseq: u32,
    /// What its INVITE says of its subject.
    subject: Option<String>,
}

impl Call {
    /// A call from `peer` to `user` at `remote`.
    pub fn new(peer: &Peer, user: &str, remote: SocketAddr) -> Call {
        let local = peer.address();
        let unique = unique();
        Call {
            local,
            call_id: format!("{unique}@{local}"),
            from: format!("<sip:peer@{local}>;tag={unique}"),
            to: format!("<sip:{user}@{remote}>"),
            target: format!("sip:{user}@{remote}"),
            remote,
            routes: Vec::new(),
            cseq: 1,
            subject: None,
        }
    }

    /// With a Subject in its INVITE.
    pub fn about(mut self, subject: &str) -> Call {
        self.subject = Some(subject.to_owned());
        self
    }

    /// The call that `peer` accepts, and its 200, as if proxies at `record_routes` (the nearest to the caller last) stayed on the
    /// path.
    #[track_caller]
    pub fn answer(peer: &Peer, invite: &Request, record_routes: &[String]) -> (Call, Response) {
        let tag = unique();
        let mut ok = Response::builder(StatusCode::OK, invite).to_tag(&tag);
        for route in record_routes {
            ok = ok.header(HeaderName::RecordRoute, route);
        }
        let contact = format!("<sip:peer@{}>", peer.address());
        let ok = ok.header(HeaderName::Contact, contact).body("application/sdp", SDP).build();
        let call = Call {
            local: peer.address(),
            call_id: invite.call_id().to_owned(),
            from: header(ok.header(HeaderName::To)),
            to: header(ok.header(HeaderName::From)),
            target: contact_uri(invite.header(HeaderName::Contact)),
            remote: peer.address(),
            // RFC 3261 §12.1.1: the UAS takes the Record-Route in its order.
            routes: invite.values(HeaderName::RecordRoute).map(|value| value.to_string()).collect(),
            cseq: 1,
            subject: None,
        };
        (call, ok)
    }

    /// A plain response to a request inside a dialog, or a refusal of one outside.
    pub fn respond(request: &Request, status: u16) -> Response {
        let status = StatusCode::new(status).expect("tests respond with statuses that exist");
        Response::builder(status, request).to_tag("refused").build()
    }

    /// Its INVITE.
    pub fn invite(&self) -> Request {
        self.build(Method::Invite, self.cseq)
    }

    /// Takes tag, target and route set from the response that makes the dialog (RFC 3261 §12.1.2).
    #[track_caller]
    pub fn learn(&mut self, response: &Response) {
        self.to = header(response.header(HeaderName::To));
        self.target = contact_uri(response.header(HeaderName::Contact));
        self.routes = response.values(HeaderName::RecordRoute).map(|value| value.to_string()).collect();
        self.routes.reverse();
    }

    /// The ACK of its 2xx: a request of its own with the INVITE's number (RFC 3261 §13.2.2.4).
    pub fn ack(&self) -> Request {
        self.build(Method::Ack, self.cseq)
    }

    /// The ACK of a final response other than 2xx, which belongs to the INVITE's transaction (RFC 3261 §17.1.1.3).
    #[track_caller]
    pub fn ack_refusal(&self, invite: &Request, refusal: &Response) -> Request {
        self.same_transaction(Method::Ack, invite, header(refusal.header(HeaderName::To)))
    }

    /// The CANCEL of its INVITE (RFC 3261 §9.1).
    #[track_caller]
    pub fn cancel(&self, invite: &Request) -> Request {
        self.same_transaction(Method::Cancel, invite, header(invite.header(HeaderName::To)))
    }

    /// The next request inside the dialog.
    pub fn request(&mut self, method: Method) -> Request {
        self.cseq += 1;
        self.build(method, self.cseq)
    }

    /// Where its next request is sent: the first route, else the target.
    #[track_caller]
    pub fn next_hop(&self) -> SocketAddr {
        let uri = self.routes.first().unwrap_or(&self.target);
        let address = uri.trim_start_matches('<').trim_start_matches("sip:");
        let address = address.split(['>', ';']).next().unwrap_or_default();
        let address = address.rsplit('@').next().unwrap_or_default();
        address.parse().unwrap_or(self.remote)
    }

    /// Its Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Where the node said that it is to be reached for this call.
    pub fn target(&self) -> &str {
        &self.target
    }

    #[track_caller]
    fn same_transaction(&self, method: Method, invite: &Request, to: String) -> Request {
        let cseq = format!("{} {}", invite.cseq().number, method.as_str());
        Request::builder(method, invite.uri())
            .header(HeaderName::Via, header(invite.header(HeaderName::Via)))
            .header(HeaderName::From, &self.from)
            .header(HeaderName::To, to)
            .header(HeaderName::CallId, &self.call_id)
            .header(HeaderName::CSeq, cseq)
            .build()
    }

    fn build(&self, method: Method, cseq: u32) -> Request {
        let name = method.as_str().to_owned();
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bK{}", self.local, unique());
        let offers = method == Method::Invite;
        let mut builder = Request::builder(method, &self.target).header(HeaderName::Via, via);
        for route in &self.routes {
            builder = builder.header(HeaderName::Route, route);
        }
        builder = builder
            .header(HeaderName::From, &self.from)
            .header(HeaderName::To, &self.to)
            .header(HeaderName::CallId, &self.call_id)
            .header(HeaderName::CSeq, format!("{cseq} {name}"));
        if offers {
            if let Some(subject) = &self.subject {
                builder = builder.header(HeaderName::Subject, subject);
            }
            let contact = format!("<sip:peer@{}>", self.local);
            builder = builder.header(HeaderName::Contact, contact).body("application/sdp", SDP);
        }
        builder.build()
    }
}

/// A token that is new in this process and unlikely in another.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{:x}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[track_caller]
fn header(value: Option<&str>) -> String {
    value.expect("Via, From and To are checked when a message is parsed").to_owned()
}

#[track_caller]
fn contact_uri(value: Option<&str>) -> String {
    let value = value.expect("the node said no Contact in a message that makes a dialog (RFC 3261 §12.1)");
    let inside = value.split_once('<').map_or(value, |(_, rest)| rest);
    inside.split('>').next().unwrap_or_default().to_owned()
}

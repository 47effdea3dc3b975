//! The messages a transaction table writes by itself: 100, the ACK for a failure, CANCEL, and stateless refusals.

use bytes::Bytes;

use super::key::Key;
use crate::wire::{HeaderName, Message, Method, Request, Response, StatusCode};

/// A refused request may be tried again after this many seconds: long enough for a burst to pass.
const RETRY_AFTER_SECONDS: u32 = 5;

// RFC 3261 §8.2.6.1: a 100 needs no To tag; the builder copies Timestamp.
pub(super) fn trying(invite: &Request) -> Response {
    Response::builder(StatusCode::TRYING, invite).build()
}

// RFC 3261 §17.1.1.3: as the INVITE in everything, but To (with its tag) is the response's.
pub(super) fn ack(invite: &Request, response: &Response) -> Request {
    hop_by_hop(Method::Ack, invite, response.header(&HeaderName::To))
}

// RFC 3261 §9.1.
pub(super) fn cancel(invite: &Request) -> Request {
    hop_by_hop(Method::Cancel, invite, invite.header(&HeaderName::To))
}

/// RFC 3261 §9.2: a CANCEL that matches nothing.
pub(super) fn no_such_transaction(request: &Request, key: Key) -> Response {
    Response::builder(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, request)
        .to_tag(&stateless_tag(key))
        .build()
}

/// RFC 3261 §21.5.4: refused, without keeping anything.
pub(super) fn overloaded(request: &Request, key: Key) -> Response {
    Response::builder(StatusCode::SERVICE_UNAVAILABLE, request)
        .to_tag(&stateless_tag(key))
        .header(HeaderName::RetryAfter, RETRY_AFTER_SECONDS)
        .build()
}

/// The message again from the bytes a transaction keeps; they were parsed before, so this can not fail but for a bug.
pub(super) fn reread(bytes: &Bytes) -> Option<Request> {
    match Message::parse(bytes.clone()) {
        Ok(Message::Request(request)) => Some(request),
        _ => None,
    }
}

fn hop_by_hop(method: Method, invite: &Request, to: Option<&str>) -> Request {
    let cseq = format!("{} {}", invite.cseq().number, method.as_str());
    // RFC 3261 §17.1.1.3, §9.1: one Via, the top one of the INVITE, and its Route.
    let mut request = Request::builder(method, invite.uri())
        .header(HeaderName::Via, invite.values(&HeaderName::Via).next().unwrap_or_default());
    for route in invite.header_lines(&HeaderName::Route) {
        request = request.header(HeaderName::Route, route);
    }
    request
        .header(HeaderName::From, invite.header(&HeaderName::From).unwrap_or_default())
        .header(HeaderName::To, to.unwrap_or_default())
        .header(HeaderName::CallId, invite.call_id())
        .header(HeaderName::CSeq, cseq)
        .build()
}

// RFC 3261 §8.2.7: a stateless UAS gives the same tag to the same request.
fn stateless_tag(key: Key) -> String {
    format!("{:016x}", key.low_bits())
}

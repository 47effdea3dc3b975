//! How the dialog's own requests and responses are put together.

use super::route_set::{self, Routed};
use super::{Body, Dialog, DialogError};
use crate::Transport;
use crate::wire::{HeaderName, Method, Request, RequestBuilder, Response, Scheme, StatusCode, Uri};

/// The other end of one dialog: ours, or that of a fork.
pub(crate) struct Peer<'a> {
    pub(crate) tag: &'a str,
    pub(crate) target: &'a str,
    pub(crate) route_set: &'a [String],
}

/// A request that is ready to go.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) request: Request,
    pub(crate) next_hop: Box<Uri>,
}

impl Dialog {
    /// The other end of this dialog.
    pub(crate) fn peer(&self) -> Peer<'_> {
        Peer { tag: &self.s.id.remote_tag, target: &self.s.remote_target, route_set: &self.s.route_set }
    }

    /// The next CSeq number; taken only by [`Dialog::take_cseq`], so that a refused verb changes nothing.
    pub(crate) fn next_cseq(&self) -> Result<u32, DialogError> {
        // RFC 3261 §8.1.1.5: below 2^31.
        let next = self.s.local_cseq.saturating_add(1);
        if next < 1 << 31 { Ok(next) } else { Err(DialogError::CSeqExhausted) }
    }

    /// Uses up the number [`Dialog::next_cseq`] gave.
    pub(crate) fn take_cseq(&mut self, cseq: u32) {
        self.s.local_cseq = self.s.local_cseq.max(cseq);
    }

    /// The branch of our request with this CSeq number. The prefix is unique for the dialog and no number is used
    /// twice in it, so no counter is needed (RFC 3261 §8.1.1.7).
    pub(crate) fn branch(&self, cseq: u32) -> String {
        let prefix = match self.s.branch_prefix.as_str() {
            "" => &self.s.id.local_tag,
            prefix => prefix,
        };
        format!("z9hG4bK{prefix}.{cseq}")
    }

    /// A request in the dialog (RFC 3261 §12.2.1.1), its Via on top.
    pub(crate) fn compose(
        &self,
        method: Method,
        cseq: u32,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) -> Result<Outgoing, DialogError> {
        self.compose_to(&self.peer(), method, cseq, &self.branch(cseq), headers, body)
    }

    /// The same to any end of the call, with a branch of choice.
    pub(crate) fn compose_to(
        &self,
        peer: &Peer<'_>,
        method: Method,
        cseq: u32,
        branch: &str,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) -> Result<Outgoing, DialogError> {
        check_headers(headers)?;
        let Routed { uri, routes, next_hop } = route_set::route(peer.target, peer.route_set)?;
        let (s, config) = (&self.s, &self.config);
        let via = format!("SIP/2.0/{} {};branch={branch};rport", transport(&next_hop), config.via);
        let mut builder = Request::builder(method.clone(), uri)
            .header(HeaderName::Via, via)
            .header(HeaderName::MaxForwards, 70);
        for route in routes {
            builder = builder.header(HeaderName::Route, route);
        }
        builder = builder
            .header(HeaderName::From, Tagged(&s.local_uri, &s.id.local_tag))
            .header(HeaderName::To, Tagged(&s.remote_uri, peer.tag))
            .header(HeaderName::CallId, &s.id.call_id)
            .header(HeaderName::CSeq, format_args!("{cseq} {method}"));
        builder = self.describe_us(builder, &method);
        for (name, value) in headers {
            builder = builder.header(name.clone(), value);
        }
        if let Some(body) = body {
            builder = builder.body(&body.content_type, body.bytes.clone());
        }
        Ok(Outgoing { request: builder.build(), next_hop: Box::new(next_hop) })
    }

    fn describe_us(&self, mut builder: RequestBuilder, method: &Method) -> RequestBuilder {
        let config = &self.config;
        if is_target_refresh(method) {
            builder = builder.header(HeaderName::Contact, format_args!("<{}>", config.contact));
        }
        if *method == Method::Invite {
            builder = builder.header(HeaderName::Allow, &config.allow);
            if !config.supported.is_empty() {
                builder = builder.header(HeaderName::Supported, config.supported.join(", "));
            }
        }
        if !config.user_agent.is_empty() {
            builder = builder.header(HeaderName::UserAgent, &config.user_agent);
        }
        builder
    }

    /// A response to a request of the peer (RFC 3261 §8.2.6, §12.1.1).
    pub(crate) fn reply(
        &self,
        request: &Request,
        status: StatusCode,
        headers: &[(HeaderName, String)],
        body: Option<&Body>,
    ) -> Response {
        let config = &self.config;
        let mut builder = Response::builder(status, request).to_tag(&self.s.id.local_tag);
        let (success, invite) = (status.is_success(), *request.method() == Method::Invite);
        // RFC 3261 §12.1.1, §12.2.2: what may make or refresh a dialog says where we are reached.
        if is_target_refresh(request.method()) && (success || (invite && status.is_provisional())) {
            builder = builder.header(HeaderName::Contact, format_args!("<{}>", config.contact));
        }
        // RFC 3261 §13.3.1.4 for a 2xx; §20.5 for what a 405 must say.
        if (invite && success) || status == StatusCode::METHOD_NOT_ALLOWED {
            builder = builder.header(HeaderName::Allow, &config.allow);
        }
        if invite && success && !config.supported.is_empty() {
            builder = builder.header(HeaderName::Supported, config.supported.join(", "));
        }
        if !config.user_agent.is_empty() {
            builder = builder.header(HeaderName::Server, &config.user_agent);
        }
        for (name, value) in headers {
            builder = builder.header(name.clone(), value);
        }
        if let Some(body) = body {
            builder = builder.body(&body.content_type, body.bytes.clone());
        }
        builder.build()
    }
}

/// A name-addr with the tag it has in this dialog, if any.
struct Tagged<'a>(&'a str, &'a str);

impl std::fmt::Display for Tagged<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self(addr, "") => f.write_str(addr),
            Self(addr, tag) => write!(f, "{addr};tag={tag}"),
        }
    }
}

/// RFC 3261 §12.2, RFC 3311, RFC 6665, RFC 3515: the methods whose Contact moves the remote target.
pub(crate) fn is_target_refresh(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer)
}

/// RFC 3261 §18.1.1: the Via names the transport the next hop asks for.
fn transport(next_hop: &Uri) -> Transport {
    next_hop.transport().unwrap_or(if next_hop.scheme == Scheme::Sips {
        Transport::Tls
    } else {
        Transport::Udp
    })
}

/// A value with a line break would smuggle headers of its own into the message.
pub(crate) fn check_headers(headers: &[(HeaderName, String)]) -> Result<(), DialogError> {
    match headers.iter().find(|(_, value)| value.contains(['\r', '\n', '\0'])) {
        Some((name, _)) => Err(DialogError::Header(name.as_str().to_owned())),
        None => Ok(()),
    }
}

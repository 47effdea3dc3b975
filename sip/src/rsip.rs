//! Conversions to and from the types of the rsip crate; the only module that names it.
//!
//! They go by value, both ways, for code written against rsip. What rsip has no room for is an [`Error`] that names
//! the field, never a silent change:
//!
//! | rsip has no room for | what happens |
//! |---|---|
//! | methods it does not list, URI headers, schemes other than sip and sips, octets that are not UTF-8 | [`Error::NoRoom`] |
//! | the reason phrase of a status it lists | it is dropped: the code alone has meaning (RFC 3261 §7.2) |
//! | Content-Length and Max-Forwards that are missing or, the former, wrong | they are set: on the wire they must be right |
//! | compact header names, folds | they come out long and unfolded, which means the same |
//! | IPv6 hosts | they come out as a domain in brackets, which prints right |
//!
//! ```
//! use holdline_sip::wire::Uri;
//! let uri: Uri = "sip:ann@[2001:db8::9]:5070;x=b:c;lr".parse()?;
//! let theirs = rsip::Uri::try_from(&uri)?;
//! assert_eq!(theirs.to_string(), "sip:ann@[2001:db8::9]:5070;x=b:c;lr");
//! assert_eq!(Uri::try_from(&theirs)?, uri);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use ::rsip::common::uri::param::{OtherParam, OtherParamValue};
use ::rsip::headers::untyped;
use ::rsip::{Auth, Header, Host as TheirHost, HostWithPort, Param};

use crate::wire::{
    ErrorKind, HeaderName, Host, Method, Params, ParseError, Request, Response, Scheme, StatusCode, Uri,
};

/// Why a value cannot be converted; it is left as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The type on the other side has no room for the field.
    #[error("{field}: no room for {value:?} on the other side")]
    NoRoom {
        /// The field: "method", "URI scheme", or the name of a header.
        field: String,
        /// What it holds.
        value: String,
    },
    /// The rsip value is no valid SIP; rsip does not check what it is built from.
    #[error("{field}: {error}")]
    Invalid {
        /// The field, or "message" for the whole.
        field: String,
        /// The fault.
        error: ParseError,
    },
}

fn no_room(field: &str, value: impl ToString) -> Error {
    Error::NoRoom { field: field.into(), value: value.to_string() }
}

fn invalid(field: &str, error: ParseError) -> Error {
    Error::Invalid { field: field.into(), error }
}

impl TryFrom<&Request> for ::rsip::Request {
    type Error = Error;

    fn try_from(request: &Request) -> Result<::rsip::Request, Error> {
        let uri = request.parsed_uri().map_err(|error| invalid("Request-URI", error))?;
        Ok(::rsip::Request {
            method: ::rsip::Method::try_from(request.method())?,
            uri: ::rsip::Uri::try_from(&uri)?,
            version: ::rsip::Version::V2,
            headers: their_headers(
                request.headers().map(|header| (header.name(), header.value)),
                request.as_bytes(),
            )?,
            body: request.body().to_vec(),
        })
    }
}

impl TryFrom<&::rsip::Request> for Request {
    type Error = Error;

    fn try_from(request: &::rsip::Request) -> Result<Request, Error> {
        check_version(&request.version)?;
        let uri = Uri::try_from(&request.uri)?;
        let mut builder = Request::builder(Method::from(request.method), uri);
        for header in request.headers.iter() {
            let (name, value) = name_and_value(header)?;
            builder = builder.header(name, value);
        }
        let built = builder.octets(request.body.clone().into()).build();
        Request::parse(built.as_bytes().clone()).map_err(|error| invalid("message", error))
    }
}

impl TryFrom<&Response> for ::rsip::Response {
    type Error = Error;

    fn try_from(response: &Response) -> Result<::rsip::Response, Error> {
        let status_code = match ::rsip::StatusCode::from(response.status().code()) {
            ::rsip::StatusCode::Other(code, _) => ::rsip::StatusCode::Other(code, response.reason().into()),
            listed => listed,
        };
        let headers = response.headers().map(|header| (header.name(), header.value));
        Ok(::rsip::Response {
            status_code,
            version: ::rsip::Version::V2,
            headers: their_headers(headers, response.as_bytes())?,
            body: response.body().to_vec(),
        })
    }
}

impl TryFrom<&::rsip::Response> for Response {
    type Error = Error;

    fn try_from(response: &::rsip::Response) -> Result<Response, Error> {
        check_version(&response.version)?;
        let status = StatusCode::try_from(&response.status_code)?;
        let mut builder = Response::builder_bare(status);
        if let ::rsip::StatusCode::Other(_, reason) = &response.status_code {
            one_line("reason phrase", reason)?;
            builder = builder.reason(reason);
        }
        for header in response.headers.iter() {
            let (name, value) = name_and_value(header)?;
            builder = builder.header(name, value);
        }
        let built = builder.octets(response.body.clone().into()).build();
        Response::parse(built.as_bytes().clone()).map_err(|error| invalid("message", error))
    }
}

impl TryFrom<&Method> for ::rsip::Method {
    type Error = Error;

    fn try_from(method: &Method) -> Result<::rsip::Method, Error> {
        Ok(match method {
            Method::Invite => ::rsip::Method::Invite,
            Method::Ack => ::rsip::Method::Ack,
            Method::Bye => ::rsip::Method::Bye,
            Method::Cancel => ::rsip::Method::Cancel,
            Method::Options => ::rsip::Method::Options,
            Method::Register => ::rsip::Method::Register,
            Method::Prack => ::rsip::Method::PRack,
            Method::Update => ::rsip::Method::Update,
            Method::Info => ::rsip::Method::Info,
            Method::Subscribe => ::rsip::Method::Subscribe,
            Method::Notify => ::rsip::Method::Notify,
            Method::Refer => ::rsip::Method::Refer,
            Method::Message => ::rsip::Method::Message,
            Method::Publish => ::rsip::Method::Publish,
            Method::Ext(name) => return Err(no_room("method", name)),
        })
    }
}

impl From<::rsip::Method> for Method {
    fn from(method: ::rsip::Method) -> Method {
        match method {
            ::rsip::Method::Invite => Method::Invite,
            ::rsip::Method::Ack => Method::Ack,
            ::rsip::Method::Bye => Method::Bye,
            ::rsip::Method::Cancel => Method::Cancel,
            ::rsip::Method::Options => Method::Options,
            ::rsip::Method::Register => Method::Register,
            ::rsip::Method::PRack => Method::Prack,
            ::rsip::Method::Update => Method::Update,
            ::rsip::Method::Info => Method::Info,
            ::rsip::Method::Subscribe => Method::Subscribe,
            ::rsip::Method::Notify => Method::Notify,
            ::rsip::Method::Refer => Method::Refer,
            ::rsip::Method::Message => Method::Message,
            ::rsip::Method::Publish => Method::Publish,
        }
    }
}

impl From<StatusCode> for ::rsip::StatusCode {
    fn from(status: StatusCode) -> ::rsip::StatusCode {
        match ::rsip::StatusCode::from(status.code()) {
            ::rsip::StatusCode::Other(code, _) => {
                ::rsip::StatusCode::Other(code, status.default_reason().into())
            }
            listed => listed,
        }
    }
}

impl TryFrom<&::rsip::StatusCode> for StatusCode {
    type Error = Error;

    fn try_from(status: &::rsip::StatusCode) -> Result<StatusCode, Error> {
        StatusCode::new(status.code()).ok_or_else(|| no_room("status code", status.code()))
    }
}

impl TryFrom<&Uri> for ::rsip::Uri {
    type Error = Error;

    fn try_from(uri: &Uri) -> Result<::rsip::Uri, Error> {
        let scheme = match &uri.scheme {
            Scheme::Sip => ::rsip::Scheme::Sip,
            Scheme::Sips => ::rsip::Scheme::Sips,
            // rsip prints these with two slashes, which is another URI.
            other => return Err(no_room("URI scheme", other.as_str())),
        };
        if let Some(headers) = &uri.headers {
            return Err(no_room("URI headers", headers));
        }
        let host = match &uri.host {
            Host::V4(address) => TheirHost::IpAddr((*address).into()),
            // `IpAddr` prints without the brackets; a domain with them prints and compares right.
            other => TheirHost::Domain(other.to_string().into()),
        };
        let user = uri.user.clone();
        Ok(::rsip::Uri {
            scheme: Some(scheme),
            auth: user.map(|user| Auth { user, password: uri.password.clone() }),
            host_with_port: HostWithPort { host, port: uri.port.map(Into::into) },
            params: uri.params.iter().map(|(name, value)| their_param(name, value)).collect(),
            headers: Vec::new(),
        })
    }
}

impl TryFrom<&::rsip::Uri> for Uri {
    type Error = Error;

    fn try_from(uri: &::rsip::Uri) -> Result<Uri, Error> {
        let scheme = match &uri.scheme {
            Some(::rsip::Scheme::Sip) => Scheme::Sip,
            Some(::rsip::Scheme::Sips) => Scheme::Sips,
            Some(other) => return Err(no_room("URI scheme", other)),
            None => return Err(no_room("URI scheme", "")),
        };
        // rsip keeps URI headers as numbers, from which no header can be made.
        if !uri.headers.is_empty() {
            return Err(no_room("URI headers", format!("{:?}", uri.headers)));
        }
        let host = match &uri.host_with_port.host {
            TheirHost::IpAddr(address) => Host::from(*address),
            TheirHost::Domain(name) => {
                Host::parse(&name.to_string()).map_err(|error| invalid("URI host", error))?
            }
        };
        let params: String = uri.params.iter().map(ToString::to_string).collect();
        let ours = Uri {
            scheme,
            user: uri.auth.as_ref().map(|auth| auth.user.clone()),
            password: uri.auth.as_ref().and_then(|auth| auth.password.clone()),
            host,
            port: uri.host_with_port.port.map(u16::from),
            params: params.parse::<Params>().map_err(|error| invalid("URI parameters", error))?,
            headers: None,
        };
        // rsip lets any text stand for a user; what does not read back as it was would change its meaning.
        match Uri::parse(&ours.to_string()) {
            Ok(again) if again == ours => Ok(ours),
            Ok(_) => Err(no_room("URI user", ours.user.unwrap_or_default())),
            Err(error) => Err(invalid("URI", error)),
        }
    }
}

fn check_version(version: &::rsip::Version) -> Result<(), Error> {
    match version {
        ::rsip::Version::V2 => Ok(()),
        ::rsip::Version::V1 => {
            Err(invalid("version", ParseError::new(ErrorKind::Version, "Version Not Supported", 0)))
        }
    }
}

/// Typed where rsip prints the same text again, else verbatim.
fn their_param(name: &str, value: Option<&str>) -> Param {
    let typed = match (name.to_ascii_lowercase().as_str(), value) {
        ("lr", None) => Some(Param::Lr),
        ("transport", Some(value)) => value.parse().ok().map(Param::Transport),
        ("user", Some(value)) => Some(Param::User(value.into())),
        ("ttl", Some(value)) => Some(Param::Ttl(value.into())),
        ("maddr", Some(value)) => Some(Param::Maddr(value.into())),
        _ => None,
    };
    let same = |typed: &Param| {
        typed.to_string().eq_ignore_ascii_case(&match value {
            Some(value) => format!(";{name}={value}"),
            None => format!(";{name}"),
        })
    };
    typed.filter(same).unwrap_or_else(|| {
        Param::Other(
            OtherParam::from(name.to_string()),
            value.map(|value| OtherParamValue::from(value.to_string())),
        )
    })
}

fn their_headers<'a>(
    headers: impl Iterator<Item = (HeaderName, &'a str)>,
    wire: &[u8],
) -> Result<::rsip::Headers, Error> {
    // Only a message with octets that are not UTF-8 has values that differ from what is on the wire.
    let foreign = str::from_utf8(wire).is_err();
    let mut theirs = ::rsip::Headers::default();
    for (name, value) in headers {
        if foreign && value.contains('?') && memchr::memmem::find(wire, value.as_bytes()).is_none() {
            return Err(no_room(name.as_str(), value));
        }
        theirs.push(their_header(&name, value.into()));
    }
    Ok(theirs)
}

macro_rules! their_header {
    ($($name:ident)*) => {
        fn their_header(name: &HeaderName, value: String) -> Header {
            match name {
                $(HeaderName::$name => Header::$name(untyped::$name::from(value)),)*
                other => Header::Other(other.as_str().into(), value),
            }
        }
    };
}

// All that rsip has a variant for; the others are `Header::Other`.
their_header! {
    Accept AcceptEncoding AcceptLanguage AlertInfo Allow AuthenticationInfo Authorization CSeq CallId CallInfo
    Contact ContentDisposition ContentEncoding ContentLanguage ContentLength ContentType Date ErrorInfo Event
    Expires From InReplyTo MaxForwards MimeVersion MinExpires Organization Priority ProxyAuthenticate
    ProxyAuthorization ProxyRequire RecordRoute ReplyTo Require RetryAfter Route Server Subject
    SubscriptionState Supported Timestamp To Unsupported UserAgent Via Warning WwwAuthenticate
}

/// The name and value of a header; one that would not come out as one line is refused.
fn name_and_value(header: &Header) -> Result<(HeaderName, String), Error> {
    let (name, value) = match header {
        Header::Other(name, value) => (name.clone(), value.clone()),
        listed => {
            let line = listed.to_string();
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            (name.into(), value.trim().into())
        }
    };
    // RFC 3261 §25.1: a header name is a token like a method.
    if let Err(error) = name.parse::<Method>() {
        return Err(invalid(
            &name,
            ParseError { what: "Header name is not a token", kind: ErrorKind::Header, ..error },
        ));
    }
    one_line(&name, &value)?;
    Ok((HeaderName::from(name.as_str()), value))
}

/// Refuses text with line ends: they would make headers of their own.
fn one_line(field: &str, text: &str) -> Result<(), Error> {
    match text.find(['\r', '\n']) {
        None => Ok(()),
        Some(at) => Err(invalid(field, ParseError::new(ErrorKind::Header, "Line end within a value", at))),
    }
}

//! Where a request goes: the route set, loose and strict (RFC 3261 §12.2.1.1), and how a dialog gets one.

use super::DialogError;
use crate::wire::{HeaderName, NameAddr, Request, Response, Uri};

/// Request-URI, Route headers and next hop of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Routed {
    /// Request-URI.
    pub(crate) uri: String,
    /// Route values in order.
    pub(crate) routes: Vec<String>,
    /// The URI whose host is asked next (RFC 3261 §8.1.2).
    pub(crate) next_hop: Uri,
}

/// Routes a request to `target` through `route_set`.
pub(crate) fn route(target: &str, route_set: &[String]) -> Result<Routed, DialogError> {
    let target_uri = parse_uri(target)?;
    let Some((first, rest)) = route_set.split_first() else {
        return Ok(Routed { uri: target.to_owned(), routes: Vec::new(), next_hop: target_uri });
    };
    let first_hop = parse_route(first)?;
    if first_hop.is_loose_router() {
        return Ok(Routed { uri: target.to_owned(), routes: route_set.to_vec(), next_hop: first_hop });
    }
    // RFC 3261 §12.2.1.1: a strict router finds itself in the Request-URI, and the target at the end of the route.
    let mut routes = rest.to_vec();
    routes.push(format!("<{target}>"));
    Ok(Routed { uri: request_uri(&first_hop), routes, next_hop: first_hop })
}

/// The route set of a UAS: Record-Route as it stands (RFC 3261 §12.1.1).
pub(crate) fn of_request(request: &Request) -> Result<Vec<String>, DialogError> {
    checked(request.values(&HeaderName::RecordRoute).map(Into::into).collect())
}

/// The route set of a UAC: Record-Route backwards (RFC 3261 §12.1.2).
pub(crate) fn of_response(response: &Response) -> Result<Vec<String>, DialogError> {
    let mut routes: Vec<String> = response.values(&HeaderName::RecordRoute).map(Into::into).collect();
    routes.reverse();
    checked(routes)
}

/// Reads every value once, so that no later request fails on it.
fn checked(routes: Vec<String>) -> Result<Vec<String>, DialogError> {
    for route in &routes {
        parse_route(route)?;
    }
    Ok(routes)
}

fn parse_route(route: &str) -> Result<Uri, DialogError> {
    let route: NameAddr = route.parse().map_err(|_| DialogError::Uri(route.to_owned()))?;
    Ok(route.uri)
}

fn parse_uri(uri: &str) -> Result<Uri, DialogError> {
    uri.parse().map_err(|_| DialogError::Uri(uri.to_owned()))
}

/// A route's URI without what RFC 3261 §19.1.1 does not allow in a Request-URI: headers and the method parameter.
fn request_uri(hop: &Uri) -> String {
    let mut uri = hop.clone();
    uri.params.remove("method");
    uri.headers = None;
    uri.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(target: &str, route_set: &[&str]) -> (String, Vec<String>, String) {
        let route_set: Vec<String> = route_set.iter().map(|&route| route.to_owned()).collect();
        let routed = route(target, &route_set).expect("every URI of the tests is good");
        (routed.uri, routed.routes, routed.next_hop.to_string())
    }

    #[test]
    fn without_a_route_the_target_is_asked() {
        assert_eq!(routed("sip:b@x;ob", &[]), ("sip:b@x;ob".into(), vec![], "sip:b@x;ob".into()));
    }

    #[test]
    fn a_loose_route_keeps_the_target_in_the_request_uri() {
        let routes = ["<sip:p1;lr>", "\"Proxy, two\" <sip:[2001:db8::1]:5070;lr>;x=y"];
        let (uri, sent, next_hop) = routed("sip:b@x", &routes);
        assert_eq!((uri.as_str(), next_hop.as_str()), ("sip:b@x", "sip:p1;lr"));
        assert_eq!(sent, routes);
    }

    #[test]
    fn a_strict_route_takes_the_request_uri_and_the_target_goes_last() {
        let (uri, sent, next_hop) = routed("sip:b@x?a=b", &["<sip:p1;method=BYE;a=1?c=d>", "<sip:p2;lr>"]);
        assert_eq!(uri, "sip:p1;a=1");
        assert_eq!(sent, ["<sip:p2;lr>", "<sip:b@x?a=b>"]);
        assert!(next_hop.starts_with("sip:p1;"));
    }

    #[test]
    fn a_lone_strict_route_leaves_only_the_target_to_route_to() {
        assert_eq!(routed("sip:b@x", &["<sip:p1>"]).1, ["<sip:b@x>"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(route("", &[]), Err(DialogError::Uri(String::new())));
        assert_eq!(route("sip:b@x", &["<sip:p1".into()]), Err(DialogError::Uri("<sip:p1".into())));
    }
}

//! The Route header of a request under way: what stands in it, what a proxy takes off and adds.

use holdline_sip::wire::{HeaderName, Request, RequestEdit};
use smallvec::SmallVec;

use super::raw::{RawUri, uri_of};

/// A request through two proxies has two.
const ROUTES_INLINE: usize = 4;

/// The values of all Route lines, in order (RFC 3261 §7.3.1: several lines are one list).
#[derive(Debug)]
pub(super) struct RouteSet<'m> {
    /// What is left of the values.
    left: SmallVec<[&'m str; ROUTES_INLINE]>,
    /// How many were taken off the front.
    popped: usize,
    /// Whether anything but the front changed.
    rewritten: bool,
    /// A URI added behind all others.
    last: Option<&'m str>,
}

impl<'m> RouteSet<'m> {
    pub(super) fn read(request: &'m Request) -> Self {
        Self { left: request.values(HeaderName::Route).collect(), popped: 0, rewritten: false, last: None }
    }

    /// The URI of the first value that is left.
    pub(super) fn first(&self) -> Option<&'m str> {
        self.left.first().map(|value| uri_of(value))
    }

    /// Takes off the first value and gives its URI.
    pub(super) fn pop_first(&mut self) -> Option<&'m str> {
        let uri = self.first()?;
        self.left.remove(0);
        self.popped += 1;
        Some(uri)
    }

    /// Takes off the last value and gives its URI.
    pub(super) fn pop_last(&mut self) -> Option<&'m str> {
        self.rewritten = true;
        self.left.pop().map(uri_of)
    }

    /// Adds a URI behind all others.
    pub(super) fn push_last(&mut self, uri: &'m str) {
        self.rewritten = true;
        self.last = Some(uri);
    }

    /// RFC 3261 §16.4: takes off the values that name this proxy, from the front.
    pub(super) fn pop_own(&mut self, is_own: impl Fn(&RawUri<'_>) -> bool) {
        while self.first().and_then(RawUri::read).is_some_and(|uri| is_own(&uri)) {
            self.pop_first();
        }
    }

    /// Makes the request's Route say what is left.
    pub(super) fn write<'e>(&self, mut edit: RequestEdit<'e>) -> RequestEdit<'e> {
        if !self.rewritten {
            for _ in 0..self.popped {
                edit = edit.pop_route();
            }
            return edit;
        }
        let last = self.last.map(|uri| format!("<{uri}>"));
        let values: SmallVec<[&str; ROUTES_INLINE]> =
            self.left.iter().copied().chain(last.as_deref()).collect();
        match values.is_empty() {
            true => edit.remove(HeaderName::Route),
            false => edit.set(HeaderName::Route, values.join(", ")),
        }
    }
}

//! A call to place.

use bytes::Bytes;
use holdline_sip::dialog::{self, Body};
use holdline_sip::wire::HeaderName;

/// Describes a call for [`Node::invite`](crate::Node::invite).
///
/// ```
/// use holdline::Call;
/// let call = Call::to("sip:bob@example.com").from("sip:alice@example.com").sdp("v=0\r\n");
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Call {
    core: dialog::Call,
}

impl Call {
    /// Calls this URI: Request-URI and To.
    pub fn to(uri: impl Into<String>) -> Self {
        Self { core: dialog::Call { to_uri: uri.into(), ..Default::default() } }
    }

    /// Who calls; the node's Contact unless told otherwise.
    pub fn from(mut self, uri: impl Into<String>) -> Self {
        self.core.from_uri = uri.into();
        self
    }

    /// The caller's display name.
    pub fn display(mut self, name: impl Into<String>) -> Self {
        self.core.from_display = name.into();
        self
    }

    /// The offer; without one the answerer offers.
    pub fn sdp(mut self, sdp: impl Into<Bytes>) -> Self {
        self.core.body = Some(Body::sdp(sdp));
        self
    }

    /// A proxy to go through, as a Route value: `<sip:proxy.example.com;lr>`. Several in the order they are passed.
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.core.route_set.push(route.into());
        self
    }

    /// One more header of the INVITE.
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<String>) -> Self {
        self.core.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn into_core(
        self,
        contact: &str,
        call_id: String,
        local_tag: String,
        branch: String,
    ) -> dialog::Call {
        let mut core = self.core;
        if core.from_uri.is_empty() {
            contact.clone_into(&mut core.from_uri);
        }
        dialog::Call { call_id, local_tag, branch_prefix: branch, ..core }
    }
}

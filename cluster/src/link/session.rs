//! One session as the links keep it, from the verified stream to the open link.

use std::sync::Arc;

use super::control::{self, Control, Hello};
use super::name::ProcessName;
use super::peer::{SessionLink, cost};
use super::stream::Handle;

/// Bytes taken from a peer before it gets credit outside the heartbeats.
const CREDIT_EVERY: u64 = 64 * 1024;

/// A session with one peer process.
pub(super) struct Session {
    pub(super) peer: ProcessName,
    /// Number of its stream.
    pub(super) number: u64,
    pub(super) handle: Handle,
    /// ractor_cluster's number for it, once its name was found equal to the certificate's.
    verified: Option<u64>,
    /// Number our messages carry.
    our_link: u64,
    /// Number the peer's messages carry.
    their_link: Option<u64>,
    link: Option<Arc<SessionLink>>,
    came_up: bool,
    taken: u64,
    credited: u64,
}

impl Session {
    pub(super) fn new(peer: ProcessName, number: u64, handle: Handle, our_link: u64) -> Self {
        Self {
            peer,
            number,
            handle,
            verified: None,
            our_link,
            their_link: None,
            link: None,
            came_up: false,
            taken: 0,
            credited: 0,
        }
    }

    /// The session authenticated as `name` (`<process>@<host>`); `false` when its certificate says another.
    pub(super) fn verify(&mut self, node_id: u64, name: &str) -> bool {
        let equal = name.split('@').next() == Some(self.peer.to_string().as_str());
        self.verified = equal.then_some(node_id);
        equal
    }

    pub(super) fn is_verified(&self) -> bool {
        self.verified.is_some()
    }

    /// The peer opened its direction.
    pub(super) fn handle_hello(&mut self, link: u64) {
        self.their_link = Some(link);
    }

    /// Opens our direction as soon as the peer's `NodeCtl` is known here, greeting it first.
    pub(super) fn open(&mut self, me: &ProcessName) {
        if self.link.is_some() {
            return;
        }
        let Some(out) = self.verified.and_then(|node_id| control::remote(node_id, &self.peer)) else {
            return;
        };
        let link = SessionLink::new(self.peer.clone(), self.our_link, out, self.handle.clone());
        link.send_uncounted(Control::H(Hello { link: self.our_link, from: me.clone() }.encode()));
        self.link = Some(Arc::new(link));
    }

    /// The link, when both directions have just become open; once.
    pub(super) fn come_up(&mut self) -> Option<Arc<SessionLink>> {
        let link = self.link.as_ref().filter(|_| self.their_link.is_some() && !self.came_up)?;
        self.came_up = true;
        Some(Arc::clone(link))
    }

    /// The link, once it has come up.
    pub(super) fn up(&self) -> Option<&Arc<SessionLink>> {
        self.link.as_ref().filter(|_| self.came_up)
    }

    pub(super) fn their_link(&self) -> Option<u64> {
        self.their_link
    }

    /// A counted message of so many bytes was taken.
    pub(super) fn take(&mut self, bytes: usize) {
        self.taken += cost(bytes);
        if self.taken - self.credited >= CREDIT_EVERY {
            self.heartbeat();
        }
    }

    /// Credit, which also shows the peer that we live.
    pub(super) fn heartbeat(&mut self) {
        if let Some(link) = &self.link {
            link.send_uncounted(Control::C(self.our_link, self.taken));
            self.credited = self.taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_must_have_the_name_of_its_certificate() {
        let session = || Session::new("n2#6".parse().unwrap(), 1, Handle::default(), 7);
        for (name, equal) in [
            ("n2#6@n2#6", true),
            ("n2#6", true),
            ("n2#7@n2#6", false),
            ("n1#6@x", false),
            ("", false),
            ("@n2#6", false),
        ] {
            let mut session = session();
            assert_eq!(session.verify(3, name), equal, "{name}");
            assert_eq!(session.is_verified(), equal);
        }
    }

    #[test]
    fn a_link_is_not_up_before_both_directions_are_open() {
        let mut session = Session::new("n2#6".parse().unwrap(), 1, Handle::default(), 7);
        assert!(session.come_up().is_none());
        session.handle_hello(9);
        assert!(session.come_up().is_none(), "our direction is not open");
        session.open(&"n1#5".parse().unwrap());
        assert!(session.come_up().is_none() && session.up().is_none(), "not verified, so nothing was sent");
    }
}

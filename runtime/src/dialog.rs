//! What a handler sees of its dialog: state to read, verbs that record.

use std::time::Duration;

use holdline_sip::Timestamp;
use holdline_sip::dialog::{self, Body, DialogError, DialogId, Role, State};
use holdline_sip::wire::{Method, StatusCode};

use crate::handler::{DialogHandler, HandlerError, Result};
use crate::limits::TIMERS_PER_DIALOG_MAX;

/// A dialog inside a step. Verbs record: what they make leaves after the callback, once the new version is durable.
///
/// A verb that the dialog's state forbids (an answer after a BYE, say) is an error that names the state, and records nothing.
pub struct Dialog<'a, H: DialogHandler> {
    core: &'a mut dialog::Dialog,
    data: &'a mut H::Data,
    timers: &'a mut Timers,
    now: Timestamp,
}

impl<'a, H: DialogHandler> Dialog<'a, H> {
    pub(crate) fn new(
        core: &'a mut dialog::Dialog,
        data: &'a mut H::Data,
        timers: &'a mut Timers,
        now: Timestamp,
    ) -> Self {
        Self { core, data, timers, now }
    }

    /// Call-ID and tags: the name under which every node reaches this dialog.
    #[must_use]
    pub fn id(&self) -> &DialogId {
        self.core.id()
    }

    /// Called or calling.
    #[must_use]
    pub fn role(&self) -> Role {
        self.core.role()
    }

    /// Early, confirmed, terminated.
    #[must_use]
    pub fn state(&self) -> State {
        self.core.state()
    }

    /// The step's time since the UNIX epoch.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The application's data, as of the last step.
    #[must_use]
    pub fn data(&self) -> &H::Data {
        self.data
    }

    /// The application's data; what is changed here is part of the step's version.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut H::Data {
        self.data
    }

    /// 180 Ringing.
    pub fn ring(&mut self) -> Result {
        Ok(self.core.progress(self.now, StatusCode::RINGING, None)?)
    }

    /// 183 Session Progress, with early media.
    pub fn progress(&mut self, body: impl Into<Option<Body>>) -> Result {
        Ok(self.core.progress(self.now, StatusCode::SESSION_PROGRESS, body.into().as_ref())?)
    }

    /// 200 OK to the INVITE: the call is confirmed.
    pub fn answer(&mut self, body: impl Into<Option<Body>>) -> Result {
        Ok(self.core.answer(self.now, body.into().as_ref())?)
    }

    /// A final response to the INVITE that is no 2xx: 300..=699.
    pub fn reject(&mut self, status: u16) -> Result {
        let status = StatusCode::new(status).filter(|status| status.code() >= 300).ok_or_else(|| {
            HandlerError::new(format!("reject({status}): a status from 300 to 699 is needed"))
        })?;
        Ok(self.core.reject(self.now, status, &[])?)
    }

    /// 302 Moved Temporarily to this URI.
    pub fn redirect(&mut self, uri: &str) -> Result {
        Ok(self.core.redirect(self.now, uri)?)
    }

    /// Answers the request that `on_request` was called for.
    pub fn respond(&mut self, status: u16, body: impl Into<Option<Body>>) -> Result {
        let status = StatusCode::new(status).ok_or_else(|| {
            HandlerError::new(format!("respond({status}): a status from 100 to 699 is needed"))
        })?;
        Ok(self.core.accept_request(self.now, status, &[], body.into().as_ref())?)
    }

    /// Offers a changed session (RFC 3261 §14.1).
    pub fn reinvite(&mut self, body: impl Into<Option<Body>>) -> Result {
        self.core.reinvite(self.now, body.into())?;
        Ok(())
    }

    /// The answer to an offer that came with the peer's 2xx, in the ACK: only for a call placed without an offer.
    pub fn ack(&mut self, body: impl Into<Option<Body>>) -> Result {
        Ok(self.core.ack(self.now, body.into().as_ref())?)
    }

    /// Another request inside the dialog: INFO, MESSAGE, an extension's. Its response comes to `on_response`.
    pub fn request(&mut self, method: Method, body: impl Into<Option<Body>>) -> Result {
        self.core.request(self.now, method, &[], body.into().as_ref())?;
        Ok(())
    }

    /// Hangs up: BYE on an established call, CANCEL on our unanswered one, 480 on a caller's.
    pub fn bye(&mut self) -> Result {
        Ok(hang_up(self.core, self.now)?)
    }

    /// `on_timer(name)` comes after this long, on whichever node owns the dialog then. The same name set again replaces it.
    pub fn set_timer(&mut self, name: &str, after: Duration) -> Result {
        self.timers.set(name, self.now + after)
    }

    /// Forgets a timer.
    pub fn cancel_timer(&mut self, name: &str) {
        self.timers.cancel(name);
    }
}

/// Ends the call whatever its state: an unanswered one has no BYE (RFC 3261 §15).
pub(crate) fn hang_up(core: &mut dialog::Dialog, now: Timestamp) -> std::result::Result<(), DialogError> {
    match (core.state().is_unanswered(), core.role()) {
        (false, _) => core.bye(now, None),
        (true, Role::Uac) => core.cancel(now),
        (true, Role::Uas) => core.reject(now, StatusCode::TEMPORARILY_UNAVAILABLE, &[]),
    }
}

/// The named timers of a dialog, by deadline.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Timers(Vec<(String, Timestamp)>);

impl Timers {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(String, Timestamp)> {
        self.0.iter()
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.iter().map(|(_, at)| *at).min()
    }

    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<String> {
        let due =
            self.0.iter().enumerate().filter(|(_, (_, at))| *at <= now).min_by_key(|(_, (_, at))| *at)?.0;
        Some(self.0.remove(due).0)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn set(&mut self, name: &str, at: Timestamp) -> Result {
        self.cancel(name);
        if self.0.len() >= TIMERS_PER_DIALOG_MAX {
            return Err(HandlerError::new(format!(
                "set_timer({name}): the dialog has {TIMERS_PER_DIALOG_MAX} timers already"
            )));
        }
        // Milliseconds are what a snapshot keeps: a timer must be the same on both sides of a failover.
        self.0.push((name.to_owned(), Duration::from_millis(at.as_millis() as u64)));
        Ok(())
    }

    fn cancel(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }
}

impl From<Vec<(String, Timestamp)>> for Timers {
    fn from(timers: Vec<(String, Timestamp)>) -> Self {
        Self(timers)
    }
}

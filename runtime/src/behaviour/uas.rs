//! A UAS whose answer is chosen by the user part of the Request-URI.

use std::time::Duration;

use holdline_sip::dialog::Body;
use holdline_sip::wire::{Method, Request};

use crate::dialog::Dialog;
use crate::handler::{DialogHandler, Result};

/// How long `answer-bye` stays on the line.
const TALK: Duration = Duration::from_secs(3);
const HANG_UP: &str = "hang-up";

/// `answer` answers at once; `ring` only rings; `answer-bye` answers and hangs up after 3 s; `rejectNNN` refuses with that
/// status; anything else is like `answer`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Uas;

impl DialogHandler for Uas {
    type Data = ();
    type Msg = ();

    async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, invite: &Request) -> Result {
        let uri = invite.parsed_uri()?;
        let user = uri.user.as_deref().unwrap_or_default();
        if let Some(status) = user.strip_prefix("reject").and_then(|status| status.parse().ok()) {
            return dialog.reject(status);
        }
        dialog.ring()?;
        match user {
            "ring" => Ok(()),
            "answer-bye" => {
                dialog.set_timer(HANG_UP, TALK)?;
                dialog.answer(session(invite))
            }
            _ => dialog.answer(session(invite)),
        }
    }

    async fn on_request(&self, dialog: &mut Dialog<'_, Self>, request: &Request) -> Result {
        match request.method() {
            Method::Invite => dialog.respond(200, session(request)),
            Method::Info | Method::Options | Method::Message => dialog.respond(200, None),
            _ => Ok(()),
        }
    }

    async fn on_timer(&self, dialog: &mut Dialog<'_, Self>, _name: &str) -> Result {
        dialog.bye()
    }
}

/// No media here: the offer comes back as the answer, so that the caller has a session description to accept.
fn session(invite: &Request) -> Option<Body> {
    let content_type = invite.content_type()?.to_owned();
    Some(Body { content_type, bytes: invite.body() })
}

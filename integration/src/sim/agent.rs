//! The applications of a run: a UAS on the nodes, and the callers.

use std::time::Duration;

use holdline::{Dialog, DialogHandler, NodeId, Request, Response, Result};

/// What the UAS keeps with each call.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Kept {
    /// Takeovers this call has seen.
    #[prost(uint32, tag = "1")]
    pub takeovers: u32,
}

/// Answers after the milliseconds in the user part, by a timer; `…-bye` hangs up a while later.
pub(super) struct Called;

impl DialogHandler for Called {
    type Data = Kept;
    type Msg = ();

    async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, invite: &Request) -> Result {
        let uri = invite.parsed_uri()?;
        let (delay, then) = uri.user.as_deref().unwrap_or_default().split_once('-').unwrap_or_default();
        if then == "bye" {
            dialog.set_timer("bye", Duration::from_secs(9))?;
        }
        match delay.parse() {
            Ok(0) | Err(_) => dialog.answer(None),
            Ok(delay) => {
                dialog.ring()?;
                dialog.set_timer("answer", Duration::from_millis(delay))
            }
        }
    }

    async fn on_timer(&self, dialog: &mut Dialog<'_, Self>, name: &str) -> Result {
        match name {
            "answer" => dialog.answer(None),
            // The caller may have hung up in the meantime, or never have sent its ACK.
            _ => dialog.bye().or(Ok(())),
        }
    }

    async fn on_recovered(&self, dialog: &mut Dialog<'_, Self>, _lost: &NodeId) -> Result {
        dialog.data_mut().takeovers += 1;
        Ok(())
    }
}

/// A caller hangs up on a phone that rings for longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Talks for a while, then hangs up.
pub(super) struct Calling {
    pub(super) talk: Duration,
}

impl DialogHandler for Calling {
    type Data = ();
    type Msg = ();

    async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, _invite: &Request) -> Result {
        dialog.reject(486)
    }

    async fn on_response(&self, dialog: &mut Dialog<'_, Self>, response: &Response) -> Result {
        match response.status().is_provisional() {
            true => dialog.set_timer("hang-up", PATIENCE),
            false => Ok(()),
        }
    }

    async fn on_established(&self, dialog: &mut Dialog<'_, Self>) -> Result {
        dialog.set_timer("hang-up", self.talk)
    }

    async fn on_timer(&self, dialog: &mut Dialog<'_, Self>, _name: &str) -> Result {
        // The cluster may have hung up first.
        dialog.bye().or(Ok(()))
    }
}

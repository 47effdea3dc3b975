//! A dialog as bytes and back: the one place that knows both the dialog core and the format its replicas hold.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdline_cluster::id::Key;
use holdline_protos::v1;
use holdline_sip::dialog::{self, Body, Dialog, DialogId, Ended, Role, State};
use holdline_sip::wire::{Method, Request, StatusCode};
use holdline_sip::{Ingress, Timestamp};
use prost::Message as _;

use super::{address, flow};
use crate::dialog::Timers;
use crate::handler::DialogData;
use crate::step::Birth;

/// A snapshot that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("it is no snapshot: {0}")]
    Decode(#[from] prost::DecodeError),
    #[error("its field {0} is missing or out of range")]
    Field(&'static str),
}

/// The dialog, its data and its timers as bytes. `None` for data leaves the data out, and so does the end of the dialog.
pub(crate) fn encode<D: DialogData>(core: &dialog::Snapshot, data: Option<&D>, timers: &Timers) -> Bytes {
    let timers = timers.iter().map(|(name, at)| v1::Timer { name: name.clone(), at_ms: ms(*at) }).collect();
    let data = data.filter(|_| core.state != State::Terminated).map(|data| data.encode_to_vec().into());
    v1::Snapshot { dialog: Some(dialog(core)), data, timers }.encode_to_vec().into()
}

/// The actor that goes on from the snapshot. After a takeover the core sends again what the dead node may not have.
pub(crate) fn restore(
    now: Timestamp,
    config: &Arc<dialog::Config>,
    key: Key,
    bytes: &Bytes,
    takeover: bool,
) -> Result<Birth, Error> {
    let snapshot = v1::Snapshot::decode(bytes.clone())?;
    let core = core(snapshot.dialog.ok_or(Error::Field("dialog"))?)?;
    Ok(Birth {
        core: Dialog::restore(now, config, core, takeover),
        key,
        life: 0,
        version: 0,
        last: bytes.clone(),
        data: snapshot.data,
        timers: snapshot.timers.into_iter().map(|timer| (timer.name, at(timer.at_ms))).collect(),
    })
}

/// What a new owner must know of a dialog before it starts its actor.
#[derive(Debug, Default)]
pub(crate) struct Peek {
    /// Call-ID and the peer's tag.
    pub(crate) call_id: String,
    pub(crate) remote_tag: String,
    /// Something is under way: a 2xx without its ACK, a BYE, a re-INVITE.
    pub(crate) urgent: bool,
    /// The next timer of the application.
    pub(crate) timer: Option<Timestamp>,
}

/// Reads the little that [`Peek`] holds.
pub(crate) fn peek(bytes: &Bytes) -> Result<Peek, Error> {
    let snapshot = v1::Snapshot::decode(bytes.clone())?;
    let dialog = snapshot.dialog.ok_or(Error::Field("dialog"))?;
    Ok(Peek {
        urgent: dialog.unacked.is_some() || dialog.closing.is_some() || dialog.retry.is_some(),
        call_id: dialog.call_id,
        remote_tag: dialog.remote_tag,
        timer: snapshot.timers.iter().map(|timer| at(timer.at_ms)).min(),
    })
}

/// What an INVITE without our tag is to a dialog that was taken over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// Another INVITE.
    No,
    /// The one that made the dialog; this 2xx of it has no ACK yet.
    Unacked(Bytes),
    /// The one that made the dialog, long answered.
    Settled,
}

/// Whether `invite` made the dialog (RFC 3261 §17.2.3: its transaction died with another node).
pub(crate) fn repeated(bytes: &Bytes, invite: &Request) -> Repeated {
    let dialog = v1::Snapshot::decode(bytes.clone()).ok().and_then(|snapshot| snapshot.dialog);
    let made_by = |dialog: &v1::Dialog| {
        dialog.role() == v1::DialogRole::Uas
            && dialog.call_id == invite.call_id()
            && dialog.remote_tag == invite.from_tag().unwrap_or_default()
            && dialog.invite_cseq == invite.cseq().number
    };
    match dialog.filter(made_by) {
        None => Repeated::No,
        Some(v1::Dialog { unacked: Some(unacked), .. }) => Repeated::Unacked(unacked.response),
        Some(_) => Repeated::Settled,
    }
}

/// The role as it is kept.
pub(crate) fn role(role: Role) -> v1::DialogRole {
    match role {
        Role::Uas => v1::DialogRole::Uas,
        Role::Uac => v1::DialogRole::Uac,
    }
}

/// The state as it is kept.
pub(crate) fn state(state: State) -> v1::DialogState {
    match state {
        State::Initial => v1::DialogState::Initial,
        State::Early => v1::DialogState::Early,
        State::Confirmed => v1::DialogState::Confirmed,
        State::Closing => v1::DialogState::Closing,
        State::Terminated => v1::DialogState::Terminated,
    }
}

fn dialog(s: &dialog::Snapshot) -> v1::Dialog {
    // A UAS that is over sends no more requests: what is kept of it is what answers one that comes again. A UAC may have to
    // end another branch of its INVITE.
    let over = s.state == State::Terminated && s.role == Role::Uas;
    let kept = |text: &String| if over { String::new() } else { text.clone() };
    v1::Dialog {
        call_id: s.id.call_id.clone(),
        local_tag: s.id.local_tag.clone(),
        remote_tag: s.id.remote_tag.clone(),
        role: role(s.role).into(),
        state: state(s.state).into(),
        local_uri: kept(&s.local_uri),
        remote_uri: kept(&s.remote_uri),
        remote_target: kept(&s.remote_target),
        route_set: if over { Vec::new() } else { s.route_set.clone() },
        branch_prefix: kept(&s.branch_prefix),
        local_cseq: s.local_cseq,
        invite_cseq: s.invite_cseq,
        remote_cseq: s.remote_cseq,
        remote_answered: s.remote_answered,
        confirmed: s.confirmed,
        ended: s.ended.map(ended),
        unacked: s.unacked.as_ref().map(unacked),
        client_invite: s.client_invite.as_ref().map(|c| v1::ClientInvite {
            cseq: c.cseq,
            body: c.body.as_ref().map(body),
            retried: c.retried,
            cancelled: c.cancelled,
        }),
        awaiting_ack: s.awaiting_ack,
        acked: s.acked.as_ref().map(|a| v1::AckedBody {
            cseq: a.cseq,
            body: Some(body(&a.body)),
            forget_at_ms: ms(a.forget_at),
        }),
        invite_deadline_ms: s.invite_deadline.map(ms),
        retry: s.retry.as_ref().map(|r| v1::Retry { at_ms: ms(r.at), body: r.body.as_ref().map(body) }),
        closing: s.closing.as_ref().map(|c| v1::Closing {
            cseq: c.cseq,
            why: Some(ended(c.why)),
            give_up_at_ms: ms(c.give_up_at),
        }),
        bye_wanted: s.bye_wanted.as_ref().map(|b| v1::ByeWanted { reason: b.reason.clone() }),
        last_answer: s.last_answer.as_ref().map(|l| v1::LastAnswer {
            cseq: l.cseq,
            method: l.method.as_str().to_owned(),
            branch: l.branch.clone(),
            response: l.response.clone(),
            forget_at_ms: ms(l.forget_at),
        }),
        forks: s.forks.iter().map(fork).collect(),
    }
}

fn core(d: v1::Dialog) -> Result<dialog::Snapshot, Error> {
    Ok(dialog::Snapshot {
        role: match d.role() {
            v1::DialogRole::Uas => Role::Uas,
            v1::DialogRole::Uac => Role::Uac,
            v1::DialogRole::Unspecified => return Err(Error::Field("role")),
        },
        state: match d.state() {
            v1::DialogState::Initial => State::Initial,
            v1::DialogState::Early => State::Early,
            v1::DialogState::Confirmed => State::Confirmed,
            v1::DialogState::Closing => State::Closing,
            v1::DialogState::Terminated => State::Terminated,
            v1::DialogState::Unspecified => return Err(Error::Field("state")),
        },
        id: DialogId { call_id: d.call_id, local_tag: d.local_tag, remote_tag: d.remote_tag },
        local_uri: d.local_uri,
        remote_uri: d.remote_uri,
        remote_target: d.remote_target,
        route_set: d.route_set,
        branch_prefix: d.branch_prefix,
        local_cseq: d.local_cseq,
        invite_cseq: d.invite_cseq,
        remote_cseq: d.remote_cseq,
        remote_answered: d.remote_answered,
        confirmed: d.confirmed,
        ended: d.ended.map(core_ended).transpose()?,
        unacked: d.unacked.map(core_unacked).transpose()?,
        client_invite: d.client_invite.map(|c| dialog::ClientInvite {
            cseq: c.cseq,
            body: c.body.map(core_body),
            retried: c.retried,
            cancelled: c.cancelled,
        }),
        awaiting_ack: d.awaiting_ack,
        acked: d.acked.map(core_acked).transpose()?,
        invite_deadline: d.invite_deadline_ms.map(at),
        retry: d.retry.map(|r| dialog::Retry { at: at(r.at_ms), body: r.body.map(core_body) }),
        closing: d.closing.map(core_closing).transpose()?,
        bye_wanted: d.bye_wanted.map(|b| dialog::ByeWanted { reason: b.reason }),
        last_answer: d.last_answer.map(core_last_answer).transpose()?,
        forks: d.forks.into_iter().map(core_fork).collect(),
        pending: Vec::new(),
    })
}

fn ended(why: Ended) -> v1::Ended {
    use v1::ended::Why;
    let (why, status) = match why {
        Ended::RemoteBye => (Why::RemoteBye, None),
        Ended::LocalBye => (Why::LocalBye, None),
        Ended::Cancelled => (Why::Cancelled, None),
        Ended::Rejected(status) => (Why::Rejected, Some(status)),
        Ended::Failed(status) => (Why::Failed, Some(status)),
        Ended::NoAck => (Why::NoAck, None),
        Ended::Timeout => (Why::Timeout, None),
    };
    v1::Ended { why: why.into(), status: status.map_or(0, |status| u32::from(status.code())) }
}

fn core_ended(ended: v1::Ended) -> Result<Ended, Error> {
    use v1::ended::Why;
    let status = || {
        let status = u16::try_from(ended.status).ok().and_then(StatusCode::new);
        status.ok_or(Error::Field("ended.status"))
    };
    Ok(match ended.why() {
        Why::RemoteBye => Ended::RemoteBye,
        Why::LocalBye => Ended::LocalBye,
        Why::Cancelled => Ended::Cancelled,
        Why::Rejected => Ended::Rejected(status()?),
        Why::Failed => Ended::Failed(status()?),
        Why::NoAck => Ended::NoAck,
        Why::Timeout => Ended::Timeout,
        Why::Unspecified => return Err(Error::Field("ended.why")),
    })
}

fn unacked(u: &dialog::Unacked) -> v1::Unacked {
    v1::Unacked {
        cseq: u.cseq,
        branch: u.branch.clone(),
        response: u.response.clone(),
        flow: Some(address(u.flow)),
        next_at_ms: ms(u.next_at),
        interval_ms: ms(u.interval) as u32,
        give_up_at_ms: ms(u.give_up_at),
    }
}

fn core_unacked(u: v1::Unacked) -> Result<dialog::Unacked, Error> {
    let flow = u.flow.and_then(|address| flow(&address, Ingress::default()));
    Ok(dialog::Unacked {
        cseq: u.cseq,
        branch: u.branch,
        response: own(&u.response),
        flow: flow.ok_or(Error::Field("unacked.flow"))?,
        next_at: at(u.next_at_ms),
        interval: at(u.interval_ms.into()),
        give_up_at: at(u.give_up_at_ms),
    })
}

fn core_closing(c: v1::Closing) -> Result<dialog::Closing, Error> {
    let why = core_ended(c.why.ok_or(Error::Field("closing.why"))?)?;
    Ok(dialog::Closing { cseq: c.cseq, why, give_up_at: at(c.give_up_at_ms) })
}

fn core_acked(a: v1::AckedBody) -> Result<dialog::AckedBody, Error> {
    let body = a.body.map(core_body).ok_or(Error::Field("acked.body"))?;
    Ok(dialog::AckedBody { cseq: a.cseq, body, forget_at: at(a.forget_at_ms) })
}

fn core_last_answer(l: v1::LastAnswer) -> Result<dialog::LastAnswer, Error> {
    Ok(dialog::LastAnswer {
        cseq: l.cseq,
        method: l.method.parse::<Method>().map_err(|_| Error::Field("last_answer.method"))?,
        branch: l.branch,
        response: own(&l.response),
        forget_at: at(l.forget_at_ms),
    })
}

fn fork(f: &dialog::Fork) -> v1::Fork {
    v1::Fork { tag: f.tag.clone(), bye_cseq: f.bye_cseq, forget_at_ms: ms(f.forget_at) }
}

fn core_fork(f: v1::Fork) -> dialog::Fork {
    dialog::Fork { tag: f.tag, bye_cseq: f.bye_cseq, forget_at: at(f.forget_at_ms) }
}

fn body(body: &Body) -> v1::Body {
    v1::Body { content_type: body.content_type.clone(), bytes: body.bytes.clone() }
}

fn core_body(body: v1::Body) -> Body {
    Body { content_type: body.content_type, bytes: own(&body.bytes) }
}

/// A copy that does not pin the snapshot it was read from.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn ms(at: Duration) -> u64 {
    at.as_millis() as u64
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1_700_000_000_123);

    /// Every field set to something that is not its default.
    fn everything() -> dialog::Snapshot {
        let id: DialogId = "c1;local=ours;remote=theirs".parse().unwrap();
        let config = Arc::new(dialog::Config::default());
        let call = dialog::Call {
            to_uri: "sip:bob@192.0.2.7".into(),
            from_uri: "sip:ann@192.0.2.9".into(),
            ..Default::default()
        };
        let session = Body::sdp("v=0\r\n");
        dialog::Snapshot {
            id,
            state: State::Closing,
            remote_target: "sip:bob@192.0.2.8;transport=udp".into(),
            route_set: vec!["<sip:192.0.2.1;lr>".into(), "<sip:192.0.2.2;lr>".into()],
            branch_prefix: "prefix".into(),
            local_cseq: 7,
            invite_cseq: 3,
            remote_cseq: Some(0),
            remote_answered: true,
            confirmed: true,
            ended: Some(Ended::Failed(StatusCode::BUSY_HERE)),
            unacked: Some(dialog::Unacked {
                cseq: 4,
                branch: "z9hG4bKu".into(),
                response: Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n"),
                flow: holdline_sip::Flow::udp("[2001:db8::9]:5062".parse().unwrap()),
                next_at: NOW,
                interval: Duration::from_millis(500),
                give_up_at: NOW * 2,
            }),
            client_invite: Some(dialog::ClientInvite {
                cseq: 5,
                body: Some(session.clone()),
                retried: true,
                cancelled: true,
            }),
            awaiting_ack: Some(6),
            acked: Some(dialog::AckedBody { cseq: 2, body: session.clone(), forget_at: NOW }),
            invite_deadline: Some(NOW),
            retry: Some(dialog::Retry { at: NOW, body: Some(session) }),
            closing: Some(dialog::Closing { cseq: 8, why: Ended::NoAck, give_up_at: NOW }),
            bye_wanted: Some(dialog::ByeWanted { reason: Some("Q.850;cause=16".into()) }),
            last_answer: Some(dialog::LastAnswer {
                cseq: 9,
                method: Method::Info,
                branch: "z9hG4bKa".into(),
                response: Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n"),
                forget_at: NOW,
            }),
            forks: vec![dialog::Fork { tag: "other".into(), bye_cseq: 10, forget_at: NOW }],
            ..Dialog::uac(NOW, &config, call).unwrap().to_snapshot()
        }
    }

    #[test]
    fn every_field_survives_the_way_through_bytes() {
        let core_before = everything();
        let timers = Timers::from(vec![("answer".to_owned(), NOW)]);
        let bytes = encode(&core_before, Some(&()), &timers);
        let read = v1::Snapshot::decode(bytes).unwrap();
        let core_after = core(read.dialog.unwrap()).unwrap();
        assert_eq!(format!("{core_after:#?}"), format!("{core_before:#?}"));
        assert_eq!((read.timers[0].name.as_str(), read.timers[0].at_ms), ("answer", ms(NOW)));
    }

    #[test]
    fn every_end_survives_the_way_through_bytes() {
        let all = [
            Ended::RemoteBye,
            Ended::LocalBye,
            Ended::Cancelled,
            Ended::Rejected(StatusCode::BUSY_HERE),
            Ended::Failed(StatusCode::DECLINE),
            Ended::NoAck,
            Ended::Timeout,
        ];
        for why in all {
            assert_eq!(core_ended(ended(why)).unwrap(), why);
        }
    }

    #[test]
    fn a_peek_says_what_cannot_wait() {
        let bytes = encode(&everything(), None::<&()>, &Timers::from(vec![("t".to_owned(), NOW)]));
        let peek = peek(&bytes).unwrap();
        assert_eq!((peek.call_id.as_str(), peek.remote_tag.as_str()), ("c1", "theirs"));
        assert!(peek.urgent);
        assert_eq!(peek.timer, Some(NOW));
    }

    #[test]
    fn what_is_no_snapshot_names_what_is_wrong_with_it() {
        let config = Arc::new(dialog::Config::default());
        let key = Key { placement: 0, id: 0 };
        let read =
            |bytes: &'static [u8]| restore(NOW, &config, key, &Bytes::from_static(bytes), true).unwrap_err();
        assert_eq!(read(b"").to_string(), "its field dialog is missing or out of range");
        assert_eq!(read(&[0x0a, 0x00]).to_string(), "its field role is missing or out of range");
        assert!(read(b"\xff\xff").to_string().starts_with("it is no snapshot"));
    }
}

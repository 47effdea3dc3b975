//! Phase records: what a member says of itself beyond its identity, spread as foca's custom broadcasts.
//!
//! A record is `{name, boot, revision, phase}`. Dynamic facts never go through `change_identity`: that would look like
//! a death and a birth. A member without a record is `Up`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BufMut};
use foca::{BroadcastHandler, Invalidates};

use super::codec::CodecError;
use super::identity::Identity;
use crate::id::NodeId;
use crate::view::Phase;

/// Records kept; well above the largest cluster, so that forged names cannot grow the table without end.
const RECORDS_MAX: usize = 2_048;

/// The newest record of every member that sent one. Foca owns the handler and does not give it back, hence the `Arc`.
#[derive(Debug, Clone, Default)]
pub(super) struct Phases(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    records: BTreeMap<NodeId, Record>,
    changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    boot: u64,
    revision: u32,
    phase: Phase,
}

impl Phases {
    pub(super) fn of(&self, id: &Identity) -> Phase {
        match self.lock().records.get(&id.name) {
            Some(record) if record.boot == id.boot => record.phase,
            _ => Phase::Up,
        }
    }

    /// Whether a record came in since the last call.
    pub(super) fn take_changed(&self) -> bool {
        std::mem::take(&mut self.lock().changed)
    }

    /// Forgets those who are no members, once there are many: a record may arrive before its member.
    pub(super) fn trim(&self, is_member: impl Fn(&NodeId) -> bool) {
        let mut table = self.lock();
        if table.records.len() >= RECORDS_MAX / 2 {
            table.records.retain(|name, _| is_member(name));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One record as it travels.
pub(super) fn encode(name: &NodeId, boot: u64, revision: u32, phase: Phase) -> Vec<u8> {
    let mut out = Vec::with_capacity(14 + name.as_str().len());
    out.put_u64(boot);
    out.put_u32(revision);
    out.put_u8(match phase {
        Phase::Joining => 0,
        Phase::Up => 1,
        Phase::Draining => 2,
    });
    out.put_slice(name.as_str().as_bytes());
    out
}

fn decode(mut data: &[u8]) -> Result<(NodeId, Record), CodecError> {
    let (boot, revision) = (data.try_get_u64()?, data.try_get_u32()?);
    let phase = match data.try_get_u8()? {
        0 => Phase::Joining,
        1 => Phase::Up,
        2 => Phase::Draining,
        other => return Err(CodecError::State(other)),
    };
    let name = std::str::from_utf8(data).ok().and_then(|name| name.parse().ok()).ok_or(CodecError::Name)?;
    Ok((name, Record { boot, revision, phase }))
}

/// A record replaces the older ones of the same member in foca's backlog.
#[derive(Debug)]
pub(super) struct Newest {
    name: NodeId,
    stamp: (u64, u32),
}

impl Invalidates for Newest {
    fn invalidates(&self, other: &Self) -> bool {
        self.name == other.name && self.stamp >= other.stamp
    }
}

impl BroadcastHandler<Identity> for Phases {
    type Key = Newest;
    type Error = CodecError;

    fn receive_item(
        &mut self,
        data: &[u8],
        _sender: Option<&Identity>,
    ) -> Result<Option<Newest>, CodecError> {
        let (name, record) = decode(data)?;
        let mut table = self.lock();
        let stamp = (record.boot, record.revision);
        match table.records.get(&name) {
            Some(known) if (known.boot, known.revision) >= stamp => return Ok(None),
            None if table.records.len() >= RECORDS_MAX => return Ok(None),
            _ => {}
        }
        table.records.insert(name.clone(), record);
        table.changed = true;
        Ok(Some(Newest { name, stamp }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(phases: &mut Phases, boot: u64, revision: u32, phase: Phase) -> bool {
        let name: NodeId = "n1".parse().unwrap();
        phases.receive_item(&encode(&name, boot, revision, phase), None).unwrap().is_some()
    }

    fn n1(boot: u64) -> Identity {
        let mut id = Identity::unknown_at("127.0.0.1:1".parse().unwrap());
        (id.name, id.boot) = ("n1".parse().unwrap(), boot);
        id
    }

    #[test]
    fn the_newest_record_of_the_process_counts() {
        let mut phases = Phases::default();
        assert_eq!(phases.of(&n1(5)), Phase::Up, "no record");
        assert!(receive(&mut phases, 5, 1, Phase::Draining));
        assert!(!receive(&mut phases, 5, 1, Phase::Joining), "already known: not spread again");
        assert!(!receive(&mut phases, 4, 9, Phase::Joining), "of an earlier process");
        assert_eq!(phases.of(&n1(5)), Phase::Draining);
        assert_eq!(phases.of(&n1(6)), Phase::Up, "the record is not about this process");
        assert!(phases.take_changed());
        assert!(!phases.take_changed());
    }

    #[test]
    fn the_table_is_bounded_and_members_keep_their_records() {
        let mut phases = Phases::default();
        assert!(receive(&mut phases, 5, 1, Phase::Draining));
        for i in 0..RECORDS_MAX {
            let stranger: NodeId = format!("x{i}").parse().unwrap();
            phases.receive_item(&encode(&stranger, 1, 1, Phase::Up), None).unwrap();
        }
        assert_eq!(phases.lock().records.len(), RECORDS_MAX);
        phases.trim(|name| name.as_str() == "n1");
        assert_eq!(phases.lock().records.len(), 1);
        assert_eq!(phases.of(&n1(5)), Phase::Draining);
    }

    #[test]
    fn a_bad_record_is_an_error() {
        let mut phases = Phases::default();
        for bad in [&b""[..], b"too short", &[0; 13], &[9; 40]] {
            assert!(phases.receive_item(bad, None).is_err(), "{bad:?}");
        }
    }
}

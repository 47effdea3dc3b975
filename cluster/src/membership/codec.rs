//! How gossip messages are laid out in a datagram: own compact form, big endian, lengths first, no allocation to encode.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut, TryGetError};
use foca::{Header, Incarnation, Member, Message, State};

use super::identity::Identity;
use crate::id::NodeId;
use crate::view::Role;

/// Longest zone name in bytes; with a name of 32 and two IPv6 addresses an identity stays under 120 bytes.
pub const ZONE_MAX: usize = 32;

/// Bits of the byte before an identity's addresses.
const OBSERVER: u8 = 1;
const CLUSTER_V6: u8 = 2;
const SERVICE_V6: u8 = 4;

/// The codec of gossip protocol version 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codec;

/// Why a gossip message could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    #[error("no room left in the datagram")]
    NoRoom,
    #[error("cut short")]
    Short,
    #[error("unknown message kind {0}")]
    Kind(u8),
    #[error("unknown member state {0}")]
    State(u8),
    #[error("unknown identity flags {0:#x}")]
    Flags(u8),
    #[error("bad node name")]
    Name,
    #[error("bad zone name")]
    Zone,
}

impl From<TryGetError> for CodecError {
    fn from(_: TryGetError) -> Self {
        Self::Short
    }
}

impl foca::Codec<Identity> for Codec {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<Identity>, mut buf: impl BufMut) -> Result<(), CodecError> {
        let (kind, target, number) = split(&header.message);
        let target_len = target.map_or(0, identity_len);
        reserve(&buf, identity_len(&header.src) + 2 + identity_len(&header.dst) + 1 + target_len + 1)?;
        put_identity(&header.src, &mut buf);
        buf.put_u16(header.src_incarnation);
        put_identity(&header.dst, &mut buf);
        buf.put_u8(kind);
        if let Some(target) = target {
            put_identity(target, &mut buf);
        }
        if let Some(number) = number {
            buf.put_u8(number);
        }
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        let src = identity(&mut buf)?;
        let src_incarnation: Incarnation = buf.try_get_u16()?;
        let dst = identity(&mut buf)?;
        let message = message(&mut buf)?;
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &Member<Identity>, mut buf: impl BufMut) -> Result<(), CodecError> {
        reserve(&buf, identity_len(member.id()) + 3)?;
        put_identity(member.id(), &mut buf);
        buf.put_u16(member.incarnation());
        buf.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<Identity>, CodecError> {
        let id = identity(&mut buf)?;
        let incarnation = buf.try_get_u16()?;
        let state = match buf.try_get_u8()? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            other => return Err(CodecError::State(other)),
        };
        Ok(Member::new(id, incarnation, state))
    }
}

/// A message as kind, third party and probe number.
fn split(message: &Message<Identity>) -> (u8, Option<&Identity>, Option<u8>) {
    match message {
        Message::Ping(number) => (0, None, Some(*number)),
        Message::Ack(number) => (1, None, Some(*number)),
        Message::PingReq { target, probe_number } => (2, Some(target), Some(*probe_number)),
        Message::IndirectPing { origin, probe_number } => (3, Some(origin), Some(*probe_number)),
        Message::IndirectAck { target, probe_number } => (4, Some(target), Some(*probe_number)),
        Message::ForwardedAck { origin, probe_number } => (5, Some(origin), Some(*probe_number)),
        Message::Announce => (6, None, None),
        Message::Feed => (7, None, None),
        Message::Gossip => (8, None, None),
        Message::Broadcast => (9, None, None),
        Message::TurnUndead => (10, None, None),
    }
}

fn message(buf: &mut impl Buf) -> Result<Message<Identity>, CodecError> {
    Ok(match buf.try_get_u8()? {
        0 => Message::Ping(buf.try_get_u8()?),
        1 => Message::Ack(buf.try_get_u8()?),
        2 => Message::PingReq { target: identity(buf)?, probe_number: buf.try_get_u8()? },
        3 => Message::IndirectPing { origin: identity(buf)?, probe_number: buf.try_get_u8()? },
        4 => Message::IndirectAck { target: identity(buf)?, probe_number: buf.try_get_u8()? },
        5 => Message::ForwardedAck { origin: identity(buf)?, probe_number: buf.try_get_u8()? },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        10 => Message::TurnUndead,
        other => return Err(CodecError::Kind(other)),
    })
}

fn reserve(buf: &impl BufMut, len: usize) -> Result<(), CodecError> {
    if buf.remaining_mut() < len { Err(CodecError::NoRoom) } else { Ok(()) }
}

fn identity_len(id: &Identity) -> usize {
    1 + id.name.as_str().len() + 8 + 4 + 1 + addr_len(&id.cluster) + addr_len(&id.service) + 1 + id.zone.len()
}

fn addr_len(addr: &SocketAddr) -> usize {
    if addr.is_ipv6() { 18 } else { 6 }
}

fn put_identity(id: &Identity, buf: &mut impl BufMut) {
    put_text(id.name.as_str(), buf);
    buf.put_u64(id.boot);
    buf.put_u32(id.renew);
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    buf.put_u8(
        flag(id.role == Role::Observer, OBSERVER)
            | flag(id.cluster.is_ipv6(), CLUSTER_V6)
            | flag(id.service.is_ipv6(), SERVICE_V6),
    );
    put_addr(&id.cluster, buf);
    put_addr(&id.service, buf);
    put_text(&id.zone, buf);
}

fn identity(buf: &mut impl Buf) -> Result<Identity, CodecError> {
    let name: NodeId = text(buf)?.and_then(|name| name.parse().ok()).ok_or(CodecError::Name)?;
    let boot = buf.try_get_u64()?;
    let renew = buf.try_get_u32()?;
    let flags = buf.try_get_u8()?;
    if flags & !(OBSERVER | CLUSTER_V6 | SERVICE_V6) != 0 {
        return Err(CodecError::Flags(flags));
    }
    let role = if flags & OBSERVER == 0 { Role::Node } else { Role::Observer };
    let cluster = addr(buf, flags & CLUSTER_V6 != 0)?;
    let service = addr(buf, flags & SERVICE_V6 != 0)?;
    let zone = text(buf)?.filter(|zone| zone.len() <= ZONE_MAX).ok_or(CodecError::Zone)?;
    Ok(Identity { name, boot, renew, role, cluster, service, zone })
}

fn put_addr(addr: &SocketAddr, buf: &mut impl BufMut) {
    match addr.ip() {
        IpAddr::V4(ip) => buf.put_slice(&ip.octets()),
        IpAddr::V6(ip) => buf.put_slice(&ip.octets()),
    }
    buf.put_u16(addr.port());
}

fn addr(buf: &mut impl Buf, v6: bool) -> Result<SocketAddr, CodecError> {
    let ip: IpAddr = if v6 {
        let mut octets = [0u8; 16];
        buf.try_copy_to_slice(&mut octets)?;
        octets.into()
    } else {
        let mut octets = [0u8; 4];
        buf.try_copy_to_slice(&mut octets)?;
        octets.into()
    };
    Ok(SocketAddr::new(ip, buf.try_get_u16()?))
}

/// Names have at most 32 bytes and zones [`ZONE_MAX`], so one byte of length is enough.
fn put_text(text: &str, buf: &mut impl BufMut) {
    debug_assert!(text.len() <= usize::from(u8::MAX), "texts in identities are short");
    buf.put_u8(text.len() as u8);
    buf.put_slice(text.as_bytes());
}

/// `None` when it is not UTF-8.
fn text(buf: &mut impl Buf) -> Result<Option<String>, CodecError> {
    let mut bytes = vec![0; usize::from(buf.try_get_u8()?)];
    buf.try_copy_to_slice(&mut bytes)?;
    Ok(String::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use foca::Codec as _;
    use proptest::prelude::*;

    use super::*;

    fn any_identity() -> impl Strategy<Value = Identity> {
        let addr = || any::<(IpAddr, u16)>().prop_map(|(ip, port)| SocketAddr::new(ip, port));
        ("[a-zA-Z0-9._-]{1,32}", any::<(u64, u32, bool)>(), addr(), addr(), "[a-z0-9-]{0,32}").prop_map(
            |(name, (boot, renew, observer), cluster, service, zone)| Identity {
                name: name.parse().unwrap(),
                boot,
                renew,
                role: if observer { Role::Observer } else { Role::Node },
                cluster,
                service,
                zone,
            },
        )
    }

    fn any_message() -> impl Strategy<Value = Message<Identity>> {
        (0..11u8, any_identity(), any::<u8>()).prop_map(|(kind, id, number)| match kind {
            0 => Message::Ping(number),
            1 => Message::Ack(number),
            2 => Message::PingReq { target: id, probe_number: number },
            3 => Message::IndirectPing { origin: id, probe_number: number },
            4 => Message::IndirectAck { target: id, probe_number: number },
            5 => Message::ForwardedAck { origin: id, probe_number: number },
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            9 => Message::Broadcast,
            _ => Message::TurnUndead,
        })
    }

    proptest! {
        #[test]
        fn headers_survive_the_wire(src in any_identity(), dst in any_identity(), message in any_message(), inc: u16) {
            let header = Header { src, src_incarnation: inc, dst, message };
            let mut buf = BytesMut::new();
            Codec.encode_header(&header, &mut buf).unwrap();
            let mut rest = buf.freeze();
            prop_assert_eq!(Codec.decode_header(&mut rest).unwrap(), header);
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn members_survive_the_wire_and_a_cut_is_an_error(id in any_identity(), inc: u16, state in 0..3u8, cut: prop::sample::Index) {
            let state = [State::Alive, State::Suspect, State::Down][usize::from(state)];
            let member = Member::new(id, inc, state);
            let mut buf = BytesMut::new();
            Codec.encode_member(&member, &mut buf).unwrap();
            prop_assert_eq!(&Codec.decode_member(&buf[..]).unwrap(), &member);
            prop_assert!(Codec.decode_member(&buf[..cut.index(buf.len())]).is_err());
        }

        #[test]
        fn a_full_datagram_stays_clean(id in any_identity(), room in 0..40usize) {
            let mut buf = Vec::new();
            let room = room.min(identity_len(&id) + 2);
            prop_assert!(Codec.encode_member(&Member::alive(id), (&mut buf).limit(room)).is_err());
            prop_assert!(buf.is_empty());
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Codec.decode_header(&bytes[..]);
            let _ = Codec.decode_member(&bytes[..]);
        }
    }

    #[test]
    fn an_ordinary_identity_is_small() {
        let mut id = Identity::unknown_at("10.0.0.1:7001".parse().unwrap());
        id.zone = "eu-1a".into();
        assert_eq!(identity_len(&id), 36);
    }
}

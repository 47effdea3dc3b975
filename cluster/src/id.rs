//! Names of things: nodes, epochs, keys and shards.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Number of shards; part of the wire contract, though a [`Key`] does not depend on it.
///
/// 4,096 keeps the busiest of 50 nodes below 1.4 times the mean.
pub const SHARDS: u16 = 4096;

/// Longest node name, in bytes: it travels in every gossip message and every certificate.
pub const NODE_NAME_MAX: usize = 32;

/// The name of a node, 1 to 32 characters of `[a-zA-Z0-9._-]`; cheap to clone.
///
/// ```
/// use holdline_cluster::id::NodeId;
/// let node: NodeId = "n1".parse().unwrap();
/// assert_eq!(node.to_string(), "n1");
/// assert!("n 1".parse::<NodeId>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = NodeNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.is_empty() || name.len() > NODE_NAME_MAX {
            return Err(NodeNameError::Length { length: name.len() });
        }
        match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
            Some(found) => Err(NodeNameError::Character { name: name.to_owned(), found }),
            None => Ok(Self(name.into())),
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for NodeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for NodeId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Why a text is no [`NodeId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeNameError {
    /// Empty or too long.
    #[error("a node name has 1 to {NODE_NAME_MAX} characters, this one has {length}")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// A character outside `[a-zA-Z0-9._-]`.
    #[error("node name {name:?} contains {found:?}; allowed are letters, digits, '.', '_' and '-'")]
    Character {
        /// The name.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
}

/// The right to own a shard, totally ordered: a higher term always wins, a tie is broken by the node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Rises with every change of owner; 0 means nobody has owned the shard yet.
    pub term: u32,
    /// The owner.
    pub node: NodeId,
    /// Which process of that name, so that a restarted node is told from its former self (milliseconds since the UNIX epoch).
    pub boot: u64,
}

impl Epoch {
    /// The epoch of a shard that nobody has owned yet, below every other.
    pub fn unclaimed() -> Self {
        Self { term: 0, node: NodeId("".into()), boot: 0 }
    }

    /// Whether nobody has owned the shard yet.
    pub fn is_unclaimed(&self) -> bool {
        self.term == 0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}#{}", self.term, self.node, self.boot)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a replicated item is called: where it lives and which one it is.
///
/// ```
/// use holdline_cluster::id::{Key, Shard};
/// assert_eq!(Key { placement: 0xffff, id: 7 }.shard(), Shard(4095));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Decides the shard; both legs of a call share it.
    pub placement: u16,
    /// Group (60 bits) and leg (2 bits), `group << 2 | leg`.
    pub id: u64,
}

impl Key {
    /// The shard this key belongs to. Keys sort by shard.
    pub fn shard(self) -> Shard {
        Shard(((u32::from(self.placement) * u32::from(SHARDS)) >> 16) as u16)
    }
}

/// One of the [`SHARDS`] parts of the key space, each owned by one node at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

impl Shard {
    /// Every shard.
    pub fn all() -> impl DoubleEndedIterator<Item = Shard> {
        (0..SHARDS).map(Shard)
    }

    /// Every key of this shard, as an inclusive range in [`Key`] order.
    pub fn keys(self) -> std::ops::RangeInclusive<Key> {
        const PLACEMENTS: u16 = (65_536 / SHARDS as u32) as u16;
        let first = self.0 * PLACEMENTS;
        Key { placement: first, id: 0 }..=Key { placement: first + (PLACEMENTS - 1), id: u64::MAX }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

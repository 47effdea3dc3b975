//! Maps by ids that the cluster drew itself, which nobody can choose so that they collide: a quick hash is enough.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A map by [`Key`](crate::id::Key)s (60 random bits of ours) or other numbers that we count or draw ourselves.
///
/// ```
/// use holdline_cluster::id::Key;
/// use holdline_cluster::own_ids::OwnIds;
///
/// let mut names: OwnIds<Key, &str> = OwnIds::default();
/// names.insert(Key { placement: 1, id: 4 }, "a call");
/// assert_eq!(names.get(&Key { placement: 1, id: 4 }), Some(&"a call"));
/// ```
pub type OwnIds<K, V> = HashMap<K, V, BuildHasherDefault<Fold>>;

/// A set of such ids.
pub type OwnIdSet<K> = HashSet<K, BuildHasherDefault<Fold>>;

/// Folds a few words into one: FxHash, as rustc has it.
#[derive(Debug, Default)]
pub struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

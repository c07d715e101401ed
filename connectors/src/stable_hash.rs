//! A hash that is kept in targets and in names of files: its algorithm never changes.

use std::hash::Hasher as _;

/// The standard library names the algorithm of this hasher; of its successor it promises nothing.
#[expect(deprecated, reason = "the only hasher whose algorithm is promised")]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::SipHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

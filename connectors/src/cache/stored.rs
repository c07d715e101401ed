//! One entry: its value with its end, and what it weighs.

use std::time::Instant;

use bytes::Bytes;

use super::Key;
use super::compression::{Compression, Packed};

/// About what an entry costs beside the bytes of its key and its value.
const ENTRY_BYTES: u64 = 96;

/// A value with its end.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    packed: Packed,
    pub(super) expires: Option<Instant>,
}

impl Stored {
    pub(super) fn new(
        value: Bytes,
        compression: Option<Compression>,
        expires: Option<Instant>,
    ) -> Self {
        Self {
            packed: Packed::of(value, compression),
            expires,
        }
    }

    pub(super) fn value(&self) -> Bytes {
        self.packed.value()
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// About how many bytes an entry has.
pub(super) fn size(key: &Key, stored: &Stored) -> u64 {
    (key.len() + stored.packed.len()) as u64 + ENTRY_BYTES
}

/// What an entry weighs: 1, or its bytes. Where both are bounded, an entry weighs at least its share of
/// the bytes, so that the bound of the entries holds, too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    pub(super) by_bytes: bool,
    pub(super) share: u64,
}

impl Weight {
    pub(super) fn of(self, key: &Key, stored: &Stored) -> u64 {
        match self.by_bytes {
            true => size(key, stored).max(self.share),
            false => 1,
        }
    }
}

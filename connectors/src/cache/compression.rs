//! How values are kept: as they are, or compressed where that makes them smaller.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shorter values are kept as they are.
const BYTES_MIN: usize = 64;
/// The level of zstd: fast.
const ZSTD_LEVEL: i32 = 1;

/// How values are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Fast, and less small.
    Lz4,
    /// Smaller, and slower.
    Zstd,
}

/// A value as it is kept.
#[derive(Debug, Clone)]
pub(super) enum Packed {
    Plain(Bytes),
    Lz4(Bytes),
    /// With the length of the value.
    Zstd(Bytes, usize),
}

impl Packed {
    /// Keeps a value; one that compression would not make smaller as it is.
    pub(super) fn of(value: Bytes, compression: Option<Compression>) -> Self {
        let (Some(compression), true) = (compression, value.len() >= BYTES_MIN) else {
            return Self::Plain(value);
        };
        let packed = match compression {
            Compression::Lz4 => Self::Lz4(lz4_flex::block::compress_prepend_size(&value).into()),
            Compression::Zstd => match zstd::bulk::compress(&value, ZSTD_LEVEL) {
                Ok(packed) => Self::Zstd(packed.into(), value.len()),
                Err(_) => return Self::Plain(value),
            },
        };
        match packed.len() < value.len() {
            true => packed,
            false => Self::Plain(value),
        }
    }

    /// The value.
    pub(super) fn value(&self) -> Bytes {
        let unpacked = match self {
            Self::Plain(value) => return value.clone(),
            Self::Lz4(packed) => lz4_flex::block::decompress_size_prepended(packed).ok(),
            Self::Zstd(packed, length) => zstd::bulk::decompress(packed, *length).ok(),
        };
        unpacked.expect("what was packed here is unpacked").into()
    }

    /// How many bytes are kept.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(bytes) | Self::Lz4(bytes) | Self::Zstd(bytes, _) => bytes.len(),
        }
    }
}

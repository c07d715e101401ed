//! Files that are compressed as a whole: `gzip` and `zstd`.

use std::io::{self, Read, Write as _};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How hard zstd compresses: its own default is 3.
const ZSTD_LEVEL: i32 = 3;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl Compression {
    /// What the name of such a file ends with, without the dot.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
        }
    }

    /// What the name of a file says of it; `None` where it is not compressed.
    pub(super) fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "gz" | "gzip" => Some(Self::Gzip),
            "zst" | "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Bytes as a member of their own; several behind one another are one file.
    pub(super) fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Zstd => zstd::stream::encode_all(bytes, ZSTD_LEVEL),
        }
    }

    /// What is compressed in `input`, all members of it.
    pub(super) fn decompress<R: Read + Send + 'static>(
        self,
        input: R,
    ) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(input)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_behind_one_another_are_one_file() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let mut file = Vec::new();
            for text in ["a\n", "", "b\nc\n"] {
                file.extend(compression.compress(text.as_bytes()).unwrap());
            }
            let mut text = String::new();
            let mut input = compression.decompress(io::Cursor::new(file)).unwrap();
            input.read_to_string(&mut text).unwrap();
            assert_eq!(text, "a\nb\nc\n", "{compression:?}");
        }
    }
}

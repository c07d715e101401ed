//! The bytes of a file that is read from a position: as they are, or what is compressed in them.
//!
//! A position in a compressed file counts the bytes that are in it; to go there they are read again from its
//! beginning. A member that is not whole yet ends the file for now.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Compression;

/// How much of a compressed file is passed over at once.
const BLOCK_BYTES: usize = 64 << 10;

/// See the module docs.
pub(super) struct Input {
    pub(super) file: File,
    /// What reads the bytes of a compressed file.
    packed: Option<Box<dyn Read + Send>>,
    /// The length of a compressed file when it was opened.
    length: u64,
}

impl Input {
    /// Opens a file at a position; the second is how far there is something, where that is less.
    pub(super) fn open(path: &Path, position: u64) -> io::Result<Result<Self, u64>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let Some(compression) = Compression::of_name(path) else {
            if length < position {
                return Ok(Err(length));
            }
            file.seek(SeekFrom::Start(position))?;
            return Ok(Ok(Self {
                file,
                packed: None,
                length,
            }));
        };
        let mut input = Self {
            packed: Some(compression.decompress(file.try_clone()?)?),
            file,
            length,
        };
        let mut block = vec![0; BLOCK_BYTES];
        let mut passed = 0;
        while passed < position {
            let wanted = (position - passed).min(BLOCK_BYTES as u64) as usize;
            match input.read(&mut block[..wanted])? {
                0 => return Ok(Err(passed)),
                count => passed += count as u64,
            }
        }
        Ok(Ok(input))
    }

    /// Whether it is compressed.
    pub(super) fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// Whether `found` is this file with nothing new in it; `read` is how many bytes of it were read.
    pub(super) fn is_same(&self, found: &Metadata, read: u64) -> io::Result<(bool, bool)> {
        let open = self.file.metadata()?;
        let same = (open.dev(), open.ino()) == (found.dev(), found.ino());
        let upto = match self.is_packed() {
            true => self.length,
            false => read,
        };
        Ok((same, found.len() == upto))
    }

    /// Reads on; 0 at the end.
    pub(super) fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let is_packed = self.is_packed();
        let reader: &mut dyn Read = match &mut self.packed {
            Some(packed) => packed,
            None => &mut self.file,
        };
        loop {
            match reader.read(block) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                // The rest of it comes later.
                Err(cause) if is_packed && cause.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(0);
                }
                other => return other,
            }
        }
    }
}

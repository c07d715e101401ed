//! A quarantine in a folder: one file of JSON lines a pipeline, each line with its checksum.
//!
//! A line is `{"crc32":"xxxxxxxx","entry":{…}}`, the checksum over the entry's text. An append is
//! one write followed by `fdatasync`. When it is opened, a torn last line is cut off (it was never
//! acknowledged). A line whose checksum is wrong is reported and not served. The file belongs to one
//! process at a time, by a lock; a second process takes the next free name (`NAME.1.jsonl`).
//!
//! The path is compared with the open file at each append, before and after: a file that was deleted
//! or renamed is never appended to. A new one is made, with its folder; until that is possible the
//! append fails as an outage and the pipeline waits. Files are readable by their owner only (0600),
//! and so is a folder that is made here (0700).

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crc::{CRC_32_ISO_HDLC, Crc};
use syncline_connectors::error::Result;

use super::entry::Entry;
use super::{Listing, unavailable};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
const PREFIX: &str = "{\"crc32\":\"";
const MIDDLE: &str = "\",\"entry\":";
const PROCESSES_MAX: usize = 64;
/// Entries hold whole records: only the owner reads them.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// An open file of entries.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    pipeline: String,
    /// `None` once it is not where it was.
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
}

impl FileStore {
    /// Opens the pipeline's file for appending; makes the folder where it is absent.
    pub(super) fn open(folder: &Path, pipeline: &str) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            pipeline: pipeline.to_owned(),
            open: Mutex::new(Some(Open::new(folder, pipeline)?)),
        })
    }

    /// Appends entries and waits for the disk. A failed append is cut off again. Where the file was
    /// deleted or renamed, a new one is made.
    pub(super) fn append(&self, entries: &[Entry]) -> Result<()> {
        let mut text = String::new();
        for entry in entries {
            text.push_str(&line(entry));
        }
        let mut slot = self.open.lock().expect("no holder of this lock panics");
        let open = match slot.take() {
            Some(open) if open.is_in_place() => open,
            gone => {
                let open = Open::new(&self.folder, &self.pipeline)?;
                if gone.is_some() {
                    tracing::warn!(path = %open.path.display(), "the quarantine was deleted or renamed, and is made anew");
                }
                open
            }
        };
        let open = slot.insert(open);
        open.append(text.as_bytes())?;
        // What was deleted or renamed in between holds nothing for who reads the folder.
        if open.is_in_place() {
            return Ok(());
        }
        let gone = std::io::Error::other("it was deleted or renamed");
        let error = unavailable("append to", &open.path, gone);
        *slot = None;
        Err(error)
    }
}

impl Open {
    fn new(folder: &Path, pipeline: &str) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder)
            .map_err(|e| unavailable("make", folder, e))?;
        for process in 0..PROCESSES_MAX {
            let path = folder.join(file_name(pipeline, process));
            let mut file = OpenOptions::new()
                .create(true)
                .read(true)
                .append(true)
                .mode(FILE_MODE)
                .open(&path)
                .map_err(|e| unavailable("open", &path, e))?;
            match file.try_lock() {
                Ok(()) => {
                    cut_torn_line(&mut file).map_err(|e| unavailable("mend", &path, e))?;
                    hide(&file, &path);
                    // A file that is new outlives a power cut only with its name.
                    File::open(folder)
                        .and_then(|folder| folder.sync_all())
                        .map_err(|e| unavailable("sync", folder, e))?;
                    return Ok(Self { path, file });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(unavailable("lock", &path, e)),
            }
        }
        let busy = std::io::Error::other(format!("{PROCESSES_MAX} processes hold it already"));
        Err(unavailable("lock", folder, busy))
    }

    /// Whether its path leads to the file that is open.
    fn is_in_place(&self) -> bool {
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(open), Ok(found)) => (open.dev(), open.ino()) == (found.dev(), found.ino()),
            _ => false,
        }
    }

    fn append(&mut self, text: &[u8]) -> Result<()> {
        let Self { path, file } = self;
        let before = file
            .metadata()
            .map_err(|e| unavailable("read", path, e))?
            .len();
        let appended = file.write_all(text).and_then(|()| file.sync_data());
        appended.map_err(|e| {
            if let Err(error) = file.set_len(before) {
                tracing::warn!(path = %path.display(), %error, "a torn line stays in the quarantine");
            }
            unavailable("append to", path, e)
        })
    }
}

/// Entries hold whole records: a file that others may read, as earlier versions made it, is closed to
/// them.
fn hide(file: &File, path: &Path) {
    let wide = file.metadata().is_ok_and(|found| found.mode() & 0o077 != 0);
    if wide && let Err(error) = file.set_permissions(Permissions::from_mode(FILE_MODE)) {
        tracing::warn!(path = %path.display(), %error, "others may read the quarantine");
    }
}

/// Reads every file of the pipeline; of one that shares its file, by a name that differs only in what a
/// file name cannot hold, nothing. Of a file that is longer than `bytes_max` only its end is read.
pub(super) fn list(folder: &Path, pipeline: &str, bytes_max: u64) -> Result<Listing> {
    let mut listing = Listing::default();
    for process in 0..PROCESSES_MAX {
        let path = folder.join(file_name(pipeline, process));
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(unavailable("read", &path, e)),
        };
        let length = file.metadata().map_err(|e| unavailable("read", &path, e))?;
        let skipped = length.len().saturating_sub(bytes_max);
        // From one byte before, so that a line that begins exactly there is whole.
        let from = SeekFrom::Start(skipped.saturating_sub(1));
        file.seek(from).map_err(|e| unavailable("read", &path, e))?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        if skipped > 0 {
            listing.is_cut = true;
            lines
                .read_until(b'\n', &mut line)
                .map_err(|e| unavailable("read", &path, e))?;
        }
        for number in 0_usize.. {
            line.clear();
            lines
                .read_until(b'\n', &mut line)
                .map_err(|e| unavailable("read", &path, e))?;
            // A line without an end is being written, or was never acknowledged.
            let Some(line) = line.strip_suffix(b"\n") else {
                break;
            };
            match parse(line) {
                Ok(entry) if entry.pipeline == pipeline => listing.entries.push(entry),
                Ok(_) => {}
                Err(why) => {
                    listing
                        .damaged
                        .push(format!("{}:{}: {why}", path.display(), number + 1));
                }
            }
        }
    }
    Ok(listing)
}

fn file_name(pipeline: &str, process: usize) -> String {
    let safe: String = pipeline
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || matches!(c, '-' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect();
    if process == 0 {
        format!("{safe}.jsonl")
    } else {
        format!("{safe}.{process}.jsonl")
    }
}

fn line(entry: &Entry) -> String {
    let body = serde_json::to_string(entry).expect("an entry is plain text and numbers");
    format!(
        "{PREFIX}{:08x}{MIDDLE}{body}}}\n",
        CRC.checksum(body.as_bytes())
    )
}

fn parse(line: &[u8]) -> Result<Entry, &'static str> {
    let rest = line.strip_prefix(PREFIX.as_bytes()).ok_or("not an entry")?;
    let (checksum, rest) = rest.split_at_checked(8).ok_or("cut short")?;
    let body = rest.strip_prefix(MIDDLE.as_bytes()).ok_or("not an entry")?;
    let body = body.strip_suffix(b"}").ok_or("cut short")?;
    if checksum != format!("{:08x}", CRC.checksum(body)).as_bytes() {
        return Err("the checksum does not match");
    }
    serde_json::from_slice(body).map_err(|_| "not an entry of this version")
}

fn cut_torn_line(file: &mut File) -> std::io::Result<()> {
    const BLOCK_BYTES: u64 = 64 * 1024;
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        Read::by_ref(file)
            .take(end - start)
            .read_to_end(&mut block)?;
        if let Some(newline) = block.iter().rposition(|&byte| byte == b'\n') {
            end = start + newline as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        tracing::warn!(bytes = length - end, "cut a torn line off the quarantine");
        file.set_len(end)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

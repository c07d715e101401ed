//! A quarantine in a folder: one file of JSON lines a pipeline, each line with its checksum.
//!
//! A line is `{"crc32":"xxxxxxxx","entry":{…}}`, the checksum over the entry's text. An append is
//! one write followed by `fdatasync`. When it is opened, a torn last line is cut off (it was never
//! acknowledged). A line whose checksum is wrong is reported and not served. The file belongs to one
//! process at a time, by a lock; a second process takes the next free name (`NAME.1.jsonl`).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
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

/// An open file of entries.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    file: Mutex<File>,
}

impl FileStore {
    /// Opens the pipeline's file for appending; makes the folder where it is absent.
    pub(super) fn open(folder: &Path, pipeline: &str) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| unavailable("make", folder, e))?;
        for process in 0..PROCESSES_MAX {
            let path = folder.join(file_name(pipeline, process));
            let mut file = OpenOptions::new()
                .create(true)
                .read(true)
                .append(true)
                .open(&path)
                .map_err(|e| unavailable("open", &path, e))?;
            match file.try_lock() {
                Ok(()) => {
                    cut_torn_line(&mut file).map_err(|e| unavailable("mend", &path, e))?;
                    // A file that is new outlives a power cut only with its name.
                    File::open(folder)
                        .and_then(|folder| folder.sync_all())
                        .map_err(|e| unavailable("sync", folder, e))?;
                    return Ok(Self {
                        path,
                        file: Mutex::new(file),
                    });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(unavailable("lock", &path, e)),
            }
        }
        let busy = std::io::Error::other(format!("{PROCESSES_MAX} processes hold it already"));
        Err(unavailable("lock", folder, busy))
    }

    /// Appends entries and waits for the disk. A failed append is cut off again.
    pub(super) fn append(&self, entries: &[Entry]) -> Result<()> {
        let mut text = String::new();
        for entry in entries {
            text.push_str(&line(entry));
        }
        let mut file = self.file.lock().expect("no holder of this lock panics");
        let before = file
            .metadata()
            .map_err(|e| unavailable("read", &self.path, e))?
            .len();
        let appended = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_data());
        appended.map_err(|e| {
            if let Err(error) = file.set_len(before) {
                tracing::warn!(path = %self.path.display(), %error, "a torn line stays in the quarantine");
            }
            unavailable("append to", &self.path, e)
        })
    }
}

/// Reads every file of the pipeline; of one that shares its file, by a name that differs only in what a
/// file name cannot hold, nothing.
pub(super) fn list(folder: &Path, pipeline: &str) -> Result<Listing> {
    let mut listing = Listing::default();
    for process in 0..PROCESSES_MAX {
        let path = folder.join(file_name(pipeline, process));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(unavailable("read", &path, e)),
        };
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
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
mod tests {
    use super::*;

    fn entry(offset: i64) -> Entry {
        Entry {
            time: "2026-01-01T00:00:00.000Z".into(),
            pipeline: "p".into(),
            stage: "check".into(),
            rule: "required".into(),
            field: None,
            reason: "is missing".into(),
            topic: "t".into(),
            partition: 0,
            offset,
            timestamp_ms: None,
            key: None,
            headers: None,
            value: None,
        }
    }

    fn offsets(listing: &Listing) -> Vec<i64> {
        listing.entries.iter().map(|entry| entry.offset).collect()
    }

    #[test]
    fn what_is_appended_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path(), "p").unwrap();
        store.append(&[entry(1), entry(2)]).unwrap();
        assert_eq!(offsets(&list(folder.path(), "p").unwrap()), [1, 2]);
    }

    #[test]
    fn a_torn_line_is_cut_and_the_valid_prefix_kept() {
        let folder = tempfile::tempdir().unwrap();
        FileStore::open(folder.path(), "p")
            .unwrap()
            .append(&[entry(1)])
            .unwrap();
        let path = folder.path().join("p.jsonl");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&line(&entry(2)).as_bytes()[..20]).unwrap();
        drop(file);
        FileStore::open(folder.path(), "p")
            .unwrap()
            .append(&[entry(3)])
            .unwrap();
        let listing = list(folder.path(), "p").unwrap();
        assert_eq!((offsets(&listing), listing.damaged.len()), (vec![1, 3], 0));
    }

    #[test]
    fn a_flipped_byte_is_found_and_not_served() {
        let folder = tempfile::tempdir().unwrap();
        FileStore::open(folder.path(), "p")
            .unwrap()
            .append(&[entry(1), entry(2)])
            .unwrap();
        let path = folder.path().join("p.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        let place = bytes
            .windows(8)
            .position(|window| window == b"required")
            .unwrap();
        bytes[place] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let listing = list(folder.path(), "p").unwrap();
        assert_eq!((offsets(&listing), listing.damaged.len()), (vec![2], 1));
    }

    #[test]
    fn a_line_that_is_being_written_is_not_damage() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path(), "p").unwrap();
        store.append(&[entry(1)]).unwrap();
        let torn = line(&entry(2));
        let mut file = store.file.lock().unwrap();
        file.write_all(&torn.as_bytes()[..torn.len() - 1]).unwrap();
        let listing = list(folder.path(), "p").unwrap();
        assert_eq!((offsets(&listing), listing.damaged.len()), (vec![1], 0));
    }

    #[test]
    fn pipelines_whose_files_have_one_name_are_listed_apart() {
        let folder = tempfile::tempdir().unwrap();
        let of = |pipeline: &str, offset| Entry {
            pipeline: pipeline.into(),
            ..entry(offset)
        };
        for (pipeline, offset) in [("a b", 1), ("a.b", 2)] {
            let store = FileStore::open(folder.path(), pipeline).unwrap();
            store.append(&[of(pipeline, offset)]).unwrap();
        }
        assert_eq!(offsets(&list(folder.path(), "a.b").unwrap()), [2]);
    }

    #[test]
    fn two_processes_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let first = FileStore::open(folder.path(), "p").unwrap();
        let second = FileStore::open(folder.path(), "p").unwrap();
        first.append(&[entry(1)]).unwrap();
        second.append(&[entry(2)]).unwrap();
        assert_ne!(first.path, second.path);
        assert_eq!(offsets(&list(folder.path(), "p").unwrap()), [1, 2]);
    }
}

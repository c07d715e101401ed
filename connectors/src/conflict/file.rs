//! The history of conflicts in a file: one JSON object on each line, synced to the disk before the
//! transaction commits.
//!
//! After a crash, the file can contain a conflict twice with the same id; [`read_history_file`]
//! returns it once. There are two generations, `path` and `path.1`. When the newer one contains
//! half of the maximum rows or covers half of the maximum age, it replaces the older one. The
//! history therefore contains between half and all of what the limits allow; without appends
//! nothing is removed. A last line that a crash left incomplete is skipped by readers and removed
//! by the next append. Lanes and processes exclude each other by a lock on `path.lock`.
//!
//! A file that cannot be written is an outage (R16): a conflict that cannot be recorded is not
//! decided.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::ConflictRecord;
use crate::error::{Error, Result};

/// The number of bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A history of conflicts in a file, opened for appending.
#[derive(Debug)]
pub struct HistoryFile {
    path: PathBuf,
    rows_max: u64,
    age_max_ms: i64,
    known: KnownLines,
}

/// The known state of the newer generation, so that it is not read again.
#[derive(Debug, Default, PartialEq, Eq)]
struct KnownLines {
    /// The first line, which identifies the generation.
    first: Vec<u8>,
    /// The number of bytes whose lines were counted.
    bytes: u64,
    rows: u64,
}

impl HistoryFile {
    /// The history at `path`. The first append creates the file and its folder.
    pub fn new(path: impl Into<PathBuf>, rows_max: u64, age_max_ms: i64) -> Self {
        Self {
            path: path.into(),
            rows_max,
            age_max_ms,
            known: KnownLines::default(),
        }
    }

    /// Appends conflicts and waits until they are on the disk. Blocks the thread.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be written.
    pub fn append(&mut self, records: &[ConflictRecord], now_ms: i64) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let path = self.path.clone();
        self.try_append(records, now_ms)
            .map_err(|cause| unavailable("writing", &path, cause))
    }

    fn try_append(&mut self, records: &[ConflictRecord], now_ms: i64) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let lock = options().open(beside(&self.path, "lock"))?;
        lock.lock()?;
        let mut file = options().open(&self.path)?;
        self.update_known(&mut file)?;
        let began = decided_at(&self.known.first).unwrap_or(now_ms);
        let full = self.known.rows >= (self.rows_max / 2).max(1);
        if self.known.rows > 0 && (full || now_ms.saturating_sub(began) >= self.age_max_ms / 2) {
            std::fs::rename(&self.path, beside(&self.path, "1"))?;
            file = options().open(&self.path)?;
            self.update_known(&mut file)?;
        }
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        file.seek(SeekFrom::Start(self.known.bytes))?;
        file.write_all(&lines)?;
        file.sync_data()
    }

    /// Updates `known`, and removes an incomplete last line.
    fn update_known(&mut self, file: &mut File) -> std::io::Result<()> {
        let first = first_line(file)?;
        let length = file.metadata()?.len();
        if first != self.known.first || length < self.known.bytes {
            self.known = KnownLines {
                first,
                ..KnownLines::default()
            };
        }
        file.seek(SeekFrom::Start(self.known.bytes))?;
        let (mut at, mut chunk) = (self.known.bytes, vec![0; CHUNK_BYTES]);
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            for place in memchr::memchr_iter(b'\n', &chunk[..read]) {
                self.known.rows += 1;
                self.known.bytes = at + place as u64 + 1;
            }
            at += read as u64;
        }
        if at > self.known.bytes {
            file.set_len(self.known.bytes)?;
        }
        Ok(())
    }
}

/// The last `limit` conflicts that match `wanted`, the newest first; empty if there is no file.
///
/// # Errors
/// `Unavailable` if a file cannot be read, `Configuration` if a line other than the last is not a
/// conflict.
pub fn read_history_file(
    path: &Path,
    limit: usize,
    wanted: impl Fn(&ConflictRecord) -> bool,
) -> Result<Vec<ConflictRecord>> {
    let mut found: VecDeque<ConflictRecord> = VecDeque::new();
    for path in [beside(path, "1"), path.to_owned()] {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(unavailable("reading", &path, error)),
        };
        let mut lines = BufReader::new(file);
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            number += 1;
            let read = lines.read_until(b'\n', &mut line);
            if read.map_err(|error| unavailable("reading", &path, error))? == 0 {
                break;
            }
            if line.last() != Some(&b'\n') {
                break;
            }
            let record: ConflictRecord = serde_json::from_slice(&line).map_err(|cause| {
                let place = path.display();
                Error::configuration_from(
                    format!("line {number} of the conflict history {place} is not a conflict: remove the line"),
                    cause,
                )
            })?;
            if !wanted(&record) {
                continue;
            }
            found.retain(|known| known.id != record.id);
            if found.len() == limit {
                found.pop_front();
            }
            found.push_back(record);
        }
    }
    found.truncate(limit);
    Ok(found.into_iter().rev().collect())
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
}

/// `path` with `.extension` appended.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// The first line with its line end; empty if it is incomplete.
fn first_line(file: &mut File) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    BufReader::new(&*file).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        line.clear();
    }
    Ok(line)
}

fn decided_at(line: &[u8]) -> Option<i64> {
    let record: ConflictRecord = serde_json::from_slice(line).ok()?;
    Some(record.decided_at_ms)
}

fn unavailable(doing: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::unavailable(
        format!("{doing} the conflict history {}", path.display()),
        cause,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::{ConflictType, Json, Place, Sides, Winner};

    fn record(number: i64) -> ConflictRecord {
        ConflictRecord {
            id: format!("p/s/crm/t/0/{number}/0"),
            pipeline: "p".to_owned(),
            sink: "s".to_owned(),
            source: "crm".to_owned(),
            target: "clients".to_owned(),
            key: Json(format!("{{\"id\":{number}}}")),
            kind: ConflictType::InsertExists,
            strategy: "newest_wins".to_owned(),
            winner: Winner::Target,
            columns: Json("{}".to_owned()),
            reason: "the target's row is newer".to_owned(),
            rows: Sides {
                source: Some(Json(
                    "{\"balance\":\"1.50\",\"big\":18446744073709551615}".to_owned(),
                )),
                ..Sides::default()
            },
            place: Place {
                topic: "t".to_owned(),
                partition: 0,
                position: number,
                event_time_ms: None,
            },
            decided_at_ms: number * 1_000,
        }
    }

    fn numbers(path: &Path) -> Vec<i64> {
        let found = read_history_file(path, 100, |_| true).unwrap();
        found.iter().map(|record| record.place.position).collect()
    }

    fn append(file: &mut HistoryFile, numbers: std::ops::Range<i64>) {
        for number in numbers {
            file.append(&[record(number)], number * 1_000).unwrap();
        }
    }

    #[test]
    fn what_is_appended_is_read_newest_first_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/conflicts.jsonl");
        assert_eq!(numbers(&path), [0_i64; 0]);
        let mut file = HistoryFile::new(&path, 100, i64::MAX);
        append(&mut file, 0..3);
        // A replay after a crash appends the same records again.
        append(&mut file, 1..3);
        assert_eq!(numbers(&path), [2, 1, 0]);
        let found = read_history_file(&path, 1, |record| record.place.position < 2).unwrap();
        assert_eq!(found, [record(1)]);
    }

    #[test]
    fn rows_and_age_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let mut file = HistoryFile::new(&path, 10, i64::MAX);
        append(&mut file, 0..18);
        assert_eq!(numbers(&path), (10..18).rev().collect::<Vec<_>>());

        let path = folder.path().join("age.jsonl");
        let mut file = HistoryFile::new(&path, 1_000, 10_000);
        append(&mut file, 0..18);
        let kept = numbers(&path);
        assert!(
            kept.len() >= 5 && kept.iter().all(|number| *number >= 7),
            "{kept:?}"
        );
    }

    #[test]
    fn two_writers_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared.jsonl");
        let mut files = [0, 1].map(|_| HistoryFile::new(&path, 10, i64::MAX));
        for number in 0..18 {
            append(&mut files[number as usize % 2], number..number + 1);
        }
        assert_eq!(numbers(&path), (10..18).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_last_line_is_passed_over_and_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torn.jsonl");
        let mut file = HistoryFile::new(&path, 100, i64::MAX);
        append(&mut file, 0..2);
        let mut torn = options().append(true).open(&path).unwrap();
        torn.write_all(b"{\"id\":\"p/s").unwrap();
        assert_eq!(numbers(&path), [1, 0]);
        append(&mut file, 2..3);
        assert_eq!(numbers(&path), [2, 1, 0]);

        std::fs::write(&path, "no conflict\n{}\n").unwrap();
        let error = read_history_file(&path, 1, |_| true).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}

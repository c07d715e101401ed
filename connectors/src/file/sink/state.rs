//! Where one partition of the source stands in a folder: kept in a file of its own beside the finished
//! files, and replaced as a whole.
//!
//! The file is the commit of a write: rows are in the parts before, up to a length that the file names, and
//! what is behind that length was never written. Whoever changes it holds the lock of the partition, so two
//! processes never do both.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::FileSink;
use super::template::Template;
use crate::error::{Error, Result};
use crate::file::tail::failed;
use crate::record::{Held, Partition};
use crate::sink::Identity;
use crate::stable_hash::hash;

/// The folder of all that is kept beside the finished files. Readers of lakes pass over names that begin
/// with an underscore.
const OWN: &str = "_syncline";

/// The form of the file.
const FORM: u32 = 1;

/// What is kept of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    form: u32,
    /// The source's name in the pipeline.
    pub(super) source: String,
    topic: String,
    number: i32,
    /// The next position; `None` before the first.
    pub(super) next: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) incarnation: Option<String>,
    /// A number for the next part.
    pub(super) serial: u64,
    /// Counts the writes, so that a session sees that another one wrote.
    pub(super) revision: u64,
    /// Files that are not finished.
    pub(super) parts: Vec<PartState>,
}

/// A file that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartState {
    /// Its number, which names it.
    pub(super) serial: u64,
    /// Where the finished file goes.
    pub(super) folder: PathBuf,
    /// What its columns are.
    pub(super) shape: String,
    /// The offset of its first row, and that behind its last.
    pub(super) from: i64,
    pub(super) next: i64,
    pub(super) rows: u64,
    /// Up to where it holds whole writes.
    pub(super) length: u64,
    /// When it was begun, in milliseconds since the epoch.
    pub(super) begun_ms: i64,
    /// Whether nothing is added to it any more.
    #[serde(default)]
    pub(super) ends: bool,
    /// The name of the finished file, once it was decided to finish it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) finished: Option<PathBuf>,
}

impl State {
    /// Of a partition that was never written.
    pub(super) fn new(source: &str, partition: &Partition) -> Self {
        Self {
            form: FORM,
            source: source.to_owned(),
            topic: partition.topic.to_string(),
            number: partition.number,
            next: None,
            incarnation: None,
            serial: 0,
            revision: 0,
            parts: Vec::new(),
        }
    }

    /// Of which partition.
    pub(super) fn partition(&self) -> Partition {
        Partition {
            topic: self.topic.as_str().into(),
            number: self.number,
        }
    }

    /// Where it stands; `None` before the first write.
    pub(super) fn held(&self) -> Option<Held> {
        Some(Held {
            next: self.next?,
            incarnation: self.incarnation.as_deref().map(Into::into),
        })
    }
}

/// The place beside the finished files that belongs to one sink.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The folder of all files.
    pub(super) root: PathBuf,
    /// The folder of the sink.
    pub(super) folder: PathBuf,
}

impl Place {
    /// Of the sink `sink` of `pipeline`.
    ///
    /// # Errors
    /// `Configuration` for a path that cannot be read.
    pub(super) fn of(config: &FileSink, pipeline: &str, sink: &str) -> Result<Self> {
        let template = Template::parse(&config.path).map_err(|message| {
            Error::configuration(format!("path = {:?}: {message}", config.path))
        })?;
        let root = template.root();
        let folder = root.join(OWN).join(plain(pipeline)).join(plain(sink));
        Ok(Self { root, folder })
    }

    /// The folder of a source.
    pub(super) fn source(&self, source: &str) -> PathBuf {
        self.folder.join(format!("from-{}", plain(source)))
    }

    /// The file of a partition.
    pub(super) fn file(&self, identity: &Identity, partition: &Partition) -> PathBuf {
        let name = partition_name(partition);
        self.source(&identity.source).join(format!("{name}.json"))
    }

    /// The lock that a session shares and that a person takes alone.
    pub(super) fn session_lock(&self) -> Result<File> {
        make_folder(&self.folder)?;
        open_lock(&self.folder.join("sessions.lock"))
    }
}

/// The name of a partition as part of the name of a file.
pub(super) fn partition_name(partition: &Partition) -> String {
    const LENGTH_MAX: usize = 80;
    let mut name = plain(&partition.topic);
    if name.len() > LENGTH_MAX {
        // Names are ASCII.
        name.truncate(LENGTH_MAX - 17);
        name = format!("{name}-{:016x}", hash(partition.topic.as_bytes()));
    }
    format!("{name}-{}", partition.number)
}

/// A text in letters, digits, `.`, `_` and `-`; any other byte as `%` and two digits. Two texts never
/// become one.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        let fits = byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-')
            || (byte == b'.' && index > 0);
        match fits {
            true => out.push(byte as char),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A partition that nobody else writes while this lives.
pub(super) struct Locked {
    path: PathBuf,
    /// Held until it is dropped.
    _lock: File,
    pub(super) state: State,
}

impl Locked {
    /// Waits for the lock, and reads where the partition stands.
    ///
    /// # Errors
    /// `Configuration` where the file is none of ours or may not be read, else `Unavailable`.
    pub(super) fn take(path: &Path, source: &str, partition: &Partition) -> Result<Self> {
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let lock = open_lock(&path.with_extension("lock"))?;
        lock.lock().map_err(|cause| failed("lock", path, cause))?;
        let state = read(path)?.unwrap_or_else(|| State::new(source, partition));
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
            state,
        })
    }

    /// Replaces what is kept: the commit.
    ///
    /// # Errors
    /// `Unavailable`: nothing was changed, or, where only the folder could not be flushed, it may have been.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.state.revision += 1;
        let text = serde_json::to_vec(&self.state).expect("texts and numbers are JSON");
        let next = self.path.with_extension("next");
        let write = || -> io::Result<()> {
            let mut file = File::create(&next)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&next, &self.path)?;
            sync_folder(&self.path)
        };
        write().map_err(|cause| failed("write", &self.path, cause))
    }
}

/// What a file keeps; `None` where there is none.
///
/// # Errors
/// `Configuration` where it is none of ours.
pub(super) fn read(path: &Path) -> Result<Option<State>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(failed("read", path, cause)),
    };
    match serde_json::from_slice::<State>(&text) {
        Ok(state) if state.form == FORM => Ok(Some(state)),
        _ => Err(Error::configuration(format!(
            "{:?} says in no known form where the sink stands: restore it, or write to another folder",
            path.display()
        ))),
    }
}

/// What is kept of every partition in a folder of a source.
///
/// # Errors
/// As [`read`].
pub(super) fn read_all(folder: &Path) -> Result<Vec<(PathBuf, State)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failed("read", folder, cause)),
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(|cause| failed("read", folder, cause))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
            && let Some(state) = read(&path)?
        {
            all.push((path, state));
        }
    }
    all.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(all)
}

/// Makes a folder and those above it.
///
/// # Errors
/// `Configuration` where it may not be made, else `Unavailable`.
pub(super) fn make_folder(folder: &Path) -> Result<()> {
    let missing = folder.ancestors().take_while(|folder| !folder.exists());
    let missing: Vec<&Path> = missing.collect();
    fs::create_dir_all(folder)
        .and_then(|()| missing.into_iter().try_for_each(sync_folder))
        .map_err(|cause| failed("make", folder, cause))
}

/// Flushes the folder that a file is in, so that its name is durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn open_lock(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).truncate(false).write(true).open(path);
    opened.map_err(|cause| failed("open", path, cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_never_become_one() {
        let names = ["a.b", "a/b", "a%2Fb", "A.b", "..", ".", "", "ä", "a b"];
        let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
        for (index, name) in plain.iter().enumerate() {
            assert!(!plain[..index].contains(name), "{name}");
            assert!(!name.contains('/') && !name.starts_with('.'), "{name}");
        }
        let long = |end: &str| Partition {
            topic: format!("{}{end}", "x".repeat(300)).into(),
            number: 3,
        };
        assert_ne!(partition_name(&long("a")), partition_name(&long("b")));
        assert!(partition_name(&long("a")).len() < 100);
    }
}

//! Finished files in folders, exactly once.
//!
//! ```toml
//! [sinks.lake]
//! type   = "file"
//! inputs = ["crm"]
//! path   = "lake/{table}/dt={date}/"
//! format = "parquet"
//! ```
//!
//! **Guarantees.** A file of the folder is whole, never changes again, and holds the rows of one partition of the
//! source; its name says the partition, the offset of its first row and that behind its last
//! (`crm.public.clients-0-00000000000000000000-00000000000000004711.parquet`). Each change is in one file, in the
//! order of the source: a write appends its rows to parts that nobody reads, flushes them, and then replaces
//! the file that says up to where they count and where the partition stands ([`super::state`]). A process that
//! is killed goes on there. A second process that writes the same partition is fenced. Rows can be seen
//! when their file is finished (`roll`).
//!
//! - duplicate: nothing is folded, no conflict is decided: the files are the history of the rows.
//! - null: null; in `csv` an empty field.
//! - delete: a row whose `_op` is `d`, with what the source sent of it.
//! - an unset value (R14, R19): left out in `jsonl`; null, and named in `_unset`, in `csv` and `parquet`.

mod files;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::files::Files;
use super::FileSink;
use super::state::{self, Place};
use crate::error::{Error, Result};
use crate::file::tail::failed;
use crate::record::HeldPositions;
use crate::sink::{Identity, Outcome, Sink, Write};

/// How often it is looked whether a file is old enough, at most.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Whether files can be made there. Writes nothing.
///
/// # Errors
/// `Configuration` where something else has the name of a folder.
pub(super) fn probe(config: &FileSink) -> Result<()> {
    let place = Place::of(config, "pipeline", "sink")?;
    for folder in place.root.ancestors() {
        if folder.is_dir() {
            break;
        }
        if folder.exists() {
            return Err(Error::configuration(format!(
                "{:?} is no folder: correct path = \"…\"",
                folder.display()
            )));
        }
    }
    Ok(())
}

/// Opens the sink.
///
/// # Errors
/// `Configuration` where the folder cannot be written, `Unavailable` where the disk does not answer.
pub(super) fn connect(config: &FileSink, identity: &Identity) -> Result<Box<dyn Sink>> {
    let place = Place::of(config, &identity.pipeline, &identity.sink)?;
    let session = place.session_lock()?;
    if let Err(std::fs::TryLockError::Error(cause)) = session.try_lock_shared() {
        return Err(failed("lock", &place.folder, cause));
    }
    let interval = config.roll.interval()?;
    let files = Files::open(config, identity, place, interval)?;
    let files = Arc::new(Mutex::new(files));
    let (stop, stopped) = oneshot::channel();
    let look = (interval / 4).clamp(Duration::from_millis(20), LOOK_MAX);
    let clock = tokio::spawn(finish_old(files.clone(), look, stopped));
    Ok(Box::new(Folder {
        files,
        stop,
        clock,
        _session: session,
    }))
}

/// Finishes what is old enough, until it is told to stop.
async fn finish_old(files: Arc<Mutex<Files>>, look: Duration, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            () = tokio::time::sleep(look) => {}
        }
        let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = files.roll(false) {
            tracing::warn!(
                sink = files.identity.sink,
                error = error.chain(),
                "a file could not be finished and is tried again"
            );
        }
    }
}

/// The sink; what it writes is shared with the clock that finishes old files.
struct Folder {
    files: Arc<Mutex<Files>>,
    stop: oneshot::Sender<()>,
    clock: JoinHandle<()>,
    /// Shared while the session is open, so that nobody moves positions meanwhile.
    _session: std::fs::File,
}

#[async_trait]
impl Sink for Folder {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = HeldPositions::new();
        for (_, state) in state::read_all(&files.own)? {
            if let Some(position) = state.held() {
                held.insert(state.partition(), position);
            }
        }
        Ok(Some(held))
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.write(write)?;
        Ok(Outcome {
            written: write.len() as u64,
            ..Outcome::default()
        })
    }

    async fn close(self: Box<Self>) -> Result<()> {
        // The clock ends by itself where it does not listen any more.
        let _ = self.stop.send(());
        let joined = self.clock.await;
        joined.map_err(|cause| Error::unavailable("the clock of finished files ended", cause))?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.roll(true)
    }
}

//! What a session holds while it may write a sink's positions: a lock on a file beside the database,
//! named after the sink. The kernel gives it back when the process ends. The file stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::time::{Duration, Instant};

use super::SqliteSink;
use crate::error::{Error, Result};
use crate::sql::positions::lock::SinkLock;

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// The lock, for as long as the value lives.
pub(super) struct FileLock {
    _file: File,
}

/// Takes the lock together with other sessions of the sink.
///
/// # Errors
/// `Unavailable` where somebody moves the positions for longer than `busy_timeout_ms`.
pub(super) fn share(config: &SqliteSink, lock: &SinkLock) -> Result<FileLock> {
    let file = open(config, lock)?;
    let deadline = Instant::now() + Duration::from_millis(config.busy_timeout_ms);
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(FileLock { _file: file }),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Err(lock.busy()),
            Err(TryLockError::Error(cause)) => return Err(refused(config, cause)),
        }
    }
}

/// Takes the lock alone; `None` where a session holds it.
///
/// # Errors
/// `Configuration` where the file cannot be made.
pub(super) fn take_alone(config: &SqliteSink, lock: &SinkLock) -> Result<Option<FileLock>> {
    let file = open(config, lock)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(FileLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(refused(config, cause)),
    }
}

fn open(config: &SqliteSink, lock: &SinkLock) -> Result<File> {
    let path = format!("{}-syncline-{:016x}.lock", config.path, lock.key());
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|cause| refused(config, cause))
}

fn refused(config: &SqliteSink, cause: std::io::Error) -> Error {
    Error::configuration_from(
        format!(
            "the lock file beside SQLite file {:?} cannot be made or locked: let this user write to the folder",
            config.path
        ),
        cause,
    )
}

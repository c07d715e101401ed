//! Small files in the state folder. Each is replaced as a whole, so that a crash leaves the old or the new
//! one, and one that cannot be read is never overwritten.

use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a file holds; nothing where it is not there.
///
/// # Errors
/// It is there and cannot be read.
pub(super) fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(Error::from),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error),
    }
}

/// Reads a file, changes what it holds, and writes it durably: another process may keep something of its own
/// in the same file. Gives what it holds now.
///
/// # Errors
/// It cannot be read or written; it is as it was then.
pub(super) fn change<T>(path: &Path, change: impl FnOnce(&mut T)) -> Result<T>
where
    T: DeserializeOwned + Serialize + Default,
{
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)?;
    // One process at a time.
    let mut lock = path.to_owned().into_os_string();
    lock.push(".lock");
    let lock = std::fs::File::create(lock)?;
    lock.lock()?;
    let mut value = read(path)?;
    change(&mut value);
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(&value)?)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    Ok(value)
}

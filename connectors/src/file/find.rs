//! The files that a path means.

use std::path::Path;
use std::sync::Arc;

use super::tail::failed;
use crate::error::{Error, Result};
use crate::record::Partition;

/// The files that are there now, in the order of their names; each is a partition.
///
/// # Errors
/// `Configuration` where the path is no valid pattern, or where a name is not UTF-8.
pub(super) fn find(pattern: &str) -> Result<Vec<Partition>> {
    let mut found = Vec::new();
    let mut add = |path: &Path| {
        let Some(topic) = path.to_str() else {
            return Err(Error::configuration(format!(
                "the name of file {:?} is not UTF-8: rename it",
                path.display()
            )));
        };
        found.push(Partition {
            topic: Arc::from(topic),
            number: 0,
        });
        Ok(())
    };
    let path = Path::new(pattern);
    if !is_pattern(pattern) || path.is_file() {
        if path.exists() {
            add(path)?;
        }
        return Ok(found);
    }
    let paths = glob::glob(pattern).map_err(|cause| {
        Error::configuration_from(format!("path = {pattern:?} is no valid pattern"), cause)
    })?;
    for path in paths {
        let path = path.map_err(|cause| {
            let path = cause.path().to_owned();
            failed("read", &path, cause.into())
        })?;
        if path.is_file() {
            add(&path)?;
        }
    }
    Ok(found)
}

/// Whether a path can mean several files, and some that are not there yet.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

//! The positions of a folder of finished files, for a person.

use std::path::PathBuf;

use async_trait::async_trait;

use super::FileSink;
use super::state::{Locked, Place, read_all};
use crate::error::{Error, Result};
use crate::file::tail::failed;
use crate::positions::{Change, Kept, KeptPosition, PositionStore};
use crate::sink::Identity;

/// Opens the store of a sink.
///
/// # Errors
/// `Configuration` for a path that cannot be read.
pub(super) fn open(
    config: &FileSink,
    pipeline: &str,
    sink: &str,
) -> Result<Box<dyn PositionStore>> {
    Ok(Box::new(Store {
        place: Place::of(config, pipeline, sink)?,
        pipeline: pipeline.to_owned(),
        sink: sink.to_owned(),
    }))
}

struct Store {
    place: Place,
    pipeline: String,
    sink: String,
}

impl Store {
    fn folders(&self) -> Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.place.folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(failed("read", &self.place.folder, cause)),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        Ok(paths.filter(|path| path.is_dir()).collect())
    }
}

#[async_trait]
impl PositionStore for Store {
    async fn read(&mut self) -> Result<Kept> {
        let mut kept = Kept::default();
        for folder in self.folders()? {
            for (_, state) in read_all(&folder)? {
                if let Some(held) = state.held() {
                    kept.positions.push(KeptPosition {
                        source: state.source.clone(),
                        partition: state.partition(),
                        held,
                    });
                }
            }
        }
        let place = |position: &KeptPosition| (position.source.clone(), position.partition.clone());
        kept.positions.sort_by_key(place);
        Ok(kept)
    }

    async fn change(&mut self, changes: &[Change]) -> Result<()> {
        let session = self.place.session_lock()?;
        if session.try_lock().is_err() {
            return Err(Error::configuration(format!(
                "pipeline {:?} runs and writes to sink {:?}: stop it first",
                self.pipeline, self.sink
            )));
        }
        let mut all = Vec::with_capacity(changes.len());
        for change in changes {
            let identity = Identity {
                pipeline: self.pipeline.clone(),
                sink: self.sink.clone(),
                source: change.source.clone(),
            };
            let path = self.place.file(&identity, &change.partition);
            let locked = Locked::take(&path, &change.source, &change.partition)?;
            if locked.state.next != change.from {
                return Err(Error::configuration(format!(
                    "{} was moved meanwhile: look at the positions again",
                    change.partition
                )));
            }
            all.push((locked, change));
        }
        for (mut locked, change) in all {
            locked.state.next = change.to.as_ref().map(|held| held.next);
            let incarnation = change.to.as_ref().and_then(|held| held.incarnation.clone());
            locked.state.incarnation = incarnation.map(|text| text.to_string());
            locked.commit()?;
        }
        Ok(())
    }

    async fn forget_tables(&mut self) -> Result<()> {
        // A folder is the target that its positions are in.
        Ok(())
    }
}

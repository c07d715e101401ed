//! Which pipelines a person paused: a list in the state folder, so that a restart of the process does not
//! begin what a person stopped.

use std::collections::BTreeSet;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::kept;

/// The file in the state folder: a JSON array of names.
const FILE: &str = "paused.json";

/// The list; see the module docs.
#[derive(Debug)]
pub(super) struct Paused {
    /// `None`: nothing is kept.
    folder: Option<PathBuf>,
    names: Mutex<BTreeSet<String>>,
}

impl Paused {
    /// A list that is not kept.
    pub(super) fn nowhere() -> Self {
        Self {
            folder: None,
            names: Mutex::default(),
        }
    }

    /// The list of a state folder. One that cannot be read is empty, and the log says so.
    pub(super) fn in_folder(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let names = match kept::read(&path) {
            Ok(names) => names,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "cannot read which pipelines are paused");
                BTreeSet::new()
            }
        };
        Self {
            folder: Some(folder.to_owned()),
            names: Mutex::new(names),
        }
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.contains(name)
    }

    /// Takes a pipeline on or off the list, durably.
    ///
    /// # Errors
    /// Why the list could not be written; it is as it was then.
    pub(super) fn set(&self, name: &str, paused: bool) -> Result<()> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        *names = kept::change(&folder.join(FILE), |names: &mut BTreeSet<String>| {
            match paused {
                true => names.insert(name.to_owned()),
                false => names.remove(name),
            };
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_survives_its_process_and_is_shared() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let mine = Paused::in_folder(&state);
        let theirs = Paused::in_folder(&state);
        mine.set("a", true).expect("it is written");
        theirs.set("b", true).expect("it is written");
        mine.set("a", true).expect("it is written");
        let later = Paused::in_folder(&state);
        assert!(later.holds("a") && later.holds("b") && !later.holds("c"));
        later.set("a", false).expect("it is written");
        assert!(!Paused::in_folder(&state).holds("a"));
    }

    #[test]
    fn a_list_that_is_broken_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        std::fs::write(&path, "[\"a\"").expect("it is written");
        let paused = Paused::in_folder(folder.path());
        assert!(!paused.holds("a"));
        assert!(paused.set("b", true).is_err());
        assert!(!paused.holds("b"));
        assert_eq!(
            std::fs::read_to_string(&path).expect("it is there"),
            "[\"a\""
        );
    }

    #[test]
    fn nothing_is_kept_nowhere() {
        let paused = Paused::nowhere();
        paused.set("a", true).expect("nothing is written");
        assert!(!paused.holds("a"));
    }
}

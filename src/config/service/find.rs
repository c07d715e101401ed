//! Finds the `syncline.toml` of each pipeline file: the one in its folder, or the one that the command
//! line names for all of them. Each is read once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{SERVICE_FILE, ServiceFile};
use crate::config::report::Report;

/// The files of one command.
#[derive(Debug, Default)]
pub struct Services {
    given: Option<PathBuf>,
    /// What was read, by path; `None` for a file that is wrong and was reported.
    read: BTreeMap<PathBuf, Option<Arc<ServiceFile>>>,
}

impl Services {
    /// Those of a command; `given` is what `--config` names.
    pub fn new(given: Option<PathBuf>) -> Self {
        Self {
            given,
            read: BTreeMap::new(),
        }
    }

    /// What holds for a pipeline file.
    ///
    /// # Errors
    /// All problems of the `syncline.toml`; none the second time, as they were reported.
    pub fn of(&mut self, pipeline: &Path) -> Result<Arc<ServiceFile>, Report> {
        let path = match &self.given {
            Some(path) => path.clone(),
            None => pipeline
                .parent()
                .unwrap_or(Path::new(""))
                .join(SERVICE_FILE),
        };
        self.load(path)
    }

    /// What holds for a process that runs the files of `arguments`.
    ///
    /// # Errors
    /// All problems of the file; also where there are several.
    pub fn of_process(&mut self, arguments: &[PathBuf]) -> Result<Arc<ServiceFile>, Report> {
        if let Some(given) = self.given.clone() {
            return self.load(given);
        }
        let mut found: Vec<PathBuf> = Vec::new();
        for argument in arguments {
            let folder = match argument.is_dir() {
                true => argument,
                false => argument.parent().unwrap_or(Path::new("")),
            };
            let path = folder.join(SERVICE_FILE);
            if path.is_file() && !found.contains(&path) {
                found.push(path);
            }
        }
        match &found[..] {
            [] => Ok(Arc::default()),
            [one] => self.load(one.clone()),
            [one, other, ..] => Err(Report::unreadable(
                &other.display().to_string(),
                format!(
                    "{} is there too, and one process has one: name it with --config",
                    one.display()
                ),
            )),
        }
    }

    fn load(&mut self, path: PathBuf) -> Result<Arc<ServiceFile>, Report> {
        if let Some(known) = self.read.get(&path) {
            return known.clone().ok_or_else(Report::default);
        }
        // A file that was named has to be there.
        let loaded = match self.given.is_none() && !path.is_file() {
            true => Ok(ServiceFile::default()),
            false => ServiceFile::load(&path),
        };
        match loaded {
            Ok(file) => {
                let file = Arc::new(file);
                self.read.insert(path, Some(file.clone()));
                Ok(file)
            }
            Err(report) => {
                self.read.insert(path, None);
                Err(report)
            }
        }
    }
}

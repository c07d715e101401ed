//! `run --watch`: reloads when a pipeline file or a `syncline.toml` has changed.
//!
//! The files are looked at every two seconds: that works on every file system, also where a mounted
//! folder is swapped as a whole. A change counts once it has stood still for one look, so that a file that
//! is being written is not read in the middle. What `${file:…}` names is not watched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::SERVICE_FILE;
use crate::daemon::Daemon;

const LOOK: Duration = Duration::from_secs(2);

/// Each file with its time and length.
type Stamps = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// Reloads whenever the files of `paths` have changed, until it is dropped.
pub(crate) async fn watch(daemon: Arc<Daemon>, paths: Vec<PathBuf>, config: Option<PathBuf>) {
    let mut paths = paths;
    paths.extend(config);
    let mut loaded = stamps(&paths);
    let mut before = loaded.clone();
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let now = stamps(&paths);
        if now == before && now != loaded {
            loaded.clone_from(&now);
            // The log says what became of it.
            let _ = daemon.ask_reload().await;
        }
        before = now;
    }
}

fn stamps(paths: &[PathBuf]) -> Stamps {
    let mut found = Stamps::new();
    for path in paths {
        if !path.is_dir() {
            add(path.clone(), &mut found);
            let folder = path.parent().unwrap_or(Path::new(""));
            add(folder.join(SERVICE_FILE), &mut found);
            continue;
        }
        // A folder that cannot be read now has no files now; the reload says why.
        for entry in path.read_dir().into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|end| end == "toml") {
                add(entry.path(), &mut found);
            }
        }
    }
    found
}

fn add(path: PathBuf, found: &mut Stamps) {
    if let Ok(metadata) = path.metadata() {
        found.insert(path, (metadata.modified().ok(), metadata.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_any_file_of_a_folder_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("it is written");
        };
        let paths = [folder.path().to_owned()];
        write("a.toml", "1");
        write("other.txt", "1");
        let first = stamps(&paths);
        assert_eq!(first.len(), 1);
        write("other.txt", "22");
        assert_eq!(stamps(&paths), first);
        write(SERVICE_FILE, "1");
        let second = stamps(&paths);
        assert_ne!(second, first);
        write("a.toml", "22");
        assert_ne!(stamps(&paths), second);
        std::fs::remove_file(folder.path().join("a.toml")).expect("it is there");
        // A file alone brings the syncline.toml beside it.
        assert_eq!(stamps(&[folder.path().join("a.toml")]).len(), 1);
    }
}

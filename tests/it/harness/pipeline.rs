//! A pipeline file in its own folder, and the `syncline` binary that runs it there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::services::{repository, unique};
use super::{DEADLINE, Process};

pub(crate) struct Pipeline {
    folder: TempDir,
    file: PathBuf,
    environment: BTreeMap<String, String>,
}

/// The result of a finished `syncline`.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code; `None` if a signal ended the process.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Fails the test, with the output, unless the exit code is 0.
    pub(crate) fn expect_success(&self) {
        let (code, stdout, stderr) = (self.code, &self.stdout, &self.stderr);
        assert_eq!(code, Some(0), "stdout:\n{stdout}\nstderr:\n{stderr}");
    }
}

impl Pipeline {
    /// Creates a pipeline from the text of its file.
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("pipeline.toml");
        fs::write(&file, text).expect("the folder can be written");
        Self {
            folder,
            file,
            environment: BTreeMap::new(),
        }
    }

    /// A file of `pipelines/` in a folder with a copy of the other content of `pipelines/`.
    pub(crate) fn shipped(name: &str) -> Self {
        let pipelines = repository().join("pipelines");
        let text = fs::read_to_string(pipelines.join(name)).expect("the pipeline is shipped");
        let mut pipeline = Self::new(&text);
        pipeline.file = pipeline.folder.path().join("pipelines").join(name);
        copy(&pipelines, &pipeline.folder.path().join("pipelines"));
        pipeline
    }

    /// Replaces the file.
    pub(crate) fn write(&self, text: &str) {
        fs::write(&self.file, text).expect("the folder can be written");
    }

    /// Sets an environment variable for the runs.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The folder in which the pipeline runs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of the file, as an argument.
    pub(crate) fn file(&self) -> &str {
        self.file.to_str().expect("the folder's name is UTF-8")
    }

    /// Starts `syncline run FILE ARGUMENTS…`.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        self.start_as("syncline", arguments)
    }

    /// The same as [`Pipeline::start`], with the output in files `NAME.stdout` and `NAME.stderr`.
    pub(crate) fn start_as(&self, name: &str, arguments: &[&str]) -> Process {
        let run = [&["run", self.file()], arguments].concat();
        self.spawn(name, &run)
    }

    /// Starts `syncline ARGUMENTS…`, with the output in files `NAME.stdout` and `NAME.stderr`.
    pub(crate) fn start_command(&self, name: &str, arguments: &[&str]) -> Process {
        self.spawn(name, arguments)
    }

    /// Runs `syncline ARGUMENTS…` until it ends, in the folder of the pipeline.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Finished {
        let process = self.spawn(&unique("command"), arguments);
        self.finish(process, DEADLINE).await
    }

    fn spawn(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
        command
            .args(arguments)
            .envs(&self.environment)
            .env("NO_COLOR", "1")
            .current_dir(self.folder.path());
        Process::start(name, self.folder.path(), command)
    }

    /// Runs `syncline run FILE --once` until it ends.
    pub(crate) async fn run_once(&self, deadline: Duration) -> Finished {
        self.finish(self.start(&["--once"]), deadline).await
    }

    /// Waits for the end of a run.
    pub(crate) async fn finish(&self, mut process: Process, deadline: Duration) -> Finished {
        let status = process.wait(deadline).await;
        Finished {
            code: status.code(),
            stdout: process.stdout(),
            stderr: process.stderr(),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}

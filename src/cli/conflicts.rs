//! `syncline conflicts`: lists conflicts between source and target, how they were decided, and the
//! ones that wait for a person; decides the waiting ones.
//!
//! A conflict in the queue has an id such as `pipeline/sink/17`; `sink/17` or `17` is enough if
//! only one conflict matches. If a sink does not answer, the command reports it on stderr and still
//! shows the conflicts of the others.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use syncline_connectors::conflict::QueueEntry;
use syncline_connectors::conflict_queue::ConflictQueue;

use super::{Exit, Global, block_on, complain, load_all};
use crate::config::PipelineFile;
use crate::failure::Failure;

mod explain;
mod history;
mod list;
mod resolve;
mod show;
mod stats;

mod id;
pub(super) mod layout;

/// The folder that is read if the command line names no pipeline file.
const FOLDER: &str = "pipelines";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: ConflictsCommand,
}

#[derive(Debug, Subcommand)]
enum ConflictsCommand {
    /// List the conflicts that wait for a person, oldest first.
    List(list::Arguments),
    /// Show one conflict of the queue: base, source and target side by side.
    Show(show::Arguments),
    /// Decide a conflict of the queue. The waiting changes of its key are applied after it.
    Resolve(resolve::Arguments),
    /// Discard the change of a conflict. The same as `resolve --skip`.
    Skip(resolve::SkipArguments),
    /// Show conflicts and how they were decided, newest first.
    History(history::Arguments),
    /// Show what Syncline would do now with the last change of a row, and why. Writes nothing.
    Explain(explain::Arguments),
    /// Count conflicts by table, type, strategy, column and winner.
    Stats(stats::Arguments),
}

/// The pipeline files whose conflicts the command shows.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// Pipeline files, or folders with pipeline files (`*.toml`). Default: the folder `pipelines`.
    #[arg(value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    block_on(async {
        match &arguments.command {
            ConflictsCommand::List(arguments) => list::run(arguments, global).await,
            ConflictsCommand::Show(arguments) => show::run(arguments, global).await,
            ConflictsCommand::Resolve(arguments) => resolve::run(arguments, global).await,
            ConflictsCommand::Skip(arguments) => resolve::skip(arguments, global).await,
            ConflictsCommand::History(arguments) => history::run(arguments, global).await,
            ConflictsCommand::Explain(arguments) => explain::run(arguments, global).await,
            ConflictsCommand::Stats(arguments) => stats::run(arguments, global).await,
        }
    })
}

/// The rows that the sinks returned, and the exit code so far.
pub(super) struct Found<T> {
    pub(super) rows: Vec<T>,
    exit: Exit,
}

impl<T> Found<T> {
    /// The exit code after the output was printed with the result `printed`.
    pub(super) fn exit(&self, printed: Exit) -> Exit {
        worse(self.exit, printed)
    }
}

impl Files {
    /// Reads and checks the pipeline files that the arguments select.
    fn load(&self, global: &Global) -> Result<Vec<PipelineFile>, Exit> {
        if !self.files.is_empty() {
            return load_all(&self.files, global);
        }
        if !Path::new(FOLDER).is_dir() {
            complain(&format!(
                "no pipeline file is given, and there is no folder {FOLDER:?} here: give a file or a folder"
            ));
            return Err(Exit::Configuration);
        }
        load_all(&[PathBuf::from(FOLDER)], global)
    }

    /// Whether some sink keeps a history of its conflicts.
    fn keep_history(&self, global: &Global) -> bool {
        let files = self.load(global).unwrap_or_default();
        let mut sinks = files.iter().flat_map(|file| &file.sinks);
        sinks.any(|(_, sink)| {
            let options = sink.config.options();
            options.is_some_and(|options| options.conflict.history.is_some())
        })
    }

    /// Queries the conflict queue of every database sink, in the order of the files.
    pub(super) async fn ask<T>(
        &self,
        global: &Global,
        ask: impl AsyncFn(&mut dyn ConflictQueue) -> syncline_connectors::error::Result<Vec<T>>,
    ) -> Result<Found<T>, Exit> {
        let files = self.load(global)?;
        let mut found = Found {
            rows: Vec::new(),
            exit: Exit::Done,
        };
        for file in &files {
            for (name, sink) in &file.sinks {
                let asked = async {
                    match sink.config.open_queue(&file.name, name).await? {
                        Some(mut queue) => ask(&mut *queue).await,
                        None => Ok(Vec::new()),
                    }
                };
                match asked.await {
                    Ok(rows) => found.rows.extend(rows),
                    Err(error) => {
                        let place = format!("{}/{name}", file.name);
                        let failure = Failure::of(&place, error);
                        complain(&failure.to_string());
                        found.exit = worse(found.exit, exit_of(&failure));
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Opens the conflict queue that contains an entry.
async fn open_queue(
    files: &Files,
    global: &Global,
    entry: &QueueEntry,
) -> Result<Box<dyn ConflictQueue>, Exit> {
    for file in files.load(global)? {
        if file.name != entry.pipeline {
            continue;
        }
        let Some((name, sink)) = file.sinks.iter().find(|(name, _)| *name == entry.sink) else {
            continue;
        };
        match sink.config.open_queue(&file.name, name).await {
            Ok(Some(queue)) => return Ok(queue),
            Ok(None) => {}
            Err(error) => {
                let failure = Failure::of(&format!("{}/{name}", file.name), error);
                complain(&failure.to_string());
                return Err(exit_of(&failure));
            }
        }
    }
    complain(&format!(
        "no pipeline file contains the sink {}/{} any more",
        entry.pipeline, entry.sink
    ));
    Err(Exit::Configuration)
}

pub(super) fn exit_of(failure: &Failure) -> Exit {
    match failure {
        Failure::Problems(_) | Failure::Configuration(_) => Exit::Configuration,
        Failure::Unreachable(_) => Exit::Unreachable,
        Failure::Failed(_) => Exit::Failed,
    }
}

/// A configuration error has precedence over an error that may pass by itself.
pub(super) fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Configuration, _) | (_, Exit::Configuration) => Exit::Configuration,
        (one, other) => one.max(other),
    }
}

/// An entry as JSON, with its full id.
fn entry_json(entry: &QueueEntry) -> serde_json::Value {
    let mut json = serde_json::json!({ "id": id::of(entry) });
    if let (Some(json), Ok(serde_json::Value::Object(mut fields))) =
        (json.as_object_mut(), serde_json::to_value(entry))
    {
        fields.remove("id");
        json.extend(fields);
    }
    json
}

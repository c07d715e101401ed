//! `syncline conflicts`: what source and target disagreed about, how it was decided, and what waits for a
//! person.
//!
//! An entry of the queue is called `pipeline/sink/17`; `sink/17` and `17` are understood where only one
//! entry can be meant. A sink that does not answer is named on stderr, and the others are shown all the
//! same.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use syncline_connectors::conflict::QueueEntry;
use syncline_connectors::conflict_queue::ConflictQueue;

use super::{Exit, Global, complain, load_all};
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

/// Where pipeline files stand when none is named.
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
    /// Decide a conflict of the queue; later changes of its key are then applied.
    Resolve(resolve::Arguments),
    /// Pass the change of a conflict over: `resolve --skip`.
    Skip(resolve::SkipArguments),
    /// Show conflicts and how they were decided, newest first.
    History(history::Arguments),
    /// Show what would become of a row's last change now and why, without writing.
    Explain(explain::Arguments),
    /// Count conflicts by table, type, strategy, column and winner.
    Stats(stats::Arguments),
}

/// The pipeline files whose conflicts are meant.
#[derive(Debug, Args)]
struct Files {
    /// Pipeline files, and folders of them (`*.toml`). Default: the folder `pipelines`.
    #[arg(value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the runtime cannot be started: {error}"));
            return Exit::Failed;
        }
    };
    runtime.block_on(async {
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

/// What was found, and how the search ended.
struct Found<T> {
    rows: Vec<T>,
    exit: Exit,
}

impl<T> Found<T> {
    /// The exit code, when `printed` is how the printing ended.
    fn exit(&self, printed: Exit) -> Exit {
        worse(self.exit, printed)
    }
}

impl Files {
    /// The files that are meant, read and checked.
    fn load(&self, global: &Global) -> Result<Vec<PipelineFile>, Exit> {
        if !self.files.is_empty() {
            return load_all(&self.files, global);
        }
        if !Path::new(FOLDER).is_dir() {
            complain(&format!(
                "no pipeline file is named, and there is no folder {FOLDER:?} here: name a file or a folder"
            ));
            return Err(Exit::Configuration);
        }
        load_all(&[PathBuf::from(FOLDER)], global)
    }

    /// Asks the conflict queue of every sink that is a database, in the order of the files.
    async fn ask<T>(
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

/// The conflict queue of the sink that an entry stands in.
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
        "no pipeline file has the sink {}/{} any more",
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

/// What can be mended in a file comes before what has to be waited for.
pub(super) fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Configuration, _) | (_, Exit::Configuration) => Exit::Configuration,
        (one, other) => one.max(other),
    }
}

/// An entry as JSON, with its whole id.
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

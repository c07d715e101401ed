//! `syncline quarantine`: what was refused, and why; to write it again, to drop it, or to take it elsewhere.

mod filter;
mod replay;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use self::filter::Filter;
use super::{Exit, Global, complain, load_all, print, print_json};
use crate::plan::Plan;
use crate::quarantine::{self, Entry, Payload, Quarantine};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// List the rejected changes of a pipeline, oldest first.
    List {
        /// The pipeline file.
        file: PathBuf,
    },
    /// Show one rejected change whole, with its original bytes.
    Show {
        /// The id that `list` shows.
        id: String,
        /// The pipeline file.
        file: PathBuf,
    },
    /// Write rejected changes again, through the pipeline as it is now. What is written leaves the
    /// quarantine.
    Replay(replay::Arguments),
    /// Drop rejected changes for good.
    Drop {
        /// The pipeline file.
        file: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// Drop every entry, where no filter is given.
        #[arg(long)]
        all: bool,
    },
    /// Print rejected changes as JSON lines, whole, with their original bytes.
    Export {
        /// The pipeline file.
        file: PathBuf,
        #[command(flatten)]
        filter: Filter,
    },
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let (file, id) = match &arguments.command {
        QuarantineCommand::List { file } => (file, None),
        QuarantineCommand::Show { id, file } => (file, Some(id)),
        QuarantineCommand::Replay(arguments) => return replay::run(arguments, global),
        QuarantineCommand::Drop { file, filter, all } => {
            return drop_entries(file, filter, *all, global);
        }
        QuarantineCommand::Export { file, filter } => return export(file, filter, global),
    };
    let files = match load_all(std::slice::from_ref(file), global) {
        Ok(files) => files,
        Err(exit) => return exit,
    };
    let mut entries = Vec::new();
    let mut exit = Exit::Done;
    for file in &files {
        let plan = Plan::new(file);
        match quarantine::list(&plan.quarantine, &plan.name) {
            Ok(listing) => {
                for place in &listing.damaged {
                    tracing::error!("damaged: {place}");
                    exit = Exit::Failed;
                }
                entries.extend(listing.entries);
            }
            Err(error) => {
                tracing::error!("{}", error.chain());
                return Exit::Unreachable;
            }
        }
    }
    let Some(id) = id else {
        let printed = if global.json {
            print_json(&entries.iter().map(with_id).collect())
        } else {
            print(&list_text(&entries))
        };
        return if printed == Exit::Done { exit } else { printed };
    };
    match entries.iter().find(|entry| entry.id() == *id) {
        Some(entry) => {
            let printed = if global.json {
                print_json(&with_id(entry))
            } else {
                print(&show_text(entry))
            };
            if printed == Exit::Done { exit } else { printed }
        }
        None => {
            tracing::error!(
                "no entry {id} in the quarantine; `syncline quarantine list` shows the ids"
            );
            Exit::Failed
        }
    }
}

/// The entries of a pipeline that fit.
fn fitting(file: &Path, filter: &Filter, global: &Global) -> Result<(Plan, Vec<Entry>), Exit> {
    let mut files = load_all(&[file.to_owned()], global)?;
    let (Some(file), true) = (files.pop(), files.is_empty()) else {
        complain("give the file of one pipeline");
        return Err(Exit::Configuration);
    };
    let plan = Plan::new(&file);
    let listing = quarantine::list(&plan.quarantine, &plan.name).map_err(|error| {
        complain(&error.chain());
        Exit::Unreachable
    })?;
    for place in &listing.damaged {
        tracing::error!("damaged: {place}");
    }
    let mut entries = listing.entries;
    entries.retain(|entry| filter.fits(entry));
    Ok((plan, entries))
}

fn drop_entries(file: &Path, filter: &Filter, all: bool, global: &Global) -> Exit {
    if filter.is_open() && !all {
        complain("no filter is given: write --all to drop every entry");
        return Exit::Configuration;
    }
    let (plan, entries) = match fitting(file, filter, global) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let dropped = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime.block_on(async {
                let store = Quarantine::open(&plan.quarantine, &plan.name).await;
                let store = store.map_err(|error| error.chain())?;
                store
                    .withdraw(&entries)
                    .await
                    .map_err(|error| error.chain())
            })
        });
    match dropped {
        Ok(()) => print(&format!("{} entries were dropped\n", entries.len())),
        Err(error) => {
            complain(&error);
            Exit::Unreachable
        }
    }
}

fn export(file: &Path, filter: &Filter, global: &Global) -> Exit {
    match fitting(file, filter, global) {
        Ok((_, entries)) => {
            let lines = entries.iter().map(|entry| format!("{}\n", with_id(entry)));
            print(&lines.collect::<String>())
        }
        Err(exit) => exit,
    }
}

fn with_id(entry: &Entry) -> serde_json::Value {
    let mut json = serde_json::json!({ "id": entry.id() });
    if let (Some(json), Ok(serde_json::Value::Object(fields))) =
        (json.as_object_mut(), serde_json::to_value(entry))
    {
        json.extend(fields);
    }
    json
}

fn list_text(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let field = entry
            .field
            .as_deref()
            .map(|field| format!("{field}: "))
            .unwrap_or_default();
        text.push_str(&format!(
            "{}  {}  {}  {field}{}\n",
            entry.id(),
            entry.time,
            entry.rule,
            entry.reason
        ));
    }
    text.push_str(&format!("{} rejected changes\n", entries.len()));
    text
}

fn show_text(entry: &Entry) -> String {
    let mut rows = vec![
        ("id", entry.id()),
        ("time", entry.time.clone()),
        ("pipeline", entry.pipeline.clone()),
        ("stage", entry.stage.clone()),
        ("rule", entry.rule.clone()),
        ("reason", entry.reason.clone()),
        ("topic", entry.topic.clone()),
        ("partition", entry.partition.to_string()),
        ("offset", entry.offset.to_string()),
    ];
    let details = [
        ("suggestion", &entry.suggestion),
        ("found", &entry.found),
        ("rule id", &entry.fingerprint),
    ];
    for (name, detail) in details {
        if let Some(detail) = detail {
            rows.insert(6, (name, detail.clone()));
        }
    }
    if let Some(field) = &entry.field {
        rows.insert(5, ("field", field.clone()));
    }
    let payloads = [
        ("key", &entry.key),
        ("headers", &entry.headers),
        ("value", &entry.value),
    ];
    for (name, payload) in payloads {
        rows.push((
            name,
            payload
                .as_ref()
                .map_or_else(|| "(none)".to_owned(), payload_text),
        ));
    }
    rows.iter()
        .map(|(name, value)| format!("{name:<10} {value}\n"))
        .collect()
}

fn payload_text(payload: &Payload) -> String {
    match payload {
        Payload::Text(text) => text.clone(),
        Payload::Binary { base64 } => format!("base64 {base64}"),
    }
}

//! `syncline quarantine list|show`: what was rejected, and why.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Exit, Global, load_all, print, print_json};
use crate::plan::Plan;
use crate::quarantine::{self, Entry, Payload};

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
        /// The pipeline file.
        file: PathBuf,
        /// The id that `list` shows.
        id: String,
    },
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let (file, id) = match &arguments.command {
        QuarantineCommand::List { file } => (file, None),
        QuarantineCommand::Show { file, id } => (file, Some(id)),
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

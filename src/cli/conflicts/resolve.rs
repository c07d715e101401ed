//! `syncline conflicts resolve`: a person decides a conflict of the queue.

use clap::{Args, ValueEnum};
use syncline_connectors::conflict::{QueueEntry, Resolution, Resolved, Take};
use syncline_connectors::conflict_queue::Entries;
use syncline_connectors::error::{Error, RejectedChange};

use super::id::{self, Wanted};
use super::{Files, entry_json, exit_of, open_queue};
use crate::cli::{Exit, Global, complain, print, print_json};
use crate::conflict;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The id that `list` shows: `pipeline/sink/17`, or `17` if only one conflict matches.
    id: Wanted,
    #[command(flatten)]
    decision: Decision,
    /// The name of the person who decides. Default: the user of this shell.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Decision {
    /// The side whose row is taken. Default with `--set`: the target's.
    #[arg(long, value_enum)]
    take: Option<Side>,
    /// Set a column to a value, written as JSON or as text; `null` means null. Can be repeated.
    #[arg(long, value_name = "COLUMN=VALUE")]
    set: Vec<String>,
    /// Discard the change without a decision; later changes of the key are applied.
    #[arg(long, conflicts_with_all = ["take", "set"])]
    skip: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Side {
    /// Apply the change.
    Source,
    /// Keep the target's row.
    Target,
    /// Set the row to the base: the last state on which both sides agreed.
    Base,
}

#[derive(Debug, Args)]
pub(super) struct SkipArguments {
    /// The id that `list` shows.
    id: Wanted,
    /// The name of the person who decides. Default: the user of this shell.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    files: Files,
}

pub(super) async fn run(arguments: &Arguments, global: &Global) -> Exit {
    let Arguments {
        id,
        decision,
        by,
        files,
    } = arguments;
    let take = match decision.take {
        _ if decision.skip => Take::Skip,
        Some(Side::Source) => Take::Source,
        Some(Side::Base) => Take::Base,
        Some(Side::Target) | None => Take::Target,
    };
    carry_out(id, take, decision.set.clone(), by.clone(), files, global).await
}

/// `syncline conflicts skip`.
pub(super) async fn skip(arguments: &SkipArguments, global: &Global) -> Exit {
    let SkipArguments { id, by, files } = arguments;
    carry_out(id, Take::Skip, Vec::new(), by.clone(), files, global).await
}

async fn carry_out(
    id: &Wanted,
    take: Take,
    set: Vec<String>,
    by: Option<String>,
    files: &Files,
    global: &Global,
) -> Exit {
    let which = Entries::Id(id.number);
    let found = match files
        .ask(global, async |queue| queue.entries(which).await)
        .await
    {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let exit = found.exit;
    let entry = match id.find(found.rows) {
        Ok(entry) => entry,
        Err((message, ambiguous)) => {
            complain(&message);
            return match exit {
                Exit::Done if !ambiguous => Exit::Failed,
                Exit::Done => Exit::Configuration,
                exit => exit,
            };
        }
    };
    let resolution = Resolution {
        take,
        set,
        by: by.unwrap_or_else(user),
        at_ms: chrono::Utc::now().timestamp_millis(),
    };
    let mut queue = match open_queue(files, global, &entry).await {
        Ok(queue) => queue,
        Err(exit) => return exit,
    };
    let resolved = queue
        .resolve(entry.id, &resolution, &conflict::resolvers())
        .await;
    match resolved {
        Ok(resolved) if global.json => print_json(&serde_json::json!({
            "entry": entry_json(&resolved.entry),
            "replayed": resolved.replayed,
            "waiting": resolved.waiting,
        })),
        Ok(resolved) => print(&text(&resolved)),
        Err(error) => {
            let failure = match error {
                Error::Rejected(rejected) => Failure::Failed(refused(&entry, &rejected)),
                error => Failure::of(&id::of(&entry), error),
            };
            complain(&failure.to_string());
            exit_of(&failure)
        }
    }
}

fn text(resolved: &Resolved) -> String {
    let entry = &resolved.entry;
    let taken = entry.taken.as_deref().unwrap_or_default();
    let mut text = format!("{}: {} ({taken})\n", id::of(entry), entry.state.name());
    if resolved.replayed > 0 {
        text.push_str(&format!(
            "{} later changes of the key were applied\n",
            resolved.replayed
        ));
    }
    if resolved.waiting > 0 {
        text.push_str(&format!(
            "{} later changes of the key are in a new conflict or wait for one: see `syncline conflicts list`\n",
            resolved.waiting
        ));
    }
    text
}

/// The reason why the target rejects the row.
fn refused(entry: &QueueEntry, rejected: &[RejectedChange]) -> String {
    let reasons: Vec<String> = rejected
        .iter()
        .map(|change| {
            let field = change.field.as_deref().map(|field| format!(" of {field}"));
            format!(
                "{}{} ({})",
                change.reason,
                field.unwrap_or_default(),
                change.rule
            )
        })
        .collect();
    format!(
        "{}: the target rejects the row; nothing was changed: {}",
        id::of(entry),
        reasons.join("; ")
    )
}

/// The user of this shell; under `sudo`, the user who called it.
fn user() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| "unknown".to_owned())
}

//! `syncline waiting`: lists changes that wait in a target for rows that foreign keys need (R21).

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use syncline_connectors::conflict::{read_change, write_image};
use syncline_connectors::waiting::{Awaited, WaitingChange};

use super::conflicts::{Files, layout};
use super::{Exit, Global, block_on, complain, print, print_json};

/// How many changes are listed of a sink.
const LISTED_MAX: usize = 1_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: WaitingCommand,
}

#[derive(Debug, Subcommand)]
enum WaitingCommand {
    /// List the changes that wait, the oldest first, at most 1,000 of a sink.
    List(List),
    /// Show one change that waits: its row, its record, and the row that it waits for.
    Show(Show),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, Args)]
struct Show {
    /// The number of the change, as `syncline waiting list` shows it.
    id: i64,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    block_on(async {
        match &arguments.command {
            WaitingCommand::List(list) => list_all(list, global).await,
            WaitingCommand::Show(show) => show_one(show, global).await,
        }
    })
}

async fn list_all(list: &List, global: &Global) -> Exit {
    let asked = list
        .files
        .ask(global, async |queue| queue.waiting(LISTED_MAX).await);
    let found = match asked.await {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    found.exit(if global.json {
        print_json(&found.rows.iter().map(summary_json).collect())
    } else {
        print(&text(&found.rows))
    })
}

async fn show_one(show: &Show, global: &Global) -> Exit {
    let asked = show
        .files
        .ask(global, async |queue| queue.waiting(usize::MAX >> 1).await);
    let found = match asked.await {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let Some(waiting) = found.rows.iter().find(|waiting| waiting.id == show.id) else {
        complain(&format!(
            "no change {} waits: `syncline waiting list` shows those that do",
            show.id
        ));
        return Exit::Configuration;
    };
    let json = match whole_json(waiting) {
        Ok(json) => json,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Failed;
        }
    };
    found.exit(if global.json {
        print_json(&json)
    } else {
        print(&whole_text(&json))
    })
}

/// What it waits for, for a person.
fn awaited(waiting: &WaitingChange) -> String {
    match waiting.awaits.as_deref() {
        Some("") => "behind an earlier change of its key".to_owned(),
        Some(text) => Awaited::read(text).map_or_else(|| text.to_owned(), |row| row.to_string()),
        None => waiting.reason.clone(),
    }
}

fn text(waiting: &[WaitingChange]) -> String {
    let mut text = String::new();
    if !waiting.is_empty() {
        let mut rows = vec![
            ["id", "table", "key", "since", "waits for"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(waiting.iter().map(|waiting| {
            vec![
                waiting.id.to_string(),
                waiting.target.clone(),
                layout::key(&waiting.key),
                layout::instant(waiting.since_ms),
                awaited(waiting),
            ]
        }));
        text = layout::aligned(&rows);
    }
    text.push_str(&format!("{} changes wait\n", waiting.len()));
    text
}

fn summary_json(waiting: &WaitingChange) -> Value {
    json!({
        "id": waiting.id,
        "source": waiting.source,
        "target": waiting.target,
        "key": serde_json::from_str::<Value>(&waiting.key.0).unwrap_or_default(),
        "since": layout::instant(waiting.since_ms),
        "waits_for": awaited(waiting),
    })
}

/// With the row of the change and the place of its record.
fn whole_json(waiting: &WaitingChange) -> syncline_connectors::error::Result<Value> {
    let change = read_change(&waiting.change)?;
    let row = write_image(&change.rows, &change.unset, 0);
    let origin = change.origins[0] as usize;
    let partition = &change.records.partition(origin).partition;
    let mut json = summary_json(waiting);
    json["operation"] = change.operations[0].letter().into();
    json["row"] = serde_json::from_str(&row).unwrap_or_default();
    json["topic"] = partition.topic.to_string().into();
    json["partition"] = partition.number.into();
    json["offset"] = change.records.entries[origin].offset.into();
    json["refused"] = format!("{} {}", waiting.rule, waiting.reason).trim().into();
    Ok(json)
}

fn whole_text(json: &Value) -> String {
    let mut text = String::new();
    for (name, value) in json.as_object().into_iter().flatten() {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&format!("{name:<10} {value}\n"));
    }
    text
}

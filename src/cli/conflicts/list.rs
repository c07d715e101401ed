//! `syncline conflicts list`: shows the conflicts that wait for a person.

use clap::Args;
use syncline_connectors::conflict::QueueEntry;
use syncline_connectors::conflict_queue::Entries;

use super::{Files, entry_json, id, layout};
use crate::cli::{Exit, Global, print, print_json};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Also list conflicts that a person has already decided.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(arguments: &Arguments, global: &Global) -> Exit {
    let which = if arguments.all {
        Entries::All
    } else {
        Entries::Open
    };
    let asked = arguments
        .files
        .ask(global, async |queue| queue.entries(which).await);
    let found = match asked.await {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    found.exit(if global.json {
        print_json(&found.rows.iter().map(entry_json).collect())
    } else {
        print(&text(&found.rows, arguments.all))
    })
}

fn text(entries: &[QueueEntry], all: bool) -> String {
    let mut text = String::new();
    if !entries.is_empty() {
        let mut rows = vec![
            ["id", "table", "key", "type", "waiting", "since", "state"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(entries.iter().map(|entry| {
            vec![
                id::of(entry),
                entry.target.clone(),
                layout::key(&entry.key),
                entry.kind.name().to_owned(),
                entry.waiting.to_string(),
                layout::instant(entry.opened_at_ms),
                layout::state(entry),
            ]
        }));
        text = layout::aligned(&rows);
    }
    let kind = if all { "" } else { "open " };
    text.push_str(&format!("{} {kind}conflicts\n", entries.len()));
    text
}

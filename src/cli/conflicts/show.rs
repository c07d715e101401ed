//! `syncline conflicts show`: shows one conflict of the queue with everything that a person needs
//! to decide it.

use clap::Args;
use syncline_connectors::conflict::QueueEntry;
use syncline_connectors::conflict_queue::Entries;

use super::id::{self, Wanted};
use super::{Files, entry_json, layout};
use crate::cli::{Exit, Global, complain, print, print_json};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The id that `list` shows: `pipeline/sink/17`, or `17` if only one conflict matches.
    id: Wanted,
    #[command(flatten)]
    files: Files,
}

pub(super) async fn run(arguments: &Arguments, global: &Global) -> Exit {
    let which = Entries::Id(arguments.id.number);
    let asked = arguments
        .files
        .ask(global, async |queue| queue.entries(which).await);
    let found = match asked.await {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let exit = found.exit;
    match arguments.id.find(found.rows) {
        Ok(entry) if global.json => print_json(&entry_json(&entry)),
        Ok(entry) => print(&text(&entry)),
        Err((message, ambiguous)) => {
            complain(&message);
            match exit {
                // The conflict may be in the target that did not answer.
                Exit::Done if !ambiguous => Exit::Failed,
                Exit::Done => Exit::Configuration,
                exit => exit,
            }
        }
    }
}

fn text(entry: &QueueEntry) -> String {
    let place = &entry.place;
    let event_time = place
        .event_time_ms
        .map(|time| format!(", at {}", layout::instant(time)));
    let mut rows = vec![
        ("id", id::of(entry)),
        ("state", layout::state(entry)),
        ("table", layout::one_line(&entry.target)),
        ("key", layout::key(&entry.key)),
        ("type", entry.kind.name().to_owned()),
        ("reason", layout::one_line(&entry.reason)),
        (
            "change",
            format!(
                "{}: {}[{}] at {}{}",
                entry.source,
                layout::one_line(&place.topic),
                place.partition,
                place.position,
                event_time.unwrap_or_default()
            ),
        ),
        ("since", layout::instant(entry.opened_at_ms)),
    ];
    if entry.waiting > 0 {
        rows.push((
            "waiting",
            format!("{} later changes of the key", entry.waiting),
        ));
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    format!(
        "{}\n{}",
        layout::aligned(&rows),
        layout::side_by_side(&entry.rows, &entry.columns)
    )
}

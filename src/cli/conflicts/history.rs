//! `syncline conflicts history`: shows past conflicts with their decision and reason.

use clap::Args;
use syncline_connectors::conflict::{ConflictRecord, KeyFilter};

use super::{Files, layout};
use crate::cli::{Exit, Global, complain, print, print_json};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Show only conflicts of this row: `42`, or `{"id": 42}` if the key has several columns.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The maximum number of conflicts; the newest are shown.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

pub(super) async fn run(arguments: &Arguments, global: &Global) -> Exit {
    let key = arguments.key.as_deref().map(KeyFilter::of);
    let limit = arguments.limit as usize;
    let asked = arguments.files.ask(global, async |queue| {
        queue.history(key.as_ref(), limit).await
    });
    let mut found = match asked.await {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let newest = |record: &ConflictRecord| std::cmp::Reverse(record.decided_at_ms);
    found.rows.sort_by_key(newest);
    found.rows.truncate(limit);
    if found.rows.is_empty() && !global.json && !arguments.files.keep_history(global) {
        complain(
            "no sink keeps a history: write [sinks.NAME.conflict.history] with to = \"table\" or \"file\"",
        );
        return Exit::Configuration;
    }
    found.exit(if global.json {
        // A record contains only texts, numbers and JSON, so it can always be converted.
        print_json(&serde_json::to_value(&found.rows).unwrap_or_default())
    } else {
        print(&text(&found.rows))
    })
}

fn text(records: &[ConflictRecord]) -> String {
    let mut text = String::new();
    for record in records {
        let place = &record.place;
        let rows = [
            ("sink", format!("{}/{}", record.pipeline, record.sink)),
            ("table", layout::one_line(&record.target)),
            ("key", layout::key(&record.key)),
            ("type", record.kind.name().to_owned()),
            (
                "decided",
                format!(
                    "{} wins by {}",
                    record.winner.name(),
                    layout::one_line(&record.strategy)
                ),
            ),
            ("reason", layout::one_line(&record.reason)),
            (
                "change",
                format!(
                    "{}: {}[{}] at {}",
                    record.source,
                    layout::one_line(&place.topic),
                    place.partition,
                    place.position
                ),
            ),
        ];
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|(name, value)| vec![String::new(), name.to_owned(), value])
            .collect();
        let sides = layout::side_by_side(&record.rows, &record.columns);
        let sides: String = sides.lines().map(|line| format!("  {line}\n")).collect();
        text.push_str(&format!(
            "{}\n{}{sides}\n",
            layout::instant(record.decided_at_ms),
            layout::aligned(&rows)
        ));
    }
    text.push_str(&format!("{} conflicts\n", records.len()));
    text
}

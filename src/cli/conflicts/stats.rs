//! `syncline conflicts stats`: counts conflicts by kind. The counts are exact, even if the history
//! contains only a part of the conflicts.

use clap::Args;
use syncline_connectors::conflict::ConflictCount;

use super::{Files, layout};
use crate::cli::{Exit, Global, print, print_json};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
}

pub(super) async fn run(arguments: &Arguments, global: &Global) -> Exit {
    let asked = arguments
        .files
        .ask(global, async |queue| queue.counts().await);
    let found = match asked.await {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    found.exit(if global.json {
        // A count contains only texts and numbers, so it can always be converted.
        print_json(&serde_json::to_value(&found.rows).unwrap_or_default())
    } else {
        print(&text(&found.rows))
    })
}

/// One line for each kind; the columns follow the rows of their table. The total counts rows, not
/// columns.
fn text(counts: &[ConflictCount]) -> String {
    let mut text = String::new();
    if !counts.is_empty() {
        let heads = [
            "sink", "table", "type", "strategy", "column", "winner", "count",
        ];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(counts.iter().map(|count| {
            vec![
                format!("{}/{}", count.pipeline, count.sink),
                layout::one_line(&count.target),
                count.kind.name().to_owned(),
                layout::one_line(&count.strategy),
                layout::one_line(&count.column),
                count.winner.name().to_owned(),
                count.count.to_string(),
            ]
        }));
        text = layout::aligned(&rows);
    }
    let of_rows = counts.iter().filter(|count| count.column.is_empty());
    let total: u64 = of_rows.map(|count| count.count).sum();
    text.push_str(&format!("{total} conflicts\n"));
    text
}

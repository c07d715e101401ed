//! `syncline conflicts stats`: how often which kind of conflict was, exact also where the history is
//! sampled.

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
        // Every part of a count is text or a number.
        print_json(&serde_json::to_value(&found.rows).unwrap_or_default())
    } else {
        print(&text(&found.rows))
    })
}

/// A line a kind, columns below the rows of their table; the total counts rows, not columns.
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

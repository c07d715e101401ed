//! `syncline positions show FILE`: where each sink stands.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use syncline_connectors::record::Partition;
use syncline_connectors::source::{Extent, Wanted};

use super::{Filter, SinkPositions, Subject, fail};
use crate::cli::conflicts::layout::{aligned, one_line};
use crate::cli::conflicts::worse;
use crate::cli::{Exit, Global, print, print_json};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    subject: Subject,
}

/// One line: a partition as one sink knows it.
#[derive(Debug, Default)]
struct Row {
    sink: String,
    source: String,
    topic: String,
    partition: i32,
    position: Option<i64>,
    /// Who keeps the position: `target`, or `group` for a sink that keeps none.
    kept_in: Option<&'static str>,
    end: Option<i64>,
    /// What the position counts in.
    incarnation: Option<String>,
    /// The `table` setting that the positions were written for.
    table: Option<String>,
}

type Extents = BTreeMap<String, Vec<Extent>>;

pub(super) async fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Exit> {
    let Subject { filter, .. } = &arguments.subject;
    let file = arguments.subject.load(global)?;
    let sinks = arguments.subject.read(&file).await?;
    let mut exit = Exit::Done;
    let mut extents = Extents::new();
    for (name, config) in &file.sources {
        if !filter.takes_source(name) {
            continue;
        }
        let forgets = sinks.iter().any(|sink| {
            sink.store.is_none() && sink.sources.iter().any(|(source, _)| source == name)
        });
        let wanted = Wanted {
            group: forgets,
            ..Wanted::default()
        };
        match config.survey(&wanted).await {
            Ok(found) => drop(extents.insert(name.clone(), found)),
            Err(error) => {
                // The positions are shown all the same.
                let failure = Failure::of(&format!("source {name}"), error);
                exit = worse(exit, fail(&failure));
            }
        }
    }
    let rows: Vec<Row> = sinks
        .iter()
        .flat_map(|sink| rows(sink, filter, &extents))
        .collect();
    let printed = if global.json {
        print_json(&rows.iter().map(to_json).collect())
    } else {
        print(&text(&rows))
    };
    Ok(worse(exit, printed))
}

/// What is kept, and the partitions that the sink does not know yet.
fn rows(sink: &SinkPositions, filter: &Filter, extents: &Extents) -> Vec<Row> {
    let mut rows: BTreeMap<(String, Partition), Row> = BTreeMap::new();
    let known: Vec<&String> = sink.sources.iter().map(|(name, _)| name).collect();
    for (source, extent) in extents
        .iter()
        .filter(|(source, _)| known.contains(source))
        .flat_map(|(source, extents)| extents.iter().map(move |extent| (source, extent)))
    {
        let group = extent.group.filter(|_| sink.store.is_none());
        let row = Row {
            position: group,
            kept_in: group.map(|_| "group"),
            end: Some(extent.high),
            ..Row::of(&sink.name, source, &extent.partition)
        };
        rows.insert((source.clone(), extent.partition.clone()), row);
    }
    for kept in &sink.kept.positions {
        let key = (kept.source.clone(), kept.partition.clone());
        let row = rows
            .entry(key)
            .or_insert_with(|| Row::of(&sink.name, &kept.source, &kept.partition));
        row.position = Some(kept.held.next);
        row.kept_in = Some("target");
        row.incarnation = kept.held.incarnation.as_deref().map(str::to_owned);
        row.table.clone_from(&sink.kept.table);
    }
    rows.into_iter()
        .filter(|((source, partition), _)| filter.takes(source, partition))
        .map(|(_, row)| row)
        .collect()
}

impl Row {
    fn of(sink: &str, source: &str, partition: &Partition) -> Self {
        Self {
            sink: sink.to_owned(),
            source: source.to_owned(),
            topic: partition.topic.to_string(),
            partition: partition.number,
            ..Self::default()
        }
    }

    /// What waits: offsets, which for a file are bytes.
    fn lag(&self) -> Option<i64> {
        Some((self.end? - self.position?).max(0))
    }
}

fn to_json(row: &Row) -> serde_json::Value {
    json!({
        "sink": row.sink,
        "source": row.source,
        "topic": row.topic,
        "partition": row.partition,
        "position": row.position,
        "kept_in": row.kept_in,
        "end": row.end,
        "lag": row.lag(),
        "incarnation": row.incarnation,
        "table": row.table,
    })
}

fn text(rows: &[Row]) -> String {
    let head = [
        "sink",
        "source",
        "topic",
        "partition",
        "position",
        "end",
        "lag",
        "table",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for row in rows {
        let position = match row.kept_in {
            Some("group") => format!("{} (group)", number(row.position)),
            _ => number(row.position),
        };
        lines.push(vec![
            row.sink.clone(),
            row.source.clone(),
            one_line(&row.topic),
            row.partition.to_string(),
            position,
            number(row.end),
            number(row.lag()),
            one_line(row.table.as_deref().unwrap_or("-")),
        ]);
    }
    format!(
        "{}{} positions\n",
        aligned(&lines),
        rows.iter().filter(|row| row.position.is_some()).count()
    )
}

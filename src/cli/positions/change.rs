//! `syncline positions reset|set FILE`: what would change, and with `--yes` the change.

use clap::Args;
use serde_json::json;
use syncline_connectors::positions::Change;
use syncline_connectors::record::Held;

use super::destination::Destination;
use super::{SinkPositions, Subject, fail};
use crate::cli::conflicts::layout::{aligned, one_line};
use crate::cli::{Exit, Global, complain, print, print_json};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct ResetArguments {
    #[command(flatten)]
    subject: Subject,
    /// Keep the positions and forget only which `table` setting and tables they belong to, after a table
    /// got another name or was dropped on purpose.
    #[arg(long, conflicts_with_all = ["source", "topic", "partition"])]
    tables_only: bool,
    /// Change it; without this it is only shown.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct SetArguments {
    #[command(flatten)]
    subject: Subject,
    /// Where to: `beginning`, `end`, `group` (where the consumer group stands), `offset N`, or
    /// `time RFC3339` (the first record that is not older).
    #[arg(long, value_name = "PLACE", num_args = 1..=2, required = true)]
    to: Vec<String>,
    /// Change it; without this it is only shown.
    #[arg(long)]
    yes: bool,
}

/// The changes of each sink.
type Changes = Vec<(SinkPositions, Vec<Change>)>;

pub(super) async fn reset(arguments: &ResetArguments, global: &Global) -> Result<Exit, Exit> {
    let filter = &arguments.subject.filter;
    let file = arguments.subject.load(global)?;
    if arguments.tables_only {
        let sinks = arguments.subject.read(&file).await?;
        return forget_tables(sinks, arguments.yes, global).await;
    }
    let mut all = Changes::new();
    for sink in arguments.subject.read(&file).await? {
        let kept = sink.kept.positions.iter();
        let changes = kept
            .filter(|kept| filter.takes(&kept.source, &kept.partition))
            .map(|kept| Change {
                source: kept.source.clone(),
                partition: kept.partition.clone(),
                from: Some(kept.held.next),
                to: None,
            })
            .collect();
        all.push((sink, changes));
    }
    carry_out(all, arguments.yes, global).await
}

pub(super) async fn set(arguments: &SetArguments, global: &Global) -> Result<Exit, Exit> {
    let filter = &arguments.subject.filter;
    let place = Destination::read(&arguments.to).map_err(|message| {
        complain(&message);
        Exit::Configuration
    })?;
    let file = arguments.subject.load(global)?;
    let mut all = Changes::new();
    for sink in arguments.subject.read(&file).await? {
        let mut changes = Vec::new();
        for (name, config) in &sink.sources {
            if sink.store.is_none() || !filter.takes_source(name) {
                continue;
            }
            let extents = config.survey(&place.wanted()).await;
            let extents =
                extents.map_err(|error| fail(&Failure::of(&format!("source {name}"), error)))?;
            for extent in extents {
                if !filter.takes(name, &extent.partition) {
                    continue;
                }
                let at = place.within(&extent).map_err(|message| {
                    complain(&format!("source {name}: {message}"));
                    Exit::Configuration
                })?;
                let kept = sink
                    .kept
                    .positions
                    .iter()
                    .find(|kept| kept.source == *name && kept.partition == extent.partition);
                let from = kept.map(|kept| kept.held.next);
                if let Some(next) = at {
                    changes.push(Change {
                        source: name.clone(),
                        partition: extent.partition,
                        from,
                        to: Some(Held {
                            next,
                            incarnation: extent.incarnation,
                        }),
                    });
                }
            }
        }
        all.push((sink, changes));
    }
    carry_out(all, arguments.yes, global).await
}

/// Shows which tables are forgotten, and forgets them.
async fn forget_tables(
    sinks: Vec<SinkPositions>,
    yes: bool,
    global: &Global,
) -> Result<Exit, Exit> {
    let mut text = String::new();
    let mut rows = Vec::new();
    for mut sink in sinks {
        let Some(store) = &mut sink.store else {
            continue;
        };
        if yes {
            let forgotten = store.forget_tables().await;
            forgotten.map_err(|error| fail(&Failure::of_sink(&sink.name, error)))?;
        }
        let (verb, end) = if yes {
            ("are", "")
        } else {
            ("would be", "; nothing was changed: add --yes")
        };
        let table = sink.kept.table.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "sink {}: the setting table = {table:?} and {} tables {verb} forgotten, {} positions stay{end}\n",
            sink.name,
            sink.kept.tables.len(),
            sink.kept.positions.len()
        ));
        rows.push(
            json!({ "sink": sink.name, "table": sink.kept.table, "tables": sink.kept.tables }),
        );
    }
    Ok(if global.json {
        print_json(&json!({ "done": yes, "forgotten": rows }))
    } else {
        print(&text)
    })
}

async fn carry_out(mut all: Changes, yes: bool, global: &Global) -> Result<Exit, Exit> {
    let count: usize = all.iter().map(|(_, changes)| changes.len()).sum();
    for (sink, _) in all.iter().filter(|(sink, _)| sink.store.is_none()) {
        complain(&format!(
            "sink {} keeps no positions: it goes on where the consumer group of its source stands, which the tools of Kafka move",
            sink.name
        ));
    }
    if count == 0 {
        complain("no position fits: `syncline positions show FILE` lists them");
        return Err(Exit::Failed);
    }
    let mut shown = Ok(Exit::Done);
    if yes {
        for (sink, changes) in &mut all {
            let Some(store) = sink.store.as_mut().filter(|_| !changes.is_empty()) else {
                continue;
            };
            if let Err(error) = store.change(changes).await {
                shown = Err(fail(&Failure::of_sink(&sink.name, error)));
                changes.clear();
            }
        }
    }
    let printed = if global.json {
        print_json(&to_json(&all, yes))
    } else {
        print(&text(&all, yes))
    };
    shown.map(|exit| exit.max(printed))
}

fn to_json(all: &Changes, done: bool) -> serde_json::Value {
    let mut rows = Vec::new();
    for (sink, changes) in all {
        rows.extend(changes.iter().map(|change| {
            json!({
                "sink": sink.name,
                "source": change.source,
                "topic": &*change.partition.topic,
                "partition": change.partition.number,
                "before": change.from,
                "after": change.to.as_ref().map(|to| to.next),
            })
        }));
    }
    json!({ "done": done, "changes": rows })
}

fn text(all: &Changes, done: bool) -> String {
    let head = [
        "sink",
        "source",
        "topic",
        "partition",
        "before",
        "",
        "after",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    let number = |number: Option<i64>| number.map_or_else(|| "none".to_owned(), |n| n.to_string());
    for (sink, changes) in all {
        for change in changes {
            lines.push(vec![
                sink.name.clone(),
                change.source.clone(),
                one_line(&change.partition.topic),
                change.partition.number.to_string(),
                number(change.from),
                "->".to_owned(),
                number(change.to.as_ref().map(|to| to.next)),
            ]);
        }
    }
    let count = lines.len() - 1;
    let end = if done {
        format!("{count} positions were changed\n")
    } else {
        format!("{count} positions would change; nothing was changed: add --yes\n")
    };
    format!("{}{end}", aligned(&lines))
}

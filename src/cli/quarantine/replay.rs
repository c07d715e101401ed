//! `syncline quarantine replay`: writes refused changes again, through the pipeline as it is now (R26).

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use syncline_connectors::source::Wanted;

use super::Filter;
use crate::cli::conflicts::{exit_of, layout};
use crate::cli::{Exit, Global, complain, load_all, print, print_json, refuse};
use crate::config::PipelineFile;
use crate::conflict;
use crate::failure::Failure;
use crate::plan::{Plan, SourcePlan};
use crate::quarantine::{self, Entry, Quarantine};
use crate::run::replay::{Replayed, Stays, preview, replay};

/// How many changes a dry run shows.
const SHOWN_MAX: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline file.
    file: PathBuf,
    #[command(flatten)]
    filter: Filter,
    /// Show what would become of the changes, with each row before and after. Writes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write changes also over rows that are not what the source knew, as the sink's strategy says.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the runtime cannot be started: {error}"));
            return Exit::Failed;
        }
    };
    let mut files = match load_all(std::slice::from_ref(&arguments.file), global) {
        Ok(files) => files,
        Err(exit) => return exit,
    };
    let (Some(mut file), true) = (files.pop(), files.is_empty()) else {
        complain("replay needs exactly one pipeline: give its file");
        return Exit::Configuration;
    };
    match runtime.block_on(of_file(arguments, &mut file)) {
        Ok(Done::Shown(json)) if global.json => print_json(&json),
        Ok(Done::Shown(json)) => print(&shown_text(&json)),
        Ok(Done::Replayed(replayed)) => {
            let printed = if global.json {
                print_json(&json!(replayed))
            } else {
                print(&text(&replayed))
            };
            match replayed.stays.is_empty() {
                true => printed,
                false => Exit::Failed,
            }
        }
        Err(Failure::Problems(problems)) => refuse(&file.document.report(problems), global),
        Err(failure) => {
            complain(&failure.to_string());
            exit_of(&failure)
        }
    }
}

enum Done {
    /// What would become of the changes.
    Shown(Value),
    Replayed(Replayed),
}

async fn of_file(arguments: &Arguments, file: &mut PipelineFile) -> Result<Done, Failure> {
    if !arguments.force {
        for (name, node) in &mut file.sinks {
            node.config = node.config.guarded().ok_or_else(|| {
                Failure::Configuration(format!(
                    "sink {name} cannot tell whether a later change wrote a row: write --force to replay all the same"
                ))
            })?;
        }
    }
    let mut plan = Plan::new(file);
    plan.take_keys().await?;
    let listing = quarantine::list(&plan.quarantine, &plan.name);
    let listing = listing.map_err(|error| Failure::of("quarantine", error))?;
    let entries: Vec<&Entry> = listing
        .entries
        .iter()
        .filter(|entry| arguments.filter.fits(entry))
        .collect();
    let groups = by_source(&plan, &entries).await?;
    if arguments.dry_run {
        return Ok(Done::Shown(show(file, &plan, &groups).await?));
    }
    let store = Quarantine::open(&plan.quarantine, &plan.name).await;
    let store = store.map_err(|error| Failure::of("quarantine", error))?;
    let mut all = Replayed::default();
    for (source, entries) in groups {
        let one = replay(&plan, source, &entries, &store, !arguments.force).await?;
        all.entries += one.entries;
        all.written += one.written;
        all.superseded += one.superseded;
        all.filtered += one.filtered;
        all.kept += one.kept;
        all.waiting += one.waiting;
        all.written_before += one.written_before;
        all.stays.extend(one.stays);
    }
    Ok(Done::Replayed(all))
}

/// The entries of each source. Where a pipeline has several, the source that has the topic.
async fn by_source<'p, 'e>(
    plan: &'p Plan,
    entries: &[&'e Entry],
) -> Result<Vec<(&'p SourcePlan, Vec<&'e Entry>)>, Failure> {
    if let [source] = &plan.sources[..] {
        return Ok(vec![(source, entries.to_vec())]);
    }
    let mut left = entries.to_vec();
    let mut groups = Vec::new();
    for source in &plan.sources {
        let surveyed = source.config.survey(&Wanted::default()).await;
        let extents = surveyed.map_err(|error| Failure::of_source(&source.part(), error))?;
        let (own, others) = left.into_iter().partition(|entry| {
            let mut extents = extents.iter();
            extents.any(|extent| *extent.partition.topic == *entry.topic)
        });
        left = others;
        groups.push((source, own));
    }
    match left.first() {
        None => Ok(groups),
        Some(entry) => Err(Failure::Configuration(format!(
            "no source of the pipeline has the topic {:?} of entry {}: leave it out, or drop it",
            entry.topic,
            entry.id()
        ))),
    }
}

async fn show(
    file: &PipelineFile,
    plan: &Plan,
    groups: &[(&SourcePlan, Vec<&Entry>)],
) -> Result<Value, Failure> {
    let (mut changes, mut refused): (Vec<Value>, Vec<Stays>) = (Vec::new(), Vec::new());
    let resolvers = conflict::resolvers();
    for (source, entries) in groups {
        let (carried, stays) = preview(plan, source, entries).await?;
        refused.extend(stays);
        for carried in carried {
            let sink = &source.sinks[carried.sink];
            let failed = |error| Failure::of_sink(&sink.name, error);
            let opened = sink.config.open_queue(&file.name, &sink.name).await;
            let Some(mut queue) = opened.map_err(failed)? else {
                continue;
            };
            for batch in &carried.changes {
                for row in 0..batch.len() as u32 {
                    if changes.len() == SHOWN_MAX {
                        break;
                    }
                    let one = batch.take(&[row]).map_err(|error| {
                        Failure::Failed(format!("a row cannot be taken: {error}"))
                    })?;
                    let told = queue.explain(&one, &source.name, &resolvers).await;
                    let told = told.map_err(failed)?;
                    let row = |text: &Option<syncline_connectors::conflict::Json>| {
                        let text = text.as_ref().map(|json| json.0.as_str());
                        text.and_then(|text| serde_json::from_str::<Value>(text).ok())
                    };
                    changes.push(json!({
                        "sink": sink.name,
                        "table": told.target,
                        "key": serde_json::from_str::<Value>(&told.key.0).unwrap_or_default(),
                        "operation": told.operation.letter(),
                        "verdict": told.verdict.name(),
                        "before": row(&told.rows.target),
                        "after": row(&told.rows.result),
                    }));
                }
            }
        }
    }
    Ok(json!({ "changes": changes, "stays": refused }))
}

fn shown_text(json: &Value) -> String {
    let mut rows = vec![
        ["table", "key", "what", "row now", "row then"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let changes = json["changes"].as_array().cloned().unwrap_or_default();
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    for change in &changes {
        let columns = ["table", "key", "verdict", "before", "after"];
        rows.push(
            columns
                .iter()
                .map(|column| plain(&change[*column]))
                .collect(),
        );
    }
    let mut text = layout::aligned(&rows);
    for stays in json["stays"].as_array().into_iter().flatten() {
        text.push_str(&format!(
            "refused again: {}  {}  {}\n",
            plain(&stays["id"]),
            plain(&stays["rule"]),
            plain(&stays["reason"])
        ));
    }
    text.push_str(&format!(
        "{} changes would be tried; nothing was written\n",
        changes.len()
    ));
    text
}

fn text(replayed: &Replayed) -> String {
    let mut text = String::new();
    let counts = [
        ("replayed", replayed.entries),
        ("written", replayed.written),
        ("superseded", replayed.superseded),
        ("filtered", replayed.filtered),
        ("kept", replayed.kept),
        ("waiting", replayed.waiting),
        ("before", replayed.written_before),
        ("refused", replayed.stays.len() as u64),
    ];
    for (name, count) in counts {
        text.push_str(&format!("{name:<12} {count:>12}\n"));
    }
    for stays in replayed.stays.iter().take(SHOWN_MAX) {
        text.push_str(&format!(
            "refused again: {}  {}  {}\n",
            stays.id, stays.rule, stays.reason
        ));
    }
    text
}

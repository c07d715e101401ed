//! `syncline conflicts explain`: shows what Syncline would do now with the last change of a row,
//! and why. It writes nothing to the target or the quarantine, and acknowledges nothing to the
//! source.
//!
//! The change is the last change of the row in the source, which is read from its beginning, or the
//! one given with `--change`. The output shows the row's values, because the user named the row.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use syncline_connectors::change::{Changes, Operation};
use syncline_connectors::conflict::KeyFilter;
use syncline_connectors::conflict_queue::{ConflictQueue, Explanation};
use syncline_connectors::sql::Options;

use super::{exit_of, layout};
use crate::cli::{Exit, Global, complain, load_all, print, print_json, refuse};
use crate::config::PipelineFile;
use crate::conflict;
use crate::failure::Failure;
use crate::plan::{Plan, SourcePlan};
use crate::quarantine::Entry;
use crate::run::browse::{Browsed, browse, carry};

mod search;
mod text;
mod why;

use search::{Last, Search};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE")]
    file: PathBuf,
    /// The key of the row: `42`, or `{"id": 42, "region": "eu"}` if the key has several columns.
    #[arg(
        long,
        value_name = "KEY",
        required_unless_present = "change",
        allow_hyphen_values = true
    )]
    key: Option<String>,
    /// Explain this change instead of the last one in the source: a Debezium envelope or a flat
    /// row.
    #[arg(long, value_name = "JSON")]
    change: Option<String>,
    /// The sink, if the pipeline writes to several databases.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// The source, if several sources write to the sink.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The table in the source, if several tables contain such a row.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The maximum time to read the source, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,
}

/// The explanations, with what was read to find them.
struct Report {
    pipeline: String,
    sink: String,
    source: String,
    options: Options,
    /// How much of the source was read; `None` if the change was given.
    read: Option<Browsed>,
    answers: Vec<Answer>,
    /// Why the given change does not reach the sink.
    rejected: Vec<Entry>,
}

/// One change and its explanation.
struct Answer {
    explained: Explanation,
    /// The number of changes of the key in the source.
    changes: usize,
    /// The number of these changes that the sink has not applied and that come before this one.
    earlier: usize,
    /// Whether the source truncated the table after this change.
    truncated: bool,
}

pub(super) async fn run(arguments: &Arguments, global: &Global) -> Exit {
    let mut files = match load_all(std::slice::from_ref(&arguments.file), global) {
        Ok(files) => files,
        Err(exit) => return exit,
    };
    let file = match (files.pop(), files.is_empty()) {
        (Some(file), true) => file,
        _ => {
            complain("explain needs exactly one pipeline: give its file");
            return Exit::Configuration;
        }
    };
    match answer(arguments, &file).await {
        Ok(report) if global.json => print_json(&report.json()),
        Ok(report) => print(&text::text(&report)),
        Err(Failure::Problems(problems)) => refuse(&file.document.report(problems), global),
        Err(failure) => {
            complain(&failure.to_string());
            exit_of(&failure)
        }
    }
}

async fn answer(arguments: &Arguments, file: &PipelineFile) -> Result<Report, Failure> {
    let mut plan = Plan::new(file);
    let sink = search::sink(file, arguments.sink.as_deref())?;
    let at = search::source(&plan, &sink, arguments.source.as_deref())?;
    let node = file.sinks.iter().find(|(name, _)| *name == sink);
    let config = node.map(|(_, node)| &node.config);
    let failed = |error| Failure::of_sink(&sink, error);
    let queue = match config {
        Some(config) => config.open_queue(&file.name, &sink).await.map_err(failed)?,
        None => None,
    };
    let options = config.and_then(|config| config.options());
    let (Some(mut queue), Some(options)) = (queue, options) else {
        return Err(Failure::Configuration(format!(
            "sink {sink} does not support explain: use a sink of type postgres or sqlite"
        )));
    };
    plan.take_keys().await?;
    let source = &plan.sources[at];
    let mut report = Report {
        pipeline: file.name.clone(),
        sink: sink.clone(),
        source: source.name.clone(),
        options,
        read: None,
        answers: Vec::new(),
        rejected: Vec::new(),
    };
    match &arguments.change {
        Some(change) => {
            report
                .of_given(arguments, &plan, source, change, &mut *queue)
                .await?
        }
        None => {
            report
                .of_last(arguments, &plan, source, &mut *queue)
                .await?
        }
    }
    Ok(report)
}

impl Report {
    /// Explains the last change of the row in the source.
    async fn of_last(
        &mut self,
        arguments: &Arguments,
        plan: &Plan,
        source: &SourcePlan,
        queue: &mut dyn ConflictQueue,
    ) -> Result<(), Failure> {
        let key = arguments.key.as_deref().unwrap_or_default();
        let mut search = Search::new(&self.sink, &self.options, key, arguments.table.clone());
        let wait = Duration::from_secs(arguments.timeout.into());
        let index = search::index_of(source, &self.sink);
        let read = browse(plan, source, index, wait, |changes| search.visit(changes)).await?;
        let Some(last) = search.finish()? else {
            let until = match read.complete {
                true => "to the end".to_owned(),
                false => format!(
                    "in {} s, but not to the end: use a larger --timeout",
                    arguments.timeout
                ),
            };
            return Err(Failure::Failed(format!(
                "no change of {key} reaches sink {}: {} records of source {} were read {until}",
                self.sink, read.records, self.source
            )));
        };
        let explained = self.explain(queue, &last.change).await?;
        let Last {
            offsets, truncated, ..
        } = &last;
        let standing = explained.position.unwrap_or(i64::MIN);
        let at = explained.place.position;
        let earlier = offsets
            .iter()
            .filter(|&&offset| standing <= offset && offset < at);
        self.answers.push(Answer {
            changes: offsets.len(),
            earlier: earlier.count(),
            truncated: *truncated,
            explained,
        });
        self.read = Some(read);
        Ok(())
    }

    /// Explains a given change; a change of the key is explained as two changes (R10).
    async fn of_given(
        &mut self,
        arguments: &Arguments,
        plan: &Plan,
        source: &SourcePlan,
        change: &str,
        queue: &mut dyn ConflictQueue,
    ) -> Result<(), Failure> {
        if !matches!(
            serde_json::from_str(change),
            Ok(serde_json::Value::Object(_))
        ) {
            return Err(Failure::Configuration(
                "--change is not a JSON object: write a Debezium envelope or a flat row".to_owned(),
            ));
        }
        let index = search::index_of(source, &self.sink);
        let (batches, rejected) = carry(plan, source, index, change.as_bytes()).await?;
        self.rejected = rejected;
        let wanted = arguments.key.as_deref().map(KeyFilter::of);
        let rows = batches
            .iter()
            .flat_map(|batch| (0..batch.len()).map(move |row| (batch, row)));
        for (batch, row) in rows {
            if batch.operations[row] == Operation::Truncate {
                return Err(Failure::Configuration(
                    "--change is a truncate, which has no row".to_owned(),
                ));
            }
            let one = search::one(batch, row)?;
            let explained = self.explain(queue, &one).await?;
            if wanted
                .as_ref()
                .is_none_or(|wanted| wanted.matches(&explained.key.0))
            {
                self.answers.push(Answer {
                    // The given change has no position in the source.
                    explained: Explanation {
                        position: None,
                        ..explained
                    },
                    changes: 1,
                    earlier: 0,
                    truncated: false,
                });
            }
        }
        match (&self.answers[..], &arguments.key) {
            ([], Some(key)) if !batches.is_empty() => Err(Failure::Configuration(format!(
                "--change does not change the row {key}: omit --key, or correct one of them"
            ))),
            _ => Ok(()),
        }
    }

    async fn explain(
        &self,
        queue: &mut dyn ConflictQueue,
        change: &Changes,
    ) -> Result<Explanation, Failure> {
        let resolvers = conflict::resolvers();
        let explained = queue.explain(change, &self.source, &resolvers).await;
        explained.map_err(|error| Failure::of_sink(&self.sink, error))
    }

    fn json(&self) -> serde_json::Value {
        let read = self.read.map(|read| {
            json!({ "records": read.records, "rejected": read.rejected, "complete": read.complete })
        });
        let rejected = self.rejected.iter().map(|entry| {
            json!({ "stage": entry.stage, "rule": entry.rule, "field": entry.field, "reason": entry.reason })
        });
        json!({
            "pipeline": self.pipeline,
            "sink": self.sink,
            "source": self.source,
            "read": read,
            "answers": self.answers.iter().map(|answer| self.answer_json(answer)).collect::<Vec<_>>(),
            "rejected": rejected.collect::<Vec<_>>(),
        })
    }

    fn answer_json(&self, answer: &Answer) -> serde_json::Value {
        let Explanation {
            target,
            table_exists,
            key,
            operation,
            place,
            position,
            verdict,
            conflict,
            columns,
            rejected,
            rows,
            marked,
            tombstone,
            foreign,
            unplaced,
            open,
            ..
        } = &answer.explained;
        let found = self.read.is_some();
        let conflict = conflict.map(|conflict| {
            json!({ "type": conflict.kind, "winner": conflict.winner.name(), "reason": conflict.reason })
        });
        let rejected = rejected.as_ref().map(|rejected| {
            json!({ "rule": rejected.rule, "field": rejected.field, "reason": rejected.reason })
        });
        json!({
            "table": target,
            "table_exists": table_exists,
            "key": key,
            "operation": operation.letter(),
            "place": found.then_some(place),
            "position": position,
            "applied": found.then(|| answer.explained.is_applied()),
            "changes": answer.changes,
            "earlier": answer.earlier,
            "truncated": answer.truncated,
            "verdict": verdict.name(),
            "conflict": conflict,
            "strategy": self.options.conflict.strategy.name(),
            "columns": columns,
            "rejected": rejected,
            "rows": rows,
            "marked": marked,
            "tombstone": tombstone,
            "foreign": foreign,
            "unplaced": unplaced,
            "open": open.as_ref().map(super::entry_json),
            "why": why::sentences(&self.options, &answer.explained),
        })
    }
}

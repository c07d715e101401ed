//! Runs a test case of a pipeline: records through decoder, operators and conflict strategy into SQLite.
//!
//! Each sink that is a database writes to a SQLite database of its own, by the engine that writes to every
//! database. Its table is made of the columns that the case names, and keeps each value as it is; other
//! columns are added as they come. Of a sink that is no database the changes are kept that reach it. Nothing
//! outside is asked, acknowledged or put into quarantine.

mod compare;
mod input;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Array as _;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value as Json, json};
use syncline_connectors::change::Changes;
use syncline_connectors::conflict::{History, HistoryPlace};
use syncline_connectors::error::{Error, Result};
use syncline_connectors::format::parse_declared;
use syncline_connectors::sink::{Identity, Outcome, Write};
use syncline_connectors::sql::Evolution;
use syncline_connectors::sql::target::Target;
use syncline_connectors::sqlite::{ScratchDatabase, SqliteSink};

use crate::config::{
    Expectation, ExpectedConflict, ExpectedRejection, PipelineFile, Row, TestCase,
};
use crate::conflict;
use crate::failure::Failure;
use crate::function::Clock;
use crate::lookup::Lookups;
use crate::plan::{Plan, SourcePlan};
use crate::run::account::Tally;
use crate::run::chain::{Chain, Flow};
use crate::run::replay::retain;

pub(crate) use self::compare::differences;
use self::input::table_of;
pub(crate) use self::input::{records_of, with_nulls};

/// The time of `now()` where a case says nothing.
const CLOCK: &str = "2026-01-01T00:00:00Z";
/// So many conflicts of a case are looked at.
const CONFLICTS_MAX: usize = 10_000;

/// The database of a sink.
struct Scratch {
    database: ScratchDatabase,
    table: String,
    key: Vec<String>,
}

/// What a case came to, in the form of what is expected.
pub(crate) struct Ran {
    pub(crate) found: Expectation,
    /// The key of the rows of each sink.
    pub(crate) keys: BTreeMap<String, Vec<String>>,
}

/// The rows of the case in the place of the tables that are looked into.
fn lookups(plan: &Plan, case: &TestCase) -> Result<Arc<Lookups>, String> {
    if let Some(name) = case
        .lookups
        .keys()
        .find(|name| plan.lookups.names().all(|known| known != name.as_str()))
    {
        return Err(format!("the pipeline has no lookup {name}"));
    }
    let rows = case.lookups.iter();
    let rows = rows.map(|(name, rows)| (name.clone(), rows.iter().map(with_nulls).collect()));
    Ok(Arc::new(plan.lookups.with_rows(&rows.collect())))
}

/// Runs a case.
///
/// # Errors
/// A case that is wrong in itself; what stops a pipeline.
pub(crate) async fn run(file: &PipelineFile, case: &TestCase) -> Result<Ran, Failure> {
    let wrong = |message: String| Failure::Configuration(message);
    let clock = case.clock.as_deref().unwrap_or(CLOCK);
    let clock = chrono::DateTime::parse_from_rfc3339(clock)
        .map_err(|_| wrong(format!("clock = {clock:?} is not a time such as {CLOCK:?}")))?;
    let mut plan = Plan::new(file);
    if let Some(schema) = &case.schema {
        let declared = parse_declared(schema).map_err(|problems| {
            let texts = problems
                .iter()
                .map(|(column, message)| format!("schema: {column}: {message}"));
            wrong(texts.collect::<Vec<_>>().join("; "))
        })?;
        for source in &mut plan.sources {
            source.decoding.declared = Some(declared.clone());
        }
    }
    let lookups = lookups(&plan, case).map_err(wrong)?;
    plan.look_up_in(&lookups);
    let scratch = prepare(&mut plan, case)?;
    plan.take_keys().await?;
    let mut ran = Ran {
        found: Expectation {
            rejected: Some(Vec::new()),
            conflicts: Some(Vec::new()),
            ..Expectation::default()
        },
        keys: scratch
            .iter()
            .map(|(sink, of)| (sink.clone(), of.key.clone()))
            .collect(),
    };
    for source in &plan.sources {
        let records = Arc::new(records_of(source, &plan, case).map_err(wrong)?);
        let decoded = source.decoder_of_texts().decode(&records);
        let clock = || Clock::stopped_at(clock.timestamp_micros());
        let mut chain = Chain::with_clock(&plan.name, source, clock);
        let mut chained = chain.apply(&records, decoded, None).await?;
        for entry in &chained.rejected {
            ran.reject(
                entry.offset as usize,
                &entry.stage,
                &entry.rule,
                entry.field.as_deref(),
                &entry.reason,
            );
        }
        for (sink, flow) in source.sinks.iter().zip(chained.flows.drain(..)) {
            if scratch.contains_key(&sink.name) {
                let written = write(&plan.name, source, &sink.name, flow, &mut ran).await;
                written.map_err(|error| Failure::of_sink(&sink.name, error))?;
            } else {
                let reached = flow.changes.iter().flat_map(shown).collect::<Vec<Row>>();
                let outcome = Outcome {
                    written: reached.len() as u64,
                    ..Outcome::default()
                };
                ran.count(&sink.name, &flow.tally, &outcome, 0);
                ran.found
                    .target
                    .entry(sink.name.clone())
                    .or_default()
                    .extend(reached);
            }
        }
    }
    for (sink, of) in &scratch {
        let rows = of
            .database
            .rows(&of.table)
            .map_err(|error| Failure::of_sink(sink, error))?;
        ran.found
            .target
            .insert(sink.clone(), rows.unwrap_or_default());
    }
    if let Some(rejected) = &mut ran.found.rejected {
        rejected.sort_by_key(|one| one.change);
    }
    Ok(ran)
}

/// Gives each sink that is a database one of its own, with the rows of the case.
fn prepare(plan: &mut Plan, case: &TestCase) -> Result<BTreeMap<String, Scratch>, Failure> {
    let mut scratch: BTreeMap<String, Scratch> = BTreeMap::new();
    for source in &mut plan.sources {
        let table = table_of(source, None);
        let source_key = source.config.decoding().key.clone();
        for sink in &mut source.sinks {
            let Some(mut options) = sink.config.options() else {
                continue;
            };
            let failed = |error| Failure::of_sink(&sink.name, error);
            let target = Target::of(&options.table, &table).map_err(failed)?;
            // SQLite has no schemas.
            options.table.clone_from(&target.name);
            options.evolution = Evolution::Evolve;
            // SQLite has one writer at a time.
            options.writers = 1;
            options.conflict.history = Some(History {
                to: HistoryPlace::Table,
                age_max: "3650d".to_owned(),
                per_second_max: u32::MAX,
                ..History::default()
            });
            let known = scratch.get(&sink.name);
            let path = match known {
                Some(known) => known.database.path().display().to_string(),
                None => {
                    let database = ScratchDatabase::new().map_err(failed)?;
                    let path = database.path().display().to_string();
                    let key = case.keys.get(&sink.name).or(options.key.as_ref());
                    let key = key.or(source_key.as_ref()).cloned().unwrap_or_default();
                    let before = case
                        .target
                        .get(&sink.name)
                        .map(Vec::as_slice)
                        .unwrap_or_default();
                    let before: Vec<Row> = before.iter().map(with_nulls).collect();
                    let after = case
                        .expect
                        .target
                        .get(&sink.name)
                        .map(Vec::as_slice)
                        .unwrap_or_default();
                    let mut columns = key.clone();
                    for name in before.iter().chain(after).flat_map(Map::keys) {
                        if !columns.contains(name) {
                            columns.push(name.clone());
                        }
                    }
                    if !columns.is_empty() {
                        database
                            .fill(&target.name, &columns, &key, &before)
                            .map_err(failed)?;
                    }
                    scratch.insert(
                        sink.name.clone(),
                        Scratch {
                            database,
                            table: target.name,
                            key,
                        },
                    );
                    path
                }
            };
            sink.config = Arc::new(SqliteSink {
                options,
                ..SqliteSink::new(path)
            });
        }
    }
    let sinks: Vec<&str> = plan.sink_names().collect();
    let named = case
        .target
        .keys()
        .chain(case.expect.target.keys())
        .chain(case.expect.counts.keys());
    for name in named {
        if !sinks.contains(&name.as_str()) {
            let message = format!(
                "the test names the sink {name}, and the pipeline has {}",
                sinks.join(", ")
            );
            return Err(Failure::Configuration(message));
        }
    }
    Ok(scratch)
}

/// Writes what reaches a sink, as its writer would.
async fn write(
    pipeline: &str,
    source: &SourcePlan,
    name: &str,
    flow: Flow,
    ran: &mut Ran,
) -> Result<()> {
    let Some(plan) = source.sinks.iter().find(|sink| sink.name == name) else {
        return Ok(());
    };
    let identity = Identity {
        pipeline: pipeline.to_owned(),
        sink: name.to_owned(),
        source: source.name.clone(),
    };
    let mut sink = plan
        .config
        .connect(&identity, &conflict::resolvers())
        .await?;
    let mut refused = 0;
    let mut left = flow.changes;
    let outcome = loop {
        let write = Write {
            changes: left.clone(),
            ..Write::default()
        };
        match sink.write(&write).await {
            Ok(outcome) => break outcome,
            Err(Error::Rejected(rejected)) if !rejected.is_empty() => {
                refused += rejected.len() as u64;
                let mut gone = Vec::new();
                for bad in &rejected {
                    let batch = &left[bad.batch];
                    let origin = batch.origins[bad.row] as usize;
                    let offset = batch.records.entries[origin].offset;
                    ran.reject(
                        offset as usize,
                        name,
                        &bad.rule,
                        bad.field.as_deref(),
                        &bad.reason,
                    );
                    gone.push(origin);
                }
                retain(&mut left, |record| !gone.contains(&record))?;
            }
            Err(error) => return Err(error),
        }
    };
    sink.close().await?;
    ran.count(name, &flow.tally, &outcome, refused);
    if let Some(mut queue) = plan.config.open_queue(pipeline, name).await? {
        let mut conflicts = queue.history(None, CONFLICTS_MAX).await?;
        conflicts.reverse();
        let known = ran.found.conflicts.get_or_insert_default();
        known.retain(|known| known.sink.as_deref() != Some(name));
        known.extend(conflicts.iter().map(|conflict| ExpectedConflict {
            sink: Some(name.to_owned()),
            key: serde_json::from_str(&conflict.key.0).ok(),
            kind: Some(conflict.kind.name().to_owned()),
            winner: Some(conflict.winner.name().to_owned()),
        }));
    }
    Ok(())
}

impl Ran {
    fn reject(&mut self, index: usize, stage: &str, rule: &str, field: Option<&str>, reason: &str) {
        self.found
            .rejected
            .get_or_insert_default()
            .push(ExpectedRejection {
                change: Some(index + 1),
                stage: Some(stage.to_owned()),
                rule: rule.to_owned(),
                field: field.map(str::to_owned),
                reason: Some(reason.to_owned()),
            });
    }

    fn count(&mut self, sink: &str, tally: &Tally, outcome: &Outcome, refused: u64) {
        let counts = self.found.counts.entry(sink.to_owned()).or_default();
        for (name, count) in [
            ("written", outcome.written),
            ("superseded", tally.superseded + outcome.superseded),
            ("filtered", tally.filtered),
            ("kept", outcome.kept),
            ("waiting", outcome.waiting),
            ("quarantined", tally.quarantined + refused),
            ("warned", tally.warned),
        ] {
            *counts.entry(name.to_owned()).or_default() += count;
        }
    }
}

/// The changes as rows, each with its operation.
fn shown(changes: &Changes) -> Vec<Row> {
    let options = FormatOptions::new();
    let schema = changes.rows.schema();
    let columns: Vec<_> = changes
        .rows
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect();
    (0..changes.len())
        .map(|row| {
            let mut shown = Row::new();
            shown.insert("_op".to_owned(), json!(changes.operations[row].letter()));
            for (index, column) in columns.iter().enumerate() {
                if changes.is_unset(index, row) {
                    continue;
                }
                let is_null = changes.rows.column(index).is_null(row);
                let value = match column {
                    Ok(column) if !is_null => json!(column.value(row).to_string()),
                    _ => Json::Null,
                };
                shown.insert(schema.field(index).name().clone(), value);
            }
            shown
        })
        .collect()
}

//! A position belongs to one target (R24): which `table` setting a sink's positions were written for,
//! and which tables they say are filled.
//!
//! Looked at whenever a session opens. Another setting, or a table that was written and is gone, is a
//! configuration error with its remedy: to go on would skip what the positions pass over. A table that
//! was written and is empty is a warning, said once until it is written again, because deletes may
//! have emptied it. A database of an older version knows nothing of this: it is taken as it is.

use std::collections::BTreeMap;

use super::lock::SinkLock;
use super::{Execute, number, text};
use crate::change::Operation;
use crate::error::{Error, Result};
use crate::sink::{Identity, Write};
use crate::sql::dialect::Dialect;
use crate::sql::identifier::literal;
use crate::sql::target::Target;
use crate::sql::{POSITIONS_TABLE, TARGETS_TABLE};

/// The name of the row that stands for the sink itself.
const SINK_ITSELF: &str = "";

/// What a session knows of the tables that its sink wrote: whether rows went in.
#[derive(Debug, Default)]
pub(crate) struct WrittenTables {
    known: BTreeMap<Target, bool>,
    /// What the open transaction adds.
    pending: BTreeMap<Target, bool>,
}

/// What is kept of a sink.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The `table` setting that its positions were written for.
    pub(super) setting: Option<String>,
    pub(super) tables: BTreeMap<Target, bool>,
}

/// Reads what is kept of the sink.
pub(super) async fn kept<E: Execute>(
    connection: &mut E,
    pipeline: &str,
    sink: &str,
) -> Result<Kept, E::Failure> {
    let sql = format!(
        "SELECT table_schema, table_name, setting, {} FROM {TARGETS_TABLE} WHERE {}",
        super::as_text(E::DIALECT, "held_rows"),
        own(pipeline, sink)
    );
    let mut kept = Kept::default();
    for row in connection.rows(&sql).await? {
        let name = text(&row, 1)?;
        if name == SINK_ITSELF {
            kept.setting = Some(text(&row, 2)?.to_owned());
            continue;
        }
        let schema = text(&row, 0)?;
        let target = Target {
            schema: (!schema.is_empty()).then(|| schema.to_owned()),
            name: name.to_owned(),
        };
        kept.tables.insert(target, number::<i64>(&row, 3)? > 0);
    }
    Ok(kept)
}

fn own(pipeline: &str, sink: &str) -> String {
    format!(
        "pipeline = {} AND sink = {}",
        literal(pipeline),
        literal(sink)
    )
}

/// Checks that the sink's positions are those of this target; `setting` is what the file says of its
/// table, `alone` whether no other session of the sink is open, where that is known.
///
/// # Errors
/// `Configuration` with the remedy; see the module docs.
pub(crate) async fn check<E: Execute>(
    connection: &mut E,
    identity: &Identity,
    setting: &str,
    alone: Option<bool>,
) -> Result<WrittenTables, E::Failure> {
    let (pipeline, sink) = (identity.pipeline.as_str(), identity.sink.as_str());
    let mut known = kept(connection, pipeline, sink).await?;
    if known
        .setting
        .as_deref()
        .is_some_and(|known| known != setting)
    {
        let before = known.setting.take().unwrap_or_default();
        let alone = match alone {
            Some(alone) => alone,
            None => is_alone(connection, &SinkLock::new(pipeline, sink)).await?,
        };
        if !alone || has_positions(connection, pipeline, sink).await? {
            return Err(other_setting(identity, &before, setting).into());
        }
        // Nothing was read for the other table yet.
        let forget = forget(pipeline, sink);
        connection.execute(&forget).await?;
        known = Kept::default();
    }
    if known.setting.is_none() {
        let insert = insert(E::DIALECT, identity, &sink_itself(), setting, false);
        connection.execute(&insert).await?;
        let now = kept(connection, pipeline, sink).await?;
        if now.setting.as_deref() != Some(setting) {
            let other = now.setting.unwrap_or_default();
            return Err(other_setting(identity, &other, setting).into());
        }
    }
    let missing = missing(connection, known.tables.keys()).await?;
    if !missing.is_empty() {
        return Err(gone(identity, &missing).into());
    }
    let written = known.tables.iter().filter(|(_, held)| **held);
    let written: Vec<&Target> = written.map(|(target, _)| target).collect();
    for target in empty(connection, &written).await? {
        tracing::warn!(
            pipeline,
            sink,
            "table {target} was written by this sink and is empty now, while its positions say that it holds everything up to there. If its rows were not deleted on purpose: syncline positions reset FILE --sink {sink}"
        );
        let update = insert(E::DIALECT, identity, &target, setting, false);
        connection.execute(&update).await?;
        known.tables.insert(target, false);
    }
    Ok(WrittenTables {
        known: known.tables,
        pending: BTreeMap::new(),
    })
}

fn sink_itself() -> Target {
    Target {
        schema: None,
        name: SINK_ITSELF.to_owned(),
    }
}

fn other_setting(identity: &Identity, before: &str, now: &str) -> Error {
    let Identity { pipeline, sink, .. } = identity;
    Error::configuration(format!(
        "the positions of pipeline {pipeline:?}, sink {sink:?} in this database were written for table = {before:?}, and the pipeline file says table = {now:?}: if this is another pipeline, give it or its sink another name; if another table is meant, read everything anew into it: syncline positions reset FILE --sink {sink}; if the same table got another name, keep the positions: syncline positions reset FILE --sink {sink} --tables-only"
    ))
}

/// Tables that were written are not there any more.
pub(crate) fn gone(identity: &Identity, tables: &[Target]) -> Error {
    let Identity { sink, .. } = identity;
    let names: Vec<String> = tables.iter().map(Target::to_string).collect();
    let (what, verb) = match names.len() {
        1 => ("table", "is"),
        _ => ("tables", "are"),
    };
    Error::configuration(format!(
        "{what} {} {verb} gone from the database (dropped, or renamed), while the positions of this sink say that everything up to there is in: restore it or rename it back; or read everything anew: syncline positions reset FILE --sink {sink} (with --topic, only the topics that went there); or keep the positions and go on without it: syncline positions reset FILE --sink {sink} --tables-only",
        names.join(", ")
    ))
}

async fn has_positions<E: Execute>(
    connection: &mut E,
    pipeline: &str,
    sink: &str,
) -> Result<bool, E::Failure> {
    let sql = format!(
        "SELECT topic FROM {POSITIONS_TABLE} WHERE {} LIMIT 1",
        own(pipeline, sink)
    );
    Ok(!connection.rows(&sql).await?.is_empty())
}

/// The statement that forgets what is kept of a sink.
pub(super) fn forget(pipeline: &str, sink: &str) -> String {
    format!("DELETE FROM {TARGETS_TABLE} WHERE {}", own(pipeline, sink))
}

/// The statement that forgets one table.
pub(super) fn forget_table(pipeline: &str, sink: &str, target: &Target) -> String {
    format!(
        "DELETE FROM {TARGETS_TABLE} WHERE {} AND table_schema = {} AND table_name = {}",
        own(pipeline, sink),
        literal(target.schema.as_deref().unwrap_or_default()),
        literal(&target.name)
    )
}

/// Inserts a row, or says anew of one that is there whether its table held rows.
fn insert(
    dialect: &'static Dialect,
    identity: &Identity,
    target: &Target,
    setting: &str,
    held_rows: bool,
) -> String {
    let held_rows = i32::from(held_rows);
    let update = (dialect.or_update)("pipeline, sink, table_schema, table_name");
    let excluded = (dialect.excluded)("held_rows");
    format!(
        "INSERT INTO {TARGETS_TABLE} (pipeline, sink, table_schema, table_name, setting, held_rows) \
         VALUES ({}, {}, {}, {}, {}, {held_rows}){update}held_rows = {excluded}",
        literal(&identity.pipeline),
        literal(&identity.sink),
        literal(target.schema.as_deref().unwrap_or_default()),
        literal(&target.name),
        literal(setting),
    )
}

/// Those that are not in the database.
pub(super) async fn missing<E: Execute>(
    connection: &mut E,
    targets: impl Iterator<Item = &Target>,
) -> Result<Vec<Target>, E::Failure> {
    let targets: Vec<&Target> = targets.collect();
    let mut there =
        |target: &Target| (E::DIALECT.count_of_table)(target.schema.as_deref(), &target.name);
    let found = zeros(connection, &targets, &mut there).await?;
    Ok(found.into_iter().cloned().collect())
}

/// Those without a row. What cannot be asked, for want of a right to read, is none.
async fn empty<E: Execute>(
    connection: &mut E,
    targets: &[&Target],
) -> Result<Vec<Target>, E::Failure> {
    let mut has_rows = |target: &Target| -> Result<String> {
        let name = target.quoted(E::DIALECT)?;
        let exists = format!("CASE WHEN EXISTS (SELECT 1 FROM {name}) THEN 1 ELSE 0 END");
        Ok(super::as_text(E::DIALECT, &exists))
    };
    let mut found = Vec::new();
    for target in targets {
        match zeros(connection, std::slice::from_ref(target), &mut has_rows).await {
            Ok(zeros) => found.extend(zeros.into_iter().cloned()),
            Err(failure) => match failure.into() {
                error @ Error::Unavailable { .. } => return Err(error.into()),
                error => {
                    tracing::debug!(%target, error = error.chain(), "cannot see whether it is empty");
                }
            },
        }
    }
    Ok(found)
}

/// How many expressions one statement holds.
const EXPRESSIONS_MAX: usize = 100;

/// The targets of which an expression is `0`.
async fn zeros<'a, E: Execute>(
    connection: &mut E,
    targets: &[&'a Target],
    expression: &mut (impl FnMut(&Target) -> Result<String> + Send),
) -> Result<Vec<&'a Target>, E::Failure> {
    let mut found = Vec::new();
    for part in targets.chunks(EXPRESSIONS_MAX) {
        let mut expressions = Vec::with_capacity(part.len());
        for target in part {
            expressions.push(expression(target)?);
        }
        let sql = format!("SELECT {}", expressions.join(", "));
        let rows = connection.rows(&sql).await?;
        let row = rows.first().cloned().unwrap_or_default();
        for (column, target) in part.iter().enumerate() {
            if text(&row, column)? == "0" {
                found.push(*target);
            }
        }
    }
    Ok(found)
}

impl WrittenTables {
    /// Keeps what a write adds: each table with whether rows go in. Within the transaction that moves
    /// the positions. Always `true`.
    ///
    /// # Errors
    /// As [`Target::of`], and where the statements fail.
    pub(crate) async fn keep<E: Execute>(
        &mut self,
        connection: &mut E,
        identity: &Identity,
        setting: &str,
        write: &Write,
    ) -> Result<bool, E::Failure> {
        for changes in write.changes.iter().filter(|changes| !changes.is_empty()) {
            let target = Target::of(setting, &changes.table)?;
            let held_rows = changes
                .operations
                .iter()
                .any(|operation| !matches!(operation, Operation::Delete | Operation::Truncate));
            let known = self.known.get(&target).copied();
            if known.is_none_or(|known| held_rows && !known) {
                *self.pending.entry(target).or_default() |= held_rows;
            }
        }
        let statements: Vec<String> = self
            .pending
            .iter()
            .map(|(target, held)| insert(E::DIALECT, identity, target, setting, *held))
            .collect();
        if !statements.is_empty() {
            connection.execute(&statements.join("; ")).await?;
        }
        Ok(true)
    }

    /// A transaction begins: what an earlier one added and did not commit is not kept.
    pub(crate) fn begin(&mut self) {
        self.pending.clear();
    }

    /// The transaction is committed.
    pub(crate) fn committed(&mut self) {
        self.known.append(&mut self.pending);
    }

    /// Whether the target is known to be written.
    pub(crate) fn contains(&self, target: &Target) -> bool {
        self.known.contains_key(target)
    }
}

/// Whether no session but this one, which shares the lock, holds it.
async fn is_alone<E: Execute>(connection: &mut E, lock: &SinkLock) -> Result<bool, E::Failure> {
    let alone = connection.take_alone(lock, true).await?;
    if alone {
        connection.release(lock).await?;
    }
    Ok(alone)
}

//! Changes that a resolver decides: rows read under lock, decided, written; in the open transaction
//! (C10).
//!
//! Locked rows cannot change until the commit. A row that was absent cannot be locked: where another
//! session inserts it first, the key refuses ours, and the whole write begins anew.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field};
use chrono::Utc;

use super::apply::insert;
use super::failure::Failure;
use super::read::{Found, Reader, read};
use super::session::Session;
use super::stage::{Stretch, stage_keys, stage_settled};
use super::statement::Statements;
use crate::change::Changes;
use crate::conflict::Held;
use crate::error::{Error, RejectedChange};
use crate::sql::books::Keys;
use crate::sql::decide::{Facts, Groups, Rules, Settlement, decide};
use crate::sql::plan::ContestedChanges;
use crate::sql::{DeleteMode, Options};

/// What was decided, and staged.
pub(super) struct Settled {
    pub(super) settlement: Settlement,
    step: u32,
    stretches: Vec<Stretch>,
}

/// Reads, decides, stages what is to be written, and deletes.
pub(super) async fn settle(
    session: &mut Session,
    statements: &Statements<'_>,
    options: &Options,
    contested: &ContestedChanges,
) -> Result<Settled, Failure> {
    let prepared = statements.prepared;
    let changes = &contested.changes;
    let groups = Groups::of(changes, &prepared.placed_key, options.delete)?;
    let (names, facts) = facts(session, statements, options, changes, &groups).await?;
    let buries = statements.buries(options.delete);
    let now_ms = Utc::now().timestamp_millis();
    let resolver = prepared.resolver(&session.resolvers, &options.conflict)?;
    let version = prepared.version.as_ref().map(|version| version.column);
    let rules = Rules {
        policy: &options.conflict,
        delete: options.delete,
        resolver: resolver.as_ref(),
        version: version.filter(|_| buries),
        reports_max: session.books.reports_max(now_ms),
    };
    let mut settlement = decide(rules, changes, &groups, facts)?;
    if !settlement.rejected.is_empty() {
        let rejected = settlement.rejected.into_iter().map(|row| RejectedChange {
            batch: contested.batch,
            row: contested.first_row + row.row,
            rule: row.rule,
            field: row.field,
            reason: row.reason,
        });
        return Err(Failure::Error(Error::Rejected(rejected.collect())));
    }
    contested.restore_spelling(&mut settlement)?;
    let entries = session.books.enter(&names, changes, &settlement, now_ms)?;
    session.ledger(&entries).await?;
    let rows = &settlement.upserts.rows;
    let rows = rows.iter().chain(&settlement.deletes.rows);
    let places: Vec<(usize, usize)> = rows
        .map(|&row| (contested.batch, contested.first_row + row as usize))
        .collect();
    let (step, stretches) = stage_settled(session, prepared, &settlement, &places).await?;
    if options.delete != DeleteMode::Soft && !settlement.deletes.rows.is_empty() {
        session.execute(&statements.settled_deletes(step)).await?;
    }
    Ok(Settled {
        settlement,
        step,
        stretches,
    })
}

/// What the target says about the keys of `groups`, whose rows stay locked until the transaction ends.
pub(super) async fn facts<'a>(
    session: &mut Session,
    statements: &Statements<'a>,
    options: &Options,
    changes: &Changes,
    groups: &Groups,
) -> Result<(Keys<'a>, Facts), Failure> {
    let prepared = statements.prepared;
    let keys = changes
        .take(&groups.firsts())
        .map_err(Error::configuration)?;
    let names = Keys::of(&prepared.name, &keys, &prepared.placed_key);
    let open = session.ledger(&session.books.ask_open(&names)).await?;
    let step = stage_keys(session, prepared, &keys).await?;
    let held = held(session, statements, step, groups.len()).await?;
    let graves = if statements.buries(options.delete) && session.books.has_tombstones {
        graves(session, statements, step, groups.len()).await?
    } else {
        None
    };
    let mut facts = Facts {
        held,
        shadow: None,
        graves,
        waiting: None,
    };
    let images = session.ledger(&session.books.ask_shadow(&names)).await?;
    session
        .books
        .add_facts(&mut facts, &names, &keys, &open, &images)?;
    Ok((names, facts))
}

/// Writes what [`settle`] staged, but for the deletes, which it wrote.
pub(super) async fn write(
    session: &mut Session,
    statements: &Statements<'_>,
    options: &Options,
    settled: &Settled,
) -> Result<(), Failure> {
    let step = settled.step;
    for stretch in &settled.stretches {
        let Some(sql) = statements.settled(step, stretch) else {
            continue;
        };
        if stretch.inserts {
            insert(session, statements.prepared, &sql).await?;
        } else {
            session.execute(&sql).await?;
        }
    }
    if statements.buries(options.delete) {
        let Settlement {
            deletes, upserts, ..
        } = &settled.settlement;
        if upserts.risen.has_true() || deletes.risen.has_true() {
            session.execute(&statements.settled_exhume(step)).await?;
        }
        if let (true, Some(sql)) = (deletes.gone.has_true(), statements.settled_bury(step)) {
            session.execute(&sql).await?;
        }
    }
    Ok(())
}

/// The target's rows of the keys of a step, locked.
async fn held(
    session: &mut Session,
    statements: &Statements<'_>,
    step: u32,
    count: usize,
) -> Result<Held, Failure> {
    let prepared = statements.prepared;
    let mut readers = prepared.readers.clone();
    if let Some(mark) = &prepared.mark {
        let field = Arc::new(Field::new("mark", DataType::Boolean, true));
        let expression = format!("(t.{mark} IS TRUE)");
        readers.push(Reader::of(&expression, "tinyint(1)", &field));
    }
    let Found {
        exists,
        mut columns,
    } = read(session, &readers, &statements.held(step), count).await?;
    let marked = prepared.mark.as_ref().and_then(|_| {
        let (column, _) = columns.pop()?;
        let bits = column.as_boolean();
        let marked = match bits.nulls() {
            Some(nulls) => bits.values() & nulls.inner(),
            None => bits.values().clone(),
        };
        (marked.count_set_bits() > 0).then_some(marked)
    });
    let (columns, foreign) = columns.into_iter().unzip();
    let rows =
        RecordBatch::try_new(prepared.placed.clone(), columns).map_err(Error::configuration)?;
    Ok(Held {
        rows,
        exists,
        marked,
        foreign,
    })
}

/// The versions of deletes of the keys of a step, where there are any.
async fn graves(
    session: &mut Session,
    statements: &Statements<'_>,
    step: u32,
    count: usize,
) -> Result<Option<ArrayRef>, Failure> {
    let prepared = statements.prepared;
    let (Some(version), Some((expression, sql_type))) = (&prepared.version, statements.grave())
    else {
        return Ok(None);
    };
    let field = &prepared.placed.fields()[version.column];
    let reader = Reader::of(expression, sql_type, field);
    let Found {
        exists,
        mut columns,
    } = read(session, &[reader], &statements.graves(step), count).await?;
    let found = columns.pop().filter(|_| exists.count_set_bits() > 0);
    Ok(found.map(|(column, _)| column))
}

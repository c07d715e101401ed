//! Changes that a resolver decides: rows read under lock, decided, written; in the open transaction
//! (C10).
//!
//! Locked rows cannot change until the commit. A row that was absent cannot be locked: it is inserted
//! with `ON CONFLICT DO NOTHING`, and where another session was faster the whole write begins anew.

use std::sync::Arc;

use arrow::array::Array;
use chrono::Utc;
use sqlx::Row;

use super::failure::{Failure, failure};
use super::prepare::Prepared;
use super::read::{Found, Reader, read};
use super::session::Session;
use super::stage::{insert_sets, stage_keys, stage_settled};
use super::statement::Statements;
use crate::change::{Changes, Operation};
use crate::conflict::Held;
use crate::error::{Error, RejectedChange};
use crate::sql::books::Keys;
use crate::sql::decide::{Facts, Groups, Net, Rules, Settlement, decide};
use crate::sql::plan::ContestedChanges;
use crate::sql::{DeleteMode, Options};

/// Reads, decides, and stages what is to be written.
pub(super) async fn settle(
    session: &mut Session,
    statements: &Statements<'_>,
    options: &Options,
    contested: &ContestedChanges,
) -> Result<Settlement, Failure> {
    let prepared = statements.prepared;
    let changes = &contested.changes;
    let groups = Groups::of(changes, &prepared.placed_key, options.delete)?;
    let (names, facts) = facts(session, statements, options, changes, &groups).await?;
    let now_ms = Utc::now().timestamp_millis();
    let resolver = prepared.resolver(&session.resolvers.clone(), &options.conflict)?;
    let buries = statements.buries(options.delete);
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
    let rows = settlement
        .upserts
        .rows
        .iter()
        .chain(&settlement.deletes.rows);
    let places: Vec<(usize, usize)> = rows
        .map(|&row| (contested.batch, contested.first_row + row as usize))
        .collect();
    if !places.is_empty() {
        stage_settled(session, prepared, &settlement, &places).await?;
    }
    if options.delete != DeleteMode::Soft && !settlement.deletes.rows.is_empty() {
        session.execute(&statements.settled_deletes()).await?;
    }
    Ok(settlement)
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
    stage_keys(session, prepared, &keys).await?;
    let names = Keys::of(&prepared.name, &keys, &prepared.placed_key);
    let open = session.ledger(&session.books.ask_open(&names)).await?;
    let held = held(session, statements, groups.len()).await?;
    let graves = if statements.buries(options.delete) && session.books.has_tombstones {
        graves(session, statements, groups.len()).await?
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
    settlement: &Settlement,
) -> Result<(), Failure> {
    let operations = &settlement.upserts.changes.operations;
    let inserts = operations
        .iter()
        .filter(|&&operation| operation != Operation::Update)
        .count();
    if inserts > 0 {
        let sets = insert_sets(
            &settlement.upserts.changes,
            statements.prepared.columns.len(),
        );
        let mut inserted = 0;
        for (pattern, set) in sets.iter().enumerate() {
            let sql = statements.settled_inserts(set, pattern);
            inserted += count(session, &sql).await?;
        }
        // Fewer may come of a trigger that suppresses rows, which are then written as far as they
        // can be.
        if (inserted as usize) < inserts {
            let rows = session.rows(&statements.raced(), false).await?;
            let raced: bool = rows
                .first()
                .ok_or(sqlx::Error::RowNotFound)
                .and_then(|row| row.try_get(0))
                .map_err(|error| failure("looking for rows of others", error))?;
            if raced {
                return Err(Failure::Raced(Error::Unavailable {
                    message: format!(
                        "another session inserts the same rows into table {:?}: try again",
                        statements.prepared.name
                    ),
                    cause: None,
                }));
            }
        }
    }
    if inserts < operations.len() {
        session.execute(&statements.settled_updates()).await?;
    }
    if statements.buries(options.delete) {
        let risen = |net: &Net| net.risen.count_set_bits() > 0;
        if risen(&settlement.upserts) || risen(&settlement.deletes) {
            session.execute(&statements.settled_exhume()).await?;
        }
        if let (false, Some(sql)) = (settlement.deletes.rows.is_empty(), statements.bury()) {
            session.execute(&sql).await?;
        }
    }
    Ok(())
}

async fn held(
    session: &mut Session,
    statements: &Statements<'_>,
    count: usize,
) -> Result<Held, Failure> {
    let prepared: &Prepared = statements.prepared;
    let mut readers = prepared.readers.clone();
    if let Some(mark) = &prepared.mark {
        let field = arrow::datatypes::Field::new("mark", arrow::datatypes::DataType::Boolean, true);
        readers.push(Reader::of(
            &format!("t.{mark} IS TRUE"),
            "boolean",
            &Arc::new(field),
        ));
    }
    let Found {
        exists,
        mut columns,
    } = read(session, "s.row", &readers, &statements.held(), count).await?;
    let marked = prepared.mark.as_ref().and_then(|_| {
        let (column, _) = columns.pop()?;
        let bits = arrow::array::AsArray::as_boolean(&column);
        let marked = match bits.nulls() {
            Some(nulls) => bits.values() & nulls.inner(),
            None => bits.values().clone(),
        };
        (marked.count_set_bits() > 0).then_some(marked)
    });
    let (columns, foreign) = columns.into_iter().unzip();
    let rows = arrow::array::RecordBatch::try_new(prepared.placed.clone(), columns)
        .map_err(Error::configuration)?;
    Ok(Held {
        rows,
        exists,
        marked,
        foreign,
    })
}

/// The versions of deletes, where there are any.
async fn graves(
    session: &mut Session,
    statements: &Statements<'_>,
    count: usize,
) -> Result<Option<arrow::array::ArrayRef>, Failure> {
    let prepared = statements.prepared;
    let (Some(version), Some((expression, sql_type))) = (&prepared.version, statements.grave())
    else {
        return Ok(None);
    };
    let rows = session.rows(&statements.has_tombstones(), false).await?;
    let any: bool = rows
        .first()
        .ok_or(sqlx::Error::RowNotFound)
        .and_then(|row| row.try_get(0))
        .map_err(|error| failure("looking for tombstones", error))?;
    if !any {
        return Ok(None);
    }
    let field = &prepared.placed.fields()[version.column];
    let reader = Reader::of(&expression, sql_type, field);
    let Found { mut columns, .. } =
        read(session, "s.row", &[reader], &statements.graves(), count).await?;
    Ok(columns.pop().map(|(column, _)| column))
}

async fn count(session: &mut Session, sql: &str) -> Result<u64, Failure> {
    let rows = session.rows(sql, true).await?;
    let count: i64 = rows
        .first()
        .ok_or(sqlx::Error::RowNotFound)
        .and_then(|row| row.try_get(0))
        .map_err(|error| failure("reading counts", error))?;
    Ok(count as u64)
}

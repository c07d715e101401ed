//! The way of the resolver: reads rows under lock, and writes what was decided.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Field};

use super::{counts, one};
use crate::change::Operation;
use crate::conflict::TargetRows;
use crate::error::Error;
use crate::postgres::bound::StagedRows;
use crate::postgres::failure::Failure;
use crate::postgres::prepare::Prepared;
use crate::postgres::read::{self, Reader, read};
use crate::postgres::session::Session;

use crate::postgres::statement::Statements;
use crate::sql::bulk::TableWrite;
use crate::sql::decide::Resolved;
use crate::sql::patterns::insert_sets;

/// Writes what was decided, but for the deletes.
pub(super) async fn write_decided(
    session: &mut Session,
    write: &TableWrite<'_, Prepared>,
    staged: &StagedRows,
    resolved: &Resolved,
) -> Result<(), Failure> {
    let statements = Statements::of(write, staged);
    let Resolved {
        deletes, upserts, ..
    } = resolved;
    let operations = upserts.changes.operations.iter();
    let is_insert = |&&operation: &&Operation| operation != Operation::Update;
    let inserts = operations.clone().filter(is_insert).count();
    if inserts > 0 {
        let sets = insert_sets(&upserts.changes, write.table.columns.len());
        let mut inserted = 0;
        for (pattern, set) in sets.iter().enumerate() {
            let sql = statements.resolved_inserts(set, pattern);
            inserted += counts(session, &sql, staged, true).await?[0];
        }
        // Fewer may come of a trigger that suppresses rows, which are then written as far as they
        // can be.
        if (inserted as usize) < inserts {
            let rows = session
                .rows_of(&statements.concurrent_inserts(), staged, false)
                .await?;
            if one(&rows, 0)? {
                return Err(Failure::ConcurrentInsert(Error::Unavailable {
                    message: format!(
                        "another session inserts the same rows into table {:?}: try again",
                        write.table.name
                    ),
                    cause: None,
                }));
            }
        }
    }
    if inserts < operations.len() {
        session
            .execute_of(&statements.resolved_updates(), staged)
            .await?;
    }
    if write.keeps_tombstones() {
        if upserts.recreated.has_true() || deletes.recreated.has_true() {
            session
                .execute_of(&statements.resolved_clear_tombstones(), staged)
                .await?;
        }
        if let (false, Some(sql)) = (deletes.rows.is_empty(), statements.record_tombstones()) {
            session.execute_of(&sql, staged).await?;
        }
    }
    Ok(())
}

pub(super) async fn held(
    session: &mut Session,
    statements: &Statements<'_>,
    staged: &StagedRows,
    count: usize,
) -> Result<TargetRows, Failure> {
    let prepared: &Prepared = statements.prepared;
    let mut readers = prepared.readers.clone();
    if let Some(mark) = &prepared.mark {
        let field = Arc::new(Field::new("mark", DataType::Boolean, true));
        readers.push(Reader::of(&format!("t.{mark} IS TRUE"), "boolean", &field));
    }
    let read::Found {
        exists,
        mut columns,
    } = read(
        &mut session.connection,
        "s.row",
        &readers,
        (&statements.held(), staged),
        count,
    )
    .await?;
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
    Ok(TargetRows {
        rows,
        exists,
        marked,
        foreign,
    })
}

/// The versions of deletes, where there are any.
pub(super) async fn tombstones(
    session: &mut Session,
    statements: &Statements<'_>,
    staged: &StagedRows,
    count: usize,
) -> Result<Option<ArrayRef>, Failure> {
    let prepared = statements.prepared;
    let (Some(version), Some((expression, sql_type))) = (&prepared.version, statements.tombstone())
    else {
        return Ok(None);
    };
    let rows = session.rows(&statements.has_tombstones(), false).await?;
    if !one::<bool>(&rows, 0)? {
        return Ok(None);
    }
    let field = &prepared.placed.fields()[version.column];
    let reader = Reader::of(&expression, sql_type, field);
    let read::Found { mut columns, .. } = read(
        &mut session.connection,
        "s.row",
        &[reader],
        (&statements.tombstones(), staged),
        count,
    )
    .await?;
    Ok(columns.pop().map(|(column, _)| column))
}

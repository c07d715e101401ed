//! Reads the rows that staged keys meet, under lock, and the versions of deletes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Field};

use crate::conflict::TargetRows;
use crate::error::Error;
use crate::mysql::failure::Failure;
use crate::mysql::read::{self, Reader, read};
use crate::mysql::session::Session;
use crate::mysql::statement::Statements;

/// The target's rows of the keys of a step, locked.
pub(super) async fn held(
    session: &mut Session,
    statements: &Statements<'_>,
    step: u32,
    count: usize,
) -> Result<TargetRows, Failure> {
    let prepared = statements.prepared;
    let mut readers = prepared.readers.clone();
    if let Some(mark) = &prepared.mark {
        let field = Arc::new(Field::new("mark", DataType::Boolean, true));
        let expression = format!("(t.{mark} IS TRUE)");
        readers.push(Reader::of(&expression, "tinyint(1)", &field));
    }
    let read::Found {
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
    Ok(TargetRows {
        rows,
        exists,
        marked,
        foreign,
    })
}

/// The versions of deletes of the keys of a step, where there are any.
pub(super) async fn tombstones(
    session: &mut Session,
    statements: &Statements<'_>,
    step: u32,
    count: usize,
) -> Result<Option<ArrayRef>, Failure> {
    let prepared = statements.prepared;
    let (Some(version), Some((expression, sql_type))) = (&prepared.version, statements.tombstone())
    else {
        return Ok(None);
    };
    let field = &prepared.placed.fields()[version.column];
    let reader = Reader::of(expression, sql_type, field);
    let read::Found {
        exists,
        mut columns,
    } = read(session, &[reader], &statements.tombstones(step), count).await?;
    let found = columns.pop().filter(|_| exists.count_set_bits() > 0);
    Ok(found.map(|(column, _)| column))
}

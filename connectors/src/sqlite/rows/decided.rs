//! What a resolver needs to see of a table, and what it decided, row by row.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::BooleanBuffer;
use rusqlite::CachedStatement;

use super::{Refusals, Rows};
use crate::change::{Changes, Operation};
use crate::conflict::TargetRows;
use crate::error::{Error, Result};
use crate::sql::DeleteMode;
use crate::sql::bulk::{Fates, Locked};
use crate::sql::decide::Resolved;
use crate::sqlite::bound_rows::{BoundRows, Patterns, bind, execute};
use crate::sqlite::cell::Cells;
use crate::sqlite::failure::{Failure, of_row, of_statement};
use crate::sqlite::read::Values;
use crate::sqlite::statement::Statements;

impl Rows<'_> {
    /// The target's rows of some keys, and the versions of their deletes.
    pub(in crate::sqlite) fn read(&self, keys: &Changes) -> Result<Locked> {
        let bound_rows = self.bound_rows(keys, &[], true);
        let cells = bound_rows.cells()?;
        Ok(Locked {
            held: self.held(&self.statements(), &cells, keys.len())?,
            tombstones: self.tombstone_versions(&bound_rows, &cells)?,
        })
    }

    /// Deletes what was decided to be deleted.
    pub(in crate::sqlite) fn decided_deletes(
        &self,
        resolved: &Resolved,
        places: &[(usize, usize)],
    ) -> Result<Fates> {
        let mut fates = Fates::default();
        if self.write.options.delete == DeleteMode::Soft {
            return Ok(fates);
        }
        let bound_rows = self.bound_rows(&resolved.deletes.changes, places, true);
        self.run_all(&mut fates.refused, &bound_rows, None, |statement, _, _| {
            statement.plain_delete()
        })?;
        Ok(fates)
    }

    /// Writes what was decided, but for the deletes, whose versions it keeps.
    pub(in crate::sqlite) fn decided_upserts(
        &self,
        resolved: &Resolved,
        places: &[(usize, usize)],
    ) -> Result<Fates> {
        let mut fates = Fates::default();
        let (places, delete_places) = places.split_at(resolved.upserts.rows.len());
        let upserts = self.bound_rows(&resolved.upserts.changes, places, true);
        let deletes = self.bound_rows(&resolved.deletes.changes, delete_places, true);
        let marked = resolved.upserts.marked.as_ref();
        self.run_all(
            &mut fates.refused,
            &upserts,
            marked,
            |statement, is_update, set| {
                if is_update {
                    statement.plain_update(set)
                } else {
                    statement.plain_insert(set)
                }
            },
        )?;
        let Some(mut tombstones) = self.tombstones()? else {
            return Ok(fates);
        };
        let any = tombstones.any;
        let fail = |error| of_statement("keeping the versions of deletes", error);
        for (bound_rows, net) in [(&upserts, &resolved.upserts), (&deletes, &resolved.deletes)] {
            let cells = bound_rows.cells()?;
            for row in net.recreated.set_indices().filter(|_| any) {
                tombstones
                    .clear_tombstones(&bound_rows.key(&cells, row))
                    .map_err(fail)?;
            }
        }
        let statements = self.statements();
        let cells = deletes.cells()?;
        let all = vec![true; cells.len()];
        for row in resolved.deletes.gone.set_indices() {
            let set = deletes.set(row).unwrap_or_else(|| all.clone());
            let event_time = deletes.event_time(row);
            let version = deletes.version(&cells, &set, row);
            let version = version.or_else(|| statements.event_time_parameter().and(event_time));
            if let Some(version) = version {
                tombstones
                    .record_tombstones(&deletes.key(&cells, row), &version)
                    .map_err(fail)?;
            }
        }
        Ok(fates)
    }

    /// Runs a statement for every row: the one for its pattern of columns, of a delete the one for all.
    fn run_all(
        &self,
        refusals: &mut Refusals,
        bound_rows: &BoundRows<'_>,
        marked: Option<&BooleanBuffer>,
        sql: impl Fn(&Statements<'_>, bool, &[bool]) -> String,
    ) -> Result<()> {
        let statements = self.statements();
        let cells = bound_rows.cells()?;
        let width = cells.len();
        let all = vec![true; width];
        let mut updates = Patterns::default();
        let mut others = Patterns::default();
        for row in 0..bound_rows.changes.len() {
            let is_update = bound_rows.changes.operations[row] == Operation::Update;
            let mut set = bound_rows
                .set(row)
                .filter(|_| bound_rows.changes.operations[row] != Operation::Delete)
                .unwrap_or_else(|| all.clone());
            for &place in &bound_rows.prepared.placed_key {
                set[place] = true;
            }
            let patterns = if is_update { &mut updates } else { &mut others };
            let (set, statement) = patterns.of(
                Some(set),
                |set| {
                    let text = sql(&statements, is_update, set);
                    self.connection.prepare_cached(&text)
                },
                bound_rows,
            )?;
            let run = bind(statement, set, &cells, row)
                .and_then(|()| bind_mark(statement, width, marked, row))
                .and_then(|()| execute(statement, bound_rows));
            if let Err(failure) = run {
                self.refuse(refusals, bound_rows.places[row], failure)?;
            }
        }
        Ok(())
    }

    fn held(
        &self,
        statements: &Statements<'_>,
        cells: &[Cells],
        count: usize,
    ) -> Result<TargetRows> {
        let prepared = statements.prepared;
        let schema = &prepared.placed;
        let fail = |error| of_statement(&format!("reading table {:?}", prepared.name), error);
        let mut statement = self
            .connection
            .prepare_cached(&statements.read())
            .map_err(fail)?;
        let mut values: Vec<Values> = schema.fields().iter().map(|f| Values::of(f)).collect();
        let mut exists = Vec::with_capacity(count);
        let mut marked = Vec::with_capacity(count);
        for row in 0..count {
            for (number, &place) in prepared.placed_key.iter().enumerate() {
                // A key that the column refuses is in no row; writing it says why.
                let _ = cells[place].bind(&mut statement, number + 1, row);
            }
            let mut found = statement.raw_query();
            match found.next().map_err(fail)? {
                Some(held) => {
                    for (place, values) in values.iter_mut().enumerate() {
                        values.push(held.get_ref(place).map_err(fail)?, schema.field(place));
                    }
                    exists.push(true);
                    marked.push(held.get::<_, bool>(values.len()).map_err(fail)?);
                }
                None => {
                    values.iter_mut().for_each(Values::push_absent);
                    exists.push(false);
                    marked.push(false);
                }
            }
        }
        let columns = values.into_iter().zip(schema.fields());
        let columns = columns
            .map(|(values, field)| values.finish(field))
            .collect::<Result<Vec<_>>>()?;
        let (columns, foreign) = columns.into_iter().unzip();
        Ok(TargetRows {
            rows: RecordBatch::try_new(schema.clone(), columns).map_err(Error::configuration)?,
            exists: BooleanBuffer::from(exists),
            marked: marked.contains(&true).then(|| BooleanBuffer::from(marked)),
            foreign,
        })
    }

    /// The versions of deletes, where there are any.
    fn tombstone_versions(
        &self,
        keys: &BoundRows<'_>,
        cells: &[Cells],
    ) -> Result<Option<ArrayRef>> {
        let table = self.write.table;
        let (Some(mut tombstones), Some(version)) =
            (self.tombstones()?.filter(|found| found.any), &table.version)
        else {
            return Ok(None);
        };
        let field = table.placed.field(version.column);
        let mut values = Values::of(field);
        for row in 0..keys.changes.len() {
            tombstones
                .version(&keys.key(cells, row), |value| match value {
                    Some(value) => values.push(value, field),
                    None => values.push_absent(),
                })
                .map_err(|error| of_statement("reading the versions of deletes", error))?;
        }
        values.finish(field).map(|(column, _)| Some(column))
    }
}

/// The parameter after the last column is the mark of soft deletes.
fn bind_mark(
    statement: &mut CachedStatement<'_>,
    width: usize,
    marked: Option<&BooleanBuffer>,
    row: usize,
) -> Result<(), Failure> {
    let Some(marked) = marked else {
        return Ok(());
    };
    statement
        .raw_bind_parameter(width + 1, marked.value(row))
        .map_err(|error| of_row("", error))
}

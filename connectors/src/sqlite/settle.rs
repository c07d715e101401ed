//! Changes that a resolver decides: rows read, decided, written; in the open transaction, which holds
//! the file's write lock (C10).

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use rusqlite::CachedStatement;

use super::apply::Run;
use super::cell::Cells;
use super::failure::of_statement;
use super::part::{Part, Patterns, bind, execute};
use super::positions::ledger;
use super::prepare::Prepared;
use super::read::Values;
use super::statement::Statements;
use crate::change::{Changes, Operation};
use crate::conflict::Held;
use crate::error::{Error, RejectedChange, Result};
use crate::sql::DeleteMode;
use crate::sql::books::Keys;
use crate::sql::decide::{Facts, Groups, Net, Rules, Settlement, decide};
use crate::sql::plan::ContestedChanges;

impl Run<'_> {
    /// Decides, and deletes; [`Run::write_settled`] does the rest.
    pub(super) fn settle(
        &mut self,
        contested: &ContestedChanges,
        prepared: &Prepared,
    ) -> Result<Settlement> {
        let options = self.options;
        let changes = &contested.changes;
        let groups = Groups::of(changes, &prepared.placed_key, options.delete)?;
        let (names, facts) = self.facts(changes, prepared, &groups)?;
        let resolver = prepared.resolver(self.resolvers, &options.conflict)?;
        let version = prepared.version.as_ref().map(|version| version.column);
        let rules = Rules {
            policy: &options.conflict,
            delete: options.delete,
            resolver: resolver.as_ref(),
            version: version.filter(|_| self.buries()),
            reports_max: self.books.reports_max(self.now_ms),
        };
        let mut settlement = decide(rules, changes, &groups, facts)?;
        contested.restore_spelling(&mut settlement)?;
        self.outcome += &settlement.outcome;
        for row in settlement.rejected.iter().cloned() {
            self.rejected.push(RejectedChange {
                batch: contested.batch,
                row: contested.first_row + row.row,
                rule: row.rule,
                field: row.field,
                reason: row.reason,
            });
        }
        let entries = self
            .books
            .enter(&names, changes, &settlement, self.now_ms)?;
        ledger(self.connection, &entries)?;
        let places = places(&settlement.deletes, contested);
        let deletes = net_part(&settlement.deletes, prepared, &places);
        if self.options.delete != DeleteMode::Soft && !deletes.changes.is_empty() {
            self.run_all(&deletes, None, |statement, _, _| statement.plain_delete())?;
        }
        Ok(settlement)
    }

    /// What the target says about the keys of `groups`. `changes` have the columns of
    /// [`Prepared::placed`].
    pub(super) fn facts<'p>(
        &self,
        changes: &Changes,
        prepared: &'p Prepared,
        groups: &Groups,
    ) -> Result<(Keys<'p>, Facts)> {
        let firsts = groups.firsts();
        let keys = Part {
            prepared,
            changes: &changes.take(&firsts).map_err(Error::configuration)?,
            places: &[],
            placed: true,
        };
        let cells = keys.cells()?;
        let held = self.held(&self.statements(prepared), &cells, groups.len())?;
        let graves = if self.buries() {
            self.graves(&keys, &cells)?
        } else {
            None
        };
        let mut facts = Facts {
            held,
            shadow: None,
            graves,
            waiting: None,
        };
        let names = Keys::of(&prepared.name, keys.changes, &prepared.placed_key);
        let open = ledger(self.connection, &self.books.ask_open(&names))?;
        let images = ledger(self.connection, &self.books.ask_shadow(&names))?;
        self.books
            .add_facts(&mut facts, &names, keys.changes, &open, &images)?;
        Ok((names, facts))
    }

    /// Whether versions of deletes are kept (R12).
    fn buries(&self) -> bool {
        self.options.conflict.buries()
            && self.options.delete != DeleteMode::Ignore
            && self.books.has_tombstones
    }

    /// Writes what [`Run::settle`] decided, but for the deletes.
    pub(super) fn write_settled(
        &mut self,
        contested: &ContestedChanges,
        prepared: &Prepared,
        settlement: &Settlement,
    ) -> Result<()> {
        let delete_places = places(&settlement.deletes, contested);
        let upsert_places = places(&settlement.upserts, contested);
        let deletes = net_part(&settlement.deletes, prepared, &delete_places);
        let upserts = net_part(&settlement.upserts, prepared, &upsert_places);
        let statements = self.statements(prepared);
        let mut tombstones = self.tombstones(prepared)?;
        let marked = settlement.upserts.marked.as_ref();
        self.run_all(&upserts, marked, |statement, is_update, set| {
            if is_update {
                statement.plain_update(set)
            } else {
                statement.plain_insert(set)
            }
        })?;
        let Some(tombstones) = &mut tombstones else {
            return Ok(());
        };
        let any = tombstones.any;
        let fail = |error| of_statement("keeping the versions of deletes", error);
        for (part, net) in [
            (&upserts, &settlement.upserts),
            (&deletes, &settlement.deletes),
        ] {
            let cells = part.cells()?;
            for row in net.risen.set_indices().filter(|_| any) {
                tombstones.exhume(&part.key(&cells, row)).map_err(fail)?;
            }
        }
        let cells = deletes.cells()?;
        let all = vec![true; cells.len()];
        for row in settlement.deletes.gone.set_indices() {
            let set = deletes.set(row).unwrap_or_else(|| all.clone());
            let event_time = deletes.event_time(row);
            let version = deletes.version(&cells, &set, row);
            let version = version.or_else(|| statements.event_time_parameter().and(event_time));
            if let Some(version) = version {
                tombstones
                    .bury(&deletes.key(&cells, row), &version)
                    .map_err(fail)?;
            }
        }
        Ok(())
    }

    /// Runs a statement for every row: the one for its pattern of columns, of a delete the one for all.
    fn run_all(
        &mut self,
        part: &Part<'_>,
        marked: Option<&BooleanBuffer>,
        sql: impl Fn(&Statements<'_>, bool, &[bool]) -> String,
    ) -> Result<()> {
        let statements = self.statements(part.prepared);
        let cells = part.cells()?;
        let width = cells.len();
        let all = vec![true; width];
        let mut updates = Patterns::default();
        let mut others = Patterns::default();
        for row in 0..part.changes.len() {
            let is_update = part.changes.operations[row] == Operation::Update;
            let mut set = part
                .set(row)
                .filter(|_| part.changes.operations[row] != Operation::Delete)
                .unwrap_or_else(|| all.clone());
            for &place in &part.prepared.placed_key {
                set[place] = true;
            }
            let patterns = if is_update { &mut updates } else { &mut others };
            let (set, statement) = patterns.of(
                Some(set),
                |set| {
                    let text = sql(&statements, is_update, set);
                    self.connection.prepare_cached(&text)
                },
                part,
            )?;
            let run = bind(statement, set, &cells, row)
                .and_then(|()| bind_mark(statement, width, marked, row))
                .and_then(|()| execute(statement, part));
            if let Err(failure) = run {
                self.fail(part, row, failure)?;
            }
        }
        Ok(())
    }

    fn held(&self, statements: &Statements<'_>, cells: &[Cells], count: usize) -> Result<Held> {
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
        Ok(Held {
            rows: RecordBatch::try_new(schema.clone(), columns).map_err(Error::configuration)?,
            exists: BooleanBuffer::from(exists),
            marked: marked.contains(&true).then(|| BooleanBuffer::from(marked)),
            foreign,
        })
    }

    /// The versions of deletes, where there are any.
    fn graves(&self, keys: &Part<'_>, cells: &[Cells]) -> Result<Option<ArrayRef>> {
        let prepared = keys.prepared;
        let Some(mut tombstones) = self.tombstones(prepared)?.filter(|found| found.any) else {
            return Ok(None);
        };
        let Some(version) = &prepared.version else {
            return Ok(None);
        };
        let names: StringArray = (0..keys.changes.len())
            .map(|row| Some(keys.key(cells, row)))
            .collect();
        let field = prepared.placed.field(version.column);
        let mut values = Values::of(field);
        for name in names.iter().flatten() {
            tombstones
                .version(name, |value| match value {
                    Some(value) => values.push(value, field),
                    None => values.push_absent(),
                })
                .map_err(|error| of_statement("reading the versions of deletes", error))?;
        }
        values.finish(field).map(|(column, _)| Some(column))
    }
}

/// The batch and row of each net change.
fn places(net: &Net, contested: &ContestedChanges) -> Vec<(usize, usize)> {
    let rows = net.rows.iter();
    rows.map(|&row| (contested.batch, contested.first_row + row as usize))
        .collect()
}

fn net_part<'a>(net: &'a Net, prepared: &'a Prepared, places: &'a [(usize, usize)]) -> Part<'a> {
    Part {
        prepared,
        changes: &net.changes,
        places,
        placed: true,
    }
}

/// The parameter after the last column is the mark of soft deletes.
fn bind_mark(
    statement: &mut CachedStatement<'_>,
    width: usize,
    marked: Option<&BooleanBuffer>,
    row: usize,
) -> Result<(), super::failure::Failure> {
    let Some(marked) = marked else {
        return Ok(());
    };
    statement
        .raw_bind_parameter(width + 1, marked.value(row))
        .map_err(|error| super::failure::of_row("", error))
}

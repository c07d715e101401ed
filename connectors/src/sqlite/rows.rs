//! The rows of one table, one prepared statement each, within the open transaction.
//!
//! What the target refuses of a row is noted, and the next row goes on.

mod decided;

use rusqlite::Connection;

use super::bound_rows::{BoundRows, Patterns, bind, execute};
use super::failure::{Failure, Refused, of_row, of_statement};
use super::function::{Memory, Seen};
use super::prepare::Prepared;
use super::statement::Statements;
use super::tombstone::Tombstones;
use crate::change::{Changes, Operation};
use crate::error::{Error, Result};
use crate::sql::bulk::{Counts, Fates, TableWrite};

/// A connection, and the table to which rows are written.
pub(super) struct Rows<'a> {
    pub(super) connection: &'a Connection,
    pub(super) memory: &'a Memory,
    pub(super) write: &'a TableWrite<'a, Prepared>,
}

/// The rows that were refused: batch and row of each.
type Refusals = Vec<((usize, usize), Refused)>;

impl<'a> Rows<'a> {
    /// Deletes what a round says, and keeps the versions of the deletes.
    pub(super) fn deletes(&self, changes: &Changes, places: &[(usize, usize)]) -> Result<Fates> {
        let bound_rows = self.bound_rows(changes, places, false);
        let statements = self.statements();
        let cells = bound_rows.cells()?;
        let mut tombstones = self.tombstones()?;
        let mut patterns = [Patterns::default(), Patterns::default()];
        let blind = bound_rows.blind();
        let mut fates = Fates::default();
        for (row, &place) in places.iter().take(changes.len()).enumerate() {
            let set = bound_rows.set(row);
            let blind = blind.as_ref().is_some_and(|blind| blind.value(row));
            let (set, statement) = patterns[usize::from(blind)].of(
                set,
                |set| {
                    let sql = statements.delete(set, blind);
                    self.connection.prepare_cached(&sql)
                },
                &bound_rows,
            )?;
            let event_time = bound_rows.event_time(row);
            let run = bind(statement, set, &cells, row).and_then(|()| {
                if let Some(number) = statements.event_time_parameter()
                    && number <= statement.parameter_count()
                {
                    statement
                        .raw_bind_parameter(number, event_time.as_deref())
                        .map_err(|error| of_row(&self.write.table.name, error))?;
                }
                execute(statement, &bound_rows)
            });
            if let Err(failure) = run {
                self.refuse(&mut fates.refused, place, failure)?;
                continue;
            }
            let seen = self.memory.take();
            count(&mut fates.deletes, seen);
            if seen.lost {
                continue;
            }
            if let Some(tombstones) = &mut tombstones {
                let version = bound_rows.version(&cells, set, row);
                let version = version.or_else(|| statements.event_time_parameter().and(event_time));
                if let Some(version) = version {
                    tombstones
                        .record_tombstones(&bound_rows.key(&cells, row), &version)
                        .map_err(|error| of_statement("keeping the version of a delete", error))?;
                }
            }
        }
        Ok(fates)
    }

    /// Inserts and updates what a round says.
    pub(super) fn upserts(&self, changes: &Changes, places: &[(usize, usize)]) -> Result<Fates> {
        let bound_rows = self.bound_rows(changes, places, false);
        let statements = self.statements();
        let cells = bound_rows.cells()?;
        let mut tombstones = self.tombstones()?.filter(|tombstones| tombstones.any);
        let mut upserts = Patterns::default();
        let mut updates = Patterns::default();
        let incomplete = bound_rows.incomplete();
        let mut fates = Fates::default();
        for (row, &place) in places.iter().take(changes.len()).enumerate() {
            let counts = match changes.operations[row] {
                Operation::Update => &mut fates.updates,
                _ => &mut fates.inserts,
            };
            let set = bound_rows.set(row);
            if let Some(tombstones) = &mut tombstones {
                let all = vec![true; cells.len()];
                let version = bound_rows.version(&cells, set.as_deref().unwrap_or(&all), row);
                let whole = set.as_ref().is_none_or(|set| !set.contains(&false));
                let outdated = tombstones
                    .outdated(&bound_rows.key(&cells, row), version.as_deref(), whole)
                    .map_err(|error| of_statement("reading the version of a delete", error))?;
                if outdated {
                    counts.outdated += 1;
                    continue;
                }
            }
            // An insert of a row that is there fails where a column that takes no null is not among its
            // own.
            let whole = set.as_ref().is_none_or(|set| !set.contains(&false));
            let updates_first = !whole || self.write.table.requires_more;
            let is_incomplete = incomplete.as_ref().is_some_and(|mask| mask.value(row));
            let mut seen = Seen::default();
            let mut run = Ok(());
            if updates_first {
                let update = |set: &[bool]| {
                    let sql = statements.update(set);
                    self.connection.prepare_cached(&sql)
                };
                let (set, statement) = updates.of(set.clone(), update, &bound_rows)?;
                run = bind(statement, set, &cells, row)
                    .and_then(|()| execute(statement, &bound_rows));
                seen = self.memory.take();
            }
            // A row that is marked as deleted is not met, but written.
            let written = updates_first && self.connection.changes() > 0;
            if run.is_ok() && !seen.met && !written && !is_incomplete {
                let upsert = |set: &[bool]| {
                    let sql = statements.upsert(set);
                    self.connection.prepare_cached(&sql)
                };
                let (set, statement) = upserts.of(set, upsert, &bound_rows)?;
                run = bind(statement, set, &cells, row)
                    .and_then(|()| execute(statement, &bound_rows));
                seen = self.memory.take();
            }
            if let Err(failure) = run {
                self.refuse(&mut fates.refused, place, failure)?;
            } else if !seen.met && is_incomplete {
                fates.refused.push((place, Refused::incomplete()));
            } else {
                count(counts, seen);
            }
        }
        Ok(fates)
    }

    fn bound_rows<'p>(
        &'p self,
        changes: &'p Changes,
        places: &'p [(usize, usize)],
        placed: bool,
    ) -> BoundRows<'p> {
        BoundRows {
            prepared: self.write.table,
            changes,
            places,
            placed,
        }
    }

    fn statements(&self) -> Statements<'a> {
        Statements {
            prepared: self.write.table,
            policy: &self.write.options.conflict,
        }
    }

    /// The tombstones of the target, where the strategy needs them.
    fn tombstones(&self) -> Result<Option<Tombstones<'a>>> {
        let version = self.write.table.version.as_ref();
        let Some(version) = version.filter(|_| self.write.keeps_tombstones()) else {
            return Ok(None);
        };
        Tombstones::open(
            self.connection,
            self.write.identity,
            self.write.table,
            version,
            &self.write.options.conflict,
        )
        .map(Some)
        .map_err(|error| of_statement("opening the versions of deletes", error))
    }

    /// Notes a refused row, unless the failure concerns everything.
    fn refuse(
        &self,
        refusals: &mut Refusals,
        place: (usize, usize),
        failure: Failure,
    ) -> Result<()> {
        let refused = match failure {
            Failure::Data(refused) => refused,
            other => return Err(other.into_error()),
        };
        self.memory.take();
        refusals.push((place, refused));
        if self.connection.is_autocommit() {
            // A constraint with ON CONFLICT ROLLBACK ended the transaction.
            let refusals = std::mem::take(refusals).into_iter();
            let rejected = refusals.map(|((batch, row), refused)| refused.of_change(batch, row));
            return Err(Error::Rejected(rejected.collect()));
        }
        Ok(())
    }
}

/// Counts what was seen of a row.
fn count(counts: &mut Counts, seen: Seen) {
    let fate = match seen {
        Seen { met: false, .. } => &mut counts.missing,
        Seen { lost: true, .. } => &mut counts.lost,
        Seen { conflict: true, .. } => &mut counts.replaced,
        Seen { .. } => &mut counts.same,
    };
    *fate += 1;
}

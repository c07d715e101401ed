//! What a write does to the tables, within the open transaction.
//!
//! Batches are taken in their order and split at truncates (R13); what lies between is folded (R8)
//! and written round by round, deletes before upserts (R9). A row that the target refuses does not
//! stop the others: all culprits of a write are found in one go, then everything is rolled back.

use std::sync::Arc;

use rusqlite::Connection;

use super::equality::with_normal_keys;
use super::failure::{Failure, Refused, of_row, of_statement};
use super::function::Memory;
use super::part::{Part, Patterns, bind, execute};
use super::positions::ledger;
use super::prepare::Prepared;
use super::statement::Statements;
use super::tombstone::Tombstones;
use crate::change::{Changes, Operation};
use crate::conflict::{ConflictType, Resolvers, Winner};
use crate::error::{Error, RejectedChange, RejectedRow, Result};
use crate::sink::{Identity, Outcome};
use crate::sql::books::Books;
use crate::sql::decide::{Tally, takes_resolver};
use crate::sql::fold::fold;
use crate::sql::version::refuse_skewed;
use crate::sql::{DeleteMode, Options, TruncateMode};

/// One write as it goes.
pub(super) struct Run<'c> {
    pub(super) connection: &'c Connection,
    pub(super) memory: &'c Memory,
    pub(super) identity: &'c Identity,
    pub(super) resolvers: &'c Arc<dyn Resolvers>,
    pub(super) books: &'c mut Books,
    pub(super) options: &'c Options,
    pub(super) now_ms: i64,
    pub(super) outcome: Outcome,
    pub(super) tally: Tally,
    pub(super) rejected: Vec<RejectedChange>,
}

impl<'c> Run<'c> {
    /// Writes the changes of one batch.
    pub(super) fn batch(
        &mut self,
        number: usize,
        changes: &Changes,
        prepared: &Prepared,
    ) -> Result<()> {
        for row in refuse_skewed(changes, &self.options.conflict, self.now_ms)? {
            self.reject_row(number, 0, row);
        }
        let mut start = 0;
        for row in 0..=changes.len() {
            let truncate = changes.operations.get(row) == Some(&Operation::Truncate);
            if !truncate && row < changes.len() {
                continue;
            }
            if start < row {
                self.segment(number, start, &slice(changes, start, row)?, prepared)?;
            }
            if truncate {
                self.truncate(number, row, changes, prepared)?;
            }
            start = row + 1;
        }
        Ok(())
    }

    /// What became of the write, or who is to blame.
    pub(super) fn finish(mut self) -> Result<Outcome> {
        if self.rejected.is_empty() {
            return Ok(self.outcome);
        }
        self.rejected
            .sort_by_key(|change| (change.batch, change.row));
        self.rejected
            .dedup_by_key(|change| (change.batch, change.row));
        Err(Error::Rejected(self.rejected))
    }

    fn segment(
        &mut self,
        batch: usize,
        start: usize,
        changes: &Changes,
        prepared: &Prepared,
    ) -> Result<()> {
        let policy = &self.options.conflict;
        let (changes, spelling) = with_normal_keys(prepared, changes.clone(), self.options)?;
        let changes = &changes;
        if takes_resolver(self.options, changes, self.books.may_wait)? {
            let spelling = spelling.map(|spelling| spelling.placed(&prepared.indices()));
            return self.settle(batch, start, changes, spelling.as_ref(), prepared);
        }
        let folded = fold(changes, &prepared.key_columns, policy, self.options.delete)?;
        self.outcome.superseded += folded.superseded;
        self.outcome.kept += folded.kept;
        for row in folded.rejected {
            self.reject_row(batch, start, row);
        }
        for mut round in folded.rounds {
            if let Some(spelling) = &spelling {
                spelling.restore(&mut round.upserts, &round.upsert_rows)?;
            }
            let part = |changes, rows: &[u32]| Part {
                prepared,
                changes,
                batch,
                rows: rows.iter().map(|&row| start + row as usize).collect(),
                placed: false,
            };
            self.deletes(&part(&round.deletes, &round.delete_rows))?;
            self.upserts(&part(&round.upserts, &round.upsert_rows))?;
        }
        let tally = std::mem::take(&mut self.tally);
        let entries = self.books.count(&prepared.name, changes, &tally);
        ledger(self.connection, &entries).map(|_| ())
    }

    fn truncate(
        &mut self,
        batch: usize,
        row: usize,
        changes: &Changes,
        prepared: &Prepared,
    ) -> Result<()> {
        let options = self.options;
        if options.truncate == TruncateMode::Ignore || options.delete == DeleteMode::Ignore {
            self.outcome.kept += 1;
            return Ok(());
        }
        let single = changes
            .records
            .partition(changes.origins[row] as usize)
            .single;
        if options.truncate != TruncateMode::Apply && !single {
            self.reject_row(batch, 0, RejectedRow {
                row,
                rule: "R13 truncate".to_owned(),
                field: None,
                reason: "the topic has several partitions, so the truncate has no place in the order of the rows: write truncate = \"apply\" or \"ignore\" in the sink".to_owned(),
            });
            return Ok(());
        }
        self.connection
            .execute(&self.statements(prepared).truncate(), [])
            .map_err(|error| of_statement(&format!("emptying table {:?}", prepared.name), error))?;
        let clear: Vec<String> = self.books.clear(&prepared.name).into_iter().collect();
        ledger(self.connection, &clear)?;
        self.outcome.written += 1;
        Ok(())
    }

    fn deletes(&mut self, part: &Part<'_>) -> Result<()> {
        if part.changes.is_empty() {
            return Ok(());
        }
        let statements = self.statements(part.prepared);
        let cells = part.cells()?;
        let mut tombstones = self.tombstones(part.prepared)?;
        let mut patterns = Patterns::default();
        for row in 0..part.changes.len() {
            let set = part.set(row);
            let (set, statement) = patterns.of(
                set,
                |set| self.connection.prepare_cached(&statements.delete(set)),
                part,
            )?;
            let event_time = part.event_time(row);
            let run = bind(statement, set, &cells, row).and_then(|()| {
                if let Some(number) = statements.event_time_parameter()
                    && number <= statement.parameter_count()
                {
                    statement
                        .raw_bind_parameter(number, event_time.as_deref())
                        .map_err(|error| of_row(&part.prepared.name, error))?;
                }
                execute(statement, part)
            });
            if let Err(failure) = run {
                self.fail(part, row, failure)?;
                continue;
            }
            let seen = self.memory.take();
            let winner = if seen.lost {
                Winner::Target
            } else {
                Winner::Source
            };
            if !seen.met {
                self.conflict(ConflictType::DeleteMissing, winner);
            } else if seen.lost && self.options.conflict.buries() {
                self.conflict(ConflictType::DeleteExists, winner);
            } else if seen.conflict {
                self.conflict(ConflictType::DeleteOriginDiffers, winner);
            }
            if seen.lost {
                self.outcome.kept += 1;
                continue;
            }
            self.outcome.written += 1;
            if let Some(tombstones) = &mut tombstones {
                let version = part.version(&cells, set, row);
                let version = version.or_else(|| statements.event_time_parameter().and(event_time));
                if let Some(version) = version {
                    tombstones
                        .bury(&part.key(&cells, row), &version)
                        .map_err(|error| of_statement("keeping the version of a delete", error))?;
                }
            }
        }
        Ok(())
    }

    fn upserts(&mut self, part: &Part<'_>) -> Result<()> {
        if part.changes.is_empty() {
            return Ok(());
        }
        let statements = self.statements(part.prepared);
        let cells = part.cells()?;
        let mut tombstones = self
            .tombstones(part.prepared)?
            .filter(|tombstones| tombstones.any);
        let mut patterns = Patterns::default();
        for row in 0..part.changes.len() {
            let is_update = part.changes.operations[row] == Operation::Update;
            let set = part.set(row);
            if let Some(tombstones) = &mut tombstones {
                let all = vec![true; cells.len()];
                let version = part.version(&cells, set.as_deref().unwrap_or(&all), row);
                let whole = set.as_ref().is_none_or(|set| !set.contains(&false));
                let outdated = tombstones
                    .outdated(&part.key(&cells, row), version.as_deref(), whole)
                    .map_err(|error| of_statement("reading the version of a delete", error))?;
                if outdated {
                    self.outcome.kept += 1;
                    self.conflict(ConflictType::UpdateMissing, Winner::Target);
                    continue;
                }
            }
            let (set, statement) = patterns.of(
                set,
                |set| {
                    let whole = set.iter().all(|&set| set);
                    let sql = if whole {
                        statements.upsert()
                    } else {
                        statements.update(set)
                    };
                    self.connection.prepare_cached(&sql)
                },
                part,
            )?;
            let run = bind(statement, set, &cells, row).and_then(|()| execute(statement, part));
            if let Err(failure) = run {
                self.fail(part, row, failure)?;
                continue;
            }
            let seen = self.memory.take();
            if seen.lost && !seen.met {
                self.outcome.kept += 1;
                self.outcome.conflicts.add(ConflictType::UpdateMissing, 1);
                continue;
            }
            if !seen.met && set.contains(&false) {
                self.fail(part, row, Failure::Row(incomplete()))?;
                continue;
            }
            let winner = if seen.lost {
                Winner::Target
            } else {
                Winner::Source
            };
            match (seen.met, seen.conflict, is_update) {
                (false, _, true) => self.conflict(ConflictType::UpdateMissing, winner),
                (true, true, true) => self.conflict(ConflictType::UpdateOriginDiffers, winner),
                (true, true, false) => self.conflict(ConflictType::InsertExists, winner),
                (false, _, false) | (true, false, _) => {}
            }
            if seen.lost {
                self.outcome.kept += 1;
            } else {
                self.outcome.written += 1;
            }
        }
        Ok(())
    }

    /// Counts a conflict that ended in one way.
    fn conflict(&mut self, kind: ConflictType, winner: Winner) {
        self.outcome.conflicts.add(kind, 1);
        let strategy = self.options.conflict.strategy.name();
        *self
            .tally
            .entry((kind, strategy, None, winner))
            .or_default() += 1;
    }

    pub(super) fn statements<'a>(&self, prepared: &'a Prepared) -> Statements<'a>
    where
        Self: 'a,
    {
        Statements {
            prepared,
            policy: &self.options.conflict,
        }
    }

    /// The tombstones of a target, where the strategy needs them.
    pub(super) fn tombstones(&self, prepared: &Prepared) -> Result<Option<Tombstones<'c>>> {
        let policy = &self.options.conflict;
        let wanted = policy.buries() && self.options.delete != DeleteMode::Ignore;
        let Some(version) = prepared.version.as_ref().filter(|_| wanted) else {
            return Ok(None);
        };
        Tombstones::open(self.connection, self.identity, prepared, version, policy)
            .map(Some)
            .map_err(|error| of_statement("opening the versions of deletes", error))
    }

    /// Notes a refused row and goes on, unless the failure concerns everything.
    pub(super) fn fail(&mut self, part: &Part<'_>, row: usize, failure: Failure) -> Result<()> {
        let refused = match failure {
            Failure::Row(refused) => refused,
            Failure::Whole(error) => return Err(error),
        };
        self.memory.take();
        self.rejected.push(RejectedChange {
            batch: part.batch,
            row: part.rows[row],
            rule: refused.rule,
            field: refused.field,
            reason: refused.reason,
        });
        if self.connection.is_autocommit() {
            // A constraint with ON CONFLICT ROLLBACK ended the transaction.
            return Err(Error::Rejected(std::mem::take(&mut self.rejected)));
        }
        Ok(())
    }

    pub(super) fn reject_row(&mut self, batch: usize, start: usize, row: RejectedRow) {
        self.rejected.push(RejectedChange {
            batch,
            row: start + row.row,
            rule: row.rule,
            field: row.field,
            reason: row.reason,
        });
    }
}

fn incomplete() -> Refused {
    Refused {
        rule: "R14 incomplete".to_owned(),
        field: None,
        reason: "the update leaves out unchanged values, and the target has no such row".to_owned(),
    }
}

fn slice(changes: &Changes, start: usize, end: usize) -> Result<Changes> {
    if start == 0 && end == changes.len() {
        return Ok(changes.clone());
    }
    let rows: Vec<u32> = (start..end).map(|row| row as u32).collect();
    changes.take(&rows).map_err(Error::configuration)
}

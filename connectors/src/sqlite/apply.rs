//! Steps into tables, within the open transaction (R9).
//!
//! A row that the target refuses does not stop the others: all culprits of a write are found in one go,
//! then everything is rolled back.

use std::sync::Arc;

use rusqlite::Connection;

use super::failure::{Failure, Refused, of_row, of_statement};
use super::function::Memory;
use super::part::{Part, Patterns, bind, execute};
use super::positions::ledger;
use super::prepare::Prepared;
use super::session::Session;
use super::statement::Statements;
use super::tombstone::Tombstones;
use crate::change::{Changes, Operation};
use crate::conflict::{ConflictType, Resolvers, Winner};
use crate::error::{Error, RejectedChange, Result};
use crate::sink::{Identity, Outcome};
use crate::sql::books::Books;
use crate::sql::decide::{Settlement, Tally};
use crate::sql::plan::{Step, Work};
use crate::sql::{DeleteMode, Options};

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
    pub(super) fn new(
        session: &'c Session,
        identity: &'c Identity,
        resolvers: &'c Arc<dyn Resolvers>,
        books: &'c mut Books,
        options: &'c Options,
    ) -> Self {
        Self {
            connection: &session.connection,
            memory: &session.memory,
            identity,
            resolvers,
            books,
            options,
            now_ms: chrono::Utc::now().timestamp_millis(),
            outcome: Outcome::default(),
            tally: Tally::new(),
            rejected: Vec::new(),
        }
    }

    /// Does the work; gives what became of it, or who is to blame.
    pub(super) fn work(mut self, work: &Work<Prepared>) -> Result<Outcome> {
        self.outcome = work.settled.clone();
        let count = work.tables.iter().map(Vec::len).max().unwrap_or(0);
        for number in 0..count {
            let mut settled: Vec<Option<Settlement>> = Vec::new();
            settled.resize_with(work.tables.len(), || None);
            for (table, steps) in work.tables.iter().enumerate().rev() {
                match steps.get(number) {
                    Some(Step::Truncate(prepared)) => self.truncate(prepared)?,
                    Some(Step::Contested { prepared, changes }) => {
                        settled[table] = Some(self.settle(changes, prepared)?);
                    }
                    Some(Step::Rows {
                        prepared,
                        round,
                        places,
                    }) => {
                        let part = Part {
                            prepared,
                            changes: &round.deletes,
                            places: &places[round.upserts.len()..],
                            placed: false,
                        };
                        self.deletes(&part)?;
                        self.enter(prepared, &round.deletes)?;
                    }
                    None => {}
                }
            }
            for (table, steps) in work.tables.iter().enumerate() {
                match (steps.get(number), &settled[table]) {
                    (Some(Step::Contested { prepared, changes }), Some(settlement)) => {
                        self.write_settled(changes, prepared, settlement)?;
                    }
                    (
                        Some(Step::Rows {
                            prepared,
                            round,
                            places,
                        }),
                        _,
                    ) => {
                        let part = Part {
                            prepared,
                            changes: &round.upserts,
                            places,
                            placed: false,
                        };
                        self.upserts(&part)?;
                        self.enter(prepared, &round.upserts)?;
                    }
                    _ => {}
                }
            }
        }
        if self.rejected.is_empty() {
            return Ok(self.outcome);
        }
        self.rejected
            .sort_by_key(|change| (change.batch, change.row));
        self.rejected
            .dedup_by_key(|change| (change.batch, change.row));
        Err(Error::Rejected(self.rejected))
    }

    /// Puts the counts of conflicts into the books.
    fn enter(&mut self, prepared: &Prepared, changes: &Changes) -> Result<()> {
        let tally = std::mem::take(&mut self.tally);
        let entries = self.books.count(&prepared.name, changes, &tally);
        ledger(self.connection, &entries).map(drop)
    }

    fn truncate(&mut self, prepared: &Prepared) -> Result<()> {
        self.connection
            .execute(&self.statements(prepared).truncate(), [])
            .map_err(|error| of_statement(&format!("emptying table {:?}", prepared.name), error))?;
        let clear: Vec<String> = self.books.clear(&prepared.name).into_iter().collect();
        ledger(self.connection, &clear).map(drop)
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
                self.fail(part, row, Failure::Data(incomplete()))?;
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
        let wanted = policy.buries()
            && self.options.delete != DeleteMode::Ignore
            && self.books.has_tombstones;
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
            Failure::Data(refused) => refused,
            other => return Err(other.into_error()),
        };
        self.memory.take();
        let (batch, at) = part.places[row];
        self.rejected.push(refused.of_change(batch, at));
        if self.connection.is_autocommit() {
            // A constraint with ON CONFLICT ROLLBACK ended the transaction.
            return Err(Error::Rejected(std::mem::take(&mut self.rejected)));
        }
        Ok(())
    }
}

fn incomplete() -> Refused {
    Refused::new(
        "R14 incomplete",
        None,
        "the update leaves out unchanged values, and the target has no such row",
    )
}

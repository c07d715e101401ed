//! Steps into tables, inside a transaction that the caller opened (R9).
//!
//! The steps of all tables are taken together: in each, deletes with referencing tables first, then
//! upserts with referenced tables first, so that foreign keys hold.

use super::failure::Failure;
use super::prepare::Prepared;
use super::session::{Session, integer};
use super::settle::{self, Settled, settle};
use super::stage::{DELETES, INSERT, Staged, UPDATE, UPSERTS, stage};
use super::statement::{APPLIES, LOST, REVIVES, Statements};
use crate::change::Changes;
use crate::conflict::{ConflictType, Detect, Strategy, Winner};
use crate::error::Error;
use crate::sink::{Identity, Outcome};
use crate::sql::decide::Tally;
use crate::sql::plan::{Step, Work, rejection};
use crate::sql::{DeleteMode, Options};

/// Does the work.
pub(super) async fn run(
    session: &mut Session,
    identity: &Identity,
    options: &Options,
    work: &Work<Prepared>,
) -> Result<Outcome, Failure> {
    let mut outcome = work.settled.clone();
    let count = work.tables.iter().map(Vec::len).max().unwrap_or(0);
    for number in 0..count {
        let mut staged: Vec<Option<Staged>> = Vec::new();
        staged.resize_with(work.tables.len(), || None);
        let mut settled: Vec<Option<Settled>> = Vec::new();
        settled.resize_with(work.tables.len(), || None);
        for (table, steps) in work.tables.iter().enumerate().rev() {
            let Some(step) = steps.get(number) else {
                continue;
            };
            let statements = Statements {
                prepared: step.prepared(),
                policy: &options.conflict,
                identity,
            };
            match step {
                Step::Truncate(prepared) => {
                    session.execute(&statements.truncate()).await?;
                    let clear: Vec<String> =
                        session.books.clear(&prepared.name).into_iter().collect();
                    session.ledger(&clear).await?;
                }
                Step::Contested { changes, .. } => {
                    let done = settle(session, &statements, options, changes).await?;
                    outcome += &done.settlement.outcome;
                    settled[table] = Some(done);
                }
                Step::Rows {
                    prepared,
                    round,
                    places,
                } => {
                    let rows = stage(session, prepared, round, places).await?;
                    if rows.deletes > 0 {
                        let mut run = Run::new(session, &statements, options, &mut outcome);
                        run.delete(&rows).await?;
                        run.enter(&round.deletes).await?;
                    }
                    staged[table] = Some(rows);
                }
            }
        }
        for (table, steps) in work.tables.iter().enumerate() {
            let Some(step) = steps.get(number) else {
                continue;
            };
            let statements = Statements {
                prepared: step.prepared(),
                policy: &options.conflict,
                identity,
            };
            if let Some(settled) = &settled[table] {
                settle::write(session, &statements, options, settled).await?;
            }
            if let (Some(rows), Step::Rows { places, round, .. }) = (staged[table].take(), step) {
                let mut run = Run::new(session, &statements, options, &mut outcome);
                run.upsert(rows, places).await?;
                run.enter(&round.upserts).await?;
            }
        }
    }
    Ok(outcome)
}

/// One step of one table.
struct Run<'a> {
    session: &'a mut Session,
    statements: &'a Statements<'a>,
    options: &'a Options,
    outcome: &'a mut Outcome,
    tally: Tally,
}

/// What a row in conflict is called, by its operation.
const CONFLICTS: [ConflictType; 2] = [
    ConflictType::InsertExists,
    ConflictType::UpdateOriginDiffers,
];

/// How many rows of one operation and pattern were decided how.
struct Decided {
    operation: usize,
    pattern: i32,
    outcome: i64,
    flag: bool,
    count: u64,
}

impl<'a> Run<'a> {
    fn new(
        session: &'a mut Session,
        statements: &'a Statements<'a>,
        options: &'a Options,
        outcome: &'a mut Outcome,
    ) -> Self {
        Self {
            session,
            statements,
            options,
            outcome,
            tally: Tally::new(),
        }
    }

    /// Counts conflicts that ended in one way.
    fn conflict(&mut self, kind: ConflictType, winner: Winner, count: u64) {
        if count > 0 {
            self.outcome.conflicts.add(kind, count);
            let row = (kind, self.strategy().name(), None, winner);
            *self.tally.entry(row).or_default() += count;
        }
    }

    /// Puts the counts into the books.
    async fn enter(self, changes: &Changes) -> Result<(), Failure> {
        let name = &self.statements.prepared.name;
        let entries = self.session.books.count(name, changes, &self.tally);
        self.session.ledger(&entries).await.map(drop)
    }

    fn strategy(&self) -> &Strategy {
        &self.options.conflict.strategy
    }

    /// Whether versions of deletes are kept (R12).
    fn buries(&self) -> bool {
        self.options.delete != DeleteMode::Ignore
            && matches!(self.strategy(), Strategy::NewestWins | Strategy::Merge)
    }

    async fn delete(&mut self, staged: &Staged) -> Result<(), Failure> {
        let step = staged.step;
        self.session
            .execute(&self.statements.decide_deletes(step))
            .await?;
        let (mut applied, mut differing, mut kept) = (0, 0, 0);
        for decided in self.decided(step, DELETES).await? {
            if decided.outcome == APPLIES {
                applied += decided.count;
                differing += if decided.flag { decided.count } else { 0 };
            } else {
                kept += decided.count;
            }
        }
        if applied > 0 {
            self.session.execute(&self.statements.delete(step)).await?;
        }
        if self.buries()
            && let Some(sql) = self.statements.bury(step)
        {
            self.session.execute(&sql).await?;
        }
        let lost = match self.strategy() {
            Strategy::NewestWins | Strategy::Merge => ConflictType::DeleteExists,
            _ => ConflictType::DeleteOriginDiffers,
        };
        let missing = staged.deletes - applied - kept;
        self.conflict(ConflictType::DeleteOriginDiffers, Winner::Source, differing);
        self.conflict(lost, Winner::Target, kept);
        self.conflict(ConflictType::DeleteMissing, Winner::Source, missing);
        self.outcome.kept += kept;
        self.outcome.written += staged.deletes - kept;
        Ok(())
    }

    async fn upsert(
        &mut self,
        mut staged: Staged,
        places: &[(usize, usize)],
    ) -> Result<(), Failure> {
        if self.buries() && (staged.full != [0; 2] || !staged.partial.is_empty()) {
            self.drop_outdated(&mut staged).await?;
        }
        let step = staged.step;
        let whole = vec![true; self.statements.prepared.columns.len()];
        let mut patterns = vec![(whole, staged.full)];
        patterns.append(&mut staged.partial);
        for (pattern, (set, counts)) in patterns.iter().enumerate() {
            if *counts != [0; 2] {
                let sql = self.statements.decide(step, set, pattern as i32);
                self.session.execute(&sql).await?;
            }
        }
        let mut missing: Vec<[u64; 2]> = patterns.iter().map(|(_, counts)| *counts).collect();
        let mut applied = vec![0; patterns.len()];
        for decided in self.decided(step, UPSERTS).await? {
            let (operation, pattern) = (decided.operation, decided.pattern as usize);
            missing[pattern][operation] -= decided.count;
            let (kind, count) = (CONFLICTS[operation], decided.count);
            match decided.outcome {
                APPLIES => {
                    applied[pattern] += count;
                    // A newer version is none, where the version says it.
                    if self.options.conflict.detect != Some(Detect::Version) {
                        self.conflict(kind, Winner::Source, count);
                    }
                }
                REVIVES => {
                    applied[pattern] += count;
                    if decided.operation == UPDATE as usize {
                        self.conflict(ConflictType::UpdateMissing, Winner::Source, count);
                    }
                }
                LOST => {
                    self.outcome.kept += count;
                    self.conflict(kind, Winner::Target, count);
                }
                _ => self.outcome.written += count,
            }
        }
        self.refuse_incomplete(step, &missing, places).await?;
        for (pattern, (set, _)) in patterns.iter().enumerate() {
            self.outcome.written += applied[pattern];
            if applied[pattern] > 0
                && let Some(sql) = self.statements.update(step, set, pattern as i32)
            {
                self.session.execute(&sql).await?;
            }
        }
        let [inserts, updates] = [INSERT, UPDATE].map(|operation| missing[0][operation as usize]);
        if inserts + updates > 0 {
            let sql = self.statements.insert(step);
            insert(self.session, self.statements.prepared, &sql).await?;
        }
        self.outcome.written += inserts + updates;
        self.conflict(ConflictType::UpdateMissing, Winner::Source, updates);
        Ok(())
    }

    /// Partial rows that the target does not have cannot be made up (R14).
    async fn refuse_incomplete(
        &mut self,
        step: u32,
        missing: &[[u64; 2]],
        places: &[(usize, usize)],
    ) -> Result<(), Failure> {
        let mut rejected = Vec::new();
        for (pattern, counts) in missing.iter().enumerate().skip(1) {
            if *counts == [0; 2] {
                continue;
            }
            let sql = self.statements.incomplete(step, pattern as i32);
            for row in self.session.rows(&sql).await? {
                let (batch, row) = places[integer(&row, 0)? as usize];
                rejected.push(rejection(
                    batch,
                    row,
                    "R14 incomplete".to_owned(),
                    None,
                    "the update leaves out unchanged values, and the target has no such row"
                        .to_owned(),
                ));
            }
        }
        if rejected.is_empty() {
            return Ok(());
        }
        rejected.sort_by_key(|change| (change.batch, change.row));
        Err(Failure::Error(Error::Rejected(rejected)))
    }

    /// Upserts that are not ahead of the delete of their key are kept out (R12).
    async fn drop_outdated(&mut self, staged: &mut Staged) -> Result<(), Failure> {
        let step = staged.step;
        let (Some(count), Some(take_out)) = (
            self.statements.outdated(step),
            self.statements.drop_outdated(step),
        ) else {
            return Ok(());
        };
        let outdated = self.session.rows(&count).await?;
        for row in &outdated {
            let (operation, count) = (integer(row, 0)? as usize, integer(row, 2)? as u64);
            match integer(row, 1)? {
                0 => staged.full[operation] -= count,
                pattern => staged.partial[pattern as usize - 1].1[operation] -= count,
            }
            self.outcome.kept += count;
            self.conflict(ConflictType::UpdateMissing, Winner::Target, count);
        }
        if !outdated.is_empty() {
            self.session.execute(&take_out).await?;
        }
        self.session.execute(&self.statements.exhume(step)).await
    }

    async fn decided(&mut self, step: u32, side: u8) -> Result<Vec<Decided>, Failure> {
        let rows = self
            .session
            .rows(&self.statements.decided(step, side))
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Decided {
                    operation: integer(row, 0)? as usize,
                    pattern: integer(row, 1)? as i32,
                    outcome: integer(row, 2)?,
                    flag: integer(row, 3)? != 0,
                    count: integer(row, 4)? as u64,
                })
            })
            .collect()
    }
}

/// Inserts what is missing. Where a row of the key is there all the same, another session inserted it
/// since we looked.
pub(super) async fn insert(
    session: &mut Session,
    prepared: &Prepared,
    sql: &str,
) -> Result<(), Failure> {
    match session.execute(sql).await {
        Err(Failure::Data(refused)) if refused.duplicate.as_ref() == Some(&prepared.key_index) => {
            Err(Failure::Raced(Error::Unavailable {
                message: format!(
                    "another session inserts the same rows into table {:?}: try again",
                    prepared.name
                ),
                cause: None,
            }))
        }
        other => other,
    }
}

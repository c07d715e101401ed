//! What MySQL does with a load: rows are staged, the rows that they meet are locked and decided about,
//! and one statement each deletes, updates and inserts.

mod locked;
mod tables;

use std::sync::Arc;

use self::locked::{held, tombstones};
use super::failure::Failure;
use super::one_by_one::{Tried, refused};
use super::prepare::Prepared;
use super::session::{Session, integer};
use super::stage::{DELETES, StagedRound, StatementRun, UPSERTS, stage, stage_decided, stage_keys};
use super::statement::{APPLIES, LOST, REVIVES, Statements};
use crate::change::Changes;
use crate::error::Error;
use crate::sql::DeleteMode;
use crate::sql::bulk::{Bulk, Counts, Fates, Load, Locked, Staged, TableWrite};
use crate::sql::decide::Resolved;
use crate::sql::failure::{Refused, RefusedRow};
use crate::sql::patterns::Partial;

/// A load in the staging table.
pub(super) enum StagedLoad {
    Round(StagedRound),
    Decided {
        resolved: Arc<Resolved>,
        step: u32,
        stretches: Vec<StatementRun>,
    },
}

impl Staged for StagedLoad {
    fn has_deletes(&self) -> bool {
        match self {
            Self::Round(round) => round.patterns.deletes > 0,
            Self::Decided { resolved, .. } => !resolved.deletes.rows.is_empty(),
        }
    }
}

impl<'a> Statements<'a> {
    fn of(write: &TableWrite<'a, Prepared>) -> Self {
        Self {
            prepared: write.table,
            policy: &write.options.conflict,
            identity: write.identity,
        }
    }
}

impl Bulk for Session {
    type Staged = StagedLoad;

    const CHECK_DEFERRED: Option<&'static str> = None;

    async fn lock(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        keys: &Changes,
    ) -> Result<Locked, Failure> {
        let statements = Statements::of(write);
        let step = stage_keys(self, write.table, keys).await?;
        let held = held(self, &statements, step, keys.len()).await?;
        let tombstones = match write.keeps_tombstones() {
            true => tombstones(self, &statements, step, keys.len()).await?,
            false => None,
        };
        Ok(Locked { held, tombstones })
    }

    async fn stage(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        load: &Load,
    ) -> Result<StagedLoad, Failure> {
        Ok(match load {
            Load::Round { round, places } => {
                StagedLoad::Round(stage(self, write.table, round, places).await?)
            }
            Load::Decided { resolved, places } => {
                let (step, stretches) = stage_decided(self, write.table, resolved, places).await?;
                StagedLoad::Decided {
                    resolved: resolved.clone(),
                    step,
                    stretches,
                }
            }
        })
    }

    async fn delete(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: &mut StagedLoad,
    ) -> Result<Fates, Failure> {
        let statements = Statements::of(write);
        let mut fates = Fates::default();
        match staged {
            StagedLoad::Round(round) => {
                fates.deletes = delete(self, write, &statements, round).await?;
            }
            StagedLoad::Decided { .. } if write.options.delete == DeleteMode::Soft => {}
            StagedLoad::Decided { step, .. } => {
                self.execute(&statements.resolved_deletes(*step)).await?;
            }
        }
        Ok(fates)
    }

    async fn refused_values(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: &mut StagedLoad,
    ) -> Result<Vec<RefusedRow>, Failure> {
        let StagedLoad::Round(round) = staged else {
            return Ok(Vec::new());
        };
        let statements = Statements::of(write);
        if write.keeps_tombstones() && round.patterns.has_upserts() {
            // What is outdated is not written, and so not refused.
            let mut counts = [Counts::default(); 2];
            drop_outdated(self, &statements, round, &mut counts).await?;
        }
        let whole = vec![true; write.table.columns.len()];
        let mut patterns = vec![Tried {
            set: &whole,
            updates: true,
            inserts: true,
        }];
        patterns.extend(round.patterns.partial.iter().map(|partial| Tried {
            set: &partial.set,
            updates: true,
            inserts: !partial.incomplete,
        }));
        for (number, pattern) in patterns.iter().enumerate() {
            let sql = statements.decide(round.step, pattern.set, number as i32);
            self.execute(&sql).await?;
        }
        refused(self, &statements, round, &patterns).await
    }

    async fn upsert(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: StagedLoad,
    ) -> Result<Fates, Failure> {
        let statements = Statements::of(write);
        match staged {
            StagedLoad::Round(round) => upsert(self, write, &statements, round).await,
            StagedLoad::Decided {
                resolved,
                step,
                stretches,
            } => {
                for stretch in &stretches {
                    let Some(sql) = statements.resolved(step, stretch) else {
                        continue;
                    };
                    if stretch.inserts {
                        insert(self, write.table, &sql).await?;
                    } else {
                        self.execute(&sql).await?;
                    }
                }
                if write.keeps_tombstones() {
                    keep_tombstones(self, &statements, step, &resolved).await?;
                }
                Ok(Fates::default())
            }
        }
    }
}

/// How many rows of one operation and pattern were decided how.
struct Decided {
    operation: usize,
    pattern: usize,
    outcome: i64,
    flag: bool,
    count: u64,
}

/// Decides about the rows that the staged ones meet, with these statements.
async fn decide(
    session: &mut Session,
    statements: &Statements<'_>,
    (step, side): (u32, u8),
    decisions: Vec<String>,
) -> Result<Vec<Decided>, Failure> {
    let mut met = 0;
    for sql in decisions {
        met += session.execute_counted(sql).await?;
    }
    if met == 0 {
        return Ok(Vec::new());
    }
    let rows = session.rows(&statements.decided(step, side)).await?;
    rows.iter()
        .map(|row| {
            Ok(Decided {
                operation: integer(row, 0)? as usize,
                pattern: integer(row, 1)? as usize,
                outcome: integer(row, 2)?,
                flag: integer(row, 3)? != 0,
                count: integer(row, 4)? as u64,
            })
        })
        .collect()
}

async fn delete(
    session: &mut Session,
    write: &TableWrite<'_, Prepared>,
    statements: &Statements<'_>,
    staged: &StagedRound,
) -> Result<Counts, Failure> {
    let step = staged.step;
    let whole = vec![true; write.table.columns.len()];
    let sets = std::iter::once(&whole).chain(&staged.patterns.delete_sets);
    let sets = sets.enumerate();
    let decisions = sets.map(|(pattern, set)| statements.decide_deletes(step, set, pattern as i32));
    let mut counts = Counts::default();
    let decisions = decisions.collect();
    for decided in decide(session, statements, (step, DELETES), decisions).await? {
        match decided.outcome {
            APPLIES if decided.flag => counts.replaced += decided.count,
            APPLIES => counts.same += decided.count,
            _ => counts.lost += decided.count,
        }
    }
    if counts.same + counts.replaced > 0 {
        session.execute(&statements.delete(step)).await?;
    }
    if write.keeps_tombstones()
        && let Some(sql) = statements.record_tombstones(step)
    {
        session.execute(&sql).await?;
    }
    counts.missing = staged.patterns.deletes - counts.same - counts.replaced - counts.lost;
    Ok(counts)
}

async fn upsert(
    session: &mut Session,
    write: &TableWrite<'_, Prepared>,
    statements: &Statements<'_>,
    mut staged: StagedRound,
) -> Result<Fates, Failure> {
    let step = staged.step;
    // Of inserts, then of updates.
    let mut counts = [Counts::default(); 2];
    if write.keeps_tombstones() && staged.patterns.has_upserts() {
        drop_outdated(session, statements, &mut staged, &mut counts).await?;
    }
    let mut patterns = vec![Partial {
        set: vec![true; write.table.columns.len()],
        incomplete: false,
        counts: staged.patterns.full,
    }];
    patterns.append(&mut staged.patterns.partial);
    let staged_patterns = patterns.iter().enumerate();
    let decisions = staged_patterns
        .filter(|(_, pattern)| pattern.counts != [0; 2])
        .map(|(number, pattern)| statements.decide(step, &pattern.set, number as i32))
        .collect();
    let mut missing: Vec<[u64; 2]> = patterns.iter().map(|pattern| pattern.counts).collect();
    let mut applied = vec![0; patterns.len()];
    for decided in decide(session, statements, (step, UPSERTS), decisions).await? {
        missing[decided.pattern][decided.operation] -= decided.count;
        let counts = &mut counts[decided.operation];
        match decided.outcome {
            APPLIES => counts.replaced += decided.count,
            REVIVES => counts.revived += decided.count,
            LOST => counts.lost += decided.count,
            _ => counts.same += decided.count,
        }
        if matches!(decided.outcome, APPLIES | REVIVES) {
            applied[decided.pattern] += decided.count;
        }
    }
    let mut fates = Fates::default();
    for (number, pattern) in patterns.iter().enumerate() {
        // Rows with unavailable values that the target does not have cannot be made up (R14).
        if pattern.incomplete && missing[number] != [0; 2] {
            let sql = statements.incomplete(step, number as i32);
            for row in session.rows(&sql).await? {
                let place = staged.places[integer(&row, 0)? as usize];
                fates.refused.push((place, Refused::incomplete()));
            }
            missing[number] = [0; 2];
        }
    }
    for (number, pattern) in patterns.iter().enumerate() {
        if applied[number] > 0
            && let Some(sql) = statements.update(step, &pattern.set, number as i32)
        {
            session.execute(&sql).await?;
        }
    }
    for (number, pattern) in patterns.iter().enumerate() {
        if missing[number] != [0; 2] {
            let sql = statements.insert(step, &pattern.set, number as i32);
            insert(session, write.table, &sql).await?;
        }
        for (counts, missing) in counts.iter_mut().zip(missing[number]) {
            counts.missing += missing;
        }
    }
    [fates.inserts, fates.updates] = counts;
    Ok(fates)
}

/// Upserts that are not ahead of the delete of their key are kept out (R12).
async fn drop_outdated(
    session: &mut Session,
    statements: &Statements<'_>,
    staged: &mut StagedRound,
    counts: &mut [Counts; 2],
) -> Result<(), Failure> {
    let step = staged.step;
    let (Some(count), Some(take_out)) = (statements.outdated(step), statements.drop_outdated(step))
    else {
        return Ok(());
    };
    let outdated = session.rows(&count).await?;
    for row in &outdated {
        let (operation, pattern) = (integer(row, 0)?, integer(row, 1)?);
        let count = integer(row, 2)? as u64;
        staged
            .patterns
            .take_out((operation as i16, pattern as i32), count);
        counts[operation as usize].outdated += count;
    }
    if !outdated.is_empty() {
        session.execute(&take_out).await?;
    }
    session.execute(&statements.clear_tombstones(step)).await
}

/// Inserts what is missing. Where a row of the key is there all the same, another session inserted it
/// since we looked.
async fn insert(session: &mut Session, prepared: &Prepared, sql: &str) -> Result<(), Failure> {
    match session.execute(sql).await {
        Err(Failure::Data(refused)) if refused.duplicate.as_ref() == Some(&prepared.key_index) => {
            Err(Failure::ConcurrentInsert(Error::Unavailable {
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

/// The versions of what was decided to be deleted, or to be there again.
async fn keep_tombstones(
    session: &mut Session,
    statements: &Statements<'_>,
    step: u32,
    resolved: &Resolved,
) -> Result<(), Failure> {
    let Resolved {
        deletes, upserts, ..
    } = resolved;
    if upserts.recreated.has_true() || deletes.recreated.has_true() {
        session
            .execute(&statements.resolved_clear_tombstones(step))
            .await?;
    }
    if let (true, Some(sql)) = (
        deletes.gone.has_true(),
        statements.resolved_record_tombstones(step),
    ) {
        session.execute(&sql).await?;
    }
    Ok(())
}

//! Steps into tables, inside a transaction that the caller opened (R9).
//!
//! The steps of all tables are taken together: in each, deletes with referencing tables first, then
//! upserts with referenced tables first, so that foreign keys hold.

use std::collections::HashSet;

use crate::change::Changes;
use crate::sink::Outcome;
use crate::sql::Options;
use crate::sql::account::Account;
use crate::sql::bulk::{Bulk, Fates, Load, PreparedTable as _, Staged as _, TableWrite};
use crate::sql::contested::decide_contested;
use crate::sql::failure::{Cause, Failure, Refused, RefusedRow};
use crate::sql::plan::{Step, Work};
use crate::sql::session::SqlSession;

/// Does the work.
///
/// # Errors
/// [`Failure::Rows`] with every row that the target refuses by itself, [`Failure::Data`] where it
/// refuses some together.
pub(crate) async fn apply<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    work: &Work<C::Table>,
) -> Result<Outcome, Failure> {
    let mut refused = Vec::new();
    let done = run(session, options, work, &mut refused).await;
    match done {
        // What came after may have been refused for what was refused before.
        Ok(_) | Err(Failure::Data(_)) if !refused.is_empty() => {
            refused.sort_by_key(|(change, _)| *change);
            refused.dedup_by_key(|(change, _)| *change);
            Err(Failure::Rows(refused))
        }
        done => done,
    }
}

async fn run<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    work: &Work<C::Table>,
    refused: &mut Vec<RefusedRow>,
) -> Result<Outcome, Failure> {
    let mut outcome = work.resolved.clone();
    let count = work.tables.iter().map(Vec::len).max().unwrap_or(0);
    for number in 0..count {
        let mut staged: Vec<Option<C::Staged>> = Vec::new();
        staged.resize_with(work.tables.len(), || None);
        for (table, steps) in work.tables.iter().enumerate().rev() {
            let Some(step) = steps.get(number) else {
                continue;
            };
            let identity = session.identity.clone();
            let write = TableWrite {
                table: step.prepared(),
                options,
                identity: &identity,
                has_tombstones: session.conflict_log.has_tombstones,
            };
            let load = match step {
                Step::Truncate(prepared) => {
                    truncate(session, &**prepared).await?;
                    continue;
                }
                Step::Contested { changes, .. } => {
                    let (decided, load) = decide_contested(session, &write, changes).await?;
                    outcome += &decided;
                    load
                }
                Step::Rows { load, .. } => load.clone(),
            };
            let mut rows = session.connection.stage(&write, &load).await?;
            if rows.has_deletes() {
                let fates = session.connection.delete(&write, &mut rows).await?;
                refused.extend(refused_rows(&load, &fates));
                enter(session, &write, fates, deletes(&load), &mut outcome).await?;
            }
            staged[table] = Some(rows);
        }
        for (table, steps) in work.tables.iter().enumerate() {
            let (Some(step), Some(rows)) = (steps.get(number), staged[table].take()) else {
                continue;
            };
            let identity = session.identity.clone();
            let write = TableWrite {
                table: step.prepared(),
                options,
                identity: &identity,
                has_tombstones: session.conflict_log.has_tombstones,
            };
            let fates = session.connection.upsert(&write, rows).await?;
            match step {
                Step::Rows { load, .. } => {
                    refused.extend(refused_rows(load, &fates));
                    enter(session, &write, fates, upserts(load), &mut outcome).await?;
                }
                // Several changes of its key may be behind a row that was decided.
                _ => refused.extend(fates.refused.into_iter().map(together)),
            }
        }
    }
    Ok(outcome)
}

/// Empties a target. Source and target agree on nothing then.
async fn truncate<C: Bulk>(session: &mut SqlSession<C>, table: &C::Table) -> Result<(), Failure> {
    session.connection.execute(&table.truncate()).await?;
    let clear: Vec<String> = session
        .conflict_log
        .clear(table.layout().name)
        .into_iter()
        .collect();
    session.execute_all(&clear).await
}

/// Puts what became of `changes` into the outcome and the conflict log.
async fn enter<C: Bulk>(
    session: &mut SqlSession<C>,
    write: &TableWrite<'_, C::Table>,
    fates: Fates,
    changes: &Changes,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let account = Account::of(write.options, &fates);
    *outcome += &account.outcome;
    let name = write.table.layout().name;
    let entries = session.conflict_log.count(name, changes, &account.tally);
    session.execute_all(&entries).await
}

/// The rows of a load that were refused. A row into which several changes were folded is no change by
/// itself: which of them is refused is found by trying them apart.
fn refused_rows(load: &Load, fates: &Fates) -> Vec<RefusedRow> {
    if fates.refused.is_empty() {
        return Vec::new();
    }
    let merged = merged_changes(load);
    let rows = fates.refused.iter().cloned();
    rows.map(|row| match merged.contains(&row.0) {
        true => together(row),
        false => row,
    })
    .collect()
}

/// The rows of a load that may stand for several changes, by the batch and row of each.
pub(crate) fn merged_changes(load: &Load) -> HashSet<(usize, usize)> {
    match load {
        Load::Round { round, places } => {
            let merged = round.merged.iter().map(|&upsert| places[upsert as usize]);
            merged.collect()
        }
        Load::Decided { places, .. } => places.iter().copied().collect(),
    }
}

/// A refusal that the row's own values do not explain.
fn together((change, refused): RefusedRow) -> RefusedRow {
    let cause = match refused.cause {
        Cause::Values => Cause::Other,
        other => other,
    };
    (change, Refused { cause, ..refused })
}

fn upserts(load: &Load) -> &Changes {
    match load {
        Load::Round { round, .. } => &round.upserts,
        Load::Decided { resolved, .. } => &resolved.upserts.changes,
    }
}

fn deletes(load: &Load) -> &Changes {
    match load {
        Load::Round { round, .. } => &round.deletes,
        Load::Decided { resolved, .. } => &resolved.deletes.changes,
    }
}

//! Steps into tables, inside a transaction that the caller opened (R9).
//!
//! The steps of all tables are taken together: in each, deletes with referencing tables first, then
//! upserts with referenced tables first, so that foreign keys hold.

use crate::change::Changes;
use crate::error::{Error, RejectedChange};
use crate::sink::Outcome;
use crate::sql::Options;
use crate::sql::account::Account;
use crate::sql::bulk::{Bulk, Fates, Load, PreparedTable as _, Staged as _, TableWrite};
use crate::sql::contested::decide_contested;
use crate::sql::failure::Failure;
use crate::sql::plan::{Step, Work};
use crate::sql::session::SqlSession;

/// Does the work.
///
/// # Errors
/// `Rejected` with every change that the target refuses by itself; [`Failure`] where the database
/// refuses some together.
pub(crate) async fn apply<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    work: &Work<C::Table>,
) -> Result<Outcome, Failure> {
    let mut rejected = Vec::new();
    let done = run(session, options, work, &mut rejected).await;
    match done {
        // What came after may have been refused for what was refused before.
        Ok(_) | Err(Failure::Data(_)) if !rejected.is_empty() => {
            rejected.sort_by_key(|change| (change.batch, change.row));
            rejected.dedup_by_key(|change| (change.batch, change.row));
            Err(Failure::Error(Error::Rejected(rejected)))
        }
        done => done,
    }
}

async fn run<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    work: &Work<C::Table>,
    rejected: &mut Vec<RejectedChange>,
) -> Result<Outcome, Failure> {
    let mut outcome = work.settled.clone();
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
                has_tombstones: session.books.has_tombstones,
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
                enter(
                    session,
                    &write,
                    fates,
                    deletes(&load),
                    &mut outcome,
                    rejected,
                )
                .await?;
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
                has_tombstones: session.books.has_tombstones,
            };
            let fates = session.connection.upsert(&write, rows).await?;
            if let Step::Rows { load, .. } = step {
                enter(
                    session,
                    &write,
                    fates,
                    upserts(load),
                    &mut outcome,
                    rejected,
                )
                .await?;
            } else {
                refuse(fates, rejected);
            }
        }
    }
    Ok(outcome)
}

/// Empties a target. Source and target agree on nothing then.
async fn truncate<C: Bulk>(session: &mut SqlSession<C>, table: &C::Table) -> Result<(), Failure> {
    session.connection.execute(&table.truncate()).await?;
    let clear: Vec<String> = session
        .books
        .clear(table.layout().name)
        .into_iter()
        .collect();
    session.execute_all(&clear).await
}

/// Puts what became of `changes` into the outcome and the books.
async fn enter<C: Bulk>(
    session: &mut SqlSession<C>,
    write: &TableWrite<'_, C::Table>,
    fates: Fates,
    changes: &Changes,
    outcome: &mut Outcome,
    rejected: &mut Vec<RejectedChange>,
) -> Result<(), Failure> {
    let account = Account::of(write.options, &fates);
    *outcome += &account.outcome;
    refuse(fates, rejected);
    let name = write.table.layout().name;
    let entries = session.books.count(name, changes, &account.tally);
    session.execute_all(&entries).await
}

fn refuse(fates: Fates, rejected: &mut Vec<RejectedChange>) {
    let refused = fates.refused.into_iter();
    rejected.extend(refused.map(|((batch, row), refused)| refused.of_change(batch, row)));
}

fn upserts(load: &Load) -> &Changes {
    match load {
        Load::Round { round, .. } => &round.upserts,
        Load::Decided { settlement, .. } => &settlement.upserts.changes,
    }
}

fn deletes(load: &Load) -> &Changes {
    match load {
        Load::Round { round, .. } => &round.deletes,
        Load::Decided { settlement, .. } => &settlement.deletes.changes,
    }
}

//! Changes that a resolver decides: rows read under lock, decided, to be written; in the open
//! transaction (C10).
//!
//! Locked rows cannot change until the commit. A row that was absent cannot be locked: where another
//! session inserts it first, the database says so as ours is inserted, and the whole write begins anew.

use std::sync::Arc;

use chrono::Utc;

use crate::change::Changes;
use crate::error::{Error, RejectedChange};
use crate::sink::Outcome;
use crate::sql::bulk::{Bulk, Load, Locked, PreparedTable as _, TableWrite};
use crate::sql::conflict_log::Keys;
use crate::sql::decide::{Groups, LockedRows, Rules, decide};
use crate::sql::failure::Failure;
use crate::sql::plan::ContestedChanges;
use crate::sql::session::SqlSession;

/// Reads and decides; gives what became of the changes, and what is to be written.
///
/// # Errors
/// `Rejected` where a change can never be written.
pub(crate) async fn decide_contested<C: Bulk>(
    session: &mut SqlSession<C>,
    write: &TableWrite<'_, C::Table>,
    contested: &ContestedChanges,
) -> Result<(Outcome, Load), Failure> {
    let layout = write.table.layout();
    let changes = &contested.changes;
    let groups = Groups::of(changes, layout.placed_key, write.options.delete)?;
    let (names, locked) = read_facts(session, write, changes, &groups).await?;
    let now_ms = Utc::now().timestamp_millis();
    let resolver = layout.resolver(&session.resolvers, &write.options.conflict)?;
    let rules = Rules {
        policy: &write.options.conflict,
        delete: write.options.delete,
        resolver: resolver.as_ref(),
        version: layout.version.filter(|_| write.keeps_tombstones()),
        reports_max: session.conflict_log.reports_max(now_ms),
    };
    let mut resolved = decide(rules, changes, &groups, locked)?;
    let change_index = |row: usize| (contested.batch, contested.rows.of(row));
    if !resolved.rejected.is_empty() {
        let rejected = resolved.rejected.into_iter().map(|refused| {
            let (batch, row) = change_index(refused.row);
            RejectedChange {
                batch,
                row,
                rule: refused.rule,
                field: refused.field,
                reason: refused.reason,
            }
        });
        return Err(Failure::Error(Error::Rejected(rejected.collect())));
    }
    contested.restore_spelling(&mut resolved)?;
    let entries = session
        .conflict_log
        .enter(&names, changes, &resolved, now_ms)?;
    session.execute_all(&entries).await?;
    let rows = resolved.upserts.rows.iter();
    let rows = rows.chain(&resolved.deletes.rows);
    let places = rows.map(|&row| change_index(row as usize)).collect();
    let outcome = resolved.outcome.clone();
    let load = Load::Decided {
        resolved: Arc::new(resolved),
        places,
    };
    Ok((outcome, load))
}

/// What the target says about the keys of `groups`, whose rows stay locked until the transaction ends.
/// `changes` have the columns of the prepared table.
pub(crate) async fn read_facts<'a, C: Bulk>(
    session: &mut SqlSession<C>,
    write: &TableWrite<'a, C::Table>,
    changes: &Changes,
    groups: &Groups,
) -> Result<(Keys<'a>, LockedRows), Failure> {
    let layout = write.table.layout();
    let keys = changes
        .take(&groups.firsts())
        .map_err(Error::configuration)?;
    let names = Keys::of(layout.name, &keys, layout.placed_key);
    let open = session
        .query_all(&session.conflict_log.ask_open(&names))
        .await?;
    let Locked { held, tombstones } = session.connection.lock(write, &keys).await?;
    let mut locked = LockedRows {
        held,
        shadow: None,
        tombstones,
        waiting: None,
    };
    let images = session
        .query_all(&session.conflict_log.ask_shadow(&names))
        .await?;
    session
        .conflict_log
        .add_facts(&mut locked, &names, &keys, &open, &images)?;
    Ok((names, locked))
}

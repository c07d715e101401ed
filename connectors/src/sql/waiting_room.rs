//! The waiting room: changes that come before the row that a foreign key of their table needs (R21).
//!
//! A change that the target refuses for a reference alone is kept in a table of the target, in the
//! transaction that moves its position. Later changes of its key wait behind it. Every write, and an empty
//! one from time to time, looks which awaited rows are there now and applies what waited for them, in the
//! order in which it came. A change that waited for too long is handed over to the quarantine, with the row
//! that never came.
//!
//! - duplicate: a replay finds its positions moved, and waits only once.
//! - null: a foreign key that holds a null needs no row.
//! - delete: one that is refused since other rows still refer to it waits like any other change.
//! - truncate: what waits for its table is superseded.

pub(crate) mod foreign_key;
mod join;
mod references;
mod release;
mod sort;
pub(crate) mod state;

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::Utc;

use super::{Options, TruncateMode};
use crate::change::{Changes, Operation};
use crate::conflict::{Json, write_change_and_record, write_key};
use crate::error::{Error, RejectedChange, Result};
use crate::sink::Outcome;
use crate::sql::bulk::{Bulk, PreparedTable as _};
use crate::sql::failure::{Failure, Refused};
use crate::sql::moves::typed;
use crate::sql::normal_keys::with_normal_keys;
use crate::sql::order::Order;
use crate::sql::plan::ChangeSlice;
use crate::sql::session::SqlSession;
use crate::sql::target::{Target, key_columns};
use crate::waiting::{Awaited, WaitingChange};

/// How many keys are looked at in one go, and how many such goes one write makes.
const HEADS_MAX: usize = 2_000;
const GOES_MAX: usize = 5;
/// How many changes expire in one write.
const EXPIRED_MAX: usize = 1_000;
/// How long a change whose awaited row is not known is left alone between two tries, and how many such
/// changes are tried in one go.
const UNKNOWN_PAUSE_MS: i64 = 5_000;
const UNKNOWN_MAX: usize = 50;

/// The rule under which a change that waited in vain is refused.
const RULE: &str = "R21 reference";

/// Changes that were applied in pieces.
pub(crate) struct InPieces {
    /// Of those that were applied, and of those that wait.
    pub(crate) outcome: Outcome,
    /// Those that the target refuses for another reason than a reference.
    pub(crate) rejected: Vec<RejectedChange>,
}

/// Why a change waits.
#[derive(Debug, Clone)]
enum Waits {
    /// For this row, as far as it is known.
    For(Option<Awaited>, Refused),
    /// Behind another change of its key.
    Behind,
}

impl<C: Bulk> SqlSession<C> {
    /// Puts changes whose key has a change that waits behind it, and gives the others. A truncate
    /// supersedes what waits for its table.
    ///
    /// # Errors
    /// As a write; `Rejected` with those that find no room.
    pub(crate) async fn hold_behind(
        &mut self,
        options: &Options,
        slices: Vec<ChangeSlice>,
        outcome: &mut Outcome,
    ) -> Result<Vec<ChangeSlice>, Failure> {
        if self.waiting_room.count.is_none() {
            self.count_waiting().await?;
        }
        if self.waiting_room.is_empty() {
            return Ok(slices);
        }
        let changes_max = self.waiting_room.changes_max;
        let room = changes_max.saturating_sub(self.waiting_room.count.unwrap_or(0));
        let (mut rest, mut behind, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for slice in slices {
            let target = Target::of(&options.table, &slice.changes.table)?.to_string();
            if options.truncate != TruncateMode::Ignore
                && slice.changes.operations.contains(&Operation::Truncate)
            {
                let gone = self.supersede_waiting(&target).await?;
                outcome.superseded += gone;
                outcome.released += gone;
                rest.push(slice);
                continue;
            }
            let keys = self.keys(options, &slice.changes).await?;
            let asked: BTreeSet<&str> = keys.iter().flatten().map(String::as_str).collect();
            let ask = self.conflict_log.metadata.waiting_keys(&target, asked);
            let found = self.query_all(&ask).await?;
            let waiting: HashSet<String> = found
                .into_iter()
                .filter_map(|row| row.into_iter().next().flatten())
                .collect();
            let waits =
                |key: &Option<String>| key.as_ref().is_some_and(|key| waiting.contains(key));
            let (mut left, mut held) = (Vec::new(), Vec::new());
            for (index, key) in keys.iter().enumerate() {
                match waits(key) {
                    true => held.push(index),
                    false => left.push(index),
                }
            }
            for &index in &held {
                if behind.len() as u64 >= room {
                    let row = slice.rows.of(index);
                    rejected.push(full(changes_max).of_change(slice.batch, row));
                    continue;
                }
                let key = keys[index].as_deref().unwrap_or_default();
                behind.push(self.entry(&slice.changes, index, &target, key, &Waits::Behind)?);
            }
            if held.is_empty() {
                rest.push(slice);
            } else if !left.is_empty() {
                rest.push(slice.take(&left)?);
            }
        }
        if !rejected.is_empty() {
            return Err(Failure::Error(Error::Rejected(rejected)));
        }
        self.enter_waiting(&behind).await?;
        outcome.waiting += behind.len() as u64;
        Ok(rest)
    }

    async fn supersede_waiting(&mut self, target: &str) -> Result<u64, Failure> {
        let ask = self.conflict_log.metadata.waiting_of_table(target);
        let rows = self.connection.query(&ask).await?;
        let ids = rows
            .into_iter()
            .filter_map(|row| row.into_iter().next().flatten());
        let ids: Vec<i64> = ids.filter_map(|id| id.parse().ok()).collect();
        self.forget_waiting(&ids).await
    }

    /// Applies changes in pieces, in the order of the source; what is refused for a reference waits.
    ///
    /// # Errors
    /// As [`bisect`].
    pub(crate) async fn apply_in_pieces(
        &mut self,
        options: &Options,
        slices: &[ChangeSlice],
    ) -> Result<InPieces, Failure> {
        // Whoever runs the pipeline for months adds and drops foreign keys meanwhile.
        self.waiting_room.references.clear();
        let order = Order::of(slices);
        let mut keys: Vec<Vec<Option<String>>> = Vec::new();
        if self.waiting_room.is_on() {
            for slice in slices {
                keys.push(self.keys(options, &slice.changes).await?);
            }
        }
        let sorted = self.sort_out(options, &order, &keys).await?;
        let of_change = |(number, refused): (usize, Refused)| {
            let (batch, row) = order.change_index(number);
            refused.of_change(batch, row)
        };
        let mut outcome = sorted.outcome;
        let mut rejected: Vec<RejectedChange> =
            sorted.culprits.into_iter().map(of_change).collect();
        let waiting = self.waiting_room.count.unwrap_or(0);
        let room = self.waiting_room.changes_max.saturating_sub(waiting);
        let truncates = truncates(options, &order)?;
        let mut entries = Vec::new();
        for (number, waits) in &sorted.waiting {
            let (slice, index) = order.slice(*number);
            let target = Target::of(&options.table, &slice.changes.table)?.to_string();
            if truncates.get(&target).is_some_and(|last| last > number) {
                outcome.superseded += 1;
                continue;
            }
            if entries.len() as u64 >= room {
                let (batch, row) = order.change_index(*number);
                rejected.push(full(self.waiting_room.changes_max).of_change(batch, row));
                continue;
            }
            let key = keys[order.slice_number(*number)][index].as_deref();
            let key = key.unwrap_or_default();
            entries.push(self.entry(&slice.changes, index, &target, key, waits)?);
        }
        if rejected.is_empty() {
            self.enter_waiting(&entries).await?;
            outcome.waiting += entries.len() as u64;
        }
        Ok(InPieces { outcome, rejected })
    }

    /// The key of every change as the target compares it; `None` for a truncate and where there is none.
    async fn keys(
        &mut self,
        options: &Options,
        changes: &Changes,
    ) -> Result<Vec<Option<String>>, Failure> {
        let target = Target::of(&options.table, &changes.table)?;
        let Some(typed) = typed(self, options, &target, changes).await? else {
            return Ok(vec![None; changes.len()]);
        };
        let key = key_columns(options, &typed)?;
        let rowless = (0..typed.len()).all(|row| typed.operations[row] == Operation::Truncate);
        let normal = match rowless {
            true => typed,
            false => {
                let table = self.prepare(options, &target, &typed, &key).await?;
                let key = table.layout().indices.clone();
                debug_assert!(key.len() <= typed.rows.num_columns());
                let (normal, _) =
                    with_normal_keys(&mut self.connection, options, &table, typed).await?;
                normal
            }
        };
        let text = |row: usize| {
            let is_row = normal.operations[row] != Operation::Truncate;
            let has_key = key.iter().all(|&column| !normal.is_unset(column, row));
            (is_row && has_key).then(|| write_key(&normal.rows, &key, row))
        };
        Ok((0..normal.len()).map(text).collect())
    }

    fn entry(
        &self,
        changes: &Changes,
        row: usize,
        target: &str,
        key: &str,
        waits: &Waits,
    ) -> Result<WaitingChange> {
        let (awaits, rule, field, reason) = match waits {
            Waits::Behind => (Some(String::new()), String::new(), None, String::new()),
            Waits::For(awaited, refused) => (
                awaited.as_ref().map(Awaited::text),
                refused.rule.clone(),
                refused.field.clone(),
                refused.reason.clone(),
            ),
        };
        Ok(WaitingChange {
            id: 0,
            source: self.identity.source.clone(),
            target: target.to_owned(),
            key: Json(key.to_owned()),
            awaits,
            rule,
            field,
            reason,
            since_ms: Utc::now().timestamp_millis(),
            change: write_change_and_record(changes, row)?,
        })
    }

    async fn enter_waiting(&mut self, entries: &[WaitingChange]) -> Result<(), Failure> {
        let insert = self.conflict_log.metadata.insert_waiting(entries);
        self.execute_all(&insert).await?;
        self.waiting_room.add(entries.len());
        Ok(())
    }
}

/// The last change that empties each table.
fn truncates(options: &Options, order: &Order<'_>) -> Result<HashMap<String, usize>, Error> {
    let mut last = HashMap::new();
    for number in 0..order.len() {
        let (slice, index) = order.slice(number);
        if slice.changes.operations[index] == Operation::Truncate {
            let target = Target::of(&options.table, &slice.changes.table)?;
            last.insert(target.to_string(), number);
        }
    }
    Ok(last)
}

fn full(changes_max: u64) -> Refused {
    Refused::new(
        RULE,
        None,
        &format!(
            "the row that a foreign key needs is not there, and {changes_max} changes wait already (waiting.changes_max)"
        ),
    )
}

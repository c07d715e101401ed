//! The rows of one round, copied into the staging table of their target.
//!
//! Every row carries its number, its operation, its pattern of unset columns (R14) and its event
//! time beside its values, so that each statement afterwards picks its rows without a parameter.

use std::collections::HashMap;

use sqlx::Row;

use super::copy::{Cells, HEADER, TRAILER, Unfit};
use super::failure::{Failure, failure};
use super::instant::EPOCH_US;
use super::prepare::Prepared;
use super::session::Session;
use super::statement::Statements;
use crate::change::{Changes, Operation};
use crate::error::{Error, RejectedChange, Result};
use crate::sql::fold::Round;

/// Bytes that are gathered before they are sent.
const CHUNK_BYTES: usize = 1 << 20;

/// The operation of a staged row.
pub(super) const INSERT: i16 = 0;
pub(super) const UPDATE: i16 = 1;
/// A delete with the full row before.
pub(super) const DELETE: i16 = 2;
/// A delete that knows less than the full row.
pub(super) const BLIND_DELETE: i16 = 3;

/// How many rows were staged, by what will be done with them.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Full rows by operation: inserts and snapshot rows, updates.
    pub(super) full: [u64; 2],
    /// Partial rows: which of [`Prepared::columns`] are set, and how many rows by operation. Their
    /// pattern is the index here plus one.
    pub(super) partial: Vec<(Vec<bool>, [u64; 2])>,
    /// Deletes.
    pub(super) deletes: u64,
}

/// Copies a round. `places` gives for each upsert, then for each delete, its batch and row.
pub(super) async fn stage(
    session: &mut Session,
    prepared: &Prepared,
    round: &Round,
    places: &[(usize, usize)],
) -> Result<Staged, Failure> {
    if !session.filled.insert(prepared.stage_number) {
        session
            .execute(&format!("TRUNCATE {}", prepared.stage))
            .await?;
    }
    let mut staged = Staged::default();
    let upserts = Sheet::of(prepared, &round.upserts)?;
    let deletes = Sheet::of(prepared, &round.deletes)?;
    let upsert_tags = tag_upserts(prepared, &round.upserts, &mut staged);
    let delete_tags = tag_deletes(prepared, &round.deletes, &mut staged);

    let columns: String = prepared
        .columns
        .iter()
        .map(|column| format!(", c{}", column.index))
        .collect();
    let sql = format!(
        "COPY {} (row, op, pattern, event{columns}) FROM STDIN (FORMAT binary)",
        prepared.stage
    );
    let doing = format!("copying rows for table {:?}", prepared.name);
    let fail = |error| failure(&doing, error);
    let mut copy = session.connection.copy_in_raw(&sql).await.map_err(fail)?;
    let mut bytes = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
    bytes.extend_from_slice(HEADER);
    let mut rejected = Vec::new();
    let mut number = 0;
    for (sheet, tags) in [(&upserts, &upsert_tags), (&deletes, &delete_tags)] {
        for (row, tag) in tags.iter().enumerate() {
            let start = bytes.len();
            if let Err((column, unfit)) = sheet.put(row, number, *tag, &mut bytes) {
                bytes.truncate(start);
                let (batch, row) = places[number];
                rejected.push(RejectedChange {
                    batch,
                    row,
                    rule: unfit.rule.to_owned(),
                    field: Some(prepared.schema.field(column).name().clone()),
                    reason: unfit.reason.to_owned(),
                });
            }
            number += 1;
            if bytes.len() >= CHUNK_BYTES {
                copy.send(bytes.as_slice()).await.map_err(fail)?;
                bytes.clear();
            }
        }
    }
    if !rejected.is_empty() {
        copy.abort("rows are refused").await.map_err(fail)?;
        return Err(Failure::Error(Error::Rejected(rejected)));
    }
    bytes.extend_from_slice(TRAILER);
    copy.send(bytes.as_slice()).await.map_err(fail)?;
    copy.finish().await.map_err(fail)?;
    refuse_rounded(session, prepared, places).await?;
    Ok(staged)
}

/// Rejects the staged upserts that the target would round in silence (R3).
async fn refuse_rounded(
    session: &mut Session,
    prepared: &Prepared,
    places: &[(usize, usize)],
) -> Result<(), Failure> {
    let Some(sql) = Statements::rounded(prepared) else {
        return Ok(());
    };
    let rejected = session
        .rows(&sql, false)
        .await?
        .iter()
        .map(|found| {
            let (number, place): (i32, i32) = (found.try_get(0)?, found.try_get(1)?);
            let (batch, row) = places[number as usize];
            let column = &prepared.columns[place as usize];
            Ok(RejectedChange {
                batch,
                row,
                rule: "R3 exactness".to_owned(),
                field: Some(prepared.schema.field(column.index).name().clone()),
                reason: format!(
                    "the target's column is {}, which would round the value",
                    column.sql_type
                ),
            })
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()
        .map_err(|error| failure("reading rounded rows", error))?;
    if rejected.is_empty() {
        return Ok(());
    }
    Err(Failure::Error(Error::Rejected(rejected)))
}

/// Operation and pattern of a row.
type Tag = (i16, i16);

/// The columns of a batch, ready to be written row by row.
struct Sheet<'a> {
    cells: Vec<(usize, Cells)>,
    changes: &'a Changes,
    with_events: bool,
}

impl<'a> Sheet<'a> {
    fn of(prepared: &Prepared, changes: &'a Changes) -> Result<Self> {
        let cells = prepared
            .columns
            .iter()
            .map(|column| Ok((column.index, Cells::of(changes.rows.column(column.index))?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            cells,
            changes,
            with_events: prepared.version.is_some(),
        })
    }

    /// Appends a row, or says which column does not fit.
    fn put(
        &self,
        row: usize,
        number: usize,
        (operation, pattern): Tag,
        out: &mut Vec<u8>,
    ) -> Result<(), (usize, Unfit)> {
        out.extend_from_slice(&(self.cells.len() as i16 + 4).to_be_bytes());
        out.extend_from_slice(&4_i32.to_be_bytes());
        out.extend_from_slice(&(number as i32).to_be_bytes());
        out.extend_from_slice(&2_i32.to_be_bytes());
        out.extend_from_slice(&operation.to_be_bytes());
        out.extend_from_slice(&2_i32.to_be_bytes());
        out.extend_from_slice(&pattern.to_be_bytes());
        match self.event(row) {
            Some(event) => {
                out.extend_from_slice(&8_i32.to_be_bytes());
                out.extend_from_slice(&event.to_be_bytes());
            }
            None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
        for (column, cells) in &self.cells {
            cells.put(row, out).map_err(|unfit| (*column, unfit))?;
        }
        Ok(())
    }

    /// Microseconds since 2000-01-01, where a version may need it.
    fn event(&self, row: usize) -> Option<i64> {
        let event_ms = self.changes.event_times_ms[row].filter(|_| self.with_events)?;
        event_ms.checked_mul(1_000)?.checked_sub(EPOCH_US)
    }
}

fn tag_upserts(prepared: &Prepared, changes: &Changes, staged: &mut Staged) -> Vec<Tag> {
    let partial = prepared
        .columns
        .iter()
        .any(|column| changes.unset[column.index].is_some());
    let mut patterns: HashMap<Vec<bool>, i16> = HashMap::new();
    (0..changes.len())
        .map(|row| {
            let operation = match changes.operations[row] {
                Operation::Update => UPDATE,
                _ => INSERT,
            };
            let set = |row| -> Vec<bool> {
                prepared
                    .columns
                    .iter()
                    .map(|column| !changes.is_unset(column.index, row))
                    .collect()
            };
            let set = if partial { set(row) } else { Vec::new() };
            if set.iter().all(|&set| set) {
                staged.full[operation as usize] += 1;
                return (operation, 0);
            }
            let pattern = *patterns.entry(set).or_insert_with_key(|set| {
                staged.partial.push((set.clone(), [0; 2]));
                staged.partial.len() as i16
            });
            staged.partial[pattern as usize - 1].1[operation as usize] += 1;
            (operation, pattern)
        })
        .collect()
}

fn tag_deletes(prepared: &Prepared, changes: &Changes, staged: &mut Staged) -> Vec<Tag> {
    staged.deletes += changes.len() as u64;
    (0..changes.len())
        .map(|row| {
            let blind = prepared
                .columns
                .iter()
                .any(|column| changes.is_unset(column.index, row));
            (if blind { BLIND_DELETE } else { DELETE }, 0)
        })
        .collect()
}

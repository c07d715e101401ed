//! The rows of one round, copied into the staging table of their target.
//!
//! Every row carries its number, its operation, its pattern of unset columns (R14) and its event
//! time beside its values, so that each statement afterwards picks its rows without a parameter.

use std::sync::Arc;

use sqlx::Row;

use super::copy::{Cells, HEADER, TRAILER};
use super::failure::{Failure, failure};
use super::instant::EPOCH_US;
use super::instant::Unfit;
use super::prepare::{Column, Prepared};
use super::session::Session;
use super::statement::Statements;
use crate::change::{Changes, Operation};
use crate::error::{Error, RejectedChange, Result};
use crate::sql::decide::Resolved;
use crate::sql::fold::Round;
use crate::sql::patterns::{
    BLIND_DELETE, DELETE, INSERT, Patterns, Tag, UPDATE, insert_sets, set_columns,
};

/// Bytes that are gathered before they are sent.
const CHUNK_BYTES: usize = 1 << 20;

/// A round that was staged.
pub(super) struct StagedRound {
    pub(super) patterns: Patterns,
    /// The batch and row of each upsert, then of each delete.
    pub(super) places: Arc<[(usize, usize)]>,
    /// Whether nothing of this transaction was written to the table before, but deletes.
    pub(super) first: bool,
}

/// Copies a round. `places` gives for each upsert, then for each delete, its batch and row.
pub(super) async fn stage(
    session: &mut Session,
    prepared: &Prepared,
    round: &Round,
    places: &Arc<[(usize, usize)]>,
) -> Result<StagedRound, Failure> {
    let first = empty(session, prepared).await?;
    let upserts = RowEncoder::of(prepared, &round.upserts)?;
    let deletes = RowEncoder::of(prepared, &round.deletes)?;
    let mut patterns = Patterns::default();
    let columns: Vec<usize> = prepared.columns.iter().map(|column| column.index).collect();
    let beside_key = prepared.columns.iter().filter(|column| !column.key);
    let beside_key: Vec<usize> = beside_key.map(|column| column.index).collect();
    let upsert_tags = patterns.tag_upserts(&columns, &round.upserts);
    let delete_tags = patterns.tag_deletes(&columns, &beside_key, &round.deletes);
    let sheets = [(&upserts, &upsert_tags[..]), (&deletes, &delete_tags[..])];
    copy(session, prepared, &sheets, &|_, _| None, places).await?;
    Ok(StagedRound {
        patterns,
        places: places.clone(),
        first,
    })
}

/// Makes sure that the staging table holds nothing of this transaction; gives whether it is the first
/// time.
async fn empty(session: &mut Session, prepared: &Prepared) -> Result<bool, Failure> {
    if session.filled.insert(prepared.stage_number) {
        return Ok(true);
    }
    session
        .execute(&format!("TRUNCATE {}", prepared.stage))
        .await?;
    Ok(false)
}

/// Copies what was decided: upserts, then deletes. `places` gives the batch and row of each.
pub(super) async fn stage_decided(
    session: &mut Session,
    prepared: &Prepared,
    resolved: &Resolved,
    places: &[(usize, usize)],
) -> Result<(), Failure> {
    empty(session, prepared).await?;
    let Resolved {
        deletes, upserts, ..
    } = resolved;
    let width = prepared.columns.len();
    let insert_sets = insert_sets(&upserts.changes, width);
    let upsert_tags: Vec<Tag> = (0..upserts.changes.len())
        .map(|row| match upserts.changes.operations[row] {
            Operation::Update => (UPDATE, 0),
            _ => {
                let set = set_columns(&upserts.changes, 0..width, row);
                let pattern = insert_sets.iter().position(|known| *known == set);
                (INSERT, pattern.unwrap_or_default() as i32)
            }
        })
        .collect();
    let beside_key: Vec<usize> = (0..width)
        .filter(|place| !prepared.placed_key.contains(place))
        .collect();
    let blind = deletes.changes.blind(&beside_key);
    let delete_tags: Vec<Tag> = (0..deletes.changes.len())
        .map(|row| {
            let blind = blind.as_ref().is_some_and(|blind| blind.value(row));
            (if blind { BLIND_DELETE } else { DELETE }, 0)
        })
        .collect();
    // A bit for every column whose value stays, one for the mark, one for tombstones that go.
    let kept = |encoder: usize, row: usize| {
        let mut bits = vec![0_u8; (width + 2).div_ceil(8)];
        let mut set = |place: usize| bits[place / 8] |= 1 << (place % 8);
        let net = if encoder == 0 { upserts } else { deletes };
        if encoder == 0 {
            let stays = (0..width).filter(|&place| upserts.changes.is_unset(place, row));
            stays.for_each(&mut set);
        }
        if net.marked.as_ref().is_some_and(|marked| marked.value(row)) {
            set(width);
        }
        if net.recreated.value(row) {
            set(width + 1);
        }
        Some(bits)
    };
    let upsert_sheet = RowEncoder::of_placed(prepared, &upserts.changes)?;
    let delete_sheet = RowEncoder::of_placed(prepared, &deletes.changes)?;
    let sheets = [
        (&upsert_sheet, &upsert_tags[..]),
        (&delete_sheet, &delete_tags[..]),
    ];
    copy(session, prepared, &sheets, &kept, places).await
}

/// Copies the keys of `changes`, whose columns are those of [`Prepared::placed`].
pub(super) async fn stage_keys(
    session: &mut Session,
    prepared: &Prepared,
    changes: &Changes,
) -> Result<(), Failure> {
    if !session.probed.insert(prepared.stage_number) {
        session
            .execute(&format!("TRUNCATE {}", prepared.probe))
            .await?;
    }
    let keys: Vec<(usize, &Column)> = prepared
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.key)
        .collect();
    let cells: Vec<Cells> = keys
        .iter()
        .map(|&(place, _)| Cells::of(changes.rows.column(place)))
        .collect::<Result<_>>()?;
    let names: String = keys
        .iter()
        .map(|(_, column)| format!(", c{}", column.index))
        .collect();
    let sql = format!(
        "COPY {} (row{names}) FROM STDIN (FORMAT binary)",
        prepared.probe
    );
    let doing = format!("copying keys for table {:?}", prepared.name);
    let fail = |error| failure(&doing, error);
    let mut bytes = HEADER.to_vec();
    for row in 0..changes.len() {
        let start = bytes.len();
        bytes.extend_from_slice(&(cells.len() as i16 + 1).to_be_bytes());
        bytes.extend_from_slice(&4_i32.to_be_bytes());
        bytes.extend_from_slice(&(row as i32).to_be_bytes());
        if cells
            .iter()
            .try_for_each(|cells| cells.put(row, &mut bytes))
            .is_err()
        {
            // A key that PostgreSQL cannot hold is in no table; writing the row says why.
            bytes.truncate(start);
        }
    }
    bytes.extend_from_slice(TRAILER);
    let mut copy = session.connection.copy_in_raw(&sql).await.map_err(fail)?;
    for chunk in bytes.chunks(CHUNK_BYTES) {
        copy.send(chunk).await.map_err(fail)?;
    }
    copy.finish().await.map_err(fail)?;
    Ok(())
}

/// Which columns of a row keep the target's value: by sheet and row.
type Kept<'a> = dyn Fn(usize, usize) -> Option<Vec<u8>> + Sync + 'a;

/// Copies sheets one after the other, and refuses what does not fit or would be changed.
async fn copy(
    session: &mut Session,
    prepared: &Prepared,
    sheets: &[(&RowEncoder<'_>, &[Tag])],
    kept: &Kept<'_>,
    places: &[(usize, usize)],
) -> Result<(), Failure> {
    let columns: String = prepared
        .columns
        .iter()
        .map(|column| format!(", c{}", column.index))
        .collect();
    let sql = format!(
        "COPY {} (row, op, pattern, event, kept{columns}) FROM STDIN (FORMAT binary)",
        prepared.stage
    );
    let doing = format!("copying rows for table {:?}", prepared.name);
    let fail = |error| failure(&doing, error);
    let mut copy = session.connection.copy_in_raw(&sql).await.map_err(fail)?;
    let mut bytes = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
    bytes.extend_from_slice(HEADER);
    let mut rejected = Vec::new();
    let mut number = 0;
    for (index, (encoder, tags)) in sheets.iter().enumerate() {
        for (row, tag) in tags.iter().enumerate() {
            let start = bytes.len();
            let kept = kept(index, row);
            if let Err((column, unfit)) =
                encoder.put(row, number, *tag, kept.as_deref(), &mut bytes)
            {
                bytes.truncate(start);
                let (batch, row) = places[number];
                rejected.push(RejectedChange {
                    batch,
                    row,
                    rule: unfit.rule.to_owned(),
                    field: Some(
                        encoder
                            .changes
                            .rows
                            .schema_ref()
                            .field(column)
                            .name()
                            .clone(),
                    ),
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
    refuse_changed(session, prepared, places).await
}

/// Rejects the staged upserts with a value that the target would change in silence (R23).
async fn refuse_changed(
    session: &mut Session,
    prepared: &Prepared,
    places: &[(usize, usize)],
) -> Result<(), Failure> {
    let Some(sql) = Statements::changed(prepared) else {
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
                    "the target's column is {}, which would round or cut the value",
                    column.kind.declared
                ),
            })
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()
        .map_err(|error| failure("reading rows that would be changed", error))?;
    if rejected.is_empty() {
        return Ok(());
    }
    Err(Failure::Error(Error::Rejected(rejected)))
}

/// The columns of a batch, ready to be written row by row.
struct RowEncoder<'a> {
    /// Of each column its index in the changes.
    cells: Vec<(usize, Cells)>,
    changes: &'a Changes,
    with_events: bool,
}

impl<'a> RowEncoder<'a> {
    fn of(prepared: &Prepared, changes: &'a Changes) -> Result<Self> {
        let indices = prepared.columns.iter().map(|column| column.index);
        Self::of_columns(prepared, changes, indices)
    }

    /// Of changes whose columns are those of [`Prepared::placed`].
    fn of_placed(prepared: &Prepared, changes: &'a Changes) -> Result<Self> {
        Self::of_columns(prepared, changes, 0..prepared.columns.len())
    }

    fn of_columns(
        prepared: &Prepared,
        changes: &'a Changes,
        indices: impl Iterator<Item = usize>,
    ) -> Result<Self> {
        let cells = indices
            .map(|index| Ok((index, Cells::of(changes.rows.column(index))?)))
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
        kept: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), (usize, Unfit)> {
        out.extend_from_slice(&(self.cells.len() as i16 + 5).to_be_bytes());
        out.extend_from_slice(&4_i32.to_be_bytes());
        out.extend_from_slice(&(number as i32).to_be_bytes());
        out.extend_from_slice(&2_i32.to_be_bytes());
        out.extend_from_slice(&operation.to_be_bytes());
        out.extend_from_slice(&2_i32.to_be_bytes());
        out.extend_from_slice(&(pattern as i16).to_be_bytes());
        match self.event(row) {
            Some(event) => {
                out.extend_from_slice(&8_i32.to_be_bytes());
                out.extend_from_slice(&event.to_be_bytes());
            }
            None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
        match kept {
            Some(kept) => {
                out.extend_from_slice(&(kept.len() as i32).to_be_bytes());
                out.extend_from_slice(kept);
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

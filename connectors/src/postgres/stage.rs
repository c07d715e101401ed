//! The rows of one round, copied into the staging table of their target, or bound to each statement where they are
//! few ([`super::bound`]).
//!
//! Every row carries its number, its operation, its pattern of unset columns (R14) and its event
//! time beside its values, so that each statement afterwards picks its rows without a parameter.

mod encoder;

use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgArguments;

use self::encoder::RowEncoder;
pub(super) use self::encoder::put_integer;
use super::bound::{BYTES_MAX, BoundRows, StagedRows};
use super::copy::{HEADER, TRAILER};
use super::failure::{Failure, failure};
use super::instant::Unfit;
use super::prepare::Prepared;
use super::session::Session;
use super::statement::Statements;
use crate::change::Operation;
use crate::error::{Error, RejectedChange, Result};
use crate::sql::decide::Resolved;
use crate::sql::fold::Round;
use crate::sql::patterns::{
    BLIND_DELETE, DELETE, INSERT, Patterns, Tag, UPDATE, insert_sets, set_columns,
};

/// Bytes that are gathered before they are sent.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// A round that was staged.
pub(super) struct StagedRound {
    pub(super) round: Arc<Round>,
    pub(super) rows: StagedRows,
    pub(super) patterns: Patterns,
    /// The batch and row of each upsert, then of each delete.
    pub(super) places: Arc<[(usize, usize)]>,
    /// Whether nothing of this transaction was written to the table before, but deletes.
    pub(super) first: bool,
}

/// Stages a round. `places` gives for each upsert, then for each delete, its batch and row.
pub(super) async fn stage(
    session: &mut Session,
    prepared: &Prepared,
    round: &Arc<Round>,
    places: &Arc<[(usize, usize)]>,
) -> Result<StagedRound, Failure> {
    stage_round(session, prepared, round, places, true).await
}

/// Stages a round in the table, for statements that change what is staged.
pub(super) async fn stage_in_table(
    session: &mut Session,
    prepared: &Prepared,
    staged: &mut StagedRound,
) -> Result<(), Failure> {
    if staged.rows.is_bound() {
        let first = staged.first;
        let (round, places) = (staged.round.clone(), staged.places.clone());
        *staged = stage_round(session, prepared, &round, &places, false).await?;
        staged.first = first;
    }
    Ok(())
}

async fn stage_round(
    session: &mut Session,
    prepared: &Prepared,
    round: &Arc<Round>,
    places: &Arc<[(usize, usize)]>,
    may_bind: bool,
) -> Result<StagedRound, Failure> {
    let first = session.filled.insert(prepared.stage_number);
    let upserts = RowEncoder::of(prepared, &round.upserts)?;
    let deletes = RowEncoder::of(prepared, &round.deletes)?;
    let mut patterns = Patterns::default();
    let columns: Vec<usize> = prepared.columns.iter().map(|column| column.index).collect();
    let beside_key = prepared.columns.iter().filter(|column| !column.key);
    let beside_key: Vec<usize> = beside_key.map(|column| column.index).collect();
    let upsert_tags = patterns.tag_upserts(&columns, &round.upserts);
    let delete_tags = patterns.tag_deletes(&columns, &beside_key, &round.deletes);
    let sheets = Sheets {
        parts: [(&upserts, &upsert_tags[..]), (&deletes, &delete_tags[..])],
        kept: &|_, _| None,
        places,
    };
    let rows = put(session, prepared, &sheets, first, may_bind).await?;
    Ok(StagedRound {
        round: round.clone(),
        rows,
        patterns,
        places: places.clone(),
        first,
    })
}

/// Stages what was decided: upserts, then deletes. `places` gives the batch and row of each.
pub(super) async fn stage_decided(
    session: &mut Session,
    prepared: &Prepared,
    resolved: &Resolved,
    places: &[(usize, usize)],
) -> Result<StagedRows, Failure> {
    let first = session.filled.insert(prepared.stage_number);
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
    let sheets = Sheets {
        parts: [
            (&upsert_sheet, &upsert_tags[..]),
            (&delete_sheet, &delete_tags[..]),
        ],
        kept: &kept,
        places,
    };
    put(session, prepared, &sheets, first, true).await
}

/// Which columns of a row keep the target's value: by sheet and row.
type Kept<'a> = dyn Fn(usize, usize) -> Option<Vec<u8>> + Sync + 'a;

/// Rows that are staged together: upserts, then deletes.
struct Sheets<'a> {
    parts: [(&'a RowEncoder<'a>, &'a [Tag]); 2],
    kept: &'a Kept<'a>,
    /// The batch and row of each.
    places: &'a [(usize, usize)],
}

impl Sheets<'_> {
    fn rejection(
        &self,
        number: usize,
        encoder: &RowEncoder<'_>,
        (column, unfit): (usize, Unfit),
    ) -> RejectedChange {
        let (batch, row) = self.places[number];
        let schema = encoder.changes.rows.schema_ref();
        RejectedChange {
            batch,
            row,
            rule: unfit.rule.to_owned(),
            field: Some(schema.field(column).name().clone()),
            reason: unfit.reason.to_owned(),
        }
    }
}

/// Stages rows, and refuses what does not fit or would be changed.
async fn put(
    session: &mut Session,
    prepared: &Prepared,
    sheets: &Sheets<'_>,
    first: bool,
    may_bind: bool,
) -> Result<StagedRows, Failure> {
    let bound = match may_bind && sheets.places.len() <= session.bound_rows_max {
        true => bind(prepared, sheets)?,
        false => None,
    };
    let staged = match bound {
        Some(arguments) => StagedRows::Bound(arguments),
        None => {
            let create = prepared.create_stage();
            session.empty(&prepared.stage, &create, !first).await?;
            copy(session, prepared, sheets).await?;
            StagedRows::InTable
        }
    };
    refuse_changed(session, prepared, sheets.places, &staged).await?;
    Ok(staged)
}

/// Binds rows; `None` where they are too large, or cannot be bound.
fn bind(prepared: &Prepared, sheets: &Sheets<'_>) -> Result<Option<PgArguments>> {
    let Some(mut bound) = BoundRows::of(prepared.staged_types()) else {
        return Ok(None);
    };
    let mut rejected = Vec::new();
    let mut number = 0;
    for (part, (encoder, tags)) in sheets.parts.iter().enumerate() {
        for (row, tag) in tags.iter().enumerate() {
            let kept = (sheets.kept)(part, row);
            if let Err(unfit) = encoder.put(row, number, *tag, kept.as_deref(), &mut bound) {
                rejected.push(sheets.rejection(number, encoder, unfit));
            }
            bound.end_row();
            number += 1;
        }
        if bound.len() > BYTES_MAX {
            return Ok(None);
        }
    }
    match rejected.is_empty() {
        true => Ok(Some(bound.into_arguments())),
        false => Err(Error::Rejected(rejected)),
    }
}

/// Copies rows into the staging table.
async fn copy(
    session: &mut Session,
    prepared: &Prepared,
    sheets: &Sheets<'_>,
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
    let width = prepared.columns.len() as i16 + 5;
    let mut copy = session.connection.copy_in_raw(&sql).await.map_err(fail)?;
    let mut bytes = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
    bytes.extend_from_slice(HEADER);
    let mut rejected = Vec::new();
    let mut number = 0;
    for (part, (encoder, tags)) in sheets.parts.iter().enumerate() {
        for (row, tag) in tags.iter().enumerate() {
            let start = bytes.len();
            let kept = (sheets.kept)(part, row);
            bytes.extend_from_slice(&width.to_be_bytes());
            if let Err(unfit) = encoder.put(row, number, *tag, kept.as_deref(), &mut bytes) {
                bytes.truncate(start);
                rejected.push(sheets.rejection(number, encoder, unfit));
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
    Ok(())
}

/// Rejects the staged upserts with a value that the target would change in silence (R23).
async fn refuse_changed(
    session: &mut Session,
    prepared: &Prepared,
    places: &[(usize, usize)],
    staged: &StagedRows,
) -> Result<(), Failure> {
    let Some(sql) = Statements::changed(prepared, staged.is_bound()) else {
        return Ok(());
    };
    let rejected = session
        .rows_of(&sql, staged, false)
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

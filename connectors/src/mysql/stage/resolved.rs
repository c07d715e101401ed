//! What a resolver needs to see, and what it decided, in the staging table.
//!
//! Every stretch of upserts is one statement: rows that set the same columns and end alike. Its rows
//! are staged one after the other, whatever their keys, so that the statement finds them by their
//! numbers. Their locks were taken in the order of the keys, when they were read (R9).

use std::ops::Range;

use super::{DELETES, KEYS, RowEncoder, TOO_LARGE, UPSERTS, Writer, rejection};
use crate::change::{Changes, Operation};
use crate::error::{Error, Result};
use crate::mysql::failure::Failure;
use crate::mysql::prepare::Prepared;
use crate::mysql::session::Session;
use crate::sql::decide::{Net, Resolved};
use crate::sql::patterns::{BLIND_DELETE, DELETE, INSERT, Tag, UPDATE};

/// Bits of the pattern of what was decided: no earlier delete of the key counts any more, and its delete
/// is remembered (R12).
pub(in crate::mysql) const RECREATED: i32 = 1;
pub(in crate::mysql) const DELETED: i32 = 2;

/// Upserts that one statement writes.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mysql) struct StatementRun {
    /// Inserts; else updates.
    pub(in crate::mysql) inserts: bool,
    /// Whether the rows end marked as deleted.
    pub(in crate::mysql) marked: bool,
    /// Which of [`Prepared::columns`] are set.
    pub(in crate::mysql) set: Vec<bool>,
    /// The numbers of the rows.
    pub(in crate::mysql) numbers: Range<usize>,
}

/// Stages the keys of `changes`, whose columns are those of [`Prepared::placed`], by their row; gives
/// the step. A key that the target cannot hold is in no row of it; writing it says why.
pub(in crate::mysql) async fn stage_keys(
    session: &mut Session,
    prepared: &Prepared,
    changes: &Changes,
) -> Result<u32, Failure> {
    let step = session.next_step(&prepared.stage, changes.len());
    let places = prepared.placed_key.iter().map(|&place| (place, place));
    let encoder = RowEncoder::of_columns(prepared, changes, KEYS, places)?;
    let columns = prepared.placed_key.iter();
    let mut writer = Writer::new(
        session,
        prepared,
        columns.map(|&place| &prepared.columns[place]),
    );
    for row in 0..changes.len() {
        let start = writer.begin_row();
        match encoder.put(row, (step, row), (INSERT, 0), &mut writer.sql) {
            Ok(()) => drop(writer.end_row(start).await?),
            Err(_) => writer.sql.truncate(start),
        }
    }
    writer.flush().await?;
    Ok(step)
}

/// Stages what was decided: upserts, then deletes. `places` gives the batch and row of each upsert,
/// then of each delete. Gives the step and the stretches of the upserts.
pub(in crate::mysql) async fn stage_decided(
    session: &mut Session,
    prepared: &Prepared,
    resolved: &Resolved,
    places: &[(usize, usize)],
) -> Result<(u32, Vec<StatementRun>), Failure> {
    let step = session.next_step(&prepared.stage, places.len());
    let Resolved {
        deletes, upserts, ..
    } = resolved;
    let (order, stretches) = stretches(upserts, prepared.columns.len());
    let all = || (0..prepared.columns.len()).map(|place| (place, place));
    let upsert_sheet = RowEncoder::of_columns(prepared, &upserts.changes, UPSERTS, all())?;
    let delete_sheet = RowEncoder::of_columns(prepared, &deletes.changes, DELETES, all())?;
    let mut rows: Vec<(&RowEncoder<'_>, usize, Tag)> = Vec::with_capacity(places.len());
    for stretch in &stretches {
        let operation = if stretch.inserts { INSERT } else { UPDATE };
        let numbers = order[stretch.numbers.clone()].iter();
        rows.extend(numbers.map(|&row| (&upsert_sheet, row, (operation, fate(upserts, row)))));
    }
    let beside_key: Vec<usize> = (0..prepared.columns.len())
        .filter(|place| !prepared.placed_key.contains(place))
        .collect();
    let blind = deletes.changes.blind(&beside_key);
    for row in 0..deletes.changes.len() {
        let blind = blind.as_ref().is_some_and(|blind| blind.value(row));
        let operation = if blind { BLIND_DELETE } else { DELETE };
        rows.push((&delete_sheet, row, (operation, fate(deletes, row))));
    }
    let mut writer = Writer::new(session, prepared, &prepared.columns);
    let mut rejected = Vec::new();
    for (number, &(encoder, row, tag)) in rows.iter().enumerate() {
        let place = match encoder.side {
            UPSERTS => places[row],
            _ => places[upserts.changes.len() + row],
        };
        let start = writer.begin_row();
        let put = encoder.put(row, (step, number), tag, &mut writer.sql);
        if let Err((column, unfit)) = put {
            writer.sql.truncate(start);
            rejected.push(rejection(prepared, place, Some(column), &unfit));
        } else if !writer.end_row(start).await? {
            rejected.push(rejection(prepared, place, None, &TOO_LARGE));
        }
    }
    if !rejected.is_empty() {
        rejected.sort_by_key(|change| (change.batch, change.row));
        return Err(Failure::Error(Error::Rejected(rejected)));
    }
    writer.flush().await?;
    Ok((step, stretches))
}

/// The pattern of a row.
fn fate(net: &Net, row: usize) -> i32 {
    let bit = |is_set, bit| if is_set { bit } else { 0 };
    bit(net.recreated.value(row), RECREATED) | bit(net.gone.value(row), DELETED)
}

/// The rows of upserts in an order in which those of one stretch follow each other, and the
/// stretches: inserts first.
fn stretches(upserts: &Net, width: usize) -> (Vec<usize>, Vec<StatementRun>) {
    let changes = &upserts.changes;
    let is_marked = |row| {
        let marked = upserts.marked.as_ref();
        marked.is_some_and(|marked| marked.value(row))
    };
    let kind = |row: usize| {
        let set: Vec<bool> = (0..width)
            .map(|place| !changes.is_unset(place, row))
            .collect();
        let is_update = changes.operations[row] == Operation::Update;
        (is_update, is_marked(row), set)
    };
    let kinds: Vec<(bool, bool, Vec<bool>)> = (0..changes.len()).map(kind).collect();
    let mut order: Vec<usize> = (0..kinds.len()).collect();
    order.sort_by(|&left, &right| kinds[left].cmp(&kinds[right]));
    let mut stretches = Vec::new();
    let mut start = 0;
    for rows in order.chunk_by(|&left, &right| kinds[left] == kinds[right]) {
        let (is_update, marked, set) = &kinds[rows[0]];
        stretches.push(StatementRun {
            inserts: !is_update,
            marked: *marked,
            set: set.clone(),
            numbers: start..start + rows.len(),
        });
        start += rows.len();
    }
    (order, stretches)
}

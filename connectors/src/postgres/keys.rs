//! Keys whose rows are looked for, bound to the statement or copied into a table of their own.

use super::bound::{BYTES_MAX, BoundRows, StagedRows};
use super::copy::{Cells, HEADER, TRAILER};
use super::failure::{Failure, failure};
use super::prepare::{Column, Prepared};
use super::session::Session;
use super::stage::{CHUNK_BYTES, put_integer};
use crate::change::Changes;
use crate::error::Result;

/// Stages the keys of `changes`, whose columns are those of [`Prepared::placed`].
pub(super) async fn stage_keys(
    session: &mut Session,
    prepared: &Prepared,
    changes: &Changes,
) -> Result<StagedRows, Failure> {
    let first = session.probed.insert(prepared.stage_number);
    let columns = prepared.columns.iter().enumerate();
    let keys: Vec<(usize, &Column)> = columns.filter(|(_, column)| column.key).collect();
    let cells: Vec<Cells> = keys
        .iter()
        .map(|&(place, _)| Cells::of(changes.rows.column(place)))
        .collect::<Result<_>>()?;
    if changes.len() <= session.bound_rows_max
        && let Some(bound) = bind(&keys, &cells, changes.len())
    {
        return Ok(StagedRows::Bound(bound.into_arguments()));
    }
    let create = prepared.create_probe();
    session.empty(&prepared.probe, &create, !first).await?;
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
    let mut key = Vec::new();
    for row in 0..changes.len() {
        if fits(&cells, row, &mut key) {
            bytes.extend_from_slice(&(cells.len() as i16 + 1).to_be_bytes());
            put_integer(row as i32, &mut bytes);
            bytes.extend_from_slice(&key);
        }
    }
    bytes.extend_from_slice(TRAILER);
    let mut copy = session.connection.copy_in_raw(&sql).await.map_err(fail)?;
    for chunk in bytes.chunks(CHUNK_BYTES) {
        copy.send(chunk).await.map_err(fail)?;
    }
    copy.finish().await.map_err(fail)?;
    Ok(StagedRows::InTable)
}

/// The cells of a key; `false` for one that PostgreSQL cannot hold: it is in no table, and writing the row
/// says why.
fn fits(cells: &[Cells], row: usize, key: &mut Vec<u8>) -> bool {
    key.clear();
    cells.iter().all(|cells| cells.put(row, key).is_ok())
}

/// `None` where they are too large, or cannot be bound.
fn bind(keys: &[(usize, &Column)], cells: &[Cells], count: usize) -> Option<BoundRows> {
    let types = keys.iter().map(|(_, column)| column.staged);
    let mut bound = BoundRows::of(std::iter::once("integer").chain(types))?;
    let mut key = Vec::new();
    for row in 0..count {
        if fits(cells, row, &mut key) {
            put_integer(row as i32, bound.column(0));
            for (place, cells) in cells.iter().enumerate() {
                let put = cells.put(row, bound.column(place + 1));
                put.expect("it was put before");
            }
            bound.end_row();
        }
    }
    (bound.len() <= BYTES_MAX).then_some(bound)
}

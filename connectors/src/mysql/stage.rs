//! Rows in the staging table of their target.
//!
//! Every row carries the number of its step, its own number, its operation, its pattern of unset
//! columns (R14) and its event time beside its values, so that each statement afterwards picks its
//! rows without a parameter. Staging columns have the target's types: a value that the target refuses
//! is refused here, and what is staged is what the target will hold.

mod resolved;

use std::sync::Arc;

use arrow::datatypes::TimeUnit;

pub(super) use self::resolved::{DELETED, RECREATED, StatementRun, stage_decided, stage_keys};
use super::cell::Cells;
use super::column_kind::Unfit;
use super::failure::{Failure, Refused};
use super::prepare::{Column, Prepared};
use super::session::Session;
use crate::change::Changes;
use crate::error::{Error, RejectedChange, Result};
use crate::sql::fold::Round;
use crate::sql::patterns::{BLIND_DELETE, DELETE, Patterns, Tag};
use crate::text::write_instant;

/// Bytes of one statement, where the server takes as many.
const STATEMENT_BYTES: usize = 1 << 20;

/// The side of a staged row: a key may be deleted and written in one round, where they differ for the
/// source and not for the target.
pub(super) const UPSERTS: u8 = 0;
pub(super) const DELETES: u8 = 1;
/// Keys that are looked for.
pub(super) const KEYS: u8 = 2;

/// A round that was staged.
pub(super) struct StagedRound {
    /// The step that they carry.
    pub(super) step: u32,
    pub(super) patterns: Patterns,
    /// The batch and row of each upsert, then of each delete.
    pub(super) places: Arc<[(usize, usize)]>,
}

/// Stages a round. `places` gives for each upsert, then for each delete, its batch and row.
pub(super) async fn stage(
    session: &mut Session,
    prepared: &Prepared,
    round: &Round,
    places: &Arc<[(usize, usize)]>,
) -> Result<StagedRound, Failure> {
    let step = session.next_step(&prepared.stage, places.len());
    let mut patterns = Patterns::default();
    let columns: Vec<usize> = prepared.columns.iter().map(|column| column.index).collect();
    let beside_key = prepared.columns.iter().filter(|column| !column.key);
    let beside_key: Vec<usize> = beside_key.map(|column| column.index).collect();
    let upsert_tags = patterns.tag_upserts(&columns, &round.upserts);
    let delete_tags = patterns.tag_deletes(&columns, &beside_key, &round.deletes);
    let upserts = RowEncoder::of(prepared, &round.upserts, UPSERTS)?;
    let deletes = RowEncoder::of(prepared, &round.deletes, DELETES)?;
    let mut writer = Writer::new(session, prepared, &prepared.columns);
    let mut rejected = Vec::new();
    let mut number = 0;
    for (encoder, tags) in [(&upserts, &upsert_tags), (&deletes, &delete_tags)] {
        for (row, tag) in tags.iter().enumerate() {
            let start = writer.begin_row();
            let put = encoder.put(row, (step, number), *tag, &mut writer.sql);
            if let Err((place, unfit)) = put {
                writer.sql.truncate(start);
                rejected.push(rejection(prepared, places[number], Some(place), &unfit));
            } else if !writer.end_row(start).await? {
                rejected.push(rejection(prepared, places[number], None, &TOO_LARGE));
            }
            number += 1;
        }
    }
    if !rejected.is_empty() {
        return Err(Failure::Error(Error::Rejected(rejected)));
    }
    writer.flush().await?;
    Ok(StagedRound {
        step,
        patterns,
        places: places.clone(),
    })
}

const TOO_LARGE: Unfit = Unfit {
    rule: "1153 packet_too_large",
    reason: "the row is larger than the server takes at once: raise its max_allowed_packet",
};

fn rejection(
    prepared: &Prepared,
    (batch, row): (usize, usize),
    place: Option<usize>,
    unfit: &Unfit,
) -> RejectedChange {
    let name = |place: usize| {
        let index = prepared.columns[place].index;
        prepared.schema.field(index).name().clone()
    };
    RejectedChange {
        batch,
        row,
        rule: unfit.rule.to_owned(),
        field: place.map(name),
        reason: unfit.reason.to_owned(),
    }
}

/// Gathers rows to statements that the server takes.
struct Writer<'a> {
    session: &'a mut Session,
    prepared: &'a Prepared,
    header: String,
    sql: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// For rows of these columns.
    fn new<'c>(
        session: &'a mut Session,
        prepared: &'a Prepared,
        columns: impl IntoIterator<Item = &'c Column>,
    ) -> Self {
        let columns: String = columns
            .into_iter()
            .map(|column| format!(", c{}", column.index))
            .collect();
        let header = format!(
            "INSERT INTO {} (step, number, side, op, pattern, event{columns}) VALUES ",
            prepared.stage
        );
        Self {
            session,
            prepared,
            sql: Vec::with_capacity(STATEMENT_BYTES + STATEMENT_BYTES / 8),
            header,
        }
    }

    /// Gives the place where the row begins.
    fn begin_row(&mut self) -> usize {
        let start = self.sql.len();
        let before = if start == 0 { &self.header } else { "," };
        self.sql.extend_from_slice(before.as_bytes());
        start
    }

    /// Sends what is there without the row where the row makes it too long; `false` where the row is
    /// too long by itself, which takes it out.
    async fn end_row(&mut self, start: usize) -> Result<bool, Failure> {
        let packet_bytes_max = self.session.server.packet_bytes_max;
        let bytes_max = STATEMENT_BYTES.min(packet_bytes_max / 2);
        if self.sql.len() <= bytes_max {
            return Ok(true);
        }
        let before = if start == 0 {
            self.header.len()
        } else {
            start + 1
        };
        let row = self.sql.split_off(before);
        // A command has one byte more than its text.
        if self.header.len() + row.len() + 1 > packet_bytes_max {
            self.sql.truncate(start);
            return Ok(false);
        }
        self.sql.truncate(start);
        self.flush().await?;
        self.sql.extend_from_slice(self.header.as_bytes());
        self.sql.extend_from_slice(&row);
        Ok(true)
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if self.sql.is_empty() {
            return Ok(());
        }
        let empty = Vec::with_capacity(self.sql.capacity());
        let sql = String::from_utf8(std::mem::replace(&mut self.sql, empty))
            .expect("literals are text, bytes among them as digits");
        match self.session.execute_counted(sql).await {
            Ok(_) => Ok(()),
            Err(Failure::Data(refused)) if refused.duplicate.is_some() => {
                Err(Failure::Error(Error::configuration(format!(
                    "two keys of the source are one key in table {:?}: change the type or the collation of the key column",
                    self.prepared.name
                ))))
            }
            Err(Failure::Data(refused)) => Err(Failure::Data(self.named(refused))),
            Err(other) => Err(other),
        }
    }

    /// With the name of the column that we number.
    fn named(&self, mut refused: Refused) -> Refused {
        let column = refused.field.as_deref().and_then(|field| {
            let index: usize = field.strip_prefix('c')?.parse().ok()?;
            Some(self.prepared.schema.fields().get(index)?.name().clone())
        });
        if let (Some(numbered), Some(name)) = (&refused.field, column) {
            let (before, after) = refused
                .reason
                .rsplit_once("column ")
                .unwrap_or((&refused.reason, ""));
            let after = after
                .rsplit_once(numbered.as_str())
                .map_or("", |(_, after)| after.trim_start_matches(['\'', '`']));
            refused.reason = format!("{before}column '{name}'{after}");
            refused.field = Some(name);
        }
        refused
    }
}

/// A column of a batch.
struct ColumnEncoder<'a> {
    /// Index in [`Prepared::columns`].
    place: usize,
    /// Index in the changes.
    column: usize,
    key: bool,
    /// A null is refused here, since the target would make something else of it.
    refuses_null: bool,
    cells: Cells<'a>,
}

/// The columns of a batch, ready to be written row by row.
struct RowEncoder<'a> {
    columns: Vec<ColumnEncoder<'a>>,
    changes: &'a Changes,
    with_events: bool,
    side: u8,
}

impl<'a> RowEncoder<'a> {
    fn of(prepared: &'a Prepared, changes: &'a Changes, side: u8) -> Result<Self> {
        let columns = prepared.columns.iter().map(|column| column.index);
        Self::of_columns(prepared, changes, side, columns.enumerate())
    }

    /// Of some columns: their places in the target, and in the changes.
    fn of_columns(
        prepared: &'a Prepared,
        changes: &'a Changes,
        side: u8,
        columns: impl Iterator<Item = (usize, usize)>,
    ) -> Result<Self> {
        let columns = columns
            .map(|(place, index)| {
                let column = &prepared.columns[place];
                let field = &prepared.schema.fields()[column.index];
                Ok(ColumnEncoder {
                    place,
                    column: index,
                    key: column.key,
                    refuses_null: column.null_is_now && side == UPSERTS,
                    cells: Cells::of(field, changes.rows.column(index), &column.place)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            columns,
            changes,
            with_events: prepared.version.is_some(),
            side,
        })
    }

    /// Appends a row, or says which column does not fit. A delete whose image does not fit is blind:
    /// such a row is none that the target can hold.
    fn put(
        &self,
        row: usize,
        (step, number): (u32, usize),
        (operation, pattern): Tag,
        out: &mut Vec<u8>,
    ) -> Result<(), (usize, Unfit)> {
        let start = out.len();
        out.push(b'(');
        let mut digits = itoa::Buffer::new();
        for value in [
            i64::from(step),
            number as i64,
            self.side.into(),
            operation.into(),
            pattern.into(),
        ] {
            out.extend_from_slice(digits.format(value).as_bytes());
            out.push(b',');
        }
        match self.changes.event_times_ms[row].filter(|_| self.with_events) {
            Some(event_ms) => {
                out.push(b'\'');
                write_instant(out, event_ms, TimeUnit::Millisecond, false);
                out.push(b'\'');
            }
            None => out.extend_from_slice(b"NULL"),
        }
        for column_encoder in &self.columns {
            out.push(b',');
            if !column_encoder.key && self.changes.is_unset(column_encoder.column, row) {
                out.extend_from_slice(b"NULL");
                continue;
            }
            if column_encoder.refuses_null && column_encoder.cells.is_null(row) {
                return Err((column_encoder.place, NULL_IS_NOW));
            }
            let cell = out.len();
            match column_encoder.cells.put(row, out) {
                Ok(()) => {}
                Err(_) if operation == DELETE && !column_encoder.key => {
                    out.truncate(start);
                    return self.put_blind(row, (step, number), out);
                }
                Err(_) if operation == BLIND_DELETE && !column_encoder.key => {
                    out.truncate(cell);
                    out.extend_from_slice(b"NULL");
                }
                Err(unfit) => return Err((column_encoder.place, unfit)),
            }
        }
        out.push(b')');
        Ok(())
    }

    fn put_blind(
        &self,
        row: usize,
        place: (u32, usize),
        out: &mut Vec<u8>,
    ) -> Result<(), (usize, Unfit)> {
        self.put(row, place, (BLIND_DELETE, 0), out)
    }
}

const NULL_IS_NOW: Unfit = Unfit {
    rule: "1048 column_cannot_be_null",
    reason: "the target's column takes no null and would hold the time of the write instead",
};

//! What a message says about its row, beside the row: operation, table, times, origin.

use std::borrow::Cow;

use super::fault::Parsed;
use super::scan::Cursor;

/// What a message says about its row.
#[derive(Debug, Default)]
pub(super) struct Head<'a> {
    pub(super) operation: Option<Cow<'a, [u8]>>,
    pub(super) deleted: bool,
    pub(super) database: Option<Cow<'a, [u8]>>,
    pub(super) schema: Option<Cow<'a, [u8]>>,
    pub(super) table: Option<Cow<'a, [u8]>>,
    pub(super) source_ms: Option<i64>,
    pub(super) event_ms: Option<i64>,
    /// The replication origin of the transaction.
    pub(super) origin: Option<Cow<'a, [u8]>>,
}

impl<'a> Head<'a> {
    /// What Debezium's unwrapping adds to a flat row; the first twelve matter.
    pub(super) const NAMES: &'static [&'static str] = &[
        "__op",
        "__deleted",
        "__db",
        "__schema",
        "__table",
        "__source_ts_ms",
        "__ts_ms",
        "__source_db",
        "__source_schema",
        "__source_table",
        "__origin",
        "__source_origin",
        "__lsn",
        "__source_lsn",
        "__name",
        "__source_name",
        "__version",
        "__source_version",
        "__connector",
        "__source_connector",
        "__snapshot",
        "__source_snapshot",
        "__txId",
        "__source_txId",
        "__ts_us",
        "__source_ts_us",
        "__ts_ns",
        "__source_ts_ns",
        "__sequence",
        "__source_sequence",
        "__xmin",
        "__source_xmin",
        "__file",
        "__source_file",
        "__pos",
        "__source_pos",
        "__row",
        "__source_row",
        "__gtid",
        "__source_gtid",
        "__server_id",
        "__source_server_id",
        "__transaction_id",
    ];

    /// Reads the metadata field at this place of [`Head::NAMES`].
    pub(super) fn read(&mut self, name: usize, cursor: &mut Cursor<'a>) -> Parsed<()> {
        match name {
            0 => self.operation = text(cursor)?,
            DELETED => self.deleted = says_yes(cursor)?,
            2 | 7 => self.database = text(cursor)?,
            3 | 8 => self.schema = text(cursor)?,
            4 | 9 => self.table = text(cursor)?,
            5 => self.source_ms = milliseconds(cursor)?,
            6 => self.event_ms = milliseconds(cursor)?,
            10 | 11 => self.origin = text(cursor)?,
            _ => cursor.skip()?,
        }
        Ok(())
    }

    /// Reads the field of `source` at this place: `ts_ms`, `db`, `schema`, `table`,
    /// `origin`.
    #[inline]
    pub(super) fn read_source(&mut self, name: usize, cursor: &mut Cursor<'a>) -> Parsed<()> {
        match name {
            0 => self.source_ms = milliseconds(cursor)?,
            1 => self.database = text(cursor)?,
            2 => self.schema = text(cursor)?,
            3 => self.table = text(cursor)?,
            _ => self.origin = text(cursor)?,
        }
        Ok(())
    }

    /// As before `source` was read.
    pub(super) fn forget_source(&mut self) {
        self.source_ms = None;
        self.database = None;
        self.schema = None;
        self.table = None;
        self.origin = None;
    }
}

/// The place of the mark of deletes in [`Head::NAMES`].
const DELETED: usize = 1;

/// Whether a mark is set: `true` or 1, or a text that says so in any case.
fn says_yes(cursor: &mut Cursor<'_>) -> Parsed<bool> {
    const YES: [&[u8]; 5] = [b"true", b"t", b"1", b"yes", b"y"];
    let start = cursor.at();
    let raw = match cursor.peek() {
        b'"' => cursor.string()?.raw,
        _ => {
            cursor.skip()?;
            cursor.since(start)
        }
    };
    Ok(YES.iter().any(|yes| raw.eq_ignore_ascii_case(yes)))
}

/// Fields of a flat row that are no columns, with their places in [`Head::NAMES`].
#[derive(Debug)]
pub(super) struct Metadata(Vec<(String, usize)>);

impl Metadata {
    /// What Debezium's unwrapping adds.
    pub(super) fn of_events() -> Self {
        let names = Head::NAMES.iter().zip(0..);
        Self(
            names
                .map(|(name, place)| ((*name).to_owned(), place))
                .collect(),
        )
    }

    /// The mark of deletes alone, where there is one.
    pub(super) fn of_rows(deleted: Option<String>) -> Self {
        Self(deleted.into_iter().map(|name| (name, DELETED)).collect())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The places of [`Metadata::names`], in their order.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(_, place)| *place)
    }

    /// The place of the field of this name.
    pub(super) fn place(&self, name: &[u8]) -> Option<usize> {
        let found = self.0.iter().find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, place)| *place)
    }
}

/// A string, or `None` for null; other values say nothing.
pub(super) fn text<'a>(cursor: &mut Cursor<'a>) -> Parsed<Option<Cow<'a, [u8]>>> {
    if cursor.peek() == b'"' {
        return cursor.string()?.unescape().map(Some);
    }
    cursor.skip()?;
    Ok(None)
}

/// An integer; other values say nothing.
pub(super) fn milliseconds(cursor: &mut Cursor<'_>) -> Parsed<Option<i64>> {
    match cursor.small_integer() {
        Some(value) => Ok(Some(value)),
        None => cursor.skip().map(|()| None),
    }
}

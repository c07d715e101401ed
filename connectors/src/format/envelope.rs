//! The parts of one message around its rows: operation, table, times, and where the rows stand.

use std::borrow::Cow;

use super::fault::{Fault, Parsed};
use super::keys::{KeyOrder, STRANGER};
use super::scan::Cursor;
use super::source::SourceReader;

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
fn text<'a>(cursor: &mut Cursor<'a>) -> Parsed<Option<Cow<'a, [u8]>>> {
    if cursor.peek() == b'"' {
        return cursor.string()?.unescape().map(Some);
    }
    cursor.skip()?;
    Ok(None)
}

/// An integer; other values say nothing.
fn milliseconds(cursor: &mut Cursor<'_>) -> Parsed<Option<i64>> {
    match cursor.small_integer() {
        Some(value) => Ok(Some(value)),
        None => cursor.skip().map(|()| None),
    }
}

/// A row in a message.
#[derive(Debug, Default)]
pub(super) enum Part {
    /// Not there at all.
    #[default]
    Absent,
    Null,
    /// An object that begins here.
    At(usize),
    /// As `At`, and appended to the stream that was expected.
    Appended(usize),
    /// As `At`; the stream that was expected could not read it.
    Failed(usize, Box<Fault>),
}

impl Part {
    /// Where its object begins.
    pub(super) fn start(&self) -> Option<usize> {
        match self {
            Self::At(start) | Self::Appended(start) | Self::Failed(start, _) => Some(*start),
            Self::Absent | Self::Null => None,
        }
    }
}

/// A message taken apart.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) before: Part,
    pub(super) after: Part,
    /// A logical decoding message (`op` is `m`).
    pub(super) message: bool,
    /// A transaction boundary or a schema change by its fields.
    pub(super) other: bool,
}

impl Envelope {
    /// Whether the fields are those of an envelope.
    pub(super) fn is_one(&self, head: &Head<'_>) -> bool {
        let rows = !matches!((&self.before, &self.after), (Part::Absent, Part::Absent));
        let truncate = head.operation.as_deref() == Some(b"t");
        head.operation.is_some() && (rows || self.message || truncate)
    }
}

/// Reads envelopes, remembering the order of their keys.
#[derive(Debug)]
pub(super) struct EnvelopeReader {
    keys: KeyOrder,
    source: SourceReader,
}

impl EnvelopeReader {
    pub(super) fn new() -> Self {
        let names = [
            "before",
            "after",
            "source",
            "op",
            "ts_ms",
            "message",
            "status",
            "event_count",
            "data_collections",
            "databaseName",
            "ddl",
            "tableChanges",
        ];
        Self {
            keys: KeyOrder::new(names),
            source: SourceReader::new(),
        }
    }

    /// Reads the object that stands next. `read_row` is given each row that is an object, passes it,
    /// and says what became of it; the flag is true for `after`.
    pub(super) fn read<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        head: &mut Head<'a>,
        mut read_row: impl FnMut(&mut Cursor<'a>, bool) -> Parsed<Part>,
    ) -> Parsed<Envelope> {
        let mut envelope = Envelope::default();
        let (mut seen, mut hint) = (0u32, 0);
        cursor.expect(b'{')?;
        let mut more = !cursor.closed(b'}');
        while more {
            let name = self.keys.next(cursor, &mut hint)?;
            match name {
                0 | 1 => {
                    let part = if cursor.take_null() {
                        Part::Null
                    } else if cursor.peek() == b'{' {
                        read_row(cursor, name == 1)?
                    } else {
                        // No envelope, unless an operation says so: then the row is missing.
                        cursor.skip()?;
                        Part::Absent
                    };
                    *(if name == 0 {
                        &mut envelope.before
                    } else {
                        &mut envelope.after
                    }) = part;
                }
                2 if cursor.peek() == b'{' => self.source.read(cursor, head)?,
                3 => head.operation = text(cursor)?,
                4 => head.event_ms = milliseconds(cursor)?,
                _ => {
                    envelope.message |= name == 5;
                    if name != STRANGER {
                        seen |= 1 << name;
                    }
                    cursor.skip()?;
                }
            }
            more = cursor.more(b'}')?;
        }
        // A row may have a column of such a name; hardly all of them.
        let all = |names: [usize; 3]| names.iter().all(|name| seen & (1 << name) != 0);
        envelope.other = all([6, 7, 8]) || all([9, 10, 11]);
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_in_any_order_of_keys() {
        let mut reader = EnvelopeReader::new();
        let mut check = |json: &str, envelope_expected: bool, after: Option<usize>| {
            for _ in 0..2 {
                let mut head = Head::default();
                let mut cursor = Cursor::new(json.as_bytes());
                let read = reader.read(&mut cursor, &mut head, |cursor, _| {
                    let start = cursor.at();
                    cursor.skip()?;
                    Ok(Part::At(start))
                });
                let envelope = read.unwrap();
                cursor.end().unwrap();
                assert_eq!(envelope.is_one(&head), envelope_expected, "{json}");
                assert_eq!(envelope.after.start(), after, "{json}");
                if envelope_expected && head.table.is_some() {
                    assert_eq!(head.table.as_deref(), Some(&b"t"[..]));
                    assert_eq!(head.source_ms, Some(5));
                }
            }
        };
        check(
            r#"{"before":null,"after":{"a":1},"source":{"ts_ms":5,"db":"d","table":"t"},"op":"c","ts_ms":1}"#,
            true,
            Some(23),
        );
        check(
            r#"{"op":"c","source":{"table":"t","x":[{}],"ts_ms":5},"after":{}}"#,
            true,
            Some(60),
        );
        check(r#"{"op":"t","source":null}"#, true, None);
        check(r#"{"op":"c","name":"a flat row"}"#, false, None);
        check(r#"{"after":"a flat row","before":1}"#, false, None);
        check("{}", false, None);
    }
}

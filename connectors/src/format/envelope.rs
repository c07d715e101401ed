//! The parts of one message around its rows: operation, table, times, and where the rows stand.

use super::fault::{Fault, Parsed};
use super::head::{Head, milliseconds, text};
use super::keys::{KeyOrder, STRANGER};
use super::scan::Cursor;
use super::source::SourceReader;

/// A row in a message.
#[derive(Debug, Default)]
pub(super) enum RowPart {
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

impl RowPart {
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
    pub(super) before: RowPart,
    pub(super) after: RowPart,
    /// A logical decoding message (`op` is `m`).
    pub(super) message: bool,
    /// A transaction boundary or a schema change by its fields.
    pub(super) other: bool,
    /// It says where it is from: `source` is an object.
    sourced: bool,
    /// It has a field that no envelope of Debezium has.
    strange: bool,
}

impl Envelope {
    /// Whether the fields are those of an envelope.
    pub(super) fn is_one(&self, head: &Head<'_>) -> bool {
        let rows = !matches!(
            (&self.before, &self.after),
            (RowPart::Absent, RowPart::Absent)
        );
        let Some(operation) = head.operation.as_deref() else {
            return false;
        };
        // A plain row may have a column `op`, and must not empty its table.
        let is_event = self.sourced || !self.strange;
        match operation {
            b"t" => is_event,
            b"m" => is_event && (rows || self.message),
            _ => rows || (is_event && self.message),
        }
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
            "transaction",
            "ts_us",
            "ts_ns",
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
        mut read_row: impl FnMut(&mut Cursor<'a>, bool) -> Parsed<RowPart>,
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
                        RowPart::Null
                    } else if cursor.peek() == b'{' {
                        read_row(cursor, name == 1)?
                    } else {
                        // No envelope, unless an operation says so: then the row is missing.
                        cursor.skip()?;
                        RowPart::Absent
                    };
                    *(if name == 0 {
                        &mut envelope.before
                    } else {
                        &mut envelope.after
                    }) = part;
                }
                2 if cursor.peek() == b'{' => {
                    envelope.sourced = true;
                    self.source.read(cursor, head)?;
                }
                3 => head.operation = text(cursor)?,
                4 => head.event_ms = milliseconds(cursor)?,
                _ => {
                    envelope.message |= name == 5;
                    if name == STRANGER {
                        envelope.strange = true;
                    } else {
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
                    Ok(RowPart::At(start))
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
        check(r#"{"op":"t","name":"a flat row"}"#, false, None);
        check(
            r#"{"op":"t","before":null,"after":null,"id":1}"#,
            false,
            None,
        );
        check(r#"{"op":"m","message":"a flat row","id":1}"#, false, None);
        // A transformation of the connector may leave out `source`.
        check(
            r#"{"before":null,"after":null,"op":"t","ts_ms":1,"ts_us":1,"ts_ns":1,"transaction":null}"#,
            true,
            None,
        );
        check(
            r#"{"op":"t","source":{"table":"t","ts_ms":5},"added_by_a_transformation":1}"#,
            true,
            None,
        );
        check(r#"{"after":"a flat row","before":1}"#, false, None);
        check("{}", false, None);
    }
}

//! A change as a message: its key, and its value in the format that was asked for.
//!
//! The key is a JSON object of the key columns. Numbers are JSON numbers; decimals, dates and instants are
//! exact texts, and bytes are base64. A column that the change does not set is left out (R14, R19).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::producer::OutRecord;
use crate::change::{Changes, Operation};
use crate::error::RejectedRow;
use crate::text::{write_json, write_string};

/// What the value of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MessageFormat {
    /// The row as one object; null deletes it. A source reads it with `format = "json"`.
    #[default]
    Json,
    /// An envelope as Debezium writes it, with the row before where it is known; a delete is followed by
    /// a null. A source reads it with `format = "debezium-json"`.
    DebeziumJson,
    /// The row as an Avro record, its schema in a schema registry; null deletes it.
    Avro,
    /// An envelope as Debezium writes it in Avro, its schema in a schema registry; a delete is followed by a
    /// null.
    DebeziumAvro,
}

impl MessageFormat {
    /// Whether its messages name schemas of a registry.
    pub(super) fn has_registry(self) -> bool {
        matches!(self, Self::Avro | Self::DebeziumAvro)
    }

    fn is_events(self) -> bool {
        matches!(self, Self::DebeziumJson | Self::DebeziumAvro)
    }
}

/// The key columns of some changes, by their place; an empty list where nothing names them.
pub(super) fn key_columns(
    changes: &Changes,
    given: Option<&[String]>,
) -> Result<Vec<usize>, String> {
    let names = given.or(changes.key.as_deref());
    let Some(names) = names else {
        return Ok(Vec::new());
    };
    let schema = changes.rows.schema_ref();
    let place = |name: &String| {
        schema.index_of(name).map_err(|_| {
            format!("the change has no key column {name:?}: correct key = […] in the sink")
        })
    };
    names.iter().map(place).collect()
}

/// The messages of one change as JSON, in order.
///
/// # Errors
/// Where the change has no key, or the format cannot say it.
pub(super) fn messages(
    changes: &Changes,
    row: usize,
    key: &[usize],
    format: MessageFormat,
) -> Result<Vec<OutRecord>, RejectedRow> {
    let operation = changes.operations[row];
    if operation == Operation::Truncate {
        if !format.is_events() {
            let reason = "json cannot say that a table is emptied: take format = \"debezium-json\"";
            return Err(RejectedRow {
                row,
                rule: "R13".to_owned(),
                field: None,
                reason: reason.to_owned(),
            });
        }
        return Ok(vec![OutRecord {
            value: Some(envelope(changes, row)),
            ..OutRecord::default()
        }]);
    }
    let message_key = key_of(changes, row, key)?;
    let record = |value: Option<Vec<u8>>| OutRecord {
        key: Some(message_key.clone()),
        value,
        headers: Vec::new(),
    };
    let is_delete = operation == Operation::Delete;
    Ok(match (format.is_events(), is_delete) {
        (false, true) => vec![record(None)],
        (false, false) => {
            let mut value = Vec::new();
            write_row(changes, row, &mut value);
            vec![record(Some(value))]
        }
        (true, true) => vec![record(Some(envelope(changes, row))), record(None)],
        (true, false) => vec![record(Some(envelope(changes, row)))],
    })
}

fn key_of(changes: &Changes, row: usize, key: &[usize]) -> Result<Vec<u8>, RejectedRow> {
    let refused = |field: Option<String>, reason: &str| RejectedRow {
        row,
        rule: "R2".to_owned(),
        field,
        reason: reason.to_owned(),
    };
    if key.is_empty() {
        let reason = "nothing says which columns are the key: write key = […] in the sink";
        return Err(refused(None, reason));
    }
    let schema = changes.rows.schema_ref();
    let mut out = vec![b'{'];
    for &column in key {
        let name = schema.field(column).name();
        let values = changes.rows.column(column);
        if changes.is_unset(column, row) || values.is_null(row) {
            return Err(refused(Some(name.clone()), "a key column has no value"));
        }
        member(name, &mut out);
        write_json(schema.field(column), values, row, &mut out);
    }
    out.push(b'}');
    Ok(out)
}

/// Appends a name of an object that was begun.
fn member(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_string(name, out);
    out.push(b':');
}

/// Appends the columns that the change sets.
fn write_row(changes: &Changes, row: usize, out: &mut Vec<u8>) {
    let schema = changes.rows.schema_ref();
    out.push(b'{');
    for (index, column) in changes.rows.columns().iter().enumerate() {
        if !changes.is_unset(index, row) {
            member(schema.field(index).name(), out);
            write_json(schema.field(index), column, row, out);
        }
    }
    out.push(b'}');
}

/// Appends the row before, or null where it is not known.
fn write_before(changes: &Changes, row: usize, out: &mut Vec<u8>) {
    let before = changes.before.as_ref();
    let Some(before) = before.filter(|before| before.present.value(row)) else {
        return out.extend_from_slice(b"null");
    };
    let schema = before.rows.schema_ref();
    out.push(b'{');
    for (index, column) in before.rows.columns().iter().enumerate() {
        let unset = before.unset[index].as_ref();
        if !unset.is_some_and(|unset| unset.value(row)) {
            member(schema.field(index).name(), out);
            write_json(schema.field(index), column, row, out);
        }
    }
    out.push(b'}');
}

/// A change as Debezium writes it.
fn envelope(changes: &Changes, row: usize) -> Vec<u8> {
    let operation = changes.operations[row];
    let mut out = Vec::new();
    out.extend_from_slice(b"{\"before\":");
    match operation {
        Operation::Delete => write_row(changes, row, &mut out),
        Operation::Update => write_before(changes, row, &mut out),
        _ => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"after\":");
    match operation {
        Operation::Delete | Operation::Truncate => out.extend_from_slice(b"null"),
        _ => write_row(changes, row, &mut out),
    }
    out.extend_from_slice(b",\"source\":{");
    let table = &changes.table;
    let names = [
        ("db", table.database.as_deref()),
        ("schema", table.schema.as_deref()),
        ("table", Some(&*table.name)),
    ];
    for (name, value) in names {
        if let Some(value) = value {
            member(name, &mut out);
            write_string(value, &mut out);
        }
    }
    out.extend_from_slice(b"},\"op\":\"");
    out.extend_from_slice(operation.letter().as_bytes());
    out.push(b'"');
    if let Some(time) = changes.event_times_ms[row] {
        out.extend_from_slice(format!(",\"ts_ms\":{time}").as_bytes());
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::{DecoderOptions, Format, decoder};
    use crate::record::{Partition, Records};

    /// Changes of these messages of Debezium, with rows before.
    fn decode(values: &[&str]) -> Vec<Changes> {
        let mut records = Records::default();
        let partition = Partition {
            topic: "crm.public.clients".into(),
            number: 0,
        };
        let number = records.add_partition(&partition, true);
        for (offset, value) in values.iter().enumerate() {
            records.push(
                number,
                offset as i64,
                None,
                None,
                Some(value.as_bytes()),
                None,
            );
        }
        let options = DecoderOptions {
            before: true,
            key: Some(vec!["id".to_owned()]),
            ..DecoderOptions::default()
        };
        let decoded = decoder(Format::DebeziumJson, options).decode(&Arc::new(records));
        assert_eq!(decoded.rejected, []);
        decoded.changes
    }

    fn check(value: &str, format: MessageFormat, expect: &[(Option<&str>, Option<&str>)]) {
        let changes = decode(&[value]).remove(0);
        let key = key_columns(&changes, None).unwrap();
        let found = messages(&changes, 0, &key, format).unwrap();
        let text = |bytes: &Option<Vec<u8>>| bytes.clone().map(|b| String::from_utf8(b).unwrap());
        let found: Vec<_> = found
            .iter()
            .map(|m| (text(&m.key), text(&m.value)))
            .collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(key, value)| (key.map(str::to_owned), value.map(str::to_owned)))
            .collect();
        assert_eq!(found, expect, "{value}");
    }

    const SOURCE: &str = r#""source":{"schema":"public","table":"clients"}"#;

    #[test]
    fn a_change_becomes_what_a_source_reads_as_the_same_change() {
        use MessageFormat::{DebeziumJson, Json};
        let update = format!(
            r#"{{"before":{{"id":7,"name":"a","note":null}},"after":{{"id":7,"name":"b","note":"__debezium_unavailable_value"}},{SOURCE},"op":"u","ts_ms":5}}"#
        );
        let row = r#"{"id":7,"name":"b"}"#;
        check(&update, Json, &[(Some(r#"{"id":7}"#), Some(row))]);
        let written = format!(
            r#"{{"before":{{"id":7,"name":"a","note":null}},"after":{row},{SOURCE},"op":"u","ts_ms":5}}"#
        );
        check(
            &update,
            DebeziumJson,
            &[(Some(r#"{"id":7}"#), Some(&written))],
        );
        let delete = format!(
            r#"{{"before":{{"id":7,"name":"b"}},"after":null,{SOURCE},"op":"d","ts_ms":5}}"#
        );
        check(&delete, Json, &[(Some(r#"{"id":7}"#), None)]);
        let both = [
            (Some(r#"{"id":7}"#), Some(delete.as_str())),
            (Some(r#"{"id":7}"#), None),
        ];
        check(&delete, DebeziumJson, &both);
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let changes = decode(&[&format!(
            r#"{{"before":null,"after":{{"id":7,"name":null}},{SOURCE},"op":"c","ts_ms":5}}"#
        )])
        .remove(0);
        let rule = |key: &[usize]| {
            let refused = messages(&changes, 0, key, MessageFormat::Json).unwrap_err();
            (refused.rule, refused.field)
        };
        assert_eq!(rule(&[]), ("R2".to_owned(), None));
        let name = changes.rows.schema_ref().index_of("name").unwrap();
        assert_eq!(rule(&[name]), ("R2".to_owned(), Some("name".to_owned())));
        let missing = key_columns(&changes, Some(&["nr".to_owned()])).unwrap_err();
        assert!(missing.contains("\"nr\""), "{missing}");
        let truncate = Changes {
            operations: vec![Operation::Truncate],
            ..changes.clone()
        };
        let refused = messages(&truncate, 0, &[0], MessageFormat::Json).unwrap_err();
        assert_eq!(refused.rule, "R13");
        assert_eq!(
            messages(&truncate, 0, &[0], MessageFormat::DebeziumJson)
                .unwrap()
                .len(),
            1
        );
    }
}

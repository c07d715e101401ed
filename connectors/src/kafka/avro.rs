//! Messages in Avro for the Kafka sink: their schemas, registered under `TOPIC-key` and `TOPIC-value`, and
//! their bytes.
//!
//! A schema is made of the columns of a batch and registered once; the registry answers with the id of one
//! that it has already. Types are those of Debezium (`connect.name`), so that a source with the same format
//! reads the messages as the same changes, and other readers find Avro's own logical types beside them.
//!
//! - a column that is null: null; every column of a row may be null, and none of a key
//! - an unset value (R14, R19): a record of Avro cannot leave a column out. In an event a text is Debezium's
//!   placeholder; what is no text, and any in a plain row, refuses its change
//! - a truncate: an event; a plain row cannot say it and refuses it (R13)
//! - a registry that is away is an outage of the sink; one that refuses a schema is a wrong configuration

mod column;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use serde_json::{Value, json};

use self::column::{bytes, kind_of, long, nullable, write_value};
use super::producer::OutRecord;
use crate::change::{Changes, Logical, Operation};
use crate::error::{Error, RejectedRow, Result};
use crate::schema_registry::{RegistryClient, SchemaRegistry};

/// Debezium's text for a value that it does not send.
const UNAVAILABLE: &[u8] = b"__debezium_unavailable_value";

/// See the module docs.
pub(super) struct AvroMessages {
    is_events: bool,
    registry: RegistryClient,
    /// The ids of schemas by subject and text.
    ids: HashMap<(String, String), u32>,
}

/// The ids that the messages of a batch begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) key: u32,
    pub(super) value: u32,
}

impl AvroMessages {
    pub(super) fn new(settings: &SchemaRegistry, is_events: bool) -> Result<Self> {
        Ok(Self {
            is_events,
            registry: RegistryClient::new(settings)?,
            ids: HashMap::new(),
        })
    }

    /// Registers the schemas of the changes, where that was not done yet.
    ///
    /// # Errors
    /// `Unavailable` while the registry is away; `Configuration` where it refuses, or where a column has a name
    /// that Avro does not have.
    pub(super) async fn register(
        &mut self,
        topic: &str,
        changes: &Changes,
        key: &[usize],
    ) -> Result<Ids> {
        let schema = changes.rows.schema_ref();
        for field in schema.fields() {
            if !is_name(field.name()) {
                return Err(Error::configuration(format!(
                    "column {:?} of table {:?} cannot be a field of Avro (letters, digits and `_`): rename it in a map operator",
                    field.name(),
                    changes.table.name
                )));
            }
        }
        let namespace = namespace(topic);
        let columns: Vec<&Field> = schema.fields().iter().map(AsRef::as_ref).collect();
        let value = match self.is_events {
            true => event_schema(&namespace, &columns),
            false => row_schema(&namespace, &columns),
        };
        let value = self.id(format!("{topic}-value"), &value).await?;
        let key_columns: Vec<&Field> = key.iter().map(|&place| schema.field(place)).collect();
        let key = match key_columns.is_empty() {
            true => 0,
            false => {
                let key = key_schema(&namespace, &key_columns);
                self.id(format!("{topic}-key"), &key).await?
            }
        };
        Ok(Ids { key, value })
    }

    async fn id(&mut self, subject: String, schema: &Value) -> Result<u32> {
        let known = (subject, schema.to_string());
        if let Some(id) = self.ids.get(&known) {
            return Ok(*id);
        }
        let id = self.registry.register(&known.0, &known.1).await?;
        self.ids.insert(known, id);
        Ok(id)
    }

    /// The messages of one change, in order.
    ///
    /// # Errors
    /// Where the change has no key, or the format cannot say it.
    pub(super) fn messages(
        &self,
        changes: &Changes,
        row: usize,
        key: &[usize],
        ids: Ids,
    ) -> Result<Vec<OutRecord>, RejectedRow> {
        let operation = changes.operations[row];
        if operation == Operation::Truncate {
            if !self.is_events {
                let reason =
                    "avro cannot say that a table is emptied: take format = \"debezium-avro\"";
                return Err(refused(row, "R13", None, reason));
            }
            return Ok(vec![OutRecord {
                value: Some(event(changes, row, ids)?),
                ..OutRecord::default()
            }]);
        }
        let message_key = key_of(changes, row, key, ids)?;
        let record = |value: Option<Vec<u8>>| OutRecord {
            key: Some(message_key.clone()),
            value,
            headers: Vec::new(),
        };
        let is_delete = operation == Operation::Delete;
        Ok(match (self.is_events, is_delete) {
            (true, true) => vec![record(Some(event(changes, row, ids)?)), record(None)],
            (true, false) => vec![record(Some(event(changes, row, ids)?))],
            (false, true) => vec![record(None)],
            (false, false) => {
                let mut out = framed(ids.value);
                write_row(changes, row, Unset::Refused, &mut out)?;
                vec![record(Some(out))]
            }
        })
    }
}

fn refused(row: usize, rule: &str, field: Option<&str>, reason: &str) -> RejectedRow {
    RejectedRow {
        row,
        rule: rule.to_owned(),
        field: field.map(str::to_owned),
        reason: reason.to_owned(),
    }
}

/// Whether Avro takes it as the name of a field.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(fits)
}

/// The namespace of the records of a topic: its name, in the letters that Avro has.
fn namespace(topic: &str) -> String {
    let parts = topic.split('.').map(|part| {
        let letter = |letter: char| match letter {
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '_',
        };
        let part: String = part.chars().map(letter).collect();
        match part.as_bytes().first() {
            Some(first) if !first.is_ascii_digit() => part,
            _ => format!("_{part}"),
        }
    });
    parts.collect::<Vec<_>>().join(".")
}

fn record(namespace: &str, name: &str, fields: Vec<Value>) -> Value {
    json!({
        "type": "record", "name": name, "namespace": namespace, "fields": fields,
        "connect.name": format!("{namespace}.{name}"),
    })
}

fn optional(name: &str, kind: Value) -> Value {
    json!({ "name": name, "type": ["null", kind], "default": null })
}

fn row_schema(namespace: &str, columns: &[&Field]) -> Value {
    let fields = columns
        .iter()
        .map(|field| optional(field.name(), kind_of(field)));
    record(namespace, "Value", fields.collect())
}

fn key_schema(namespace: &str, columns: &[&Field]) -> Value {
    let fields = columns
        .iter()
        .map(|field| json!({ "name": field.name(), "type": kind_of(field) }));
    record(namespace, "Key", fields.collect())
}

fn event_schema(namespace: &str, columns: &[&Field]) -> Value {
    let text = |name: &str| optional(name, json!("string"));
    let source = vec![
        text("db"),
        text("schema"),
        json!({ "name": "table", "type": "string" }),
    ];
    let fields = vec![
        optional("before", row_schema(namespace, columns)),
        optional("after", json!("Value")),
        json!({ "name": "source", "type": record(namespace, "Source", source) }),
        json!({ "name": "op", "type": "string" }),
        optional("ts_ms", json!("long")),
    ];
    record(namespace, "Envelope", fields)
}

/// What a message of this schema begins with.
fn framed(id: u32) -> Vec<u8> {
    let mut out = vec![0];
    out.extend_from_slice(&id.to_be_bytes());
    out
}

fn key_of(changes: &Changes, row: usize, key: &[usize], ids: Ids) -> Result<Vec<u8>, RejectedRow> {
    if key.is_empty() {
        let reason = "nothing says which columns are the key: write key = […] in the sink";
        return Err(refused(row, "R2", None, reason));
    }
    let schema = changes.rows.schema_ref();
    let mut out = framed(ids.key);
    for &column in key {
        let (field, values) = (schema.field(column), changes.rows.column(column));
        if changes.is_unset(column, row) || values.is_null(row) {
            let name = Some(field.name().as_str());
            return Err(refused(row, "R2", name, "a key column has no value"));
        }
        write_value(field, values, row, &mut out);
    }
    Ok(out)
}

/// What stands for an unset value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unset {
    /// Nothing: the row says no more than it knows, as a row before.
    Null,
    /// Debezium's placeholder, in a text.
    Placeholder,
    /// The change is refused.
    Refused,
}

/// Appends the columns of a row.
fn write_row(
    changes: &Changes,
    row: usize,
    unset: Unset,
    out: &mut Vec<u8>,
) -> Result<(), RejectedRow> {
    let is_unset = |column: usize| changes.is_unset(column, row);
    write_columns(&changes.rows, row, is_unset, unset, out)
}

fn write_columns(
    rows: &RecordBatch,
    row: usize,
    is_unset: impl Fn(usize) -> bool,
    unset: Unset,
    out: &mut Vec<u8>,
) -> Result<(), RejectedRow> {
    let schema = rows.schema_ref();
    for (index, column) in rows.columns().iter().enumerate() {
        let field = schema.field(index);
        let is_text = *field.data_type() == DataType::Utf8
            && matches!(
                Logical::of(field),
                None | Some(Logical::Json | Logical::Xml)
            );
        match unset {
            _ if !is_unset(index) => nullable(field, column, row, out),
            Unset::Null => out.push(0),
            Unset::Placeholder if is_text => {
                long(1, out);
                bytes(UNAVAILABLE, out);
            }
            Unset::Placeholder | Unset::Refused => {
                let name = Some(field.name().as_str());
                let reason = "a record of Avro cannot leave a column out, and the change does not set this one: take format = \"debezium-json\" or \"json\"";
                return Err(refused(row, "R14", name, reason));
            }
        }
    }
    Ok(())
}

/// A change as Debezium writes it.
fn event(changes: &Changes, row: usize, ids: Ids) -> Result<Vec<u8>, RejectedRow> {
    let operation = changes.operations[row];
    let mut out = framed(ids.value);
    let before = changes.before.as_ref();
    let before = before.filter(|before| before.present.value(row));
    match (operation, before) {
        (Operation::Delete, _) => {
            long(1, &mut out);
            write_row(changes, row, Unset::Null, &mut out)?;
        }
        (Operation::Update, Some(before)) => {
            long(1, &mut out);
            let is_unset = |column: usize| {
                let unset = before.unset[column].as_ref();
                unset.is_some_and(|unset| unset.value(row))
            };
            write_columns(&before.rows, row, is_unset, Unset::Null, &mut out)?;
        }
        _ => out.push(0),
    }
    match operation {
        Operation::Delete | Operation::Truncate => out.push(0),
        _ => {
            long(1, &mut out);
            write_row(changes, row, Unset::Placeholder, &mut out)?;
        }
    }
    let table = &changes.table;
    for name in [&table.database, &table.schema] {
        match name {
            Some(name) => {
                long(1, &mut out);
                bytes(name.as_bytes(), &mut out);
            }
            None => out.push(0),
        }
    }
    bytes(table.name.as_bytes(), &mut out);
    bytes(operation.letter().as_bytes(), &mut out);
    match changes.event_times_ms[row] {
        Some(time) => {
            long(1, &mut out);
            long(time, &mut out);
        }
        None => out.push(0),
    }
    Ok(out)
}

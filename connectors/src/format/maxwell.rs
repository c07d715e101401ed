//! `maxwell-json`: changes of MySQL as Maxwell's daemon writes them.
//!
//! Each message becomes the event of Debezium that says the same, and the decoder of events does the rest: keys,
//! types, changes of a key, ignored columns. The records that go along stay those of Maxwell.
//!
//! | `type` | change |
//! |---|---|
//! | `insert`, `bootstrap-insert` | a create, a row that was read |
//! | `update` | an update; the row before is `data` with what `old` says |
//! | `delete` | a delete with the whole row |
//! | `bootstrap-start`, `bootstrap-complete`, changes of tables | none: filtered |
//!
//! The key is that of the message (`{"database":…,"table":…,"pk.id":1}`, or the form of an array), else that of the
//! settings. Instants are texts without a zone, as MySQL shows them. A number keeps every digit.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::debezium::Debezium;
use super::{Decode, Decoded, DecoderOptions, Undecodable};
use crate::error::Result;
use crate::record::Records;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Maxwell {
    events: Debezium,
}

impl Maxwell {
    pub(super) fn new(options: DecoderOptions) -> Self {
        Self {
            events: Debezium::new(options),
        }
    }
}

/// An event of which no row comes.
const NOTHING: &[u8] = b"{\"op\":\"m\",\"source\":{},\"before\":null,\"after\":null}";

#[async_trait]
impl Decode for Maxwell {
    async fn prepare(&mut self, _records: &Records) -> Result<()> {
        Ok(())
    }

    fn decode(&mut self, records: &Arc<Records>) -> Decoded {
        let mut events = Records {
            partitions: records.partitions.clone(),
            ..Records::default()
        };
        let mut refused = Vec::new();
        for (index, entry) in records.entries.iter().enumerate() {
            let key = records.key(index).and_then(key_of);
            let event = match records.value(index).map(event_of) {
                None => None,
                Some(Ok(event)) => Some(event),
                Some(Err(reason)) => {
                    refused.push(Undecodable {
                        origin: index as u32,
                        rule: "R1".to_owned(),
                        field: None,
                        reason,
                    });
                    Some(NOTHING.to_vec())
                }
            };
            events.push(
                entry.partition,
                entry.offset,
                entry.timestamp_ms,
                key.as_deref(),
                event.as_deref(),
                records.headers(index),
            );
        }
        let mut decoded = self.events.decode(&Arc::new(events));
        for changes in &mut decoded.changes {
            changes.records = records.clone();
        }
        decoded.filtered -= refused.len() as u64;
        decoded.rejected.extend(refused);
        decoded
    }
}

/// The event of Debezium that says the same.
fn event_of(message: &[u8]) -> Result<Vec<u8>, String> {
    let message: Value = serde_json::from_slice(message).map_err(|cause| {
        format!(
            "the message is no JSON (line {}, column {})",
            cause.line(),
            cause.column()
        )
    })?;
    let kind = message["type"].as_str().ok_or(
        "found no `type`, expected a message of Maxwell (`database`, `table`, `type`, `data`)",
    )?;
    let operation = match kind {
        "insert" => "c",
        "bootstrap-insert" => "r",
        "update" => "u",
        "delete" => "d",
        // Changes of tables say what the rows that follow say by themselves.
        kind if kind.starts_with("bootstrap-")
            || kind.starts_with("table-")
            || kind.starts_with("database-") =>
        {
            return Ok(NOTHING.to_vec());
        }
        _ => return Err("found a `type` that Maxwell does not have".to_owned()),
    };
    let (Some(row), Some(_)) = (message["data"].as_object(), message["table"].as_str()) else {
        return Err("found no `data` or no `table`, expected both".to_owned());
    };
    let before = match (operation, message["old"].as_object()) {
        ("u", Some(old)) => {
            let mut before: Map<String, Value> = row.clone();
            before.extend(
                old.iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
            Value::Object(before)
        }
        ("d", _) => Value::Object(row.clone()),
        _ => Value::Null,
    };
    let after = match operation {
        "d" => Value::Null,
        _ => Value::Object(row.clone()),
    };
    // Seconds since the epoch.
    let time_ms = message["ts"].as_i64().map(|seconds| seconds * 1_000);
    let event = json!({
        "op": operation,
        "source": {"db": message["database"], "table": message["table"], "ts_ms": time_ms},
        "before": before,
        "after": after,
    });
    Ok(event.to_string().into_bytes())
}

/// The key as an object of its columns; `None` where the message has none.
fn key_of(key: &[u8]) -> Option<Vec<u8>> {
    let key: Value = serde_json::from_slice(key).ok()?;
    let mut columns: Map<String, Value> = Map::new();
    match key {
        Value::Object(members) => {
            for (name, value) in members {
                if let Some(column) = name.strip_prefix("pk.") {
                    columns.insert(column.to_owned(), value);
                }
            }
        }
        // ["database","table",[{"id":1},{"nr":2}]]
        Value::Array(parts) => {
            for part in parts.get(2)?.as_array()? {
                columns.extend(part.as_object()?.clone());
            }
        }
        _ => return None,
    }
    (!columns.is_empty()).then(|| Value::Object(columns).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::change::Operation;
    use crate::format::{Format, decoder};
    use crate::record::Partition;

    /// Messages as the documentation of Maxwell shows them.
    fn records(messages: &[(Option<&str>, &str)]) -> Arc<Records> {
        let mut records = Records::default();
        let partition = Partition {
            topic: "maxwell".into(),
            number: 0,
        };
        let number = records.add_partition(&partition, false);
        for (offset, (key, value)) in messages.iter().enumerate() {
            let key = key.map(str::as_bytes);
            records.push(
                number,
                offset as i64,
                None,
                key,
                Some(value.as_bytes()),
                None,
            );
        }
        Arc::new(records)
    }

    #[test]
    fn messages_of_maxwell_are_changes_of_their_tables() {
        let key = Some(r#"{"database":"test","table":"maxwell","pk.id":11}"#);
        let records = records(&[
            (
                key,
                r#"{"database":"test","table":"maxwell","type":"insert","ts":1449786310,"xid":940752,"commit":true,"data":{"id":11,"daemon":"Stanislaw Lem","amount":0.10}}"#,
            ),
            (
                key,
                r#"{"database":"test","table":"maxwell","type":"update","ts":1449786341,"xid":940786,"commit":true,"data":{"id":11,"daemon":"Firebus","amount":0.10},"old":{"daemon":"Stanislaw Lem"}}"#,
            ),
            (
                key,
                r#"{"database":"test","table":"maxwell","type":"delete","ts":1449786342,"xid":940787,"commit":true,"data":{"id":11,"daemon":"Firebus","amount":0.10}}"#,
            ),
            (
                Some(r#"["test","notes",[{"id":5}]]"#),
                r#"{"database":"test","table":"notes","type":"bootstrap-insert","ts":1450557744,"data":{"id":5,"txt":"hello"}}"#,
            ),
            (
                None,
                r#"{"database":"test","table":"notes","type":"bootstrap-complete","ts":1450557744,"data":{}}"#,
            ),
            (
                None,
                r#"{"type":"table-alter","database":"test","table":"notes","old":{},"def":{}}"#,
            ),
            (None, r#"{"id":1}"#),
            (None, r#"{"database":"te"#),
        ]);
        let options = DecoderOptions {
            before: true,
            ..DecoderOptions::default()
        };
        let decoded = decoder(Format::MaxwellJson, options).decode(&records);
        assert_eq!(decoded.total(), records.len() as u64);
        assert_eq!(decoded.filtered, 2);
        let refused: Vec<u32> = decoded.rejected.iter().map(|bad| bad.origin).collect();
        assert_eq!(refused, [6, 7]);
        let told: Vec<(&str, Vec<Operation>)> = decoded
            .changes
            .iter()
            .map(|changes| (&*changes.table.name, changes.operations.clone()))
            .collect();
        assert_eq!(
            told,
            [
                (
                    "maxwell",
                    vec![Operation::Create, Operation::Update, Operation::Delete]
                ),
                ("notes", vec![Operation::Read])
            ]
        );
        let changes = &decoded.changes[0];
        assert!(Arc::ptr_eq(&changes.records, &records));
        assert_eq!(changes.key.as_deref(), Some(&["id".to_owned()][..]));
        assert_eq!(changes.event_times_ms[0], Some(1_449_786_310_000));
        let ids = changes.column("id").unwrap().as_primitive::<Int64Type>();
        assert_eq!(ids.values(), &[11, 11, 11]);
        let before = changes.before.as_ref().unwrap();
        assert!(before.present.value(1));
        let names = before.rows.column_by_name("daemon").unwrap();
        assert_eq!(names.as_string::<i32>().value(1), "Stanislaw Lem");
    }
}

//! The records of a case: what its changes look like as they come from the source.

use serde_json::{Value as Json, json};
use syncline_connectors::change::Table;
use syncline_connectors::format::Format;
use syncline_connectors::record::{Partition, Records};

use crate::config::{ChangeLetter, InputChange, Row, TestCase};
use crate::plan::{Plan, SourcePlan};

/// A time as a case writes it, for messages.
const TIME: &str = "2026-01-01T00:00:00Z";

/// A row in which `{ null = true }` is null.
pub(crate) fn with_nulls(row: &Row) -> Row {
    let value = |value: &Json| match value {
        Json::Object(table) if table.len() == 1 && table.get("null") == Some(&Json::Bool(true)) => {
            Json::Null
        }
        other => other.clone(),
    };
    row.iter()
        .map(|(name, json)| (name.clone(), value(json)))
        .collect()
}

pub(super) fn table_of(source: &SourcePlan, name: Option<&str>) -> Table {
    let topic = source.config.describe().topic;
    let last = topic.rsplit(['.', '/']).next().unwrap_or(topic);
    let stem = match topic.contains('/') {
        true => topic
            .rsplit('/')
            .next()
            .and_then(|file| file.split('.').next())
            .unwrap_or(last),
        false => last,
    };
    let default = source.decoding.default_table.as_deref().unwrap_or(stem);
    Table {
        topic: topic.into(),
        database: Some("test".into()),
        schema: Some("public".into()),
        name: name.unwrap_or(default).into(),
    }
}

/// The records of a source; the offset of each is its number in the input, from 0 on.
pub(crate) fn records_of(
    source: &SourcePlan,
    plan: &Plan,
    case: &TestCase,
) -> Result<Records, String> {
    let mut records = Records::default();
    let partition = Partition {
        topic: source.config.describe().topic.into(),
        number: 0,
    };
    let partition = records.add_partition(&partition, true);
    for (index, change) in case.input.iter().enumerate() {
        let at = |message: String| format!("input {}: {message}", index + 1);
        match &change.source {
            Some(name) if plan.sources.iter().all(|known| known.name != *name) => {
                return Err(at(format!("the pipeline has no source {name}")));
            }
            Some(name) if *name != source.name => continue,
            None if plan.sources.len() > 1 => {
                return Err(at("name its source: the pipeline has several".to_owned()));
            }
            Some(_) | None => {}
        }
        let time_ms = match &change.time {
            Some(time) => match chrono::DateTime::parse_from_rfc3339(time) {
                Ok(time) => Some(time.timestamp_millis()),
                Err(_) => {
                    return Err(at(format!(
                        "time = {time:?} is not a time such as {TIME:?}"
                    )));
                }
            },
            None => None,
        };
        let (key, value) = record_of(source, change, time_ms).map_err(at)?;
        let key = key.as_deref().map(str::as_bytes);
        let value = value.as_deref().map(str::as_bytes);
        records.push(partition, index as i64, time_ms, key, value, None);
    }
    Ok(records)
}

/// The key and the value of a change's record.
fn record_of(
    source: &SourcePlan,
    change: &InputChange,
    time_ms: Option<i64>,
) -> Result<(Option<String>, Option<String>), String> {
    if change.value.is_some() || change.row.is_none() && change.op.is_none() {
        if change.row.is_some() || change.op.is_some() {
            return Err("value stands for the whole record: leave out op and row".to_owned());
        }
        return Ok((change.key.clone(), change.value.clone()));
    }
    let op = change.op.unwrap_or(ChangeLetter::C);
    let row = change.row.as_ref().map(with_nulls);
    match source.format {
        Format::DebeziumJson | Format::DebeziumAvro => {
            let before = change.before.as_ref().map(with_nulls);
            let (before, after) = match op {
                ChangeLetter::D => (row, None),
                _ => (before, row),
            };
            let table = table_of(source, change.table.as_deref());
            let event = json!({
                "before": before,
                "after": after,
                "source": { "db": "test", "schema": "public", "table": &*table.name, "ts_ms": time_ms },
                "op": op.letter(),
                "ts_ms": time_ms,
            });
            Ok((change.key.clone(), Some(event.to_string())))
        }
        Format::Json | Format::Avro if matches!(op, ChangeLetter::D | ChangeLetter::T) => match &source
            .decoding
            .deleted
        {
            Some(mark) if op == ChangeLetter::D => {
                let mut row = row.unwrap_or_default();
                row.insert(mark.clone(), Json::Bool(true));
                Ok((change.key.clone(), Some(Json::Object(row).to_string())))
            }
            _ => Err(
                "rows of JSON say no such operation: write key and value as the source sends them"
                    .to_owned(),
            ),
        },
        Format::Json | Format::Avro => Ok((
            change.key.clone(),
            row.map(|row| Json::Object(row).to_string()),
        )),
        format @ (Format::Csv | Format::MaxwellJson | Format::Parquet) => Err(format!(
            "write the record as value, as the source sends it: rows with an operation are for debezium-json and json, and the format is {format}"
        )),
    }
}

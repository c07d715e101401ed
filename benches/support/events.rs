//! Debezium events and rows for the benches, the same in every run.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use syncline_connectors::change::{Changes, Operation, Table};
use syncline_connectors::record::{Partition, Records};

/// A create event of about 850 bytes, as Debezium writes it without the embedded schema.
pub fn event(id: u64) -> String {
    let mut text = String::with_capacity(900);
    let seconds = 1_700_000_000 + id % 1_000_000;
    write!(
        text,
        concat!(
            r#"{{"before":null,"after":{{"id":{id},"first_name":"Name{name}","last_name":"Family{family}","#,
            r#""email":"client{id}@example.org","phone":"+49 30 {phone}","balance":"{balance}.{cents:02}","#,
            r#""status":"active","notes":"a note of some length about client number {id}, kept by hand","#,
            r#""created_at":{created}000000,"updated_at":{updated}123456}},"#,
            r#""source":{{"version":"3.6.3.Final","connector":"postgresql","name":"crm","ts_ms":{updated}123,"#,
            r#""snapshot":"false","db":"crm","sequence":"[\"38814352\",\"38814408\"]","ts_us":{updated}123456,"#,
            r#""ts_ns":{updated}123456000,"schema":"public","table":"clients","txId":{tx},"lsn":{lsn},"xmin":null,"#,
            r#""origin":null,"origin_lsn":null}},"transaction":null,"op":"c","ts_ms":{updated}456,"#,
            r#""ts_us":{updated}456704,"ts_ns":{updated}456704473}}"#
        ),
        id = id,
        name = id % 977,
        family = id % 4999,
        phone = 100_000 + id % 899_999,
        balance = id % 100_000,
        cents = id % 100,
        created = seconds - 1000,
        updated = seconds,
        tx = 800 + id / 10,
        lsn = 38_000_000 + id * 56,
    )
    .expect("a String takes everything");
    text
}

/// An update of that row with its row before, as Debezium sends it for a table with full replica
/// identity.
pub fn update(id: u64) -> String {
    let event = event(id);
    let before = row_of(&event).replacen("\"active\"", "\"draft\"", 1);
    event
        .replacen("null", &before, 1)
        .replacen("\"op\":\"c\"", "\"op\":\"u\"", 1)
}

/// The row of [`event`] as text.
fn row_of(event: &str) -> &str {
    let start = event.find(r#""after":"#).expect("every event has a row") + 8;
    let end = event
        .find(r#","source":"#)
        .expect("every event has a source");
    &event[start..end]
}

/// The row of [`event`] by itself, with instants as texts.
pub fn row(id: u64) -> String {
    instants(row_of(&event(id)))
}

/// The same row as a line of CSV.
pub fn line(id: u64) -> String {
    let row: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&row(id)).expect("a row is JSON");
    let cell = |value: &serde_json::Value| match value.as_str() {
        Some(text) if text.contains(',') => format!("\"{text}\""),
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    let cells: Vec<String> = row.values().map(cell).collect();
    cells.join(",")
}

/// The microseconds of [`event`] as texts in ISO 8601, which every reader takes.
fn instants(row: &str) -> String {
    let mut row: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(row).expect("a row is JSON");
    for name in ["created_at", "updated_at"] {
        let micros = row[name].as_i64().expect("it is a number");
        let seconds = micros / 1_000_000 % 86_400;
        let text = format!(
            "2026-01-02T{:02}:{:02}:{:02}.{:06}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            micros % 1_000_000
        );
        row.insert(name.to_owned(), text.into());
    }
    serde_json::Value::from(row).to_string()
}

/// The schema of the rows of [`event`].
pub fn row_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        text("first_name"),
        text("last_name"),
        text("email"),
        text("phone"),
        Field::new("balance", DataType::Decimal128(12, 2), true),
        text("status"),
        text("notes"),
        Field::new("created_at", micros.clone(), true),
        Field::new("updated_at", micros, true),
    ]))
}

/// The nested schema of [`event`], which arrow-json needs.
pub fn envelope_schema() -> SchemaRef {
    let row = |name: &str| Field::new(name, DataType::Struct(row_schema().fields().clone()), true);
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let source = Fields::from(vec![
        text("version"),
        text("connector"),
        text("name"),
        number("ts_ms"),
        text("snapshot"),
        text("db"),
        text("sequence"),
        number("ts_us"),
        number("ts_ns"),
        text("schema"),
        text("table"),
        number("txId"),
        number("lsn"),
        number("xmin"),
    ]);
    Arc::new(Schema::new(vec![
        row("before"),
        row("after"),
        Field::new("source", DataType::Struct(source), true),
        text("op"),
        number("ts_ms"),
        number("ts_us"),
        number("ts_ns"),
    ]))
}

/// A batch of raw records with offsets from `first`.
pub fn records(first: u64, count: u64) -> Arc<Records> {
    records_of(event, first, count)
}

/// The same as [`records`], with the values of `value`.
pub fn records_of(value: fn(u64) -> String, first: u64, count: u64) -> Arc<Records> {
    let mut records = Records::default();
    let partition = Partition {
        topic: "crm.public.clients".into(),
        number: 0,
    };
    let index = records.add_partition(&partition, true);
    for id in first..first + count {
        let key = format!(r#"{{"id":{id}}}"#);
        records.push(
            index,
            id as i64,
            Some(0),
            Some(key.as_bytes()),
            Some(value(id).as_bytes()),
            None,
        );
    }
    Arc::new(records)
}

/// Creates with these rows; row `i` belongs to record `i`.
pub fn changes(rows: RecordBatch, records: Arc<Records>) -> Changes {
    let count = rows.num_rows();
    Changes {
        table: Arc::new(Table {
            topic: "crm.public.clients".into(),
            database: None,
            schema: None,
            name: "clients".into(),
        }),
        key: Some(Arc::from(vec!["id".to_owned()])),
        unset: vec![None; rows.num_columns()],
        rows,
        before: None,
        not_carried: Vec::new(),
        operations: vec![Operation::Create; count],
        event_times_ms: vec![Some(0); count],
        origins: (0..count as u32).collect(),
        records,
    }
}

/// The rows of [`event`] without decoding: ten columns, with ids from `first` in a scattered order.
pub fn rows(first: u64, count: u64) -> RecordBatch {
    let lines: String = (first..first + count)
        .map(|id| format!("{}\n", row_of(&event(scattered(id)))))
        .collect();
    let mut reader = arrow_json::ReaderBuilder::new(row_schema())
        .with_batch_size(count as usize)
        .build(std::io::Cursor::new(lines))
        .expect("the schema can be read");
    let batch = reader
        .next()
        .expect("there are rows")
        .expect("the rows fit the schema");
    assert_eq!(batch.column(0).len() as u64, count);
    batch
}

/// A fixed permutation within blocks of 2^20, so that keys are not ordered.
fn scattered(id: u64) -> u64 {
    const BLOCK: u64 = 1 << 20;
    (id / BLOCK) * BLOCK + (id.wrapping_mul(0x9E37_79B1) % BLOCK)
}

//! Measures the decoding of Debezium JSON to Arrow, compared with arrow-json on the nested schema, that of
//! rows as JSON and CSV, compared with arrow's readers of the same bytes, and that of Debezium's events in
//! Avro, compared with arrow-avro.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use support::{Aim, Run, avro, compare, events, time};
use syncline_connectors::format::{CsvSettings, DecoderOptions, Format, decoder};
use syncline_connectors::record::Records;

const EVENTS: u64 = 200_000;
const BATCH: u64 = 8_192;
const CEILING: &str = "arrow-json, nested schema";

fn main() {
    let options = DecoderOptions {
        declared: Some(events::row_schema()),
        ..DecoderOptions::default()
    };
    let creates = batches(events::event);
    compare(
        "decode debezium-json",
        CEILING,
        Aim::RateAtLeast(5.0),
        || decode(&creates, &options),
        || ceiling(&creates),
    );
    // The ceiling also reads both rows of every event.
    let updates = batches(events::update);
    let options = DecoderOptions {
        before: true,
        ..options
    };
    compare(
        "decode, with the row before",
        CEILING,
        Aim::RateAtLeast(5.0),
        || decode(&updates, &options),
        || ceiling(&updates),
    );
    for (name, event, before) in [
        (
            "decode debezium-avro",
            events::event as fn(u64) -> String,
            false,
        ),
        (
            "decode debezium-avro, with the row before",
            events::update,
            true,
        ),
    ] {
        let batches: Vec<_> = (0..EVENTS / BATCH)
            .map(|batch| avro::records_of(event, batch * BATCH, BATCH))
            .collect();
        compare(
            name,
            "arrow-avro, whole event",
            // The ceiling makes no rows of it: no operations, keys, images.
            Aim::RateAtLeast(if before { 0.4 } else { 0.5 }),
            || decode_avro(&batches, before),
            || avro_ceiling(&batches),
        );
    }
    rows(Format::Json, "arrow-json", events::row, || {
        Reader::Json(
            arrow_json::ReaderBuilder::new(events::row_schema())
                .with_batch_size(BATCH as usize)
                .build_decoder()
                .expect("the schema can be read"),
        )
    });
    rows(Format::Csv, "arrow-csv", events::line, || {
        let reader = arrow_csv::ReaderBuilder::new(events::row_schema());
        Reader::Csv(Box::new(
            reader.with_batch_size(BATCH as usize).build_decoder(),
        ))
    });
}

/// A reader of arrow.
enum Reader {
    Json(arrow_json::reader::Decoder),
    Csv(Box<arrow_csv::reader::Decoder>),
}

impl Reader {
    fn decode(&mut self, value: &[u8]) -> usize {
        match self {
            Self::Json(decoder) => decoder.decode(value).expect("valid JSON"),
            Self::Csv(decoder) => decoder.decode(value).expect("valid CSV"),
        }
    }

    fn flush(&mut self) -> Option<RecordBatch> {
        match self {
            Self::Json(decoder) => decoder.flush().expect("whole records"),
            Self::Csv(decoder) => decoder.flush().expect("whole records"),
        }
    }
}

/// Rows that are no events, one a record; the ceiling reads the lines of a batch as one text.
fn rows(format: Format, ceiling: &str, value: fn(u64) -> String, reader: fn() -> Reader) {
    let batches = batches(value);
    let names = events::row_schema();
    let names = names.fields().iter().map(|field| field.name().clone());
    let options = DecoderOptions {
        declared: Some(events::row_schema()),
        csv: CsvSettings {
            header: Some(names.collect()),
            ..CsvSettings::default()
        },
        ..DecoderOptions::default()
    };
    let count = batches.len() as u64 * BATCH;
    compare(
        &format!("decode {format}"),
        ceiling,
        Aim::RateAtLeast(0.8),
        || {
            let mut decoder = decoder(format, options.clone());
            time(count, || {
                for records in &batches {
                    let decoded = decoder.decode(records);
                    assert!(decoded.rejected.is_empty());
                    black_box(decoded);
                }
            })
        },
        || {
            time(count, || {
                for records in &batches {
                    let mut reader = reader();
                    let mut text = Vec::with_capacity(records.bytes.len() + records.len());
                    for index in 0..records.len() {
                        text.extend_from_slice(records.value(index).expect("no tombstones here"));
                        text.push(b'\n');
                    }
                    assert_eq!(reader.decode(&text), text.len());
                    black_box(reader.flush());
                }
            })
        },
    );
}

/// All events, in batches.
fn batches(event: fn(u64) -> String) -> Vec<Arc<Records>> {
    (0..EVENTS / BATCH)
        .map(|batch| events::records_of(event, batch * BATCH, BATCH))
        .collect()
}

fn decode(batches: &[Arc<Records>], options: &DecoderOptions) -> Run {
    let mut decoder = decoder(Format::DebeziumJson, options.clone());
    time(batches.len() as u64 * BATCH, || {
        for records in batches {
            let decoded = decoder.decode(records);
            assert!(decoded.rejected.is_empty());
            let has_before = decoded
                .changes
                .iter()
                .all(|changes| changes.before.is_some());
            assert_eq!(has_before, options.before);
            black_box(decoded);
        }
    })
}

fn decode_avro(batches: &[Arc<Records>], before: bool) -> Run {
    let registry = serde_json::json!({ "url": avro::registry() });
    let options = DecoderOptions {
        before,
        schema_registry: Some(serde_json::from_value(registry).expect("settings")),
        ..DecoderOptions::default()
    };
    let mut decoder = decoder(Format::DebeziumAvro, options);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let prepared = runtime
        .expect("a runtime")
        .block_on(decoder.prepare(&batches[0]));
    prepared.expect("the registry answers");
    time(batches.len() as u64 * BATCH, || {
        for records in batches {
            let decoded = decoder.decode(records);
            assert!(decoded.rejected.is_empty());
            let rows: usize = decoded.changes.iter().map(|changes| changes.len()).sum();
            assert_eq!(rows as u64, BATCH);
            black_box(decoded);
        }
    })
}

fn avro_ceiling(batches: &[Arc<Records>]) -> Run {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    let schema = AvroSchema::new(avro::schema());
    store
        .set(Fingerprint::Id(avro::ID), schema)
        .expect("the schema can be read");
    let mut decoder = ReaderBuilder::new()
        .with_batch_size(BATCH as usize)
        .with_writer_schema_store(store)
        .build_decoder()
        .expect("the schema can be read");
    time(batches.len() as u64 * BATCH, || {
        for records in batches {
            for index in 0..records.len() {
                let value = records.value(index).expect("no tombstones here");
                assert_eq!(decoder.decode(value).expect("valid Avro"), value.len());
            }
            let batch = decoder.flush().expect("whole records").expect("rows");
            assert_eq!(batch.num_rows() as u64, BATCH);
            black_box(batch);
        }
    })
}

fn ceiling(batches: &[Arc<Records>]) -> Run {
    time(batches.len() as u64 * BATCH, || {
        for records in batches {
            let mut decoder = arrow_json::ReaderBuilder::new(events::envelope_schema())
                .with_batch_size(BATCH as usize)
                .build_decoder()
                .expect("the schema can be read");
            for index in 0..records.len() {
                let value = records.value(index).expect("no tombstones here");
                assert_eq!(decoder.decode(value).expect("valid JSON"), value.len());
            }
            black_box(decoder.flush().expect("whole records"));
        }
    })
}

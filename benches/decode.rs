//! Measures the decoding of Debezium JSON to Arrow, compared with arrow-json on the nested schema.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use support::{Aim, Run, compare, events, time};
use syncline_connectors::format::{DecoderOptions, Format, decoder};
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

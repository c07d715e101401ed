//! Debezium JSON → Arrow, against arrow-json on the nested schema.

mod support;

use std::hint::black_box;

use support::{Aim, compare, events, time};
use syncline_connectors::format::{Decoder, DecoderOptions, Format};

const EVENTS: u64 = 200_000;
const BATCH: u64 = 8_192;

fn main() {
    let batches: Vec<_> = (0..EVENTS / BATCH)
        .map(|batch| events::records(batch * BATCH, BATCH))
        .collect();
    let count = batches.len() as u64 * BATCH;
    let options = DecoderOptions {
        declared: Some(events::row_schema()),
        ..DecoderOptions::default()
    };
    compare(
        "decode debezium-json",
        "arrow-json, nested schema",
        Aim::RateAtLeast(5.0),
        || {
            let mut decoder = Decoder::new(Format::DebeziumJson, options.clone());
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
        },
    );
}

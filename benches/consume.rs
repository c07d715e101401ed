//! Measures the consumption of 300-byte messages, compared with a bare rdkafka loop. The broker is
//! that of `SYNCLINE_TEST_KAFKA`.

mod support;

use std::hint::black_box;
use std::time::Duration;

use serde_json::json;
use support::{Aim, compare, kafka, time};
use syncline_connectors::assignment::from_the_start;
use syncline_connectors::registry::SOURCES;
use syncline_connectors::source::{Event, Limits, Opening, Purpose};
use tokio::runtime::Runtime;

const MESSAGES: u64 = 500_000;
const QUEUE_BYTES: u64 = 64 << 20;

fn main() {
    let runtime = Runtime::new().expect("a runtime starts");
    let filler = "x".repeat(280);
    let topic = kafka::fill(&runtime, "bench-consume", 1, MESSAGES, |id| {
        format!("{id:020}{filler}")
    });
    compare(
        "consume 300-byte messages",
        "bare rdkafka loop",
        Aim::RateAtLeast(0.9),
        || {
            time(MESSAGES, || {
                assert_eq!(runtime.block_on(consume(&topic)), MESSAGES)
            })
        },
        || {
            time(MESSAGES, || {
                assert_eq!(kafka::bare_loop(&topic, 1, MESSAGES), MESSAGES * 300)
            })
        },
    );
}

async fn consume(topic: &str) -> u64 {
    let kind = SOURCES
        .iter()
        .find(|kind| kind.name == "kafka")
        .expect("it exists");
    let settings = json!({
        "brokers": kafka::brokers(), "topics": [topic], "group": "bench", "format": "debezium-json",
    });
    let config = (kind.read)(settings).expect("settings that fit");
    let opening = Opening::alone(Purpose::Once, QUEUE_BYTES);
    let mut source = config.connect(opening).await.expect("the broker is there");
    let limits = Limits {
        rows: 8192,
        bytes: 4 << 20,
        linger: Duration::from_millis(20),
    };
    let mut seen = 0;
    loop {
        match source.next(&limits).await.expect("the broker answers") {
            Event::Assigned(partitions) => {
                source
                    .assign(&from_the_start(&partitions))
                    .await
                    .expect("they exist");
            }
            Event::Records(fetched) => seen += black_box(fetched.records).len() as u64,
            Event::End => break,
            Event::Rows(_) | Event::Idle | Event::Revoked { .. } => {}
        }
    }
    source.close().await.expect("the broker takes the goodbye");
    seen
}

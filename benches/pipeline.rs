//! Measures whole pipelines, each compared with its slowest part in the same run, and peak memory
//! at the end. Kafka and PostgreSQL are those of `SYNCLINE_TEST_KAFKA` and
//! `SYNCLINE_TEST_POSTGRES`.

mod support;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use serde_json::json;
use support::{Aim, Run, compare, events, kafka, peak_memory_kib, show, sink, time};
use syncline::config;
use syncline::plan::Plan;
use syncline::run::{Options, Running};
use syncline_connectors::format::{DecoderOptions, Format, decoder};
use syncline_connectors::sink::Write;
use tokio::runtime::Runtime;
use tokio::sync::watch;

const EVENTS: u64 = 200_000;
const BATCH: u64 = 8_192;
const PARTITIONS: i32 = 2;

fn main() {
    let runtime = Runtime::new().expect("a runtime starts");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("events.jsonl");
    let text: String = (0..EVENTS).map(|id| events::event(id) + "\n").collect();
    std::fs::write(&file, text).expect("the folder takes files");
    let from_file = format!(
        "type = \"file\"\npath = {:?}\nformat = \"debezium-json\"",
        file.display()
    );
    let to_blackhole = "type = \"blackhole\"\n";
    let decode = || {
        let mut decoder = decoder(
            Format::DebeziumJson,
            DecoderOptions {
                declared: Some(events::row_schema()),
                ..DecoderOptions::default()
            },
        );
        let batches: Vec<_> = (0..EVENTS / BATCH)
            .map(|batch| events::records(batch * BATCH, BATCH))
            .collect();
        time(batches.len() as u64 * BATCH, || {
            for records in &batches {
                black_box(decoder.decode(records));
            }
        })
    };
    compare(
        "file → blackhole",
        "the decoder alone, from memory",
        Aim::RateAtLeast(0.5),
        || run(&runtime, &from_file, to_blackhole),
        decode,
    );
    let database = |number: usize| {
        folder
            .path()
            .join(format!("{number}.db"))
            .display()
            .to_string()
    };
    let mut number = 0;
    let numbers = std::cell::RefCell::new(&mut number);
    let next = || {
        **numbers.borrow_mut() += 1;
        database(**numbers.borrow())
    };
    compare(
        "file → SQLite",
        "the sink alone, fed from memory",
        Aim::RateAtLeast(0.9),
        || run(&runtime, &from_file, &sqlite_text(&next())),
        || {
            feed(
                &runtime,
                "sqlite",
                json!({"path": next(), "table": "clients", "key": ["id"], "evolution": "evolve"}),
            )
        },
    );
    let topic = kafka::fill(
        &runtime,
        "bench-pipeline",
        PARTITIONS,
        EVENTS,
        events::event,
    );
    let from_kafka = format!(
        "type = \"kafka\"\nbrokers = {:?}\ntopics = [{topic:?}]\ngroup = \"GROUP\"\nformat = \"debezium-json\"",
        kafka::brokers()
    );
    compare(
        "Kafka → blackhole",
        "bare rdkafka loop",
        Aim::RateAtLeast(0.9),
        || run(&runtime, &from_kafka, to_blackhole),
        || {
            time(EVENTS, || {
                assert!(kafka::bare_loop(&topic, PARTITIONS, EVENTS) > 0)
            })
        },
    );
    let url =
        std::env::var("SYNCLINE_TEST_POSTGRES").expect("SYNCLINE_TEST_POSTGRES: run `make bench`");
    let table = || {
        **numbers.borrow_mut() += 1;
        format!(
            "bench_pipeline_{}_{}",
            std::process::id(),
            **numbers.borrow()
        )
    };
    compare(
        "Kafka → PostgreSQL",
        "the sink alone, one connection, from memory",
        Aim::RateAtLeast(0.9),
        || {
            let settings = format!(
                "type = \"postgres\"\nurl = {url:?}\ntable = {:?}\nkey = [\"id\"]\nevolution = \"evolve\"\n",
                table()
            );
            run(&runtime, &from_kafka, &settings)
        },
        || {
            feed(
                &runtime,
                "postgres",
                json!({"url": url, "table": table(), "key": ["id"], "evolution": "evolve"}),
            )
        },
    );
    show(format_args!(
        "peak memory of this process, with the benches' own data: {} MiB",
        peak_memory_kib() / 1024
    ));
}

fn sqlite_text(path: &str) -> String {
    format!(
        "type = \"sqlite\"\npath = {path:?}\ntable = \"clients\"\nkey = [\"id\"]\nevolution = \"evolve\"\n"
    )
}

/// Runs a pipeline from source to sink over all events.
fn run(runtime: &Runtime, source: &str, sink: &str) -> Run {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    // A new consumer group: if the sink stores no positions, the group's offsets say where to
    // begin.
    let group = format!("bench-{}-{number}", std::process::id());
    let source = source.replace("GROUP", &group);
    let mut text = format!(
        "name = \"bench-{}-{number}\"\n[sources.events]\n{source}\n",
        std::process::id()
    );
    text.push_str("[sources.events.schema]\n");
    for (name, kind) in [
        ("id", "int64"),
        ("first_name", "string"),
        ("last_name", "string"),
        ("email", "string"),
        ("phone", "string"),
        ("balance", "decimal(12, 2)"),
        ("status", "string"),
        ("notes", "string"),
        ("created_at", "timestamp(us)"),
        ("updated_at", "timestamp(us)"),
    ] {
        writeln!(text, "{name} = \"{kind}\"").expect("a String takes everything");
    }
    write!(text, "[sinks.target]\ninputs = [\"events\"]\n{sink}")
        .expect("a String takes everything");
    let file = config::load_text("bench.toml", text, &|_| None).expect("the pipeline is right");
    let plan = Plan::new(&file);
    let running = Running::new(&plan);
    let options = Options {
        once: true,
        fail_fast: false,
        lanes_max: 2,
        drain_deadline: Duration::from_secs(30),
    };
    let (_stop, stopped) = watch::channel(false);
    let run = time(EVENTS, || {
        runtime
            .block_on(running.run(&plan, &options, stopped))
            .expect("the pipeline runs");
    });
    let balance = &running.summary().sinks[0].balance;
    assert_eq!((balance.written, balance.adds_up()), (EVENTS, true));
    run
}

/// Writes the same rows directly to a sink.
fn feed(runtime: &Runtime, kind: &str, settings: serde_json::Value) -> Run {
    let mut decoder = decoder(
        Format::DebeziumJson,
        DecoderOptions {
            declared: Some(events::row_schema()),
            ..DecoderOptions::default()
        },
    );
    let writes: Vec<Write> = (0..EVENTS / BATCH)
        .map(|batch| Write {
            changes: decoder
                .decode(&events::records(batch * BATCH, BATCH))
                .changes,
            spans: Vec::new(),
            taken: Vec::new(),
        })
        .collect();
    let mut sink = runtime.block_on(sink(kind, settings));
    time(writes.len() as u64 * BATCH, || {
        runtime.block_on(async {
            for write in &writes {
                sink.write(write).await.expect("the sink takes the rows");
            }
        });
    })
}

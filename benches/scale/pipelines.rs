//! Whole pipelines from the Kafka of `SYNCLINE_TEST_KAFKA` to the PostgreSQL of `SYNCLINE_TEST_POSTGRES`, run by
//! the real binary: topics of more and more partitions, and more and more idle pipelines in one process.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::support::{events, kafka, show};

const EVENTS: u64 = 200_000;
/// How long an idle process is watched.
const WATCHED: Duration = Duration::from_secs(20);

/// The same changes in topics of more and more partitions.
pub(crate) fn partitions() {
    show(format_args!("Kafka → PostgreSQL: partitions of a topic"));
    let runtime = Runtime::new().expect("a runtime starts");
    let mut first = None;
    for partitions in [1, 4, 16, 64] {
        let label = format!("scale-partitions-{partitions}");
        let topic = kafka::fill(&runtime, &label, partitions, EVENTS, events::event);
        let mut rates: Vec<f64> = (0..3)
            .map(|round| {
                let folder = tempfile::tempdir().expect("a temporary folder");
                write_pipeline(folder.path(), &format!("p{round}"), &topic);
                let begun = Instant::now();
                let mut process = start(folder.path(), &["--once"]);
                let ended = process.wait().expect("it ends");
                assert!(ended.success(), "it wrote every change");
                EVENTS as f64 / begun.elapsed().as_secs_f64()
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        let base = *first.get_or_insert(rates[1]);
        show(format_args!(
            "{partitions:>12} {:>12.0}/s {:>6.2}× of the first, start-up included",
            rates[1],
            rates[1] / base
        ));
    }
}

/// Memory and processor time of a process whose pipelines have nothing to do.
pub(crate) fn idle() {
    show(format_args!("idle pipelines in one process"));
    let runtime = Runtime::new().expect("a runtime starts");
    let topic = kafka::fill(&runtime, "scale-idle", 1, 100, events::event);
    let mut one = None;
    for count in [1_u64, 10, 100] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for number in 0..count {
            write_pipeline(folder.path(), &format!("idle{count}n{number}"), &topic);
        }
        let mut process = start(folder.path(), &[]);
        let pid = process.id();
        // Started, and the few changes written.
        std::thread::sleep(Duration::from_secs(10) + Duration::from_millis(200) * count as u32);
        let (before, begun) = (cpu_seconds(pid), Instant::now());
        std::thread::sleep(WATCHED);
        let share = (cpu_seconds(pid) - before) / begun.elapsed().as_secs_f64();
        let memory = resident_mib(pid);
        assert!(
            process.try_wait().expect("a child").is_none(),
            "it still runs"
        );
        process.kill().expect("it runs");
        process.wait().expect("it ends");
        let base = *one.get_or_insert(memory);
        let each = if count > 1 {
            (memory - base) / (count - 1) as f64
        } else {
            memory
        };
        show(format_args!(
            "{count:>12} {memory:>8.1} MiB {each:>6.1} MiB each {:>7.3} % of a core each",
            100.0 * share / count as f64
        ));
    }
}

fn write_pipeline(folder: &Path, name: &str, topic: &str) {
    let url =
        std::env::var("SYNCLINE_TEST_POSTGRES").expect("SYNCLINE_TEST_POSTGRES: run `make bench`");
    let name = format!("{name}_{}", std::process::id());
    let mut text = format!(
        "[sources.events]\ntype = \"kafka\"\nbrokers = {:?}\ntopics = [{topic:?}]\ngroup = {name:?}\n\
         format = \"debezium-json\"\n[sources.events.schema]\n",
        kafka::brokers()
    );
    for field in events::row_schema().fields() {
        let kind = match field.name().as_str() {
            "id" => "int64",
            "balance" => "decimal(12, 2)",
            "created_at" | "updated_at" => "timestamp(us)",
            _ => "string",
        };
        writeln!(text, "{} = {kind:?}", field.name()).expect("a String takes everything");
    }
    write!(
        text,
        "[sinks.target]\ninputs = [\"events\"]\ntype = \"postgres\"\nurl = {url:?}\n\
         table = \"scale_{name}\"\nkey = [\"id\"]\nevolution = \"evolve\"\n"
    )
    .expect("a String takes everything");
    std::fs::write(folder.join(format!("{name}.toml")), text).expect("the folder takes files");
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_syncline"))
        .arg("run")
        .arg(folder)
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.expect("Linux says it") / 1024.0
}

/// User and system time; a clock tick is 10 ms.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(')').expect("Linux says it");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

//! Shared by all benches: time, processor time, and a table of ratios.
//!
//! A stage is always compared with a ceiling that is measured in the same run, in turn with it, so
//! that the ratio is stable even if the speed of the machine changes.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every bench is a crate of its own and uses a part of this"
)]

pub mod avro;
pub mod client;
pub mod events;
pub mod kafka;

use std::time::{Duration, Instant};

/// How often stage and ceiling are measured in turn; the median is printed.
pub const ROUNDS: usize = 5;

/// One run of a stage.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Wall time.
    pub wall: Duration,
    /// The processor time of the whole process with all threads, to 10 ms.
    pub cpu: Duration,
    /// The number of processed changes, rows or keys.
    pub units: u64,
}

impl Run {
    /// Units per second of wall time.
    pub fn rate(&self) -> f64 {
        self.units as f64 / self.wall.as_secs_f64()
    }

    /// Processor seconds for a million units.
    pub fn cpu_seconds_per_million(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.units as f64
    }
}

/// Measures one run over `units` units.
pub fn time(units: u64, work: impl FnOnce()) -> Run {
    let (cpu, started) = (cpu_time(), Instant::now());
    work();
    Run {
        wall: started.elapsed(),
        cpu: cpu_time().saturating_sub(cpu),
        units,
    }
}

/// The goal for a stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// The stage's rate is at least this part of the ceiling's rate.
    RateAtLeast(f64),
    /// The stage takes at most this many times the ceiling's time.
    TimeAtMost(f64),
}

/// Prints a line of results.
#[expect(clippy::print_stdout, reason = "the lines are what a bench is for")]
pub fn show(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}

/// Measures stage and ceiling in turn and prints one line: rates, ratio, goal, processor time.
pub fn compare(
    name: &str,
    ceiling_name: &str,
    aim: Aim,
    mut stage: impl FnMut() -> Run,
    mut ceiling: impl FnMut() -> Run,
) {
    let mut stages = Vec::new();
    let mut ceilings = Vec::new();
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let (ours, bound) = (stage(), ceiling());
        ratios.push(match aim {
            Aim::RateAtLeast(_) => ours.rate() / bound.rate(),
            Aim::TimeAtMost(_) => bound.rate() / ours.rate(),
        });
        stages.push(ours);
        ceilings.push(bound);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ROUNDS / 2];
    let (ours, bound) = (median(stages), median(ceilings));
    let (sign, wanted, met) = match aim {
        Aim::RateAtLeast(wanted) => ("≥", wanted, ratio >= wanted),
        Aim::TimeAtMost(wanted) => ("≤", wanted, ratio <= wanted),
    };
    show(format_args!(
        "{name:<34} {:>11.0}/s {:>6.2} CPU s/M | {ceiling_name:<44} {:>11.0}/s | ratio {ratio:>5.2} ({:.2}–{:.2}), aim {sign} {wanted} {}",
        ours.rate(),
        ours.cpu_seconds_per_million(),
        bound.rate(),
        ratios[0],
        ratios[ROUNDS - 1],
        if met { "met" } else { "MISSED" },
    ));
}

/// Measures a stage without a ceiling and prints its rate, with a `note` for comparison.
pub fn report(name: &str, note: &str, mut stage: impl FnMut() -> Run) {
    let runs: Vec<Run> = (0..ROUNDS).map(|_| stage()).collect();
    let ours = median(runs);
    show(format_args!(
        "{name:<34} {:>11.0}/s {:>6.2} CPU s/M | {note}",
        ours.rate(),
        ours.cpu_seconds_per_million(),
    ));
}

fn median(mut runs: Vec<Run>) -> Run {
    runs.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    runs[runs.len() / 2]
}

/// The user and system time of this process.
fn cpu_time() -> Duration {
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let mut fields = after_name
        .split(' ')
        .skip(11)
        .map(|field| field.parse::<u64>().unwrap_or(0));
    let ticks = fields.next().unwrap_or(0) + fields.next().unwrap_or(0);
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// The peak resident memory of this process, in KiB.
pub fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

/// Connects a sink of this type with these settings, as pipeline `bench`.
pub async fn sink(
    kind: &str,
    settings: serde_json::Value,
) -> Box<dyn syncline_connectors::sink::Sink> {
    sink_of("bench", kind, settings).await
}

/// The same as a pipeline of this name.
pub async fn sink_of(
    pipeline: &str,
    kind: &str,
    settings: serde_json::Value,
) -> Box<dyn syncline_connectors::sink::Sink> {
    use syncline_connectors::registry::SINKS;
    use syncline_connectors::sink::Identity;
    let kind = SINKS
        .iter()
        .find(|known| known.name == kind)
        .expect("a sink that exists");
    let config = (kind.read)(settings).expect("settings that fit");
    let identity = Identity {
        pipeline: pipeline.into(),
        sink: "sink".into(),
        source: "source".into(),
    };
    config
        .connect(&identity, &resolvers())
        .await
        .expect("the target is there")
}

fn resolvers() -> std::sync::Arc<dyn syncline_connectors::conflict::Resolvers> {
    syncline::conflict::resolvers()
}

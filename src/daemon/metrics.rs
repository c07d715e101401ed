//! The metrics in OpenMetrics text, gathered when somebody asks: nothing is kept up to date for them.
//!
//! The account of a sink is read once for each answer, under its lock, so that the sum of R17 holds in
//! every answer: `syncline_changes_in = sum(syncline_changes_total) + syncline_changes_waiting +
//! syncline_changes_in_flight`, for each pipeline and sink. The names are documented in
//! `docs/monitoring.md`; a test holds that page, the dashboard and the alerts to them.

mod out;

use std::fmt::{Error, Result};
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use self::out::{COUNTER, GAUGE, HISTOGRAM, INFO, Labels, Out};
use super::Daemon;
use super::process::Usage;
use crate::run::account::Balance;
use crate::run::status::State;
use crate::run::{Running, Summary};

/// What the answer is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every metric of a daemon as text.
///
/// # Errors
/// Only where memory is gone.
pub fn text(daemon: &Arc<Daemon>) -> std::result::Result<String, Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Metrics(daemon.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Metrics(Arc<Daemon>);

/// A pipeline at one moment.
struct Snapshot {
    running: Running,
    state: State,
    summary: Summary,
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result {
        let slots = self.0.slots();
        let snapshots = slots.iter().map(|slot| {
            let running = slot.running();
            Snapshot {
                state: running.status.state(),
                summary: running.summary(),
                running,
            }
        });
        let snapshots: Vec<Snapshot> = snapshots.collect();
        let mut out = Out::new(encoder);
        states(&mut out, &snapshots)?;
        changes(&mut out, &snapshots)?;
        sinks(&mut out, &snapshots)?;
        sources(&mut out, &snapshots)?;
        stages(&mut out, &snapshots)?;
        process(&mut out, &self.0)
    }
}

fn states(out: &mut Out<'_>, snapshots: &[Snapshot]) -> Result {
    let name = "syncline_pipeline_state";
    out.family(
        name,
        "1 for the state in which a pipeline is",
        GAUGE,
        |mut family| {
            for one in snapshots {
                for state in State::NAMES {
                    let labels = vec![("pipeline", &*one.running.name), ("state", state)];
                    family.gauge(&labels, f64::from(u8::from(one.state.name() == state)))?;
                }
            }
            Ok(())
        },
    )?;
    let name = "syncline_pipeline_ready";
    let help = "1 where a pipeline does what it should: running, idle, paused or scheduled";
    out.family(name, help, GAUGE, |mut family| {
        for one in snapshots {
            let labels = vec![("pipeline", &*one.running.name)];
            family.gauge(&labels, f64::from(u8::from(one.state.is_ready())))?;
        }
        Ok(())
    })?;
    let name = "syncline_pipeline_freshness_seconds";
    let help = "Since when the targets do not hold everything that the sources have";
    out.family(name, help, GAUGE, |mut family| {
        for one in snapshots {
            if let Some(age) = one.running.status.freshness() {
                let labels = vec![("pipeline", &*one.running.name)];
                family.gauge(&labels, age.as_secs_f64())?;
            }
        }
        Ok(())
    })?;
    let name = "syncline_pipeline_failures";
    let help = "How often a pipeline failed as a whole and began again";
    out.family(name, help, COUNTER, |mut family| {
        for one in snapshots {
            let labels = vec![("pipeline", &*one.running.name)];
            family.counter(&labels, one.running.status.failures())?;
        }
        Ok(())
    })
}

/// What became of changes (R17).
fn changes(out: &mut Out<'_>, snapshots: &[Snapshot]) -> Result {
    let help = "Changes that ended, by what became of them";
    out.family("syncline_changes", help, COUNTER, |mut family| {
        each_sink(snapshots, |labels, balance| {
            let outcomes = [
                ("written", balance.written),
                ("superseded", balance.superseded),
                ("filtered", balance.filtered),
                ("kept", balance.kept),
                ("quarantined", balance.quarantined),
            ];
            for (outcome, count) in outcomes {
                family.counter(&with(labels, "outcome", outcome), count)?;
            }
            Ok(())
        })
    })?;
    type Of = fn(&Balance) -> u64;
    let gauges: [(&str, &str, Of); 3] = [
        (
            "syncline_changes_in",
            "Changes that entered and were not given back to the source",
            |balance| balance.entered,
        ),
        (
            "syncline_changes_in_flight",
            "Changes between source and commit",
            |balance| balance.in_flight,
        ),
        (
            "syncline_changes_waiting",
            "Changes that wait in the target for a row that a foreign key needs",
            |balance| balance.waiting,
        ),
    ];
    for (name, help, of) in gauges {
        out.family(name, help, GAUGE, |mut family| {
            each_sink(snapshots, |labels, balance| {
                family.gauge(labels, of(balance) as f64)
            })
        })?;
    }
    let counters: [(&str, &str, Of); 4] = [
        (
            "syncline_changes_replayed",
            "Changes that came again after a restart and were skipped",
            |balance| balance.replayed,
        ),
        (
            "syncline_changes_warned",
            "Changes that passed a rule with a warning; they are counted elsewhere too",
            |balance| balance.warned,
        ),
        (
            "syncline_values_left_out",
            "Values of columns that the target does not have",
            |balance| balance.left_out,
        ),
        (
            "syncline_conflicts_queued",
            "Changes that wait for a person's decision; a part of those kept",
            |balance| balance.queued,
        ),
    ];
    for (name, help, of) in counters {
        out.family(name, help, COUNTER, |mut family| {
            each_sink(snapshots, |labels, balance| {
                family.counter(labels, of(balance))
            })
        })?;
    }
    let help = "Conflicts with rows of the target, by type, whoever won";
    out.family("syncline_conflicts", help, COUNTER, |mut family| {
        each_sink(snapshots, |labels, balance| {
            for (kind, count) in &balance.conflicts {
                family.counter(&with(labels, "type", kind), *count)?;
            }
            Ok(())
        })
    })?;
    let help = "Changes that went into quarantine, by the stage and the rule that refused them";
    out.family("syncline_quarantined", help, COUNTER, |mut family| {
        for one in snapshots {
            for rule in &one.summary.quarantined {
                let labels = vec![
                    ("pipeline", &*one.running.name),
                    ("stage", &*rule.stage),
                    ("rule", &*rule.rule),
                    ("field", rule.field.as_deref().unwrap_or_default()),
                    ("topic", &*rule.topic),
                ];
                family.counter(&labels, rule.count)?;
            }
        }
        Ok(())
    })
}

fn sinks(out: &mut Out<'_>, snapshots: &[Snapshot]) -> Result {
    let help = "How often a target did not answer and was asked again";
    out.family("syncline_sink_retries", help, COUNTER, |mut family| {
        for one in snapshots {
            for (sink, measures) in &one.running.measures.sinks {
                let labels = vec![("pipeline", &*one.running.name), ("sink", &**sink)];
                family.counter(&labels, measures.retries())?;
            }
        }
        Ok(())
    })?;
    let help = "1 while the breaker of a sink is open: its target failed several times in a row";
    out.family("syncline_sink_breaker_open", help, GAUGE, |mut family| {
        for one in snapshots {
            for (sink, measures) in &one.running.measures.sinks {
                let labels = vec![("pipeline", &*one.running.name), ("sink", &**sink)];
                family.gauge(&labels, f64::from(u8::from(measures.is_open())))?;
            }
        }
        Ok(())
    })?;
    let help = "Changes of a write; its count is that of the writes";
    out.family("syncline_write_changes", help, HISTOGRAM, |mut family| {
        for one in snapshots {
            for (sink, measures) in &one.running.measures.sinks {
                let labels = vec![("pipeline", &*one.running.name), ("sink", &**sink)];
                family.histogram(&labels, &measures.changes)?;
            }
        }
        Ok(())
    })
}

fn sources(out: &mut Out<'_>, snapshots: &[Snapshot]) -> Result {
    let help = "Records that wait and were not fetched; absent where the source cannot know";
    out.family("syncline_source_lag_records", help, GAUGE, |mut family| {
        for one in snapshots {
            for (source, lag) in &one.running.lags {
                if let Some(records) = lag.records() {
                    let labels = vec![("pipeline", &*one.running.name), ("source", &**source)];
                    family.gauge(&labels, records as f64)?;
                }
            }
        }
        Ok(())
    })?;
    let help = "Every sink has everything before this position of a partition";
    out.family("syncline_source_position", help, GAUGE, |mut family| {
        for one in snapshots {
            for (source, measures) in &one.running.measures.sources {
                for (partition, position) in measures.positions() {
                    let number = partition.number.to_string();
                    let labels = vec![
                        ("pipeline", &*one.running.name),
                        ("source", &**source),
                        ("topic", &*partition.topic),
                        ("partition", &*number),
                    ];
                    family.gauge(&labels, position as f64)?;
                }
            }
        }
        Ok(())
    })?;
    let help = "Bytes between fetch and commit";
    out.family("syncline_source_queued_bytes", help, GAUGE, |mut family| {
        for one in snapshots {
            for (source, measures) in &one.running.measures.sources {
                let labels = vec![("pipeline", &*one.running.name), ("source", &**source)];
                family.gauge(&labels, measures.queued_bytes() as f64)?;
            }
        }
        Ok(())
    })
}

/// How long each stage takes: `fetch`, `decode` and `operators` of a source; `write`, with its commit, and
/// `delivery`, from the fetch to the commit, of a sink.
fn stages(out: &mut Out<'_>, snapshots: &[Snapshot]) -> Result {
    let help = "How long one fetch or one write spends in a stage";
    out.family("syncline_stage_seconds", help, HISTOGRAM, |mut family| {
        for one in snapshots {
            let mut observe = |node: &str, stage, histogram: &Histogram| {
                let labels = vec![
                    ("pipeline", &*one.running.name),
                    ("node", node),
                    ("stage", stage),
                ];
                family.histogram(&labels, histogram)
            };
            for (source, measures) in &one.running.measures.sources {
                observe(source, "fetch", &measures.fetch)?;
                observe(source, "decode", &measures.decode)?;
                observe(source, "operators", &measures.operators)?;
            }
            for (sink, measures) in &one.running.measures.sinks {
                observe(sink, "write", &measures.write)?;
            }
            for (sink, account) in &one.running.accounts {
                observe(sink, "delivery", &account.delivery)?;
            }
        }
        Ok(())
    })
}

fn process(out: &mut Out<'_>, daemon: &Daemon) -> Result {
    let usage = Usage::now();
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Resident memory of the process",
            usage.resident_bytes,
        ),
        (
            "process_open_fds",
            "Open file handles of the process",
            usage.open_files,
        ),
        ("process_threads", "Threads of the process", usage.threads),
    ];
    for (name, help, value) in gauges {
        out.family(name, help, GAUGE, |mut family| match value {
            Some(value) => family.gauge(&vec![], value as f64),
            None => Ok(()),
        })?;
    }
    let help = "Processor time of the process";
    out.family(
        "process_cpu_seconds",
        help,
        COUNTER,
        |mut family| match usage.cpu_seconds {
            Some(seconds) => family.seconds(seconds),
            None => Ok(()),
        },
    )?;
    let help = "Time since the start of the process";
    let uptime = daemon.started_at.elapsed().as_secs_f64();
    out.family("syncline_uptime_seconds", help, GAUGE, |mut family| {
        family.gauge(&vec![], uptime)
    })?;
    let help = "The version of the program, always 1";
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    out.family("syncline_build", help, INFO, |mut family| {
        family.info(&version)
    })
}

/// Calls `with` for each sink of each pipeline with its labels and its account.
fn each_sink(
    snapshots: &[Snapshot],
    mut encode: impl FnMut(&Labels<'_>, &Balance) -> Result,
) -> Result {
    for one in snapshots {
        for sink in &one.summary.sinks {
            let labels = vec![("pipeline", &*one.running.name), ("sink", &*sink.sink)];
            encode(&labels, &sink.balance)?;
        }
    }
    Ok(())
}

fn with<'a>(labels: &Labels<'a>, name: &'a str, value: &'a str) -> Labels<'a> {
    let mut labels = labels.clone();
    labels.push((name, value));
    labels
}

#[cfg(test)]
mod tests;

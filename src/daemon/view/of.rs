//! Pipelines as they are now, in the shapes of the API.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use super::{LastError, LastRun, Partition, Pipeline, QuarantinedRule, Schedule, Sink, Source};
use crate::config::PipelineFile;
use crate::daemon::Slot;
use crate::run::account::Balance;

impl Pipeline {
    /// A pipeline as it is now.
    pub(in crate::daemon) fn of(slot: &Slot) -> Self {
        let (file, running) = (slot.file(), slot.running());
        let state = running.status.state();
        let sources = running.lags.iter().zip(&running.measures.sources);
        let sinks = running.accounts.iter().enumerate();
        Self {
            schedule: Schedule::of(slot, &file),
            name: slot.name.clone(),
            file: file.document.path().to_owned(),
            state: state.name().to_owned(),
            cause: state.cause().map(str::to_owned),
            ready: state.is_ready(),
            freshness_ms: running
                .status
                .freshness()
                .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            failures: running.status.failures(),
            last_error: running.status.last_error().map(|error| LastError {
                at: instant(error.at),
                message: error.message,
            }),
            sources: sources
                .map(|((name, lag), (_, measures))| Source {
                    name: name.clone(),
                    r#type: source_kind(&file, name),
                    lag: lag.records(),
                    queued_bytes: measures.queued_bytes(),
                    partitions: measures
                        .positions()
                        .into_iter()
                        .map(|(partition, position)| Partition {
                            topic: partition.topic.to_string(),
                            partition: partition.number,
                            position,
                        })
                        .collect(),
                })
                .collect(),
            sinks: sinks
                .map(|(index, (name, account))| {
                    let measures = running.measures.sink(name);
                    Sink {
                        name: name.clone(),
                        r#type: sink_kind(&file, name),
                        changes_per_second: running.rates.of(index),
                        retries: measures.retries(),
                        breaker_open: measures.is_open(),
                        ..Sink::of(&account.balance())
                    }
                })
                .collect(),
            quarantined: running
                .summary()
                .quarantined
                .into_iter()
                .map(|rule| QuarantinedRule {
                    stage: rule.stage,
                    rule: rule.rule,
                    field: rule.field,
                    topic: rule.topic,
                    count: rule.count,
                })
                .collect(),
        }
    }
}

impl Schedule {
    fn of(slot: &Slot, file: &PipelineFile) -> Option<Self> {
        let settings = &file.schedule.as_ref()?.settings;
        let (next, last) = slot.runs();
        let last = last.and_then(|run| {
            Some(LastRun {
                began: milliseconds(run.began_ms?),
                ended: run.ended_ms.map(milliseconds),
                failure: run.failure,
            })
        });
        Some(Self {
            cron: settings.cron.clone(),
            timezone: settings.timezone.clone(),
            next: next.map(|at| instant(at.into())),
            last,
        })
    }
}

impl Sink {
    /// The counts of an account at one moment.
    fn of(balance: &Balance) -> Self {
        Self {
            name: String::new(),
            r#type: String::new(),
            r#in: balance.entered,
            written: balance.written,
            superseded: balance.superseded,
            filtered: balance.filtered,
            kept: balance.kept,
            waiting: balance.waiting,
            quarantined: balance.quarantined,
            in_flight: balance.in_flight,
            conflicts: balance.conflicts.iter().map(|(_, count)| count).sum(),
            queued: balance.queued,
            changes_per_second: 0.0,
            retries: 0,
            breaker_open: false,
        }
    }
}

/// The `type` of a source.
pub(in crate::daemon) fn source_kind(file: &PipelineFile, name: &str) -> String {
    let found = file.sources.iter().find(|(known, _)| known == name);
    found.map_or_else(String::new, |(_, config)| config.describe().kind.to_owned())
}

/// The `type` of a sink.
pub(in crate::daemon) fn sink_kind(file: &PipelineFile, name: &str) -> String {
    let found = file.sinks.iter().find(|(known, _)| known == name);
    found.map_or_else(String::new, |(_, sink)| sink.config.kind().to_owned())
}

/// Milliseconds since the epoch as RFC 3339.
pub(in crate::daemon) fn milliseconds(at: i64) -> String {
    let since = Duration::from_millis(u64::try_from(at).unwrap_or(0));
    instant(SystemTime::UNIX_EPOCH + since)
}

/// RFC 3339 in UTC, to the millisecond.
pub(in crate::daemon) fn instant(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

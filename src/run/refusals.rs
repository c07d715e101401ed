//! A refusal that repeats for everything is a wrong configuration, not bad data (R25).
//!
//! Each stage of a pipeline (the decoder, an operator, a sink) passes or refuses the changes of a
//! subject: a topic for the decoder, a table behind it. A subject is *on trial* from its first
//! refusal until one of its changes passes that stage. While it is on trial, whoever refused holds
//! the changes back: nothing of them is acknowledged. The trial ends in one of these ways:
//!
//! - a change passes: what was refused is bad data and goes into quarantine
//! - `stop_after` changes were refused by one rule: the pipeline stops
//! - [`WINDOW`] has passed: the pipeline stops where at least [`WINDOW_MIN`] were refused by one
//!   rule, else they go into quarantine; those that follow are still counted
//! - the source has ended: the pipeline stops where at least [`AT_END_MIN`] were refused by one
//!   rule, or where their form is known, else they go into quarantine
//!
//! One rule means: stage, rule and field are the same for at least nine of ten refusals. A delete,
//! a truncate and a tombstone pass where everything else fails, so they end no trial. A record that
//! comes again (a fence) counts once. All lanes of a pipeline share the state: what passes in one
//! ends the trial in all. Bounded: one entry a stage and subject, [`SAMPLES_MAX`] samples each.

mod trial;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use syncline_connectors::change::{Changes, Operation, Table};
use syncline_connectors::format::{Format, recognize};
use syncline_connectors::record::Records;

use self::trial::{SAMPLES_MAX, SAMPLES_MIN, Trial, of_form};
use crate::quarantine::Entry;
pub use crate::run::refused_rules::RefusedRule;
use crate::run::refused_rules::RefusedRules;

/// How long changes are held back for a trial.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// Fewer refusals than this within the window are bad data.
pub(crate) const WINDOW_MIN: u64 = 20;
/// Fewer refusals than this in a whole source are bad data.
pub(crate) const AT_END_MIN: u64 = 3;

static RUNS: AtomicU64 = AtomicU64::new(0);

/// Whose changes a stage passes or refuses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Subject {
    /// `decode`, or the name of an operator or a sink.
    pub(crate) stage: Arc<str>,
    pub(crate) topic: Arc<str>,
    /// `None` for the decoder, which learns the table only from what it can read.
    pub(crate) table: Option<Arc<Table>>,
}

impl Subject {
    pub(crate) fn of_table(stage: &Arc<str>, table: &Arc<Table>) -> Self {
        Self {
            stage: stage.clone(),
            topic: table.topic.clone(),
            table: Some(table.clone()),
        }
    }

    /// For a person: `table public.items`, or `topic "items"`.
    pub(crate) fn shown(&self) -> String {
        match &self.table {
            None => format!("{:?}", self.topic),
            Some(table) => match &table.schema {
                Some(schema) => format!("table {schema}.{}", table.name),
                None => format!("table {}", table.name),
            },
        }
    }
}

/// What one stage did with the changes of one subject in one batch.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) subject: Subject,
    /// Whether a change passed.
    pub(crate) passed: bool,
    /// The refused ones, as indices into the entries beside.
    pub(crate) refused: Vec<usize>,
    /// Whether further changes of the subject are about to be tried, so that nothing is decided yet.
    pub(crate) more: bool,
    /// What the records are, where the stage is the decoder.
    pub(crate) input: Option<RecordKind>,
}

/// What the records of a source are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordKind {
    /// Whether they are the lines of a file.
    pub(crate) of_file: bool,
    pub(crate) format: Format,
}

/// Whether a row of `changes` says that its stage works: one that is no delete and no truncate.
pub(crate) fn passes(changes: &Changes) -> bool {
    changes
        .operations
        .iter()
        .any(|operation| !matches!(operation, Operation::Delete | Operation::Truncate))
}

/// The trials of a pipeline, shared by its lanes and writers; see the module docs.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Tells the entries of this run from those of another.
    pub(crate) run: String,
    stop_after: u64,
    trials: Mutex<HashMap<Subject, Trial>>,
    /// Topics whose first records were looked at.
    looked_at: Mutex<HashSet<Arc<str>>>,
    /// Lanes whose source has more to say.
    reading: Mutex<BTreeSet<String>>,
    /// What went into quarantine.
    kept: Arc<RefusedRules>,
}

impl Refusals {
    /// Of a pipeline that stops after so many refusals; 0 never stops.
    pub(crate) fn new(pipeline: &str, stop_after: u64) -> Self {
        let now = chrono::Utc::now().timestamp_micros();
        Self {
            run: format!(
                "{}-{now}-{}",
                std::process::id(),
                RUNS.fetch_add(1, Relaxed)
            ),
            stop_after,
            kept: Arc::new(RefusedRules::new(pipeline)),
            ..Self::default()
        }
    }

    /// Of another run of the same pipeline in this process.
    pub(crate) fn again(&self) -> Self {
        self.succeed(self.stop_after)
    }

    /// Of the next plan of the same pipeline, which stops after so many refusals: what was counted stays.
    pub(crate) fn succeed(&self, stop_after: u64) -> Self {
        Self {
            kept: self.kept.clone(),
            ..Self::new("", stop_after)
        }
    }

    /// Looks at the first records of each topic, before anything is written: JSON of another
    /// convention can be read as rows of nonsense.
    ///
    /// # Errors
    /// The diagnosis, where all of them are of a form that is known and `declared` (the columns
    /// that the settings name) does not ask for it.
    pub(crate) fn first_look(
        &self,
        records: &Records,
        declared: &[String],
        input: RecordKind,
    ) -> Result<(), String> {
        let RecordKind { of_file, format } = input;
        if format == Format::Csv || format.has_registry() {
            return Ok(());
        }
        let mut looked_at = lock(&self.looked_at);
        for known in &records.partitions {
            let topic = &known.partition.topic;
            if looked_at.contains(topic) {
                continue;
            }
            let first: Vec<usize> = (0..records.len())
                .filter(|&index| records.partition(index).partition.topic == *topic)
                .filter(|&index| records.value(index).is_some())
                .take(SAMPLES_MAX)
                .collect();
            let values: Vec<&[u8]> = first.iter().filter_map(|&at| records.value(at)).collect();
            let Some(&at) = first.first() else {
                continue;
            };
            if of_file
                && records.entries[at].offset == 0
                && let Some(form) = recognize::array_over_lines(&values)
            {
                return Err(of_form(topic, &form, format));
            }
            looked_at.insert(topic.clone());
            if format == Format::Json && recognize::are_events(&values) {
                return Err(of_form(topic, &recognize::EVENTS, format));
            }
            let asked_for = |form| form == recognize::MAXWELL && format == Format::MaxwellJson;
            if let Some(form) = recognize::foreign_json(&values)
                && !asked_for(form)
                && !form
                    .keys
                    .iter()
                    .any(|key| declared.iter().any(|name| name == key))
            {
                return Err(of_form(topic, &form, format));
            }
        }
        Ok(())
    }

    /// Takes note of what stages did with a batch; gives the subjects whose changes are to be held
    /// back.
    ///
    /// # Errors
    /// The diagnosis, where the pipeline has to stop.
    pub(crate) fn note(&self, seen: &[Seen], entries: &[Entry]) -> Result<Vec<Subject>, String> {
        if self.stop_after == 0 {
            return Ok(Vec::new());
        }
        let mut trials = lock(&self.trials);
        for seen in seen.iter().filter(|seen| seen.passed) {
            match trials.get_mut(&seen.subject) {
                Some(trial) => trial.pass(),
                None => {
                    trials.entry(seen.subject.clone()).or_default().passed = true;
                }
            }
        }
        let mut waiting = Vec::new();
        for refused in seen.iter().filter(|seen| !seen.refused.is_empty()) {
            let elsewhere = |other: &Seen| other.passed && other.subject == refused.subject;
            if seen.iter().any(elsewhere) {
                continue;
            }
            let trial = trials.entry(refused.subject.clone()).or_default();
            let entries = refused.refused.iter().map(|&index| &entries[index]);
            trial.refuse(entries, refused.input);
            if refused.more {
                continue;
            }
            if let Some(text) = trial.recognised(&refused.subject, SAMPLES_MIN) {
                return Err(text);
            }
            if trial.total >= self.stop_after {
                if let Some(rule) = trial.one_rule() {
                    return Err(trial.diagnosis(&refused.subject, rule));
                }
                trial.released.get_or_insert(trial.total);
            }
            if trial.released.is_none() && trial.total > 0 && !waiting.contains(&refused.subject) {
                waiting.push(refused.subject.clone());
            }
        }
        Ok(waiting)
    }

    /// Changes of these tables were written by a sink.
    pub(crate) fn pass<'a>(&self, stage: &Arc<str>, written: impl Iterator<Item = &'a Changes>) {
        if self.stop_after == 0 {
            return;
        }
        let mut trials = lock(&self.trials);
        for changes in written.filter(|changes| passes(changes)) {
            let trial = trials.entry(Subject::of_table(stage, &changes.table));
            trial.or_default().pass();
        }
    }

    /// Those of `subjects` that are on trial still.
    ///
    /// # Errors
    /// The diagnosis, where the window has passed and the pipeline has to stop.
    pub(crate) fn waiting(&self, subjects: &[Subject]) -> Result<Vec<Subject>, String> {
        let mut trials = lock(&self.trials);
        let mut waiting = Vec::new();
        for subject in subjects {
            let Some(trial) = trials.get_mut(subject).filter(|trial| trial.is_open()) else {
                continue;
            };
            if trial.since.is_some_and(|since| since.elapsed() < WINDOW) {
                waiting.push(subject.clone());
            } else {
                trial.end(subject, WINDOW_MIN)?;
            }
        }
        Ok(waiting)
    }

    /// Ends the trials of `subjects`: nothing more will come.
    ///
    /// # Errors
    /// The diagnosis, where the pipeline has to stop.
    pub(crate) fn conclude(&self, subjects: &[Subject]) -> Result<(), String> {
        let mut trials = lock(&self.trials);
        for subject in subjects {
            if let Some(trial) = trials.get_mut(subject).filter(|trial| trial.is_open()) {
                trial.end(subject, AT_END_MIN)?;
            }
        }
        Ok(())
    }

    /// Whether anything is on trial.
    pub(crate) fn any_open(&self) -> bool {
        lock(&self.trials).values().any(Trial::is_open)
    }

    /// Whether no lane has anything more to read that could end a trial.
    pub(crate) fn all_read(&self) -> bool {
        lock(&self.reading).is_empty()
    }

    /// A lane begins to read, or has more to read after all.
    pub(crate) fn reads(&self, lane: &str) {
        lock(&self.reading).insert(lane.to_owned());
    }

    /// A lane has read everything and its writers have finished what is not on trial.
    pub(crate) fn has_read(&self, lane: &str) {
        lock(&self.reading).remove(lane);
    }

    /// Entries are in the quarantine for good.
    pub(crate) fn keep(&self, entries: &[Entry]) {
        self.kept.add(entries);
    }

    /// What went into quarantine, by rule.
    pub(crate) fn kept(&self) -> Vec<RefusedRule> {
        self.kept.list()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

#[cfg(test)]
mod tests;

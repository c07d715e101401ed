//! The state of a pipeline, derived from progress: what the log, the summary and the progress line
//! show is read here and nowhere else.
//!
//! Each part (a source of a lane, a sink of a lane) reports what it waits for. A part that was told
//! to wait (an outage that is retried) is stalled at once; a part that has something to do and gets
//! no further for [`NO_PROGRESS`] is stalled as well, whatever its task believes. Both are computed
//! when the state is read, so a thread that hangs cannot report that all is well.

mod state;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

pub use self::state::{LastError, PartState, State};

/// A part that has something to do and gets no further for so long is stalled.
pub const NO_PROGRESS: Duration = Duration::from_secs(15);
/// How often a stall that goes on is said again, with its present cause.
const REPEAT: Duration = Duration::from_secs(60);

/// What the pipeline as a whole does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Started,
    Failed(String),
    Paused,
    Scheduled,
    Stopped,
}

/// The state of a pipeline, shared by its lanes and writers.
#[derive(Debug)]
pub struct Status {
    pipeline: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    stalled: Vec<Stall>,
    parts: BTreeMap<String, Part>,
    /// The part without progress that the log was told of.
    told: Option<String>,
    /// When the targets held everything last, before the present run.
    fresh_before: Option<Instant>,
    failures: u64,
    last_error: Option<LastError>,
}

#[derive(Debug)]
struct Stall {
    part: String,
    cause: String,
    since: Instant,
    told_at: Instant,
}

/// What a part is doing.
#[derive(Debug, Default)]
struct Part {
    /// Since when, and what it waits for; `None` while it has nothing to do.
    waits: Option<(Instant, &'static str)>,
    /// Of a source: when the target last held all that was known then.
    fresh_at: Option<Instant>,
    /// Of a source: whether all that it has is in the targets.
    caught_up: bool,
}

impl Status {
    pub(crate) fn new(pipeline: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            inner: Mutex::new(Inner {
                phase: Phase::Starting,
                stalled: Vec::new(),
                parts: BTreeMap::new(),
                told: None,
                fresh_before: None,
                failures: 0,
                last_error: None,
            }),
        }
    }

    /// The state of the next run, where tasks of this one may still report: it keeps what happened before.
    pub(crate) fn succeed(&self) -> Self {
        let next = Self::new(&self.pipeline);
        {
            let (before, mut inner) = (self.inner(), next.inner());
            inner.fresh_before = before.fresh_at();
            inner.failures = before.failures;
            inner.last_error.clone_from(&before.last_error);
        }
        next
    }

    /// The pipeline as a whole enters a phase; its parts begin anew with each start.
    pub(crate) fn enter(&self, phase: Phase) {
        let mut inner = self.inner();
        if let Phase::Failed(cause) = &phase {
            inner.failures += 1;
            inner.went_wrong(cause);
        }
        if phase != Phase::Started {
            inner.fresh_before = inner.fresh_at();
            inner.parts.clear();
            inner.told = None;
            // What could not be reached at the start is still waited for.
            if phase != Phase::Starting {
                inner.stalled.clear();
            }
        }
        inner.phase = phase;
    }

    /// Reports that a part waits for another system. A stall that goes on is logged again now and
    /// then, and a new cause at once.
    pub(crate) fn stall(&self, part: &str, cause: &str) {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.went_wrong(cause);
        match inner.stalled.iter_mut().find(|stall| stall.part == part) {
            Some(stall) => {
                if stall.cause != cause || now - stall.told_at >= REPEAT {
                    let since_ms = millis(now - stall.since);
                    tracing::warn!(
                        pipeline = self.pipeline,
                        part,
                        cause,
                        since_ms,
                        "still waiting"
                    );
                    stall.told_at = now;
                    cause.clone_into(&mut stall.cause);
                }
            }
            None => {
                tracing::warn!(pipeline = self.pipeline, part, cause, "stalled");
                inner.stalled.push(Stall {
                    part: part.to_owned(),
                    cause: cause.to_owned(),
                    since: now,
                    told_at: now,
                });
            }
        }
    }

    /// Reports that a part continues.
    pub(crate) fn resume(&self, part: &str) {
        let mut inner = self.inner();
        if let Some(index) = inner.stalled.iter().position(|stall| stall.part == part) {
            let stall = inner.stalled.swap_remove(index);
            let after_ms = millis(stall.since.elapsed());
            tracing::info!(pipeline = self.pipeline, part, after_ms, "running again");
        }
    }

    /// A part has something to do from now on, if it had not before. A source that is asked again has
    /// caught up until it hands over something, or is asked for too long.
    pub(crate) fn waits(&self, part: &str, what: &'static str) {
        let mut inner = self.inner();
        let part = inner.part(part);
        part.waits.get_or_insert((Instant::now(), what));
    }

    /// A part got on with what it did; of a source, there is more to do.
    pub(crate) fn moved(&self, part: &str) {
        let mut inner = self.inner();
        let part = inner.part(part);
        part.waits = None;
        part.caught_up = false;
    }

    /// The targets hold everything that a source had at `at`.
    pub(crate) fn fresh(&self, part: &str, at: Instant) {
        self.inner().part(part).fresh_at = Some(at);
    }

    /// A source has nothing more, and the targets hold everything of it.
    pub(crate) fn caught_up(&self, part: &str) {
        let mut inner = self.inner();
        let part = inner.part(part);
        part.waits = None;
        part.caught_up = true;
        part.fresh_at = Some(Instant::now());
    }

    /// How old the targets are: since when they no longer hold everything that the sources had. `None`
    /// until they held it once.
    pub fn freshness(&self) -> Option<Duration> {
        self.inner().fresh_at().map(|at| at.elapsed())
    }

    /// How often the pipeline failed as a whole.
    pub fn failures(&self) -> u64 {
        self.inner().failures
    }

    /// What went wrong last, also where it has passed since.
    pub fn last_error(&self) -> Option<LastError> {
        self.inner().last_error.clone()
    }

    /// Each part that has reported, and what it waits for.
    pub fn parts(&self) -> Vec<PartState> {
        let inner = self.inner();
        let mut found: BTreeMap<&str, Option<String>> = BTreeMap::new();
        for (name, part) in &inner.parts {
            found.insert(name, part.without_progress());
        }
        for stall in &inner.stalled {
            found.insert(&stall.part, Some(stall.cause.clone()));
        }
        let state = |(part, cause): (&str, _)| PartState {
            part: part.to_owned(),
            cause,
        };
        found.into_iter().map(state).collect()
    }

    /// The current state.
    pub fn state(&self) -> State {
        let inner = self.inner();
        match &inner.phase {
            Phase::Failed(cause) => {
                return State::Failed {
                    cause: cause.clone(),
                };
            }
            Phase::Stopped => return State::Stopped,
            Phase::Paused => return State::Paused,
            Phase::Scheduled => return State::Scheduled,
            Phase::Starting | Phase::Started => {}
        }
        if let Some(stall) = inner.stalled.first() {
            return State::Stalled {
                cause: format!("{}: {}", stall.part, stall.cause),
            };
        }
        if let Some((part, cause)) = inner.without_progress() {
            return State::Stalled {
                cause: format!("{part}: {cause}"),
            };
        }
        if inner.phase == Phase::Starting {
            return State::Starting;
        }
        let mut sources = inner.sources();
        let waiting = inner
            .parts
            .values()
            .any(|part| part.waits.is_some() && !part.caught_up);
        match sources.next() {
            Some(first) if !waiting && first.caught_up && sources.all(|part| part.caught_up) => {
                State::Idle
            }
            _ => State::Running,
        }
    }

    /// Tells the log where a part gets no further, and when it does again.
    pub(crate) fn watch(&self) {
        let mut inner = self.inner();
        let found = inner.without_progress();
        match (found, inner.told.take()) {
            (Some((part, cause)), told) => {
                if told.as_ref() != Some(&part) {
                    tracing::warn!(pipeline = self.pipeline, part, cause, "stalled");
                }
                inner.told = Some(part);
            }
            (None, Some(part)) => {
                tracing::info!(pipeline = self.pipeline, part, "running again");
            }
            (None, None) => {}
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each change is complete before the lock is given back, so a panic elsewhere spoils nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn part(&mut self, name: &str) -> &mut Part {
        if !self.parts.contains_key(name) {
            self.parts.insert(name.to_owned(), Part::default());
        }
        self.parts.get_mut(name).expect("it was just added")
    }

    /// The part that waits longest, if that is too long.
    fn without_progress(&self) -> Option<(String, String)> {
        let waits = self.parts.iter().filter(|(_, part)| part.waits.is_some());
        let (name, part) = waits.min_by_key(|(_, part)| part.waits.map(|(since, _)| since))?;
        Some((name.clone(), part.without_progress()?))
    }

    /// When the targets held everything that the sources had: since this run began, or before it
    /// where a source does not know yet.
    fn fresh_at(&self) -> Option<Instant> {
        let known = self.sources().all(|part| part.fresh_at.is_some());
        match known {
            true => self.sources().filter_map(|part| part.fresh_at).min(),
            false => None,
        }
        .or(self.fresh_before)
    }

    /// The sources that have reported, also those that have never caught up.
    fn sources(&self) -> impl Iterator<Item = &Part> {
        let parts = self.parts.iter();
        let sources = parts.filter(|(name, _)| name.starts_with("source "));
        sources.map(|(_, part)| part)
    }

    fn went_wrong(&mut self, cause: &str) {
        self.last_error = Some(LastError {
            at: SystemTime::now(),
            message: cause.to_owned(),
        });
    }
}

impl Part {
    /// What it waits for, if it has waited too long.
    fn without_progress(&self) -> Option<String> {
        let (since, what) = self.waits?;
        let waited = since.elapsed();
        (waited >= NO_PROGRESS).then(|| format!("{what} for {} s", waited.as_secs()))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

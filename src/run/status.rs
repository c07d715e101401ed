//! The state of a pipeline, derived from progress: what the log, the summary and the progress line
//! show is read here and nowhere else.
//!
//! Each part (a source of a lane, a sink of a lane) reports what it waits for. A part that was told
//! to wait (an outage that is retried) is stalled at once; a part that has something to do and gets
//! no further for [`NO_PROGRESS`] is stalled as well, whatever its task believes. Both are computed
//! when the state is read, so a thread that hangs cannot report that all is well.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A part that has something to do and gets no further for so long is stalled.
pub const NO_PROGRESS: Duration = Duration::from_secs(15);
/// How often a stall that goes on is said again, with its present cause.
const REPEAT: Duration = Duration::from_secs(60);

/// The state of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// It connects to its systems for the first time, or again after a failure.
    Starting,
    /// Changes are processed.
    Running,
    /// Everything that the sources have is in the targets.
    Idle,
    /// Something waits and nothing moves.
    Stalled {
        /// The part and its reason.
        cause: String,
    },
    /// It failed, and begins again by itself.
    Failed {
        /// The failure.
        cause: String,
    },
    /// It has ended.
    Stopped,
}

/// What the pipeline as a whole does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Started,
    Failed(String),
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
            }),
        }
    }

    /// The pipeline as a whole enters a phase; its parts begin anew with each start.
    pub(crate) fn enter(&self, phase: Phase) {
        let mut inner = self.inner();
        if phase != Phase::Started {
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

    /// A part has something to do from now on, if it had not before.
    pub(crate) fn waits(&self, part: &str, what: &'static str) {
        let mut inner = self.inner();
        let part = inner.part(part);
        part.waits.get_or_insert((Instant::now(), what));
        part.caught_up = false;
    }

    /// A part got on with what it did, or has nothing to do.
    pub(crate) fn moved(&self, part: &str) {
        self.inner().part(part).waits = None;
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
        let inner = self.inner();
        let oldest = inner.parts.values().filter_map(|part| part.fresh_at).min();
        oldest.map(|at| at.elapsed())
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
        let mut sources = inner.parts.values().filter(|part| part.fresh_at.is_some());
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
        let now = Instant::now();
        let waits = self
            .parts
            .iter()
            .filter_map(|(name, part)| part.waits.map(|(since, what)| (since, name, what)));
        let (since, name, what) = waits.min_by_key(|(since, ..)| *since)?;
        let waited = now - since;
        (waited >= NO_PROGRESS).then(|| {
            let cause = format!("{what} for {} s", waited.as_secs());
            (name.clone(), cause)
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stalled(cause: &str) -> State {
        State::Stalled {
            cause: cause.into(),
        }
    }

    #[test]
    fn stalled_while_any_part_is() {
        let status = Status::new("p");
        assert_eq!(status.state(), State::Starting);
        status.stall("sinks.a", "connection refused");
        status.stall("sources.b", "no broker");
        status.resume("sinks.a");
        assert_eq!(status.state(), stalled("sources.b: no broker"));
        status.resume("sources.b");
        status.enter(Phase::Started);
        assert_eq!(status.state(), State::Running);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_gets_no_further_is_stalled_whatever_it_believes() {
        let status = Status::new("p");
        status.enter(Phase::Started);
        status.caught_up("source a");
        assert_eq!(status.state(), State::Idle);
        status.waits("sink b", "no answer to a write");
        assert_eq!(status.state(), State::Running);
        tokio::time::advance(NO_PROGRESS - Duration::from_secs(1)).await;
        // To say it again does not begin a new wait.
        status.waits("sink b", "no answer to a write");
        assert_eq!(status.state(), State::Running);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            status.state(),
            stalled("sink b: no answer to a write for 15 s")
        );
        assert_eq!(status.freshness(), Some(NO_PROGRESS));
        status.moved("sink b");
        assert_eq!(status.state(), State::Idle);
        status.enter(Phase::Failed("full disk".into()));
        let cause = "full disk".into();
        assert_eq!(status.state(), State::Failed { cause });
        status.enter(Phase::Starting);
        assert_eq!(status.state(), State::Starting);
    }
}

//! Keeps one pipeline of many going: what is away at the start is waited for, a failure is told and
//! the pipeline begins again, and a panic stays inside it.
//!
//! A pipeline begins again after a wait that grows: 0.5 to 15 s where a system does not answer, 1 to 60
//! s after another failure. Where a person has to change something it is tried once a minute, and no more
//! once every pipeline of the process waits for a person: then the process ends with exit code 2.
//! With `--once` and `--fail-fast` the first failure is the end of the pipeline.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::watch;
use tokio::time::Instant;

use super::status::Phase;
use super::thread::panicked;
use super::{Options, Running};
use crate::config::PipelineFile;
use crate::failure::Failure;
use crate::plan::Plan;

/// How long the waits are for a system that does not answer.
const AWAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// How long the waits are after a failure.
const FAILED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often a pipeline is tried that a person has to change something for.
const WRONG: Duration = Duration::from_secs(60);
/// A run that lasted so long begins again after the shortest wait.
const PROVEN: Duration = Duration::from_secs(60);
/// How often the state is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// What is stalled where a system is away at the start.
const START: &str = "start";

/// How many pipelines of the process can go on without a person.
#[derive(Debug, Clone)]
pub struct Hopeful(Arc<watch::Sender<usize>>);

impl Hopeful {
    /// Of no pipeline yet.
    pub fn none() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub(crate) fn change(&self, by: isize) {
        self.0
            .send_modify(|count| *count = count.saturating_add_signed(by));
    }
}

/// One pipeline that is kept going.
pub struct Supervisor {
    file: Arc<PipelineFile>,
    /// What it does, for whoever watches.
    pub running: Running,
    options: Options,
    hopeful: Hopeful,
}

impl Supervisor {
    /// Of a file whose sinks were not asked for anything yet, and what it did before.
    pub fn new(
        file: Arc<PipelineFile>,
        running: Running,
        options: Options,
        hopeful: Hopeful,
    ) -> Self {
        Self {
            file,
            running,
            options,
            hopeful,
        }
    }

    /// Runs the pipeline until `stop` turns true, its sources are drained, or it cannot go on.
    ///
    /// # Errors
    /// The failure that it ended with.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) -> Result<(), Failure> {
        let (mut away, mut failed) = (waits(AWAY), waits(FAILED));
        let mut running = self.running.clone();
        loop {
            let status = &self.running.status;
            let began = Instant::now();
            let Err(failure) = self.attempt(&running, &stop).await else {
                return Ok(());
            };
            if self.options.once || self.options.fail_fast || *stop.borrow() {
                return Err(failure);
            }
            if began.elapsed() >= PROVEN {
                (away, failed) = (waits(AWAY), waits(FAILED));
            }
            self.running.forget_lags();
            let cause = failure.to_string();
            let (wait, wrong) = match &failure {
                Failure::Unreachable(_) => {
                    status.enter(Phase::Starting);
                    status.stall(START, &cause);
                    (away.next().unwrap_or(AWAY.1), false)
                }
                Failure::Failed(_) => {
                    let wait = failed.next().unwrap_or(FAILED.1);
                    self.tell(&cause, wait);
                    (wait, false)
                }
                Failure::Configuration(_) | Failure::Problems(_) => {
                    self.hopeful.change(-1);
                    (WRONG, true)
                }
            };
            if wrong {
                // The last one that can go on takes the others with it.
                if *self.hopeful.0.borrow() == 0 {
                    self.hopeful.change(1);
                    return Err(failure);
                }
                self.tell(&cause, wait);
            }
            let mut hopeful = self.hopeful.0.subscribe();
            let ends = tokio::select! {
                _ = stop.wait_for(|&stop| stop) => true,
                _ = hopeful.wait_for(|&count| count == 0), if wrong => true,
                () = tokio::time::sleep(wait) => false,
            };
            if wrong {
                self.hopeful.change(1);
            }
            if ends {
                // A system that was away all the time is no failure of a run that was told to stop.
                return match failure {
                    Failure::Unreachable(_) => Ok(()),
                    failure => Err(failure),
                };
            }
            running = running.again();
        }
    }

    fn tell(&self, cause: &str, wait: Duration) {
        let again_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::error!(pipeline = self.running.name, cause, again_in_ms, "failed");
        self.running.status.enter(Phase::Failed(cause.to_owned()));
    }

    /// One run in a task of its own, which contains a panic.
    async fn attempt(
        &self,
        running: &Running,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        running.status.enter(Phase::Starting);
        let (file, options) = (self.file.clone(), self.options.clone());
        let (mine, mut stopped) = (running.clone(), stop.clone());
        let mut attempt = tokio::spawn(async move {
            let mut plan = Plan::new(&file);
            plan.look_up_in(&mine.lookups);
            plan.remember_in(&mine.memories);
            tokio::select! {
                biased;
                _ = stopped.wait_for(|&stop| stop) => return Ok(()),
                taken = plan.take_keys() => taken?,
            }
            mine.run(&plan, &options, stopped).await
        });
        let mut look = tokio::time::interval(WATCH_INTERVAL);
        loop {
            tokio::select! {
                ended = &mut attempt => {
                    return ended.unwrap_or_else(|error| Err(panicked(&error.to_string())));
                }
                _ = look.tick() => {
                    running.status.watch();
                    running.sample();
                }
            }
        }
    }
}

impl Running {
    /// The same pipeline for another run: what refuses is on trial anew, everything else goes on.
    #[must_use]
    pub(crate) fn again(&self) -> Self {
        Self {
            refusals: Arc::new(self.refusals.again()),
            ..self.clone()
        }
    }

    /// Everything is connected: nothing is waited for any more.
    pub(super) fn started(&self) {
        self.status.resume(START);
        self.status.enter(Phase::Started);
    }
}

fn waits((min, max): (Duration, Duration)) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(min)
        .with_max_delay(max)
        .with_jitter()
        .without_max_times()
        .build()
}

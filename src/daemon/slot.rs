//! One pipeline of the process: it runs, or a person paused it, and it takes a new file over.
//!
//! [`Slot::keep`] is its task. What the pipeline should do is one value ([`Wanted`]); whoever changes it
//! drains the run that is going, and the task begins what is wanted then. So a restart, a pause and a new
//! file never run beside what was there before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};

use super::timer::{Run, Timer, wait_until};
use crate::config::{PipelineFile, Timetable};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::run::status::Phase;
use crate::run::supervise::{Hopeful, Supervisor};
use crate::run::{Options, Running};

/// What a pipeline should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Run; another number is another run.
    Run(u64),
    Pause,
    Stop,
}

/// A pipeline; see the module docs.
pub struct Slot {
    /// The pipeline's name.
    pub name: String,
    inner: Mutex<Inner>,
    wanted: watch::Sender<Wanted>,
    /// A person asks for a run of a pipeline that waits for its time.
    run_now: Notify,
    options: Options,
    hopeful: Hopeful,
}

struct Inner {
    file: Arc<PipelineFile>,
    running: Running,
    /// Whether the file is another one than that of the last run.
    is_new: bool,
    /// Whether the last run did not end in time: what is left of it must not count in the next one.
    is_spoilt: bool,
    has_ended: bool,
    /// The runs of a pipeline that has a schedule.
    timer: Timer,
    /// What it waits for, while it does.
    next: Option<Next>,
}

/// The next run of a schedule; without a time where there is none in the next years.
type Next = Option<DateTime<Utc>>;

impl Inner {
    /// Changes that are in flight after a run belong to tasks that did not end in time.
    fn note_what_is_left(&mut self) {
        let accounts = self.running.accounts.iter();
        let mut in_flight = accounts.map(|(_, account)| account.balance().in_flight);
        self.is_spoilt = in_flight.any(|count| count > 0);
    }
}

/// How a pipeline ended.
pub struct Ended {
    /// Its file.
    pub file: Arc<PipelineFile>,
    /// What it did.
    pub running: Running,
    /// Why it ended.
    pub result: Result<(), Failure>,
}

impl Slot {
    pub(super) fn new(
        file: PipelineFile,
        options: &Options,
        hopeful: &Hopeful,
        is_paused: bool,
    ) -> Self {
        hopeful.change(1);
        let running = Running::new(&Plan::new(&file));
        let timer = Timer::new(&file.name, &file.state);
        let first = match is_paused {
            true => Wanted::Pause,
            false => Wanted::Run(0),
        };
        Self {
            name: file.name.clone(),
            inner: Mutex::new(Inner {
                file: Arc::new(file),
                running,
                is_new: false,
                is_spoilt: false,
                has_ended: false,
                timer,
                next: None,
            }),
            wanted: watch::Sender::new(first),
            run_now: Notify::new(),
            options: options.clone(),
            hopeful: hopeful.clone(),
        }
    }

    /// Runs the pipeline until it ends by itself or is told to stop.
    pub(super) async fn keep(self: Arc<Self>) -> Ended {
        let result = self.serve().await;
        self.hopeful.change(-1);
        let mut inner = self.inner();
        inner.has_ended = true;
        inner.running.status.enter(match &result {
            Ok(()) => Phase::Stopped,
            Err(failure) => Phase::Failed(failure.to_string()),
        });
        Ended {
            file: inner.file.clone(),
            running: inner.running.clone(),
            result,
        }
    }

    async fn serve(&self) -> Result<(), Failure> {
        let mut wanted = self.wanted.subscribe();
        loop {
            let now = *wanted.borrow_and_update();
            match now {
                Wanted::Stop => return Ok(()),
                Wanted::Pause => {
                    let running = self.running();
                    running.status.enter(Phase::Paused);
                    running.forget_lags();
                    tracing::info!(pipeline = self.name, "paused");
                    self.inner().timer.interrupt();
                    // The sender lives as long as this task.
                    let _ = wanted.changed().await;
                }
                Wanted::Run(_) => {
                    if let Some(result) = self.run(now, &mut wanted).await {
                        return result;
                    }
                }
            }
        }
    }

    /// One run, at the next time where there is a schedule. Gives how the pipeline ended; `None` where it
    /// goes on, or something else is wanted than `now`.
    async fn run(
        &self,
        now: Wanted,
        wanted: &mut watch::Receiver<Wanted>,
    ) -> Option<Result<(), Failure>> {
        let (file, running) = self.begin();
        // Who runs a pipeline once means now.
        let table = file.schedule.clone().filter(|_| !self.options.once);
        if let Some(table) = &table {
            tokio::select! {
                () = self.wait_for_time(table) => {}
                _ = wanted.wait_for(|wanted| *wanted != now) => {
                    self.inner().next = None;
                    return None;
                }
            }
        }
        let options = Options {
            once: self.options.once || table.is_some(),
            ..self.options.clone()
        };
        let supervisor = Supervisor::new(file, running, options, self.hopeful.clone());
        let (stop, stopped) = watch::channel(false);
        let run = supervisor.run(stopped);
        tokio::pin!(run);
        let by_itself = tokio::select! {
            result = &mut run => Some(result),
            _ = wanted.wait_for(|wanted| *wanted != now) => None,
        };
        if let Some(result) = by_itself {
            let ends = table.is_none() || (self.options.fail_fast && result.is_err());
            if ends {
                return Some(result);
            }
            self.end_run(result.err());
            return None;
        }
        stop.send_replace(true);
        let result = run.await;
        if table.is_some() {
            let cut = "it was stopped before its end".to_owned();
            self.inner().timer.end(Utc::now(), Some(cut));
        }
        if *wanted.borrow() == Wanted::Stop {
            return Some(result);
        }
        if let Err(failure) = &result {
            tracing::warn!(pipeline = self.name, "{failure}");
        }
        self.inner().note_what_is_left();
        None
    }

    /// Waits for the next time of the schedule, or for a person who does not.
    async fn wait_for_time(&self, table: &Timetable) {
        let next = {
            let now = Utc::now();
            let mut inner = self.inner();
            inner.timer.see(now);
            let next = inner.timer.next(table, now);
            inner.next = Some(next);
            // A run that failed stays visible until the next one.
            if !inner.timer.failed_here() {
                inner.running.status.enter(Phase::Scheduled);
            }
            next
        };
        let time = async {
            match next {
                Some(at) => wait_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => {}
            () = self.run_now.notified() => {}
        }
        let mut inner = self.inner();
        inner.next = None;
        inner.timer.begin(Utc::now());
    }

    /// Takes note of how a run of the schedule ended.
    fn end_run(&self, failure: Option<Failure>) {
        let mut inner = self.inner();
        let failure = failure.map(|failure| failure.to_string());
        if let Some(cause) = &failure {
            tracing::error!(pipeline = self.name, cause, "a scheduled run failed");
            inner.running.status.enter(Phase::Failed(cause.clone()));
        }
        inner.timer.end(Utc::now(), failure);
        inner.note_what_is_left();
    }

    /// Runs a pipeline now that waits for its time. `false` where it does not wait.
    pub(super) fn run_now(&self) -> bool {
        let waits = self.inner().next.is_some();
        if waits {
            self.run_now.notify_one();
        }
        waits
    }

    /// When a pipeline with a schedule runs next, and what its last run did.
    pub(super) fn runs(&self) -> (Option<DateTime<Utc>>, Option<Run>) {
        let inner = self.inner();
        (inner.next.flatten(), inner.timer.last.clone())
    }

    /// What the next run is of.
    fn begin(&self) -> (Arc<PipelineFile>, Running) {
        let mut inner = self.inner();
        let is_new = std::mem::take(&mut inner.is_new);
        let is_spoilt = std::mem::take(&mut inner.is_spoilt);
        inner.running = match is_new || is_spoilt {
            true => inner.running.succeeded_by(&Plan::new(&inner.file)),
            false => inner.running.again(),
        };
        (inner.file.clone(), inner.running.clone())
    }

    /// Drains the run and begins another one. Nothing happens to a pipeline that is paused.
    pub(super) fn restart(&self) {
        self.wanted.send_if_modified(|wanted| match wanted {
            Wanted::Run(number) => {
                *number += 1;
                true
            }
            Wanted::Pause | Wanted::Stop => false,
        });
    }

    /// Takes another file over: at once, or when it goes on.
    pub(super) fn replace(&self, file: PipelineFile) {
        {
            let mut inner = self.inner();
            inner.file = Arc::new(file);
            inner.is_new = true;
        }
        self.restart();
    }

    pub(super) fn pause(&self) {
        self.wanted.send_if_modified(|wanted| {
            let runs = matches!(wanted, Wanted::Run(_));
            if runs {
                *wanted = Wanted::Pause;
            }
            runs
        });
    }

    pub(super) fn resume(&self) {
        self.wanted.send_if_modified(|wanted| {
            let paused = *wanted == Wanted::Pause;
            if paused {
                *wanted = Wanted::Run(0);
            }
            paused
        });
    }

    pub(super) fn stop(&self) {
        self.wanted.send_replace(Wanted::Stop);
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.wanted.borrow() == Wanted::Stop
    }

    /// Whether a person paused it; it may still drain.
    pub fn is_paused(&self) -> bool {
        *self.wanted.borrow() == Wanted::Pause
    }

    /// Whether it has ended by itself and no longer listens.
    pub fn has_ended(&self) -> bool {
        self.inner().has_ended
    }

    /// The present file.
    pub fn file(&self) -> Arc<PipelineFile> {
        self.inner().file.clone()
    }

    /// What it does.
    pub fn running(&self) -> Running {
        self.inner().running.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each change is complete before the lock is given back, so a panic elsewhere spoils nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

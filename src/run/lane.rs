//! A lane: a thread that owns some partitions and runs the whole chain for them.
//!
//! [`Lane::run`] is the flow: fetch → decode → operators → quarantine what was rejected → hand to the
//! writers. A key never changes its lane, so its order holds. Nothing is fetched while the lane's
//! byte budget is used up; the source is asked for nothing meanwhile, which keeps it in its group.
//! Positions come from the sinks: a partition begins at the lowest place that a sink asks for, and each
//! sink skips what it holds already (`syncline_connectors::assignment`).
//!
//! Fetches that hold refusals on trial (see [`crate::run::refusals`]) wait in the lane, with those
//! behind them, within its byte budget. They have not entered any account: where the trial stops
//! the pipeline, or the run ends before it does, nothing of them was written, acknowledged or put
//! into quarantine. The first fetches are small, so that a sink that refuses everything says so
//! soon.

mod decode;
mod freshness;
mod held;
mod operators;
mod partitions;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use syncline_connectors::error::{Error, Result};
use syncline_connectors::format::Decode;
use syncline_connectors::record::{Partition, Positions};
use syncline_connectors::sink::Write;
use syncline_connectors::source::{Event, FetchedRows, Limits, Source};
use tokio::sync::{mpsc, oneshot, watch};

use self::decode::Unprepared;
use self::held::{Held, size};
use crate::failure::Failure;
use crate::quarantine::{Entry, Quarantine};
use crate::run::account::Account;
use crate::run::chain::{Chain, Flow};
use crate::run::lag::Lag;
use crate::run::measures::SourceMeasures;
use crate::run::quarantine_writer;
use crate::run::refusals::{Refusals, Subject};
use crate::run::status::Status;
use crate::run::tracker::Tracker;
use crate::run::writer::{Command, DELIVERIES_MAX, Delivery, Notice};

/// How long a revoke waits for what is in flight before the partitions go all the same; the sink's
/// compare-and-set keeps the new owner right (R4).
const REVOKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long one hold of a full lane blocks its thread.
const HOLD: Limits = Limits {
    rows: 0,
    bytes: 0,
    linger: Duration::from_millis(2),
};
/// At most so many records in a fetch until the first one is finished: to find each culprit of a
/// batch costs a database several milliseconds.
const FIRST_ROWS_MAX: usize = 500;
/// How often a lane that has read everything looks whether a trial has ended.
const TRIAL_POLL: Duration = Duration::from_millis(20);
/// How often the places of one assignment are read again because another lane or process keeps them
/// first; each lane of the source can be faster once.
const FENCES_MAX: u32 = 1_000;
/// How often finished positions are told to the outside, for lag tools, and the lag to whoever
/// watches.
const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_secs(1);

/// A writer as its lane sees it.
pub(crate) struct WriterHandle {
    pub(crate) name: String,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) notices: mpsc::Receiver<Notice>,
    pub(crate) account: Arc<Account>,
}

/// One lane; see the module docs.
pub(crate) struct Lane {
    /// The source and the lane, for status and log.
    pub(crate) part: String,
    /// Its number among the lanes of its source.
    pub(crate) number: usize,
    pub(crate) lag: Arc<Lag>,
    pub(crate) measures: Arc<SourceMeasures>,
    /// How many bytes it has under way, for whoever watches.
    pub(crate) queued: Arc<AtomicU64>,
    pub(crate) source: Box<dyn Source>,
    pub(crate) decoder: Box<dyn Decode>,
    pub(crate) chain: Chain,
    pub(crate) writers: Vec<WriterHandle>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) refusals: Arc<Refusals>,
    /// The columns that the source's settings name.
    pub(crate) declared: Vec<String>,
    pub(crate) status: Arc<Status>,
    pub(crate) limits: Limits,
    /// How much may be between fetch and commit.
    pub(crate) in_flight_bytes_max: usize,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) progress: Progress,
}

/// What a lane remembers while it runs.
#[derive(Default)]
pub(crate) struct Progress {
    tracker: Tracker,
    in_flight_bytes: usize,
    /// Partitions that are being read.
    owned: BTreeSet<Partition>,
    /// Partitions that were assigned and do not know yet where to begin.
    waiting: BTreeSet<Partition>,
    finished: Positions,
    /// A fence that a writer met: all begins again from the sinks' positions.
    fence: Option<Error>,
    acknowledged_at: Option<Instant>,
    /// The fetch that cannot be decoded yet; nothing is fetched behind it.
    unprepared: Option<Unprepared>,
    /// Fetches that wait for the end of a trial, in order.
    held: Vec<Held>,
    /// The subjects on trial among them.
    on_trial: Vec<Subject>,
    /// Whether a fetch was finished.
    proven: bool,
    /// The fetch that emptied the source, and when that was.
    marker: Option<(u64, Instant)>,
}

impl Lane {
    /// Runs until the source is drained or a stop is asked for, then drains the writers.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (part, refusals) = (self.part.clone(), self.refusals.clone());
        let result = self.read().await;
        refusals.has_read(&part);
        result
    }

    async fn read(mut self) -> Result<(), Failure> {
        self.refusals.reads(&self.part);
        while !*self.stop.borrow() {
            self.handle_notices().await?;
            self.decode_waiting().await?;
            let room = self.room();
            self.status
                .waits(&self.part, "the source hands over nothing");
            let asked = Instant::now();
            let event = self.source.next(&room).await;
            if let Ok(Event::Records(_) | Event::Rows(_)) = &event {
                self.measures.fetch.observe(asked.elapsed().as_secs_f64());
            }
            match event {
                Ok(Event::Records(fetched)) => self.decode(fetched).await?,
                Ok(Event::Rows(rows)) => self.process(rows).await?,
                Ok(Event::Assigned(partitions)) => self.begin(partitions).await?,
                Ok(Event::Revoked { partitions, lost }) => self.give_up(&partitions, lost).await?,
                Ok(Event::Idle) => self.idle(),
                Ok(Event::End) => {
                    self.conclude().await?;
                    // A fence brings changes back: then the source has more to say.
                    if self.progress.fence.is_none() {
                        break;
                    }
                }
                Err(error) => self.source_failed(error).await?,
            }
        }
        self.flush().await?;
        self.acknowledge().await;
        if let Err(error) = self.source.close().await {
            tracing::warn!(
                part = self.part,
                error = error.chain(),
                "the source did not close"
            );
        }
        Ok(())
    }

    /// One fetch through the chain and to the writers.
    async fn process(&mut self, fetched: FetchedRows) -> Result<(), Failure> {
        let FetchedRows {
            records,
            decoded,
            spans,
        } = fetched;
        let fetched_at = Instant::now();
        self.status.resume(&self.part);
        let Some(chained) = self.apply(&records, decoded, &spans).await? else {
            return Ok(());
        };
        let took = fetched_at.elapsed();
        self.measures.operators.observe(took.as_secs_f64());
        self.status.moved(&self.part);
        let waiting = self
            .refusals
            .note(&chained.seen, &chained.rejected)
            .map_err(|diagnosis| self.stopped(&diagnosis))?;
        let held = Held {
            bytes: size(&records, &chained),
            records,
            spans,
            chained,
            fetched_at,
        };
        if waiting.is_empty() && self.progress.held.is_empty() {
            return self.forward(held).await;
        }
        self.progress.in_flight_bytes += held.bytes;
        self.progress.held.push(held);
        for subject in waiting {
            if !self.progress.on_trial.contains(&subject) {
                self.progress.on_trial.push(subject);
            }
        }
        Ok(())
    }

    /// One fetch to the writers; what was rejected of it is durable before.
    async fn forward(&mut self, fetch: Held) -> Result<(), Failure> {
        let Held {
            records,
            spans,
            chained,
            fetched_at,
            ..
        } = fetch;
        self.keep_rejected(chained.rejected).await?;
        let number = self
            .progress
            .tracker
            .begin(spans.clone(), self.writers.len());
        self.mark(number, fetched_at);
        for (index, Flow { changes, tally }) in chained.flows.into_iter().enumerate() {
            let bytes = records.size() + changes.iter().map(|batch| batch.size()).sum::<usize>();
            let write = Write {
                changes,
                spans: spans.clone(),
                taken: Vec::new(),
            };
            let delivery = Delivery {
                number,
                write,
                tally,
                fetched_at,
                bytes,
            };
            self.writers[index].account.enter(&tally);
            self.progress.in_flight_bytes += bytes;
            self.send(index, Command::Deliver(delivery)).await?;
        }
        Ok(())
    }

    /// What the next fetch may hold: nothing while the budget is used up.
    fn room(&self) -> Limits {
        let queued = self.progress.tracker.in_flight() + self.progress.held.len();
        let is_full = self.progress.in_flight_bytes >= self.in_flight_bytes_max;
        if is_full || queued >= DELIVERIES_MAX || self.progress.unprepared.is_some() {
            return HOLD;
        }
        let mut limits = self.limits;
        if !self.progress.proven {
            limits.rows = limits.rows.min(FIRST_ROWS_MAX);
        }
        limits
    }

    fn stopped(&self, diagnosis: &str) -> Failure {
        Failure::Configuration(format!("{}: {diagnosis}", self.part))
    }

    /// Rejected changes are durable before their positions can move.
    async fn keep_rejected(&mut self, rejected: Vec<Entry>) -> Result<(), Failure> {
        if rejected.is_empty() {
            return Ok(());
        }
        quarantine_writer::append(&self.quarantine, &rejected, &self.status)
            .await
            .map_err(|error| Failure::of("quarantine", error))?;
        self.refusals.keep(&rejected);
        Ok(())
    }

    /// Takes note of what the writers finished, and begins again after a fence.
    async fn handle_notices(&mut self) -> Result<(), Failure> {
        self.take_notices()?;
        self.queued
            .store(self.progress.in_flight_bytes as u64, Ordering::Relaxed);
        if let Some(error) = self.progress.fence.take() {
            self.begin_again(&error).await?;
        }
        self.forward_held().await?;
        let due = self
            .progress
            .acknowledged_at
            .is_none_or(|at| at.elapsed() >= ACKNOWLEDGE_INTERVAL);
        if due {
            self.acknowledge().await;
        }
        Ok(())
    }

    fn take_notices(&mut self) -> Result<(), Failure> {
        for index in 0..self.writers.len() {
            while let Ok(notice) = self.writers[index].notices.try_recv() {
                self.note(index, notice)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, index: usize, notice: Notice) -> Result<(), Failure> {
        match notice {
            Notice::Finished { number, bytes } => {
                self.progress.in_flight_bytes -= bytes;
                self.progress.proven = true;
                let moved = self.progress.tracker.finish(number);
                self.progress.finished.extend(moved);
                self.freshen();
            }
            Notice::GivenBack { bytes } => self.progress.in_flight_bytes -= bytes,
            Notice::Fenced { error, bytes } => {
                self.progress.in_flight_bytes -= bytes;
                self.progress.fence = Some(error);
            }
            Notice::Failed(error) => {
                return Err(Failure::of_sink(&self.writers[index].name, error));
            }
        }
        Ok(())
    }

    /// Waits until the writers finished everything that they were given, or gave it back after a
    /// fence or in the middle of a trial. May be dropped at any point: it begins nothing.
    async fn flush(&mut self) -> Result<(), Failure> {
        self.ask_all(Command::Flush).await?;
        self.take_notices()
    }

    /// Asks each writer and waits for its answer.
    async fn ask_all(&mut self, ask: fn(oneshot::Sender<()>) -> Command) -> Result<(), Failure> {
        for index in 0..self.writers.len() {
            let (reply, answer) = oneshot::channel();
            self.send(index, ask(reply)).await?;
            if answer.await.is_err() {
                return Err(self.hung_up(index));
            }
        }
        Ok(())
    }

    async fn send(&mut self, index: usize, command: Command) -> Result<(), Failure> {
        if self.writers[index].commands.send(command).await.is_err() {
            return Err(self.hung_up(index));
        }
        Ok(())
    }

    /// Why a writer no longer listens: what it said last.
    fn hung_up(&mut self, index: usize) -> Failure {
        while let Ok(notice) = self.writers[index].notices.try_recv() {
            if let Notice::Failed(error) = notice {
                return Failure::of_sink(&self.writers[index].name, error);
            }
        }
        Failure::Failed(format!(
            "the writer of sink {} ended by itself",
            self.writers[index].name
        ))
    }
}

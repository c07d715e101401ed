//! Running a plan: lanes and writers are started, watched, and joined.
//!
//! One failure stops the whole pipeline and is the result of its run; `supervise.rs` decides whether it
//! begins again. A panic in a lane is such a failure. When a stop is asked for, the lanes fetch no more and drain;
//! what is not drained within the deadline is reported and left to the next start, which finds it by
//! the sinks' positions.

pub mod account;
pub(crate) mod browse;
pub(crate) mod cases;
mod chain;
mod connect;
#[cfg(test)]
mod engine_tests;
mod held;
pub mod lag;
mod lane;
mod layers;
pub mod measures;
mod quarantine_writer;
pub mod rate;
pub mod refusals;
mod refused_rules;
pub(crate) mod replay;
mod sink_keys;
pub mod status;
mod successor;
pub mod supervise;
mod thread;
mod tracker;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use account::{Account, Balance};
use lag::Lag;
use lane::Lane;
use measures::Measures;
use rate::Rates;
use refusals::{Refusals, RefusedRule};
use status::Status;
use syncline_connectors::cache::CacheStats;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::thread::{panicked, start};
use crate::failure::Failure;
use crate::lookup::Lookups;
use crate::operator::{Memory, RuleCount};
use crate::plan::Plan;
use crate::quarantine::Quarantine;

/// How a plan is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Stop once the sources are drained.
    pub once: bool,
    /// Whether a failure ends the pipeline instead of a new start.
    pub fail_fast: bool,
    /// At most this many lanes a source.
    pub lanes_max: usize,
    /// How long a stop may take before the pipeline fails.
    pub drain_deadline: Duration,
}

/// A pipeline that is about to run or runs: what watches it holds a clone.
#[derive(Debug, Clone)]
pub struct Running {
    /// The pipeline's name.
    pub name: String,
    /// Whether it runs or is stalled, and why.
    pub status: Arc<Status>,
    /// The account of each sink, by name, in the order of the file.
    pub accounts: Vec<(String, Arc<Account>)>,
    /// How far each source is behind, by name, in the order of the file.
    pub lags: Vec<(String, Arc<Lag>)>,
    /// What is measured beside the accounts.
    pub measures: Arc<Measures>,
    /// How many changes each sink finishes a second.
    pub rates: Arc<Rates>,
    /// What is refused, and whether that is everything.
    pub refusals: Arc<Refusals>,
    /// What the operators look up, with its caches.
    pub lookups: Arc<Lookups>,
    /// What the operators remember, by their names.
    pub memories: Vec<(String, Memory)>,
    started_at: Instant,
}

/// What a pipeline did, when it has ended.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Summary {
    /// The pipeline's name.
    pub pipeline: String,
    /// From start to end, milliseconds.
    pub elapsed_ms: u64,
    /// How far each source is behind.
    pub sources: Vec<SourceSummary>,
    /// The account of each sink.
    pub sinks: Vec<SinkSummary>,
    /// What went into quarantine, by rule.
    pub quarantined: Vec<RefusedRule>,
    /// How often rows broke a rule of `validate`, by operator.
    pub rules: Vec<OperatorRules>,
    /// What each cache did.
    pub caches: Vec<CacheSummary>,
}

/// What a cache did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct CacheSummary {
    /// The cache's name.
    pub cache: String,
    /// Its figures.
    #[serde(flatten)]
    pub stats: CacheStats,
}

/// How often rows broke the rules of one operator.
#[derive(Debug, Clone, serde::Serialize)]
pub struct OperatorRules {
    /// The operator's name.
    pub operator: String,
    /// The rules that were broken.
    pub rules: Vec<RuleCount>,
}

/// How far a source is behind.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SourceSummary {
    /// The source's name.
    pub source: String,
    /// Records that wait and were not fetched; `None` where the source cannot know.
    pub lag: Option<u64>,
}

/// What became of the changes for one sink.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SinkSummary {
    /// The sink's name.
    pub sink: String,
    /// Where every change ended (R17).
    #[serde(flatten)]
    pub balance: Balance,
    /// Changes finished per second of the whole run.
    pub changes_per_second: f64,
}

impl Running {
    /// Of a plan that has not started.
    pub fn new(plan: &Plan) -> Self {
        Self {
            name: plan.name.clone(),
            status: Arc::new(Status::new(&plan.name)),
            accounts: plan
                .sink_names()
                .map(|name| (name.to_owned(), Arc::new(Account::default())))
                .collect(),
            lags: plan
                .sources
                .iter()
                .map(|source| (source.name.clone(), Arc::default()))
                .collect(),
            measures: Arc::new(Measures::new(
                plan.sources.iter().map(|source| source.name.as_str()),
                plan.sink_names(),
            )),
            rates: Arc::default(),
            refusals: Arc::new(Refusals::new(&plan.name, plan.quarantine.stop_after())),
            lookups: plan.lookups.clone(),
            memories: plan
                .sources
                .iter()
                .flat_map(|source| &source.steps)
                .map(|step| (step.name.clone(), step.memory.clone()))
                .collect(),
            started_at: Instant::now(),
        }
    }

    /// Takes note of how far the sinks are, for their rates.
    pub(crate) fn sample(&self) {
        let finished = self.accounts.iter().map(|(_, account)| account.finished());
        self.rates.sample(finished.collect());
    }

    /// No source is read now.
    pub(crate) fn forget_lags(&self) {
        for (_, lag) in &self.lags {
            lag.forget();
        }
    }

    /// What it did up to now.
    pub fn summary(&self) -> Summary {
        let elapsed = self.started_at.elapsed();
        let of = |(sink, account): &(String, Arc<Account>)| {
            let balance = account.balance();
            let finished = balance.entered.saturating_sub(balance.in_flight) as f64;
            let changes_per_second = finished / elapsed.as_secs_f64().max(f64::EPSILON);
            SinkSummary {
                sink: sink.clone(),
                balance,
                changes_per_second,
            }
        };
        Summary {
            pipeline: self.name.clone(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            sources: self
                .lags
                .iter()
                .map(|(source, lag)| SourceSummary {
                    source: source.clone(),
                    lag: lag.records(),
                })
                .collect(),
            sinks: self.accounts.iter().map(of).collect(),
            quarantined: self.refusals.kept(),
            rules: self
                .memories
                .iter()
                .map(|(operator, memory)| OperatorRules {
                    operator: operator.clone(),
                    rules: memory.counts(),
                })
                .filter(|of| !of.rules.is_empty())
                .collect(),
            caches: self
                .lookups
                .stats()
                .into_iter()
                .map(|(cache, stats)| CacheSummary { cache, stats })
                .collect(),
        }
    }

    fn account(&self, sink: &str) -> Arc<Account> {
        let found = self.accounts.iter().find(|(name, _)| name == sink);
        found
            .map(|(_, account)| account.clone())
            .expect("the accounts are made from the plan's sinks")
    }

    /// Runs the plan to its end: the sources are drained (`once`), `stop` turns true, or something
    /// fails.
    ///
    /// # Errors
    /// The first [`Failure`] of any lane or writer.
    pub async fn run(
        &self,
        plan: &Plan,
        options: &Options,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        let (stop_lanes, stopped) = watch::channel(false);
        let (abandon, abandoned) = watch::channel(false);
        let quarantine = Quarantine::open(&plan.quarantine, &plan.name)
            .await
            .map_err(|error| Failure::of("quarantine", error))?;
        let quarantine = Arc::new(quarantine);
        let lanes = tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => return Ok(()),
            lanes = self.connect(plan, options, &quarantine, &stopped, &abandoned) => lanes?,
        };
        self.started();
        tracing::info!(
            pipeline = self.name,
            lanes = lanes.len(),
            sinks = self.accounts.len(),
            "started"
        );
        let mut tasks = JoinSet::new();
        for (number, (lane, writers)) in lanes.into_iter().enumerate() {
            let ended = start(number, lane);
            tasks.spawn(async move { ended.await.unwrap_or_else(|_| Err(panicked("unknown"))) });
            for writer in writers {
                tasks.spawn(writer.run());
            }
        }
        let result = self
            .watch(&mut tasks, options, &mut stop, &stop_lanes)
            .await;
        // Whoever still waits for a target that is away gives up now.
        abandon.send_replace(true);
        // No other run may begin beside what is left of this one.
        while !tasks.is_empty() && !options.once && !*stop.borrow() {
            tokio::select! {
                _ = tasks.join_next() => {}
                _ = stop.wait_for(|&stop| stop) => {}
            }
        }
        if tasks.is_empty() && result.is_err() && !options.once && !*stop.borrow() {
            for (_, account) in &self.accounts {
                account.give_all_back();
            }
        }
        tasks.detach_all();
        result
    }

    async fn watch(
        &self,
        tasks: &mut JoinSet<Result<(), Failure>>,
        options: &Options,
        stop: &mut watch::Receiver<bool>,
        stop_lanes: &watch::Sender<bool>,
    ) -> Result<(), Failure> {
        let mut result = Ok(());
        let mut deadline = None;
        while !tasks.is_empty() {
            let overdue = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let ended = tokio::select! {
                ended = tasks.join_next() => ended,
                _ = stop.wait_for(|&stop| stop), if deadline.is_none() => {
                    stop_lanes.send_replace(true);
                    deadline = Some(tokio::time::Instant::now() + options.drain_deadline);
                    continue;
                }
                () = overdue => {
                    return result.and(Err(self.not_drained(options.drain_deadline)));
                }
            };
            let failure = match ended {
                Some(Ok(Ok(()))) => continue,
                Some(Ok(Err(failure))) => failure,
                Some(Err(error)) => {
                    // A lane may have said before that its writer is gone: this says why.
                    result = Ok(());
                    panicked(&error.to_string())
                }
                None => break,
            };
            stop_lanes.send_replace(true);
            deadline.get_or_insert(tokio::time::Instant::now() + options.drain_deadline);
            result = result.and(Err(failure));
        }
        result
    }

    fn not_drained(&self, deadline: Duration) -> Failure {
        let in_flight: u64 = self
            .accounts
            .iter()
            .map(|(_, account)| account.balance().in_flight)
            .sum();
        Failure::Failed(format!(
            "not drained within {} s: {in_flight} changes are in flight and come again at the next start",
            deadline.as_secs()
        ))
    }
}

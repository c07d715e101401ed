//! The engine with a source and a sink in memory, seeded: replays, refusals, fences, lost replies and
//! rebalances in every order that a seed gives. Each run checks that every change took effect exactly
//! once and that the account adds up (R4, R16, R17, R18).
//! Longer than 400 lines: the source, the sink and the model belong together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use proptest::prelude::*;
use syncline_connectors::assignment::{Assignment, Remember};
use syncline_connectors::error::{Error, RejectedChange, Result};
use syncline_connectors::layer::{Breaker, BreakerConfig};
use syncline_connectors::record::{Held, HeldPositions, Partition, Positions, Records, Span};
use syncline_connectors::sink::{Outcome, Sink, Write};
use syncline_connectors::source::{Event, Fetched, Limits, Source};
use tokio::sync::{mpsc, watch};

use super::account::Account;
use super::chain::Chain;
use super::lane::{Lane, Progress, WriterHandle};
use super::layers::{RetryContext, patient};
use super::refusals::Refusals;
use super::status::Status;
use super::writer::{DELIVERIES_MAX, Writer};
use super::{Options, Running};
use crate::config::{self, Layers};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::quarantine::{self, Quarantine};

const PARTITIONS: i32 = 3;
const RECORDS: i64 = 120;
/// Every record whose offset is a multiple of this is refused by the sink.
const POISON_EVERY: i64 = 17;

const PIPELINE: &str = r#"
[sources.memory]
type   = "file"
path   = "unused.jsonl"
format = "debezium-json"
[sources.memory.schema]
id        = "int64"
partition = "int64"
"#;

/// A pipeline of the memory source and so many sinks.
fn plan(sinks: usize) -> Plan {
    let mut text = PIPELINE.to_owned();
    for number in 0..sinks {
        text += &format!("[sinks.memory{number}]\ntype = \"blackhole\"\ninputs = [\"memory\"]\n");
    }
    let file = config::load_text("memory.toml", text, &|_| None).unwrap();
    Plan::new(&file)
}

/// A small generator of choices, so that a run is its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn partition(number: i32) -> Partition {
    Partition {
        topic: "memory".into(),
        number,
    }
}

/// Every partition holds [`RECORDS`] records; it is read in pieces, and now and then taken away.
struct MemorySource {
    dice: Dice,
    said: VecDeque<Event>,
    next: BTreeMap<Partition, i64>,
    revoked: Vec<Partition>,
    committed: Arc<Mutex<Positions>>,
}

#[async_trait]
impl Source for MemorySource {
    async fn next(&mut self, limits: &Limits) -> Result<Event> {
        if !self.revoked.is_empty() {
            let back = std::mem::take(&mut self.revoked);
            self.next.retain(|partition, _| !back.contains(partition));
            return Ok(Event::Assigned(back));
        }
        if let Some(event) = self.said.pop_front() {
            return Ok(event);
        }
        if limits.rows == 0 {
            tokio::time::sleep(Duration::from_micros(100)).await;
            return Ok(Event::Idle);
        }
        if self.dice.roll(12) == 0 {
            let partitions: Vec<Partition> = self.next.keys().take(2).cloned().collect();
            let lost = self.dice.roll(2) == 0;
            self.revoked.clone_from(&partitions);
            return Ok(Event::Revoked { partitions, lost });
        }
        let open: Vec<(Partition, i64)> = self
            .next
            .iter()
            .filter(|(_, at)| **at < RECORDS)
            .map(|(p, at)| (p.clone(), *at))
            .collect();
        if open.is_empty() {
            return Ok(Event::End);
        }
        let (picked, at) = open[self.dice.roll(open.len() as u64) as usize].clone();
        let next = (at + 1 + self.dice.roll(9) as i64).min(RECORDS);
        self.next.insert(picked.clone(), next);
        let mut records = Records::default();
        let index = records.add_partition(&picked, true);
        for offset in at..next {
            let value = format!(
                r#"{{"before":null,"after":{{"id":{offset},"partition":{}}},"op":"c"}}"#,
                picked.number
            );
            let key = format!(r#"{{"id":{offset}}}"#);
            records.push(
                index,
                offset,
                None,
                Some(key.as_bytes()),
                Some(value.as_bytes()),
                None,
            );
        }
        let spans = vec![Span {
            partition: picked,
            from: Some(at),
            next,
            incarnation: None,
        }];
        Ok(Event::Records(Fetched { records, spans }))
    }

    async fn assign(&mut self, assignments: &[Assignment]) -> Result<Vec<Remember>> {
        for assignment in assignments {
            let held = assignment
                .sinks
                .iter()
                .map(|sink| sink.position().unwrap_or(0));
            let lowest = held.min().unwrap_or(0);
            self.next.insert(assignment.partition.clone(), lowest);
        }
        Ok(Vec::new())
    }

    async fn acknowledge(&mut self, positions: &Positions) -> Result<()> {
        let mut committed = self.committed.lock().unwrap();
        for (partition, &position) in positions {
            committed.insert(partition.clone(), position);
        }
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        None
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// What two processes write into.
#[derive(Clone, Default)]
struct Target {
    positions: Positions,
    applied: BTreeMap<(i64, i64), u32>,
}

/// Fails before it writes, loses the reply after it wrote, refuses poison, fences zombies.
struct MemorySink {
    target: Arc<Mutex<Target>>,
    dice: Dice,
    in_doubt: Option<(Vec<Span>, Outcome)>,
}

#[async_trait]
impl Sink for MemorySink {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        let held = |(partition, &next): (&Partition, &i64)| {
            let incarnation = None;
            (partition.clone(), Held { next, incarnation })
        };
        let target = self.target.lock().unwrap();
        Ok(Some(target.positions.iter().map(held).collect()))
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        if self.dice.roll(10) == 0 {
            return Err(Error::unavailable(
                "away before the write",
                std::io::Error::other("test"),
            ));
        }
        let mut target = self.target.lock().unwrap();
        if let Some((spans, outcome)) = self.in_doubt.take()
            && spans == write.spans
            && spans
                .iter()
                .all(|span| target.positions.get(&span.partition) == Some(&span.next))
        {
            return Ok(outcome);
        }
        for span in &write.spans {
            let found = target.positions.get(&span.partition).copied();
            if found != span.from {
                let partition = span.partition.clone();
                return Err(Error::Fenced {
                    partition,
                    expected: span.from.unwrap_or(-1),
                    found,
                });
            }
        }
        let mut rows = Vec::new();
        let mut rejected = Vec::new();
        for (batch, changes) in write.changes.iter().enumerate() {
            let ids = changes.column("id").unwrap().as_primitive::<Int64Type>();
            let partitions = changes
                .column("partition")
                .unwrap()
                .as_primitive::<Int64Type>();
            for row in 0..changes.len() {
                if ids.value(row) % POISON_EVERY == 0 {
                    rejected.push(RejectedChange {
                        batch,
                        row,
                        rule: "poison".into(),
                        field: None,
                        reason: "a multiple".into(),
                    });
                }
                rows.push((partitions.value(row), ids.value(row)));
            }
        }
        if !rejected.is_empty() {
            return Err(Error::Rejected(rejected));
        }
        for span in &write.spans {
            target.positions.insert(span.partition.clone(), span.next);
        }
        for &row in &rows {
            *target.applied.entry(row).or_default() += 1;
        }
        let outcome = Outcome {
            written: rows.len() as u64,
            ..Outcome::default()
        };
        if self.dice.roll(10) == 0 {
            self.in_doubt = Some((write.spans.clone(), outcome));
            return Err(Error::unavailable(
                "the reply was lost",
                std::io::Error::other("test"),
            ));
        }
        Ok(outcome)
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// One process: a lane and its writers over the shared targets. Gives the account of each sink.
async fn process(
    seed: u64,
    targets: &[Arc<Mutex<Target>>],
    quarantine: Arc<Quarantine>,
    committed: Arc<Mutex<Positions>>,
    stop_after: u64,
) -> Vec<Arc<Account>> {
    let plan = plan(targets.len());
    let status = Arc::new(Status::new("memory"));
    let refusals = Arc::new(Refusals::new("memory", stop_after));
    let (_stop, stop) = watch::channel(false);
    let mut handles = Vec::new();
    let mut writers = Vec::new();
    let mut accounts = Vec::new();
    for (sink_plan, target) in plan.sources[0].sinks.iter().zip(targets) {
        let (commands_in, commands) = mpsc::channel(DELIVERIES_MAX);
        let (notices, notices_out) = mpsc::channel(2 * DELIVERIES_MAX);
        let account = Arc::new(Account::default());
        let sink = MemorySink {
            target: target.clone(),
            dice: Dice(seed ^ (0xABCD + handles.len() as u64 * 0x1_0000)),
            in_doubt: None,
        };
        let context = RetryContext {
            part: &sink_plan.name,
            breaker: &Breaker::new(&BreakerConfig::default()),
            status: &status,
            measures: &Arc::default(),
            abandoned: &stop,
        };
        writers.push(Writer {
            pipeline: "memory".into(),
            name: sink_plan.name.as_str().into(),
            sink: patient(Box::new(sink), &Layers::default(), &context),
            quarantine: quarantine.clone(),
            refusals: refusals.clone(),
            account: account.clone(),
            status: status.clone(),
            positions: Positions::new(),
            keeps_positions: false,
            fenced: false,
            held: None,
            room: None,
            commands,
            notices,
        });
        handles.push(WriterHandle {
            name: sink_plan.name.clone(),
            commands: commands_in,
            notices: notices_out,
            account: account.clone(),
        });
        accounts.push(account);
    }
    let all = (0..PARTITIONS).map(partition).collect();
    let lane = Lane {
        part: "source memory".into(),
        number: 0,
        lag: Arc::default(),
        measures: Arc::default(),
        queued: Arc::default(),
        source: Box::new(MemorySource {
            dice: Dice(seed),
            said: VecDeque::from([Event::Assigned(all)]),
            next: BTreeMap::new(),
            revoked: Vec::new(),
            committed,
        }),
        decoder: plan.sources[0].decoder(),
        chain: Chain::new("memory", &plan.sources[0]),
        writers: handles,
        quarantine,
        refusals,
        declared: Vec::new(),
        status,
        limits: Limits {
            rows: 100,
            bytes: 1 << 20,
            linger: Duration::from_millis(1),
        },
        in_flight_bytes_max: 4096 * targets.len(),
        stop,
        progress: Progress::default(),
    };
    let writing = futures::future::join_all(writers.into_iter().map(Writer::run));
    let (ended, wrote) = tokio::join!(lane.run(), writing);
    ended.unwrap();
    for wrote in wrote {
        wrote.unwrap();
    }
    accounts
}

/// A target that an earlier run has left somewhere in each partition; of some it knows nothing.
fn begun(dice: &mut Dice) -> Target {
    let mut target = Target::default();
    for number in 0..PARTITIONS {
        if dice.roll(4) == 0 {
            continue;
        }
        let position = dice.roll(RECORDS as u64) as i64;
        target.positions.insert(partition(number), position);
        for id in (0..position).filter(|id| id % POISON_EVERY != 0) {
            target.applied.insert((i64::from(number), id), 1);
        }
    }
    target
}

fn check(seed: u64, processes: u64, targets: Vec<Target>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = config::QuarantineConfig::File(config::FileQuarantine {
        path: folder.path().into(),
        stop_after: 1_000,
    });
    let held: Vec<Target> = targets.clone();
    let targets: Vec<_> = targets
        .into_iter()
        .map(|target| Arc::new(Mutex::new(target)))
        .collect();
    let committed = Arc::new(Mutex::new(Positions::new()));
    let mut accounts = Vec::new();
    runtime.block_on(async {
        let quarantine = Arc::new(Quarantine::open(&config, "memory").await.unwrap());
        let runs = (0..processes).map(|number| {
            let seed = seed.wrapping_mul(31).wrapping_add(number * 7919) | 1;
            // Of two processes one may meet nothing but poison in the end, which is a wrong configuration
            // to it (R25).
            let stop_after = if processes == 1 { 1_000 } else { 0 };
            let (quarantine, committed) = (quarantine.clone(), committed.clone());
            process(seed, &targets, quarantine, committed, stop_after)
        });
        accounts = futures::future::join_all(runs).await;
    });
    let all: BTreeSet<(i64, i64)> = (0..i64::from(PARTITIONS))
        .flat_map(|number| (0..RECORDS).map(move |id| (number, id)))
        .collect();
    let is_poison = |id: i64| id % POISON_EVERY == 0;
    let mut poison = BTreeSet::new();
    for (number, (target, held)) in targets.iter().zip(&held).enumerate() {
        let target = target.lock().unwrap();
        let expected: BTreeSet<(i64, i64)> = all
            .iter()
            .copied()
            .filter(|&(_, id)| !is_poison(id))
            .collect();
        let applied: BTreeSet<(i64, i64)> = target.applied.keys().copied().collect();
        assert_eq!(
            applied, expected,
            "every good change and no other is in the target"
        );
        assert!(
            target.applied.values().all(|&times| times == 1),
            "R4: nothing took effect twice"
        );
        for (partition, position) in committed.lock().unwrap().iter() {
            assert!(
                target.positions[partition] >= *position,
                "R18: never past what is finished"
            );
        }
        let balances = accounts.iter().map(|of_sinks| of_sinks[number].balance());
        let mut written = 0;
        for balance in balances {
            assert!(
                balance.adds_up() && balance.in_flight == 0,
                "R17: {balance:?}"
            );
            written += balance.written as usize;
        }
        // A process that is fenced after its reply was lost cannot know that its commit went through.
        let missing = expected.len() - held.applied.len();
        assert!(
            written <= missing && (processes > 1 || written == missing),
            "R17: {written} of {missing} are counted as written, each once"
        );
        poison.extend(
            all.iter()
                .filter(|&&(_, id)| is_poison(id))
                .filter_map(|&(p, id)| {
                    let held_at = held.positions.get(&partition(p as i32)).copied();
                    (held_at.is_none_or(|at| id >= at))
                        .then(|| (format!("memory{number}"), p as i32, id))
                }),
        );
    }
    let refused: BTreeSet<(String, i32, i64)> = quarantine::list(&config, "memory")
        .unwrap()
        .entries
        .into_iter()
        .map(|entry| (entry.stage, entry.partition, entry.offset))
        .collect();
    assert_eq!(
        refused, poison,
        "R16: exactly the culprits are in quarantine"
    );
}

#[tokio::test]
async fn the_panic_of_a_writer_is_the_reason_and_stops_the_lanes() {
    let running = Running::new(&plan(1));
    let (stop_lanes, mut stopped) = watch::channel(false);
    let (_stop, mut stop) = watch::channel(false);
    let mut tasks = tokio::task::JoinSet::new();
    // A lane sees that its writer is gone before the writer's task is joined.
    tasks.spawn(async { Err(Failure::Failed("the writer ended by itself".into())) });
    tasks.spawn(async move {
        stopped.wait_for(|&stopped| stopped).await.unwrap();
        panic!("of a writer")
    });
    let options = Options {
        once: false,
        fail_fast: false,
        lanes_max: 1,
        drain_deadline: Duration::from_secs(60),
    };
    let result = running
        .watch(&mut tasks, &options, &mut stop, &stop_lanes)
        .await;
    let reason = result.expect_err("it failed").to_string();
    assert!(
        reason.contains("panicked") && reason.contains("of a writer"),
        "{reason}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn one_process_is_exact(seed in 1_u64..1_000_000) {
        check(seed, 1, vec![Target::default()]);
    }

    #[test]
    fn two_processes_that_both_believe_to_own_everything_are_exact(seed in 1_u64..1_000_000) {
        check(seed, 2, vec![Target::default()]);
    }

    #[test]
    fn sinks_that_stand_at_different_positions_are_exact(seed in 1_u64..1_000_000, processes in 1_u64..3) {
        let mut dice = Dice(seed);
        let targets = vec![begun(&mut dice), begun(&mut dice)];
        check(seed, processes, targets);
    }
}

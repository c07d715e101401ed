//! Another session writes the rows that a sink reads, decides and writes (C10): every decision is
//! made for the row that it replaces, and no increment is lost.
//! Longer than 400 lines: each interleaving is written out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use syncline_connectors::change::{Changes, Operation};
use syncline_connectors::conflict::{ConflictPolicy, ConflictType, History, Strategy};
use syncline_connectors::conformance::cells::{Cell, Column, Event, Value, changes};
use syncline_connectors::conformance::rows::partition;
use syncline_connectors::conformance::sink::TestDatabase as _;
use syncline_connectors::error::Error;
use syncline_connectors::record::{Records, Span};
use syncline_connectors::sink::{Identity, Outcome, Sink, Write};
use syncline_connectors::sql::Options;

use crate::conflicts::Postgres;
use crate::harness::{DEADLINE, Database, eventually};

const COLUMNS: [Column; 2] = [Column::Name, Column::Amount];
const TABLE: &str =
    "CREATE TABLE clients (id bigint PRIMARY KEY, name text, amount numeric(12, 2) NOT NULL)";

/// The time for which both write.
const RACE: Duration = Duration::from_secs(4);

/// The number of clients whose rows always exist for other sessions.
const STEADY: i64 = 20;
/// The rows of clients from `STEADY` to here are inserted and deleted.
const ALL: i64 = 30;

/// A log of every write to every row, in order.
const LOG: &str = "
CREATE TABLE log (number bigserial PRIMARY KEY, id bigint, by_sink boolean, did text,
    old_name text, old_amount numeric, new_name text, new_amount numeric);
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO log (id, by_sink, did, old_name, old_amount, new_name, new_amount) VALUES
        (coalesce(NEW.id, OLD.id), coalesce(current_setting('race.other', true), '') = '', TG_OP,
         OLD.name, OLD.amount, NEW.name, NEW.amount);
    RETURN NULL;
END $$;
CREATE TRIGGER log AFTER INSERT OR UPDATE OR DELETE ON clients FOR EACH ROW EXECUTE FUNCTION log()";

#[tokio::test(flavor = "multi_thread")]
async fn no_increment_of_two_writers_is_lost_c10() {
    let bench = Postgres::new("races").await;
    let database = &bench.database;
    database.execute(TABLE).await;
    let fill =
        format!("INSERT INTO clients SELECT id, 'first', 0 FROM generate_series(1, {ALL}) id");
    database.execute(&fill).await;
    database.execute(LOG).await;
    let mut writer = Writer::open(&bench).await;
    let over = AtomicBool::new(false);
    let stream = async {
        let start = Instant::now();
        let mut source = Source::default();
        while start.elapsed() < RACE {
            let events = source.batch();
            writer.write(&events).await;
        }
        over.store(true, Ordering::Relaxed);
        source
    };
    let (source, others) = tokio::join!(stream, edit_until(database, &over));
    let (edits, added) = others;
    let outcome = writer.outcome;
    assert!(source.batches > 20 && edits > 100, "both wrote a lot");
    let updates = outcome.conflicts.get(ConflictType::UpdateOriginDiffers);
    let inserts = outcome.conflicts.get(ConflictType::UpdateMissing);
    assert!(updates > 100 && inserts > 10, "they met often: {outcome:?}");

    for id in 1..=STEADY {
        let query = format!("SELECT amount FROM clients WHERE id = {id}");
        let expected = source.amounts[&id] + added[&id];
        let found = database.rows(&query).await;
        assert_eq!(
            found,
            [[Some(Value::Hundredths(expected).to_string())]],
            "of client {id}"
        );
    }
    every_write_follows_from_the_row_before(database, &source).await;
    counts_are_exact(database, &outcome).await;
}

/// The log of each row has no gap, and the sink's result for a row follows from the row before it.
async fn every_write_follows_from_the_row_before(database: &Database, source: &Source) {
    let log = database
        .rows("SELECT id, by_sink, did, old_name, old_amount, new_name, new_amount FROM log ORDER BY id, number")
        .await;
    let mut held: BTreeMap<i64, Option<Texts>> = BTreeMap::new();
    let mut writes: BTreeMap<i64, usize> = BTreeMap::new();
    let mut conflicts = 0;
    for entry in &log {
        let text = |column: usize| entry[column].clone();
        let id: i64 = text(0).expect("an id").parse().expect("a number");
        let side = |from: usize| Some([text(from)?, text(from + 1)?]);
        let (old, new) = (side(3), side(5));
        let first = Some(["first".to_owned(), "0.00".to_owned()]);
        assert_eq!(
            *held.entry(id).or_insert(first),
            old,
            "nobody slipped between: {entry:?}"
        );
        held.insert(id, new.clone());
        if text(1).as_deref() == Some("f") || id <= STEADY {
            continue;
        }
        let number = writes.entry(id).or_default();
        let change = &source.sent[&id][*number];
        *number += 1;
        let (before, after) = (&change.0, &change.1);
        match old {
            None => assert_eq!(new.as_ref(), Some(after), "inserted whole: {entry:?}"),
            Some([name, amount]) => {
                conflicts += u64::from([&name, &amount] != [&before[0], &before[1]]);
                let name = if name == before[0] { &after[0] } else { &name };
                let amount = hundredths(&amount) + hundredths(&after[1]) - hundredths(&before[1]);
                let amount = Value::Hundredths(amount).to_string();
                assert_eq!(
                    new,
                    Some([name.clone(), amount]),
                    "merged: {entry:?} by {change:?}"
                );
            }
        }
    }
    for (id, count) in writes {
        assert_eq!(
            count,
            source.sent[&id].len(),
            "one write a change, of client {id}"
        );
    }
    let kept = format!(
        "SELECT count(*) FROM _syncline_conflicts WHERE kind = 'update_origin_differs' \
         AND (key::json ->> 'id')::bigint > {STEADY}"
    );
    assert_eq!(
        database.number(&kept).await.expect("a count") as u64,
        conflicts
    );
}

/// The counts, the recorded conflicts and the sink's outcome agree.
async fn counts_are_exact(database: &Database, outcome: &Outcome) {
    for kind in ConflictType::ALL {
        let said = outcome.conflicts.get(kind);
        let name = kind.name();
        let counted = format!(
            "SELECT sum(count) FROM _syncline_conflict_counts WHERE column_name = '' AND kind = '{name}'"
        );
        let kept = format!("SELECT count(*) FROM _syncline_conflicts WHERE kind = '{name}'");
        for query in [counted, kept] {
            let found = database.number(&query).await.expect("a count");
            assert_eq!(found as u64, said, "{query}");
        }
    }
}

/// Edits the rows until `over` is set; returns the number of transactions, and what was added to
/// each row.
async fn edit_until(database: &Database, over: &AtomicBool) -> (u64, BTreeMap<i64, i64>) {
    let mut added: BTreeMap<i64, i64> = (1..=ALL).map(|id| (id, 0)).collect();
    let (mut edits, mut random) = (0, 7);
    while !over.load(Ordering::Relaxed) {
        let mut draw = |bound: u64| {
            // The constants of Knuth's MMIX.
            random = u64::wrapping_mul(random, 6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((random >> 33) % bound) as i64
        };
        let mut ids = [1 + draw(ALL as u64), 1 + draw(ALL as u64)];
        ids.sort_unstable();
        let mut statements = vec!["SELECT set_config('race.other', 'yes', true)".to_owned()];
        let mut adds = Vec::new();
        for id in ids {
            let cents = 1 + draw(900);
            let amount = Value::Hundredths(cents);
            statements.push(match draw(10) {
                0..4 => format!("UPDATE clients SET amount = amount + {amount} WHERE id = {id}"),
                4..6 => format!(
                    "UPDATE clients SET amount = amount + {amount}, name = 'other {edits}' WHERE id = {id}"
                ),
                // The row gets another key.
                6..8 => format!(
                    "WITH gone AS (DELETE FROM clients WHERE id = {id} RETURNING name, amount) \
                     INSERT INTO clients SELECT {id}, name, amount + {amount} FROM gone"
                ),
                8 if id > STEADY => format!("DELETE FROM clients WHERE id = {id}"),
                _ if id > STEADY => {
                    format!("INSERT INTO clients VALUES ({id}, 'other', {amount}) ON CONFLICT DO NOTHING")
                }
                _ => continue,
            });
            adds.push((id, cents));
        }
        match database.try_rows(&statements.join("; ")).await {
            Ok(_) => {
                edits += 1;
                for (id, cents) in adds {
                    *added.entry(id).or_default() += cents;
                }
            }
            // PostgreSQL may choose this session as the victim of a deadlock.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("40P01") => {}
            Err(error) => panic!("{statements:?}: {error}"),
        }
    }
    (edits, added)
}

/// Name and amount as text.
type Texts = [String; 2];

/// The source's own rows: each batch adds to every client, and twice to the steady ones.
#[derive(Default)]
struct Source {
    batches: u64,
    /// In hundredths.
    amounts: BTreeMap<i64, i64>,
    /// Name and amount before and after every change, for the clients that are inserted and
    /// deleted.
    sent: BTreeMap<i64, Vec<(Texts, Texts)>>,
}

impl Source {
    fn batch(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for round in 0..2 {
            for id in 1..=if round == 0 { ALL } else { STEADY } {
                let number = 2 * self.batches + round;
                let name = |number: u64| match number {
                    0 => "first".to_owned(),
                    number => format!("source {number}"),
                };
                // Clients that are inserted and deleted have no second round.
                let last = if id > STEADY {
                    number.saturating_sub(1)
                } else {
                    number
                };
                let amount = self.amounts.entry(id).or_default();
                let before = (name(last), *amount);
                *amount += 1 + (id + number as i64) % 700;
                let after = (name(number + 1), *amount);
                if id > STEADY {
                    let show = |(name, amount): &(String, i64)| {
                        [name.clone(), Value::Hundredths(*amount).to_string()]
                    };
                    let sent = self.sent.entry(id).or_default();
                    sent.push((show(&before), show(&after)));
                }
                events.push(update(id, before, after));
            }
        }
        self.batches += 1;
        events
    }
}

fn update(id: i64, before: (String, i64), after: (String, i64)) -> Event {
    let [before, row] = [before, after].map(|(name, amount)| {
        vec![
            Cell::Is(Value::Text(name)),
            Cell::Is(Value::Hundredths(amount)),
        ]
    });
    Event {
        operation: Operation::Update,
        id,
        before: Some(before),
        row,
    }
}

/// A sink that merges and adds, and records every conflict.
struct Writer {
    sink: Box<dyn Sink>,
    position: Option<i64>,
    outcome: Outcome,
}

impl Writer {
    async fn open(bench: &Postgres) -> Self {
        let options = Options {
            table: "clients".to_owned(),
            conflict: ConflictPolicy {
                strategy: Strategy::Merge,
                columns: BTreeMap::from([("amount".to_owned(), Strategy::Sum)]),
                history: Some(History {
                    per_second_max: u32::MAX,
                    ..History::default()
                }),
                ..ConflictPolicy::default()
            },
            ..Options::default()
        };
        let identity = Identity {
            pipeline: "races".to_owned(),
            sink: "billing".to_owned(),
            source: "crm".to_owned(),
        };
        Self {
            sink: bench
                .connect(&options, &identity)
                .await
                .expect("it connects"),
            position: None,
            outcome: Outcome::default(),
        }
    }

    /// Writes; retries if the target is unavailable, as the pipeline does.
    async fn write(&mut self, events: &[Event]) {
        let from = self.position.unwrap_or(0);
        let next = from + events.len() as i64;
        let write = Write {
            changes: vec![at(changes(&COLUMNS, events, true), from)],
            spans: vec![Span {
                partition: partition(),
                from: self.position,
                next,
                incarnation: None,
            }],
            taken: Vec::new(),
        };
        loop {
            match self.sink.write(&write).await {
                Ok(outcome) => {
                    self.outcome += &outcome;
                    self.position = Some(next);
                    return;
                }
                Err(Error::Unavailable { .. }) => {}
                Err(error) => panic!("{}", error.chain()),
            }
        }
    }
}

/// The changes with offsets from `from`.
fn at(mut changes: Changes, from: i64) -> Changes {
    let mut records = Records::default();
    let number = records.add_partition(&partition(), true);
    for offset in from..from + changes.len() as i64 {
        records.push(number, offset, None, None, Some(b"{}"), None);
    }
    changes.records = Arc::new(records);
    changes
}

fn hundredths(amount: &str) -> i64 {
    match Column::Amount.value(amount) {
        Value::Hundredths(value) => value,
        other => panic!("{other} is no amount"),
    }
}

/// An open transaction of another session on client 1, how it ends, and the expected result of the
/// sink's change from (old, 1.00) to (new, 3.00).
struct Scenario {
    held: bool,
    other: &'static str,
    end: &'static str,
    row: [&'static str; 2],
    kind: Option<ConflictType>,
}

const SCENARIOS: [Scenario; 6] = [
    // A row that did not exist when the sink read.
    Scenario {
        held: false,
        other: "INSERT INTO clients VALUES (1, 'other', 5)",
        end: "COMMIT",
        row: ["other", "7.00"],
        kind: Some(ConflictType::UpdateOriginDiffers),
    },
    Scenario {
        held: false,
        other: "INSERT INTO clients VALUES (1, 'other', 5)",
        end: "ROLLBACK",
        row: ["new", "3.00"],
        kind: Some(ConflictType::UpdateMissing),
    },
    Scenario {
        held: true,
        other: "UPDATE clients SET amount = amount + 10",
        end: "COMMIT",
        row: ["new", "13.00"],
        kind: Some(ConflictType::UpdateOriginDiffers),
    },
    Scenario {
        held: true,
        other: "UPDATE clients SET amount = amount + 10",
        end: "ROLLBACK",
        row: ["new", "3.00"],
        kind: None,
    },
    Scenario {
        held: true,
        other: "DELETE FROM clients",
        end: "COMMIT",
        row: ["new", "3.00"],
        kind: Some(ConflictType::UpdateMissing),
    },
    Scenario {
        held: true,
        other: "DELETE FROM clients; INSERT INTO clients VALUES (1, 'other', 5)",
        end: "COMMIT",
        row: ["other", "7.00"],
        kind: Some(ConflictType::UpdateOriginDiffers),
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_another_session_is_writing_is_waited_for_c10() {
    let bench = Postgres::new("scenarios").await;
    for scenario in &SCENARIOS {
        bench.reset().await;
        bench.database.execute(TABLE).await;
        if scenario.held {
            let held = "INSERT INTO clients VALUES (1, 'old', 1)";
            bench.database.execute(held).await;
        }
        scenario.check(&bench).await;
    }
}

impl Scenario {
    async fn check(&self, bench: &Postgres) {
        let label = format!("{}; {}", self.other, self.end);
        let mut writer = Writer::open(bench).await;
        let mut other = PgConnection::connect(bench.database.url())
            .await
            .expect("it connects");
        let mut run = async |sql: String| {
            let ran = other.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
            ran.unwrap_or_else(|error| panic!("{label}: {error}"));
        };
        run(format!("BEGIN; {}", self.other)).await;
        let event = update(1, ("old".to_owned(), 100), ("new".to_owned(), 300));
        let release = async {
            let blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                           AND cardinality(pg_blocking_pids(pid)) > 0";
            eventually("the sink to wait", DEADLINE, async || {
                match bench.database.number(blocked).await {
                    Ok(1) => Ok(()),
                    other => Err(other),
                }
            })
            .await;
            run(self.end.to_owned()).await;
        };
        tokio::join!(writer.write(std::slice::from_ref(&event)), release);
        let row = bench
            .database
            .rows("SELECT name, amount FROM clients")
            .await;
        assert_eq!(row, [self.row.map(|cell| Some(cell.to_owned()))], "{label}");
        for kind in ConflictType::ALL {
            let expected = u64::from(self.kind == Some(kind));
            let found = writer.outcome.conflicts.get(kind);
            assert_eq!(found, expected, "{label}: {}", kind.name());
        }
        counts_are_exact(&bench.database, &writer.outcome).await;
    }
}

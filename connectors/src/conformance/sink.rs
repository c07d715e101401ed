//! The test suite for sinks that store positions.
//! Longer than 400 lines: one suite, in the order in which a sink is built.

use async_trait::async_trait;

use super::cells::Types;
use super::rows::{Row, changes, delete_by_key, partition, row, with_column, without_name};
use super::strategies::{Expected, HELD, Scenario, expected, scenarios};
use crate::change::Changes;
use crate::change::Operation::{Create, Delete, Truncate, Update};
use crate::conflict::{ConflictCounts, ConflictPolicy, ConflictType, Detect, Strategy, Tie};
use crate::error::{Error, RejectedChange, Result};
use crate::record::{Held, HeldPositions, Positions, Span, offsets};
use crate::sink::{Identity, Outcome, Sink, Write};
use crate::sql::{DeleteMode, Evolution, Options, TruncateMode};

/// A database that the suite may empty.
#[async_trait]
pub trait TestDatabase: Send + Sync {
    /// Removes all tables, including Syncline's own.
    async fn reset(&self);

    /// Opens a sink.
    async fn connect(&self, options: &Options, identity: &Identity) -> Result<Box<dyn Sink>>;

    /// Runs a statement.
    async fn execute(&self, sql: &str);

    /// Runs a query and returns every value as text.
    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>>;

    /// The names of the database's types. Default: types that every database knows.
    fn types(&self) -> Types {
        Types::default()
    }
}

/// Rows as `id:name:version`; `-` for null.
type Found = Vec<String>;

/// Checks every rule of the contract of a sink.
pub async fn check_sink(database: &dyn TestDatabase) {
    positions_move_by_compare_and_set(database).await;
    rows_and_positions_are_atomic(database).await;
    every_strategy_meets_every_row(database).await;
    merge_fills_nulls(database).await;
    batch_size_never_changes_the_result(database).await;
    unset_values_stay(database).await;
    deletes_by_mode(database).await;
    an_older_change_does_not_resurrect(database).await;
    truncates_by_mode(database).await;
    schemas_evolve_by_policy(database).await;
}

const TABLE: &str =
    "CREATE TABLE clients (id bigint NOT NULL PRIMARY KEY, name text, version bigint)";

fn identity() -> Identity {
    Identity {
        pipeline: "pipe".to_owned(),
        sink: "billing".to_owned(),
        source: "crm".to_owned(),
    }
}

pub(super) fn options() -> Options {
    Options {
        table: "clients".to_owned(),
        ..Options::default()
    }
}

/// A sink with the position of its partition.
pub(super) struct Writer {
    pub(super) sink: Box<dyn Sink>,
    position: Option<i64>,
}

impl Writer {
    pub(super) async fn open(database: &dyn TestDatabase, options: &Options) -> Self {
        // Positions belong to one table (R24).
        let mut identity = identity();
        if options.table != self::options().table {
            identity.sink.clone_from(&options.table);
        }
        let mut sink = database.connect(options, &identity).await.unwrap();
        let positions = sink.positions().await.unwrap();
        let positions = positions.expect("a transactional sink keeps positions");
        Self {
            position: positions.get(&partition()).map(|held| held.next),
            sink,
        }
    }

    pub(super) async fn write(&mut self, changes: Vec<Changes>) -> Result<Outcome> {
        let count: usize = changes.iter().map(Changes::len).sum();
        let next = self.position.unwrap_or(0) + count as i64;
        let write = Write {
            changes,
            spans: vec![Span {
                partition: partition(),
                from: self.position,
                next,
                incarnation: None,
            }],
            taken: Vec::new(),
        };
        let outcome = self.sink.write(&write).await?;
        self.position = Some(next);
        let accounted = outcome.written + outcome.superseded + outcome.kept;
        assert_eq!(
            accounted, count as u64,
            "every change has one end (R17): {outcome:?}"
        );
        Ok(outcome)
    }

    async fn write_rows(&mut self, rows: &[Row]) -> Outcome {
        self.write(vec![changes(rows, true)]).await.unwrap()
    }

    /// Writes the changes and skips rejected ones, as a pipeline does.
    async fn deliver(&mut self, rows: &[Row]) {
        let mut rows = rows.to_vec();
        loop {
            match self.write(vec![changes(&rows, true)]).await {
                Ok(_) => return,
                Err(Error::Rejected(rejected)) => {
                    assert!(!rejected.is_empty());
                    for change in rejected.iter().rev() {
                        rows.remove(change.row);
                    }
                }
                Err(error) => panic!("{}", error.chain()),
            }
        }
    }
}

async fn found(database: &dyn TestDatabase) -> Found {
    let rows = database
        .query("SELECT id, name, version FROM clients ORDER BY id")
        .await;
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    rows.into_iter()
        .map(|row| row.into_iter().map(text).collect::<Vec<_>>().join(":"))
        .collect()
}

async fn fresh(database: &dyn TestDatabase) {
    database.reset().await;
    database.execute(TABLE).await;
}

#[track_caller]
fn rejected(result: Result<Outcome>) -> Vec<(usize, usize, String)> {
    match result {
        Err(Error::Rejected(changes)) => changes
            .into_iter()
            .map(
                |RejectedChange {
                     batch, row, rule, ..
                 }| (batch, row, rule),
            )
            .collect(),
        other => panic!("expected rejected rows, found {other:?}"),
    }
}

async fn positions_move_by_compare_and_set(database: &dyn TestDatabase) {
    fresh(database).await;
    let mut first = Writer::open(database, &options()).await;
    assert_eq!(first.position, None, "nothing was ever written");
    first.write_rows(&[row(Create, 1, "a", 1)]).await;
    let mut second = Writer::open(database, &options()).await;
    assert_eq!(second.position, Some(1));
    second.write_rows(&[row(Update, 1, "b", 2)]).await;

    // The first writer is now fenced (R4).
    let error = first
        .write(vec![changes(&[row(Update, 1, "zombie", 3)], true)])
        .await;
    let Err(Error::Fenced {
        expected,
        found: stands,
        ..
    }) = error
    else {
        panic!("a zombie was not fenced: {error:?}");
    };
    assert_eq!((expected, stands), (1, Some(2)));
    assert_eq!(found(database).await, ["1:b:2"]);

    // A replay from the beginning is fenced, too.
    first.position = None;
    let error = first
        .write(vec![changes(&[row(Create, 1, "a", 1)], true)])
        .await;
    assert!(
        matches!(error, Err(Error::Fenced { found: Some(2), .. })),
        "{error:?}"
    );
    assert_eq!(found(database).await, ["1:b:2"]);

    // Positions can move without rows, and another source has positions of its own.
    let span = Span {
        partition: partition(),
        from: Some(2),
        next: 9,
        incarnation: Some("topic-1".into()),
    };
    let empty = Write {
        changes: Vec::new(),
        spans: vec![span],
        taken: Vec::new(),
    };
    assert_eq!(second.sink.write(&empty).await.unwrap(), Outcome::default());
    let held = second.sink.positions().await.unwrap().unwrap();
    let at_9 = |incarnation: Option<&str>| {
        let incarnation = incarnation.map(Into::into);
        HeldPositions::from([(
            partition(),
            Held {
                next: 9,
                incarnation,
            },
        )])
    };
    assert_eq!(held, at_9(Some("topic-1")), "the incarnation is kept");
    let other = Identity {
        source: "erp".to_owned(),
        ..identity()
    };
    let mut sink = database.connect(&options(), &other).await.unwrap();
    assert_eq!(
        sink.positions().await.unwrap().unwrap(),
        HeldPositions::new()
    );
    for sink in [first.sink, second.sink, sink] {
        sink.close().await.unwrap();
    }
}

async fn rows_and_positions_are_atomic(database: &dyn TestDatabase) {
    database.reset().await;
    database
        .execute("CREATE TABLE clients (id bigint NOT NULL PRIMARY KEY, name text NOT NULL, version bigint CHECK (version < 100))")
        .await;
    let mut writer = Writer::open(database, &options()).await;
    writer.write_rows(&[row(Create, 1, "a", 1)]).await;
    let mut nameless = row(Create, 3, "", 1);
    nameless.name = Some(None);
    let mut keyless = row(Create, 0, "k", 1);
    keyless.id = None;
    let good = row(Create, 2, "b", 1);
    let poison = vec![
        changes(&[good.clone(), nameless, row(Update, 1, "x", 2)], true),
        changes(&[row(Create, 4, "d", 100), row(Create, 5, "e", 1)], true),
    ];
    // Exactly the bad rows are named, and nothing of the write is in the target (R16).
    let refused = rejected(writer.write(poison).await);
    let places: Vec<(usize, usize)> = refused
        .iter()
        .map(|(batch, row, _)| (*batch, *row))
        .collect();
    assert_eq!(places, [(0, 1), (1, 0)], "{refused:?}");
    assert_eq!(found(database).await, ["1:a:1"]);
    let refused = rejected(
        writer
            .write(vec![changes(&[good.clone(), keyless], true)])
            .await,
    );
    assert_eq!(
        (refused[0].0, refused[0].1, refused.len()),
        (0, 1, 1),
        "a null key (R2)"
    );
    let held = writer.sink.positions().await.unwrap().unwrap();
    assert_eq!(offsets(&held), Positions::from([(partition(), 1)]));
    writer.write_rows(&[good, row(Create, 5, "e", 1)]).await;
    assert_eq!(found(database).await, ["1:a:1", "2:b:1", "5:e:1"]);
    writer.sink.close().await.unwrap();
}

async fn every_strategy_meets_every_row(database: &dyn TestDatabase) {
    for (policy, results) in expected() {
        for together in [false, true] {
            fresh(database).await;
            let options = Options {
                conflict: policy.clone(),
                ..options()
            };
            let mut writer = Writer::open(database, &options).await;
            let mut scenarios = scenarios();
            for (id, scenario) in scenarios.iter_mut().enumerate() {
                scenario.change.id = Some(id as i64);
                if let Some(version) = scenario.held {
                    let version = version.map_or("NULL".to_owned(), |version| version.to_string());
                    database
                        .execute(&format!(
                            "INSERT INTO clients VALUES ({id}, '{HELD}', {version})"
                        ))
                        .await;
                }
            }
            let rows: Vec<Row> = scenarios
                .iter()
                .map(|scenario| scenario.change.clone())
                .collect();
            let wanted: Vec<Outcome> = results.iter().zip(&rows).map(outcome).collect();
            if together {
                let mut sum = Outcome::default();
                wanted.iter().for_each(|one| sum += one);
                assert_eq!(writer.write_rows(&rows).await, sum, "{policy:?}");
            } else {
                for ((row, wanted), scenario) in rows.iter().zip(&wanted).zip(&scenarios) {
                    let done = writer.write_rows(std::slice::from_ref(row)).await;
                    assert_eq!(done, *wanted, "{}, {policy:?}", scenario.name);
                }
            }
            let expect: Found = scenarios.iter().zip(&results).filter_map(remains).collect();
            assert_eq!(sorted(found(database).await), sorted(expect), "{policy:?}");
            writer.sink.close().await.unwrap();
        }
    }
}

fn outcome((result, row): (&Expected, &Row)) -> Outcome {
    let stays = result.row == 'T' && result.conflict.is_some();
    let mut conflicts = ConflictCounts::default();
    if let Some(kind) = result.conflict {
        conflicts.add(kind, 1);
    }
    debug_assert!(row.operation != Truncate);
    Outcome {
        written: u64::from(!stays),
        kept: u64::from(stays),
        conflicts,
        ..Outcome::default()
    }
}

fn remains((scenario, result): (&Scenario, &Expected)) -> Option<String> {
    let text = |version: Option<i64>| version.map_or("-".to_owned(), |version| version.to_string());
    let id = scenario.change.id.unwrap();
    match result.row {
        'T' => Some(format!("{id}:{HELD}:{}", text(scenario.held.unwrap()))),
        'S' => {
            let name = scenario.change.name.clone().flatten().unwrap();
            Some(format!(
                "{id}:{name}:{}",
                text(scenario.change.version.flatten())
            ))
        }
        _ => None,
    }
}

fn sorted(mut found: Found) -> Found {
    found.sort();
    found
}

async fn merge_fills_nulls(database: &dyn TestDatabase) {
    fresh(database).await;
    let mut options = options();
    options.conflict.strategy = Strategy::Merge;
    options.conflict.version = Some("version".to_owned());
    database
        .execute("INSERT INTO clients VALUES (1, NULL, 5), (2, 'held', 5)")
        .await;
    let mut writer = Writer::open(database, &options).await;
    let mut nameless = row(Update, 2, "", 6);
    nameless.name = Some(None);
    writer
        .write_rows(&[row(Update, 1, "older", 4), nameless])
        .await;
    assert_eq!(found(database).await, ["1:older:5", "2:held:6"]);
    writer.sink.close().await.unwrap();
}

/// A fixed history of a few keys.
fn history() -> Vec<Row> {
    let mut state = 7_u64;
    let mut next = |bound: u64| {
        // The constants of Knuth's MMIX.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    (0..60)
        .map(|index| {
            let (id, version) = (next(4) as i64, next(6) as i64);
            let name = format!("n{index}");
            match next(8) {
                0 => row(Delete, id, &name, version),
                1 => delete_by_key(id),
                2 => without_name(id, version),
                3 => row(Create, id, &name, version),
                4 => row(Update, id, &name, None),
                _ => row(Update, id, &name, version),
            }
        })
        .collect()
}

async fn batch_size_never_changes_the_result(database: &dyn TestDatabase) {
    use Strategy::{Merge, NewestWins, OldestWins, SourceWins, TargetWins};
    for strategy in [SourceWins, TargetWins, NewestWins, OldestWins, Merge] {
        for (detect, tie, delete) in [
            (Detect::Row, Tie::Target, DeleteMode::Hard),
            (Detect::Key, Tie::Source, DeleteMode::Hard),
            (Detect::Row, Tie::Source, DeleteMode::Soft),
        ] {
            let mut ends = Vec::new();
            for rows in [1, 7, 60] {
                database.reset().await;
                database
                    .execute("CREATE TABLE clients (id bigint NOT NULL PRIMARY KEY, name text, version bigint, _deleted boolean NOT NULL DEFAULT false, own varchar(20) DEFAULT 'default')")
                    .await;
                database
                    .execute("INSERT INTO clients VALUES (0, 'held', 3, false, 'mine')")
                    .await;
                let options = Options {
                    conflict: ConflictPolicy {
                        strategy: strategy.clone(),
                        detect: Some(detect),
                        tie,
                        version: Some("version".to_owned()),
                        ..ConflictPolicy::default()
                    },
                    delete,
                    ..options()
                };
                let mut writer = Writer::open(database, &options).await;
                for part in history().chunks(rows) {
                    writer.deliver(part).await;
                }
                writer.sink.close().await.unwrap();
                let end = database
                    .query("SELECT id, name, version, CASE WHEN _deleted THEN 'deleted' ELSE 'alive' END, own FROM clients ORDER BY id")
                    .await;
                ends.push((rows, end));
            }
            for (rows, end) in &ends[1..] {
                assert_eq!(
                    *end, ends[0].1,
                    "R8: {rows} rows a batch, {strategy:?} {detect:?} {tie:?} {delete:?}"
                );
            }
        }
    }
}

async fn unset_values_stay(database: &dyn TestDatabase) {
    fresh(database).await;
    let mut writer = Writer::open(database, &options()).await;
    writer
        .write_rows(&[row(Create, 1, "a", 1), row(Create, 2, "b", 1)])
        .await;
    writer
        .write_rows(&[without_name(1, 2), row(Update, 2, "c", 2)])
        .await;
    assert_eq!(found(database).await, ["1:a:2", "2:c:2"]);
    let incomplete = [without_name(1, 3), without_name(7, 3)];
    let refused = rejected(writer.write(vec![changes(&incomplete, true)]).await);
    assert_eq!(refused, [(0, 1, "R14 incomplete".to_owned())]);
    assert_eq!(found(database).await, ["1:a:2", "2:c:2"]);
    writer.sink.close().await.unwrap();
}

async fn deletes_by_mode(database: &dyn TestDatabase) {
    let alive =
        "SELECT id, CASE WHEN _deleted THEN 'deleted' ELSE 'alive' END FROM clients ORDER BY id";
    for (delete, after_delete, after_insert) in [
        (
            DeleteMode::Hard,
            vec!["2:alive"],
            vec!["1:alive", "2:alive"],
        ),
        (
            DeleteMode::Soft,
            vec!["1:deleted", "2:alive"],
            vec!["1:alive", "2:alive"],
        ),
        (
            DeleteMode::Ignore,
            vec!["1:alive", "2:alive"],
            vec!["1:alive", "2:alive"],
        ),
    ] {
        database.reset().await;
        database
            .execute("CREATE TABLE clients (id bigint NOT NULL PRIMARY KEY, name text, version bigint, _deleted boolean NOT NULL DEFAULT false)")
            .await;
        let mut writer = Writer::open(
            database,
            &Options {
                delete,
                ..options()
            },
        )
        .await;
        writer
            .write_rows(&[row(Create, 1, "a", 1), row(Create, 2, "b", 1)])
            .await;
        let done = writer
            .write_rows(&[row(Delete, 1, "a", 1), delete_by_key(9)])
            .await;
        let missing = done.conflicts.get(ConflictType::DeleteMissing);
        let ignored = delete == DeleteMode::Ignore;
        assert_eq!(
            (missing, done.kept),
            if ignored { (0, 2) } else { (1, 0) },
            "{delete:?}"
        );
        let states = |rows: Vec<Vec<Option<String>>>| -> Vec<String> {
            let join =
                |row: Vec<Option<String>>| row.into_iter().flatten().collect::<Vec<_>>().join(":");
            rows.into_iter().map(join).collect()
        };
        assert_eq!(
            states(database.query(alive).await),
            after_delete,
            "{delete:?}"
        );
        writer.write_rows(&[row(Create, 1, "a", 1)]).await;
        assert_eq!(
            states(database.query(alive).await),
            after_insert,
            "{delete:?}"
        );
        writer.sink.close().await.unwrap();
    }
}

async fn an_older_change_does_not_resurrect(database: &dyn TestDatabase) {
    for delete in [DeleteMode::Hard, DeleteMode::Soft] {
        database.reset().await;
        database
            .execute("CREATE TABLE clients (id bigint NOT NULL PRIMARY KEY, name text, version bigint, _deleted boolean NOT NULL DEFAULT false)")
            .await;
        let mut options = Options {
            delete,
            ..options()
        };
        options.conflict.strategy = Strategy::NewestWins;
        options.conflict.version = Some("version".to_owned());
        let mut writer = Writer::open(database, &options).await;
        writer.write_rows(&[row(Create, 1, "a", 5)]).await;
        writer.write_rows(&[row(Delete, 1, "a", 5)]).await;
        let alive = "SELECT id, name, version FROM clients WHERE NOT _deleted ORDER BY id";
        let late = writer.write_rows(&[row(Update, 1, "late", 4)]).await;
        assert_eq!((late.written, late.kept), (0, 1), "R12, {delete:?}");
        assert!(database.query(alive).await.is_empty(), "R12, {delete:?}");
        writer.write_rows(&[row(Create, 1, "again", 6)]).await;
        assert_eq!(database.query(alive).await.len(), 1, "{delete:?}");
        writer.sink.close().await.unwrap();
    }
}

async fn truncates_by_mode(database: &dyn TestDatabase) {
    let truncate = Row {
        operation: Truncate,
        id: None,
        name: None,
        version: None,
    };
    let rows = [
        row(Create, 1, "before", 1),
        truncate,
        row(Create, 2, "after", 1),
    ];
    let both = vec!["1:before:1", "2:after:1"];
    for (mode, single, expect) in [
        (TruncateMode::Auto, true, Some(vec!["2:after:1"])),
        (TruncateMode::Auto, false, None),
        (TruncateMode::Apply, false, Some(vec!["2:after:1"])),
        (TruncateMode::Ignore, true, Some(both)),
    ] {
        fresh(database).await;
        let options = Options {
            truncate: mode,
            ..options()
        };
        let mut writer = Writer::open(database, &options).await;
        let done = writer.write(vec![changes(&rows, single)]).await;
        match expect {
            Some(expect) => {
                done.unwrap();
                assert_eq!(found(database).await, expect, "R13, {mode:?}");
            }
            None => {
                let refused = rejected(done);
                assert_eq!(
                    (refused[0].0, refused[0].1, refused.len()),
                    (0, 1, 1),
                    "R13, {mode:?}"
                );
            }
        }
        writer.sink.close().await.unwrap();
    }
}

async fn schemas_evolve_by_policy(database: &dyn TestDatabase) {
    let plain = || changes(&[row(Create, 1, "a", 1)], true);
    let wider = || {
        with_column(
            changes(&[row(Create, 2, "b", 1)], true),
            "email",
            "b@example.org",
        )
    };
    for evolution in [Evolution::Fail, Evolution::Ignore] {
        database.reset().await;
        let options = Options {
            evolution,
            ..options()
        };
        let mut writer = Writer::open(database, &options).await;
        let missing = writer.write(vec![plain()]).await;
        assert!(
            matches!(missing, Err(Error::Configuration { .. })),
            "{missing:?}"
        );
        database.execute(TABLE).await;
        writer.write(vec![plain()]).await.unwrap();
        let done = writer.write(vec![wider()]).await;
        match evolution {
            Evolution::Ignore => assert_eq!(done.unwrap().written, 1),
            _ => assert!(matches!(done, Err(Error::Configuration { .. })), "{done:?}"),
        }
        writer.sink.close().await.unwrap();
    }
    database.reset().await;
    let options = Options {
        evolution: Evolution::Evolve,
        table: "{table}".to_owned(),
        ..options()
    };
    let mut writer = Writer::open(database, &options).await;
    writer.write(vec![plain()]).await.unwrap();
    writer.write(vec![wider()]).await.unwrap();
    // A replayed older schema does not undo the change of the schema (R15).
    writer
        .write(vec![changes(&[row(Update, 1, "c", 2)], true)])
        .await
        .unwrap();
    assert_eq!(found(database).await, ["1:c:2", "2:b:1"]);
    let emails = database
        .query("SELECT email FROM clients ORDER BY id")
        .await;
    assert_eq!(emails, [[None], [Some("b@example.org".to_owned())]]);
    writer.sink.close().await.unwrap();
}

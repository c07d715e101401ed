//! Every strategy against every state of the target's row; batches against one at a time.

use super::*;
use crate::conflict::{ConflictPolicy, ConflictType, Detect, Strategy, Tie};
use crate::sql::DeleteMode;

const STRATEGIES: [Strategy; 5] = [
    Strategy::SourceWins,
    Strategy::TargetWins,
    Strategy::NewestWins,
    Strategy::OldestWins,
    Strategy::Merge,
];

fn policy(strategy: Strategy) -> ConflictPolicy {
    ConflictPolicy {
        strategy,
        version: Some("v".to_owned()),
        ..ConflictPolicy::default()
    }
}

/// The target's rows: 1 absent, 2 the same, 3 older, 4 newer, 5 tied, 6 without a version; 7 is
/// there for a change without a version.
const STATES: &str = "TRUNCATE t; INSERT INTO t VALUES \
    (2, 's', 5), (3, 't', 3), (4, 't', 7), (5, 't', 5), (6, 't', NULL), (7, 't', 5)";

fn versions() -> [(i64, Option<i64>); 7] {
    [1, 2, 3, 4, 5, 6, 7].map(|id| (id, if id == 7 { None } else { Some(5) }))
}

/// What the target holds for ids 1 to 7, `-` where nothing.
async fn names(fixture: &mut Fixture) -> String {
    fixture
        .rows("SELECT string_agg(COALESCE(t.name, '-'), '' ORDER BY g) FROM generate_series(1, 7) AS g LEFT JOIN t ON t.id = g")
        .await
        .remove(0)
        .trim_matches(['(', ')'])
        .to_owned()
}

#[tokio::test]
async fn upserts_win_and_lose_as_c1_to_c4_say() {
    let mut fixture = Fixture::new("upserts", PLAIN).await;
    // strategy, names of 1 to 7 afterwards
    let cases = [
        (Strategy::SourceWins, "sssssss"),
        (Strategy::TargetWins, "ssttttt"),
        (Strategy::NewestWins, "sssttst"),
        (Strategy::OldestWins, "sstsTst"),
        (Strategy::Merge, "sssttst"),
    ];
    for (strategy, expect) in cases {
        let expect = expect.to_lowercase();
        for operation in ['c', 'u'] {
            for detect in [Detect::Row, Detect::Key] {
                fixture
                    .execute("DROP TABLE IF EXISTS _syncline_positions, _syncline_tombstones")
                    .await;
                fixture.execute(STATES).await;
                fixture.config.options.conflict = ConflictPolicy {
                    detect: Some(detect),
                    ..policy(strategy.clone())
                };
                let rows = versions().map(|(id, version)| full(operation, id, "s", version));
                let outcome = fixture.writer().await.write(vec![batch(&rows)]).await;
                let case = format!("{strategy:?} {operation} {detect:?}: {outcome:?}");
                assert_eq!(names(&mut fixture).await, expect, "{case}");
                // The identical row is in conflict by key only, and then loses where ties do.
                let identical_kept = detect == Detect::Key && strategy != Strategy::SourceWins;
                let lost = expect.matches('t').count() as u64 + u64::from(identical_kept);
                assert_eq!(outcome.kept, lost, "{case}");
                let (conflict, missing) = match operation {
                    'c' => (ConflictType::InsertExists, 0),
                    _ => (ConflictType::UpdateOriginDiffers, 1),
                };
                let existing = if detect == Detect::Key { 6 } else { 5 };
                assert_eq!(outcome.conflicts.get(conflict), existing, "{case}");
                assert_eq!(
                    outcome.conflicts.get(ConflictType::UpdateMissing),
                    missing,
                    "{case}"
                );
            }
        }
    }
}

#[tokio::test]
async fn deletes_win_and_lose_as_c6_says() {
    let mut fixture = Fixture::new("deletes", PLAIN).await;
    // strategy, names afterwards, origin differs, exists
    let cases = [
        (Strategy::SourceWins, "-------", 5, 0),
        (Strategy::TargetWins, "--ttttt", 5, 0),
        (Strategy::NewestWins, "---t--t", 3, 2),
        (Strategy::OldestWins, "--t---t", 5, 0),
        (Strategy::Merge, "---t--t", 3, 2),
    ];
    for (strategy, expect, differs, exists) in cases {
        fixture
            .execute("DROP TABLE IF EXISTS _syncline_positions, _syncline_tombstones")
            .await;
        fixture.execute(STATES).await;
        fixture.config.options.conflict = policy(strategy.clone());
        let rows = versions().map(|(id, version)| full('d', id, "s", version));
        let outcome = fixture.writer().await.write(vec![batch(&rows)]).await;
        let case = format!("{strategy:?}: {outcome:?}");
        assert_eq!(names(&mut fixture).await, expect, "{case}");
        let count = |kind| outcome.conflicts.get(kind);
        assert_eq!(count(ConflictType::DeleteMissing), 1, "{case}");
        assert_eq!(count(ConflictType::DeleteOriginDiffers), differs, "{case}");
        assert_eq!(count(ConflictType::DeleteExists), exists, "{case}");
        assert_eq!(outcome.kept, expect.matches('t').count() as u64, "{case}");
    }
}

#[tokio::test]
async fn a_delete_without_an_image_is_a_conflict_wherever_the_row_exists_c1() {
    let mut fixture = Fixture::new("blind_deletes", PLAIN).await;
    for (strategy, expect) in [
        (Strategy::SourceWins, "-------"),
        (Strategy::TargetWins, "-tttttt"),
    ] {
        fixture
            .execute("DROP TABLE IF EXISTS _syncline_positions")
            .await;
        fixture.execute(STATES).await;
        fixture.execute("UPDATE t SET name = 't'").await;
        fixture.config.options.conflict = policy(strategy.clone());
        let rows = versions().map(|(id, _)| partial('d', id, None));
        let outcome = fixture.writer().await.write(vec![batch(&rows)]).await;
        assert_eq!(names(&mut fixture).await, expect);
        assert_eq!(outcome.conflicts.get(ConflictType::DeleteOriginDiffers), 6);
        assert_eq!(outcome.conflicts.get(ConflictType::DeleteMissing), 1);
    }
}

#[tokio::test]
async fn a_trigger_that_changes_rows_does_not_make_them_lose() {
    let mut fixture = Fixture::new("trigger", PLAIN).await;
    fixture
        .execute(
            "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN NEW.name := NEW.name || '!'; RETURN NEW; END $$; \
             CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch()",
        )
        .await;
    fixture.config.options.conflict = policy(Strategy::NewestWins);
    let mut writer = fixture.writer().await;
    writer
        .write(vec![batch(&[full('c', 1, "a", 5), full('c', 2, "b", 5)])])
        .await;
    let rows = [
        full('u', 1, "c", 6),
        full('u', 2, "d", 4),
        full('u', 3, "e", 1),
    ];
    let outcome = writer.write(vec![batch(&rows)]).await;
    assert_eq!((outcome.written, outcome.kept), (2, 1));
}

#[tokio::test]
async fn an_older_change_does_not_resurrect_a_deleted_row_r12() {
    // Rows that are only marked need a resolver: the suite in tests/it has one.
    for delete in [DeleteMode::Hard] {
        let mut fixture = Fixture::new("resurrection", PLAIN).await;
        fixture.config.options.conflict = policy(Strategy::NewestWins);
        fixture.config.options.delete = delete;
        fixture.config.options.evolution = Evolution::Evolve;
        let live = match delete {
            DeleteMode::Soft => "SELECT id, name, v FROM t WHERE NOT _deleted ORDER BY id",
            _ => "SELECT id, name, v FROM t ORDER BY id",
        };
        let mut writer = fixture.writer().await;
        writer
            .write(vec![batch(&[full('c', 1, "a", 5), full('c', 2, "b", 5)])])
            .await;
        // 3 is deleted before it was ever seen.
        let gone = [
            full('d', 1, "a", 5),
            full('d', 2, "b", 5),
            full('d', 3, "c", 5),
        ];
        let outcome = writer.write(vec![batch(&gone)]).await;
        assert_eq!(outcome.written, 3);
        let late = [
            full('u', 1, "late", 4),
            full('c', 3, "late", 5),
            full('c', 2, "back", 6),
        ];
        let outcome = writer.write(vec![batch(&late)]).await;
        assert_eq!((outcome.written, outcome.kept), (1, 2), "{delete:?}");
        assert_eq!(fixture.rows(live).await, ["(2,back,6)"]);
        let tombstones = "SELECT key, number FROM _syncline_tombstones ORDER BY key";
        assert_eq!(
            fixture.rows(tombstones).await,
            ["(\"(1)\",5)", "(\"(3)\",5)"]
        );
    }
}

#[tokio::test]
async fn a_delete_without_an_image_has_its_event_time_as_version_c6() {
    let mut fixture = Fixture::new(
        "event_time",
        "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz); \
         INSERT INTO t VALUES (1, '2026-01-01 00:00:01Z'), (2, '2026-01-01 00:00:03Z')",
    )
    .await;
    fixture.config.options.conflict = ConflictPolicy {
        version: Some("at".to_owned()),
        ..policy(Strategy::NewestWins)
    };
    let utc = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    let nulls = arrow::array::new_null_array(&utc, 2);
    let mut changes = table(
        "t",
        vec![
            (
                Field::new("id", DataType::Int64, true),
                Arc::new(Int64Array::from(vec![1, 2])),
            ),
            (Field::new("at", utc, true), nulls),
        ],
        "dd",
    );
    changes.unset[1] = Some(BooleanBuffer::new_set(2));
    changes.event_times_ms = vec![Some(1_767_225_602_000); 2];
    let outcome = fixture.writer().await.write(vec![changes]).await;
    assert_eq!((outcome.written, outcome.kept), (1, 1));
    assert_eq!(fixture.rows("SELECT id FROM t").await, ["(2)"]);
    assert_eq!(outcome.conflicts.get(ConflictType::DeleteExists), 1);
}

#[tokio::test]
async fn a_version_from_the_future_is_refused_c7() {
    let mut fixture = Fixture::new(
        "skew",
        "CREATE TABLE t (id bigint PRIMARY KEY, at timestamp)",
    )
    .await;
    fixture.config.options.conflict = ConflictPolicy {
        version: Some("at".to_owned()),
        max_skew: Some("1h".to_owned()),
        ..policy(Strategy::NewestWins)
    };
    let now_us = chrono::Utc::now().timestamp_micros();
    let versions = vec![
        Some(now_us),
        Some(now_us + 2 * 3_600_000_000),
        None,
        Some(i64::MAX),
    ];
    let changes = table(
        "t",
        vec![
            (
                Field::new("id", DataType::Int64, true),
                Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
            ),
            (
                Field::new(
                    "at",
                    DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
                    true,
                ),
                Arc::new(arrow::array::TimestampMicrosecondArray::from(versions)),
            ),
        ],
        "cccc",
    );
    let rejected = fixture.writer().await.rejected(vec![changes]).await;
    let rows: Vec<usize> = rejected.iter().map(|change| change.row).collect();
    assert_eq!(rows, [1, 3]);
    assert_eq!(rejected[0].rule, "C7 max_skew");
}

#[tokio::test]
async fn a_text_version_is_a_configuration_error_c5() {
    let mut fixture = Fixture::new("text_version", PLAIN).await;
    fixture.config.options.conflict = ConflictPolicy {
        version: Some("name".to_owned()),
        ..policy(Strategy::NewestWins)
    };
    let mut writer = fixture.writer().await;
    let error = writer
        .configuration_error(vec![batch(&[full('c', 1, "a", 1)])])
        .await;
    assert!(error.contains("cast it"), "{error}");
}

/// A small generator (SplitMix64), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn random_changes(random: &mut Random, count: usize) -> Vec<Change> {
    (0..count)
        .map(|_| {
            let id = random.below(6) as i64;
            let version = match random.below(6) {
                0 => None,
                version => Some(version as i64),
            };
            let name = NAMES[random.below(4) as usize];
            match random.below(6) {
                0 | 1 => full('c', id, name, version),
                2 | 3 => full('u', id, name, version),
                4 => full('d', id, name, version),
                _ => partial('d', id, None),
            }
        })
        .collect()
}

#[tokio::test]
async fn the_size_of_a_batch_never_changes_the_result_r8() {
    let mut fixture = Fixture::new("batches", PLAIN).await;
    fixture.config.options.evolution = Evolution::Evolve;
    fixture
        .execute("ALTER TABLE t ADD COLUMN _deleted boolean NOT NULL DEFAULT false")
        .await;
    for (number, strategy) in STRATEGIES.into_iter().enumerate() {
        for tie in [Tie::Target, Tie::Source] {
            for delete in [DeleteMode::Hard, DeleteMode::Soft, DeleteMode::Ignore] {
                // The suite in tests/it has the resolver that marked rows need here.
                if delete == DeleteMode::Soft && policy(strategy.clone()).buries() {
                    continue;
                }
                for detect in [Detect::Row, Detect::Key] {
                    let seed = number as u64 * 100 + tie as u64 * 10 + delete as u64;
                    let changes = random_changes(&mut Random(seed), 40);
                    fixture.config.options.delete = delete;
                    fixture.config.options.conflict = ConflictPolicy {
                        tie,
                        detect: Some(detect),
                        ..policy(strategy.clone())
                    };
                    let mut ends = Vec::new();
                    for size in [1, 7, 40] {
                        fixture
                            .execute("DROP TABLE IF EXISTS _syncline_positions, _syncline_tombstones; TRUNCATE t; INSERT INTO t VALUES (0, 'a', 2), (1, 'b', NULL), (2, 'c', 4)")
                            .await;
                        let mut writer = fixture.writer().await;
                        for part in changes.chunks(size) {
                            writer.write(vec![batch(part)]).await;
                        }
                        ends.push(fixture.rows("SELECT * FROM t ORDER BY id").await);
                    }
                    let case = format!("{strategy:?} {tie:?} {delete:?} {detect:?}");
                    assert_eq!(ends[0], ends[1], "{case}");
                    assert_eq!(ends[0], ends[2], "{case}");
                }
            }
        }
    }
}

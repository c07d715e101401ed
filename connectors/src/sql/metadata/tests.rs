//! The statements on a real SQLite, and their text for PostgreSQL.
//! Longer than 400 lines: one list of cases.

use expect_test::{Expect, expect};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::*;
use crate::conflict::{
    ConflictPolicy, ConflictRecord, ConflictType, CountKey, Json, KeyFilter, Place, QueueEntry,
    QueueState, Sides, Winner,
};
use crate::postgres::POSTGRES;
use crate::sqlite::SQLITE;

const ALL: Tables = Tables {
    history: true,
    counts: true,
    queue: true,
    shadow: true,
    waiting_room: true,
};

struct Database(Connection);

impl Database {
    fn new() -> Self {
        let database = Self(Connection::open_in_memory().unwrap());
        // Twice: what is there stays.
        for _ in 0..2 {
            database.run(&ALL.create(&SQLITE));
        }
        database
    }

    #[track_caller]
    fn run(&self, statements: &[String]) -> usize {
        let run = |sql: &String| {
            self.0
                .execute(sql, [])
                .unwrap_or_else(|error| panic!("{error}: {sql}"))
        };
        statements.iter().map(run).sum()
    }

    #[track_caller]
    fn rows(&self, sql: &str) -> Vec<Row> {
        let mut statement = self
            .0
            .prepare(sql)
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
        let count = statement.column_count();
        let text = |value: ValueRef<'_>| match value {
            ValueRef::Null => None,
            ValueRef::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
            other => panic!("{other:?} is no text: {sql}"),
        };
        let rows = statement.query_map([], |row| {
            (0..count)
                .map(|column| Ok(text(row.get_ref(column)?)))
                .collect()
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// The first column of every row of every statement.
    fn texts(&self, statements: &[String]) -> Vec<String> {
        let rows = statements.iter().flat_map(|sql| self.rows(sql));
        rows.map(|mut row| row.swap_remove(0).unwrap()).collect()
    }
}

fn metadata() -> MetadataTables {
    MetadataTables::new(&SQLITE, "it's", "billing")
}

fn place(position: i64) -> Place {
    Place {
        topic: "crm.clients".to_owned(),
        partition: 3,
        position,
        event_time_ms: (position % 2 == 0).then_some(position),
    }
}

fn sides() -> Sides {
    Sides {
        base: None,
        source: Some(Json(r#"{"id":1,"name":"it's \"so\" \\ "}"#.to_owned())),
        target: Some(Json(r#"{"id":1,"name":null}"#.to_owned())),
        result: None,
    }
}

fn record(number: i64) -> ConflictRecord {
    ConflictRecord {
        id: format!("p/s/crm/t/3/{number}/0"),
        pipeline: "it's".to_owned(),
        sink: "billing".to_owned(),
        source: "crm".to_owned(),
        target: "public.clients".to_owned(),
        key: Json(format!("{{\"id\":{}}}", number % 10)),
        kind: ConflictType::UpdateOriginDiffers,
        strategy: "newest_wins".to_owned(),
        winner: Winner::Merged,
        columns: Json(r#"{"name":"concat"}"#.to_owned()),
        reason: "the target's row is newer".to_owned(),
        rows: sides(),
        place: place(number),
        decided_at_ms: 1_000 * number,
    }
}

fn entry(number: i64) -> QueueEntry {
    QueueEntry {
        id: number,
        pipeline: "it's".to_owned(),
        sink: "billing".to_owned(),
        source: "crm".to_owned(),
        target: "clients".to_owned(),
        key: Json(format!("{{\"id\":{number}}}")),
        kind: ConflictType::DeleteOriginDiffers,
        columns: Json("{}".to_owned()),
        reason: "manual".to_owned(),
        rows: sides(),
        change: "AQID".to_owned(),
        place: place(number),
        opened_at_ms: 77,
        state: QueueState::Open,
        taken: None,
        resolved_by: None,
        resolved_at_ms: None,
        waiting: 0,
    }
}

fn count(target: &str, column: &str) -> CountKey {
    CountKey {
        partition: "crm.clients/3".to_owned(),
        target: target.to_owned(),
        kind: ConflictType::InsertExists,
        strategy: "merge".to_owned(),
        column: column.to_owned(),
        winner: Winner::Source,
    }
}

#[test]
fn a_conflict_is_kept_once_and_comes_back_whole() {
    let (database, metadata) = (Database::new(), metadata());
    let records: Vec<ConflictRecord> = (0..25).map(record).collect();
    assert_eq!(database.run(&metadata.insert_history(&records)), 25);
    // A replay, one new among them.
    let replayed: Vec<ConflictRecord> = (24..26).map(record).collect();
    assert_eq!(database.run(&metadata.insert_history(&replayed)), 1);
    assert_eq!(metadata.insert_history(&[]), [""; 0]);

    let read = |metadata: &MetadataTables, key: Option<&KeyFilter>, limit| {
        let rows = database.rows(&metadata.select_history(key, limit));
        rows.into_iter()
            .map(|row| read_record(row).unwrap())
            .collect::<Vec<_>>()
    };
    let newest: Vec<ConflictRecord> = (23..26).rev().map(record).collect();
    assert_eq!(read(&metadata, None, 3), newest);
    let five = KeyFilter::of(r#"{"id": 5}"#);
    let of_key: Vec<ConflictRecord> = [25, 15, 5].map(record).into();
    assert_eq!(read(&metadata, Some(&five), 100), of_key);
    assert_eq!(read(&metadata, Some(&KeyFilter::of("5")), 100), of_key);
    let other = MetadataTables::new(&SQLITE, "it's", "other");
    assert_eq!(read(&other, None, 100), []);
}

#[test]
fn the_history_is_bounded_a_little_at_a_time() {
    let (database, metadata) = (Database::new(), metadata());
    let mut records: Vec<ConflictRecord> = (0..30).map(record).collect();
    // Many conflicts of one write have one time.
    records
        .iter_mut()
        .skip(10)
        .for_each(|record| record.decided_at_ms = 50_000);
    database.run(&metadata.insert_history(&records));
    let stays = ConflictRecord {
        sink: "other".to_owned(),
        id: "other".to_owned(),
        ..record(0)
    };
    database.run(&metadata.insert_history(&[stays]));
    let steps = [
        // (rows_max, oldest_ms, deleted_max, deleted)
        (100, 4_000, 3, 3),
        (100, 4_000, 3, 1),
        (100, 4_000, 3, 0),
        (20, 0, 4, 4),
        (20, 0, 4, 2),
        (20, 0, 4, 0),
        (0, 0, 100, 20),
        (0, 0, 100, 0),
    ];
    for (rows_max, oldest_ms, deleted_max, expect) in steps {
        let deleted = database.run(&metadata.prune_history(rows_max, oldest_ms, deleted_max));
        assert_eq!(deleted, expect, "{rows_max} {oldest_ms} {deleted_max}");
    }
    assert_eq!(database.rows("SELECT id FROM _syncline_conflicts").len(), 1);
}

#[test]
fn counts_add_up_over_writes_and_partitions() {
    let (database, metadata) = (Database::new(), metadata());
    let other_partition = CountKey {
        partition: "crm.clients/4".to_owned(),
        ..count("a", "")
    };
    let first = Counts::from([
        (count("a", ""), 2),
        (count("a", "name"), 1),
        (count("b", ""), 5),
    ]);
    let second = Counts::from([(count("a", ""), 3), (other_partition, u64::from(u32::MAX))]);
    database.run(&metadata.add_counts("crm", &first));
    database.run(&metadata.add_counts("crm", &second));
    let found: Vec<(String, String, u64)> = database
        .rows(&metadata.select_counts())
        .into_iter()
        .map(|row| metadata.read_count(row).unwrap())
        .map(|count| (count.target, count.column, count.count))
        .collect();
    let expect = [("a", "", 4_294_967_300), ("a", "name", 1), ("b", "", 5)];
    assert_eq!(
        found,
        expect.map(|(target, column, count)| (target.to_owned(), column.to_owned(), count))
    );
}

#[test]
fn later_changes_wait_behind_the_open_conflict_of_their_key_c9() {
    let (database, metadata) = (Database::new(), metadata());
    assert!(database.rows(&metadata.any_open("clients")).is_empty());
    database.run(&metadata.insert_queue(&[entry(1), entry(2), entry(3)]));
    database.run(&[
        "UPDATE _syncline_conflict_queue SET state = 'resolved', taken = 'source', \
                    resolved_by = 'ann', resolved_at_ms = 99 WHERE id = 2"
            .to_owned(),
    ]);
    let key = |number: i64| format!("{{\"id\":{number}}}");
    let waiting = |number: i64| Waiting {
        target: "clients",
        key: if number == 1 {
            r#"{"id":1}"#
        } else {
            r#"{"id":2}"#
        },
        change: "AQ==",
    };
    database.run(&metadata.append_waiting(&[waiting(1), waiting(2), waiting(1)]));

    let keys: Vec<String> = (0..5).map(key).collect();
    let open = |target: &str| {
        let mut open = database.texts(&metadata.open_keys(target, keys.iter().map(String::as_str)));
        open.sort();
        open
    };
    assert_eq!(open("clients"), [key(1), key(3)]);
    assert_eq!(open("others"), [""; 0]);
    assert_eq!(database.texts(&[metadata.any_open("clients")]), ["open"]);

    let read = |sql: &str| {
        let rows = database.rows(sql).into_iter();
        rows.map(|row| read_entry(row).unwrap()).collect::<Vec<_>>()
    };
    let first = QueueEntry {
        waiting: 2,
        ..entry(1)
    };
    let second = QueueEntry {
        state: QueueState::Resolved,
        taken: Some("source".to_owned()),
        resolved_by: Some("ann".to_owned()),
        resolved_at_ms: Some(99),
        ..entry(2)
    };
    assert_eq!(
        read(&metadata.select_queue(false)),
        [first.clone(), entry(3)]
    );
    assert_eq!(
        read(&metadata.select_queue(true)),
        [first, second.clone(), entry(3)]
    );
    assert_eq!(read(&metadata.select_entry(2)), [second]);
    assert_eq!(read(&metadata.select_entry(4)), []);
}

#[test]
fn the_shadow_holds_the_last_image_of_a_key() {
    let (database, metadata) = (Database::new(), metadata());
    let read = |keys: &[&str]| {
        let statements = metadata.read_shadow("clients", keys.iter().copied());
        let rows = statements.iter().flat_map(|sql| database.rows(sql));
        let mut rows: Vec<(String, String)> = rows
            .map(|mut row| (row.remove(0).unwrap(), row.remove(0).unwrap()))
            .collect();
        rows.sort();
        rows
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, image)| (key.to_string(), image.to_string()))
            .collect()
    };
    database.run(&metadata.write_shadow("clients", [("a", "{\"x\":1}"), ("b", "{}")]));
    database.run(&metadata.write_shadow("clients", [("a", "{\"x\":\"it's\"}"), ("c", "{}")]));
    database.run(&metadata.write_shadow("others", [("a", "{}")]));
    assert_eq!(
        read(&["a", "b", "z"]),
        pairs(&[("a", "{\"x\":\"it's\"}"), ("b", "{}")])
    );
    assert_eq!(
        database.run(&metadata.delete_shadow("clients", ["b", "z"])),
        1
    );
    assert_eq!(read(&["a", "b", "c"]).len(), 2);
    assert_eq!(database.run(&[metadata.clear_shadow("clients")]), 2);
    assert_eq!(database.rows("SELECT key FROM _syncline_shadow").len(), 1);
    assert!(metadata.read_shadow("clients", []).is_empty());
}

#[test]
fn long_statements_are_cut_and_nothing_is_lost() {
    let (database, metadata) = (Database::new(), metadata());
    let image = "x".repeat(1_000);
    let keys: Vec<String> = (0..2_000).map(|number| format!("k{number}")).collect();
    let mut rows: Vec<(&str, &str)> = keys
        .iter()
        .map(|key| (key.as_str(), image.as_str()))
        .collect();
    let long = "y".repeat(2 * STATEMENT_BYTES_MAX);
    rows.insert(1_000, ("long", &long));
    let statements = metadata.write_shadow("clients", rows);
    assert_eq!(statements.len(), 5);
    let over = statements
        .iter()
        .filter(|sql| sql.len() > STATEMENT_BYTES_MAX)
        .count();
    assert_eq!(over, 1, "the long one stands alone");
    assert_eq!(database.run(&statements), 2_001);
}

#[test]
fn a_table_is_made_for_what_the_policy_keeps() {
    let check = |toml: &str, expect: [bool; 4]| {
        let policy: ConflictPolicy = serde_json::from_str(toml).unwrap();
        let Tables {
            history,
            counts,
            queue,
            shadow,
            ..
        } = Tables::of(&policy);
        assert_eq!([history, counts, queue, shadow], expect, "{toml}");
    };
    check("{}", [false; 4]);
    check(r#"{"strategy":"newest_wins"}"#, [false, true, false, false]);
    check(r#"{"history":{}}"#, [true, true, false, false]);
    check(
        r#"{"history":{"to":"file","path":"x"}}"#,
        [false, true, false, false],
    );
    check(r#"{"strategy":"manual"}"#, [false, true, true, false]);
    check(r#"{"columns":{"x":"manual"}}"#, [false, true, true, false]);
    check(
        r#"{"columns":{"x":{"expression":"1"}}}"#,
        [false, true, false, false],
    );
    check(
        r#"{"strategy":{"expression":"'manual'"}}"#,
        [false, true, true, false],
    );
    check(r#"{"base":"shadow"}"#, [false, true, false, true]);
}

#[test]
fn what_a_newer_version_wrote_is_refused() {
    let mut row: Row = vec![Some("x".to_owned()); 20];
    row[6] = Some("insert_insert".to_owned());
    let error = read_record(row).unwrap_err().to_string();
    assert!(error.contains("the type \"insert_insert\""), "{error}");
}

#[test]
fn the_text_for_postgres() {
    let metadata = MetadataTables::new(&POSTGRES, "it's", "billing");
    let check = |statements: &[String], expect: Expect| expect.assert_eq(&statements.join(";\n"));
    check(
        &ALL.create(&POSTGRES),
        expect![[r#"
            CREATE TABLE IF NOT EXISTS "_syncline_conflicts" ("id" text NOT NULL, "pipeline" text NOT NULL, "sink" text NOT NULL, "source" text NOT NULL, "target" text NOT NULL, "key" text NOT NULL, "kind" text NOT NULL, "strategy" text NOT NULL, "winner" text NOT NULL, "columns" text NOT NULL, "reason" text NOT NULL, "base_row" text, "source_row" text, "target_row" text, "result_row" text, "topic" text NOT NULL, "partition" integer NOT NULL, "position" bigint NOT NULL, "event_time_ms" bigint, "decided_at_ms" bigint NOT NULL, PRIMARY KEY ("id"));
            CREATE INDEX IF NOT EXISTS "_syncline_conflicts_by_time" ON "_syncline_conflicts" ("pipeline", "sink", "decided_at_ms", "id");
            CREATE TABLE IF NOT EXISTS "_syncline_conflict_counts" ("pipeline" text NOT NULL, "sink" text NOT NULL, "source" text NOT NULL, "partition" text NOT NULL, "target" text NOT NULL, "kind" text NOT NULL, "strategy" text NOT NULL, "column_name" text NOT NULL, "winner" text NOT NULL, "count" bigint NOT NULL, PRIMARY KEY ("pipeline", "sink", "source", "partition", "target", "kind", "strategy", "column_name", "winner"));
            CREATE TABLE IF NOT EXISTS "_syncline_conflict_queue" ("id" bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "pipeline" text NOT NULL, "sink" text NOT NULL, "source" text NOT NULL, "target" text NOT NULL, "key" text NOT NULL, "kind" text NOT NULL, "columns" text NOT NULL, "reason" text NOT NULL, "base_row" text, "source_row" text, "target_row" text, "change" text NOT NULL, "topic" text NOT NULL, "partition" integer NOT NULL, "position" bigint NOT NULL, "event_time_ms" bigint, "opened_at_ms" bigint NOT NULL, "state" text NOT NULL, "taken" text, "resolved_by" text, "resolved_at_ms" bigint);
            CREATE INDEX IF NOT EXISTS "_syncline_conflict_queue_open" ON "_syncline_conflict_queue" ("pipeline", "sink", "target", "key") WHERE state = 'open';
            CREATE TABLE IF NOT EXISTS "_syncline_conflict_waiting" ("sequence" bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "pipeline" text NOT NULL, "sink" text NOT NULL, "target" text NOT NULL, "key" text NOT NULL, "change" text NOT NULL);
            CREATE INDEX IF NOT EXISTS "_syncline_conflict_waiting_by_key" ON "_syncline_conflict_waiting" ("pipeline", "sink", "target", "key", "sequence");
            CREATE TABLE IF NOT EXISTS "_syncline_shadow" ("pipeline" text NOT NULL, "sink" text NOT NULL, "target" text NOT NULL, "key" text NOT NULL, "image" text NOT NULL, PRIMARY KEY ("pipeline", "sink", "target", "key"));
            CREATE TABLE IF NOT EXISTS "_syncline_waiting" ("sequence" bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "pipeline" text NOT NULL, "sink" text NOT NULL, "source" text NOT NULL, "target" text NOT NULL, "key" text NOT NULL, "awaits" text, "rule" text NOT NULL, "field" text, "reason" text NOT NULL, "since_ms" bigint NOT NULL, "change" text NOT NULL);
            CREATE INDEX IF NOT EXISTS "_syncline_waiting_by_key" ON "_syncline_waiting" ("pipeline", "sink", "target", "key", "sequence")"#]],
    );
    check(
        &metadata.insert_history(&[record(2)]),
        expect![[
            r#"INSERT INTO "_syncline_conflicts" ("id", "pipeline", "sink", "source", "target", "key", "kind", "strategy", "winner", "columns", "reason", "base_row", "source_row", "target_row", "result_row", "topic", "partition", "position", "event_time_ms", "decided_at_ms") VALUES ('p/s/crm/t/3/2/0', 'it''s', 'billing', 'crm', 'public.clients', '{"id":2}', 'update_origin_differs', 'newest_wins', 'merged', '{"name":"concat"}', 'the target''s row is newer', NULL, '{"id":1,"name":"it''s \"so\" \\ "}', '{"id":1,"name":null}', NULL, 'crm.clients', 3, 2, 2, 2000) ON CONFLICT DO NOTHING"#
        ]],
    );
    check(
        &metadata.prune_history(1_000_000, 5, 1_000),
        expect![[r#"
            DELETE FROM "_syncline_conflicts" WHERE "id" IN (SELECT "id" FROM "_syncline_conflicts" WHERE "pipeline" = 'it''s' AND "sink" = 'billing' AND "decided_at_ms" < 5 ORDER BY "decided_at_ms", "id" LIMIT 1000 FOR UPDATE SKIP LOCKED);
            DELETE FROM "_syncline_conflicts" WHERE "id" IN (SELECT "id" FROM "_syncline_conflicts" WHERE "pipeline" = 'it''s' AND "sink" = 'billing' AND ("decided_at_ms", "id") <= (SELECT * FROM (SELECT "decided_at_ms", "id" FROM "_syncline_conflicts" WHERE "pipeline" = 'it''s' AND "sink" = 'billing' ORDER BY "decided_at_ms" DESC, "id" DESC LIMIT 1 OFFSET 1000000) AS f) ORDER BY "decided_at_ms", "id" LIMIT 1000 FOR UPDATE SKIP LOCKED)"#]],
    );
    check(
        &[metadata.select_history(Some(&KeyFilter::of("5")), 10)],
        expect![[
            r#"SELECT CAST("id" AS text), CAST("pipeline" AS text), CAST("sink" AS text), CAST("source" AS text), CAST("target" AS text), CAST("key" AS text), CAST("kind" AS text), CAST("strategy" AS text), CAST("winner" AS text), CAST("columns" AS text), CAST("reason" AS text), CAST("base_row" AS text), CAST("source_row" AS text), CAST("target_row" AS text), CAST("result_row" AS text), CAST("topic" AS text), CAST("partition" AS text), CAST("position" AS text), CAST("event_time_ms" AS text), CAST("decided_at_ms" AS text) FROM "_syncline_conflicts" WHERE "pipeline" = 'it''s' AND "sink" = 'billing' AND (strpos("key", ':5}') > 0 OR strpos("key", ':5,') > 0 OR strpos("key", ':"5"}') > 0 OR strpos("key", ':"5",') > 0) ORDER BY "_syncline_conflicts"."decided_at_ms" DESC, "_syncline_conflicts"."position" DESC, "_syncline_conflicts"."id" DESC LIMIT 10"#
        ]],
    );
    check(
        &metadata.add_counts("crm", &Counts::from([(count("a", "name"), 2)])),
        expect![[
            r#"INSERT INTO "_syncline_conflict_counts" ("pipeline", "sink", "source", "partition", "target", "kind", "strategy", "column_name", "winner", "count") VALUES ('it''s', 'billing', 'crm', 'crm.clients/3', 'a', 'insert_exists', 'merge', 'name', 'source', 2) ON CONFLICT ("pipeline", "sink", "source", "partition", "target", "kind", "strategy", "column_name", "winner") DO UPDATE SET "count" = "_syncline_conflict_counts"."count" + excluded."count""#
        ]],
    );
    check(
        &[metadata.select_counts()],
        expect![[
            r#"SELECT CAST("target" AS text), CAST("kind" AS text), CAST("strategy" AS text), CAST("column_name" AS text), CAST("winner" AS text), CAST(sum("count") AS text) FROM "_syncline_conflict_counts" WHERE "pipeline" = 'it''s' AND "sink" = 'billing' GROUP BY "target", "kind", "strategy", "column_name", "winner" ORDER BY "target", "kind", "strategy", "column_name", "winner""#
        ]],
    );
    check(
        &metadata.insert_queue(&[entry(1)]),
        expect![[
            r#"INSERT INTO "_syncline_conflict_queue" ("pipeline", "sink", "source", "target", "key", "kind", "columns", "reason", "base_row", "source_row", "target_row", "change", "topic", "partition", "position", "event_time_ms", "opened_at_ms", "state") VALUES ('it''s', 'billing', 'crm', 'clients', '{"id":1}', 'delete_origin_differs', '{}', 'manual', NULL, '{"id":1,"name":"it''s \"so\" \\ "}', '{"id":1,"name":null}', 'AQID', 'crm.clients', 3, 1, NULL, 77, 'open')"#
        ]],
    );
    check(
        &[metadata.any_open("clients")],
        expect![[
            r#"SELECT 'open' FROM "_syncline_conflict_queue" WHERE "pipeline" = 'it''s' AND "sink" = 'billing' AND "target" = 'clients' AND "state" = 'open' LIMIT 1"#
        ]],
    );
    check(
        &metadata.open_keys("clients", ["a", "it's"]),
        expect![[
            r#"SELECT "key" FROM "_syncline_conflict_queue" WHERE "pipeline" = 'it''s' AND "sink" = 'billing' AND "target" = 'clients' AND "state" = 'open' AND "key" IN ('a', 'it''s') ORDER BY "id" FOR UPDATE"#
        ]],
    );
    check(
        &[metadata.select_entry(7)],
        expect![[
            r#"SELECT CAST("id" AS text), CAST("pipeline" AS text), CAST("sink" AS text), CAST("source" AS text), CAST("target" AS text), CAST("key" AS text), CAST("kind" AS text), CAST("columns" AS text), CAST("reason" AS text), CAST("base_row" AS text), CAST("source_row" AS text), CAST("target_row" AS text), CAST("change" AS text), CAST("topic" AS text), CAST("partition" AS text), CAST("position" AS text), CAST("event_time_ms" AS text), CAST("opened_at_ms" AS text), CAST("state" AS text), CAST("taken" AS text), CAST("resolved_by" AS text), CAST("resolved_at_ms" AS text), CAST((SELECT count(*) FROM "_syncline_conflict_waiting" AS w WHERE w."pipeline" = q."pipeline" AND w."sink" = q."sink" AND w."target" = q."target" AND w."key" = q."key" AND q."state" = 'open') AS text) FROM "_syncline_conflict_queue" AS q WHERE "pipeline" = 'it''s' AND "sink" = 'billing' AND "id" = 7"#
        ]],
    );
    check(
        &metadata.read_shadow("clients", ["a"]),
        expect![[
            r#"SELECT "key", "image" FROM "_syncline_shadow" WHERE "pipeline" = 'it''s' AND "sink" = 'billing' AND "target" = 'clients' AND "key" IN ('a')"#
        ]],
    );
    check(
        &metadata.write_shadow("clients", [("a", "{}")]),
        expect![[
            r#"INSERT INTO "_syncline_shadow" ("pipeline", "sink", "target", "key", "image") VALUES ('it''s', 'billing', 'clients', 'a', '{}') ON CONFLICT ("pipeline", "sink", "target", "key") DO UPDATE SET "image" = excluded."image""#
        ]],
    );
}

//! Changes that come before the row that a foreign key needs (R21): they wait in the target, in their
//! order, until that row is there, or go to the quarantine after their time.
//! Longer than 400 lines: every story runs on the same family of two files and two tables.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Finished, Pipeline, Process, Target, eventually, unique};

const TABLES: [(&str, &str); 3] = [
    (
        "postgres",
        "CREATE TABLE parent (id bigint PRIMARY KEY, name text);
         CREATE TABLE child (id bigint PRIMARY KEY, parent bigint NOT NULL REFERENCES parent, name text)",
    ),
    (
        "mariadb",
        "CREATE TABLE parent (id bigint PRIMARY KEY, name varchar(40)) ENGINE = InnoDB;
         CREATE TABLE child (id bigint PRIMARY KEY, parent bigint NOT NULL, name varchar(40),
           FOREIGN KEY (parent) REFERENCES parent (id)) ENGINE = InnoDB",
    ),
    (
        "sqlite",
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent, name TEXT)",
    ),
];

/// Parents and children as two files, each a source with a lane of its own.
struct Family {
    target: Target,
    pipeline: Pipeline,
}

impl Family {
    async fn each(rows: usize, waiting: &str) -> Vec<Self> {
        let mut families = Vec::new();
        for target in Target::each("waiting").await {
            let tables = TABLES.iter().find(|(kind, _)| *kind == target.kind());
            target.execute(tables.expect("it is listed").1).await;
            let pipeline = Pipeline::new(&format!(
                r#"[batch]
rows = {rows}

[sources.children]
type   = "file"
path   = "children.jsonl"
format = "debezium-json"

[sources.parents]
type   = "file"
path   = "parents.jsonl"
format = "debezium-json"

[sinks.target]
inputs  = ["children", "parents"]
key     = ["id"]
table   = "{{table}}"
waiting = {{ {waiting} }}
{}

[quarantine]
type = "file"
path = "kept"
"#,
                target.lines()
            ));
            for file in ["children.jsonl", "parents.jsonl"] {
                fs::write(pipeline.folder().join(file), "").expect("the folder can be written");
            }
            families.push(Self { target, pipeline });
        }
        families
    }

    fn append(&self, file: &str, events: &[Value]) {
        let mut lines = String::new();
        for event in events {
            writeln!(lines, "{event}").expect("a text takes any line");
        }
        let path = self.pipeline.folder().join(file);
        let file = OpenOptions::new().append(true).open(path);
        file.and_then(|mut file| file.write_all(lines.as_bytes()))
            .expect("the file can be written");
    }

    /// Runs once; gives what became of the changes, by name.
    async fn run(&self) -> Value {
        let process = self
            .pipeline
            .start_as(&unique("run"), &["--once", "--json"]);
        let finished = self.pipeline.finish(process, DEADLINE).await;
        finished.expect_success();
        let summaries: Value = serde_json::from_str(&finished.stdout).expect("a summary is JSON");
        summaries[0]["sinks"][0].clone()
    }

    async fn children(&self) -> Vec<String> {
        let sql = "SELECT id, parent, name FROM child ORDER BY id";
        let text = |row: &Vec<Option<String>>| {
            let values = row.iter().map(|value| value.as_deref().unwrap_or("null"));
            values.collect::<Vec<_>>().join("|")
        };
        self.target.rows(sql).await.iter().map(text).collect()
    }

    async fn list(&self) -> Finished {
        self.pipeline
            .command(&["waiting", "list", self.pipeline.file()])
            .await
    }

    fn kept(&self) -> String {
        let folder = fs::read_dir(self.pipeline.folder().join("kept"));
        let files = folder.into_iter().flatten().flatten();
        files
            .map(|file| fs::read_to_string(file.path()).unwrap_or_default())
            .collect()
    }
}

fn event(operation: &str, table: &str, before: &Value, after: &Value) -> Value {
    json!({
        "op": operation, "before": before, "after": after,
        "source": { "db": "crm", "schema": "public", "table": table },
    })
}

fn child(id: i64, parent: i64, name: &str) -> Value {
    let row = json!({ "id": id, "parent": parent, "name": name });
    event("c", "child", &Value::Null, &row)
}

fn renamed(id: i64, parent: i64, from: &str, to: &str) -> Value {
    let row = |name: &str| json!({ "id": id, "parent": parent, "name": name });
    event("u", "child", &row(from), &row(to))
}

fn parent(id: i64) -> Value {
    event(
        "c",
        "parent",
        &Value::Null,
        &json!({ "id": id, "name": "p" }),
    )
}

fn count(balance: &Value, name: &str) -> u64 {
    balance[name].as_u64().expect("a count")
}

#[tokio::test]
async fn a_change_waits_for_its_parent_and_later_changes_of_its_key_behind_it_r21() {
    for rows in [1, 2, 1000] {
        for family in Family::each(rows, "timeout = \"1h\"").await {
            let at = format!("{}, {rows} rows a batch", family.target.kind());
            let first = [
                child(1, 9, "a"),
                renamed(1, 9, "a", "b"),
                child(2, 9, "a"),
                child(3, 8, "a"),
                // A row that goes before its parent comes.
                child(4, 9, "a"),
                event(
                    "d",
                    "child",
                    &json!({ "id": 4, "parent": 9, "name": "a" }),
                    &Value::Null,
                ),
            ];
            family.append("children.jsonl", &first);
            let balance = family.run().await;
            assert_eq!(count(&balance, "quarantined"), 0, "{at}: {balance}");
            assert!(count(&balance, "waiting") >= 3, "{at}: {balance}");
            assert_eq!(family.children().await, [""; 0], "{at}");

            // In another run, behind what waits.
            family.append("children.jsonl", &[renamed(2, 9, "a", "c")]);
            let balance = family.run().await;
            assert_eq!(
                (count(&balance, "in"), count(&balance, "waiting")),
                (1, 1),
                "{at}: {balance}"
            );
            let listed = family.list().await;
            listed.expect_success();
            for part in [
                "\"parent\" with \"id\" = 9",
                "\"id\" = 8",
                "behind an earlier change",
            ] {
                assert!(
                    listed.stdout.contains(part),
                    "{at}: {part}: {}",
                    listed.stdout
                );
            }

            family.append("parents.jsonl", &[parent(9)]);
            let balance = family.run().await;
            assert_eq!(family.children().await, ["1|9|b", "2|9|c"], "{at}");
            assert_eq!(
                (count(&balance, "waiting"), count(&balance, "quarantined")),
                (0, 0),
                "{at}: {balance}"
            );
            let listed = family.list().await;
            assert!(
                listed.stdout.contains("1 changes wait"),
                "{at}: {}",
                listed.stdout
            );

            // What comes when the way is free is written at once.
            let last = [renamed(1, 9, "b", "d"), child(5, 9, "e")];
            family.append("children.jsonl", &last);
            family.append("parents.jsonl", &[parent(8)]);
            let balance = family.run().await;
            assert_eq!(
                family.children().await,
                ["1|9|d", "2|9|c", "3|8|a", "5|9|e"],
                "{at}: {balance}"
            );
            assert!(
                family.list().await.stdout.contains("0 changes wait"),
                "{at}"
            );
        }
    }
}

#[tokio::test]
async fn a_change_waits_for_each_of_its_parents_and_a_delete_for_its_children_r21() {
    for family in Family::each(100, "timeout = \"1h\"").await {
        let kind = family.target.kind();
        let tables = match kind {
            "mariadb" => {
                "CREATE TABLE link (id bigint PRIMARY KEY, a bigint, b bigint, \
                 FOREIGN KEY (a) REFERENCES parent (id), FOREIGN KEY (b) REFERENCES parent (id)) ENGINE = InnoDB"
            }
            _ => {
                "CREATE TABLE link (id bigint PRIMARY KEY, a bigint REFERENCES parent, b bigint REFERENCES parent)"
            }
        };
        family.target.execute(tables).await;
        let link = json!({ "id": 1, "a": 7, "b": 8 });
        family.append("children.jsonl", &[event("c", "link", &Value::Null, &link)]);
        family.run().await;
        family.append("parents.jsonl", &[parent(7)]);
        let balance = family.run().await;
        assert_eq!(count(&balance, "written"), 1, "{kind}: {balance}");
        let listed = family.list().await;
        assert!(
            listed.stdout.contains("\"id\" = 8"),
            "{kind}: {}",
            listed.stdout
        );
        family.append("parents.jsonl", &[parent(8)]);
        family.run().await;
        let links = family.target.rows("SELECT id FROM link").await;
        assert_eq!(links.len(), 1, "{kind}");

        // The parents go before the row that refers to them.
        let gone = |id: i64| {
            event(
                "d",
                "parent",
                &json!({ "id": id, "name": "p" }),
                &Value::Null,
            )
        };
        family.append("parents.jsonl", &[gone(7), gone(8)]);
        let balance = family.run().await;
        assert_eq!(count(&balance, "waiting"), 2, "{kind}: {balance}");
        family.append("children.jsonl", &[event("d", "link", &link, &Value::Null)]);
        family.run().await;
        let left = family.target.rows("SELECT id FROM parent").await;
        assert_eq!(left.len(), 0, "{kind}");
    }
}

#[tokio::test]
async fn two_lanes_end_the_same_whichever_is_first_r21() {
    const PARENTS: i64 = 300;
    const CHILDREN: i64 = 6_000;
    for family in Family::each(500, "timeout = \"1h\"").await {
        let kind = family.target.kind();
        let children: Vec<Value> = (0..CHILDREN)
            .map(|id| child(id, id % PARENTS, "a"))
            .collect();
        let parents: Vec<Value> = (0..PARENTS).map(parent).collect();
        family.append("children.jsonl", &children);
        family.append("parents.jsonl", &parents);
        let balance = family.run().await;
        let all = (CHILDREN + PARENTS) as u64;
        assert_eq!(
            (
                count(&balance, "in"),
                count(&balance, "written"),
                count(&balance, "waiting")
            ),
            (all, all, 0),
            "{kind}: {balance}"
        );
        let sql = "SELECT count(*), sum(parent) FROM child";
        let sum: i64 = (0..CHILDREN).map(|id| id % PARENTS).sum();
        let expect = vec![Some(CHILDREN.to_string()), Some(sum.to_string())];
        assert_eq!(family.target.rows(sql).await, [expect], "{kind}");
    }
}

#[tokio::test]
async fn what_waits_for_too_long_goes_to_the_quarantine_with_its_parent_named_r21() {
    for family in Family::each(100, "timeout = \"1s\"").await {
        let kind = family.target.kind();
        family.append("children.jsonl", &[child(1, 9, "a"), child(2, 8, "a")]);
        let mut run: Process = family.pipeline.start(&[]);
        eventually("the entry", DEADLINE, async || {
            run.expect_running();
            match family.kept() {
                kept if kept.matches("R21 reference").count() == 2 => Ok(()),
                kept => Err(kept),
            }
        })
        .await;
        let kept = family.kept();
        let named = "which did not come";
        assert!(
            kept.contains(named) && kept.contains("= 9") && kept.contains("= 8"),
            "{kind}: {kept}"
        );
        // The whole record is kept.
        assert!(kept.contains("\\\"parent\\\":9"), "{kind}: {kept}");
        run.terminate();
        family.pipeline.finish(run, DEADLINE).await.expect_success();
        assert!(
            family.list().await.stdout.contains("0 changes wait"),
            "{kind}"
        );
        // A parent that comes after that brings nothing back.
        family.append("parents.jsonl", &[parent(9)]);
        family.run().await;
        assert_eq!(family.children().await, [""; 0], "{kind}");
    }
}

#[tokio::test]
async fn a_bound_of_the_room_and_a_time_of_zero_send_changes_to_the_quarantine_r21() {
    for (waiting, expect) in [("timeout = \"0s\"", 3), ("changes_max = 2", 1)] {
        for family in Family::each(100, waiting).await {
            let at = format!("{}, {waiting}", family.target.kind());
            let events = [child(1, 9, "a"), child(2, 9, "a"), child(3, 9, "a")];
            family.append("children.jsonl", &events);
            // All of a table is refused: that has to be allowed.
            let text = fs::read_to_string(family.pipeline.file()).expect("the file is there");
            family.pipeline.write(&(text + "stop_after = 0\n"));
            let balance = family.run().await;
            assert_eq!(count(&balance, "quarantined"), expect, "{at}: {balance}");
            assert_eq!(count(&balance, "waiting"), 3 - expect, "{at}: {balance}");
            // Nor is there room behind what waits.
            family.append("children.jsonl", &[renamed(1, 9, "a", "b")]);
            let balance = family.run().await;
            assert_eq!(count(&balance, "quarantined"), 1, "{at}: {balance}");
        }
    }
}

const TRIGGERS: [(&str, &str); 3] = [
    (
        "postgres",
        "CREATE FUNCTION make_parent() RETURNS trigger AS $$ BEGIN
           INSERT INTO parent SELECT NEW.parent, 't' WHERE NEW.parent < 90 ON CONFLICT DO NOTHING;
           RETURN NEW;
         END $$ LANGUAGE plpgsql;
         CREATE TRIGGER make_parent BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION make_parent()",
    ),
    (
        "mariadb",
        "CREATE TRIGGER make_parent BEFORE INSERT ON child FOR EACH ROW
           INSERT IGNORE INTO parent SELECT NEW.parent, 't' FROM DUAL WHERE NEW.parent < 90",
    ),
    (
        "sqlite",
        "CREATE TRIGGER make_parent BEFORE INSERT ON child WHEN NEW.parent < 90 BEGIN
           INSERT OR IGNORE INTO parent VALUES (NEW.parent, 't');
         END",
    ),
];

/// A row that lacks its parent makes the sink look at the foreign keys of all; the database takes the
/// others.
#[tokio::test]
async fn what_the_target_accepts_without_its_parent_does_not_wait_r21() {
    for family in Family::each(100, "timeout = \"1h\"").await {
        let kind = family.target.kind();
        let trigger = TRIGGERS.iter().find(|(of, _)| *of == kind);
        let trigger = trigger.expect("it is listed").1;
        family.target.execute(trigger).await;
        let events = [child(1, 7, "a"), child(2, 99, "b"), child(3, 8, "c")];
        family.append("children.jsonl", &events);
        let balance = family.run().await;
        assert_eq!(count(&balance, "waiting"), 1, "{kind}: {balance}");
        assert_eq!(family.children().await, ["1|7|a", "3|8|c"], "{kind}");
    }
}

#[tokio::test]
async fn a_truncate_supersedes_what_waits_for_its_table_r21() {
    for family in Family::each(100, "timeout = \"1h\"").await {
        let kind = family.target.kind();
        family.append("children.jsonl", &[child(1, 9, "a")]);
        family.run().await;
        let truncate = event("t", "child", &Value::Null, &Value::Null);
        family.append("children.jsonl", &[truncate, child(2, 9, "b")]);
        let balance = family.run().await;
        assert_eq!(count(&balance, "superseded"), 1, "{kind}: {balance}");
        family.append("parents.jsonl", &[parent(9)]);
        family.run().await;
        assert_eq!(family.children().await, ["2|9|b"], "{kind}");
    }
}

#[tokio::test]
async fn kills_lose_nothing_that_waits_r21() {
    const PARENTS: i64 = 60;
    for family in Family::each(20, "timeout = \"1h\"").await {
        let kind = family.target.kind();
        let mut children = Vec::new();
        for id in 0..600 {
            children.push(child(id, id % PARENTS, "a"));
            children.push(renamed(id, id % PARENTS, "a", "b"));
        }
        family.append("children.jsonl", &children);
        let mut parents = (0..PARENTS).collect::<Vec<_>>();
        for turn in 0..12 {
            let some: Vec<Value> = parents.drain(..5).map(parent).collect();
            family.append("parents.jsonl", &some);
            let run = family.pipeline.start(&[]);
            // Another moment in each turn: while it starts, writes, or waits for more.
            tokio::time::sleep(Duration::from_millis(60 + 70 * turn)).await;
            drop(run);
        }
        let balance = family.run().await;
        assert_eq!(count(&balance, "waiting"), 0, "{kind}: {balance}");
        let expect: Vec<String> = (0..600)
            .map(|id| format!("{id}|{}|b", id % PARENTS))
            .collect();
        assert_eq!(family.children().await, expect, "{kind}");
        assert_eq!(family.kept(), "", "{kind}");
    }
}

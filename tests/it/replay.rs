//! `syncline quarantine replay | drop | export` (R26): refused changes are written again once, in their
//! order, through the pipeline as it is now, and never over what a later change of their key wrote.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Finished, Pipeline, Target, unique};

const TABLE: &str = "CREATE TABLE item (id bigint PRIMARY KEY, name varchar(40), score bigint)";

/// A pipeline whose validation refuses scores above a bound.
struct Items {
    target: Target,
    pipeline: Pipeline,
}

impl Items {
    async fn each() -> Vec<Self> {
        let mut all = Vec::new();
        for target in Target::each("replay").await {
            target.execute(TABLE).await;
            let pipeline = Pipeline::new(&text(&target, 90));
            fs::write(pipeline.folder().join("items.jsonl"), "")
                .expect("the folder can be written");
            all.push(Self { target, pipeline });
        }
        all
    }

    fn allow(&self, score_max: i64) {
        self.pipeline.write(&text(&self.target, score_max));
    }

    fn append(&self, events: &[Value]) {
        let mut lines = String::new();
        for event in events {
            writeln!(lines, "{event}").expect("a text takes any line");
        }
        let path = self.pipeline.folder().join("items.jsonl");
        let file = OpenOptions::new().append(true).open(path);
        file.and_then(|mut file| file.write_all(lines.as_bytes()))
            .expect("the file can be written");
    }

    async fn run(&self) {
        let process = self.pipeline.start_as(&unique("run"), &["--once"]);
        self.pipeline
            .finish(process, DEADLINE)
            .await
            .expect_success();
    }

    async fn quarantine(&self, command: &str, arguments: &[&str]) -> Finished {
        let mut all = vec!["quarantine", command, self.pipeline.file()];
        all.extend(arguments);
        self.pipeline.command(&all).await
    }

    /// `arguments` begin with the command.
    async fn positions(&self, arguments: &[&str]) -> Finished {
        let mut all = vec!["positions", arguments[0], self.pipeline.file()];
        all.extend(&arguments[1..]);
        self.pipeline.command(&all).await
    }

    async fn rows(&self) -> Vec<String> {
        let rows = self
            .target
            .rows("SELECT id, name, score FROM item ORDER BY id")
            .await;
        let text = |row: &Vec<Option<String>>| {
            let values = row.iter().map(|value| value.as_deref().unwrap_or("null"));
            values.collect::<Vec<_>>().join("|")
        };
        rows.iter().map(text).collect()
    }

    async fn kept(&self) -> usize {
        let listed = self.quarantine("list", &[]).await;
        let last = listed.stdout.lines().last().unwrap_or_default().to_owned();
        let count = last.split(' ').next().and_then(|count| count.parse().ok());
        count.unwrap_or_else(|| panic!("{listed:?}"))
    }
}

fn text(target: &Target, score_max: i64) -> String {
    format!(
        r#"[sources.items]
type   = "file"
path   = "items.jsonl"
format = "debezium-json"

[operators.check]
type       = "validate"
inputs     = ["items"]
on_failure = "quarantine"
rules      = [{{ field = "score", max = {score_max} }}]

[sinks.target]
inputs = ["check"]
key    = ["id"]
table  = "item"
{}

[quarantine]
type       = "file"
path       = "kept"
stop_after = 0
"#,
        target.lines()
    )
}

fn item(id: i64, name: &str, score: i64) -> Value {
    json!({ "id": id, "name": name, "score": score })
}

fn created(id: i64, name: &str, score: i64) -> Value {
    event("c", &Value::Null, &item(id, name, score))
}

fn event(operation: &str, before: &Value, after: &Value) -> Value {
    json!({ "op": operation, "before": before, "after": after, "source": { "db": "a", "table": "item" } })
}

#[tokio::test]
async fn refused_changes_are_written_in_order_and_once_r26() {
    for items in Items::each().await {
        let kind = items.target.kind();
        items.append(&[
            created(1, "a", 95),
            event("u", &item(1, "a", 95), &item(1, "b", 96)),
            created(2, "c", 97),
            created(3, "d", 5),
        ]);
        items.run().await;
        assert_eq!(items.rows().await, ["3|d|5"], "{kind}");
        assert_eq!(items.kept().await, 3, "{kind}");

        // Nothing has changed: they are refused again, and stay.
        let again = items.quarantine("replay", &[]).await;
        assert_eq!(again.code, Some(1), "{kind}: {again:?}");
        assert!(again.stdout.contains("refused again"), "{kind}: {again:?}");
        assert_eq!(items.kept().await, 3, "{kind}");

        items.allow(1000);
        let shown = items.quarantine("replay", &["--dry-run"]).await;
        shown.expect_success();
        for part in ["nothing was written", "\"score\":97"] {
            assert!(
                shown.stdout.contains(part),
                "{kind}: {part}: {}",
                shown.stdout
            );
        }
        assert_eq!(
            (items.rows().await.len(), items.kept().await),
            (1, 3),
            "{kind}"
        );

        let kept = items.pipeline.folder().join("kept");
        let copy = items.pipeline.folder().join("copy");
        copy_folder(&kept, &copy);
        items.quarantine("replay", &[]).await.expect_success();
        let all = ["1|b|96", "2|c|97", "3|d|5"];
        assert_eq!(items.rows().await, all, "{kind}");
        assert_eq!(items.kept().await, 0, "{kind}");

        // A crash before the entries were taken out: they are not written over what came since.
        fs::remove_dir_all(&kept).expect("the folder is there");
        copy_folder(&copy, &kept);
        items
            .target
            .execute("UPDATE item SET name = 'edited' WHERE id = 2")
            .await;
        items
            .quarantine("replay", &["--force"])
            .await
            .expect_success();
        let all = ["1|b|96", "2|edited|97", "3|d|5"];
        assert_eq!(items.rows().await, all, "{kind}");
        assert_eq!(items.kept().await, 0, "{kind}");
        // The pipeline goes on where it was.
        items.append(&[created(4, "e", 1)]);
        items.run().await;
        assert_eq!(items.rows().await.len(), 4, "{kind}");
    }
}

/// After a reset the records come again and are refused again: the marks of the first replay must not
/// say that they are written.
#[tokio::test]
async fn a_record_that_is_read_and_refused_again_is_replayed_again_r26() {
    let moves: [&[&str]; 4] = [
        &["reset"],
        &["reset", "--topic", "items.jsonl"],
        &["set", "--to", "beginning"],
        &["reset", "--partition", "0"],
    ];
    for moved in moves {
        for items in Items::each().await {
            let at = format!("{}, {moved:?}", items.target.kind());
            items.append(&[created(1, "a", 5), created(2, "b", 95)]);
            items.run().await;
            items.allow(1000);
            items.quarantine("replay", &[]).await.expect_success();
            assert_eq!(items.rows().await, ["1|a|5", "2|b|95"], "{at}");

            let shown = items.positions(&["show"]).await;
            assert!(!shown.stdout.contains("quarantine:"), "{at}: {shown:?}");
            let mut arguments = moved.to_vec();
            arguments.push("--yes");
            let changed = items.positions(&arguments).await;
            changed.expect_success();
            assert!(!changed.stdout.contains("quarantine:"), "{at}: {changed:?}");
            items.target.execute("DELETE FROM item").await;
            items.allow(90);
            items.run().await;
            assert_eq!(items.rows().await, ["1|a|5"], "{at}");
            items.allow(1000);
            items.quarantine("replay", &[]).await.expect_success();
            assert_eq!(items.rows().await, ["1|a|5", "2|b|95"], "{at}");
            assert_eq!(items.kept().await, 0, "{at}");
        }
    }
}

#[tokio::test]
async fn what_a_later_change_wrote_stays_unless_a_person_says_so_r26() {
    for items in Items::each().await {
        let kind = items.target.kind();
        items.append(&[created(1, "old", 95), created(2, "old", 95)]);
        items.append(&[event("u", &item(1, "old", 95), &item(1, "new", 5))]);
        items.run().await;
        assert_eq!(items.rows().await, ["1|new|5"], "{kind}");
        items.allow(1000);
        let replayed = items.quarantine("replay", &[]).await;
        assert_eq!(replayed.code, Some(1), "{kind}: {replayed:?}");
        assert!(
            replayed.stdout.contains("R26 overtaken"),
            "{kind}: {replayed:?}"
        );
        assert_eq!(items.rows().await, ["1|new|5", "2|old|95"], "{kind}");
        assert_eq!(items.kept().await, 1, "{kind}");
        items
            .quarantine("replay", &["--force"])
            .await
            .expect_success();
        assert_eq!(items.rows().await, ["1|old|95", "2|old|95"], "{kind}");
        assert_eq!(items.kept().await, 0, "{kind}");
    }
}

#[tokio::test]
async fn entries_are_chosen_exported_and_dropped() {
    let items = Items::each().await.remove(0);
    let events: Vec<Value> = (1..=5).map(|id| created(id, "a", 90 + id)).collect();
    items.append(&events);
    items.run().await;
    let export = async |arguments: &[&str]| {
        let finished = items.quarantine("export", arguments).await;
        finished.expect_success();
        let ids = finished.stdout.lines().map(|line| {
            let entry: Value = serde_json::from_str(line).expect("a line is JSON");
            let value = entry["value"]
                .as_str()
                .expect("the value is text")
                .to_owned();
            let value: Value = serde_json::from_str(&value).expect("the value is an event");
            value["after"]["id"].as_i64().expect("a number")
        });
        ids.collect::<Vec<_>>()
    };
    assert_eq!(export(&[]).await, [1, 2, 3, 4, 5]);
    assert_eq!(export(&["--key", "3"]).await, [3]);
    assert_eq!(
        export(&["--table", "item", "--stage", "check", "--rule", "max"])
            .await
            .len(),
        5
    );
    assert_eq!(export(&["--table", "other"]).await, [0; 0]);
    assert_eq!(export(&["--since", "2100-01-01T00:00:00Z"]).await, [0; 0]);
    assert_eq!(export(&["--to-offset", "0"]).await, [1]);
    let refused = items.quarantine("drop", &[]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    items
        .quarantine("drop", &["--key", "3"])
        .await
        .expect_success();
    assert_eq!(export(&[]).await, [1, 2, 4, 5]);
    items.quarantine("drop", &["--all"]).await.expect_success();
    assert_eq!(items.kept().await, 0);
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for file in fs::read_dir(from).expect("the folder is there") {
        let file = file.expect("the entry can be read");
        fs::copy(file.path(), to.join(file.file_name())).expect("a file can be copied");
    }
}

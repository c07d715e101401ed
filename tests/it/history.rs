//! The history of conflicts in a table stays within its bound, however often a pipeline starts.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::json;

use crate::harness::{DEADLINE, Pipeline, Target, unique};

const ROWS: i64 = 60;
const ROWS_MAX: i64 = 10;

#[tokio::test]
async fn a_history_is_pruned_when_a_pipeline_starts() {
    for target in Target::each("history").await {
        let kind = target.kind();
        target
            .execute("CREATE TABLE item (id bigint PRIMARY KEY, n bigint)")
            .await;
        let pipeline = Pipeline::new(&format!(
            r#"[sources.items]
type   = "file"
path   = "items.jsonl"
format = "debezium-json"

[sinks.target]
inputs = ["items"]
key    = ["id"]
table  = "item"
{}

[sinks.target.conflict]
strategy         = "newest_wins"
version          = "n"
history.rows_max = {ROWS_MAX}
"#,
            target.lines()
        ));
        let path = pipeline.folder().join("items.jsonl");
        for run in 1..=4 {
            // Each row is there already, and is not what the source knew.
            let mut lines = String::new();
            for id in 0..ROWS {
                let row = |n: i64| json!({ "id": id, "n": n });
                let event = json!({
                    "op": "u", "before": row(-1), "after": row(run),
                    "source": { "db": "a", "table": "item" },
                });
                writeln!(lines, "{event}").expect("a text takes any line");
            }
            let file = OpenOptions::new().create(true).append(true).open(&path);
            file.and_then(|mut file| file.write_all(lines.as_bytes()))
                .expect("the file can be written");
            if run == 1 {
                let rows: Vec<String> = (0..ROWS).map(|id| format!("({id}, 0)")).collect();
                let fill = format!("INSERT INTO item VALUES {}", rows.join(", "));
                target.execute(&fill).await;
            }
            let process = pipeline.start_as(&unique("run"), &["--once"]);
            pipeline.finish(process, DEADLINE).await.expect_success();
            let kept = target
                .numbers("SELECT count(*) FROM _syncline_conflicts")
                .await[0];
            // Of this run, and what the start left of those before.
            assert!(kept > ROWS_MAX, "{kind}, run {run}: {kept}");
            assert!(kept <= ROWS + ROWS_MAX, "{kind}, run {run}: {kept}");
        }
    }
}

//! Files as a sink and as a source, through whole pipelines: finished files hold each row once whatever
//! happens to the process, and what was written is read again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{DEADLINE, Pipeline, Target, eventually, kafka, unique};

const ROWS: usize = 20_000;
const KILLS: usize = 8;

/// The finished files below a folder, in order.
fn finished(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().into_string().expect("names are UTF-8");
            if path.is_dir() && name != "_syncline" {
                folders.push(path);
            } else if path.is_file() && !name.starts_with('.') {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// How often each id is in finished lines of JSON.
fn counts(folder: &Path) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for path in finished(folder) {
        let mut text = String::new();
        let file = fs::File::open(&path).expect("it is there");
        let mut input = flate2::read::MultiGzDecoder::new(file);
        input.read_to_string(&mut text).expect("it is whole");
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).expect("a line is an object");
            *counts
                .entry(row["id"].as_i64().expect("an id"))
                .or_default() += 1;
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_leave_each_row_in_one_finished_file() {
    let kafka = kafka();
    let topic = kafka.topic("lake", 3).await;
    let messages: Vec<crate::harness::Message> = (0..ROWS)
        .map(|id| crate::harness::Message {
            key: Some(format!("{{\"id\":{id}}}")),
            value: Some(format!("{{\"id\":{id},\"name\":\"client {id}\"}}")),
        })
        .collect();
    kafka.produce(&topic, &messages);
    let pipeline = Pipeline::new(&format!(
        "[batch]\nrows = 100\n[sources.crm]\ntype = \"kafka\"\nbrokers = {:?}\ntopics = [{topic:?}]\ngroup = {topic:?}\nformat = \"json\"\n\
         properties = {{ \"session.timeout.ms\" = \"2000\", \"heartbeat.interval.ms\" = \"400\", \"max.poll.interval.ms\" = \"4000\" }}\n\
         [sinks.lake]\ntype = \"file\"\ninputs = [\"crm\"]\npath = \"lake/dt={{date}}/\"\ncompression = \"gzip\"\nroll = {{ rows = 700, after = \"200ms\" }}\n",
        kafka.brokers()
    ));
    let folder = pipeline.folder().join("lake");
    for kill in 0..KILLS {
        let before = finished(&folder).len();
        let mut process = pipeline.start_as(&format!("kill{kill}"), &[]);
        eventually("another finished file", DEADLINE, async || {
            process.expect_running();
            let now = finished(&folder).len();
            if now > before { Ok(()) } else { Err(now) }
        })
        .await;
        assert!(process.kill(), "it ran until it was killed");
        let counts = counts(&folder);
        assert!(
            counts.len() < ROWS,
            "all was written after {kill} kills: make it longer"
        );
        let repeated = counts.iter().find(|(_, count)| **count > 1);
        assert_eq!(repeated, None, "after {kill} kills");
    }
    pipeline.run_once(DEADLINE).await.expect_success();
    let counts = counts(&folder);
    assert_eq!(counts.len(), ROWS);
    assert_eq!(counts.iter().find(|(_, count)| **count > 1), None);
    // Nothing is left unfinished, and a second run has nothing to do.
    let parts = fs::read_dir(folder.join("_syncline")).expect("the sink's own folder");
    assert_eq!(parts.count(), 1);
    let before = finished(&folder);
    pipeline.run_once(DEADLINE).await.expect_success();
    assert_eq!(finished(&folder), before);
    let shown = pipeline
        .command(&["positions", "show", pipeline.file(), "--json"])
        .await;
    shown.expect_success();
    assert!(shown.stdout.contains(&topic), "{}", shown.stdout);
}

/// What became of the changes of the only sink.
async fn run(pipeline: &Pipeline) -> Value {
    let process = pipeline.start_as(&unique("run"), &["--once", "--json"]);
    let finished = pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("a summary is JSON");
    summaries[0]["sinks"][0].clone()
}

#[tokio::test]
async fn what_was_written_is_read_again_value_by_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Target::Sqlite(tempfile::tempdir().expect("a folder"));
    database
        .execute(
            "CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT, balance TEXT, score REAL); \
             INSERT INTO clients VALUES (1, 'Anna, \"A.\"', '1.50', 0.5), (2, '', NULL, NULL), (3, NULL, 'x\ny', 1e300)",
        )
        .await;
    let query = "SELECT id, name, balance, score FROM clients ORDER BY id";
    let expect = database.rows(query).await;
    for (format, more, reads) in [
        ("parquet", "", ""),
        (
            "csv",
            "csv = { delimiter = \";\", null = \"NULL\" }",
            "csv = { delimiter = \";\", null = \"NULL\" }",
        ),
        ("csv", "compression = \"zstd\"", ""),
        ("jsonl", "compression = \"gzip\"", ""),
    ] {
        let path = folder.path().join(unique(format));
        let path = path.to_str().expect("UTF-8");
        let out = Pipeline::new(&format!(
            "[sources.shop]\n{}\ntables = [\"clients\"]\n\
             [sinks.lake]\ntype = \"file\"\ninputs = [\"shop\"]\npath = \"{path}/{{table}}/\"\nformat = \"{format}\"\noperations = false\n{more}\n",
            database.lines()
        ));
        assert_eq!(run(&out).await["written"], 3, "{format}");
        let target = Target::Sqlite(tempfile::tempdir().expect("a folder"));
        target
            .execute("CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT, balance TEXT, score REAL)")
            .await;
        let read_as = match format {
            "jsonl" => "json",
            other => other,
        };
        let back = Pipeline::new(&format!(
            "[sources.lake]\ntype = \"file\"\npath = \"{path}/clients/*\"\nformat = \"{read_as}\"\nkey = [\"id\"]\n{reads}\n\
             [sinks.copy]\n{}\ninputs = [\"lake\"]\ntable = \"clients\"\n",
            target.lines()
        ));
        assert_eq!(run(&back).await["written"], 3, "{format}");
        assert_eq!(target.rows(query).await, expect, "{format} {more}");
        // A new file is picked up, and the old one is not read again.
        assert_eq!(run(&back).await["in"], 0, "{format}");
        database
            .execute("INSERT INTO clients VALUES (4, 'new', NULL, NULL)")
            .await;
        let again = ["positions", "reset", out.file(), "--yes"];
        out.command(&again).await.expect_success();
        assert_eq!(run(&out).await["written"], 4, "{format}");
        assert_eq!(run(&back).await["in"], 4, "{format}");
        assert_eq!(
            target.rows(query).await,
            database.rows(query).await,
            "{format}"
        );
        database.execute("DELETE FROM clients WHERE id = 4").await;
    }
}

#[tokio::test]
async fn a_parquet_file_that_is_replaced_or_cut_is_noticed() {
    let database = Target::Sqlite(tempfile::tempdir().expect("a folder"));
    database
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
        .await;
    let target = Target::Sqlite(tempfile::tempdir().expect("a folder"));
    target
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        .await;
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().display();
    let out = Pipeline::new(&format!(
        "[sources.shop]\n{}\ntables = [\"t\"]\n[sinks.lake]\ntype = \"file\"\ninputs = [\"shop\"]\npath = \"{lake}/\"\nformat = \"parquet\"\noperations = false\n",
        database.lines()
    ));
    run(&out).await;
    let file = finished(folder.path()).remove(0);
    let back = Pipeline::new(&format!(
        "[sources.lake]\ntype = \"file\"\npath = {:?}\nformat = \"parquet\"\nkey = [\"id\"]\n[sinks.copy]\n{}\ninputs = [\"lake\"]\ntable = \"t\"\n",
        file.to_str().expect("UTF-8"),
        target.lines()
    ));
    assert_eq!(run(&back).await["written"], 2);
    let mut bytes = fs::read(&file).expect("it is there");
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    bytes.extend_from_within(..);
    fs::write(&file, &bytes).expect("it can be written");
    let finished = back.run_once(DEADLINE).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(finished.stderr.contains("replaced"), "{}", finished.stderr);
    fs::write(&file, &bytes[..half]).expect("it can be written");
    let cut = Pipeline::new(&format!(
        "[sources.lake]\ntype = \"file\"\npath = {:?}\nformat = \"parquet\"\n[sinks.out]\ntype = \"blackhole\"\ninputs = [\"lake\"]\n",
        file.to_str().expect("UTF-8")
    ));
    let finished = cut.run_once(DEADLINE).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    let part = "no whole parquet file";
    assert!(finished.stderr.contains(part), "{}", finished.stderr);
}

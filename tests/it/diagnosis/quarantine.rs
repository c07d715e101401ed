//! The quarantine deleted, renamed and blocked while a pipeline runs.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{Target, append_input, event, kept, text_of, write_input};
use crate::harness::{DEADLINE, Pipeline, Process, eventually, unique};

/// A row that the table refuses, and then whatever happens to the quarantine.
async fn quarantine_under(fault: impl Fn(&Path), blocked: bool) {
    let target = Target::Sqlite;
    let settings = "[quarantine]\ntype = \"file\"\npath = \"kept\"\n";
    let pipeline = Pipeline::new(&(text_of("", "", &target) + settings));
    let table = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40) NOT NULL)";
    target.execute(&pipeline, table).await;
    let folder = pipeline.folder().join("kept");
    let pair = |id| {
        event(id, &[("name", json!(null))]) + "\n" + &event(id + 1, &[("name", json!("a"))]) + "\n"
    };
    write_input(&pipeline, pair(1));
    let mut run = pipeline.start_as(&unique("run"), &[]);
    arrives(&target, &pipeline, &mut run, &[2]).await;
    fault(&folder);
    append_input(&pipeline, &pair(3));
    if blocked {
        eventually("the stall", DEADLINE, async || {
            run.expect_running();
            match run.stderr().contains("stalled") && run.stderr().contains("quarantine") {
                true => Ok(()),
                false => Err(run.stderr()),
            }
        })
        .await;
        // Nothing passes what is not durable.
        assert_eq!(target.ids(&pipeline).await, [2]);
        fs::remove_file(&folder).expect("it is in the way");
    }
    arrives(&target, &pipeline, &mut run, &[2, 4]).await;
    let offsets = kept(&pipeline).await;
    assert_eq!(
        offsets.len(),
        1,
        "what was acknowledged is durable: {offsets:?}"
    );
    run.terminate();
    pipeline.finish(run, DEADLINE).await.expect_success();
}

async fn arrives(target: &Target, pipeline: &Pipeline, run: &mut Process, expect: &[i64]) {
    eventually("the good rows", DEADLINE, async || {
        run.expect_running();
        match target.ids(pipeline).await {
            ids if ids == expect => Ok(()),
            ids => Err(ids),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_that_is_deleted_renamed_or_blocked_loses_nothing() {
    quarantine_under(
        |folder| fs::remove_dir_all(folder).expect("it is there"),
        false,
    )
    .await;
    quarantine_under(
        |folder| {
            let file = folder.join("pipeline.jsonl");
            fs::rename(&file, folder.join("pipeline.old")).expect("it is there");
        },
        false,
    )
    .await;
    quarantine_under(
        |folder| {
            fs::rename(folder, folder.with_extension("old")).expect("it is there");
            fs::write(folder, "in the way").expect("the folder can be written");
        },
        true,
    )
    .await;
}

//! Refusals of everything stop the pipeline, on every database; what is bad in part flows and says so.

use serde_json::{Value, json};

use super::{Target, append_input, events, expect_stopped, kept, text_of, write_input};
use crate::harness::{DEADLINE, Pipeline, eventually};

/// A cause that refuses every row, and what mends it.
struct Cause {
    name: &'static str,
    /// The columns of the table beside `id`.
    table: &'static str,
    source: &'static str,
    operator: &'static str,
    row: fn(i64) -> Vec<(&'static str, Value)>,
    said: &'static [&'static str],
    /// The statements that mend it at the target, for each database; else the operator goes.
    mend: Option<[&'static str; 3]>,
    /// The source's settings once it is mended.
    mended_source: &'static str,
}

fn causes() -> Vec<Cause> {
    let decimals = "[sources.crm.schema]\nid = \"int64\"\namount = \"decimal(12, 2)\"\n";
    vec![
        Cause {
            name: "decode",
            table: "amount varchar(40)",
            source: decimals,
            operator: "",
            row: |_| vec![("amount", json!("AfQ="))],
            said: &["decode", "amount", "decimal.handling.mode = string"],
            mend: None,
            mended_source: "[sources.crm.schema]\nid = \"int64\"\namount = \"string\"\n",
        },
        Cause {
            name: "validate",
            table: "name varchar(40)",
            source: "",
            operator: "[operators.check]\ntype = \"validate\"\ninputs = [\"crm\"]\nrules = [{ field = \"name\", format = \"email\" }]\n",
            row: |_| vec![("name", json!("nobody"))],
            said: &["check refused all", "email", "items"],
            mend: None,
            mended_source: "",
        },
        Cause {
            name: "not null",
            table: "name varchar(40), extra varchar(10) NOT NULL",
            source: "",
            operator: "",
            row: |_| vec![("name", json!("a"))],
            said: &["billing refused all", "items"],
            mend: Some([
                "DROP TABLE items; CREATE TABLE items (id integer PRIMARY KEY, name text)",
                "ALTER TABLE items ALTER COLUMN extra DROP NOT NULL",
                "ALTER TABLE items MODIFY extra varchar(10) NULL",
            ]),
            mended_source: "",
        },
        Cause {
            name: "check",
            table: "name varchar(40) CHECK (length(name) < 3)",
            source: "",
            operator: "",
            row: |_| vec![("name", json!("a name that is too long"))],
            said: &["billing refused all", "items"],
            mend: Some([
                "DROP TABLE items; CREATE TABLE items (id integer PRIMARY KEY, name text)",
                "ALTER TABLE items DROP CONSTRAINT items_name_check",
                "DROP TABLE items; CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40))",
            ]),
            mended_source: "",
        },
    ]
}

async fn everything_refused(label: &str, count: i64) {
    for cause in causes() {
        for (number, target) in Target::all(label).await.into_iter().enumerate() {
            let what = format!("{} into target {number}", cause.name);
            let pipeline = Pipeline::new(&text_of(cause.source, cause.operator, &target));
            let table = format!(
                "CREATE TABLE items (id bigint PRIMARY KEY, {})",
                cause.table
            );
            target.execute(&pipeline, &table).await;
            write_input(&pipeline, events(1..count + 1, cause.row));
            let finished = pipeline.run_once(DEADLINE).await;
            expect_stopped(&finished, cause.said);
            assert_eq!(kept(&pipeline).await.len(), 0, "{what}");
            assert_eq!(target.ids(&pipeline).await, Vec::<i64>::new(), "{what}");
            match cause.mend {
                Some(statements) => target.execute(&pipeline, statements[number]).await,
                None => pipeline.write(&text_of(cause.mended_source, "", &target)),
            }
            pipeline.run_once(DEADLINE).await.expect_success();
            let expect: Vec<i64> = (1..count + 1).collect();
            assert_eq!(
                target.ids(&pipeline).await,
                expect,
                "{what}: every row once"
            );
            assert_eq!(kept(&pipeline).await.len(), 0, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r25_a_refusal_of_everything_stops_and_nothing_of_it_is_acknowledged() {
    everything_refused("refused", 1_500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r25_a_source_of_three_rows_that_are_all_refused_is_no_success() {
    everything_refused("refused_few", 3).await;
}

/// Of a thousand rows ten are good: they are written, and what is in quarantine is not silent.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_bad_for_the_most_part_flows_and_says_so() {
    const ROWS: i64 = 400;
    for target in Target::all("mixture").await {
        let pipeline = Pipeline::new(&text_of("", "", &target));
        let table = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40) NOT NULL)";
        target.execute(&pipeline, table).await;
        let input = events(1..ROWS + 1, |id| {
            vec![(
                "name",
                if id % 100 == 0 {
                    json!("a")
                } else {
                    json!(null)
                },
            )]
        });
        write_input(&pipeline, input);
        let finished = pipeline
            .finish(
                pipeline.start(&["--once", "--fail-on-quarantine"]),
                DEADLINE,
            )
            .await;
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        assert!(finished.stdout.contains("adds up"), "{}", finished.stdout);
        for said in [
            "changes are in quarantine",
            "first_reason",
            "396  billing, in.jsonl",
        ] {
            assert!(
                finished.stderr.contains(said),
                "{said:?} in {}",
                finished.stderr
            );
        }
        assert_eq!(target.ids(&pipeline).await, [100, 200, 300, 400]);
        assert_eq!(kept(&pipeline).await.len(), 396);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_summary_says_what_is_in_quarantine() {
    let target = Target::Sqlite;
    let settings = "[quarantine]\ntype = \"file\"\npath = \"kept\"\nstop_after = 0\n";
    let pipeline = Pipeline::new(&(text_of("", "", &target) + settings));
    let table = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40) NOT NULL)";
    target.execute(&pipeline, table).await;
    write_input(&pipeline, events(1..6, |_| vec![("name", json!(null))]));
    let run = pipeline.start(&["--once", "--json"]);
    let finished = pipeline.finish(run, DEADLINE).await;
    // `stop_after = 0`: whatever is refused goes into quarantine.
    finished.expect_success();
    let summary: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let rules = &summary[0]["quarantined"];
    assert_eq!(rules[0]["count"], 5, "{summary}");
    assert_eq!(rules[0]["stage"], "billing", "{summary}");
    assert!(
        rules[0]["reason"].is_string() && rules[0]["rule"].is_string(),
        "{summary}"
    );
    assert_eq!(kept(&pipeline).await.len(), 5);
    // Nothing new: nothing in the summary, and nothing to fail on.
    let run = pipeline.start_as("again", &["--once", "--fail-on-quarantine"]);
    pipeline.finish(run, DEADLINE).await.expect_success();
}

/// Without `--once`: a few refusals wait for a good change; many within the window stop it.
#[tokio::test(flavor = "multi_thread")]
async fn r25_a_daemon_holds_a_trial_and_stops_after_its_window() {
    for target in Target::all("daemon").await {
        let pipeline = Pipeline::new(&text_of("", "", &target));
        let table = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40) NOT NULL)";
        target.execute(&pipeline, table).await;
        write_input(&pipeline, events(1..3, |_| vec![("name", json!(null))]));
        let mut run = pipeline.start(&[]);
        append_input(&pipeline, &events(3..5, |_| vec![("name", json!("a"))]));
        eventually("the good rows", DEADLINE, async || {
            run.expect_running();
            match target.ids(&pipeline).await {
                ids if ids == [3, 4] => Ok(()),
                ids => Err(ids),
            }
        })
        .await;
        assert_eq!(kept(&pipeline).await.len(), 2);
        append_input(&pipeline, &events(5..55, |_| vec![("name", json!(null))]));
        let finished = pipeline.finish(run, DEADLINE).await;
        expect_stopped(&finished, &["billing refused all of 50 changes", "items"]);
        assert_eq!(kept(&pipeline).await.len(), 2);
        match &target {
            Target::Sqlite => {
                target.execute(&pipeline, "ALTER TABLE items RENAME TO old; CREATE TABLE items (id bigint PRIMARY KEY, name text)").await;
            }
            Target::Postgres(_) => {
                target
                    .execute(
                        &pipeline,
                        "ALTER TABLE items ALTER COLUMN name DROP NOT NULL",
                    )
                    .await
            }
            Target::Mariadb(_) => {
                target
                    .execute(&pipeline, "ALTER TABLE items MODIFY name varchar(40) NULL")
                    .await
            }
        }
        pipeline.run_once(DEADLINE).await.expect_success();
        let ids = target.ids(&pipeline).await;
        let expect: Vec<i64> = (5..55).collect();
        assert_eq!(
            ids.iter()
                .filter(|&&id| id >= 5)
                .copied()
                .collect::<Vec<_>>(),
            expect
        );
    }
}

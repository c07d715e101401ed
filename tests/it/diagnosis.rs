//! What is wrong as a whole is no bad data: forms that cannot be read, and refusals that repeat for
//! everything, stop the pipeline with their diagnosis, and nothing of them is acknowledged (R25).

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{
    Database, Finished, Mariadb, PATIENCE, Pipeline, Process, RawMessage, eventually, kafka,
    mariadb, postgres, unique,
};

const FILE_SOURCE: &str = "[sources.crm]\ntype = \"file\"\npath = \"in.jsonl\"\nformat = \"debezium-json\"\nkey = [\"id\"]\n";

/// Where the rows go; each has a table `items` of this test alone.
enum Target {
    Sqlite,
    Postgres(Database),
    Mariadb(Mariadb),
}

impl Target {
    async fn all(label: &str) -> [Self; 3] {
        [
            Self::Sqlite,
            Self::Postgres(postgres(label).await),
            Self::Mariadb(mariadb(label).await),
        ]
    }

    fn sink(&self) -> String {
        let place = match self {
            Self::Sqlite => "type = \"sqlite\"\npath = \"target.db\"".to_owned(),
            Self::Postgres(database) => {
                format!("type = \"postgres\"\nurl = \"{}\"", database.url())
            }
            Self::Mariadb(database) => format!("type = \"mysql\"\nurl = \"{}\"", database.url()),
        };
        format!("[sinks.billing]\n{place}\ntable = \"items\"\nkey = [\"id\"]\n")
    }

    async fn execute(&self, pipeline: &Pipeline, sql: &str) {
        match self {
            Self::Sqlite => open(pipeline).execute_batch(sql).expect(sql),
            Self::Postgres(database) => database.execute(sql).await,
            Self::Mariadb(database) => database.execute(sql).await,
        }
    }

    /// The ids of the rows, each as often as it is there.
    async fn ids(&self, pipeline: &Pipeline) -> Vec<i64> {
        let sql = "SELECT CAST(id AS CHAR(20)) FROM items";
        let texts: Vec<String> = match self {
            Self::Sqlite => {
                let database = open(pipeline);
                let mut rows = database.prepare(sql).expect("the table is there");
                let rows = rows.query_map([], |row| row.get(0)).expect("it is a query");
                rows.map(|row| row.expect("a text")).collect()
            }
            Self::Postgres(database) => flat(database.rows(sql).await),
            Self::Mariadb(database) => flat(database.rows(sql).await),
        };
        let mut ids: Vec<i64> = texts
            .iter()
            .map(|text| text.trim().parse().expect("a number"))
            .collect();
        ids.sort_unstable();
        ids
    }
}

fn open(pipeline: &Pipeline) -> rusqlite::Connection {
    rusqlite::Connection::open(pipeline.folder().join("target.db")).expect("the folder is there")
}

fn flat(rows: Vec<Vec<Option<String>>>) -> Vec<String> {
    rows.into_iter().flatten().flatten().collect()
}

fn event(id: i64, row: &[(&str, Value)]) -> String {
    let mut after = json!({ "id": id });
    for (name, value) in row {
        after[*name] = value.clone();
    }
    json!({ "before": null, "after": after, "source": { "table": "items" }, "op": "c" }).to_string()
}

/// So many events, by their number.
fn events(ids: std::ops::Range<i64>, row: impl Fn(i64) -> Vec<(&'static str, Value)>) -> String {
    ids.map(|id| event(id, &row(id)) + "\n").collect()
}

fn write_input(pipeline: &Pipeline, bytes: impl AsRef<[u8]>) {
    fs::write(pipeline.folder().join("in.jsonl"), bytes).expect("the folder can be written");
}

fn append_input(pipeline: &Pipeline, text: &str) {
    let file = fs::OpenOptions::new()
        .append(true)
        .open(pipeline.folder().join("in.jsonl"));
    let mut file = file.expect("the file is there");
    file.write_all(text.as_bytes()).expect("it can be written");
}

async fn kept(pipeline: &Pipeline) -> Vec<Value> {
    let listed = pipeline
        .command(&["quarantine", "list", "--json", pipeline.file()])
        .await;
    listed.expect_success();
    serde_json::from_str(&listed.stdout).expect("JSON")
}

#[track_caller]
fn expect_stopped(finished: &Finished, said: &[&str]) {
    let (code, stderr) = (finished.code, &finished.stderr);
    assert_eq!(code, Some(2), "{stderr}");
    for said in said {
        assert!(stderr.contains(said), "{said:?} in {stderr}");
    }
}

/// Messages that are all of one form, with a part of its name; the first three make a file where
/// `as_file` says nothing else.
struct Sample {
    name: &'static str,
    messages: Vec<Vec<u8>>,
    as_file: Option<Vec<u8>>,
}

fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |name, messages: &[&[u8]], as_file: Option<&[u8]>| {
        samples.push(Sample {
            name,
            messages: messages.iter().map(|bytes| bytes.to_vec()).collect(),
            as_file: as_file.map(<[u8]>::to_vec),
        });
    };
    // The same three lines, by gzip, with a line end in what is compressed.
    let gzip =
        b"\x1f\x8b\x08\x08\0\0\0\0\0\x03\x0a\xab\x56\xca\x4c\x51\xb2\x32\xac\xe5\x02\0\xff\xee";
    add("gzip", &[gzip, gzip, gzip], Some(gzip));
    let zstd = b"\x28\xb5\x2f\xfd\x04\x88\x41\0\0{\"id\":1}\n\x9d\xe4\x01\x02";
    add("zstd", &[zstd, zstd, zstd], Some(zstd));
    let array = br#"[{"id":1},{"id":2}]"#;
    add(
        "array",
        &[array, array, array],
        Some(b"[\n{\"id\":1},\n{\"id\":2}\n]\n"),
    );
    add("array", &[array], Some(array));
    let pretty = b"{\n  \"id\": 1,\n  \"name\": \"a\"\n}\n{\n  \"id\": 2,\n  \"name\": \"b\"\n}\n";
    add("several lines", &[], Some(pretty));
    add(
        "CSV",
        &[b"1,a,x", b"2,b,y", b"3,c,z"],
        Some(b"id,name,note\n1,a,x\n2,b,y\n"),
    );
    let registry = b"\0\0\0\0\x2a\x02\x06abc\x04\x10";
    add("schema registry", &[registry, registry, registry], None);
    let registry = b"\0\0\0\0\x2a{\"id\":1}";
    add("schema registry", &[registry, registry, registry], None);
    add(
        "Avro container",
        &[],
        Some(b"Obj\x01\x04\x14avro.codec\x08null\0\xff\xfe\x0a\x01\x02"),
    );
    add(
        "Parquet",
        &[],
        Some(b"PAR1\x15\x04\x15\xff\x0a\x15\x80PAR1"),
    );
    let protobuf = b"\x08\x96\x01\x12\x04\xf0\x9f\x98\x80\x1d\0\0\x80\x3f";
    add("Protobuf", &[protobuf, protobuf, protobuf], None);
    let utf_16: Vec<u8> = "\u{feff}{\"id\":1}\n{\"id\":2}\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    add("UTF-16", &[&utf_16, &utf_16, &utf_16], Some(&utf_16));
    let mut json = |name, text: &str| {
        let bytes = text.as_bytes();
        add(name, &[bytes, bytes, bytes], None);
    };
    json(
        "MongoDB",
        r#"{"before":null,"after":"{\"_id\": {\"$oid\": \"6\"}, \"id\": 1}","op":"c"}"#,
    );
    json("MongoDB", r#"{"_id":{"$oid":"6"},"id":1}"#);
    json(
        "CloudEvents",
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"id":1}}"#,
    );
    json(
        "Maxwell",
        r#"{"database":"d","table":"t","type":"insert","ts":1,"data":{"id":1}}"#,
    );
    json(
        "Canal",
        r#"{"data":[{"id":"1"}],"database":"d","id":1,"isDdl":false,"table":"t","type":"INSERT","ts":1}"#,
    );
    json(
        "Avro written as JSON",
        r#"{"before":null,"after":{"a.b.Value":{"id":1,"name":{"string":"a"}}},"op":"c"}"#,
    );
    json("JSON string", r#""{\"id\":1}""#);
    samples
}

/// Each form stops the run before anything is written, and is read again once it is mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_cannot_be_read_is_named_at_the_start_of_a_file() {
    let pipeline = Pipeline::new(&format!(
        "{FILE_SOURCE}{}inputs = [\"crm\"]\n",
        Target::Sqlite.sink()
    ));
    let target = Target::Sqlite;
    target
        .execute(
            &pipeline,
            "CREATE TABLE items (id integer PRIMARY KEY, name text)",
        )
        .await;
    for sample in samples() {
        let bytes = sample.as_file.unwrap_or_else(|| {
            let lines = sample.messages.iter();
            lines
                .flat_map(|line| [line.as_slice(), b"\n"].concat())
                .collect()
        });
        write_input(&pipeline, bytes);
        let finished = pipeline.run_once(PATIENCE).await;
        expect_stopped(&finished, &[sample.name, "in.jsonl", "nothing was written"]);
        assert_eq!(
            kept(&pipeline).await,
            Vec::<Value>::new(),
            "{}",
            sample.name
        );
        assert_eq!(
            target.ids(&pipeline).await,
            Vec::<i64>::new(),
            "{}",
            sample.name
        );
    }
    write_input(&pipeline, events(1..4, |_| vec![("name", json!("a"))]));
    pipeline.run_once(PATIENCE).await.expect_success();
    assert_eq!(target.ids(&pipeline).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_cannot_be_read_is_named_at_the_start_of_a_topic() {
    let kafka = kafka();
    let target = Target::Sqlite;
    for sample in samples()
        .into_iter()
        .filter(|sample| !sample.messages.is_empty())
    {
        let topic = kafka.topic("form", 1).await;
        let raw = |value: &Vec<u8>| RawMessage {
            partition: 0,
            key: None,
            value: Some(value.clone()),
        };
        let messages: Vec<RawMessage> = sample.messages.iter().map(raw).collect();
        kafka.produce_raw(&topic, &messages);
        let pipeline = Pipeline::new(&kafka_text(&topic, kafka.brokers(), &target));
        target
            .execute(
                &pipeline,
                "CREATE TABLE items (id integer PRIMARY KEY, name text)",
            )
            .await;
        let finished = pipeline.run_once(PATIENCE).await;
        expect_stopped(&finished, &[sample.name, &topic, "nothing was written"]);
        assert_eq!(
            kept(&pipeline).await,
            Vec::<Value>::new(),
            "{}",
            sample.name
        );
        assert_eq!(
            target.ids(&pipeline).await,
            Vec::<i64>::new(),
            "{}",
            sample.name
        );
        let committed = kafka.committed(&topic, &topic);
        assert!(
            committed.values().all(|&offset| offset <= 0),
            "{committed:?}"
        );
    }
}

fn kafka_text(topic: &str, brokers: &str, target: &Target) -> String {
    format!(
        "[sources.crm]\ntype = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\n\
         format = \"debezium-json\"\nkey = [\"id\"]\n{}inputs = [\"crm\"]\n",
        target.sink()
    )
}

/// One odd record among good ones is bad data, also where it comes first.
#[tokio::test(flavor = "multi_thread")]
async fn an_odd_record_among_good_ones_is_bad_data() {
    let target = Target::Sqlite;
    let odd: [&[u8]; 5] = [
        b"\x1f\x8b\x08\0",
        b"[{\"id\":1}]",
        b"\0\0\0\0\x2a{\"id\":1}",
        b"id,name",
        b"{\"id\":",
    ];
    for bytes in odd {
        let text = format!("{FILE_SOURCE}{}inputs = [\"crm\"]\n", target.sink());
        let pipeline = Pipeline::new(&text);
        target
            .execute(
                &pipeline,
                "CREATE TABLE items (id integer PRIMARY KEY, name text)",
            )
            .await;
        let good = events(1..3, |_| vec![("name", json!("a"))]);
        write_input(&pipeline, [bytes, b"\n", good.as_bytes()].concat());
        let finished = pipeline.run_once(PATIENCE).await;
        finished.expect_success();
        assert_eq!(target.ids(&pipeline).await, [1, 2]);
        assert_eq!(kept(&pipeline).await.len(), 1);
        assert!(
            finished.stderr.contains("changes are in quarantine"),
            "{}",
            finished.stderr
        );
    }
}

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

fn text_of(source: &str, operator: &str, target: &Target) -> String {
    let input = if operator.is_empty() { "crm" } else { "check" };
    format!(
        "{FILE_SOURCE}{source}{operator}{}inputs = [\"{input}\"]\n",
        target.sink()
    )
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
            let started = Instant::now();
            let finished = pipeline.run_once(PATIENCE).await;
            eprintln!("{what}: {:?}", started.elapsed());
            expect_stopped(&finished, cause.said);
            assert_eq!(kept(&pipeline).await.len(), 0, "{what}");
            assert_eq!(target.ids(&pipeline).await, Vec::<i64>::new(), "{what}");
            match cause.mend {
                Some(statements) => target.execute(&pipeline, statements[number]).await,
                None => pipeline.write(&text_of(cause.mended_source, "", &target)),
            }
            pipeline.run_once(PATIENCE).await.expect_success();
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
                PATIENCE,
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
    let finished = pipeline.finish(run, PATIENCE).await;
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
    pipeline.finish(run, PATIENCE).await.expect_success();
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
        eventually("the good rows", PATIENCE, async || {
            run.expect_running();
            match target.ids(&pipeline).await {
                ids if ids == [3, 4] => Ok(()),
                ids => Err(ids),
            }
        })
        .await;
        assert_eq!(kept(&pipeline).await.len(), 2);
        append_input(&pipeline, &events(5..55, |_| vec![("name", json!(null))]));
        let finished = pipeline.finish(run, PATIENCE).await;
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
        pipeline.run_once(PATIENCE).await.expect_success();
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
        eventually("the stall", PATIENCE, async || {
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
    pipeline.finish(run, PATIENCE).await.expect_success();
}

async fn arrives(target: &Target, pipeline: &Pipeline, run: &mut Process, expect: &[i64]) {
    eventually("the good rows", PATIENCE, async || {
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

/// A file that was replaced or cut is never read from the old position.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_replaced_is_recognised() {
    let rows = |ids: std::ops::Range<i64>, name: &'static str| {
        events(ids, move |_| vec![("name", json!(name))])
    };
    for target in Target::all("replaced").await {
        let pipeline = Pipeline::new(&text_of("", "", &target));
        let table = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40))";
        target.execute(&pipeline, table).await;
        write_input(&pipeline, rows(1..4, "a"));
        pipeline.run_once(PATIENCE).await.expect_success();
        append_input(&pipeline, &rows(4..6, "a"));
        pipeline.run_once(PATIENCE).await.expect_success();
        assert_eq!(target.ids(&pipeline).await, [1, 2, 3, 4, 5]);
        for (what, text) in [
            ("shorter", rows(11..13, "b")),
            ("cut", rows(1..4, "a")),
            ("empty", String::new()),
        ] {
            write_input(&pipeline, text);
            let finished = pipeline.run_once(PATIENCE).await;
            expect_stopped(
                &finished,
                &["in.jsonl", "it was replaced", "positions reset"],
            );
            assert_eq!(target.ids(&pipeline).await, [1, 2, 3, 4, 5], "{what}");
        }
        // The file as it was, with more behind it.
        write_input(&pipeline, rows(1..8, "a"));
        pipeline.run_once(PATIENCE).await.expect_success();
        assert_eq!(target.ids(&pipeline).await, [1, 2, 3, 4, 5, 6, 7]);
    }
}

/// A last line without its end: left for the next run where it is unfinished, read where it is whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_line_is_left_for_the_next_run() {
    let target = Target::Sqlite;
    let pipeline = Pipeline::new(&text_of("", "", &target));
    let table = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40))";
    target.execute(&pipeline, table).await;
    let text = events(1..4, |_| vec![("name", json!("é"))]);
    let third = text.lines().last().expect("there are three").len() + 1;
    let begin = text.len() - third;
    for cut in [1, third / 2, third - 2] {
        write_input(&pipeline, &text.as_bytes()[..begin + cut]);
        let finished = pipeline.run_once(PATIENCE).await;
        finished.expect_success();
        let said = "the last line is unfinished and is left for the next run";
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
        assert_eq!(target.ids(&pipeline).await, [1, 2], "{cut} bytes");
    }
    // Whole, without its line end.
    write_input(&pipeline, text.trim_end());
    pipeline.run_once(PATIENCE).await.expect_success();
    assert_eq!(target.ids(&pipeline).await, [1, 2, 3]);
    append_input(&pipeline, "\n");
    append_input(&pipeline, &events(4..5, |_| vec![("name", json!("b"))]));
    pipeline.run_once(PATIENCE).await.expect_success();
    assert_eq!(target.ids(&pipeline).await, [1, 2, 3, 4]);
    assert_eq!(kept(&pipeline).await.len(), 0);
}

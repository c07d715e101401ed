//! One pipeline against each database: what stands in the target before it, what the source brings,
//! what stands there afterwards.

use std::fs;

use crate::harness::{
    DEADLINE, Database, Finished, Mariadb, Message, Pipeline, kafka, mariadb, postgres,
};

/// A target of one kind.
enum Target {
    Postgres(Database),
    Mariadb(Mariadb),
    Sqlite,
}

/// A pipeline with its source and its target.
pub(super) struct Case<'a> {
    /// What stands in the target, in SQL that every database reads.
    pub(super) target: &'a [&'a str],
    /// The runs: what the source has more of in each.
    pub(super) runs: &'a [Records<'a>],
    /// Settings of the source and of the sink, in TOML.
    pub(super) source: &'a str,
    pub(super) sink: &'a str,
    /// Further operators and sinks; the first sink reads from `inputs`.
    pub(super) more: &'a str,
    pub(super) inputs: &'a str,
    /// The query that is looked at, and its rows as `a|b`, `-` for null.
    pub(super) query: &'a str,
    pub(super) expect: &'a [&'a str],
    /// How many lines stand in quarantine, and what they say.
    pub(super) quarantined: usize,
    pub(super) reason: &'a str,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            target: &[PERSON],
            runs: &[],
            source: "",
            sink: "table = \"person\"",
            more: "",
            inputs: "crm",
            query: "SELECT id, name, mail FROM person ORDER BY id",
            expect: &[],
            quarantined: 0,
            reason: "",
        }
    }
}

pub(super) const PERSON: &str =
    "CREATE TABLE person (id bigint PRIMARY KEY, name varchar(50), mail varchar(50))";

/// What a run finds at its source.
#[derive(Clone, Copy)]
pub(super) enum Records<'a> {
    /// Lines of a file.
    Lines(&'a [&'a str]),
    /// Key, value and headers of records in a topic of one partition.
    Topic(&'a [Record<'a>]),
}

pub(super) type Record<'a> = (Option<&'a str>, Option<&'a str>, &'a [(&'a str, &'a str)]);

/// Runs the case on every database.
pub(super) async fn check(name: &str, case: &Case<'_>) {
    for target in [
        Target::Sqlite,
        Target::Postgres(postgres("keys").await),
        Target::Mariadb(mariadb("keys").await),
    ] {
        let (pipeline, finished) = run(case, &target).await;
        let name = format!("{name}, {}", target.kind());
        for finished in &finished {
            assert_eq!(finished.code, Some(0), "{name}: {finished:?}");
        }
        let quarantined = quarantined(&pipeline);
        assert_eq!(
            target.rows(&pipeline, case.query).await,
            case.expect,
            "{name}: {quarantined}"
        );
        assert_eq!(
            quarantined.lines().count(),
            case.quarantined,
            "{name}: {quarantined}"
        );
        assert!(quarantined.contains(case.reason), "{name}: {quarantined}");
    }
}

/// Runs the case on every database; the last run is to end with a configuration error that says all
/// of `parts`.
pub(super) async fn check_refused(name: &str, case: &Case<'_>, parts: &[&str]) {
    for target in [
        Target::Sqlite,
        Target::Postgres(postgres("keys").await),
        Target::Mariadb(mariadb("keys").await),
    ] {
        let (_pipeline, finished) = run(case, &target).await;
        let last = finished.last().expect("there is a run");
        let name = format!("{name}, {}", target.kind());
        assert_eq!(last.code, Some(2), "{name}: {last:?}");
        for part in parts {
            assert!(last.stderr.contains(part), "{name}: {part}: {last:?}");
        }
    }
}

async fn run(case: &Case<'_>, target: &Target) -> (Pipeline, Vec<Finished>) {
    let kafka = kafka();
    let topic = match case.runs.first() {
        Some(Records::Topic(_)) => Some(kafka.topic("keys", 1).await),
        _ => None,
    };
    let pipeline = Pipeline::new("");
    let source = match &topic {
        Some(topic) => format!(
            "type = \"kafka\"\nbrokers = \"{}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"",
            kafka.brokers()
        ),
        None => "type = \"file\"\npath = \"events.jsonl\"".to_owned(),
    };
    pipeline.write(&format!(
        "name = \"keys\"\n[sources.crm]\n{source}\nformat = \"debezium-json\"\n{}\n\
         [sinks.copy]\ninputs = [\"{}\"]\n{}\n{}\n{}\n",
        case.source,
        case.inputs,
        target.settings(),
        case.sink,
        case.more.replace("TARGET", &target.settings()),
    ));
    for sql in case.target {
        target.execute(&pipeline, sql).await;
    }
    let mut finished = Vec::new();
    for records in case.runs {
        match (records, &topic) {
            (Records::Lines(lines), _) => {
                let path = pipeline.folder().join("events.jsonl");
                let mut text = fs::read_to_string(&path).unwrap_or_default();
                for line in *lines {
                    text += line;
                    text.push('\n');
                }
                fs::write(path, text).expect("the folder can be written");
            }
            (Records::Topic(records), Some(topic)) => {
                let owned = |text: &Option<&str>| text.map(str::to_owned);
                let messages: Vec<_> = records
                    .iter()
                    .map(|(key, value, headers)| {
                        let (key, value) = (owned(key), owned(value));
                        (Message { key, value }, *headers)
                    })
                    .collect();
                kafka.produce_with_headers(topic, &messages);
            }
            (Records::Topic(_), None) => panic!("the first run says what the source is"),
        }
        finished.push(pipeline.run_once(DEADLINE).await);
    }
    (pipeline, finished)
}

/// Everything in quarantine.
fn quarantined(pipeline: &Pipeline) -> String {
    let Ok(files) = fs::read_dir(pipeline.folder().join("state/quarantine")) else {
        return String::new();
    };
    files
        .map(|file| fs::read_to_string(file.expect("a file").path()).expect("it is text"))
        .collect()
}

impl Target {
    fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Mariadb(_) => "mysql",
            Self::Sqlite => "sqlite",
        }
    }

    fn settings(&self) -> String {
        let address = match self {
            Self::Postgres(database) => format!("url = \"{}\"", database.url()),
            Self::Mariadb(database) => format!("url = \"{}\"", database.url()),
            Self::Sqlite => "path = \"target.db\"".to_owned(),
        };
        format!("type = \"{}\"\n{address}", self.kind())
    }

    async fn execute(&self, pipeline: &Pipeline, sql: &str) {
        match self {
            Self::Postgres(database) => database.execute(sql).await,
            Self::Mariadb(database) => database.execute(sql).await,
            Self::Sqlite => open(pipeline).execute_batch(sql).expect(sql),
        }
    }

    async fn rows(&self, pipeline: &Pipeline, query: &str) -> Vec<String> {
        let rows = match self {
            Self::Postgres(database) => database.rows(query).await,
            Self::Mariadb(database) => database.rows(query).await,
            Self::Sqlite => sqlite_rows(pipeline, query),
        };
        let cell = |cell: &Option<String>| cell.as_deref().unwrap_or("-").to_owned();
        let line = |row: &Vec<Option<String>>| row.iter().map(cell).collect::<Vec<_>>().join("|");
        rows.iter().map(line).collect()
    }
}

fn open(pipeline: &Pipeline) -> rusqlite::Connection {
    rusqlite::Connection::open(pipeline.folder().join("target.db")).expect("the file opens")
}

fn sqlite_rows(pipeline: &Pipeline, query: &str) -> Vec<Vec<Option<String>>> {
    let connection = open(pipeline);
    let mut statement = connection.prepare(query).expect(query);
    let count = statement.column_count();
    let text = |value: rusqlite::types::Value| match value {
        rusqlite::types::Value::Null => None,
        rusqlite::types::Value::Integer(number) => Some(number.to_string()),
        rusqlite::types::Value::Real(number) => Some(number.to_string()),
        rusqlite::types::Value::Text(text) => Some(text),
        rusqlite::types::Value::Blob(bytes) => Some(format!("{bytes:?}")),
    };
    let rows = statement
        .query_map([], |row| {
            (0..count).map(|at| row.get(at).map(text)).collect()
        })
        .expect(query);
    rows.collect::<rusqlite::Result<_>>().expect(query)
}

//! A Kafka Connect worker with Debezium, which streams one database to topics named
//! `NAME.schema.table`.

use std::fs;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::services::{free_port, service_script, unique};
use super::{Database, Kafka, Process, eventually};

/// A Java worker starts slowly on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct Connect {
    // Dropped in this order: the process before its folder.
    process: Process,
    _folder: TempDir,
    name: String,
}

impl Connect {
    /// Starts a worker whose records contain their schema, and waits until the snapshot is complete
    /// and the replication slot is in use: every later write is streamed. `settings` are additional
    /// settings of Debezium.
    pub(crate) async fn start(
        kafka: &Kafka,
        database: &Database,
        settings: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = unique("debezium");
        let connector = folder.path().join("connector.json");
        fs::write(&connector, configuration(&name, database, settings))
            .expect("the folder can be written");
        let mut command = Command::new(service_script("connect"));
        command
            .arg(folder.path())
            .arg(kafka.brokers())
            .arg(free_port().to_string())
            .arg(&connector)
            .arg("true");
        let mut connect = Self {
            process: Process::start("connect", folder.path(), command),
            _folder: folder,
            name,
        };
        let active = format!(
            "SELECT count(*) FROM pg_replication_slots WHERE active AND slot_name = '{}'",
            connect.name
        );
        eventually("Debezium to stream", START_DEADLINE, async || {
            connect.process.expect_running();
            match database.number(&active).await {
                Ok(1) => Ok(()),
                other => Err(other),
            }
        })
        .await;
        connect
    }

    /// The topic of a table.
    pub(crate) fn topic(&self, schema: &str, table: &str) -> String {
        format!("{}.{schema}.{table}", self.name)
    }

    /// The pattern of the topics of a schema, for a Kafka source.
    pub(crate) fn topics(&self, schema: &str) -> String {
        format!("^{}\\.{schema}\\..*", self.name)
    }
}

fn configuration(name: &str, database: &Database, settings: &[(&str, &str)]) -> String {
    let url = database.parsed_url();
    let port = url.port().unwrap_or(5432).to_string();
    let mut config: serde_json::Map<String, serde_json::Value> = [
        (
            "connector.class",
            "io.debezium.connector.postgresql.PostgresConnector",
        ),
        ("tasks.max", "1"),
        ("database.hostname", url.host_str().unwrap_or("127.0.0.1")),
        ("database.port", &port),
        ("database.user", url.username()),
        ("database.password", url.password().unwrap_or_default()),
        ("database.dbname", url.path().trim_start_matches('/')),
        ("plugin.name", "pgoutput"),
        ("topic.prefix", name),
        ("slot.name", name),
        ("publication.name", name),
        ("topic.creation.default.partitions", "2"),
        ("topic.creation.default.replication.factor", "1"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.into()))
    .collect();
    for &(key, value) in settings {
        config.insert(key.to_owned(), value.into());
    }
    serde_json::json!({ "name": name, "config": config }).to_string()
}

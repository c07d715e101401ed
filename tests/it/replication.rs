//! The log of PostgreSQL as a source, through whole pipelines and by the suite for sources.

mod load;
mod refused;
mod tables;
mod types;

use serde_json::Value;

use crate::harness::{DEADLINE, Database, Pipeline, Process, Target, eventually, unique};

/// `[sources.shop]` that follows `tables` of a database, with more lines.
fn source(database: &Database, slot: &str, tables: &str, more: &str) -> String {
    format!(
        "[sources.shop]\ntype = \"postgres\"\nurl = {:?}\nmode = \"replication\"\nslot = {slot:?}\ntables = {tables}\n{more}\n",
        database.url()
    )
}

/// `[sinks.NAME]` of a database, with more lines.
fn sink(name: &str, database: &Target, more: &str) -> String {
    format!(
        "[sinks.{name}]\ninputs = [\"shop\"]\n{}\n{more}\n",
        database.lines()
    )
}

const CLIENTS: &str = "CREATE TABLE clients (id bigint NOT NULL PRIMARY KEY, name text, version bigint NOT NULL, notes text)";
const QUERY: &str = "SELECT id, name, version, notes FROM clients ORDER BY id";

/// What became of the changes of each sink of a run up to the end.
async fn run(pipeline: &Pipeline) -> Vec<Value> {
    let process = pipeline.start_as(&unique("run"), &["--once", "--json"]);
    let finished = pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("a summary is JSON");
    let sinks = summaries[0]["sinks"].as_array().cloned();
    sinks.expect("a summary has sinks")
}

/// A database for a slot: slots outlive their databases' tests, so each is dropped at the end.
struct Source {
    database: Database,
    slot: String,
}

impl Source {
    async fn new(label: &str) -> Self {
        Self {
            database: crate::harness::postgres(label).await,
            slot: unique(label).to_lowercase(),
        }
    }

    /// Drops the slot, once the server knows that nobody reads it.
    async fn drop(self) {
        let sql = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{}'",
            self.slot
        );
        eventually("the slot to be free", DEADLINE, async || {
            match self.database.try_rows(&sql).await {
                Ok(_) => Ok(()),
                Err(error) => {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    Err(error.to_string())
                }
            }
        })
        .await;
    }
}

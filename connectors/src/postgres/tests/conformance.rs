//! What every sink that keeps positions must pass.

use async_trait::async_trait;
use sqlx::Column as _;
use tokio::sync::Mutex;

use super::*;
use crate::conformance::sink::{Bench, check_sink};
use crate::sql::Options;

const SCHEMA: &str = "syncline_conformance";

struct Scratch {
    config: PostgresSink,
    fixture: Mutex<Fixture>,
}

#[async_trait]
impl Bench for Scratch {
    async fn reset(&self) {
        let sql = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}");
        self.execute(&sql).await;
    }

    async fn connect(&self, options: &Options, identity: &Identity) -> Result<Box<dyn Sink>> {
        let options = options.clone();
        let config = PostgresSink {
            table: options.table,
            key: options.key,
            delete: options.delete,
            soft_delete_column: options.soft_delete_column,
            evolution: options.evolution,
            truncate: options.truncate,
            conflict: options.conflict,
            ..self.config.clone()
        };
        connect(&config, identity, &statements_only()).await
    }

    async fn execute(&self, sql: &str) {
        self.fixture.lock().await.execute(sql).await;
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        // Without parameters every value comes as text.
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut self.fixture.lock().await.admin)
            .await
            .unwrap();
        rows.iter()
            .map(|row| {
                let columns = row.columns().iter();
                columns
                    .map(|column| row.get_unchecked(column.ordinal()))
                    .collect()
            })
            .collect()
    }
}

#[tokio::test]
async fn the_sink_conforms() {
    let fixture = Fixture::new("conformance", "").await;
    let scratch = Scratch {
        config: fixture.config.clone(),
        fixture: Mutex::new(fixture),
    };
    check_sink(&scratch).await;
}

//! The conflicts that MySQL keeps beside the rows, for a person.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::MysqlSink;
use super::explain::explain;
use super::failure::failure;
use super::resolve::resolve;
use super::session::{open_connection, texts};
use crate::change::Changes;
use crate::conflict::{
    ConflictCount, ConflictRecord, KeyFilter, QueueEntry, Resolution, Resolved, Resolvers,
};
use crate::desk::{Desk, Entries, Explained, Look, read_all, read_history};
use crate::error::Result;
use crate::sql::ledger::{Row, read_entry};

/// The error's number of a table that is not there.
const NO_SUCH_TABLE: u16 = 1146;

struct MysqlDesk {
    config: MysqlSink,
    connection: MySqlConnection,
    look: Look,
}

/// Opens a desk.
///
/// # Errors
/// As [`super::connect`].
pub(crate) async fn open_desk(config: &MysqlSink, look: Look) -> Result<Box<dyn Desk>> {
    let (connection, _) = open_connection(config).await?;
    Ok(Box::new(MysqlDesk {
        config: config.clone(),
        connection,
        look,
    }))
}

impl MysqlDesk {
    async fn rows(&mut self, doing: &str, sql: String) -> Result<Vec<Row>> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch_all(&mut self.connection)
            .await;
        match rows {
            Err(sqlx::Error::Database(error))
                if error
                    .try_downcast_ref::<MySqlDatabaseError>()
                    .is_some_and(|error| error.number() == NO_SUCH_TABLE) =>
            {
                Ok(Vec::new())
            }
            rows => rows
                .and_then(|rows| texts(&rows))
                .map_err(|error| failure(doing, error).into_error()),
        }
    }
}

#[async_trait]
impl Desk for MysqlDesk {
    async fn entries(&mut self, which: Entries) -> Result<Vec<QueueEntry>> {
        let sql = self.look.select_entries(which);
        let rows = self.rows("reading the conflict queue", sql).await?;
        read_all(rows, read_entry)
    }

    async fn history(
        &mut self,
        key: Option<&KeyFilter>,
        limit: usize,
    ) -> Result<Vec<ConflictRecord>> {
        if let Some(history) = self.look.history_of_file(key, limit) {
            return history;
        }
        let sql = self.look.ledger.select_history(key, limit as u64);
        let rows = self.rows("reading the conflict history", sql).await?;
        read_history(rows, key)
    }

    async fn counts(&mut self) -> Result<Vec<ConflictCount>> {
        let sql = self.look.ledger.select_counts();
        let rows = self.rows("reading the conflict counts", sql).await?;
        read_all(rows, |row| self.look.ledger.read_count(row))
    }

    async fn resolve(
        &mut self,
        id: i64,
        resolution: &Resolution,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Resolved> {
        let identity = self.look.identity("");
        resolve(&self.config, identity, id, resolution, resolvers).await
    }

    async fn explain(
        &mut self,
        changes: &Changes,
        source: &str,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Explained> {
        let identity = self.look.identity(source);
        let (mut explained, positions) =
            explain(&self.config, &identity, resolvers, changes).await?;
        explained.add(&positions, self.entries(Entries::Open).await?);
        Ok(explained)
    }
}

//! The conflicts that a SQLite file keeps beside the rows, for a person. The file is opened to read, for
//! each question anew, so that it is never in the way of who writes it; a resolution writes it once.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::explain::explain;
use super::failure::of_statement;
use super::resolve::resolve;
use super::{SqliteSink, on_a_thread, session};
use crate::change::Changes;
use crate::conflict::{
    ConflictCount, ConflictRecord, KeyFilter, QueueEntry, Resolution, Resolved, Resolvers,
};
use crate::desk::{Desk, Entries, Explained, Look, read_all, read_history};
use crate::error::Result;
use crate::sql::ledger::{CONFLICTS_TABLE, COUNTS_TABLE, QUEUE_TABLE, Row, read_entry};

struct SqliteDesk {
    config: SqliteSink,
    look: Arc<Look>,
}

/// Opens a desk; a file that is not there has no conflicts.
///
/// # Errors
/// As [`super::connect`].
pub(crate) async fn open_desk(config: &SqliteSink, look: Look) -> Result<Box<dyn Desk>> {
    let config = config.clone();
    let opened = config.clone();
    on_a_thread(move || session::open_to_look(&opened).map(drop)).await?;
    Ok(Box::new(SqliteDesk {
        config,
        look: Arc::new(look),
    }))
}

impl SqliteDesk {
    async fn rows(&self, table: &'static str, sql: String) -> Result<Vec<Row>> {
        let config = self.config.clone();
        on_a_thread(move || match session::open_to_look(&config)? {
            Some(connection) => rows(&connection, table, &sql)
                .map_err(|error| of_statement(&format!("reading {table}"), error)),
            None => Ok(Vec::new()),
        })
        .await
    }
}

fn rows(connection: &Connection, table: &str, sql: &str) -> rusqlite::Result<Vec<Row>> {
    if !connection.table_exists(None, table)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(sql)?;
    let count = statement.column_count();
    let rows = statement.query_map([], |row| {
        (0..count)
            .map(|column| match row.get_ref(column)? {
                ValueRef::Null => Ok(None),
                _ => row.get(column).map(Some),
            })
            .collect()
    })?;
    rows.collect()
}

#[async_trait]
impl Desk for SqliteDesk {
    async fn entries(&mut self, which: Entries) -> Result<Vec<QueueEntry>> {
        let sql = self.look.select_entries(which);
        read_all(self.rows(QUEUE_TABLE, sql).await?, read_entry)
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
        read_history(self.rows(CONFLICTS_TABLE, sql).await?, key)
    }

    async fn counts(&mut self) -> Result<Vec<ConflictCount>> {
        let sql = self.look.ledger.select_counts();
        let rows = self.rows(COUNTS_TABLE, sql).await?;
        read_all(rows, |row| self.look.ledger.read_count(row))
    }

    async fn resolve(
        &mut self,
        id: i64,
        resolution: &Resolution,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Resolved> {
        let (config, identity) = (self.config.clone(), self.look.identity(""));
        let (resolution, resolvers) = (resolution.clone(), resolvers.clone());
        on_a_thread(move || resolve(&config, identity, id, &resolution, &resolvers)).await
    }

    async fn explain(
        &mut self,
        changes: &Changes,
        source: &str,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Explained> {
        let identity = self.look.identity(source);
        let (config, resolvers) = (self.config.clone(), resolvers.clone());
        let changes = changes.clone();
        let asked = move || explain(&config, &identity, &resolvers, &changes);
        let (mut explained, positions) = on_a_thread(asked).await?;
        explained.add(&positions, self.entries(Entries::Open).await?);
        Ok(explained)
    }
}

//! The one implementation of [`ConflictQueue`] for databases.
//!
//! It holds one read-only connection. A resolution opens a session of its own, which writes.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::change::Changes;
use crate::conflict::{
    ConflictCount, ConflictRecord, HistoryPlace, KeyFilter, QueueEntry, Resolution, Resolved,
    Resolvers, read_history_file,
};
use crate::conflict_queue::{ConflictQueue, Entries};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::sink::Identity;
use crate::sql::bulk::Bulk;
use crate::sql::connection::{Purpose, Settings};
use crate::sql::explain::explain;
use crate::sql::failure::Failure;
use crate::sql::manual::resolve;
use crate::sql::metadata::{
    CONFLICTS_TABLE, COUNTS_TABLE, MetadataTables, QUEUE_TABLE, Row, WAITING_ROOM_TABLE,
    read_entry, read_record, read_waiting_change,
};
use crate::sql::target::Target;
use crate::waiting::WaitingChange;

/// Opens the conflict queue of the sink `sink` of `pipeline`.
///
/// # Errors
/// `Unavailable` while the database does not answer, `Configuration` where it refuses.
pub(crate) async fn open<C: Bulk>(
    settings: &C::Settings,
    pipeline: &str,
    sink: &str,
) -> Result<Box<dyn ConflictQueue>> {
    let identity = Identity {
        pipeline: pipeline.to_owned(),
        sink: sink.to_owned(),
        source: String::new(),
    };
    let connection = C::open(settings, &identity, Purpose::ReadOnly).await?;
    let history = settings.options().conflict.history;
    Ok(Box::new(SqlQueue {
        settings: settings.clone(),
        connection,
        metadata: MetadataTables::new(C::DIALECT, pipeline, sink),
        identity,
        history_file: history
            .filter(|history| history.to == HistoryPlace::File)
            .and_then(|history| history.path.map(PathBuf::from)),
    }))
}

struct SqlQueue<C: Bulk> {
    settings: C::Settings,
    connection: C,
    metadata: MetadataTables,
    /// Who writes, without the source.
    identity: Identity,
    /// The file of the history, where it is kept in one.
    history_file: Option<PathBuf>,
}

impl<C: Bulk> SqlQueue<C> {
    /// Reads every row of a statement; a table that does not exist has none.
    async fn read<T>(
        &mut self,
        table: &str,
        sql: &str,
        read: impl FnMut(Row) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        let rows = rows(&mut self.connection, table, sql).await;
        let rows = rows.map_err(Failure::into_error)?;
        rows.into_iter().map(read).collect()
    }

    /// Who writes the changes of `source`.
    fn identity(&self, source: &str) -> Identity {
        Identity {
            source: source.to_owned(),
            ..self.identity.clone()
        }
    }
}

async fn rows<C: Bulk>(connection: &mut C, table: &str, sql: &str) -> Result<Vec<Row>, Failure> {
    let target = Target {
        schema: None,
        name: table.to_owned(),
    };
    match connection.describe(&target).await? {
        Some(_) => connection.query(sql).await,
        None => Ok(Vec::new()),
    }
}

#[async_trait]
impl<C: Bulk> ConflictQueue for SqlQueue<C> {
    async fn entries(&mut self, which: Entries) -> Result<Vec<QueueEntry>> {
        let sql = match which {
            Entries::Open => self.metadata.select_queue(false),
            Entries::All => self.metadata.select_queue(true),
            Entries::Id(id) => self.metadata.select_entry(id),
        };
        self.read(QUEUE_TABLE, &sql, read_entry).await
    }

    async fn history(
        &mut self,
        key: Option<&KeyFilter>,
        limit: usize,
    ) -> Result<Vec<ConflictRecord>> {
        let wanted = |record: &ConflictRecord| key.is_none_or(|key| key.matches(&record.key.0));
        if let Some(file) = &self.history_file {
            let own = |record: &ConflictRecord| {
                record.pipeline == self.identity.pipeline && record.sink == self.identity.sink
            };
            return read_history_file(file, limit, |record| own(record) && wanted(record));
        }
        let sql = self.metadata.select_history(key, limit as u64);
        let mut records = self.read(CONFLICTS_TABLE, &sql, read_record).await?;
        // The statement may return too many.
        records.retain(wanted);
        Ok(records)
    }

    async fn counts(&mut self) -> Result<Vec<ConflictCount>> {
        let metadata = self.metadata.clone();
        let sql = metadata.select_counts();
        self.read(COUNTS_TABLE, &sql, |row| metadata.read_count(row))
            .await
    }

    async fn resolve(
        &mut self,
        id: i64,
        resolution: &Resolution,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Resolved> {
        let identity = self.identity("");
        resolve::<C>(&self.settings, identity, id, resolution, resolvers).await
    }

    async fn waiting(&mut self, limit: usize) -> Result<Vec<WaitingChange>> {
        let sql = self.metadata.list_waiting(limit);
        self.read(WAITING_ROOM_TABLE, &sql, read_waiting_change)
            .await
    }

    async fn explain(
        &mut self,
        changes: &Changes,
        source: &str,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Explanation> {
        let identity = self.identity(source);
        let (mut explained, positions) =
            explain::<C>(&self.settings, &identity, resolvers, changes).await?;
        explained.add(&positions, self.entries(Entries::Open).await?);
        Ok(explained)
    }
}

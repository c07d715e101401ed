//! A connection with what the engine keeps for it: the conflict log, the prepared tables, and who decides
//! conflicts.

use std::sync::Arc;

use crate::conflict::Resolvers;
use crate::error::Result;
use crate::sink::Identity;
use crate::sql::bulk::Tables;
use crate::sql::conflict_log::ConflictLog;
use crate::sql::connection::{Purpose, Settings};
use crate::sql::failure::Failure;
use crate::sql::metadata::{QUEUE_TABLE, Row, Tables as MetadataSet};
use crate::sql::prepared::PreparedTables;
use crate::sql::target::Target;
use crate::sql::waiting_room::foreign_key::ForeignKey;
use crate::sql::waiting_room::state::WaitingRoom;

/// See the module docs.
pub(crate) struct SqlSession<C: Tables> {
    pub(crate) connection: C,
    /// Who writes.
    pub(crate) identity: Identity,
    /// Who decides what no statement can.
    pub(crate) resolvers: Arc<dyn Resolvers>,
    pub(crate) conflict_log: ConflictLog,
    pub(crate) waiting_room: WaitingRoom,
    pub(super) tables: PreparedTables<C::Table>,
}

impl<C: Tables> SqlSession<C> {
    /// Connects; to write, makes Syncline's own tables where they are not there.
    ///
    /// # Errors
    /// As [`Connection::open`](crate::sql::connection::Connection::open).
    pub(crate) async fn open(
        settings: &C::Settings,
        identity: &Identity,
        resolvers: &Arc<dyn Resolvers>,
        purpose: Purpose,
    ) -> Result<Self> {
        let options = settings.options();
        let policy = &options.conflict;
        let now_ms = chrono::Utc::now().timestamp_millis();
        let conflict_log = match purpose {
            Purpose::Write => ConflictLog::new(C::DIALECT, identity, policy, now_ms)?,
            Purpose::ReadOnly => ConflictLog::read_only(C::DIALECT, identity, policy)?,
        };
        let mut session = Self {
            connection: C::open(settings, identity, purpose).await?,
            identity: identity.clone(),
            resolvers: resolvers.clone(),
            conflict_log,
            waiting_room: WaitingRoom::new(&options.waiting)?,
            tables: PreparedTables::default(),
        };
        if purpose == Purpose::Write {
            session
                .create_own_tables()
                .await
                .map_err(Failure::into_error)?;
            let prune = session.conflict_log.prune(now_ms)?;
            let pruned = session.execute_all(&prune).await;
            pruned.map_err(Failure::into_error)?;
            tracing::info!(
                pipeline = identity.pipeline,
                sink = identity.sink,
                database = C::DIALECT.name,
                "connected"
            );
        }
        Ok(session)
    }

    /// Creates the metadata tables that do not exist, and checks whether a conflict is open. Where all of
    /// them exist, it runs no DDL and takes no lock.
    async fn create_own_tables(&mut self) -> Result<(), Failure> {
        let tables = MetadataSet {
            waiting_room: self.waiting_room.is_on(),
            ..self.conflict_log.tables()
        };
        let mut all_exist = true;
        for name in tables.names() {
            all_exist = all_exist && self.exists(name).await?;
        }
        if !all_exist {
            // Another session may create them first: every statement says IF NOT EXISTS.
            let statements = tables.create(C::DIALECT);
            self.connection.lock_schema().await?;
            self.connection.execute(&statements.join("; ")).await?;
            self.connection.unlock_schema().await?;
        }
        if !self.conflict_log.may_wait && self.exists(QUEUE_TABLE).await? {
            let open = self.conflict_log.metadata.select_queue(false);
            let open = self.connection.query(&format!("{open} LIMIT 1")).await?;
            self.conflict_log.may_wait = !open.is_empty();
        }
        self.count_waiting().await
    }

    /// Whether one of Syncline's own tables is there.
    pub(crate) async fn exists(&mut self, table: &str) -> Result<bool, Failure> {
        let target = Target {
            schema: None,
            name: table.to_owned(),
        };
        Ok(self.connection.describe(&target).await?.is_some())
    }

    /// Runs statements of the conflict log, and gives what they return.
    pub(crate) async fn query_all(&mut self, statements: &[String]) -> Result<Vec<Row>, Failure> {
        let mut found = Vec::new();
        for sql in statements {
            found.extend(self.connection.query(sql).await?);
        }
        Ok(found)
    }

    /// Runs statements of the conflict log.
    pub(crate) async fn execute_all(&mut self, statements: &[String]) -> Result<(), Failure> {
        for sql in statements {
            self.connection.execute(sql).await?;
        }
        Ok(())
    }

    /// Begins the transaction of a write.
    ///
    /// # Errors
    /// As [`Transaction::begin`](crate::sql::connection::Transaction::begin).
    pub(crate) async fn begin(&mut self) -> Result<(), Failure> {
        if C::PREPARES_INSIDE {
            self.tables.looked_at = false;
        }
        self.connection.begin().await
    }

    /// Ends the open transaction, if there is one. What was prepared in it is undone with it.
    ///
    /// # Errors
    /// As [`Transaction::roll_back`](crate::sql::connection::Transaction::roll_back).
    pub(crate) async fn roll_back(&mut self) -> Result<()> {
        if C::PREPARES_INSIDE {
            self.tables.clear();
            self.tables.looked_at = false;
        }
        self.waiting_room.forget();
        self.connection.roll_back().await
    }

    /// Counts what waits.
    pub(crate) async fn count_waiting(&mut self) -> Result<(), Failure> {
        if self.waiting_room.is_on() {
            let count = self.conflict_log.metadata.count_waiting();
            let rows = self.connection.query(&count).await?;
            let count = rows.first().and_then(|row| row.first().cloned().flatten());
            self.waiting_room.count = count.and_then(|count| count.parse().ok());
        }
        Ok(())
    }

    /// Forgets changes that are in the quarantine, or superseded; gives how many were there, since another
    /// session may have forgotten some.
    pub(crate) async fn forget_waiting(&mut self, taken: &[i64]) -> Result<u64, Failure> {
        let lock = self.conflict_log.metadata.lock_waiting_changes(taken);
        let there = self.query_all(&lock).await?.len();
        let remove = self.conflict_log.metadata.remove_waiting(taken);
        self.execute_all(&remove).await?;
        self.waiting_room.remove(there);
        Ok(there as u64)
    }

    /// The foreign keys of a table, as they were when it was first asked for.
    pub(crate) async fn foreign_keys(
        &mut self,
        target: &Target,
    ) -> Result<Arc<[ForeignKey]>, Failure> {
        if let Some(known) = self.waiting_room.references.get(target) {
            return Ok(known.clone());
        }
        let ask = (C::DIALECT.foreign_keys)(target.schema.as_deref(), &target.name)?;
        let rows = self.connection.query(&ask).await?;
        let found: Arc<[ForeignKey]> = ForeignKey::read(rows).into();
        let known = &mut self.waiting_room.references;
        known.insert(target.clone(), found.clone());
        Ok(found)
    }
}

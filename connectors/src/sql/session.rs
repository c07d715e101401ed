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
use crate::sql::metadata::{QUEUE_TABLE, Row};
use crate::sql::prepared::PreparedTables;
use crate::sql::target::Target;

/// See the module docs.
pub(crate) struct SqlSession<C: Tables> {
    pub(crate) connection: C,
    /// Who writes.
    pub(crate) identity: Identity,
    /// Who decides what no statement can.
    pub(crate) resolvers: Arc<dyn Resolvers>,
    pub(crate) conflict_log: ConflictLog,
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
        let policy = settings.options().conflict;
        let now_ms = chrono::Utc::now().timestamp_millis();
        let conflict_log = match purpose {
            Purpose::Write => ConflictLog::new(C::DIALECT, identity, &policy, now_ms)?,
            Purpose::ReadOnly => ConflictLog::read_only(C::DIALECT, identity, &policy)?,
        };
        let mut session = Self {
            connection: C::open(settings, identity, purpose).await?,
            identity: identity.clone(),
            resolvers: resolvers.clone(),
            conflict_log,
            tables: PreparedTables::default(),
        };
        if purpose == Purpose::Write {
            session
                .create_own_tables()
                .await
                .map_err(Failure::into_error)?;
            tracing::debug!(sink = identity.sink, "connected");
        }
        Ok(session)
    }

    /// Creates the metadata tables that do not exist, and checks whether a conflict is open. Where all of
    /// them exist, it runs no DDL and takes no lock.
    async fn create_own_tables(&mut self) -> Result<(), Failure> {
        let tables = self.conflict_log.tables();
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
        Ok(())
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

    /// Ends the open transaction, if there is one. What was prepared in it is undone with it.
    ///
    /// # Errors
    /// As [`Transaction::roll_back`](crate::sql::connection::Transaction::roll_back).
    pub(crate) async fn roll_back(&mut self) -> Result<()> {
        if C::PREPARES_INSIDE {
            self.tables.clear();
        }
        self.connection.roll_back().await
    }
}

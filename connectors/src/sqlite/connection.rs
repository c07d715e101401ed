//! What SQLite does for the SQL engine: a thread holds the connection, and does one job after another.
//!
//! A job that nobody waits for is done all the same. A handle that is dropped ends its thread, and with
//! it the open transaction.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::SqliteSink;
use super::failure::Failure;
use super::prepare::read_table;
use super::session::Session;
use crate::error::{Error, Result};
use crate::record::HeldPositions;
use crate::sink::{Identity, Write};
use crate::sql::Options;
use crate::sql::catalogue::TargetTable;
use crate::sql::connection::{Connection, Purpose, SchemaLock, Settings, Transaction};
use crate::sql::dialect::Dialect;
use crate::sql::metadata::Row;
use crate::sql::target::Target;
use crate::sqlite::SQLITE;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// A session whose connection is held by a thread of its own.
pub(super) struct SqliteConnection {
    jobs: mpsc::Sender<Job>,
    thread: std::thread::JoinHandle<()>,
}

/// One job after another until the handle is gone.
fn serve(mut session: Session, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        job(&mut session);
    }
}

impl SqliteConnection {
    /// Does `work` on the thread.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Result<T> {
        let (answer, wait) = oneshot::channel();
        let job: Job = Box::new(move |session| drop(answer.send(work(session))));
        self.jobs.send(job).await.map_err(|_| stopped())?;
        wait.await.map_err(|_| stopped())
    }
}

impl Settings for SqliteSink {
    fn options(&self) -> Options {
        Self::options(self)
    }

    fn write_timeout(&self) -> Option<(Duration, &'static str)> {
        None
    }
}

impl Connection for SqliteConnection {
    type Settings = SqliteSink;

    const DIALECT: &'static Dialect = &SQLITE;

    async fn open(settings: &SqliteSink, identity: &Identity, purpose: Purpose) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel(1);
        let (opened, wait) = oneshot::channel();
        let (settings, identity) = (settings.clone(), identity.clone());
        let name = format!("sqlite {}", identity.sink);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || match Session::open(&settings, &identity, purpose) {
                Ok(session) => {
                    // Where the caller is gone, the inbox is closed and the loop ends at once.
                    drop(opened.send(Ok(())));
                    serve(session, inbox);
                }
                Err(error) => drop(opened.send(Err(error))),
            })
            .map_err(|cause| Error::unavailable("cannot start a thread for SQLite", cause))?;
        wait.await.map_err(|_| stopped())??;
        Ok(Self { jobs, thread })
    }

    async fn execute(&mut self, sql: &str) -> Result<(), Failure> {
        let sql = sql.to_owned();
        self.call(move |session| session.run(&sql)).await?
    }

    async fn query(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        let sql = sql.to_owned();
        Ok(self.call(move |session| session.query(&sql)).await??)
    }

    async fn describe(&mut self, target: &Target) -> Result<Option<TargetTable>, Failure> {
        let target = target.clone();
        let read = self.call(move |session| read_table(&session.connection, &target));
        Ok(read.await??)
    }

    async fn close(self) -> Result<()> {
        let Self { jobs, thread, .. } = self;
        drop(jobs);
        tokio::task::spawn_blocking(move || thread.join().map_err(|_| stopped()))
            .await
            .map_err(|_| stopped())?
    }
}

/// A file has one writer at a time, and nothing to lock beside it.
impl SchemaLock for SqliteConnection {
    async fn lock_schema(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    async fn unlock_schema(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    async fn revision(&mut self) -> Result<Option<i64>, Failure> {
        let version = self.call(|session| session.schema_version()).await??;
        Ok(Some(version))
    }
}

impl Transaction for SqliteConnection {
    async fn begin(&mut self) -> Result<(), Failure> {
        Ok(self.call(Session::begin).await??)
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        Ok(self.call(Session::commit).await??)
    }

    async fn roll_back(&mut self) -> Result<()> {
        self.call(Session::roll_back).await?
    }

    async fn positions(&mut self, identity: &Identity) -> Result<HeldPositions, Failure> {
        let identity = identity.clone();
        let read = self.call(move |session| session.positions(&identity));
        Ok(read.await??)
    }

    async fn advance(
        &mut self,
        identity: &Identity,
        table: &str,
        write: &Write,
    ) -> Result<bool, Failure> {
        let (identity, table, write) = (identity.clone(), table.to_owned(), write.clone());
        let advance = self.call(move |session| session.advance(&identity, &table, &write));
        Ok(advance.await??)
    }
}

fn stopped() -> Error {
    Error::configuration(
        "the thread of the SQLite sink stopped: this is a defect, please report it",
    )
}

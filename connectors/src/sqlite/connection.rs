//! What SQLite does for the SQL engine: a thread holds the connection, and does one job after another.
//!
//! A job that nobody waits for is done all the same. A handle that is dropped ends its thread, and with
//! it the open transaction.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::apply::Run;
use super::failure::Failure;
use super::prepare::{Prepared, read_table};
use super::session::Session;
use super::{SqliteSink, positions};
use crate::change::Changes;
use crate::conflict::{ConflictPolicy, Resolver, Resolvers};
use crate::error::{Error, Result};
use crate::record::HeldPositions;
use crate::sink::{Identity, Outcome, Write};
use crate::sql::Options;
use crate::sql::books::Books;
use crate::sql::catalogue::TargetTable;
use crate::sql::connection::{Bulk, Connection, PreparedTable, Purpose, Settings, Transaction};
use crate::sql::decide::{Facts, Groups};
use crate::sql::equality::Equality;
use crate::sql::identifier::Dialect;
use crate::sql::ledger::Row;
use crate::sql::plan::Work;
use crate::sql::target::Target;
use crate::sql::undeclared::Lent;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// A session whose connection is held by a thread of its own.
pub(super) struct SqliteConnection {
    jobs: mpsc::Sender<Job>,
    thread: std::thread::JoinHandle<()>,
    resolvers: Arc<dyn Resolvers>,
    /// Lent to the job that applies changes.
    books: Option<Books>,
}

/// One job after another until the handle is gone.
fn serve(mut session: Session, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        job(&mut session);
    }
}

impl SqliteConnection {
    /// Does `work` on the thread.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Result<T> {
        let (answer, wait) = oneshot::channel();
        let job: Job = Box::new(move |session| drop(answer.send(work(session))));
        self.jobs.send(job).await.map_err(|_| stopped())?;
        wait.await.map_err(|_| stopped())
    }

    /// Does `work`, which needs what is kept about conflicts, on the thread.
    async fn call_with_books<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Session, &mut Books) -> T + Send + 'static,
    ) -> Result<T> {
        let mut books = self.books.take().ok_or_else(stopped)?;
        let call = self.call(move |session| {
            let done = work(session, &mut books);
            (done, books)
        });
        let (done, books) = call.await?;
        self.books = Some(books);
        Ok(done)
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

    const DIALECT: Dialect = Dialect::Sqlite;

    async fn open(
        settings: &SqliteSink,
        identity: &Identity,
        resolvers: &Arc<dyn Resolvers>,
        purpose: Purpose,
    ) -> Result<Self> {
        let policy = &settings.conflict;
        let now_ms = chrono::Utc::now().timestamp_millis();
        let books = match purpose {
            Purpose::Write => Books::new(Dialect::Sqlite, identity, policy, now_ms)?,
            Purpose::ReadOnly => Books::read_only(Dialect::Sqlite, identity, policy)?,
        };
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
        let mut connection = Self {
            jobs,
            thread,
            resolvers: resolvers.clone(),
            books: Some(books),
        };
        if purpose == Purpose::Write {
            connection
                .call_with_books(|session, books| {
                    positions::create_books(&session.connection, books)
                })
                .await??;
        }
        Ok(connection)
    }

    async fn execute(&mut self, sql: &str) -> Result<(), Failure> {
        let sql = sql.to_owned();
        Ok(self.call(move |session| session.run(&sql)).await??)
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

impl Bulk for SqliteConnection {
    type Table = Prepared;

    // A file has one writer at a time, and takes back with a transaction what it did to the schema.
    const PREPARES_INSIDE: bool = true;

    const CHECK_DEFERRED: Option<&'static str> = None;

    fn books(&mut self) -> &mut Books {
        self.books
            .as_mut()
            .expect("a session whose job was dropped is dropped with it")
    }

    fn resolvers(&self) -> &Arc<dyn Resolvers> {
        &self.resolvers
    }

    async fn lend(
        &mut self,
        options: &Options,
        target: &Target,
        changes: &Changes,
    ) -> Result<Option<Lent>, Failure> {
        let (options, target, changes) = (options.clone(), target.clone(), changes.clone());
        let lend = self.call_with_books(move |session, books| {
            session.lend(&options, &target, &changes, books.may_wait)
        });
        Ok(lend.await??)
    }

    async fn prepare(
        &mut self,
        options: &Options,
        target: &Target,
        changes: &Changes,
        key: &[usize],
    ) -> Result<Arc<Prepared>, Failure> {
        let (options, target) = (options.clone(), target.clone());
        let (schema, key) = (changes.schema(), key.to_vec());
        let prepare = self.call(move |session| session.prepare(&options, &target, &schema, &key));
        Ok(prepare.await??)
    }

    async fn normal_texts(
        &mut self,
        _: &Arc<Prepared>,
        _: usize,
        texts: &[String],
    ) -> Result<Vec<String>, Failure> {
        // All of it is known without asking.
        Ok(texts.to_vec())
    }

    async fn apply(
        &mut self,
        identity: &Identity,
        options: &Options,
        work: Work<Prepared>,
    ) -> Result<Outcome, Failure> {
        let (identity, options) = (identity.clone(), options.clone());
        let resolvers = self.resolvers.clone();
        let apply = self.call_with_books(move |session, books| {
            Run::new(session, &identity, &resolvers, books, &options).work(&work)
        });
        Ok(apply.await??)
    }

    async fn facts(
        &mut self,
        identity: &Identity,
        options: &Options,
        table: &Arc<Prepared>,
        changes: &Changes,
        groups: &Groups,
    ) -> Result<Facts, Failure> {
        let (identity, options) = (identity.clone(), options.clone());
        let resolvers = self.resolvers.clone();
        let (table, changes, groups) = (table.clone(), changes.clone(), groups.clone());
        let facts = self.call_with_books(move |session, books| {
            let run = Run::new(session, &identity, &resolvers, books, &options);
            run.facts(&changes, &table, &groups).map(|(_, facts)| facts)
        });
        Ok(facts.await??)
    }
}

impl PreparedTable for Prepared {
    fn place(&self, changes: &Changes) -> Result<Changes> {
        changes
            .project(&self.indices())
            .map_err(Error::configuration)
    }

    fn indices(&self) -> Vec<usize> {
        Self::indices(self)
    }

    fn equality(&self, place: usize) -> Equality {
        self.columns[place].equality
    }

    fn left_out(&self) -> &[usize] {
        &self.left_out
    }

    fn placed_key(&self) -> &[usize] {
        &self.placed_key
    }

    fn resolver(
        &self,
        resolvers: &Arc<dyn Resolvers>,
        policy: &ConflictPolicy,
    ) -> Result<Arc<dyn Resolver>> {
        Self::resolver(self, resolvers, policy)
    }

    fn refers_to(&self, _: &Self) -> bool {
        false
    }
}

fn stopped() -> Error {
    Error::configuration(
        "the thread of the SQLite sink stopped: this is a defect, please report it",
    )
}

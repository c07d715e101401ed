//! What a database must be able to do for the one SQL engine; how it writes in bulk is [`super::bulk`].
//!
//! A connection whose state is not known is dropped, never repaired.

use std::future::Future;
use std::time::Duration;

use crate::error::Result;
use crate::record::HeldPositions;
use crate::sink::{Identity, Write};
use crate::sql::Options;
use crate::sql::catalogue::TargetTable;
use crate::sql::dialect::Dialect;
use crate::sql::failure::Failure;
use crate::sql::metadata::Row;
use crate::sql::target::Target;

/// What a session is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To write: makes Syncline's own tables where they are not there.
    Write,
    /// To read: makes nothing that outlives the session, sets no writer's name, ignores open conflicts.
    ReadOnly,
}

/// What a database is told about its sink.
pub(crate) trait Settings: Clone + Send + Sync + 'static {
    /// The options that all SQL sinks share.
    fn options(&self) -> Options;

    /// How long one write may take before the database counts as not answering, and the name of the
    /// setting that says so; `None` where a write cannot hang.
    fn write_timeout(&self) -> Option<(Duration, &'static str)>;
}

/// A connection to a database.
pub(crate) trait Connection: Sized + Send + 'static {
    /// The settings of its sink.
    type Settings: Settings;

    /// How its SQL is written.
    const DIALECT: &'static Dialect;

    /// Connects.
    ///
    /// # Errors
    /// `Unavailable` while the database does not answer, `Configuration` where it refuses.
    fn open(
        settings: &Self::Settings,
        identity: &Identity,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Self>> + Send;

    /// Runs a statement, or several, and leaves their rows.
    fn execute(&mut self, sql: &str) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Runs one statement whose columns are all text, and gives its rows.
    fn query(&mut self, sql: &str) -> impl Future<Output = Result<Vec<Row>, Failure>> + Send;

    /// What the table looks like now; `None` where there is none.
    fn describe(
        &mut self,
        target: &Target,
    ) -> impl Future<Output = Result<Option<TargetTable>, Failure>> + Send;

    /// Closes the connection.
    ///
    /// # Errors
    /// `Unavailable` where the database does not hear it.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// The lock under which Syncline's sessions of a database change its schema.
pub(crate) trait SchemaLock: Connection {
    /// Takes the lock under which Syncline's sessions change the schema.
    fn lock_schema(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Gives it back; what was changed stays.
    fn unlock_schema(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// A number that is another one after every change of the schema; `None` where the database refuses
    /// statements that were made for another schema.
    fn revision(&mut self) -> impl Future<Output = Result<Option<i64>, Failure>> + Send;
}

/// The transaction of a write, and the positions that move in it.
pub(crate) trait Transaction: SchemaLock {
    /// Begins the transaction of a write, with nothing staged.
    fn begin(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Commits.
    fn commit(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Ends the open transaction, if there is one.
    fn roll_back(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Where each partition stands.
    fn positions(
        &mut self,
        identity: &Identity,
    ) -> impl Future<Output = Result<HeldPositions, Failure>> + Send;

    /// Moves every span of `write` from its `from` to its `next`, and keeps which tables are written;
    /// `false` where one of the partitions stands elsewhere. A second owner waits until the transaction
    /// ends, and then fails. `table` is the sink's setting.
    fn advance(
        &mut self,
        identity: &Identity,
        table: &str,
        write: &Write,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;
}

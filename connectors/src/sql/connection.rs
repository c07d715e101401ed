//! What a database must be able to do for the one SQL engine.
//!
//! A session is one connection with its settings, its staging tables and its prepared tables. One whose
//! state is not known is dropped, never repaired.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::change::Changes;
use crate::conflict::ConflictPolicy;
use crate::conflict::{Resolver, Resolvers};
use crate::error::Result;
use crate::record::HeldPositions;
use crate::sink::{Identity, Outcome, Write};
use crate::sql::Options;
use crate::sql::books::Books;
use crate::sql::catalogue::TargetTable;
use crate::sql::decide::{Facts, Groups};
use crate::sql::equality::Equality;
use crate::sql::failure::Failure;
use crate::sql::identifier::Dialect;
use crate::sql::ledger::Row;
use crate::sql::plan::Work;
use crate::sql::target::Target;
use crate::sql::undeclared::Lent;

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

/// A session with a database.
pub(crate) trait Connection: Sized + Send + 'static {
    /// The settings of its sink.
    type Settings: Settings;

    /// How its SQL is written.
    const DIALECT: Dialect;

    /// Connects.
    ///
    /// # Errors
    /// `Unavailable` while the database does not answer, `Configuration` where it refuses.
    fn open(
        settings: &Self::Settings,
        identity: &Identity,
        resolvers: &Arc<dyn Resolvers>,
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

/// The transaction of a write, and the positions that move in it.
pub(crate) trait Transaction: Connection {
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

/// Prepared tables, and how changes are written to them.
pub(crate) trait Bulk: Transaction {
    /// A target and a schema, ready to be written.
    type Table: PreparedTable;

    /// Whether tables are prepared inside the transaction of a write, and not before it begins.
    const PREPARES_INSIDE: bool;

    /// Makes the database check deferred constraints at once, where it has such.
    const CHECK_DEFERRED: Option<&'static str>;

    /// What the sink keeps about conflicts.
    fn books(&mut self) -> &mut Books;

    /// Who decides what no statement can.
    fn resolvers(&self) -> &Arc<dyn Resolvers>;

    /// The changes with the target's types for columns that no schema declares; evolves the target for them.
    /// `None` where all of them truncate a table that does not exist.
    fn lend(
        &mut self,
        options: &Options,
        target: &Target,
        changes: &Changes,
    ) -> impl Future<Output = Result<Option<Lent>, Failure>> + Send;

    /// The prepared form of the target of `changes`: from the session, or made now.
    fn prepare(
        &mut self,
        options: &Options,
        target: &Target,
        changes: &Changes,
        key: &[usize],
    ) -> impl Future<Output = Result<Arc<Self::Table>, Failure>> + Send;

    /// How the target writes these texts of a key column, at `place` among the columns of the table: keys
    /// that it takes for one are one text (R22). A text that it cannot hold stays as it is. Only asked where
    /// [`Equality`] does not know it.
    fn normal_texts(
        &mut self,
        table: &Arc<Self::Table>,
        place: usize,
        texts: &[String],
    ) -> impl Future<Output = Result<Vec<String>, Failure>> + Send;

    /// Does the work in the open transaction.
    fn apply(
        &mut self,
        identity: &Identity,
        options: &Options,
        work: Work<Self::Table>,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send;

    /// What the target says about the keys of `groups`, whose rows stay locked until the transaction
    /// ends. `changes` have the columns of the prepared table.
    fn facts(
        &mut self,
        identity: &Identity,
        options: &Options,
        table: &Arc<Self::Table>,
        changes: &Changes,
        groups: &Groups,
    ) -> impl Future<Output = Result<Facts, Failure>> + Send;
}

/// A target and a schema, ready to be written.
pub(crate) trait PreparedTable: Send + Sync + 'static {
    /// The columns of changes that have a place in the target, in its order.
    ///
    /// # Errors
    /// Where the changes have other columns than it was prepared for.
    fn place(&self, changes: &Changes) -> Result<Changes>;

    /// Where the placed columns stand in the changes.
    fn indices(&self) -> Vec<usize>;

    /// How the target tells the values of a placed column apart.
    fn equality(&self, place: usize) -> Equality;

    /// Columns of the changes that the policy `ignore` leaves out.
    fn left_out(&self) -> &[usize];

    /// Which of the placed columns are the key.
    fn placed_key(&self) -> &[usize];

    /// Who decides what no statement can; compiled once.
    ///
    /// # Errors
    /// As [`Resolvers::compile`].
    fn resolver(
        &self,
        resolvers: &Arc<dyn Resolvers>,
        policy: &ConflictPolicy,
    ) -> Result<Arc<dyn Resolver>>;

    /// Whether a foreign key of the table points to another one.
    fn refers_to(&self, other: &Self) -> bool;
}

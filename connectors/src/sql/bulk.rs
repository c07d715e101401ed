//! How changes get into a table in bulk: what a database is given, and what it answers.
//!
//! A load is staged whole; then its deletes are written, and, once the deletes of every table are, its
//! upserts (R9). The database answers how many changes met which fate ([`Fates`]); what that means for
//! the outcome stands once, in [`super::account`].

use std::future::Future;
use std::sync::{Arc, Mutex};

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;

use crate::change::Changes;
use crate::conflict::{ConflictPolicy, Resolver, Resolvers, TargetRows};
use crate::error::{Error, Result};
use crate::sink::Identity;
use crate::sql::catalogue::{Action, Plan, TargetTable};
use crate::sql::connection::Transaction;
use crate::sql::decide::Resolved;
use crate::sql::equality::Equality;
use crate::sql::failure::{Failure, Refused, RefusedRow};
use crate::sql::fold::Round;
use crate::sql::target::Target;
use crate::sql::{DeleteMode, Options};

/// The tables of the target: read, evolved and prepared.
pub(crate) trait Tables: Transaction {
    /// What the catalogue says of a table.
    type Found: Found;

    /// A target and a schema, ready to be written.
    type Table: PreparedTable;

    /// Whether tables are prepared inside the transaction of a write, and not before it begins.
    const PREPARES_INSIDE: bool;

    /// Prepared tables that one session keeps; past it those that no write holds are forgotten.
    const PREPARED_MAX: usize;

    /// The table as it is now; `None` where it does not exist.
    fn read(
        &mut self,
        target: &Target,
    ) -> impl Future<Output = Result<Option<Self::Found>, Failure>> + Send;

    /// The statement of one step of evolution.
    ///
    /// # Errors
    /// `Configuration` where a name cannot be written.
    fn evolution(
        &self,
        target: &Target,
        found: Option<&Self::Found>,
        action: Action,
    ) -> Result<String>;

    /// Makes the prepared form of a table, and what it is staged in.
    fn compile(
        &mut self,
        shape: &Shape<'_, Self::Found>,
    ) -> impl Future<Output = Result<Self::Table, Failure>> + Send;

    /// Lets go of what tables are staged in.
    fn forget(
        &mut self,
        tables: Vec<Arc<Self::Table>>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// How the target writes these texts of a key column, at `place` among the columns of the table: keys
    /// that it takes for one are one text (R22). A text that it cannot hold stays as it is. Only asked where
    /// [`Equality`] does not know it.
    fn normal_texts(
        &mut self,
        table: &Arc<Self::Table>,
        place: usize,
        texts: &[String],
    ) -> impl Future<Output = Result<Vec<String>, Failure>> + Send;
}

/// What the catalogue says of a table.
pub(crate) trait Found: Send + Sync {
    /// Its columns and unique indexes.
    fn table(&self) -> &TargetTable;

    /// Whether a column is of a domain, whose range somebody chose.
    fn is_domain(&self, column: &str) -> bool;
}

/// What a table is prepared for.
pub(crate) struct Shape<'a, F> {
    pub(crate) options: &'a Options,
    pub(crate) target: &'a Target,
    /// The schema of the changes, and which of its columns are the key.
    pub(crate) schema: &'a SchemaRef,
    pub(crate) key: &'a [usize],
    pub(crate) found: &'a F,
    /// Where each column of the changes goes.
    pub(crate) plan: &'a Plan,
}

/// How changes are written to a prepared table.
pub(crate) trait Bulk: Tables {
    /// A load that was staged.
    type Staged: Staged;

    /// Makes the database check deferred constraints at once, where it has such.
    const CHECK_DEFERRED: Option<&'static str>;

    /// The target's rows of `keys`, locked until the transaction ends, and the versions of deletes.
    /// `keys` holds one change a key, in the columns of the prepared table.
    fn lock(
        &mut self,
        write: &TableWrite<'_, Self::Table>,
        keys: &Changes,
    ) -> impl Future<Output = Result<Locked, Failure>> + Send;

    /// Stages a load.
    fn stage(
        &mut self,
        write: &TableWrite<'_, Self::Table>,
        load: &Load,
    ) -> impl Future<Output = Result<Self::Staged, Failure>> + Send;

    /// Writes the deletes of a load, and keeps their versions (R12).
    fn delete(
        &mut self,
        write: &TableWrite<'_, Self::Table>,
        staged: &mut Self::Staged,
    ) -> impl Future<Output = Result<Fates, Failure>> + Send;

    /// The staged upserts that the database refuses for their own values, tried one by one; those that it
    /// accepts may stay written until the caller rolls back. None where it cannot tell.
    fn refused_values(
        &mut self,
        write: &TableWrite<'_, Self::Table>,
        staged: &mut Self::Staged,
    ) -> impl Future<Output = Result<Vec<RefusedRow>, Failure>> + Send;

    /// Writes the upserts of a load.
    fn upsert(
        &mut self,
        write: &TableWrite<'_, Self::Table>,
        staged: Self::Staged,
    ) -> impl Future<Output = Result<Fates, Failure>> + Send;
}

/// A load that was staged.
pub(crate) trait Staged: Send {
    /// Whether it has deletes.
    fn has_deletes(&self) -> bool;
}

/// A target and a schema, ready to be written.
pub(crate) trait PreparedTable: Send + Sync + 'static {
    /// What the engine needs to know of it.
    fn layout(&self) -> Layout<'_>;

    /// How the target tells the values of a placed column apart.
    fn equality(&self, place: usize) -> Equality;

    /// Whether a foreign key of the table points to another one.
    fn refers_to(&self, other: &Self) -> bool;

    /// The statement that empties the target (R13).
    fn truncate(&self) -> String;
}

/// What the engine needs to know of a prepared table.
pub(crate) struct Layout<'a> {
    /// The target's name, unquoted: what tombstones are kept under.
    pub(crate) name: &'a str,
    /// The columns of the changes that have a place in the target, in its order.
    pub(crate) indices: Vec<usize>,
    /// The schema of these columns, and which of them are the key.
    pub(crate) placed: &'a SchemaRef,
    pub(crate) placed_key: &'a [usize],
    /// Which of them is the version, where the strategy compares versions.
    pub(crate) version: Option<usize>,
    /// Columns of the changes that the policy `ignore` leaves out.
    pub(crate) left_out: &'a [usize],
    /// Who decides what no statement can, once it is compiled.
    pub(crate) resolver: &'a CompiledResolvers,
}

/// Who decides the changes of a prepared table, by policy: that of the sink, and what a person's decision
/// makes of it.
#[derive(Default)]
pub(crate) struct CompiledResolvers(Mutex<Vec<(ConflictPolicy, Arc<dyn Resolver>)>>);

impl Layout<'_> {
    /// The columns of changes that have a place in the target, in its order.
    ///
    /// # Errors
    /// Where the changes have other columns than the table was prepared for.
    pub(crate) fn place(&self, changes: &Changes) -> Result<Changes> {
        changes.project(&self.indices).map_err(Error::configuration)
    }

    /// Who decides what no statement can; compiled once for each policy.
    ///
    /// # Errors
    /// As [`Resolvers::compile`].
    pub(crate) fn resolver(
        &self,
        resolvers: &Arc<dyn Resolvers>,
        policy: &ConflictPolicy,
    ) -> Result<Arc<dyn Resolver>> {
        let mut compiled = self
            .resolver
            .0
            .lock()
            .expect("no holder of this lock panics");
        if let Some((_, resolver)) = compiled.iter().find(|(known, _)| known == policy) {
            return Ok(resolver.clone());
        }
        let resolver = resolvers.compile(policy, self.placed, self.placed_key)?;
        compiled.push((policy.clone(), resolver.clone()));
        Ok(resolver)
    }
}

/// A prepared table with what decides how it is written.
pub(crate) struct TableWrite<'a, T> {
    pub(crate) table: &'a Arc<T>,
    pub(crate) options: &'a Options,
    pub(crate) identity: &'a Identity,
    /// Whether there is a table of tombstones.
    pub(crate) has_tombstones: bool,
}

impl<T: PreparedTable> TableWrite<'_, T> {
    /// Whether the versions of deletes are kept (R12).
    pub(crate) fn keeps_tombstones(&self) -> bool {
        self.has_tombstones
            && self.options.delete != DeleteMode::Ignore
            && self.options.conflict.buries()
            && self.table.layout().version.is_some()
    }
}

/// What the target says about some keys, one entry a key.
pub(crate) struct Locked {
    /// Its rows.
    pub(crate) held: TargetRows,
    /// The versions of deletes, of the version column's type; `None` where there are none.
    pub(crate) tombstones: Option<ArrayRef>,
}

/// What is staged together. `places` gives the batch and row of each upsert, then of each delete.
#[derive(Clone)]
pub(crate) enum Load {
    /// A folded round, which the statement decides.
    Round {
        round: Arc<Round>,
        places: Arc<[(usize, usize)]>,
    },
    /// Rows that were decided.
    Decided {
        resolved: Arc<Resolved>,
        places: Arc<[(usize, usize)]>,
    },
}

/// How many changes met which fate, by what they are. Of decided rows all are zero.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    pub(crate) inserts: Counts,
    pub(crate) updates: Counts,
    pub(crate) deletes: Counts,
    /// Rows that the target refuses one by one.
    pub(crate) refused: Vec<RefusedRow>,
}

/// How many changes met which fate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The target has no such row: an upsert is inserted, a delete has nothing to do.
    pub(crate) missing: u64,
    /// The target's row is what the change says, or what the source deleted.
    pub(crate) same: u64,
    /// The change won over a row that is different.
    pub(crate) replaced: u64,
    /// The target's row won.
    pub(crate) lost: u64,
    /// The change met a row that was marked as deleted, which counts as absent.
    pub(crate) revived: u64,
    /// The change is older than the delete of its key (R12).
    pub(crate) outdated: u64,
}

impl Refused {
    /// An update leaves out unchanged values of a row that the target does not have (R14).
    pub(crate) fn incomplete() -> Self {
        Self::new(
            "R14 incomplete",
            None,
            "the update leaves out unchanged values, and the target has no such row",
        )
    }
}

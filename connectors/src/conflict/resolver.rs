//! The contract between a sink and the resolver: what the sink passes between its locked read and
//! its write, and what it gets.
//!
//! All data are whole columns of one schema: the columns of the changes that the target has. Row
//! `i` of every column belongs to change `i`; every key occurs once.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;

use super::{ConflictPolicy, ConflictType};
use crate::change::{Changes, Image};
use crate::error::{Error, RejectedRow, Result};

/// Compiles resolvers.
pub trait Resolvers: Send + Sync {
    /// Compiles a resolver for changes of `schema` with the key columns `key`.
    ///
    /// # Errors
    /// `Configuration` if the policy does not fit the columns: a strategy that does not fit its
    /// column's type, an unknown column, a wrong expression.
    fn compile(
        &self,
        policy: &ConflictPolicy,
        schema: &SchemaRef,
        key: &[usize],
    ) -> Result<Arc<dyn Resolver>>;
}

/// Compiles no resolver: for callers whose strategies are all decided by a statement.
#[derive(Debug, Clone, Copy, Default)]
pub struct StatementsOnly;

impl Resolvers for StatementsOnly {
    fn compile(
        &self,
        policy: &ConflictPolicy,
        _schema: &SchemaRef,
        _key: &[usize],
    ) -> Result<Arc<dyn Resolver>> {
        Err(Error::configuration(format!(
            "the conflict strategy {} needs a resolver, and the sink was opened without one",
            policy.strategy.name()
        )))
    }
}

/// Decides conflicts: a pure function over whole columns.
pub trait Resolver: Send + Sync {
    /// Decides every change of a batch.
    ///
    /// # Errors
    /// `Configuration` if a value cannot be computed for a reason that does not depend on the row.
    fn resolve(&self, batch: &ConflictBatch<'_>) -> Result<Decisions>;
}

/// Changes, with the state of the target and the base for their keys.
#[derive(Debug, Clone, Copy)]
pub struct ConflictBatch<'a> {
    /// The changes: one for each key, no truncates. Their own rows before are ignored.
    pub changes: &'a Changes,
    /// The target's rows with the keys of the changes.
    pub target: &'a TargetRows,
    /// The base.
    pub base: Base<'a>,
    /// For a key without a row in the target: the version of the delete that removed the row (R12),
    /// in the version column's type; null if there was no delete.
    pub tombstones: Option<&'a ArrayRef>,
}

/// The rows of the target with the keys of the changes, locked.
#[derive(Debug, Clone)]
pub struct TargetRows {
    /// The rows in the schema of the changes; null where there is no row.
    pub rows: RecordBatch,
    /// Whether the row exists.
    pub exists: BooleanBuffer,
    /// Whether the row is marked as deleted (`delete = "soft"`): it counts as absent, except for
    /// its version. `None` if no row is marked.
    pub marked: Option<BooleanBuffer>,
    /// For each column, the rows with a foreign value: the type of the changes cannot represent it.
    /// It is null in `rows` and differs from every value.
    pub foreign: Vec<Option<BooleanBuffer>>,
}

/// The base: the last state on which both sides agreed.
#[derive(Debug, Clone, Copy)]
pub enum Base<'a> {
    /// Unknown.
    None,
    /// The rows before the changes. For a delete, the deleted row.
    Image(&'a Image),
    /// Hashes of these rows.
    Hashes(&'a Hashes),
}

/// Hashes of the values of rows.
#[derive(Debug, Clone)]
pub struct Hashes {
    /// For each column the hashes of its values ([`super::hash_column`]); null where unknown.
    pub columns: Vec<UInt64Array>,
}

/// The decision about every change.
#[derive(Debug, Clone)]
pub struct Decisions {
    /// One for each change.
    pub verdicts: Vec<Verdict>,
    /// The resulting rows where the verdict is `Write`; otherwise the target's rows.
    pub rows: RecordBatch,
    /// For each column, the rows in which the target's value is not written; `None` if there are
    /// none.
    pub untouched: Vec<Option<BooleanBuffer>>,
    /// For each column, the rows in which a strategy had to decide; `None` if there are none.
    pub contested: Vec<Option<BooleanBuffer>>,
    /// The conflicts, ordered by row; at most one for each change.
    pub conflicts: Vec<Conflict>,
    /// The changes with the verdict `Reject`, ordered by row.
    pub rejected: Vec<RejectedRow>,
}

/// The decision about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The row gets the values of [`Decisions::rows`].
    Write,
    /// The row is deleted.
    Delete,
    /// The change applies, but the target already has its result.
    Same,
    /// The target's row is kept.
    Keep,
    /// The change waits for a person (C9).
    Queue,
    /// The change can never be written.
    Reject,
}

impl Verdict {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Same => "same",
            Self::Keep => "keep",
            Self::Queue => "queue",
            Self::Reject => "reject",
        }
    }
}

/// A conflict and its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The index of the change.
    pub row: u32,
    /// The type of the conflict.
    pub kind: ConflictType,
    /// The winner.
    pub winner: Winner,
    /// The reason, for a person to read.
    pub reason: &'static str,
}

/// The winner of a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Winner {
    /// The change.
    Source,
    /// The target's row.
    Target,
    /// Values of both sides.
    Merged,
    /// No decision yet.
    Manual,
}

impl Winner {
    /// The name in the history and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Merged => "merged",
            Self::Manual => "manual",
        }
    }
}

//! What a sink asks between its locked read and its write, and what it is told.
//!
//! Everything is whole columns of one schema: that of the changes, as far as the target has a place
//! for their columns. Row `i` of every column concerns change `i`; every key stands once.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;

use super::{ConflictPolicy, ConflictType};
use crate::change::{Changes, Image};
use crate::error::{Error, RejectedRow, Result};

/// Makes a resolver for each schema that comes along.
pub trait Resolvers: Send + Sync {
    /// A resolver for changes of `schema`, whose key columns are `key`.
    ///
    /// # Errors
    /// `Configuration` where the policy does not fit the columns: a strategy their types, a column
    /// that is absent, a wrong expression.
    fn compile(
        &self,
        policy: &ConflictPolicy,
        schema: &SchemaRef,
        key: &[usize],
    ) -> Result<Arc<dyn Resolver>>;
}

/// No resolver at all: for who uses only strategies that a statement decides.
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
    /// What becomes of every change of a meeting.
    ///
    /// # Errors
    /// `Configuration` where a value cannot be computed for a reason that is no row's fault.
    fn resolve(&self, meeting: &Meeting<'_>) -> Result<Decisions>;
}

/// Changes, and what they meet.
#[derive(Debug, Clone, Copy)]
pub struct Meeting<'a> {
    /// The changes, one a key, no truncates. Their own images before are not looked at.
    pub changes: &'a Changes,
    /// What the target holds for their keys.
    pub target: &'a Held,
    /// What both sides agreed on last.
    pub base: Base<'a>,
    /// For a key that the target does not hold, the version of the delete that took it away (R12):
    /// of the version column's type, null where there was none.
    pub graves: Option<&'a ArrayRef>,
}

/// Rows of the target, locked.
#[derive(Debug, Clone)]
pub struct Held {
    /// Their values in the schema of the changes; null where there is no row.
    pub rows: RecordBatch,
    /// Whether there is a row.
    pub exists: BooleanBuffer,
    /// Whether the row is marked as deleted (`delete = "soft"`): it counts as absent, but for its
    /// version. `None`: none is.
    pub marked: Option<BooleanBuffer>,
    /// For each column, the rows whose value the changes' type cannot say: null in `rows`, and yet a
    /// value that differs from every other.
    pub foreign: Vec<Option<BooleanBuffer>>,
}

/// What both sides agreed on last.
#[derive(Debug, Clone, Copy)]
pub enum Base<'a> {
    /// Nothing is known.
    None,
    /// The rows before. For a delete, the row that it deleted.
    Image(&'a Image),
    /// Hashes of their values.
    Hashes(&'a Hashes),
}

/// Hashes of rows as they were before.
#[derive(Debug, Clone)]
pub struct Hashes {
    /// For each column the hash of its value ([`super::hash_column`]); null where it is not
    /// known.
    pub columns: Vec<UInt64Array>,
}

/// What becomes of every change.
#[derive(Debug, Clone)]
pub struct Decisions {
    /// One a change.
    pub verdicts: Vec<Verdict>,
    /// The rows as they will be, where the verdict is `Write`; in other rows as the target holds them.
    pub rows: RecordBatch,
    /// For each column, the rows in which the target's value stays untouched; `None` for nowhere.
    pub untouched: Vec<Option<BooleanBuffer>>,
    /// For each column, the rows in which a strategy had to decide it; `None` for nowhere.
    pub contested: Vec<Option<BooleanBuffer>>,
    /// The conflicts, by ascending row; at most one a change.
    pub conflicts: Vec<Conflict>,
    /// The changes with the verdict `Reject`, by ascending row.
    pub rejected: Vec<RejectedRow>,
}

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The row becomes what [`Decisions::rows`] says.
    Write,
    /// The row goes.
    Delete,
    /// The change applies, and the target is that way already.
    Same,
    /// The target's row stays.
    Keep,
    /// A person decides (C9).
    Queue,
    /// It can never be written.
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

/// One conflict and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The change.
    pub row: u32,
    /// What differs.
    pub kind: ConflictType,
    /// Who won.
    pub winner: Winner,
    /// Why, for a person.
    pub reason: &'static str,
}

/// Who won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Winner {
    /// The change.
    Source,
    /// The row that was there.
    Target,
    /// Something of both.
    Merged,
    /// Nobody yet.
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

//! What a write comes down to before the database is asked: steps for every table (R8, R13).
//!
//! Every batch is cut at its truncates, which are barriers, and folded to rounds in between; every
//! target is prepared. What can be refused without the database is refused here.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;

use crate::change::{Changes, Operation};
use crate::error::{Error, RejectedChange};
use crate::sink::{Outcome, Write};
use crate::sql::bulk::{Load, PreparedTable, Tables};
use crate::sql::decide::{Resolved, takes_resolver};
use crate::sql::failure::Failure;
use crate::sql::fold::fold;
use crate::sql::names::spelled;
use crate::sql::normal_keys::{Spelling, with_normal_keys};
use crate::sql::session::SqlSession;
use crate::sql::target::{Target, key_columns};
use crate::sql::undeclared::count_values;
use crate::sql::version::refuse_skewed;
use crate::sql::{DeleteMode, Options, TruncateMode};

/// Changes of one batch of a write, in its order.
#[derive(Debug, Clone)]
pub(crate) struct ChangeSlice {
    /// Index of the batch.
    pub(crate) batch: usize,
    /// Which rows of the batch the changes are.
    pub(crate) rows: RowNumbers,
    pub(crate) changes: Changes,
}

/// Which rows of a batch some changes are, in their order.
#[derive(Debug, Clone)]
pub(crate) enum RowNumbers {
    /// This row and those that follow it.
    From(usize),
    /// These rows.
    Listed(Arc<[usize]>),
}

impl RowNumbers {
    /// The batch's row of the change at `index`.
    pub(crate) fn of(&self, index: usize) -> usize {
        match self {
            Self::From(first) => first + index,
            Self::Listed(rows) => rows[index],
        }
    }

    /// The numbers of the changes at `indices`, which ascend.
    pub(crate) fn pick(&self, indices: &[usize]) -> Self {
        match (self, indices) {
            (Self::From(first), [start, .., end]) if end - start + 1 == indices.len() => {
                Self::From(first + start)
            }
            _ => Self::Listed(indices.iter().map(|&index| self.of(index)).collect()),
        }
    }
}

impl ChangeSlice {
    /// Those of its changes at `indices`, which ascend.
    ///
    /// # Errors
    /// Where Arrow cannot take from a column.
    pub(crate) fn take(&self, indices: &[usize]) -> Result<Self, Error> {
        let rows: Vec<u32> = indices.iter().map(|&index| index as u32).collect();
        Ok(Self {
            batch: self.batch,
            rows: self.rows.pick(indices),
            changes: self.changes.take(&rows).map_err(Error::configuration)?,
        })
    }

    /// All batches, whole.
    ///
    /// # Errors
    /// As [`spelled`].
    pub(crate) fn of_write(options: &Options, write: &Write) -> Result<Vec<Self>, Error> {
        let batches = write.changes.iter().enumerate();
        batches
            .filter(|(_, changes)| !changes.is_empty())
            .map(|(batch, changes)| {
                Ok(Self {
                    batch,
                    rows: RowNumbers::From(0),
                    changes: spelled(options, changes.clone())?,
                })
            })
            .collect()
    }
}

/// What is to be done, and what is already known of its outcome.
pub(crate) struct Work<T> {
    /// In an order in which every table comes after those that its foreign keys point to.
    pub(crate) tables: Vec<Vec<Step<T>>>,
    /// What is counted already.
    pub(crate) resolved: Outcome,
}

/// One round of a table, or its truncate.
pub(crate) enum Step<T> {
    /// Changes that the statement decides.
    Rows {
        prepared: Arc<T>,
        load: Load,
    },
    /// Changes that a resolver decides.
    Contested {
        prepared: Arc<T>,
        changes: Box<ContestedChanges>,
    },
    Truncate(Arc<T>),
}

/// Changes of one table that a resolver decides, and where they stand in the write.
pub(crate) struct ContestedChanges {
    /// In the columns of the prepared table.
    pub(crate) changes: Changes,
    /// How their keys were written.
    pub(crate) spelling: Option<Spelling>,
    /// The batch, and which of its rows the changes are.
    pub(crate) batch: usize,
    pub(crate) rows: RowNumbers,
}

impl ContestedChanges {
    /// Gives the rows that are to be written the spelling of their keys.
    ///
    /// # Errors
    /// As [`Spelling::restore`].
    pub(crate) fn restore_spelling(&self, resolved: &mut Resolved) -> Result<(), Error> {
        let upserts = &mut resolved.upserts;
        match &self.spelling {
            Some(spelling) => spelling.restore(&mut upserts.changes, &upserts.rows),
            None => Ok(()),
        }
    }
}

impl<T> Step<T> {
    pub(crate) fn prepared(&self) -> &Arc<T> {
        match self {
            Self::Rows { prepared, .. }
            | Self::Contested { prepared, .. }
            | Self::Truncate(prepared) => prepared,
        }
    }
}

/// Folds and prepares.
pub(crate) async fn plan<C: Tables>(
    session: &mut SqlSession<C>,
    options: &Options,
    slices: &[ChangeSlice],
) -> Result<Work<C::Table>, Failure> {
    let mut tables: BTreeMap<Target, Vec<Step<C::Table>>> = BTreeMap::new();
    let mut resolved = Outcome::default();
    let mut rejected = Vec::new();
    let now_ms = Utc::now().timestamp_millis();
    for slice in slices {
        let target = Target::of(&options.table, &slice.changes.table)?;
        let place = |row: usize| (slice.batch, slice.rows.of(row));
        let Some(lent) = session.lend(options, &target, &slice.changes).await? else {
            // The table to truncate does not exist.
            for row in 0..slice.changes.len() {
                match truncates(options, &slice.changes, row) {
                    Ok(true) => resolved.written += 1,
                    Ok(false) => resolved.kept += 1,
                    Err((rule, reason)) => {
                        let (batch, at) = place(row);
                        rejected.push(rejection(batch, at, rule, None, reason));
                    }
                }
            }
            continue;
        };
        if !lent.rejected.is_empty() {
            for row in lent.rejected {
                let (batch, at) = place(row.row);
                rejected.push(rejection(batch, at, row.rule, row.field, row.reason));
            }
            continue;
        }
        resolved.left_out += lent.left_out;
        let mut slice = ChangeSlice {
            changes: lent.changes,
            ..slice.clone()
        };
        let key = key_columns(options, &slice.changes)?;
        let prepared = session
            .prepare(options, &target, &slice.changes, &key)
            .await?;
        for &column in prepared.layout().left_out {
            resolved.left_out += count_values(&slice.changes, column);
            // What is not written makes no change incomplete (R14).
            slice.changes.unset[column] = None;
            if let Some(mask) = slice.changes.not_carried.get_mut(column) {
                *mask = None;
            }
        }
        for row in refuse_skewed(&slice.changes, &options.conflict, now_ms)? {
            let (batch, at) = place(row.row);
            rejected.push(rejection(batch, at, row.rule, row.field, row.reason));
        }
        let steps = tables.entry(target).or_default();
        for segment in segments(&slice.changes) {
            let rows = match segment {
                Segment::Truncate(row) => {
                    match truncates(options, &slice.changes, row) {
                        Ok(true) => {
                            steps.push(Step::Truncate(prepared.clone()));
                            resolved.written += 1;
                        }
                        Ok(false) => resolved.kept += 1,
                        Err((rule, reason)) => {
                            let (batch, at) = place(row);
                            rejected.push(rejection(batch, at, rule, None, reason));
                        }
                    }
                    continue;
                }
                Segment::Rows(rows) => rows,
            };
            let segment = if rows.len() == slice.changes.len() {
                slice.changes.clone()
            } else {
                let indices: Vec<u32> = rows.clone().map(|row| row as u32).collect();
                slice.changes.take(&indices).map_err(Error::configuration)?
            };
            let connection = &mut session.connection;
            let (segment, spelling) =
                with_normal_keys(connection, options, &prepared, segment).await?;
            if takes_resolver(options, &segment, session.conflict_log.may_wait)? {
                let layout = prepared.layout();
                let spelling = spelling.map(|spelling| spelling.placed(&layout.indices));
                steps.push(Step::Contested {
                    prepared: prepared.clone(),
                    changes: Box::new(ContestedChanges {
                        changes: layout.place(&segment)?,
                        spelling,
                        batch: slice.batch,
                        rows: slice.rows.pick(&rows.collect::<Vec<_>>()),
                    }),
                });
                continue;
            }
            let folded = fold(&segment, &key, &options.conflict, options.delete)?;
            resolved.superseded += folded.superseded;
            resolved.kept += folded.kept;
            for row in folded.rejected {
                let (batch, at) = place(rows.start + row.row);
                rejected.push(rejection(batch, at, row.rule, row.field, row.reason));
            }
            for mut round in folded.rounds {
                if let Some(spelling) = &spelling {
                    spelling.restore(&mut round.upserts, &round.upsert_rows)?;
                }
                let numbers = round.upsert_rows.iter().chain(&round.delete_rows);
                let places = numbers
                    .map(|&row| place(rows.start + row as usize))
                    .collect();
                steps.push(Step::Rows {
                    prepared: prepared.clone(),
                    load: Load::Round {
                        round: Arc::new(round),
                        places,
                    },
                });
            }
        }
    }
    if !rejected.is_empty() {
        rejected.sort_by_key(|change: &RejectedChange| (change.batch, change.row));
        return Err(Failure::Error(Error::Rejected(rejected)));
    }
    Ok(Work {
        tables: in_order_of_references(tables.into_values().collect()),
        resolved,
    })
}

enum Segment {
    Rows(std::ops::Range<usize>),
    Truncate(usize),
}

/// The rows between truncates, and the truncates.
fn segments(changes: &Changes) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut start = 0;
    for (row, operation) in changes.operations.iter().enumerate() {
        if *operation == Operation::Truncate {
            if start < row {
                segments.push(Segment::Rows(start..row));
            }
            segments.push(Segment::Truncate(row));
            start = row + 1;
        }
    }
    if start < changes.len() {
        segments.push(Segment::Rows(start..changes.len()));
    }
    segments
}

/// Whether a truncate is applied; the rule and the reason where it is refused.
fn truncates(options: &Options, changes: &Changes, row: usize) -> Result<bool, (String, String)> {
    if options.truncate == TruncateMode::Ignore || options.delete == DeleteMode::Ignore {
        return Ok(false);
    }
    let origin = changes.origins[row] as usize;
    if options.truncate == TruncateMode::Apply || changes.records.partition(origin).single {
        return Ok(true);
    }
    Err((
        "R13 truncate".to_owned(),
        "the topic has several partitions, so the truncate has no place in the order of the rows: write truncate = \"apply\" or \"ignore\" in the sink".to_owned(),
    ))
}

pub(crate) fn rejection(
    batch: usize,
    row: usize,
    rule: String,
    field: Option<String>,
    reason: String,
) -> RejectedChange {
    RejectedChange {
        batch,
        row,
        rule,
        field,
        reason,
    }
}

/// Every table after those that its foreign keys point to; by name where they go in a circle.
fn in_order_of_references<T: PreparedTable>(mut rest: Vec<Vec<Step<T>>>) -> Vec<Vec<Step<T>>> {
    rest.retain(|steps| !steps.is_empty());
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let waits = |steps: &Vec<Step<T>>| {
            let table = steps[0].prepared();
            rest.iter()
                .any(|other| table.refers_to(other[0].prepared()))
        };
        let next = rest.iter().position(|steps| !waits(steps)).unwrap_or(0);
        ordered.push(rest.remove(next));
    }
    ordered
}

//! Collects decisions and builds the result: rows, masks, and one verdict for each change.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::interleave;
use arrow::error::ArrowError;
use syncline_connectors::conflict::{Conflict, ConflictType, Decisions, Verdict, Winner};
use syncline_connectors::error::RejectedRow;

use super::column::{Computed, Refused};
use super::mask::{Mask, if_any, no_rows, without};
use super::rules::Rules;
use super::sides::{Difference, Sides};

/// The decisions so far.
pub(super) struct Outcome {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) conflicts: Vec<Conflict>,
    /// One entry for each column.
    pub(super) columns: Vec<ColumnOutcome>,
    refused: BTreeMap<usize, RejectedRow>,
}

/// The decisions about one column.
pub(super) struct ColumnOutcome {
    /// The rows that take the source's value.
    pub(super) take: Mask,
    /// The computed values.
    pub(super) computed: Option<Computed>,
    /// The rows in which a strategy had to decide.
    pub(super) contested: Mask,
}

impl Outcome {
    /// The initial state: the target keeps every value.
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        let nothing = || ColumnOutcome {
            take: no_rows(rows),
            computed: None,
            contested: no_rows(rows),
        };
        Self {
            verdicts: vec![Verdict::Keep; rows],
            conflicts: Vec::new(),
            columns: (0..columns).map(|_| nothing()).collect(),
            refused: BTreeMap::new(),
        }
    }

    pub(super) fn set_verdict(&mut self, rows: &Mask, verdict: Verdict) {
        for row in rows.set_indices() {
            self.verdicts[row] = verdict;
        }
    }

    pub(super) fn conflict(
        &mut self,
        row: usize,
        kind: ConflictType,
        winner: Winner,
        reason: &'static str,
    ) {
        self.conflicts.push(Conflict {
            row: row as u32,
            kind,
            winner,
            reason,
        });
    }

    /// Rejects changes; the first reason for a change stays.
    pub(super) fn refuse(&mut self, rows: &Mask, rule: &str, field: Option<&str>, reason: &str) {
        for row in rows.set_indices() {
            self.refuse_row(row, rule, field, reason);
        }
    }

    pub(super) fn refuse_all(&mut self, refused: Vec<Refused>, field: &str) {
        for Refused { row, rule, reason } in refused {
            self.refuse_row(row, rule, Some(field), &reason);
        }
    }

    fn refuse_row(&mut self, row: usize, rule: &str, field: Option<&str>, reason: &str) {
        self.refused.entry(row).or_insert_with(|| RejectedRow {
            row,
            rule: rule.to_owned(),
            field: field.map(str::to_owned),
            reason: reason.to_owned(),
        });
    }

    /// `rows` without the rejected ones.
    pub(super) fn without_refused(&self, rows: Mask) -> Mask {
        if self.refused.is_empty() {
            return rows;
        }
        Mask::collect_bool(rows.len(), |row| {
            rows.value(row) && !self.refused.contains_key(&row)
        })
    }

    pub(super) fn is_refused(&self, row: usize) -> bool {
        !self.refused.is_empty() && self.refused.contains_key(&row)
    }

    /// Builds the resulting rows and everything else that the sink gets.
    pub(super) fn finish(
        mut self,
        rules: &Rules,
        sides: &Sides<'_>,
        differences: &[Option<Difference>],
    ) -> Result<Decisions, ArrowError> {
        for &row in self.refused.keys() {
            self.verdicts[row] = Verdict::Reject;
        }
        if !self.conflicts.is_sorted_by_key(|conflict| conflict.row) {
            self.conflicts.sort_by_key(|conflict| conflict.row);
        }
        let all_met = !sides.met.has_false();
        // For each row, the array and the index to take a value from; filled again for each column.
        let mut places: Vec<(usize, usize)> = (0..sides.rows).map(|row| (0, row)).collect();
        let verdicts = &self.verdicts;
        let written = Mask::collect_bool(sides.rows, |row| verdicts[row] == Verdict::Write);
        let mut columns = Vec::with_capacity(self.columns.len());
        let mut untouched = Vec::with_capacity(self.columns.len());
        let mut contested = Vec::with_capacity(self.columns.len());
        let refused = std::mem::take(&mut self.refused);
        for (index, outcome) in self.columns.into_iter().enumerate() {
            let (source, target) = (sides.source(index), sides.target.rows.column(index));
            if rules.columns[index].is_key {
                columns.push(source.clone());
                untouched.push(None);
                contested.push(None);
                continue;
            }
            let take = &outcome.take & &written;
            let computed = outcome.computed.as_ref();
            let computed = computed.filter(|computed| (&computed.rows & &written).has_true());
            let mut left = without(&written, &take);
            if let Some(computed) = computed {
                left = without(&left, &computed.rows);
            }
            let differs = differences[index]
                .as_ref()
                .map(|difference| &difference.sides);
            let column = match (computed, differs) {
                (Some(computed), _) => assemble_column(
                    source,
                    target,
                    &take,
                    Some((computed, &written)),
                    &mut places,
                )?,
                // If every change meets a row and equal values have equal bytes, both sides have
                // the same bytes.
                (None, Some(differs)) if all_met && rules.columns[index].equality.is_exact() => {
                    if !(&take & differs).has_true() {
                        target.clone()
                    } else if !without(differs, &take).has_true() && sides.sent_all(index) {
                        source.clone()
                    } else {
                        assemble_column(source, target, &take, None, &mut places)?
                    }
                }
                _ => assemble_column(source, target, &take, None, &mut places)?,
            };
            columns.push(column);
            untouched.push(if_any(left));
            let mut disputed = outcome.contested;
            if !refused.is_empty() {
                disputed = Mask::collect_bool(disputed.len(), |row| {
                    disputed.value(row) && !refused.contains_key(&row)
                });
            }
            contested.push(if_any(disputed));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(sides.rows));
        Ok(Decisions {
            rows: RecordBatch::try_new_with_options(rules.schema.clone(), columns, &options)?,
            verdicts: self.verdicts,
            untouched,
            contested,
            conflicts: self.conflicts,
            rejected: refused.into_values().collect(),
        })
    }
}

/// Builds a column: the source's values where taken, computed values where written, otherwise the
/// target's.
fn assemble_column(
    source: &ArrayRef,
    target: &ArrayRef,
    take: &Mask,
    computed: Option<(&Computed, &Mask)>,
    places: &mut [(usize, usize)],
) -> Result<ArrayRef, ArrowError> {
    if computed.is_none() && !take.has_true() {
        return Ok(target.clone());
    }
    if computed.is_none() && !take.has_false() {
        return Ok(source.clone());
    }
    for (row, (place, taken)) in places.iter_mut().zip(take.iter()).enumerate() {
        *place = (usize::from(taken), row);
    }
    let mut sides: Vec<&dyn Array> = vec![target, source];
    if let Some((computed, written)) = computed {
        sides.push(&computed.values);
        for (index, row) in computed.rows.set_indices().enumerate() {
            if written.value(row) {
                places[row] = (2, index);
            }
        }
    }
    interleave(&sides, places)
}

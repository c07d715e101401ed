//! Decides one column that both sides changed.
//!
//! A strategy either takes the value of one side or computes a new value. It sees contested rows
//! only. Computed values are compact: one for each contested row, in order.
//!
//! A null side loses against a value under `union`, `concat` and `json_merge`, counts as 0 under
//! `sum`, is the smallest value under `max` and the largest under `min`. If the type of the changes
//! cannot represent the target's value (a foreign value), nothing is computed with it: the change
//! is rejected (R3).

mod json;
mod list;
mod order;
mod sum;
mod text;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use syncline_connectors::change::Logical;

use super::compare::Equality;
use super::expression::{ColumnExpression, Values};
use super::mask::{Mask, filter_of, no_rows, scatter, valid_rows, without};

/// The strategy that decides a column.
#[derive(Debug)]
pub(super) enum Rule {
    Source,
    Target,
    Newest,
    Oldest,
    /// Takes the newer row's value if there are versions, otherwise that of the winner of a tie.
    /// Without a base, a null loses against a value first.
    Merge,
    Max,
    Min,
    Sum,
    Union,
    Concat,
    Coalesce,
    JsonMerge,
    Manual,
    Expression(ColumnExpression),
}

/// One column with the rows in which it has to be decided.
pub(super) struct ContestedColumn<'a> {
    pub(super) field: &'a Field,
    pub(super) equality: Equality,
    pub(super) source: &'a ArrayRef,
    pub(super) target: &'a ArrayRef,
    /// The base's values, null where unknown; `None` if the base has no values.
    pub(super) base: Option<&'a ArrayRef>,
    /// The contested rows.
    pub(super) rows: &'a Mask,
    /// The separator of `concat`.
    pub(super) separator: &'a str,
}

/// The computed values of a column.
#[derive(Debug)]
pub(super) struct Computed {
    /// The rows that have a computed value.
    pub(super) rows: Mask,
    /// One value for each of these rows.
    pub(super) values: ArrayRef,
    /// The rows in which the computed value differs from the source's.
    pub(super) not_source: Mask,
    /// The rows in which the computed value differs from the target's.
    pub(super) not_target: Mask,
}

/// A row whose change is rejected because no value can be computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) row: usize,
    pub(super) rule: &'static str,
    pub(super) reason: String,
}

/// The decision about the contested rows of a column. A row that is neither in `take` nor computed
/// keeps the target's value.
#[derive(Debug)]
pub(super) struct Decided {
    /// The rows that take the source's value.
    pub(super) take: Mask,
    pub(super) computed: Option<Computed>,
    pub(super) refused: Vec<Refused>,
}

impl Decided {
    pub(super) fn take(take: Mask) -> Self {
        Self {
            take,
            computed: None,
            refused: Vec::new(),
        }
    }
}

impl Rule {
    /// Whether the rule computes with the target's value.
    pub(super) fn computes(&self) -> bool {
        matches!(
            self,
            Self::Max | Self::Min | Self::Sum | Self::Union | Self::Concat | Self::JsonMerge
        )
    }

    /// The types that the rule accepts, for a message; `None` if it accepts the type of `field`.
    pub(super) fn accepted_types(&self, field: &Field) -> Option<&'static str> {
        let data_type = field.data_type();
        let logical = Logical::of(field);
        let is_text = matches!(data_type, DataType::Utf8) && logical.is_none();
        let is_json = logical == Some(Logical::Json);
        let (fits, wanted) = match self {
            Self::Max | Self::Min => (
                order::fits(field),
                "numbers, dates, times, timestamps, text and booleans",
            ),
            Self::Sum => (sum::fits(field), "integers, decimals and floats"),
            Self::Union => (
                matches!(data_type, DataType::List(_)) || is_json,
                "lists and JSON arrays",
            ),
            Self::Concat => (is_text, "text"),
            Self::JsonMerge => (is_text || is_json, "JSON objects"),
            _ => return None,
        };
        (!fits).then_some(wanted)
    }
}

impl ContestedColumn<'_> {
    /// Takes the larger (`max`) or the smaller value (`min`); a value wins against null.
    pub(super) fn by_order(&self, max: bool) -> Result<Decided, ArrowError> {
        let take = order::source_is_beyond(self, max)?;
        Ok(Decided::take(&take & self.rows))
    }

    /// Takes the source's value, unless it is null.
    pub(super) fn coalesce(&self) -> Decided {
        Decided::take(&valid_rows(self.source) & self.rows)
    }

    /// Computes `target + source − base`. The caller ensures that the base is known.
    pub(super) fn sum(&self) -> Result<Decided, ArrowError> {
        let sides = self.sides(self.rows)?;
        let values = sum::sum(self.field, &sides)?;
        let take = no_rows(self.rows.len());
        self.decide(self.rows, &sides, values, take, "C8 sum")
    }

    /// The target's items, followed by the items that only the source has.
    pub(super) fn union(&self) -> Result<Decided, ArrowError> {
        self.compute_on_both("C2 union", |sides| match self.field.data_type() {
            DataType::List(_) => list::union(&sides.source, &sides.target),
            _ => Ok(json::union(&sides.source, &sides.target)),
        })
    }

    /// The target's text, the separator and the source's text.
    pub(super) fn concat(&self) -> Result<Decided, ArrowError> {
        self.compute_on_both("C2 concat", |sides| {
            Ok(text::concat(&sides.source, &sides.target, self.separator))
        })
    }

    /// Merges objects key by key; three-way if the base is known.
    pub(super) fn json_merge(&self) -> Result<Decided, ArrowError> {
        self.compute_on_both("C2 json_merge", |sides| {
            Ok(json::merge(&sides.source, &sides.target, &sides.base))
        })
    }

    /// Takes the values of an expression.
    pub(super) fn computed(
        &self,
        rule: &'static str,
        values: Values,
    ) -> Result<Decided, ArrowError> {
        let sides = self.sides(self.rows)?;
        self.decide(self.rows, &sides, values, no_rows(self.rows.len()), rule)
    }

    /// Computes a value where both sides have one; otherwise takes the side that has one.
    fn compute_on_both(
        &self,
        rule: &'static str,
        compute: impl FnOnce(&Sides) -> Result<Values, ArrowError>,
    ) -> Result<Decided, ArrowError> {
        let (source, target) = (valid_rows(self.source), valid_rows(self.target));
        let take = &without(&source, &target) & self.rows;
        let both = &(&source & &target) & self.rows;
        if !both.has_true() {
            return Ok(Decided::take(take));
        }
        let sides = self.sides(&both)?;
        let values = compute(&sides)?;
        self.decide(&both, &sides, values, take, rule)
    }

    fn decide(
        &self,
        rows: &Mask,
        sides: &Sides,
        values: Values,
        take: Mask,
        rule: &'static str,
    ) -> Result<Decided, ArrowError> {
        let refused = if values.failed.is_empty() {
            Vec::new()
        } else {
            let indices: Vec<usize> = rows.set_indices().collect();
            let refusals = values.failed.iter().map(|&(index, reason)| Refused {
                row: indices[index],
                rule,
                reason: reason.to_owned(),
            });
            refusals.collect()
        };
        let not_source = self.equality.differ(&values.values, &sides.source)?;
        let not_target = self.equality.differ(&values.values, &sides.target)?;
        Ok(Decided {
            take,
            computed: Some(Computed {
                not_source: scatter(&not_source, rows),
                not_target: scatter(&not_target, rows),
                rows: rows.clone(),
                values: values.values,
            }),
            refused,
        })
    }

    fn sides(&self, rows: &Mask) -> Result<Sides, ArrowError> {
        let rows = filter_of(rows);
        let source = filter(self.source, &rows)?;
        Ok(Sides {
            base: match self.base {
                Some(base) => filter(base, &rows)?,
                None => new_null_array(source.data_type(), source.len()),
            },
            target: filter(self.target, &rows)?,
            source,
        })
    }
}

/// The compact values of the selected rows.
struct Sides {
    source: ArrayRef,
    target: ArrayRef,
    base: ArrayRef,
}

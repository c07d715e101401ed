//! How one column is decided, where both sides changed it.
//!
//! A strategy either takes one side's value, or computes a new one. It is asked about contested rows
//! only, and what it computes holds these rows alone, in their order: the other rows cost nothing.
//!
//! A null side gives way to the other under `union`, `concat` and `json_merge`, counts as 0 under
//! `sum`, and is the smallest under `max` and the largest under `min`. A value of the target that the
//! type of the changes cannot say (foreign) is never computed with: the change is rejected (R3).

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
use super::expression::ColumnExpression;
use super::mask::{Mask, filter_of, no_rows, scatter, valid_rows, without};

/// What decides a column.
#[derive(Debug)]
pub(super) enum Rule {
    Source,
    Target,
    Newest,
    Oldest,
    /// The newer row's value where there are versions, else who wins a tie; without a base a null
    /// gives way first.
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

/// One column, and the rows in which it is to be decided.
pub(super) struct Contest<'a> {
    pub(super) field: &'a Field,
    pub(super) equality: Equality,
    pub(super) source: &'a ArrayRef,
    pub(super) target: &'a ArrayRef,
    /// The base's values, null where they are not known; `None` where none is.
    pub(super) base: Option<&'a ArrayRef>,
    /// The contested rows.
    pub(super) rows: &'a Mask,
    /// What `concat` puts in between.
    pub(super) separator: &'a str,
}

/// New values.
#[derive(Debug)]
pub(super) struct Computed {
    /// The rows that have one.
    pub(super) rows: Mask,
    /// One for each of these rows.
    pub(super) values: ArrayRef,
    /// The rows in which it is not the source's value.
    pub(super) not_source: Mask,
    /// The rows in which it is not the target's value.
    pub(super) not_target: Mask,
}

/// A row for which there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) row: usize,
    pub(super) rule: &'static str,
    pub(super) reason: String,
}

/// What was decided about the contested rows of a column: a row that is in neither keeps the target's
/// value.
#[derive(Debug)]
pub(super) struct Decided {
    /// The rows that take the source's value.
    pub(super) take: Mask,
    pub(super) computed: Option<Computed>,
    pub(super) refused: Vec<Refused>,
}

/// Compact values, one for each row that they were asked for; and of these, by their index, the rows
/// that have none.
pub(super) struct Values {
    pub(super) values: ArrayRef,
    pub(super) failed: Vec<(usize, &'static str)>,
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
    /// Whether it computes with the target's value.
    pub(super) fn computes(&self) -> bool {
        matches!(
            self,
            Self::Max | Self::Min | Self::Sum | Self::Union | Self::Concat | Self::JsonMerge
        )
    }

    /// What it takes, for a message; `None` where that is every type, or this field is of one.
    pub(super) fn misfit(&self, field: &Field) -> Option<&'static str> {
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

impl Contest<'_> {
    /// The larger (`max`) or the smaller value; the one that is not null.
    pub(super) fn by_order(&self, max: bool) -> Result<Decided, ArrowError> {
        let take = order::source_is_beyond(self, max)?;
        Ok(Decided::take(&take & self.rows))
    }

    /// The source's value, unless it is null.
    pub(super) fn coalesce(&self) -> Decided {
        Decided::take(&valid_rows(self.source) & self.rows)
    }

    /// `target + source − base`; the caller sees to it that the base is known.
    pub(super) fn sum(&self) -> Result<Decided, ArrowError> {
        let sides = self.sides(self.rows)?;
        let values = sum::sum(self.field, &sides)?;
        let take = no_rows(self.rows.len());
        self.decide(self.rows, &sides, values, take, "C8 sum")
    }

    /// The target's items, then those that only the source has.
    pub(super) fn union(&self) -> Result<Decided, ArrowError> {
        self.of_both("C2 union", |sides| match self.field.data_type() {
            DataType::List(_) => list::union(&sides.source, &sides.target),
            _ => Ok(json::union(&sides.source, &sides.target)),
        })
    }

    /// The target's text, the separator, the source's text.
    pub(super) fn concat(&self) -> Result<Decided, ArrowError> {
        self.of_both("C2 concat", |sides| {
            Ok(text::concat(&sides.source, &sides.target, self.separator))
        })
    }

    /// Objects key by key, three-way where the base is known.
    pub(super) fn json_merge(&self) -> Result<Decided, ArrowError> {
        self.of_both("C2 json_merge", |sides| {
            Ok(json::merge(&sides.source, &sides.target, &sides.base))
        })
    }

    /// The value of an expression.
    pub(super) fn computed(
        &self,
        rule: &'static str,
        values: Values,
    ) -> Result<Decided, ArrowError> {
        let sides = self.sides(self.rows)?;
        self.decide(self.rows, &sides, values, no_rows(self.rows.len()), rule)
    }

    /// Computes where both sides have a value; else the one that has one.
    fn of_both(
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

/// The values of some rows alone.
struct Sides {
    source: ArrayRef,
    target: ArrayRef,
    base: ArrayRef,
}

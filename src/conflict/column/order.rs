//! `max` and `min`: take the larger or the smaller of two values.
//!
//! Numbers compare by value (NaN is the largest), dates, times and instants by time, text by its
//! bytes, and false is smaller than true. A null loses under both.

use arrow::array::{Array, AsArray};
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use syncline_connectors::change::Logical;
use syncline_connectors::conflict::Number;

use super::ContestedColumn;
use crate::conflict::compare::{Equality, normalize_floats};
use crate::conflict::mask::{Mask, true_rows, valid_rows, without};

/// Whether values of a field have an order.
pub(super) fn fits(field: &Field) -> bool {
    let data_type = field.data_type();
    match Logical::of(field) {
        Some(Logical::Numeric | Logical::Uuid | Logical::Bits(_)) => true,
        Some(_) => false,
        None => {
            data_type.is_numeric()
                || matches!(
                    data_type,
                    DataType::Utf8
                        | DataType::Boolean
                        | DataType::Date32
                        | DataType::Date64
                        | DataType::Time32(_)
                        | DataType::Time64(_)
                        | DataType::Timestamp(..)
                )
        }
    }
}

/// The rows in which the source's value wins.
pub(super) fn source_is_beyond(
    contest: &ContestedColumn<'_>,
    max: bool,
) -> Result<Mask, ArrowError> {
    let beyond = if contest.equality == Equality::Numeric {
        let source = contest.source.as_string::<i32>();
        let target = contest.target.as_string::<i32>();
        let mut beyond = vec![false; contest.rows.len()];
        for row in contest.rows.set_indices() {
            let both = source.is_valid(row) && target.is_valid(row);
            beyond[row] = both && {
                let order = Number::parse(source.value(row)).cmp(&Number::parse(target.value(row)));
                if max { order.is_gt() } else { order.is_lt() }
            };
        }
        Mask::from(beyond)
    } else {
        let (source, target) = (
            normalize_floats(contest.source),
            normalize_floats(contest.target),
        );
        true_rows(&if max {
            cmp::gt(&source, &target)?
        } else {
            cmp::lt(&source, &target)?
        })
    };
    let alone = without(&valid_rows(contest.source), &valid_rows(contest.target));
    Ok(&beyond | &alone)
}

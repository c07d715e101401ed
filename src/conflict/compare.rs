//! Finds the rows in which two columns differ. Two nulls are equal; a null and a value differ.
//!
//! Values compare by value: numbers numerically (`1.0` equals `1.00`, `-0.0` equals `0.0`, NaN
//! equals NaN), instants as instants, JSON documents by content, text by bytes, lists item by item.
//! One Arrow kernel compares a whole column; a document or number stored as text is parsed only if
//! its bytes differ.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, UInt64Array};
use arrow::compute::SortOptions;
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use arrow::error::ArrowError;
use syncline_connectors::change::Logical;
use syncline_connectors::conflict::{Number, canonical_json};

use super::mask::Mask;

/// How values of a column compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Equality {
    /// Compared by Arrow's kernels.
    Plain,
    /// Compared after `-0.0` becomes `0.0` and every NaN the same NaN.
    Float,
    /// A number stored as text.
    Numeric,
    /// A JSON document stored as text.
    Json,
    /// Lists, structs and maps.
    Nested,
}

impl Equality {
    pub(super) fn of(field: &Field) -> Self {
        match (Logical::of(field), field.data_type()) {
            (Some(Logical::Json), DataType::Utf8) => Self::Json,
            (Some(Logical::Numeric), DataType::Utf8) => Self::Numeric,
            (_, data_type) if data_type.is_floating() => Self::Float,
            (_, data_type) if data_type.is_nested() => Self::Nested,
            _ => Self::Plain,
        }
    }

    /// Whether equal values always have equal bytes.
    pub(super) fn is_exact(self) -> bool {
        self == Self::Plain
    }

    /// The rows in which two columns of the type differ.
    pub(super) fn differ(self, left: &ArrayRef, right: &ArrayRef) -> Result<Mask, ArrowError> {
        match self {
            Self::Plain => plain(left, right),
            Self::Float => plain(&normalize_floats(left), &normalize_floats(right)),
            Self::Numeric => texts(left, right, |left, right| {
                Number::parse(left).is_some_and(|number| Number::parse(right) == Some(number))
            }),
            Self::Json => texts(left, right, |left, right| {
                canonical_json(left).is_some_and(|text| canonical_json(right) == Some(text))
            }),
            Self::Nested => {
                let compare = arrow::array::make_comparator(left, right, SortOptions::default())?;
                Ok(Mask::collect_bool(left.len(), |row| {
                    compare(row, row).is_ne()
                }))
            }
        }
    }
}

/// The rows in which hashes differ; an unknown hash is null.
pub(super) fn hashes_differ(left: &UInt64Array, right: &UInt64Array) -> Result<Mask, ArrowError> {
    Ok(cmp::distinct(left, right)?.values().clone())
}

fn plain(left: &ArrayRef, right: &ArrayRef) -> Result<Mask, ArrowError> {
    // Both sides share the same memory: nothing differs.
    if Arc::ptr_eq(left, right) {
        return Ok(Mask::new_unset(left.len()));
    }
    Ok(cmp::distinct(left, right)?.values().clone())
}

/// Texts whose bytes differ are compared with `same`, which says whether they are one value.
fn texts(
    left: &ArrayRef,
    right: &ArrayRef,
    same: impl Fn(&str, &str) -> bool,
) -> Result<Mask, ArrowError> {
    let differ = plain(left, right)?;
    if !differ.has_true() {
        return Ok(differ);
    }
    let (left, right) = (left.as_string::<i32>(), right.as_string::<i32>());
    Ok(Mask::collect_bool(left.len(), |row| {
        differ.value(row)
            && !(left.is_valid(row)
                && right.is_valid(row)
                && same(left.value(row), right.value(row)))
    }))
}

/// Replaces negative zero by zero and every NaN by one NaN, so that Arrow's total order is the
/// order of numbers.
pub(super) fn normalize_floats(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>();
            let normal: Float32Array = values.unary(|value| {
                if value.is_nan() {
                    f32::NAN
                } else {
                    value + 0.0
                }
            });
            Arc::new(normal)
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            let normal: Float64Array = values.unary(|value| {
                if value.is_nan() {
                    f64::NAN
                } else {
                    value + 0.0
                }
            });
            Arc::new(normal)
        }
        _ => column.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    fn check(
        field: &Field,
        left: impl Array + 'static,
        right: impl Array + 'static,
        expect: &[bool],
    ) {
        let (left, right): (ArrayRef, ArrayRef) = (Arc::new(left), Arc::new(right));
        let equality = Equality::of(field);
        let found = equality.differ(&left, &right).expect("one type");
        assert_eq!(found.iter().collect::<Vec<_>>(), expect, "{field}");
        let turned = equality.differ(&right, &left).expect("one type");
        assert_eq!(turned, found, "{field}");
        let same = equality
            .differ(&left, &left.slice(0, left.len()))
            .expect("one type");
        assert!(!same.has_true(), "{field}");
    }

    #[test]
    fn values_compare_as_what_they_are_c5() {
        let of = |data_type: DataType| Field::new("c", data_type, true);
        check(
            &of(DataType::Int64),
            Int64Array::from(vec![Some(1), Some(1), None, None]),
            Int64Array::from(vec![Some(1), Some(2), Some(0), None]),
            &[false, true, true, false],
        );
        let text = |values: [Option<&str>; 4]| StringArray::from(values.to_vec());
        check(
            &of(DataType::Utf8),
            text([Some("a"), Some("1.0"), Some(""), None]),
            text([Some("A"), Some("1.00"), None, None]),
            &[true, true, true, false],
        );
        check(
            &Logical::Numeric.field("c"),
            text([Some("1.0"), Some("1"), Some("NaN"), None]),
            text([Some("1.00"), Some("2"), Some("nan"), Some("0")]),
            &[false, true, false, true],
        );
        check(
            &Logical::Json.field("c"),
            text([Some("{\"a\":1,\"b\":2}"), Some("[1]"), Some("{"), None]),
            text([
                Some("{\"b\":2.0, \"a\":1}"),
                Some("[2]"),
                Some("{ "),
                Some("null"),
            ]),
            &[false, true, true, true],
        );
        check(
            &of(DataType::Float64),
            Float64Array::from(vec![Some(0.0), Some(f64::NAN), Some(1.0), None]),
            Float64Array::from(vec![Some(-0.0), Some(-f64::NAN), Some(f64::NAN), Some(0.0)]),
            &[false, false, true, true],
        );
        let decimals = |values: [i128; 2]| {
            Decimal128Array::from(values.to_vec())
                .with_precision_and_scale(9, 2)
                .expect("fits")
        };
        check(
            &of(DataType::Decimal128(9, 2)),
            decimals([100, 5]),
            decimals([100, 6]),
            &[false, true],
        );
        let lists = |values: Vec<Option<Vec<Option<i32>>>>| {
            ListArray::from_iter_primitive::<Int32Type, _, _>(values)
        };
        let item = Field::new_list_field(DataType::Int32, true);
        check(
            &of(DataType::List(Arc::new(item))),
            lists(vec![
                Some(vec![Some(1), None]),
                Some(vec![Some(1)]),
                None,
                Some(vec![]),
            ]),
            lists(vec![
                Some(vec![Some(1), None]),
                Some(vec![None]),
                None,
                None,
            ]),
            &[false, true, false, true],
        );
    }
}

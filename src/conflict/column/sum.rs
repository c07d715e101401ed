//! `sum`: `target + source − base`, so that the increments of both sides are added (C8).
//!
//! A null counts as 0; if all three are null, the result is null. A sum that the column's type
//! cannot hold has no value, and the change is rejected.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, DecimalType, Field, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type, i256,
};
use arrow::error::ArrowError;

use super::{Sides, Values};

const OVERFLOW: &str = "the sum is out of the range of the column";

/// Whether values of a field can be added.
pub(super) fn fits(field: &Field) -> bool {
    field.data_type().is_numeric()
        && !matches!(
            field.data_type(),
            DataType::Float16 | DataType::Decimal32(..) | DataType::Decimal64(..)
        )
}

/// The sums for the selected rows.
pub(super) fn sum(field: &Field, sides: &Sides) -> Result<Values, ArrowError> {
    match *field.data_type() {
        DataType::Int8 => Ok(integers::<Int8Type>(sides)),
        DataType::Int16 => Ok(integers::<Int16Type>(sides)),
        DataType::Int32 => Ok(integers::<Int32Type>(sides)),
        DataType::Int64 => Ok(integers::<Int64Type>(sides)),
        DataType::UInt8 => Ok(integers::<UInt8Type>(sides)),
        DataType::UInt16 => Ok(integers::<UInt16Type>(sides)),
        DataType::UInt32 => Ok(integers::<UInt32Type>(sides)),
        DataType::UInt64 => Ok(integers::<UInt64Type>(sides)),
        DataType::Float32 => Ok(add::<Float32Type>(sides, |target, source, base| {
            let sum = (f64::from(target) + f64::from(source) - f64::from(base)) as f32;
            finite(sum.into(), [target, source, base].map(f64::from)).map(|_| sum)
        })),
        DataType::Float64 => Ok(add::<Float64Type>(sides, |target, source, base| {
            finite(target + source - base, [target, source, base])
        })),
        DataType::Decimal128(precision, _) => Ok(add::<Decimal128Type>(sides, |t, s, b| {
            let narrow = t.checked_sub(b).and_then(|rest| rest.checked_add(s));
            let wide = || (i256::from_i128(t) + i256::from_i128(s) - i256::from_i128(b)).to_i128();
            let sum = narrow.or_else(wide)?;
            Decimal128Type::is_valid_decimal_precision(sum, precision).then_some(sum)
        })),
        DataType::Decimal256(precision, _) => Ok(add::<Decimal256Type>(sides, |t, s, b| {
            let sum = t.checked_sub(b)?.checked_add(s)?;
            Decimal256Type::is_valid_decimal_precision(sum, precision).then_some(sum)
        })),
        ref other => Err(ArrowError::InvalidArgumentError(format!(
            "{other} cannot be added"
        ))),
    }
}

fn integers<T: ArrowPrimitiveType>(sides: &Sides) -> Values
where
    T::Native: Into<i128> + TryFrom<i128>,
{
    add::<T>(sides, |target, source, base| {
        let sum: i128 = target.into() + source.into() - base.into();
        T::Native::try_from(sum).ok()
    })
}

/// `None` if the sum overflowed: it is infinite, but none of its operands is.
fn finite(sum: f64, of: [f64; 3]) -> Option<f64> {
    let holds = sum.is_finite() || of.iter().any(|value| !value.is_finite());
    holds.then_some(sum)
}

fn add<T: ArrowPrimitiveType>(
    sides: &Sides,
    sum: impl Fn(T::Native, T::Native, T::Native) -> Option<T::Native>,
) -> Values {
    let (target, source, base) = (
        sides.target.as_primitive::<T>(),
        sides.source.as_primitive::<T>(),
        sides.base.as_primitive::<T>(),
    );
    let mut failed = Vec::new();
    let value = |array: &PrimitiveArray<T>, row: usize| match array.is_valid(row) {
        true => array.value(row),
        false => T::Native::default(),
    };
    let sums: PrimitiveArray<T> = (0..target.len())
        .map(|row| {
            if target.is_null(row) && source.is_null(row) && base.is_null(row) {
                return None;
            }
            let sum = sum(value(target, row), value(source, row), value(base, row));
            if sum.is_none() {
                failed.push((row, OVERFLOW));
            }
            sum
        })
        .collect();
    let values: ArrayRef = Arc::new(sums.with_data_type(sides.target.data_type().clone()));
    Values { values, failed }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float32Array, Float64Array, Int8Array, UInt8Array};

    use super::*;

    /// Compares the sums and the indices of the rows without a value.
    fn check<A: Array + Clone + 'static>(
        target: A,
        source: A,
        base: A,
        expect: A,
        failed: &[usize],
    ) {
        let field = Field::new("n", target.data_type().clone(), true);
        assert!(fits(&field));
        let sides = Sides {
            source: Arc::new(source),
            target: Arc::new(target),
            base: Arc::new(base),
        };
        let found = sum(&field, &sides).expect("they can be added");
        let expect: ArrayRef = Arc::new(expect);
        assert_eq!(&found.values, &expect);
        let rows: Vec<usize> = found.failed.iter().map(|(row, _)| *row).collect();
        assert_eq!(rows, failed);
    }

    #[test]
    fn sums_are_exact_or_have_no_value_c8() {
        check(
            Int8Array::from(vec![Some(100), Some(100), None, Some(5), None]),
            Int8Array::from(vec![Some(120), Some(120), None, None, Some(7)]),
            Int8Array::from(vec![Some(110), Some(50), None, Some(2), None]),
            Int8Array::from(vec![Some(110), None, None, Some(3), Some(7)]),
            &[1],
        );
        check(
            UInt8Array::from(vec![1, 200]),
            UInt8Array::from(vec![0, 250]),
            UInt8Array::from(vec![2, 250]),
            UInt8Array::from(vec![None, Some(200)]),
            &[0],
        );
        let cents = |values: Vec<Option<i128>>| {
            let cents = Decimal128Array::from(values).with_precision_and_scale(4, 2);
            cents.expect("they fit")
        };
        check(
            cents(vec![Some(150), Some(9_999)]),
            cents(vec![Some(25), Some(1)]),
            cents(vec![Some(5), Some(0)]),
            cents(vec![Some(170), None]),
            &[1],
        );
        check(
            Float64Array::from(vec![1.5, f64::MAX, f64::INFINITY]),
            Float64Array::from(vec![2.0, f64::MAX, 1.0]),
            Float64Array::from(vec![0.5, 0.0, 1.0]),
            Float64Array::from(vec![Some(3.0), None, Some(f64::INFINITY)]),
            &[1],
        );
        check(
            Float32Array::from(vec![f32::MAX]),
            Float32Array::from(vec![f32::MAX]),
            Float32Array::from(vec![0.0]),
            Float32Array::from(vec![None]),
            &[0],
        );
    }
}

//! Version columns of a batch, compared as instants or numbers (C5).

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, TimeUnit};

use crate::sql::keys::integers;

/// The version of every row.
pub(super) struct Versions {
    values: Values,
    nulls: Option<NullBuffer>,
}

enum Values {
    Integers(arrow::buffer::ScalarBuffer<i64>),
    Wide(Vec<i128>),
    Floats(Vec<f64>),
}

/// The change of a key that survives the others.
pub(super) struct Best {
    pub(super) row: u32,
    /// Whether no other change of the key has its version.
    pub(super) alone: bool,
}

impl Versions {
    /// The versions in a column; `None` where its type has no order of its own, as text, or where a
    /// target may tell fewer of them apart.
    pub(super) fn of(column: &ArrayRef) -> Option<Self> {
        let values = match column.data_type() {
            // A target may compare these only to the microsecond, or as floats.
            DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::UInt64 => return None,
            DataType::Decimal128(precision, _) if *precision > 18 => return None,
            DataType::Decimal128(_, _) => {
                Values::Wide(column.as_primitive::<Decimal128Type>().values().to_vec())
            }
            DataType::Float32 => {
                let values = column.as_primitive::<Float32Type>().values();
                Values::Floats(values.iter().map(|&value| value.into()).collect())
            }
            DataType::Float64 => {
                Values::Floats(column.as_primitive::<Float64Type>().values().to_vec())
            }
            _ => Values::Integers(integers(column)?),
        };
        Some(Self {
            values,
            nulls: column.nulls().cloned(),
        })
    }

    /// The row with the highest version (`newest`) or the lowest; of equal ones the last or the
    /// first. `None` where the versions do not decide: all null, or not comparable (NaN).
    pub(super) fn best(&self, rows: &[u32], newest: bool, last_of_equals: bool) -> Option<Best> {
        let mut best: Option<Best> = None;
        for &row in rows {
            if self
                .nulls
                .as_ref()
                .is_some_and(|nulls| nulls.is_null(row as usize))
            {
                continue;
            }
            let Some(held) = &mut best else {
                self.compare(row, row)?;
                best = Some(Best { row, alone: true });
                continue;
            };
            let order = self.compare(row, held.row)?;
            match if newest { order } else { order.reverse() } {
                Ordering::Less => {}
                Ordering::Greater => *held = Best { row, alone: true },
                Ordering::Equal => {
                    held.alone = false;
                    if last_of_equals {
                        held.row = row;
                    }
                }
            }
        }
        best
    }

    fn compare(&self, left: u32, right: u32) -> Option<Ordering> {
        let (left, right) = (left as usize, right as usize);
        match &self.values {
            Values::Integers(values) => Some(values[left].cmp(&values[right])),
            Values::Wide(values) => Some(values[left].cmp(&values[right])),
            Values::Floats(values) => values[left].partial_cmp(&values[right]),
        }
    }
}

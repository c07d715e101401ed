//! The keys of a batch as values that compare and sort without looking at their type again.
//!
//! Nearly every key is one integer or one text column: those are read in place. Anything else goes
//! through Arrow's row format, whose bytes compare as the values do. Since a round is sorted by key
//! anyway (R9), sorting is also what brings the changes of one key together.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int8Type, Int16Type, Int32Type, UInt8Type,
    UInt16Type, UInt32Type,
};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::change::Changes;
use crate::error::RejectedRow;

/// The key of every row of a batch.
pub(crate) enum Keys {
    Integers(ScalarBuffer<i64>),
    Bytes(BinaryArray),
    Rows(Rows),
}

impl Keys {
    /// The key columns of a batch.
    pub(crate) fn of(rows: &RecordBatch, key: &[usize]) -> Result<Self, ArrowError> {
        if let [column] = key {
            let column = rows.column(*column);
            if let Some(integers) = integers(column) {
                return Ok(Self::Integers(integers));
            }
            match column.data_type() {
                DataType::Utf8 => {
                    let text: &StringArray = column.as_string();
                    return Ok(Self::Bytes(BinaryArray::from(text.clone())));
                }
                DataType::Binary => return Ok(Self::Bytes(column.as_binary().clone())),
                _ => {}
            }
        }
        let columns: Vec<ArrayRef> = key
            .iter()
            .map(|&index| rows.column(index).clone())
            .collect();
        let fields = columns
            .iter()
            .map(|column| SortField::new(column.data_type().clone()))
            .collect();
        Ok(Self::Rows(
            RowConverter::new(fields)?.convert_columns(&columns)?,
        ))
    }

    /// Sorts rows that ascend by their key; those of one key stay in their order.
    pub(crate) fn sort(&self, rows: &mut [u32]) {
        match self {
            Self::Integers(values) => {
                if !rows.is_sorted_by_key(|&row| values[row as usize]) {
                    sort_integers(rows, values);
                }
            }
            Self::Bytes(values) => sort_bytes(rows, |row| values.value(row as usize)),
            Self::Rows(values) => sort_bytes(rows, |row| values.row(row as usize).data()),
        }
    }

    /// Whether two rows have one key.
    pub(crate) fn same(&self, left: u32, right: u32) -> bool {
        let (left, right) = (left as usize, right as usize);
        match self {
            Self::Integers(values) => values[left] == values[right],
            Self::Bytes(values) => values.value(left) == values.value(right),
            Self::Rows(values) => values.row(left) == values.row(right),
        }
    }
}

fn sort_integers(rows: &mut [u32], values: &[i64]) {
    let keys = rows.iter().map(|&row| values[row as usize]);
    let least = keys.clone().min().unwrap_or(0);
    let most = keys.max().unwrap_or(0);
    if u32::try_from(i128::from(most) - i128::from(least)).is_ok() {
        // Key and row in one word sort in one comparison.
        let pack = |&row: &u32| ((values[row as usize] - least) as u64) << 32 | u64::from(row);
        let mut packed: Vec<u64> = rows.iter().map(pack).collect();
        packed.sort_unstable();
        for (row, word) in rows.iter_mut().zip(packed) {
            *row = word as u32;
        }
    } else {
        let mut pairs: Vec<(i64, u32)> = rows
            .iter()
            .map(|&row| (values[row as usize], row))
            .collect();
        pairs.sort_unstable();
        for (row, pair) in rows.iter_mut().zip(pairs) {
            *row = pair.1;
        }
    }
}

fn sort_bytes<'a>(rows: &mut [u32], value: impl Fn(u32) -> &'a [u8]) {
    if rows.is_sorted_by(|&left, &right| value(left) <= value(right)) {
        return;
    }
    // Most keys differ in their first bytes, which need no second look at the column.
    let mut pairs: Vec<(u64, u32)> = rows.iter().map(|&row| (prefix(value(row)), row)).collect();
    pairs.sort_unstable_by(|left, right| {
        left.0
            .cmp(&right.0)
            .then_with(|| value(left.1).cmp(value(right.1)))
            .then(left.1.cmp(&right.1))
    });
    for (row, pair) in rows.iter_mut().zip(pairs) {
        *row = pair.1;
    }
}

/// The first eight bytes, so that numbers compare as the bytes do.
fn prefix(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = bytes.len().min(8);
    first[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(first)
}

/// A column of integers or of anything that Arrow stores as a signed or small integer.
pub(crate) fn integers(column: &ArrayRef) -> Option<ScalarBuffer<i64>> {
    fn widen<T: ArrowPrimitiveType>(column: &ArrayRef) -> ScalarBuffer<i64>
    where
        i64: From<T::Native>,
    {
        let values: &PrimitiveArray<T> = column.as_primitive();
        values.values().iter().map(|&value| value.into()).collect()
    }
    Some(match column.data_type() {
        DataType::Int8 => widen::<Int8Type>(column),
        DataType::Int16 => widen::<Int16Type>(column),
        DataType::Int32 => widen::<Int32Type>(column),
        DataType::UInt8 => widen::<UInt8Type>(column),
        DataType::UInt16 => widen::<UInt16Type>(column),
        DataType::UInt32 => widen::<UInt32Type>(column),
        DataType::Date32 => widen::<Date32Type>(column),
        DataType::Int64
        | DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(_, _)
        | DataType::Duration(_) => {
            let data = column.to_data();
            ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
        }
        _ => return None,
    })
}

/// What is wrong with the key of a row, where it has none (R2).
pub(crate) fn null_key(changes: &Changes, key: &[usize], row: usize) -> Option<RejectedRow> {
    let column = key.iter().copied().find(|&column| {
        changes.rows.column(column).is_null(row) || changes.is_unset(column, row)
    })?;
    let name = changes.rows.schema_ref().field(column).name().clone();
    Some(RejectedRow {
        row,
        rule: "R2 key".to_owned(),
        reason: format!("key column `{name}` has no value"),
        field: Some(name),
    })
}

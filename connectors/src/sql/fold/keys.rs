//! The keys of a batch as values that hash, compare and sort without looking at their type again.
//!
//! Nearly every key is one integer or one text column: those are read in place. Anything else goes
//! through Arrow's row format, whose bytes compare as the values do.

use std::cmp::Ordering;
use std::hash::BuildHasher;

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
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The key of every row of a batch.
pub(super) enum Keys {
    Integers(ScalarBuffer<i64>),
    Bytes(BinaryArray),
    Rows(Rows),
}

/// Which rows share a key.
pub(super) struct Groups {
    /// The row that each row's key was first seen in; a row that was not asked for is its own.
    pub(super) first: Vec<u32>,
    /// How many different keys there are.
    pub(super) count: usize,
}

impl Keys {
    /// The key columns of a batch.
    pub(super) fn of(rows: &RecordBatch, key: &[usize]) -> Result<Self, ArrowError> {
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

    /// Whether the keys of these rows ascend without a repetition.
    pub(super) fn ascend(&self, rows: &[u32]) -> bool {
        rows.windows(2)
            .all(|pair| self.compare(pair[0], pair[1]) == Ordering::Less)
    }

    /// Groups `rows` by key.
    pub(super) fn group(&self, rows: &[u32], length: usize) -> Groups {
        match self {
            Self::Integers(values) => group(
                rows,
                length,
                |row| values[row as usize],
                foldhash::fast::RandomState::default(),
            ),
            Self::Bytes(values) => group(
                rows,
                length,
                |row| values.value(row as usize),
                foldhash::fast::RandomState::default(),
            ),
            Self::Rows(values) => group(
                rows,
                length,
                |row| values.row(row as usize).data(),
                foldhash::fast::RandomState::default(),
            ),
        }
    }

    /// Sorts items by the key of the row that `row_of` names; does nothing where they are in order.
    pub(super) fn sort<T>(&self, items: &mut [T], row_of: impl Fn(&T) -> u32) {
        match self {
            Self::Integers(values) => {
                if !items.is_sorted_by_key(|item| values[row_of(item) as usize]) {
                    items.sort_unstable_by_key(|item| values[row_of(item) as usize]);
                }
            }
            _ => {
                let order = |a: &T, b: &T| self.compare(row_of(a), row_of(b));
                if !items.is_sorted_by(|a, b| order(a, b).is_le()) {
                    items.sort_unstable_by(order);
                }
            }
        }
    }

    fn compare(&self, left: u32, right: u32) -> Ordering {
        let (left, right) = (left as usize, right as usize);
        match self {
            Self::Integers(values) => values[left].cmp(&values[right]),
            Self::Bytes(values) => values.value(left).cmp(values.value(right)),
            Self::Rows(values) => values.row(left).cmp(&values.row(right)),
        }
    }
}

fn group<'a, V: std::hash::Hash + Eq + 'a>(
    rows: &[u32],
    length: usize,
    value: impl Fn(u32) -> V,
    hasher: foldhash::fast::RandomState,
) -> Groups {
    let mut first: Vec<u32> = (0..length as u32).collect();
    let mut table: HashTable<u32> = HashTable::with_capacity(rows.len());
    for &row in rows {
        let mine = value(row);
        let hash = hasher.hash_one(&mine);
        let entry = table.entry(
            hash,
            |&known| value(known) == mine,
            |&known| hasher.hash_one(value(known)),
        );
        match entry {
            Entry::Occupied(known) => first[row as usize] = *known.get(),
            Entry::Vacant(free) => {
                free.insert(row);
            }
        }
    }
    Groups {
        first,
        count: table.len(),
    }
}

/// A column of integers or of anything that Arrow stores as a signed or small integer.
pub(super) fn integers(column: &ArrayRef) -> Option<ScalarBuffer<i64>> {
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

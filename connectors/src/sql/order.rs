//! The changes of a write in the order of the source, whatever their table.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::Error;
use crate::record::Records;
use crate::sql::plan::ChangeSlice;

/// The changes of all slices in the order of the source, whatever their table.
pub(crate) struct Order<'a> {
    pub(crate) slices: &'a [ChangeSlice],
    /// The slice of each change, and its index in it.
    pub(crate) changes: Vec<(usize, usize)>,
}

impl<'a> Order<'a> {
    pub(crate) fn of(slices: &'a [ChangeSlice]) -> Self {
        let sources: Vec<*const Records> = slices
            .iter()
            .map(|slice| Arc::as_ptr(&slice.changes.records))
            .collect();
        // Which source of records each slice is from, by the first slice of it.
        let firsts: Vec<Option<usize>> = sources
            .iter()
            .map(|source| sources.iter().position(|first| first == source))
            .collect();
        let mut changes: Vec<(usize, usize)> = Vec::new();
        for (slice, of) in slices.iter().enumerate() {
            changes.extend((0..of.changes.len()).map(|index| (slice, index)));
        }
        // The changes of one record keep their order.
        changes
            .sort_by_key(|&(slice, index)| (firsts[slice], slices[slice].changes.origins[index]));
        Self { slices, changes }
    }

    /// How many changes there are.
    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// The slice of the change of this number, and its index in it.
    pub(crate) fn slice(&self, number: usize) -> (&'a ChangeSlice, usize) {
        let (slice, index) = self.changes[number];
        (&self.slices[slice], index)
    }

    /// The number of the slice of the change of this number.
    pub(crate) fn slice_number(&self, number: usize) -> usize {
        self.changes[number].0
    }

    /// The batch and the row of the change of this number.
    pub(crate) fn change_index(&self, number: usize) -> (usize, usize) {
        let (slice, index) = self.changes[number];
        let slice = &self.slices[slice];
        (slice.batch, slice.rows.of(index))
    }

    /// The numbers of `numbers` by the batch and row of their changes.
    pub(crate) fn by_index(&self, numbers: &[usize]) -> HashMap<(usize, usize), usize> {
        let numbers = numbers.iter();
        numbers
            .map(|&number| (self.change_index(number), number))
            .collect()
    }

    /// The changes of these numbers, by slice.
    pub(crate) fn take(&self, numbers: &[usize]) -> Result<Vec<ChangeSlice>, Error> {
        let mut indices: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &number in numbers {
            let (slice, index) = self.changes[number];
            indices.entry(slice).or_default().push(index);
        }
        let taken = indices.into_iter().map(|(slice, mut indices)| {
            indices.sort_unstable();
            self.slices[slice].take(&indices)
        });
        taken.collect()
    }
}

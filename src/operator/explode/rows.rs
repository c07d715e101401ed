//! The rows that `explode` makes.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray, UInt32Array, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use syncline_connectors::change::{Changes, Image, Operation};

use super::Explode;
use crate::operator::is_set;

/// The elements of a column of arrays, all in one array.
pub(super) struct Elements {
    values: ArrayRef,
    /// For each row its elements, or why there are none.
    pub(super) of: Vec<Result<Range<usize>, &'static str>>,
}

impl Elements {
    pub(super) fn of(column: &ArrayRef, no_kind: bool) -> Result<Self, ArrowError> {
        if let DataType::List(_) = column.data_type() {
            let lists = column.as_list::<i32>();
            let offsets = lists.value_offsets();
            let range = |row: usize| match lists.is_valid(row) {
                true => offsets[row] as usize..offsets[row + 1] as usize,
                false => 0..0,
            };
            return Ok(Self {
                values: lists.values().clone(),
                of: (0..lists.len()).map(|row| Ok(range(row))).collect(),
            });
        }
        let texts = column.as_string::<i32>();
        let mut values: Vec<Option<String>> = Vec::new();
        let mut of = Vec::with_capacity(texts.len());
        for text in texts {
            let Some(text) = text.filter(|_| !no_kind) else {
                of.push(Ok(0..0));
                continue;
            };
            of.push(match serde_json::from_str::<serde_json::Value>(text) {
                Ok(serde_json::Value::Array(elements)) => {
                    let start = values.len();
                    values.extend(elements.iter().map(|element| match element {
                        serde_json::Value::Null => None,
                        element => Some(element.to_string()),
                    }));
                    Ok(start..values.len())
                }
                Ok(serde_json::Value::Null) => Ok(0..0),
                Ok(_) | Err(_) => Err("the value is not an array"),
            });
        }
        Ok(Self {
            values: Arc::new(StringArray::from(values)),
            of,
        })
    }
}

/// A row that goes out.
pub(super) struct Out {
    /// The change that it comes from.
    pub(super) row: usize,
    pub(super) operation: Operation,
    /// Whether its values are those of the row before.
    pub(super) from_before: bool,
    /// Its element, and the element before.
    pub(super) element: Option<(bool, usize)>,
    pub(super) before: Option<usize>,
    pub(super) position: i32,
}

impl Explode {
    /// The rows that go out.
    pub(super) fn build(
        &self,
        changes: &Changes,
        outs: &[Out],
        after: &Elements,
        before: Option<&Elements>,
    ) -> Result<Changes, ArrowError> {
        let rows: Vec<u32> = outs.iter().map(|out| out.row as u32).collect();
        let taken = changes.take(&rows)?;
        let elements = match before {
            Some(before) => concat(&[&after.values, &before.values])?,
            None => after.values.clone(),
        };
        let behind = after.values.len();
        let place = |(of_before, element): (bool, usize)| match of_before {
            true => (behind + element) as u32,
            false => element as u32,
        };
        let element = |places: UInt32Array| -> Result<ArrayRef, ArrowError> {
            match elements.is_empty() {
                true => Ok(new_null_array(
                    self.schema.field(self.column).data_type(),
                    outs.len(),
                )),
                false => take(&elements, &places, None),
            }
        };
        let positions: ArrayRef =
            Arc::new(Int32Array::from_iter(outs.iter().map(|out| {
                (out.operation != Operation::Truncate).then_some(out.position)
            })));
        // A row that went has the values of the row before.
        let indices: Vec<(usize, usize)> = outs
            .iter()
            .enumerate()
            .map(|(at, out)| (usize::from(out.from_before), at))
            .collect();
        let image = taken.before.as_ref();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (index, column) in taken.rows.columns().iter().enumerate() {
            columns.push(match image {
                _ if index == self.column => {
                    element(outs.iter().map(|out| out.element.map(place)).collect())?
                }
                Some(image) => {
                    let both = [column.as_ref(), image.rows.column(index).as_ref()];
                    arrow::compute::interleave(&both, &indices)?
                }
                None => column.clone(),
            });
        }
        columns.push(positions.clone());
        let unset_of = |index: usize, masks: &[Option<BooleanBuffer>], of_image: bool| {
            let mask = BooleanBuffer::collect_bool(outs.len(), |at| {
                let out = &outs[at];
                if index == self.column {
                    return out.element.is_none();
                }
                match (out.from_before, image) {
                    (true, Some(image)) => of_image && is_set(&image.unset[index], at),
                    _ => masks.get(index).is_some_and(|mask| is_set(mask, at)),
                }
            });
            (mask.count_set_bits() > 0).then_some(mask)
        };
        let truncates =
            BooleanBuffer::collect_bool(outs.len(), |at| outs[at].operation == Operation::Truncate);
        let truncates = (truncates.count_set_bits() > 0).then_some(truncates);
        let width = taken.rows.num_columns();
        let masks = |masks: &[Option<BooleanBuffer>], of_image: bool| {
            let columns = (0..width).map(|index| unset_of(index, masks, of_image));
            columns.chain([truncates.clone()]).collect::<Vec<_>>()
        };
        let new_image = match image {
            None => None,
            Some(image) => {
                let present = BooleanBuffer::collect_bool(outs.len(), |at| {
                    image.present.value(at) && outs[at].before.is_some()
                });
                let absent: UInt32Array = (0..outs.len() as u32)
                    .map(|at| present.value(at as usize).then_some(at))
                    .collect();
                let mut columns = Vec::with_capacity(width + 1);
                for (index, column) in image.rows.columns().iter().enumerate() {
                    columns.push(match index == self.column {
                        true => element(
                            outs.iter()
                                .map(|out| out.before.map(|element| place((true, element))))
                                .collect(),
                        )?,
                        false => take(column, &absent, None)?,
                    });
                }
                columns.push(take(&positions, &absent, None)?);
                let unset = image.unset.iter().enumerate().map(|(index, mask)| {
                    let mask = mask.as_ref().filter(|_| index != self.column)? & &present;
                    (mask.count_set_bits() > 0).then_some(mask)
                });
                Some(Image {
                    unset: unset.chain([None]).collect(),
                    rows: RecordBatch::try_new(self.schema.clone(), columns)?,
                    present,
                })
            }
        };
        let key = changes.key.as_ref().map(|key| {
            let names = key.iter().cloned().chain([self.position.clone()]);
            names.collect::<Arc<[String]>>()
        });
        Ok(Changes {
            key,
            rows: RecordBatch::try_new(self.schema.clone(), columns)?,
            unset: masks(&taken.unset, true),
            not_carried: match taken.not_carried.is_empty() {
                true => Vec::new(),
                false => {
                    let mut carried = masks(&taken.not_carried, false);
                    carried[self.column] = None;
                    carried[width] = None;
                    carried
                }
            },
            before: new_image,
            operations: outs.iter().map(|out| out.operation).collect(),
            ..taken
        })
    }
}

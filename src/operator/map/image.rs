//! The rows before of a batch, mapped by the same expressions and at the same time.
//!
//! Each becomes what a row after of the same values would: a column that is only taken along or
//! renamed keeps its type, and what depends on a value that is not known is not known (R14). A row
//! before for which an expression has no value is dropped: its change goes on without.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;
use syncline_connectors::change::{Changes, Image};

use super::{Map, OperatorError};

impl Map {
    /// The rows before as they go out; `None` where none is left.
    pub(super) fn image(
        &self,
        changes: &Changes,
        image: &Image,
    ) -> Result<Option<Image>, OperatorError> {
        let len = changes.len();
        let places: Vec<u32> = image.present.set_indices().map(|row| row as u32).collect();
        let mut images = Changes {
            rows: image.rows.clone(),
            unset: image.unset.clone(),
            not_carried: Vec::new(),
            before: None,
            ..changes.clone()
        };
        if places.len() < len {
            // Of nothing, an expression would make something, or fail.
            images = images.take(&places).map_err(stop)?;
        }
        let mut failed = vec![false; places.len()];
        let values = self.scope.enter_again(&images);
        let (rows, [unset, _]) = self.outputs(&images, &values, |_, _, failure| {
            failed[failure.row] = true;
        })?;
        if places.len() == len && !failed.contains(&true) {
            let present = image.present.clone();
            return Ok(Some(Image {
                rows,
                unset,
                present,
            }));
        }
        let mut found = vec![None; len];
        for (at, &place) in places.iter().enumerate().filter(|(at, _)| !failed[*at]) {
            found[place as usize] = Some(at as u32);
        }
        if found.iter().all(Option::is_none) {
            return Ok(None);
        }
        let spread = |mask: BooleanBuffer| {
            let is_set = |row: usize| found[row].is_some_and(|at| mask.value(at as usize));
            let spread = BooleanBuffer::collect_bool(len, is_set);
            (spread.count_set_bits() > 0).then_some(spread)
        };
        let unset = unset.into_iter().map(|mask| spread(mask?)).collect();
        let present = BooleanBuffer::collect_bool(len, |row| found[row].is_some());
        let found = UInt32Array::from(found);
        let columns = rows.columns().iter();
        let columns = columns
            .map(|column| arrow::compute::take(column, &found, None))
            .collect::<Result<Vec<_>, _>>()
            .map_err(stop)?;
        Ok(Some(Image {
            rows: RecordBatch::try_new(rows.schema(), columns).map_err(stop)?,
            unset,
            present,
        }))
    }
}

fn stop(error: ArrowError) -> OperatorError {
    OperatorError::Stop(format!("map cannot build its rows before: {error}"))
}

//! What a person says of a conflict that waits, and the change that comes of it (C9).

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::BooleanBuffer;

use super::{QueueEntry, read_assignments, read_images};
use crate::change::{Changes, Image, Operation};
use crate::error::{Error, Result};

/// How a person decides a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Whose row it is.
    pub take: Take,
    /// Columns with values of their own on top of it, as `column=value`.
    pub set: Vec<String>,
    /// Who decides.
    pub by: String,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
}

/// Whose row is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The change applies.
    Source,
    /// The target's row stays.
    Target,
    /// The row becomes what both sides agreed on last.
    Base,
    /// The change is passed over without a decision; the target's row stays.
    Skip,
}

/// What came of a resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The entry as it is now.
    pub entry: QueueEntry,
    /// Changes that waited behind it and were applied by the sink's own strategy.
    pub replayed: u64,
    /// Changes that wait again, behind a further conflict of the key.
    pub waiting: u64,
}

impl Take {
    /// The name in the queue.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Base => "base",
            Self::Skip => "skip",
        }
    }
}

impl Resolution {
    /// What is kept of it in the queue: whose row, and which columns were set.
    pub(crate) fn taken(&self) -> String {
        let names = self.set.iter().filter_map(|set| set.split_once('='));
        let names: Vec<&str> = names.map(|(name, _)| name.trim()).collect();
        if names.is_empty() {
            self.take.name().to_owned()
        } else {
            format!("{}, set {}", self.take.name(), names.join(", "))
        }
    }

    /// The change that makes the target's row what was decided; `None` where it stays. `change` is the
    /// one that waits, `key` are its key columns.
    ///
    /// # Errors
    /// `Configuration` where there is no base, or where what is set fits no column.
    pub(crate) fn change(
        &self,
        entry: &QueueEntry,
        change: &Changes,
        key: &[usize],
    ) -> Result<Option<Changes>> {
        let schema = change.schema();
        let decided = match self.take {
            Take::Source if self.set.is_empty() => {
                return Ok(Some(Changes {
                    before: None,
                    ..change.clone()
                }));
            }
            Take::Target | Take::Skip if self.set.is_empty() => return Ok(None),
            Take::Skip => {
                return Err(Error::configuration(
                    "a conflict that is skipped sets nothing: take source, target or base",
                ));
            }
            Take::Source => Image {
                rows: change.rows.clone(),
                unset: change.unset.clone(),
                present: BooleanBuffer::new_set(1),
            },
            Take::Target => nothing(change),
            Take::Base => {
                let base = entry.rows.base.as_ref().ok_or_else(|| {
                    Error::configuration(
                        "this conflict has no base: the change carried no row before, take source or target",
                    )
                })?;
                read_images(&schema, &[Some(&base.0)])?
            }
        };
        let set = read_assignments(&schema, &self.set)?;
        for &column in key {
            if !is_unset(&set, column) {
                return Err(Error::configuration(format!(
                    "column {:?} is part of the key, which a resolution does not change",
                    schema.field(column).name()
                )));
            }
        }
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut unset = Vec::new();
        for column in 0..schema.fields().len() {
            let (rows, is_unset) = if key.contains(&column) {
                (&change.rows, false)
            } else if !is_unset(&set, column) {
                (&set.rows, false)
            } else {
                (&decided.rows, is_unset(&decided, column))
            };
            columns.push(rows.column(column).clone());
            unset.push(is_unset.then(|| BooleanBuffer::new_set(1)));
        }
        // Where the row is gone, what the change did not carry still gets its default.
        let carried = change.not_carried.iter().zip(&unset);
        let not_carried = carried.map(|(mask, unset)| mask.clone().filter(|_| unset.is_some()));
        Ok(Some(Changes {
            not_carried: not_carried.collect(),
            rows: RecordBatch::try_new(schema, columns).map_err(Error::configuration)?,
            unset,
            before: None,
            operations: vec![Operation::Update],
            ..change.clone()
        }))
    }
}

/// An image in which nothing is known.
fn nothing(change: &Changes) -> Image {
    Image {
        rows: change.rows.clone(),
        unset: vec![Some(BooleanBuffer::new_set(1)); change.rows.num_columns()],
        present: BooleanBuffer::new_set(1),
    }
}

fn is_unset(image: &Image, column: usize) -> bool {
    image.unset[column]
        .as_ref()
        .is_some_and(|mask| mask.value(0))
}

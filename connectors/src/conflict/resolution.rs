//! The decision of a person about a waiting conflict, and the change that it results in (C9).

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::BooleanBuffer;

use serde_json::Value;

use super::{ConflictPolicy, QueueEntry, Strategy, read_assignments, read_images};
use crate::change::{Changes, Image, Operation};
use crate::error::{Error, Result};

/// The decision of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The side whose row is taken.
    pub take: Take,
    /// Columns that get another value, as `column=value`.
    pub set: Vec<String>,
    /// The name of the person who decides.
    pub by: String,
    /// The time of the decision, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// The side whose row is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The change is applied.
    Source,
    /// The target's row is kept.
    Target,
    /// The row becomes the base: the last state on which both sides agreed.
    Base,
    /// The change is discarded without a decision; the target's row is kept.
    Skip,
}

/// The result of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The entry after the decision.
    pub entry: QueueEntry,
    /// The number of waiting changes that were applied, by the sink's own strategy.
    pub replayed: u64,
    /// The number of changes that wait again, for a new conflict of the key.
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
    /// The decision as the queue stores it: the side, and the columns that were set.
    pub(crate) fn taken(&self) -> String {
        let names = self.set.iter().filter_map(|set| set.split_once('='));
        let names: Vec<&str> = names.map(|(name, _)| name.trim()).collect();
        if names.is_empty() {
            self.take.name().to_owned()
        } else {
            format!("{}, set {}", self.take.name(), names.join(", "))
        }
    }

    /// The change that gives the target's row the decided values; `None` if the row is kept.
    /// `change` is the waiting change, `key` are its key columns.
    ///
    /// # Errors
    /// `Configuration` if there is no base, or if a value does not fit its column.
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
                    "a skipped conflict cannot set columns: take source, target or base",
                ));
            }
            Take::Source => Image {
                rows: change.rows.clone(),
                unset: change.unset.clone(),
                present: BooleanBuffer::new_set(1),
            },
            Take::Target => unknown_image(change),
            Take::Base => {
                let base = entry.rows.base.as_ref().ok_or_else(|| {
                    Error::configuration(
                        "this conflict has no base, because the change had no row before: take source or target",
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

impl Resolution {
    /// The columns of an entry that a person decides one by one, where the others merge as always; empty
    /// where the whole row waits for the person.
    pub(crate) fn disputed(
        entry: &QueueEntry,
        change: &Changes,
        policy: &ConflictPolicy,
    ) -> Vec<String> {
        let by_row = matches!(policy.strategy, Strategy::Manual | Strategy::Expression(_));
        if by_row || change.operations[0] == Operation::Delete {
            return Vec::new();
        }
        let columns: Value = serde_json::from_str(&entry.columns.0).unwrap_or_default();
        let named = columns
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name);
        let is_manual = |name: &&String| policy.columns.get(*name) == Some(&Strategy::Manual);
        named.filter(is_manual).cloned().collect()
    }

    /// The policy under which the change of an entry merges, with the disputed columns decided for one
    /// side; the base's values and those that are set come after it.
    pub(crate) fn merging(&self, policy: &ConflictPolicy) -> ConflictPolicy {
        let side = match self.take {
            Take::Source => Strategy::SourceWins,
            _ => Strategy::TargetWins,
        };
        let mut policy = policy.clone();
        for strategy in policy.columns.values_mut() {
            if *strategy == Strategy::Manual {
                *strategy = side.clone();
            }
        }
        policy
    }

    /// The values that come after the merge: those of the base for the disputed columns, and those that
    /// are set. `None` where there are none.
    ///
    /// # Errors
    /// As [`Resolution::change`].
    pub(crate) fn after_merge(
        &self,
        entry: &QueueEntry,
        change: &Changes,
        key: &[usize],
        disputed: &[String],
    ) -> Result<Option<Changes>> {
        let takes_base = self.take == Take::Base;
        let take = if takes_base { Take::Base } else { Take::Target };
        let rest = Self {
            take,
            ..self.clone()
        };
        let Some(mut values) = rest.change(entry, change, key)? else {
            return Ok(None);
        };
        if takes_base {
            let schema = values.schema();
            let set: Vec<&str> = self
                .set
                .iter()
                .filter_map(|set| Some(set.split_once('=')?.0.trim()))
                .collect();
            for (column, field) in schema.fields().iter().enumerate() {
                let decided =
                    disputed.contains(field.name()) || set.contains(&field.name().as_str());
                if !decided && !key.contains(&column) {
                    values.unset[column] = Some(BooleanBuffer::new_set(1));
                }
            }
        }
        Ok(Some(values))
    }
}

/// An image without any known value.
fn unknown_image(change: &Changes) -> Image {
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

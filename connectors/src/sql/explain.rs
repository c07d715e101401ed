//! What would become of one change now, and why: for a person who asks. Nothing is written.
//!
//! It reads what a sink would read ([`LockedRows`]); the decision is the resolver's own, so that what is
//! explained is what a write would do, whichever way it took.
//!
//! - duplicate: a change like the row is `Same`
//! - null: a change whose key holds a null is rejected (R2)
//! - delete: under delete mode `ignore` nobody is asked
//! - an open conflict of the key is left out of the decision and told beside it (C9)

mod read;

use arrow::array::{Array, RecordBatch, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Field, Schema};
use chrono::Utc;
use serde_json::{Map, Value};

pub(crate) use self::read::explain;
use super::decide::LockedRows;
use super::keys::null_key;
use super::version::refuse_skewed;
use super::{DeleteMode, Evolution, Options};
use crate::change::{Changes, Operation};
use crate::conflict::{
    Base, ConflictBatch, Decisions, Json, Place, Resolver, Sides, TargetRows, Verdict, write_image,
    write_key,
};
use crate::error::{Error, Result};
use crate::explanation::Explanation;

/// One change that somebody asks about.
pub(crate) struct Question<'a> {
    /// The target's name, unquoted.
    pub(crate) target: &'a str,
    /// One change, in the columns that have a place in the target.
    pub(crate) changes: &'a Changes,
    /// Its key columns.
    pub(crate) key: &'a [usize],
    pub(crate) options: &'a Options,
    /// Whether the target's table is there.
    pub(crate) table_exists: bool,
    /// Columns that have no place in it.
    pub(crate) unplaced: Vec<String>,
}

impl Question<'_> {
    /// The answer where nobody has to ask the target: a change that is refused before it gets there,
    /// and a delete that is left out.
    ///
    /// # Errors
    /// As [`refuse_skewed`]; `Configuration` where there is not one change of a row.
    pub(crate) fn without_asking(&self) -> Result<Option<Explanation>> {
        if self.changes.len() != 1 || self.changes.operations[0] == Operation::Truncate {
            return Err(Error::configuration(
                "one change of one row can be explained, and no truncate",
            ));
        }
        let policy = &self.options.conflict;
        let now_ms = Utc::now().timestamp_millis();
        let refused = match null_key(self.changes, self.key, 0) {
            Some(refused) => Some(refused),
            None => refuse_skewed(self.changes, policy, now_ms)?.pop(),
        };
        let ignored = self.options.delete == DeleteMode::Ignore
            && self.changes.operations[0] == Operation::Delete;
        let verdict = match &refused {
            Some(_) => Verdict::Reject,
            None if ignored => Verdict::Keep,
            None => return Ok(None),
        };
        Ok(Some(Explanation {
            verdict,
            rejected: refused,
            ..self.unanswered()
        }))
    }

    /// What would become of the change where the target says `locked` about its key.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub(crate) fn answer(
        &self,
        locked: &LockedRows,
        resolver: &dyn Resolver,
    ) -> Result<Explanation> {
        let base = match (&locked.shadow, &self.changes.before) {
            (Some(shadow), _) => shadow.base(),
            (None, Some(before)) => Base::Image(before),
            (None, None) => Base::None,
        };
        let held = &locked.held;
        let decisions = resolver.resolve(&ConflictBatch {
            changes: self.changes,
            target: held,
            base,
            tombstones: locked.tombstones.as_ref(),
        })?;
        let verdict = decisions.verdicts[0];
        let target = held.exists.value(0);
        let target = target.then(|| write_image(&held.rows, &held.foreign, 0));
        let result = match verdict {
            Verdict::Write => Some(write_image(&decisions.rows, &left(&decisions, held), 0)),
            Verdict::Delete if self.options.delete != DeleteMode::Soft => None,
            _ => target.clone(),
        };
        let base = match base {
            // The row that a delete takes away is its own base.
            _ if self.changes.operations[0] == Operation::Delete => None,
            Base::Image(base) if base.present.value(0) => {
                Some(write_image(&base.rows, &base.unset, 0))
            }
            _ => None,
        };
        let unanswered = self.unanswered();
        Ok(Explanation {
            verdict,
            conflict: decisions.conflicts.first().copied(),
            columns: self.contested(&decisions),
            rejected: decisions.rejected.first().cloned(),
            rows: Sides {
                base: base.map(Json),
                target: target.map(Json),
                result: result.map(Json),
                ..unanswered.rows
            },
            base_is_hashed: matches!(
                &locked.shadow,
                Some(super::shadow::Shadow::Hashes(hashes))
                    if hashes.columns.iter().any(|column| column.null_count() == 0)
            ),
            marked: held.marked.as_ref().is_some_and(|marked| marked.value(0)),
            tombstone: self.tombstone(locked),
            foreign: self.names(held.foreign.iter().map(is_set)),
            ..unanswered
        })
    }

    /// The columns of `changes` that are not among those of `placed`.
    pub(crate) fn missing(changes: &Changes, placed: &Changes) -> Vec<String> {
        let schema = changes.schema();
        let fields = schema.fields().iter();
        let missing = fields.filter(|field| placed.column(field.name()).is_none());
        missing.map(|field| field.name().clone()).collect()
    }

    /// What is known of the change alone.
    fn unanswered(&self) -> Explanation {
        let changes = self.changes;
        let origin = changes.origins[0] as usize;
        let partition = &changes.records.partition(origin).partition;
        Explanation {
            target: self.target.to_owned(),
            table_exists: self.table_exists,
            key: Json(write_key(&changes.rows, self.key, 0)),
            operation: changes.operations[0],
            place: Place {
                topic: partition.topic.to_string(),
                partition: partition.number,
                position: changes.records.entries[origin].offset,
                event_time_ms: changes.event_times_ms[0],
            },
            position: None,
            verdict: Verdict::Keep,
            conflict: None,
            columns: Json("{}".to_owned()),
            rejected: None,
            rows: Sides {
                source: Some(Json(write_image(&changes.rows, &changes.unset, 0))),
                ..Sides::default()
            },
            base_is_hashed: false,
            marked: false,
            tombstone: None,
            foreign: Vec::new(),
            unplaced: self.unplaced.clone(),
            open: None,
        }
    }

    fn contested(&self, decisions: &Decisions) -> Json {
        let policy = &self.options.conflict;
        let contested = self.names(decisions.contested.iter().map(is_set));
        let columns: Map<String, Value> = contested
            .into_iter()
            .map(|name| {
                let strategy = policy.columns.get(&name).unwrap_or(&policy.strategy);
                let strategy = strategy.name().into();
                (name, strategy)
            })
            .collect();
        Json(Value::Object(columns).to_string())
    }

    fn tombstone(&self, locked: &LockedRows) -> Option<Json> {
        let tombstones = locked
            .tombstones
            .as_ref()
            .filter(|tombstones| tombstones.is_valid(0))?;
        let name = self.options.conflict.version.as_ref()?;
        let field = self.changes.schema().field_with_name(name).ok()?.clone();
        let schema = Schema::new(vec![field.with_nullable(true)]);
        let rows = RecordBatch::try_new(schema.into(), vec![tombstones.clone()]).ok()?;
        Some(Json(write_image(&rows, &[], 0)))
    }

    /// The names of the columns for which it is true.
    fn names(&self, wanted: impl Iterator<Item = bool>) -> Vec<String> {
        let fields = self.changes.rows.schema_ref().fields();
        let wanted = fields.iter().zip(wanted).filter(|(_, wanted)| *wanted);
        wanted.map(|(field, _)| field.name().clone()).collect()
    }
}

/// The options by which a target is looked at: what it lacks is left out, and not made.
pub(crate) fn read_only_options(options: &Options) -> Options {
    Options {
        evolution: match options.evolution {
            Evolution::Evolve | Evolution::Lenient => Evolution::Ignore,
            evolution => evolution,
        },
        ..options.clone()
    }
}

/// Whether a write would make the table.
pub(crate) fn makes_tables(options: &Options) -> bool {
    matches!(options.evolution, Evolution::Evolve | Evolution::Lenient)
}

/// What a target without the table says about the one key of `changes`.
///
/// # Errors
/// Where Arrow cannot make the row.
pub(crate) fn nothing_held(changes: &Changes) -> Result<LockedRows> {
    let schema = changes.schema();
    let fields = schema.fields().iter();
    let fields: Vec<Field> = fields
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    let columns = fields.iter();
    let columns = columns
        .map(|field| new_null_array(field.data_type(), changes.len()))
        .collect();
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    Ok(LockedRows {
        held: TargetRows {
            rows: RecordBatch::try_new(schema.into(), columns).map_err(Error::configuration)?,
            exists: BooleanBuffer::new_unset(changes.len()),
            marked: None,
            foreign: vec![None; changes.rows.num_columns()],
        },
        shadow: None,
        tombstones: None,
        waiting: None,
    })
}

/// Where the row as it will be keeps a value that cannot be said.
fn left(decisions: &Decisions, held: &TargetRows) -> Vec<Option<BooleanBuffer>> {
    let both = decisions.untouched.iter().zip(&held.foreign);
    both.map(|masks| match masks {
        (Some(untouched), Some(foreign)) => Some(untouched & foreign),
        _ => None,
    })
    .collect()
}

fn is_set(mask: &Option<BooleanBuffer>) -> bool {
    mask.as_ref().is_some_and(|mask| mask.value(0))
}

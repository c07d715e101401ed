//! Names of columns, matched with or without their case.
//!
//! Sources and targets do not agree on the case of names: Oracle has `CONFIG` where PostgreSQL has
//! `config`. A name means the column that is spelled exactly so; else, under `case = "fold"`, the only
//! one that differs in nothing but its case. Where several do, it means none of them.
//!
//! - duplicate: two columns of the changes that mean one column of the target are a configuration error
//!   that names both.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Options;
use crate::change::{Changes, Image, has_no_kind};
use crate::conflict::ConflictPolicy;
use crate::error::{Error, Result};

/// Whether the case of a column's name counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// A name means the column that is spelled exactly so, else the only one that differs in its case
    /// alone.
    #[default]
    Fold,
    /// A name means the column that is spelled exactly so.
    Exact,
}

impl Case {
    /// The place of the column that `name` means.
    pub fn find<'n>(self, name: &str, names: impl Iterator<Item = &'n str>) -> Option<usize> {
        let names: Vec<&str> = names.collect();
        if let Some(place) = names.iter().position(|known| *known == name) {
            return Some(place);
        }
        if self == Self::Exact {
            return None;
        }
        let mut alike = (0..names.len()).filter(|&place| same_but_case(names[place], name));
        alike.next().filter(|_| alike.next().is_none())
    }
}

/// Whether two names differ in their case at most.
pub(crate) fn same_but_case(left: &str, right: &str) -> bool {
    left == right || left.to_lowercase() == right.to_lowercase()
}

/// Changes with their columns spelled as the sink's options spell them: `key`, `version` and
/// `conflict.columns`. Everything after this finds a column by its name.
///
/// # Errors
/// Where Arrow refuses the schema, which it does not.
pub fn spelled(options: &Options, changes: Changes) -> Result<Changes> {
    let changes = without_placeholders(options.case, changes)?;
    let schema = changes.schema();
    let mut renamed: Vec<(usize, String)> = Vec::new();
    for name in written(options) {
        let fields = schema.fields().iter().map(|field| field.name().as_str());
        if let Some(place) = options.case.find(name, fields)
            && schema.field(place).name() != name
            && !renamed.iter().any(|(other, _)| *other == place)
        {
            renamed.push((place, name.clone()));
        }
    }
    if renamed.is_empty() {
        return Ok(changes);
    }
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    let mut key = changes.key.as_ref().map(|key| key.to_vec());
    for (place, name) in renamed {
        let old = fields[place].name().clone();
        for part in key.iter_mut().flatten().filter(|part| **part == old) {
            part.clone_from(&name);
        }
        fields[place] = Arc::new(fields[place].as_ref().clone().with_name(name));
    }
    let schema: SchemaRef = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let before = changes.before.map(|before| {
        Ok::<_, Error>(Image {
            rows: with_schema(&before.rows, &schema)?,
            ..before
        })
    });
    Ok(Changes {
        rows: with_schema(&changes.rows, &schema)?,
        before: before.transpose()?,
        key: key.map(Arc::from),
        ..changes
    })
}

/// Without the columns that only stand for a name, since no change carries them, where the changes carry
/// a column of that name in another case: a key `id` of the settings, and a column `ID`.
fn without_placeholders(case: Case, changes: Changes) -> Result<Changes> {
    if case == Case::Exact {
        return Ok(changes);
    }
    let schema = changes.schema();
    let fields = schema.fields();
    let is_placeholder = |place: usize| {
        let not_carried = changes.not_carried.get(place).and_then(Option::as_ref);
        let count = not_carried.map_or(0, |mask| mask.count_set_bits());
        has_no_kind(&fields[place]) && count == changes.len()
    };
    let is_carried_as_another = |place: usize| {
        let mut others = (0..fields.len()).filter(|&other| other != place);
        others.any(|other| {
            !is_placeholder(other) && same_but_case(fields[other].name(), fields[place].name())
        })
    };
    let kept: Vec<usize> = (0..fields.len())
        .filter(|&place| !(is_placeholder(place) && is_carried_as_another(place)))
        .collect();
    changes.project(&kept).map_err(Error::configuration)
}

fn with_schema(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), rows.columns().to_vec(), &options)
        .map_err(Error::configuration)
}

/// The columns that the options name.
fn written(options: &Options) -> impl Iterator<Item = &String> {
    let ConflictPolicy {
        version, columns, ..
    } = &options.conflict;
    let key = options.key.iter().flatten();
    key.chain(version).chain(columns.keys())
}

/// Says in the log that a column goes to one of another spelling: once in the life of the process.
pub(crate) fn tell(target: &str, from: &str, to: &str) {
    static TOLD: Mutex<Option<HashSet<(String, String)>>> = Mutex::new(None);
    if from == to {
        return;
    }
    let Ok(mut told) = TOLD.lock() else { return };
    let told = told.get_or_insert_with(HashSet::new);
    if told.insert((target.to_owned(), from.to_owned())) {
        tracing::info!("column {from} is written to {to} of table {target}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_itself_before_it_means_another_spelling() {
        let check = |case: Case, name: &str, names: &[&str], expect: Option<usize>| {
            assert_eq!(
                case.find(name, names.iter().copied()),
                expect,
                "{name} among {names:?}"
            );
        };
        check(Case::Fold, "CONFIG", &["id", "config"], Some(1));
        check(Case::Fold, "config", &["CONFIG", "config"], Some(1));
        check(Case::Fold, "Config", &["CONFIG", "config"], None);
        check(Case::Fold, "ÄRA", &["ära"], Some(0));
        check(Case::Fold, "other", &["config"], None);
        check(Case::Exact, "CONFIG", &["config"], None);
        check(Case::Exact, "config", &["config"], Some(0));
    }
}

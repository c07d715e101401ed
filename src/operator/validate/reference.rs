//! `reference`: the value is in another table.
//!
//! Every value of a batch is looked up before it comes here, with one request for what the cache of the
//! lookup does not hold. A null, a value that is not sent, a delete and a truncate are not looked up and pass;
//! a value that the table's column cannot hold is in no table. Rows of the table are seen as they are when
//! the batch goes through: a row that is written later, or by this pipeline, may not be there yet.

use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use syncline_connectors::change::Changes;
use syncline_connectors::sql::lookup::{Outcome, outcome};

use super::Rule;
use crate::lookup::Slot;

/// A column whose values are in another table.
pub(super) struct Reference {
    slot: Slot,
}

impl Reference {
    /// The rows whose value is not there.
    pub(super) fn missing(&self, changes: &Changes) -> BooleanBuffer {
        let answers = self.slot.take();
        let found = answers.of(changes);
        BooleanBuffer::collect_bool(changes.len(), |row| {
            found[row].is_some_and(|answer| outcome(answer) == Outcome::Missing)
        })
    }
}

/// A condition of a rule with `reference`.
pub(super) struct Referenced {
    pub(super) field: String,
    /// The condition as it is written in the rule.
    pub(super) rule: String,
    /// The reason to report for a row that breaks it.
    pub(super) reason: String,
    pub(super) reference: Reference,
}

/// The conditions of a rule with `reference`; each takes the next of `slots`. Columns that the rows do not have
/// are reported with the other conditions.
pub(super) fn compile<'s>(
    rule: &Rule,
    schema: &SchemaRef,
    slots: &mut impl Iterator<Item = &'s Slot>,
) -> Vec<Referenced> {
    let mut conditions = Vec::new();
    for question in rule.questions() {
        let slot = slots.next().cloned().unwrap_or_default();
        let Some((field, column)) = question.on.first() else {
            continue;
        };
        if schema.index_of(field).is_err() {
            continue;
        }
        let rule_text = format!(
            "reference = {{ lookup = \"{}\", column = \"{column}\" }}",
            question.lookup
        );
        conditions.push(Referenced {
            field: field.clone(),
            rule: match &rule.r#where {
                Some(text) => format!("{rule_text} where {text}"),
                None => rule_text,
            },
            reason: format!("{field} is not in {column} of {}", question.lookup),
            reference: Reference { slot },
        });
    }
    conditions
}

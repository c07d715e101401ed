//! What a sink takes of the changes that reach it.

use arrow::error::ArrowError;
use syncline_connectors::change::Changes;

use super::{ChainError, Flow};
use crate::operator::WARNINGS;
use crate::run::sink_keys::SinkKeys;

/// The changes as the sink takes them.
pub(super) fn by_key(flow: Flow, keys: &SinkKeys) -> Result<Flow, ChainError> {
    let mut out = Flow {
        changes: Vec::with_capacity(flow.changes.len()),
        tally: flow.tally,
    };
    for changes in flow.changes {
        let table = changes.table.clone();
        let changes = without_warnings(changes)
            .map_err(|error| ChainError::Keys(table.name.to_string(), error))?;
        let changes = keys.apply(changes, &mut out.tally);
        let changes = changes.map_err(|error| ChainError::Keys(table.name.to_string(), error))?;
        if !changes.is_empty() {
            out.changes.push(changes);
        }
    }
    Ok(out)
}

/// The changes without the column of warnings that no `map` kept.
fn without_warnings(changes: Changes) -> Result<Changes, ArrowError> {
    let Ok(warnings) = changes.rows.schema_ref().index_of(WARNINGS) else {
        return Ok(changes);
    };
    let others = (0..changes.rows.num_columns()).filter(|&index| index != warnings);
    changes.project(&others.collect::<Vec<usize>>())
}

//! What the rows of a batch ask for.

use arrow::array::{Array as _, ArrayRef};
use syncline_connectors::cache::Key;
use syncline_connectors::change::{Changes, Operation};
use syncline_connectors::error::Result;

use super::Types;

/// What a row asks for.
pub(super) enum Asked {
    /// Something that no row of the table can have.
    Nowhere,
    For(Vec<String>),
}

/// The key under which a cache keeps the answer.
pub(super) fn kept_as(prefix: [u8; 4], key: &[String]) -> Key {
    let mut kept = prefix.to_vec();
    match key {
        [text] => kept.extend_from_slice(text.as_bytes()),
        texts => {
            for text in texts {
                kept.extend_from_slice(&(text.len() as u32).to_le_bytes());
                kept.extend_from_slice(text.as_bytes());
            }
        }
    }
    kept.into()
}

/// What each row asks for.
pub(super) fn asked(changes: &Changes, on: &[String], types: &Types) -> Result<Vec<Option<Asked>>> {
    let schema = changes.rows.schema_ref();
    let mut columns = Vec::with_capacity(on.len());
    for (name, key) in on.iter().zip(&types.key) {
        let Ok(index) = schema.index_of(name) else {
            // The operator is not compiled for such rows.
            return Ok((0..changes.len()).map(|_| None).collect());
        };
        let column = changes.rows.column(index);
        let texts = match key.takes(column.data_type()) {
            true => key.texts(column)?,
            false => vec![None; column.len()],
        };
        columns.push((index, column, texts));
    }
    let of_row = |row: usize| {
        let has_row = !matches!(
            changes.operations[row],
            Operation::Delete | Operation::Truncate
        );
        let has_value = |(index, column, _): &(usize, &ArrayRef, _)| {
            column.is_valid(row) && !changes.is_unset(*index, row)
        };
        if !has_row || !columns.iter().all(has_value) {
            return None;
        }
        let texts: Option<Vec<String>> = columns
            .iter()
            .map(|(_, _, texts)| texts[row].clone())
            .collect();
        Some(texts.map_or(Asked::Nowhere, Asked::For))
    };
    Ok((0..changes.len()).map(of_row).collect())
}

//! `concat`: joins the target's text, a separator and the source's text.
//!
//! Applying it twice repeats the text. Like `sum`, it therefore requires that positions commit with
//! the rows (R4).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};

use super::Values;

/// The joined texts for the selected rows; no side is null.
pub(super) fn concat(source: &ArrayRef, target: &ArrayRef, separator: &str) -> Values {
    let (source, target) = (source.as_string::<i32>(), target.as_string::<i32>());
    let bytes = source.value_data().len() + target.value_data().len();
    let bytes = bytes + separator.len() * source.len();
    let mut texts = StringBuilder::with_capacity(source.len(), bytes);
    let mut text = String::new();
    for row in 0..source.len() {
        text.clear();
        text.push_str(target.value(row));
        text.push_str(separator);
        text.push_str(source.value(row));
        texts.append_value(&text);
    }
    Values {
        values: Arc::new(texts.finish()),
        failed: Vec::new(),
    }
}

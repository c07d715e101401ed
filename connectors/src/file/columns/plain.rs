//! Columns of a file in the form that the rest of Syncline has for their type.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};

use crate::change::Logical;
use crate::text::write_json;

/// A column in the form that the rest of Syncline has for its type.
pub(super) fn plain(
    field: &Arc<Field>,
    column: &ArrayRef,
) -> Result<(Field, ArrayRef), arrow::error::ArrowError> {
    let mut metadata = field.metadata().clone();
    metadata.retain(|key, _| key.starts_with("syncline."));
    let target = match field.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, value) => match &**value {
            DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            value => value.clone(),
        },
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::Date64 => DataType::Date32,
        DataType::Struct(_) | DataType::Map(..) => {
            let documents: StringArray = (0..column.len())
                .map(|row| {
                    let mut text = Vec::new();
                    write_json(field, column, row, &mut text);
                    column
                        .is_valid(row)
                        .then(|| String::from_utf8_lossy(&text).into_owned())
                })
                .collect();
            return Ok((Logical::Json.field(field.name()), Arc::new(documents)));
        }
        other => other.clone(),
    };
    let column = match *column.data_type() == target {
        true => column.clone(),
        false => cast(column, &target)?,
    };
    let field = Field::new(field.name(), target, true).with_metadata(metadata);
    Ok((field, column))
}

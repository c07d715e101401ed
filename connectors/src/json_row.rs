//! A change as a JSON object, for sinks that write objects.

use crate::change::Changes;
use crate::text::{write_json, write_string};

/// Appends the columns that a change sets; with `operations` what happened comes first, in `_op` and `_table`.
pub(crate) fn write_object(changes: &Changes, row: usize, operations: bool, out: &mut Vec<u8>) {
    out.push(b'{');
    if operations {
        out.extend_from_slice(b"\"_op\":\"");
        out.extend_from_slice(changes.operations[row].letter().as_bytes());
        out.extend_from_slice(b"\",\"_table\":");
        write_string(&changes.table.name, out);
    }
    let schema = changes.rows.schema_ref();
    for (index, column) in changes.rows.columns().iter().enumerate() {
        if changes.is_unset(index, row) {
            continue;
        }
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        write_string(schema.field(index).name(), out);
        out.push(b':');
        write_json(schema.field(index), column, row, out);
    }
    out.push(b'}');
}

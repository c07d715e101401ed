//! The foreign keys of a table.

use crate::sql::metadata::Row;
use crate::sql::target::Target;

/// A foreign key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    /// Its columns.
    pub(crate) columns: Vec<String>,
    /// The referenced table, and its columns in the same order.
    pub(crate) parent: Target,
    pub(crate) parent_columns: Vec<String>,
}

impl ForeignKey {
    /// Those of a table, from rows of name, column, schema and name of the referenced table, column there.
    pub(crate) fn read(rows: Vec<Row>) -> Vec<Self> {
        let mut keys: Vec<(String, Self)> = Vec::new();
        for row in rows {
            let mut values = row.into_iter();
            let mut next = || values.next().flatten();
            let (name, column, schema, table, parent_column) =
                (next(), next(), next(), next(), next());
            let (Some(name), Some(column), Some(table), Some(parent_column)) =
                (name, column, table, parent_column)
            else {
                continue;
            };
            let known = keys.iter().position(|(known, _)| *known == name);
            let index = known.unwrap_or_else(|| {
                let parent = Target {
                    schema,
                    name: table,
                };
                let key = Self {
                    columns: Vec::new(),
                    parent,
                    parent_columns: Vec::new(),
                };
                keys.push((name, key));
                keys.len() - 1
            });
            keys[index].1.columns.push(column);
            keys[index].1.parent_columns.push(parent_column);
        }
        keys.into_iter().map(|(_, key)| key).collect()
    }
}

//! What differs in the SQL of databases: quoting, types, phrases. Each database has one [`Dialect`] in
//! its own folder; nothing in `sql/` asks which database it is.

use std::fmt;

use arrow::datatypes::Field;

use crate::error::Result;

/// How one database writes SQL.
pub struct Dialect {
    /// What the database is called.
    pub(crate) name: &'static str,
    /// Why the database cannot hold a name; `None` where it can.
    pub(crate) refuses: fn(name: &str) -> Option<String>,
    /// Whether two names of columns that differ in their case alone are one.
    pub(crate) folds_names: bool,
    /// The type that a new column gets.
    pub(crate) column_type: fn(&Field) -> Result<String>,
    /// Whether a column of the changes fits a column of a type, with its length and scale.
    pub(crate) fit: fn(&Field, sql_type: &str) -> Fit,
    /// The column of the changes that a column of a type holds without loss; text for a type that is
    /// not known.
    pub(crate) field: fn(name: &str, sql_type: &str) -> Field,
    /// What stands around a name.
    pub(crate) mark: char,
    /// The type of a text without bounds.
    pub(crate) text_type: &'static str,
    /// The types that a key column gets in place of those that no unique index holds whole.
    pub(crate) key_types: &'static [(&'static str, &'static str)],
    /// What a text is called in a `CAST`.
    pub(crate) cast_text: &'static str,
    /// The function that says where a text stands in another, from 1.
    pub(crate) position: &'static str,
    /// Locks the rows of a `SELECT`; empty where a transaction that writes has everything to itself.
    pub(crate) lock: &'static str,
    /// Locks them but for those that somebody else holds.
    pub(crate) lock_free: &'static str,
    /// Two values of a type whose equality is exact differ, or one of them is null.
    pub(crate) differs: fn(target: &str, source: &str) -> String,
    /// As they are stored, two values differ, or one of them is null.
    pub(crate) differs_stored: fn(target: &str, source: &str) -> String,
    /// Ends an `INSERT` that leaves alone a row whose id is there.
    pub(crate) once: &'static str,
    /// Goes before the assignments of an `INSERT` that updates a row of the same key.
    pub(crate) or_update: fn(key: &str) -> String,
    /// The value that could not be inserted.
    pub(crate) excluded: fn(column: &str) -> String,
    /// Deletes some rows of `table`, whose primary key is `id`: those of `rows`, an order and a limit.
    pub(crate) delete_some: fn(table: &str, id: &str, rows: &str) -> String,
    /// Gives a column another type, after `ALTER TABLE name `.
    pub(crate) alter_type: fn(column: &str, sql_type: &str) -> String,
    /// Begins a transaction that writes.
    pub(crate) begin: &'static str,
    /// The current time, as the column `updated_at` of the positions holds it.
    pub(crate) now: &'static str,
    /// Whether a column can be given a wider type.
    pub(crate) widens: bool,
    /// Types that hold instants or times though the column takes any value.
    pub(crate) loose_instants: &'static [&'static str],
    /// Ends an `INSERT` that does nothing where a row of the key is there; empty where the statement fails,
    /// which is told by its error.
    pub(crate) unless_there: &'static str,
    /// Whether one statement moves many positions: it joins a list of values.
    pub(crate) updates_from_values: bool,
    /// A text expression that is 1 where a table is there, else 0.
    pub(crate) count_of_table: fn(schema: Option<&str>, table: &str) -> Result<String>,
    /// The same of a column of a table in the default schema.
    pub(crate) count_of_column: fn(table: &str, column: &str) -> String,
    /// Asks for the foreign keys of a table: name, column, schema and name of the referenced table, column
    /// there; those of one key in their order.
    pub(crate) foreign_keys: fn(schema: Option<&str>, table: &str) -> Result<String>,
    /// How Syncline's own tables are made.
    pub(crate) own_tables: OwnTables,
}

impl fmt::Debug for Dialect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// How Syncline's own tables are made.
pub(crate) struct OwnTables {
    /// The primary key of a table, over some columns.
    pub(crate) primary_key: fn(columns: &str) -> String,
    /// Whether an index stands in the definition of its table, and holds the beginning of a text alone.
    pub(crate) indexes_inside: bool,
    /// What ends the statement.
    pub(crate) end: &'static str,
    /// Text of any length, and text that an index holds.
    pub(crate) text: &'static str,
    pub(crate) name: &'static str,
    pub(crate) integer: &'static str,
    pub(crate) bigint: &'static str,
    /// A number that the table gives, ascending and never twice; the primary key.
    pub(crate) serial: &'static str,
    /// The column `partition`.
    pub(crate) partition: &'static str,
    /// The type of the column `incarnation` of the positions.
    pub(crate) incarnation: &'static str,
    /// The statements that make the tables of positions, targets and tombstones where they are not there.
    pub(crate) positions: fn() -> [String; 3],
}

/// `or_update` of databases with `ON CONFLICT`.
pub(crate) fn on_conflict(key: &str) -> String {
    format!(" ON CONFLICT ({key}) DO UPDATE SET ")
}

/// `delete_some` of databases whose `DELETE` takes no limit.
pub(crate) fn delete_by_id(table: &str, id: &str, rows: &str) -> String {
    format!("DELETE FROM {table} WHERE {id} IN (SELECT {id} FROM {table} {rows})")
}

/// How a column of the changes goes into a column of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// Every value has its place.
    Fits,
    /// The database converts each value, and refuses those that it cannot keep.
    Checked,
    /// As [`Fit::Checked`]; with this type every value would have its place.
    Widen(String),
    /// Values would be changed, or there is no conversion.
    Mismatch,
}

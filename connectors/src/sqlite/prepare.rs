//! What is worked out once for a table and a schema, not once a write: evolution and columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use rusqlite::{Connection, params};

use super::equality::equality;
use super::failure::of_statement;
use super::types::{Affinity, affinity};
use crate::change::Logical;
use crate::error::{Error, Result};
use crate::sql::DeleteMode;
use crate::sql::bulk::{CompiledResolvers, Shape};
use crate::sql::catalogue::{TargetColumn, TargetTable};
use crate::sql::equality::Equality;
use crate::sql::identifier::quote;
use crate::sql::target::Target;
use crate::sql::version::{VersionKind, absent, threshold, version_column};
use crate::sqlite::SQLITE;

/// A target and a schema, ready to be written.
pub(super) struct Prepared {
    /// The target's name, unquoted: what tombstones are kept under.
    pub(super) name: String,
    /// The target's quoted name.
    pub(super) target: String,
    /// The table's name by itself, and the tables that its foreign keys refer to.
    pub(super) table: String,
    pub(super) references: Vec<String>,
    /// The columns that are written, the key among them.
    pub(super) columns: Vec<Column>,
    /// The columns of the changes that `evolution = "ignore"` leaves out.
    pub(super) left_out: Vec<usize>,
    /// The target has a column that takes no null, has no default and is not among `columns`.
    pub(super) requires_more: bool,
    /// The quoted mark of soft deletes, where they are on.
    pub(super) mark: Option<String>,
    /// How versions are compared, where the strategy does.
    pub(super) version: Option<Version>,
    /// The schema of the changes as far as `columns` go, and which of these are the key.
    pub(super) placed: SchemaRef,
    pub(super) placed_key: Vec<usize>,
    pub(super) resolver: CompiledResolvers,
}

/// A column of the changes that has a place in the target.
pub(super) struct Column {
    /// Index in the changes.
    pub(super) index: usize,
    /// The quoted name in the target.
    pub(super) name: String,
    /// Whether it is part of the key.
    pub(super) key: bool,
    /// What the target makes of values.
    pub(super) affinity: Affinity,
    /// Whether the declared type says that the column holds numbers.
    pub(super) numeric: bool,
    /// How the target tells values of a key column apart.
    pub(super) equality: Equality,
}

/// The version column.
pub(super) struct Version {
    /// Index in [`Prepared::columns`].
    pub(super) column: usize,
    pub(super) kind: VersionKind,
    /// How many digits after the point a number has.
    pub(super) scale: u32,
    /// What can be added to a version.
    pub(super) threshold: Option<String>,
    /// The source has integers, and the target's column makes numbers of what looks like
    /// one: SQLite itself compares them.
    pub(super) native: bool,
}

impl Version {
    /// A value as an expression that compares as an instant or a number (C5).
    pub(super) fn comparable(&self, value: &str) -> String {
        match self.kind {
            VersionKind::Instant => format!("syncline_instant({value})"),
            VersionKind::Number => format!("syncline_number({value}, {})", self.scale),
        }
    }

    /// As [`Version::comparable`], of a value of the source.
    pub(super) fn of_source(&self, value: &str) -> String {
        if self.native {
            value.to_owned()
        } else {
            self.comparable(value)
        }
    }

    /// As [`Version::comparable`], of a value of the target's column.
    pub(super) fn of_target(&self, value: &str) -> String {
        if self.native {
            // What is no number there is no version (C4).
            format!("CASE WHEN typeof({value}) IN ('integer', 'real') THEN {value} END")
        } else {
            self.comparable(value)
        }
    }
}

impl Prepared {
    /// Of a table that was evolved for the changes.
    pub(super) fn build(connection: &Connection, shape: &Shape<'_, TargetTable>) -> Result<Self> {
        let Shape {
            options,
            target,
            schema,
            key,
            found: table,
            plan,
        } = *shape;
        let placed = &plan.columns;
        let version_name = version_column(&options.conflict)?;
        let strict = is_strict(connection, target)?;
        let requires_more = table.requires_more(placed, options);
        let mut columns = Vec::new();
        let mut version = None;
        for (index, placed) in placed.iter().enumerate() {
            let Some(name) = placed else { continue };
            let field = schema.field(index);
            let found = table
                .column(name)
                .expect("the plan places columns in the table that it was made for");
            if version_name == Some(field.name().as_str()) {
                let kind = VersionKind::of(field)?;
                let scale = match (field.data_type(), Logical::of(field)) {
                    (DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale), _) => {
                        (*scale).max(0).unsigned_abs().into()
                    }
                    (_, Some(Logical::Numeric)) => 6,
                    _ => 0,
                };
                let threshold = threshold(&options.conflict, kind)?.map(|by| match kind {
                    VersionKind::Instant => by,
                    VersionKind::Number => format!("syncline_number('{by}', {scale})"),
                });
                let plain =
                    field.data_type().is_integer() && *field.data_type() != DataType::UInt64;
                let affinity = affinity(&found.sql_type, strict);
                version = Some(Version {
                    native: plain && matches!(affinity, Affinity::Numeric | Affinity::Real),
                    column: columns.len(),
                    kind,
                    scale,
                    threshold,
                });
            }
            columns.push(Column {
                index,
                name: quote(&SQLITE, name)?,
                key: key.contains(&index),
                affinity: affinity(&found.sql_type, strict),
                numeric: says_numbers(&found.sql_type),
                equality: if key.contains(&index) {
                    let affinity = affinity(&found.sql_type, strict);
                    equality(connection, target, field, name, affinity)?
                } else {
                    Equality::Values
                },
            });
        }
        if let (Some(name), None) = (version_name, &version) {
            return Err(absent(name));
        }
        let mark = match options.delete {
            DeleteMode::Soft => {
                let named = table.named(&options.soft_delete_column, options.case);
                let name = named.map_or(&options.soft_delete_column, |column| &column.name);
                Some(quote(&SQLITE, name)?)
            }
            DeleteMode::Hard | DeleteMode::Ignore => None,
        };
        let indices: Vec<usize> = columns.iter().map(|column| column.index).collect();
        let placed = schema.project(&indices).map_err(Error::configuration)?;
        Ok(Self {
            placed: Arc::new(placed),
            placed_key: (0..columns.len())
                .filter(|&place| columns[place].key)
                .collect(),
            resolver: CompiledResolvers::default(),
            name: target.to_string(),
            target: target.quoted(&SQLITE)?,
            table: target.name.clone(),
            references: references(connection, target)?,
            columns,
            left_out: plan.left_out.clone(),
            requires_more,
            mark,
            version,
        })
    }
}

/// The tables that the foreign keys of a table refer to.
fn references(connection: &Connection, target: &Target) -> Result<Vec<String>> {
    let read = || {
        let mut statement =
            connection.prepare(r#"SELECT DISTINCT "table" FROM pragma_foreign_key_list(?1)"#)?;
        let names = statement.query_map([&target.name], |row| row.get(0))?;
        names.collect::<rusqlite::Result<Vec<String>>>()
    };
    read().map_err(|error| {
        of_statement(
            &format!("reading the foreign keys of table {:?}", target.name),
            error,
        )
    })
}

/// What the table looks like; `None` where there is none.
pub(super) fn read_table(connection: &Connection, target: &Target) -> Result<Option<TargetTable>> {
    read(connection, target).map_err(|error| {
        of_statement(
            &format!("reading the columns of table {:?}", target.name),
            error,
        )
    })
}

fn read(connection: &Connection, target: &Target) -> rusqlite::Result<Option<TargetTable>> {
    let schema = target.schema.as_deref().unwrap_or("main");
    let mut table = TargetTable::default();
    let mut key: Vec<(i64, String)> = Vec::new();
    let mut statement = connection.prepare(
        "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1, ?2) WHERE hidden <> 1",
    )?;
    let mut rows = statement.query(params![target.name, schema])?;
    while let Some(row) = rows.next()? {
        let (name, place): (String, i64) = (row.get(0)?, row.get(4)?);
        if place > 0 {
            key.push((place, name.clone()));
        }
        let sql_type: String = row.get(1)?;
        // The rowid under its own name fills itself.
        let is_rowid = place > 0 && sql_type.eq_ignore_ascii_case("INTEGER");
        table.columns.push(TargetColumn {
            name,
            sql_type,
            nullable: !row.get::<_, bool>(2)?,
            has_default: row.get::<_, bool>(3)? || is_rowid,
            generated: row.get::<_, i64>(5)? > 1,
            identity: false,
        });
    }
    if table.columns.is_empty() {
        return Ok(None);
    }
    if !key.is_empty() {
        key.sort();
        table.primary = Some(table.unique.len());
        table
            .unique
            .push(key.into_iter().map(|(_, name)| name).collect());
    }
    let mut indexes = connection.prepare(
        "SELECT name FROM pragma_index_list(?1, ?2) WHERE \"unique\" AND NOT partial AND origin <> 'pk'",
    )?;
    let names: Vec<String> = indexes
        .query_map(params![target.name, schema], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in names {
        let mut columns =
            connection.prepare("SELECT name FROM pragma_index_info(?1, ?2) ORDER BY seqno")?;
        let columns: Option<Vec<String>> = columns
            .query_map(params![name, schema], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        // An index over an expression names no column.
        table.other_constraints |= columns.is_none();
        table.unique.extend(columns);
    }
    Ok(Some(table))
}

/// Whether a declared type is one of numbers, and not one that SQLite does not know: `DATE` and `STRING` have
/// a numeric affinity too.
fn says_numbers(sql_type: &str) -> bool {
    let upper = sql_type.to_ascii_uppercase();
    ["INT", "NUM", "DEC", "REAL", "FLOA", "DOUB", "BOOL"]
        .iter()
        .any(|bound_rows| upper.contains(bound_rows))
}

/// Whether the table refuses values of other types than it declares.
fn is_strict(connection: &Connection, target: &Target) -> Result<bool> {
    let schema = target.schema.as_deref().unwrap_or("main");
    let read = || {
        connection
            .prepare_cached("SELECT max(strict) FROM pragma_table_list WHERE name = ?1 COLLATE NOCASE AND schema = ?2 COLLATE NOCASE")?
            .query_row(params![target.name, schema], |row| row.get::<_, Option<bool>>(0))
    };
    let strict = read()
        .map_err(|error| of_statement(&format!("reading about table {:?}", target.name), error))?;
    Ok(strict.unwrap_or(false))
}

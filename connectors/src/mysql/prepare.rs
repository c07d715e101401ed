//! What is worked out once for a table and a schema, not once a write: evolution, columns, staging.
//!
//! Evolution commits by itself in MySQL. It runs before the write begins, under a lock that all
//! Syncline sessions of the server share.

use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};

use super::catalogue::Found;
use super::column_kind::ColumnKind;
use super::equality::{Collation, equality};
use super::read::Reader;
use super::session::Server;
use super::types::split;
use crate::error::{Error, Result};
use crate::mysql::MYSQL;
use crate::sql::bulk::{CompiledResolvers, Shape};
use crate::sql::catalogue::{Action, statement};
use crate::sql::conflict::Comparison;
use crate::sql::equality::Equality;
use crate::sql::identifier::quote;
use crate::sql::target::Target;
use crate::sql::version::{VersionKind, absent, threshold, version_column};
use crate::sql::{DeleteMode, Options};

/// A target and a schema, ready to be written.
pub(super) struct Prepared {
    /// The schema of the changes.
    pub(super) schema: SchemaRef,
    /// The target's name, unquoted: what tombstones are kept under.
    pub(super) name: String,
    /// The target's quoted name.
    pub(super) target: String,
    /// The name and the quoted name of the index over the key.
    pub(super) key_index: String,
    pub(super) quoted_key_index: String,
    /// What tells the target from other tables, and the tables that its foreign keys point to.
    pub(super) oid: String,
    pub(super) references: Vec<String>,
    /// The columns that are written, the key among them.
    pub(super) columns: Vec<Column>,
    /// The columns of the changes that `evolution = "ignore"` leaves out.
    pub(super) left_out: Vec<usize>,
    /// The quoted mark of soft deletes, where they are on.
    pub(super) mark: Option<String>,
    /// How versions are compared, where the strategy does.
    pub(super) version: Option<Version>,
    /// The name of the staging table.
    pub(super) stage: String,
    /// How each of `columns` is read, in the type of the changes.
    pub(super) readers: Vec<Reader>,
    /// The schema of the changes as far as it has a place in the target, in the order of `columns`.
    pub(super) placed: SchemaRef,
    /// Indices of the key in `placed`.
    pub(super) placed_key: Vec<usize>,
    pub(super) resolver: CompiledResolvers,
}

/// A column of the changes that has a place in the target.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// Index in the changes.
    pub(super) index: usize,
    /// The quoted name in the target.
    pub(super) name: String,
    /// Whether it is part of the key.
    pub(super) key: bool,
    /// What the target makes of a value.
    pub(super) place: ColumnKind,
    /// The type in the target, with its collation: that of the staging column, so that what is
    /// staged is what the target will hold.
    definition: String,
    /// Whether the target would put the time of the day where a null is written.
    pub(super) null_is_now: bool,
    /// How to tell whether source and target differ.
    pub(super) comparison: Comparison,
    /// The collation of a text.
    pub(super) collation: Option<Collation>,
    /// How the target tells values of a key column apart.
    pub(super) equality: Equality,
}

/// The version column.
#[derive(Debug, Clone)]
pub(super) struct Version {
    /// Index in [`Prepared::columns`].
    pub(super) column: usize,
    pub(super) kind: VersionKind,
    /// Whether it is a float, which is compared as it is.
    pub(super) float: bool,
    /// What can be added to a version.
    pub(super) threshold: Option<String>,
}

impl Prepared {
    /// Of a table with this number, whose staging table is yet to be made.
    pub(super) fn build(shape: &Shape<'_, Found>, stage_number: usize) -> Result<Self> {
        let Shape {
            options,
            target,
            schema,
            key,
            found,
            plan,
        } = *shape;
        let schema = schema.clone();
        let mut columns: Vec<Column> = Vec::new();
        let mut readers = Vec::new();
        let mut version = None;
        let version_name = version_column(&options.conflict)?;
        for (index, placed) in plan.columns.iter().enumerate() {
            let field = schema.field(index);
            let Some(name) = placed else {
                continue;
            };
            let place = found
                .table
                .columns
                .iter()
                .position(|column| column.name == *name)
                .expect("the plan places columns in the table that it was made for");
            let column = &found.table.columns[place];
            let collation = found.collations[place].as_deref();
            if version_name == Some(field.name()) {
                version = Some(Version::of(
                    options,
                    field,
                    columns.len(),
                    &column.sql_type,
                )?);
            }
            let quoted = quote(&MYSQL, name)?;
            readers.push(Reader::of(
                &format!("t.{quoted}"),
                &column.sql_type,
                &schema.fields()[index],
            ));
            columns.push(Column {
                index,
                name: quoted,
                key: key.contains(&index),
                place: ColumnKind::of(&column.sql_type),
                definition: match collation {
                    Some(collation) => format!("{} COLLATE {collation}", column.sql_type),
                    None => column.sql_type.clone(),
                },
                null_is_now: !column.nullable && column.sql_type.starts_with("timestamp"),
                comparison: if collation.is_some() {
                    Comparison::Stored
                } else {
                    Comparison::Exact
                },
                equality: if key.contains(&index) {
                    equality(
                        &target.to_string(),
                        field,
                        &column.sql_type,
                        collation.map(Collation::of).as_ref(),
                        &options.conflict,
                    )?
                } else {
                    Equality::Values
                },
                collation: collation.map(Collation::of),
            });
        }
        if let (Some(name), None) = (version_name, &version) {
            return Err(absent(name));
        }
        let names: Vec<String> = key
            .iter()
            .filter_map(|&column| plan.columns[column].clone())
            .collect();
        let key_index = found
            .key_index(&names)
            .expect("the plan checked that the key has an index")
            .to_owned();
        let mark = match options.delete {
            DeleteMode::Soft => {
                let named = found.table.named(&options.soft_delete_column, options.case);
                let name = named.map_or(&options.soft_delete_column, |column| &column.name);
                Some(quote(&MYSQL, name)?)
            }
            DeleteMode::Hard | DeleteMode::Ignore => None,
        };
        let indices: Vec<usize> = columns.iter().map(|column| column.index).collect();
        let placed = schema.project(&indices).map_err(Error::configuration)?;
        let placed_key = (0..columns.len())
            .filter(|&place| columns[place].key)
            .collect();
        Ok(Self {
            schema,
            name: target.to_string(),
            target: target.quoted(&MYSQL)?,
            quoted_key_index: quote(&MYSQL, &key_index)?,
            key_index,
            oid: found.identity.clone(),
            references: found.references.clone(),
            columns,
            left_out: plan.left_out.clone(),
            mark,
            version,
            stage: format!("_syncline_stage_{stage_number}"),
            readers,
            placed: Arc::new(placed),
            placed_key,
            resolver: CompiledResolvers::default(),
        })
    }

    /// Columns are numbered, so that no name of the source can collide. The unique index refuses two
    /// keys of the changes that are one key for the target.
    pub(super) fn create_stage(&self) -> String {
        let columns: String = self
            .columns
            .iter()
            .map(|column| format!(", c{} {} NULL", column.index, column.definition))
            .collect();
        let key: String = self
            .columns
            .iter()
            .filter(|column| column.key)
            .map(|column| format!(", c{}", column.index))
            .collect();
        format!(
            "CREATE TEMPORARY TABLE {} (step int NOT NULL, number int NOT NULL, side tinyint NOT NULL, \
             op tinyint NOT NULL, pattern int NOT NULL, event datetime(6) NULL{columns}, \
             PRIMARY KEY (step, number), UNIQUE KEY one_key (step, side{key})) ENGINE = InnoDB",
            self.stage
        )
    }
}

impl Version {
    fn of(options: &Options, field: &Field, column: usize, sql_type: &str) -> Result<Self> {
        let kind = VersionKind::of(field)?;
        let (base, _) = split(sql_type);
        let base = base.trim_end_matches(" unsigned");
        let target_kind = match base {
            "date" | "datetime" | "timestamp" => Some(VersionKind::Instant),
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "float"
            | "double" => Some(VersionKind::Number),
            _ => None,
        };
        if target_kind != Some(kind) {
            return Err(Error::configuration(format!(
                "the version column {:?} is {} in the changes and {sql_type} in the target: versions compare as instants or as numbers, give both the same kind",
                field.name(),
                field.data_type()
            )));
        }
        let threshold = threshold(&options.conflict, kind)?.map(|by| match kind {
            VersionKind::Instant => format!("INTERVAL {by} MICROSECOND"),
            VersionKind::Number => by,
        });
        Ok(Self {
            column,
            kind,
            float: matches!(base, "float" | "double"),
            threshold,
        })
    }
}

/// The statement of one action. A new table tells texts apart by their bytes, as the source does; a
/// wider column keeps what else it was.
pub(super) fn evolution(
    server: &Server,
    target: &Target,
    found: Option<&Found>,
    action: Action,
) -> Result<String> {
    let quoted = &target.quoted(&MYSQL)?;
    let sql = match (action, found) {
        (Action::Widen { column, sql_type }, Some(found)) => {
            let sql_type = format!("{sql_type}{}", found.attributes(&column)?);
            statement(&MYSQL, quoted, &Action::Widen { column, sql_type })?
        }
        (action @ Action::Create { .. }, _) => format!(
            "{} ENGINE = InnoDB COLLATE {}",
            statement(&MYSQL, quoted, &action)?,
            server.collation()
        ),
        (action, _) => statement(&MYSQL, quoted, &action)?,
    };
    // A large table takes longer than a write may.
    let unlimited = if server.mariadb {
        "SET STATEMENT max_statement_time = 0 FOR "
    } else {
        ""
    };
    Ok(format!("{unlimited}{sql}"))
}

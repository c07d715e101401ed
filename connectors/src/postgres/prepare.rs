//! What is worked out once for a table and a schema, not once a write: evolution, columns, staging.
//!
//! Evolution runs in a transaction of its own, under a lock that all Syncline sessions of the
//! database share, before the write begins.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::catalogue::{Found, Kind};

use super::equality::equality;
use super::exact;
use super::read::Reader;
use super::staging::{FIXED, StagedColumn, bound_rows, create};
use super::wire_type::staged_type;
use crate::error::{Error, Result};
use crate::postgres::POSTGRES;
use crate::sql::bulk::{CompiledResolvers, Shape};
use crate::sql::conflict::Comparison;
use crate::sql::equality::Equality;
use crate::sql::identifier::quote;
use crate::sql::types::split_type;
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
    /// Object identifiers of the target and of the tables that its foreign keys point to.
    pub(super) oid: i64,
    pub(super) references: Vec<i64>,
    /// Whether it is partitioned, and whether foreign keys of other tables point to it.
    pub(super) partitioned: bool,
    pub(super) referenced: bool,
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
    /// The number and the quoted name of the staging table, which is made when it is needed.
    pub(super) stage_number: usize,
    pub(super) stage: String,
    /// Its rows in a `FROM`, under the name `s`, and those of bound arrays in its stead, where the columns
    /// can be bound.
    staged_rows: String,
    bound_rows: Option<String>,
    /// The quoted name of the table of keys whose rows are read, and its rows as those above.
    pub(super) probe: String,
    probe_rows: String,
    bound_keys: Option<String>,
    /// How the target's columns are read, one for each of `columns`.
    pub(super) readers: Vec<Reader>,
    /// The schema of the changes as far as `columns` go, and which of these are the key.
    pub(super) placed: SchemaRef,
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
    /// The type in the target.
    pub(super) sql_type: String,
    /// The type in the staging table.
    pub(super) staged: &'static str,
    /// The staged value (alias `s`) as it is assigned: in the target's type, its length and scale
    /// left to the assignment, which refuses what does not fit.
    pub(super) assigned: String,
    /// The staged value as the target would hold it, to compare.
    pub(super) compared: String,
    /// How to tell whether source and target differ.
    pub(super) comparison: Comparison,
    /// The staged value to be looked for in the target: without length and scale, so that a key that
    /// the target would cut is not taken for another one.
    pub(super) sought: String,
    /// Where the assignment may change a value in silence (R23): the condition on which it does.
    pub(super) changed: Option<String>,
    /// What the type in the target is underneath.
    pub(super) kind: Kind,
    /// How the target tells values of a key column apart.
    pub(super) equality: Equality,
}

impl Column {
    fn staged(&self) -> StagedColumn {
        (self.index, self.staged)
    }
}

/// The version column.
#[derive(Debug, Clone)]
pub(super) struct Version {
    /// Index in [`Prepared::columns`].
    pub(super) column: usize,
    /// The target's type.
    pub(super) sql_type: String,
    pub(super) kind: VersionKind,
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
        let mut columns = Vec::new();
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
            let staged = staged_type(field)?;
            let (assigned, compared) = conversions(index, staged, &column.sql_type);
            let kind = &found.kinds[place];
            let staged_value = format!("s.c{index}");
            let changed = exact::changes(
                field.data_type(),
                staged,
                &column.sql_type,
                kind,
                &staged_value,
            );
            if version_name == Some(field.name()) {
                version = Some(Version::of(
                    options,
                    field,
                    columns.len(),
                    &column.sql_type,
                )?);
            }
            columns.push(Column {
                index,
                name: quote(&POSTGRES, name)?,
                key: key.contains(&index),
                sql_type: column.sql_type.clone(),
                staged,
                sought: if column.sql_type.starts_with("bit") {
                    compared.clone()
                } else {
                    assigned.clone()
                },
                assigned,
                compared,
                comparison: if found.exact[place] {
                    Comparison::Exact
                } else {
                    Comparison::Stored
                },
                changed,
                kind: kind.clone(),
                equality: if key.contains(&index) {
                    equality(&target.to_string(), field, &column.sql_type, kind)?
                } else {
                    Equality::Values
                },
            });
        }
        if let (Some(name), None) = (version_name, &version) {
            return Err(absent(name));
        }
        let readers = columns
            .iter()
            .map(|column| {
                let name = format!("t.{}", column.name);
                Reader::of(&name, &column.sql_type, &schema.fields()[column.index])
            })
            .collect();
        let indices: Vec<usize> = columns.iter().map(|column| column.index).collect();
        let placed = schema.project(&indices).map_err(Error::configuration)?;
        let placed_key = (0..columns.len())
            .filter(|&place| columns[place].key)
            .collect();
        let mark = match options.delete {
            DeleteMode::Soft => {
                let named = found.table.named(&options.soft_delete_column, options.case);
                let name = named.map_or(&options.soft_delete_column, |column| &column.name);
                Some(quote(&POSTGRES, name)?)
            }
            DeleteMode::Hard | DeleteMode::Ignore => None,
        };
        let all = bound_rows(FIXED.len(), columns.iter().map(Column::staged));
        let bound_keys = bound_rows(
            1,
            columns
                .iter()
                .filter(|column| column.key)
                .map(Column::staged),
        );
        Ok(Self {
            schema,
            name: target.to_string(),
            target: target.quoted(&POSTGRES)?,
            oid: found.oid,
            references: found.references.clone(),
            partitioned: found.partitioned,
            referenced: found.referenced,
            columns,
            left_out: plan.left_out.clone(),
            requires_more: found.table.requires_more(&plan.columns, options),
            mark,
            version,
            stage_number,
            staged_rows: format!("pg_temp._syncline_stage_{stage_number} AS s"),
            bound_rows: all,
            stage: format!("pg_temp._syncline_stage_{stage_number}"),
            probe: format!("pg_temp._syncline_probe_{stage_number}"),
            probe_rows: format!("pg_temp._syncline_probe_{stage_number} AS s"),
            bound_keys,
            readers,
            placed: Arc::new(placed),
            placed_key,
            resolver: CompiledResolvers::default(),
        })
    }

    /// The types of the columns of the staging table.
    pub(super) fn staged_types(&self) -> impl Iterator<Item = &'static str> {
        let fixed = FIXED.iter().map(|(_, staged)| *staged);
        fixed.chain(self.columns.iter().map(|column| column.staged))
    }

    /// The staged rows in a `FROM`, under the name `s`.
    pub(super) fn rows(&self, bound: bool) -> &str {
        match &self.bound_rows {
            Some(rows) if bound => rows,
            _ => &self.staged_rows,
        }
    }

    /// The keys that are looked for in a `FROM`, under the name `s`.
    pub(super) fn keys(&self, bound: bool) -> &str {
        match &self.bound_keys {
            Some(rows) if bound => rows,
            _ => &self.probe_rows,
        }
    }

    /// Makes the staging table.
    pub(super) fn create_stage(&self) -> String {
        create(
            &self.stage,
            FIXED.len(),
            self.columns.iter().map(Column::staged),
        )
    }

    /// Makes the table of keys.
    pub(super) fn create_probe(&self) -> String {
        let keys = self.columns.iter().filter(|column| column.key);
        create(&self.probe, 1, keys.map(Column::staged))
    }
}

impl Version {
    fn of(
        options: &Options,
        field: &arrow::datatypes::Field,
        column: usize,
        sql_type: &str,
    ) -> Result<Self> {
        let kind = VersionKind::of(field)?;
        let (base, _) = split_type(sql_type);
        let target_kind = match base.as_str() {
            "date" => Some(VersionKind::Instant),
            text if text.starts_with("timestamp") => Some(VersionKind::Instant),
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => {
                Some(VersionKind::Number)
            }
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
            VersionKind::Instant => format!("interval '{by} microseconds'"),
            VersionKind::Number => by,
        });
        Ok(Self {
            column,
            sql_type: base,
            kind,
            threshold,
        })
    }
}

/// The staged column `c{index}` as it is assigned and as it is compared.
fn conversions(index: usize, staged: &str, sql_type: &str) -> (String, String) {
    let value = format!("s.c{index}");
    let (base, numbers) = split_type(sql_type);
    let assigned = match base.as_str() {
        same if same == staged => value.clone(),
        // Without a length these two would mean one character or one bit.
        "character" => format!("{value}::bpchar"),
        // Debezium sends a bit(1) as a boolean.
        "bit" | "bit varying" if staged == "boolean" => format!("{value}::int::bit(1)"),
        "bit" => format!("{value}::varbit"),
        "character[]" => format!("{value}::bpchar[]"),
        "bit[]" => format!("{value}::varbit[]"),
        "json" if staged.ends_with("[]") => format!("to_json({value})"),
        "jsonb" if staged.ends_with("[]") => format!("to_jsonb({value})"),
        other => format!("{value}::{other}"),
    };
    let compared = if numbers.is_empty() {
        assigned.clone()
    } else {
        format!("{assigned}::{sql_type}")
    };
    (assigned, compared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(staged: &str, sql_type: &str, expect: (&str, &str)) {
        let (assigned, compared) = conversions(3, staged, sql_type);
        assert_eq!((assigned.as_str(), compared.as_str()), expect);
    }

    #[test]
    fn lengths_and_scales_are_left_to_the_assignment() {
        check("integer", "integer", ("s.c3", "s.c3"));
        check("text", "jsonb", ("s.c3::jsonb", "s.c3::jsonb"));
        check("numeric", "numeric(12,2)", ("s.c3", "s.c3::numeric(12,2)"));
        check(
            "text",
            "character varying(5)",
            (
                "s.c3::character varying",
                "s.c3::character varying::character varying(5)",
            ),
        );
        check(
            "text",
            "character(5)",
            ("s.c3::bpchar", "s.c3::bpchar::character(5)"),
        );
        check("text", "bit(4)", ("s.c3::varbit", "s.c3::varbit::bit(4)"));
        check("integer[]", "jsonb", ("to_jsonb(s.c3)", "to_jsonb(s.c3)"));
    }
}

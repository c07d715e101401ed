//! What is worked out once for a table and a schema, not once a write: evolution, columns, staging.
//!
//! Evolution commits by itself in MySQL. It runs before the write begins, under a lock that all
//! Syncline sessions of the server share.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Field, SchemaRef};

use super::catalogue::{self, Found};
use super::equality::{Collation, equality};
use super::failure::Failure;
use super::place::Place;
use super::positions::{lock_schemas, unlock_schemas};
use super::read::Reader;
use super::session::Session;
use crate::change::Changes;
use crate::conflict::Resolver;
use crate::error::{Error, Result};
use crate::sql::catalogue::{Action, Plan, Wanted, plan, statement};
use crate::sql::conflict::Comparison;
use crate::sql::decide::takes_resolver;
use crate::sql::equality::Equality;
use crate::sql::identifier::{Dialect, quote};
use crate::sql::target::Target;
use crate::sql::types::mysql::split;
use crate::sql::undeclared::{Lent, Undeclared};
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
    pub(super) resolver: OnceLock<Arc<dyn Resolver>>,
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
    pub(super) place: Place,
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
    /// The prepared form of the target of `changes`: from the session, or made now.
    pub(super) async fn of(
        session: &mut Session,
        options: &Options,
        target: &Target,
        changes: &Changes,
        key: &[usize],
    ) -> Result<Arc<Self>, Failure> {
        let schema = changes.schema();
        let is_key = |column: &Column| key.contains(&column.index);
        let known = session.prepared(target).iter().find(|prepared| {
            (Arc::ptr_eq(&prepared.schema, &schema) || prepared.schema == schema)
                && prepared
                    .columns
                    .iter()
                    .all(|column| column.key == is_key(column))
        });
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let names: Vec<String> = key
            .iter()
            .map(|&column| schema.field(column).name().clone())
            .collect();
        let name = target.to_string();
        let wanted = Wanted {
            target: &name,
            schema: &schema,
            key: &names,
            soft_delete_column: options.mark(),
            case: options.case,
            kinds: &[],
        };
        let (found, plan) = evolve(session, options, target, &wanted).await?;
        let left_out = plan.left_out.iter();
        let left_out = left_out.map(|&index| schema.field(index).name().as_str());
        session.lender.warn_left_out(&name, left_out);
        let number = session.next_stage();
        let prepared = Self::build(options, target, schema.clone(), key, &found, &plan, number)?;
        session.execute(&prepared.create_stage()).await?;
        let prepared = Arc::new(prepared);
        session.keep(target, prepared.clone()).await?;
        Ok(prepared)
    }

    pub(super) fn build(
        options: &Options,
        target: &Target,
        schema: SchemaRef,
        key: &[usize],
        found: &Found,
        plan: &Plan,
        stage_number: usize,
    ) -> Result<Self> {
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
            let quoted = quote(Dialect::Mysql, name)?;
            readers.push(Reader::of(
                &format!("t.{quoted}"),
                &column.sql_type,
                &schema.fields()[index],
            ));
            columns.push(Column {
                index,
                name: quoted,
                key: key.contains(&index),
                place: Place::of(&column.sql_type),
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
                Some(quote(Dialect::Mysql, name)?)
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
            target: target.quoted(Dialect::Mysql)?,
            quoted_key_index: quote(Dialect::Mysql, &key_index)?,
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
            resolver: OnceLock::new(),
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

/// The changes with the target's types for the columns that no schema declares (R19), where there are
/// any; `None` where they are truncates of a table that does not exist.
pub(super) async fn lend(
    session: &mut Session,
    options: &Options,
    target: &Target,
    changes: &Changes,
    may_wait: bool,
) -> Result<Option<Lent>, Failure> {
    let Some(given) = Undeclared::of(options, changes)? else {
        return Ok(Some(Lent::declared(changes)));
    };
    let rejected = given.keyless();
    if !rejected.is_empty() {
        return Ok(Some(Lent::refused(changes, rejected)));
    }
    if given.is_rowless()
        && catalogue::read(&mut session.connection, &session.server, target)
            .await?
            .is_none()
    {
        return Ok(None);
    }
    let name = target.to_string();
    let schema = given.changes().schema();
    let wanted = given.wanted(&name, &schema, options);
    let dialect = Dialect::Mysql;
    let (table, planned) = match session.lender.known(dialect, target, &wanted, options) {
        Some(known) => known,
        None => {
            let found = catalogue::read(&mut session.connection, &session.server, target).await?;
            let table = found.as_ref().map(|found| &found.table);
            let refused = given.refused(dialect, options, &name, table)?;
            if !refused.is_empty() {
                return Ok(Some(Lent::refused(changes, refused)));
            }
            let (found, planned) = evolve(session, options, target, &wanted).await?;
            (session.lender.remember(target, &found.table), planned)
        }
    };
    let whole = takes_resolver(options, changes, may_wait)?;
    let lent = given.lend(dialect, options, &table, &planned, whole)?;
    let left_out = lent.left_out_columns.iter().map(String::as_str);
    session.lender.warn_left_out(&name, left_out);
    Ok(Some(lent))
}

/// Brings the target to what the changes need, as far as the policy allows.
async fn evolve(
    session: &mut Session,
    options: &Options,
    target: &Target,
    wanted: &Wanted<'_>,
) -> Result<(Found, Plan), Failure> {
    let name = wanted.target;
    let look = |found: &Option<Found>| {
        plan(
            Dialect::Mysql,
            wanted,
            found.as_ref().map(|found| &found.table),
            options.evolution,
        )
    };
    let found = catalogue::read(&mut session.connection, &session.server, target).await?;
    let planned = look(&found)?;
    if let (Some(found), true) = (found, planned.actions.is_empty()) {
        return Ok((found, planned));
    }
    if session.writing {
        // It would commit what is written so far.
        return Err(Failure::Stale(Error::configuration(format!(
            "table {name:?} has changed while it was written: compare it with the columns of the changes"
        ))));
    }
    // Another session may be doing the same: look again under the lock.
    lock_schemas(session).await?;
    let found = catalogue::read(&mut session.connection, &session.server, target).await?;
    let quoted = target.quoted(Dialect::Mysql)?;
    for action in look(&found)?.actions {
        let sql = sql_of(session, &quoted, found.as_ref(), action)?;
        // A large table takes longer than a write may.
        let unlimited = if session.server.mariadb {
            "SET STATEMENT max_statement_time = 0 FOR "
        } else {
            ""
        };
        session.execute(&format!("{unlimited}{sql}")).await?;
    }
    unlock_schemas(session).await?;
    let found = catalogue::read(&mut session.connection, &session.server, target)
        .await?
        .ok_or_else(|| {
            Error::configuration(format!("table {name:?} was dropped while it was evolved"))
        })?;
    let planned = look(&Some(found.clone()))?;
    Ok((found, planned))
}

/// The statement of one action. A new table tells texts apart by their bytes, as the source does; a
/// wider column keeps what else it was.
fn sql_of(
    session: &Session,
    quoted: &str,
    found: Option<&Found>,
    action: Action,
) -> Result<String, Failure> {
    Ok(match (action, found) {
        (Action::Widen { column, sql_type }, Some(found)) => {
            let sql_type = format!("{sql_type}{}", found.attributes(&column)?);
            statement(Dialect::Mysql, quoted, &Action::Widen { column, sql_type })?
        }
        (action @ Action::Create { .. }, _) => format!(
            "{} ENGINE = InnoDB COLLATE {}",
            statement(Dialect::Mysql, quoted, &action)?,
            session.server.collation()
        ),
        (action, _) => statement(Dialect::Mysql, quoted, &action)?,
    })
}

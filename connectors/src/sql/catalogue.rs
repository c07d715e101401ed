//! What the target's table looks like, and what to do where the changes look different (R15).
//!
//! The plan never drops a column, never narrows a type and never goes back: a replay of an older
//! schema finds its columns in a table that has more of them, or wider ones, and writes those. Under
//! `lenient` a type change renames the old column to `NAME_v1` and adds a new one; rows of the older
//! schema then go into `NAME_v1`.
//!
//! What a column needs whose type no schema declares, its values say ([`Kinds`]).

mod planner;
mod statement;

use arrow::datatypes::Schema;

use self::planner::Planner;
use self::statement::MARK_TYPE;
pub use self::statement::statement;
use crate::change::is_undeclared;
use crate::error::{Error, Result};
use crate::sql::dialect::Dialect;
use crate::sql::names::{Case, same_but_case};
use crate::sql::types::{default_type, key_type};
use crate::sql::undeclared::kinds::{Kind, Kinds, is_lent};
use crate::sql::{Evolution, Options};

/// A table that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetTable {
    /// Its columns, in order.
    pub columns: Vec<TargetColumn>,
    /// The columns of each unique index that holds for every row, the primary key among them.
    pub unique: Vec<Vec<String>>,
    /// The place of the primary key among `unique`.
    pub primary: Option<usize>,
    /// Whether anything else tells rows apart: an index that is unique for some rows, over an expression
    /// or checked later, or an exclusion constraint.
    pub other_constraints: bool,
}

impl TargetTable {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column that this name means.
    pub fn named(&self, name: &str, case: Case) -> Option<&TargetColumn> {
        let names = self.columns.iter().map(|column| column.name.as_str());
        case.find(name, names).map(|place| &self.columns[place])
    }

    /// The key of its rows where nothing else names one: the primary key, else the only unique index
    /// whose columns take no null.
    pub fn default_key(&self) -> Option<&[String]> {
        if let Some(primary) = self.primary {
            return self.unique.get(primary).map(Vec::as_slice);
        }
        let filled = |name: &String| self.column(name).is_some_and(|column| !column.nullable);
        let whole = |unique: &&Vec<String>| unique.iter().all(filled);
        let mut found = self.unique.iter().filter(whole);
        found
            .next()
            .filter(|_| found.next().is_none())
            .map(Vec::as_slice)
    }

    /// Whether whether a row is taken depends on other rows than that of its key: a unique index beside the
    /// key, or what [`TargetTable::other_constraints`] says.
    pub fn constrains_across_keys(&self) -> bool {
        self.other_constraints || self.unique.len() > 1
    }

    /// Whether rows of `key` are told apart by a unique index; `target` is the table's name.
    ///
    /// # Errors
    /// `Configuration` where they are not: names the keys that the table has.
    pub fn check_key(&self, target: &str, key: &[String], case: Case) -> Result<()> {
        let same = |unique: &Vec<String>| {
            let among = |column: &String| {
                let names = unique.iter().map(String::as_str);
                case.find(column, names).is_some()
            };
            unique.len() == key.len() && key.iter().all(among)
        };
        if self.unique.iter().any(same) {
            return Ok(());
        }
        let known: Vec<String> = self
            .unique
            .iter()
            .map(|unique| format!("({})", unique.join(", ")))
            .collect();
        Err(Error::configuration(format!(
            "table {target:?} has no unique index over the key ({}), it has {}: create one, or correct key = […] in the sink",
            key.join(", "),
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        )))
    }

    /// The first column that takes no null, has no default and is not among `written`: a row that does
    /// not set it cannot be inserted. `mark` is set by the sink itself.
    fn required_beside(
        &self,
        written: &[Option<String>],
        mark: Option<&str>,
    ) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| {
            !column.nullable
                && !column.has_default
                && !column.generated
                && !written.iter().flatten().any(|name| *name == column.name)
                && Some(column.name.as_str()) != mark
        })
    }

    /// Whether rows that set the columns `written` alone cannot be inserted, though they may update one.
    pub fn requires_more(&self, written: &[Option<String>], options: &Options) -> bool {
        let mark = options.mark();
        let mark = mark.and_then(|mark| self.named(mark, options.case));
        let mark = mark.map(|column| column.name.as_str());
        self.required_beside(written, mark).is_some()
    }
}

/// A column that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetColumn {
    /// Its name.
    pub name: String,
    /// Its type with length and scale, as the database writes it.
    pub sql_type: String,
    /// Whether it takes nulls.
    pub nullable: bool,
    /// Whether a row that does not name it gets a value.
    pub has_default: bool,
    /// Whether the database computes it, so that it cannot be written.
    pub generated: bool,
    /// Whether the database numbers it, always: it is written as part of a key only.
    pub identity: bool,
}

/// One step of evolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create the table.
    Create {
        /// Names and types.
        columns: Vec<(String, String)>,
        /// The primary key.
        key: Vec<String>,
    },
    /// Add a nullable column, or one with a default where the type says it.
    Add {
        /// Its name.
        column: String,
        /// Its type.
        sql_type: String,
    },
    /// Give a column a wider type.
    Widen {
        /// Its name.
        column: String,
        /// The wider type; for MySQL with the rest of the column's definition, which it would lose.
        sql_type: String,
    },
    /// Rename a column whose type changed.
    Rename {
        /// Its name.
        column: String,
        /// Its new name.
        to: String,
    },
}

impl TargetTable {
    /// The table as it will be after an action.
    pub(crate) fn after(&mut self, action: &Action) {
        let added = |name: &str, sql_type: &str, nullable: bool| TargetColumn {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
            nullable,
            has_default: false,
            generated: false,
            identity: false,
        };
        let mut columns = self.columns.iter_mut();
        match action {
            Action::Create { columns, key } => {
                let made = columns.iter();
                self.columns = made
                    .map(|(name, sql_type)| added(name, sql_type, !key.contains(name)))
                    .collect();
                self.unique.push(key.clone());
            }
            Action::Add { column, sql_type } => self.columns.push(added(column, sql_type, true)),
            Action::Widen { column, sql_type } => {
                if let Some(column) = columns.find(|known| known.name == *column) {
                    column.sql_type.clone_from(sql_type);
                }
            }
            Action::Rename { column, to } => {
                if let Some(column) = columns.find(|known| known.name == *column) {
                    column.name.clone_from(to);
                }
            }
        }
    }
}

/// What to do before the changes can be written, and where each of their columns goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be run in this order; the catalogue is then read and planned again, which gives none.
    pub actions: Vec<Action>,
    /// For each column of the changes, the target's column; `None` where it is left out.
    pub columns: Vec<Option<String>>,
    /// The columns of the changes that the policy leaves out, though they hold values.
    pub left_out: Vec<usize>,
}

/// What the changes need of a table.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The target's name, for messages.
    pub target: &'a str,
    /// The columns of the changes.
    pub schema: &'a Schema,
    /// The key columns.
    pub key: &'a [String],
    /// The mark of soft deletes, where they are on. The sink sets it, whatever the changes hold.
    pub soft_delete_column: Option<&'a str>,
    /// Whether the case of a name counts.
    pub case: Case,
    /// For each column, what its values are where it is undeclared; empty where none is.
    pub(crate) kinds: &'a [Kinds],
}

impl Wanted<'_> {
    /// Whether changes may carry other columns than these.
    fn is_open(&self) -> bool {
        let mut fields = self.schema.fields().iter();
        fields.any(|field| is_undeclared(field) || is_lent(field))
    }
}

/// Plans how `wanted` is written to `found`; `None` where the table does not exist.
///
/// # Errors
/// `Configuration` where the policy does not allow what it takes; names the column and the remedy.
pub fn plan(
    dialect: &'static Dialect,
    wanted: &Wanted<'_>,
    found: Option<&TargetTable>,
    evolution: Evolution,
) -> Result<Plan> {
    match found {
        Some(table) => Planner {
            dialect,
            wanted,
            table,
            evolution,
            actions: Vec::new(),
            left_out: Vec::new(),
        }
        .plan(),
        None => create(dialect, wanted, evolution),
    }
}

fn evolves(evolution: Evolution) -> bool {
    matches!(evolution, Evolution::Evolve | Evolution::Lenient)
}

/// Two columns of the changes that would be one column of the target.
fn check_apart(
    dialect: &'static Dialect,
    wanted: &Wanted<'_>,
    table: Option<&TargetTable>,
    columns: &[Option<String>],
) -> Result<()> {
    let folds = wanted.case == Case::Fold || dialect.folds_names;
    let exists = |name: &str| table.is_some_and(|table| table.column(name).is_some());
    let names = wanted.schema.fields().iter().map(|field| field.name());
    let mut seen: Vec<(&String, &String)> = Vec::new();
    for (name, column) in names.zip(columns) {
        let Some(column) = column else { continue };
        let one = |other: &str| {
            other == column
                || (folds && same_but_case(other, column) && !(exists(other) && exists(column)))
        };
        if let Some((other, _)) = seen.iter().find(|(_, other)| one(other)) {
            let exact = if dialect.folds_names {
                ""
            } else {
                ", or write case = \"exact\" in the sink"
            };
            return Err(Error::configuration(format!(
                "columns {other:?} and {name:?} of the changes would both be column {column:?} of table {:?}: drop or rename one of them in a map operator{exact}",
                wanted.target
            )));
        }
        seen.push((name, column));
    }
    Ok(())
}

fn create(dialect: &'static Dialect, wanted: &Wanted<'_>, evolution: Evolution) -> Result<Plan> {
    if !evolves(evolution) {
        return Err(Error::configuration(format!(
            "table {:?} does not exist: create it, or write evolution = \"evolve\" in the sink",
            wanted.target
        )));
    }
    // In the order in which a row first has a value, as if the rows had come one by one.
    let mut made: Vec<(usize, String, String)> = Vec::new();
    let mut placed = Vec::new();
    for (index, field) in wanted.schema.fields().iter().enumerate() {
        let name = field.name();
        let is_key = wanted.key.contains(name);
        let made_of = match (is_undeclared(field), wanted.kinds.get(index)) {
            (true, Some(kinds)) => kinds.first.zip(kinds.made(dialect, name)),
            _ => Some(((0, Kind::Text), field.as_ref().clone())),
        };
        let made_of = made_of.filter(|_| Some(name.as_str()) != wanted.soft_delete_column);
        placed.push(made_of.as_ref().map(|_| name.clone()));
        let Some(((row, _), field)) = made_of else {
            if is_key {
                return Err(Error::configuration(format!(
                    "the key column {name:?} is not among the columns of the changes for table {:?}: correct key = […] in the sink",
                    wanted.target
                )));
            }
            continue;
        };
        let sql_type = match is_key {
            true => key_type(dialect, &field)?,
            false => default_type(dialect, &field)?,
        };
        made.push((row, name.clone(), sql_type));
    }
    made.sort_by_key(|(row, ..)| *row);
    let mut columns: Vec<(String, String)> = made
        .into_iter()
        .map(|(_, name, sql_type)| (name, sql_type))
        .collect();
    if let Some(mark) = wanted.soft_delete_column {
        columns.push((mark.to_owned(), MARK_TYPE.to_owned()));
    }
    check_apart(dialect, wanted, None, &placed)?;
    Ok(Plan {
        columns: placed,
        left_out: Vec::new(),
        actions: vec![Action::Create {
            columns,
            key: wanted.key.to_vec(),
        }],
    })
}

/// The table that would be made for `wanted`.
///
/// # Errors
/// As [`plan`].
pub(crate) fn would_make(dialect: &'static Dialect, wanted: &Wanted<'_>) -> Result<TargetTable> {
    let plan = create(dialect, wanted, Evolution::Evolve)?;
    let mut table = TargetTable::default();
    plan.actions.iter().for_each(|action| table.after(action));
    Ok(table)
}

#[cfg(test)]
mod tests;

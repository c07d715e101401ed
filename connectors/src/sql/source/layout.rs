//! A table as it is now, and the statements that read it.
//!
//! Columns are named with the table's alias: without it `ORDER BY` could mean a column of the result,
//! which is a text.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::bookmark::Place;
use super::options::{ReadMode, ReadOptions, target};
use super::rows::{Order, ReadRows};
use crate::change::{Logical, Table};
use crate::error::{Error, Result};
use crate::sql::catalogue::TargetTable;
use crate::sql::failure::Failure;
use crate::sql::identifier::quote;
use crate::sql::names::Case;
use crate::text::write_string;

/// The alias of the table in every statement.
const ALIAS: &str = "t";

/// See the module docs.
#[derive(Debug)]
pub(super) struct Layout<R> {
    pub(super) table: Arc<Table>,
    pub(super) schema: SchemaRef,
    /// The columns that tell the rows apart.
    pub(super) key: Arc<[String]>,
    pub(super) readers: Arc<[R]>,
    /// The columns of the order.
    pub(super) order: Vec<OrderColumn>,
    /// Each column's name and a colon, as they stand in a JSON object.
    pub(super) labels: Vec<Vec<u8>>,
    name: String,
    /// `FROM` with the alias.
    from: String,
    /// What is selected: values, and the texts of the order.
    list: String,
    condition: Option<String>,
    /// Whether a unique index rules out two rows of one key.
    unique: bool,
}

/// A column of the order.
#[derive(Debug)]
pub(super) struct OrderColumn {
    pub(super) name: String,
    quoted: String,
    order: Order,
    nullable: bool,
}

/// Which rows are read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds<'a> {
    /// The first column of the order is not below this text.
    pub(super) lowest: Option<&'a str>,
    /// Behind this row.
    pub(super) after: Option<&'a Place>,
    /// Up to this row.
    pub(super) until: Option<&'a Place>,
}

impl<R> Layout<R> {
    /// Reads the catalogue.
    pub(super) async fn read<C: ReadRows<Reader = R>>(
        connection: &mut C,
        name: &str,
        options: &ReadOptions,
    ) -> Result<Self, Failure> {
        let target = target(name)?;
        let Some(found) = connection.describe(&target).await? else {
            return Err(Failure::Error(Error::configuration(format!(
                "table {name:?} does not exist: correct tables = […], or create it"
            ))));
        };
        let quoted = target.quoted(C::DIALECT)?;
        let key = key(name, &found, options)?;
        let mut by: Vec<&String> = options.cursor.iter().collect();
        by.extend(
            key.iter()
                .filter(|&column| options.cursor.as_ref() != Some(column)),
        );
        let (mut fields, mut readers, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let (mut list, mut order) = (Vec::new(), Vec::new());
        for column in &found.columns {
            // A log does not tell the values of these.
            if options.mode == ReadMode::Replication && column.generated {
                continue;
            }
            let field = (C::DIALECT.field)(&column.name, &column.sql_type);
            let field = Arc::new(match Logical::of(&field) {
                // Bits of any number are a text.
                Some(Logical::Bits(0)) => Field::new(&column.name, DataType::Utf8, true),
                _ => field,
            });
            let (expression, reader) = C::reader(column, &qualified::<C>(&column.name)?, &field)?;
            list.push(expression);
            readers.push(reader);
            let mut label = Vec::new();
            write_string(&column.name, &mut label);
            label.push(b':');
            labels.push(label);
            fields.push(field);
        }
        for name_by in by {
            let column = column_of(name, &found, name_by)?;
            let field: Field = (C::DIALECT.field)(&column.name, &column.sql_type);
            let quoted = qualified::<C>(&column.name)?;
            let Some(order_by) = C::order(column, &quoted, &field) else {
                return Err(Failure::Error(Error::configuration(format!(
                    "rows of {name:?} cannot be put in order by {:?}, which is of type {:?}: take another column for key or cursor",
                    column.name, column.sql_type
                ))));
            };
            list.push(order_by.text.clone());
            order.push(OrderColumn {
                name: column.name.clone(),
                quoted,
                order: order_by,
                nullable: column.nullable,
            });
        }
        let unique = found.check_key(name, &key, Case::Exact).is_ok();
        Ok(Self {
            table: Arc::new(Table {
                topic: name.into(),
                database: None,
                schema: target.schema.as_deref().map(Into::into),
                name: target.name.as_str().into(),
            }),
            schema: Arc::new(Schema::new(fields)),
            key: key.into(),
            readers: readers.into(),
            order,
            labels,
            name: name.to_owned(),
            from: format!(" FROM {quoted} AS {ALIAS}"),
            list: list.join(", "),
            condition: options.condition.clone(),
            unique,
        })
    }

    /// The names of the columns of the order.
    pub(super) fn by(&self) -> Vec<String> {
        self.order
            .iter()
            .map(|column| column.name.clone())
            .collect()
    }

    /// The statement that reads the next rows.
    ///
    /// # Errors
    /// `Configuration` where a bound is no value of its column.
    pub(super) fn page(&self, bounds: &Bounds<'_>, limit: usize) -> Result<String> {
        let mut conditions: Vec<String> = Vec::new();
        conditions.extend(
            self.condition
                .iter()
                .map(|condition| format!("({condition})")),
        );
        if let Some(lowest) = bounds.lowest {
            let literal = self.literal(0, lowest)?;
            conditions.push(format!("{} >= {literal}", self.order[0].quoted));
        }
        if let Some(place) = bounds.after {
            conditions.push(self.behind(place)?);
        }
        if let Some(place) = bounds.until {
            conditions.push(format!("NOT ({})", self.behind(place)?));
        }
        let order: Vec<&str> = self.order.iter().map(|column| &*column.quoted).collect();
        Ok(format!(
            "SELECT {}{}{} ORDER BY {} LIMIT {limit}",
            self.list,
            self.from,
            filter(&conditions),
            order.join(", ")
        ))
    }

    /// A statement that finds a row which has no place in the order; `None` where there can be none.
    pub(super) fn unplaced(&self) -> Option<String> {
        let mut missing: Vec<String> = Vec::new();
        for column in &self.order {
            if column.nullable {
                missing.push(format!("{} IS NULL", column.quoted));
            }
            missing.extend(column.order.unplaced.clone());
        }
        if missing.is_empty() {
            return None;
        }
        let mut conditions = vec![format!("({})", missing.join(" OR "))];
        conditions.extend(
            self.condition
                .iter()
                .map(|condition| format!("({condition})")),
        );
        Some(format!(
            "SELECT '1'{}{} LIMIT 1",
            self.from,
            filter(&conditions)
        ))
    }

    /// A statement that finds two rows of one key; `None` where there can be none.
    pub(super) fn duplicate(&self) -> Option<String> {
        if self.unique {
            return None;
        }
        let columns = self
            .order
            .iter()
            .filter(|column| self.key.contains(&column.name));
        let columns: Vec<&str> = columns.map(|column| &*column.quoted).collect();
        let conditions: Vec<String> = self
            .condition
            .iter()
            .map(|condition| format!("({condition})"))
            .collect();
        Some(format!(
            "SELECT '1'{}{} GROUP BY {} HAVING count(*) > 1 LIMIT 1",
            self.from,
            filter(&conditions),
            columns.join(", ")
        ))
    }

    /// Refuses a table with rows that would be passed over.
    pub(super) async fn refuse_gaps<C: ReadRows<Reader = R>>(
        &self,
        connection: &mut C,
    ) -> Result<(), Failure> {
        if let Some(sql) = self.unplaced()
            && !connection.query(&sql).await?.is_empty()
        {
            return Err(Failure::Error(self.refused(
                "a row without a value of the right type in the columns of its order",
                "give it one, exclude it with where = \"…\", or take another column for key or cursor",
            )));
        }
        if let Some(sql) = self.duplicate()
            && !connection.query(&sql).await?.is_empty()
        {
            return Err(Failure::Error(self.refused(
                "two rows of one key in the order",
                "name in key = […] the columns that tell them apart",
            )));
        }
        Ok(())
    }

    /// Rows that are found by [`Layout::unplaced`] or [`Layout::duplicate`].
    pub(super) fn refused(&self, what: &str, remedy: &str) -> Error {
        Error::configuration(format!(
            "table {:?} has {what} ({}): rows would be passed over; {remedy}",
            self.name,
            self.by().join(", ")
        ))
    }

    /// The condition of the rows behind `place`. The first comparison is said twice where there are
    /// more, so that an index is used.
    fn behind(&self, place: &Place) -> Result<String> {
        let mut condition = String::new();
        for index in (0..self.order.len()).rev() {
            let column = &self.order[index].quoted;
            let literal = self.literal(index, &place[index])?;
            condition = match condition.is_empty() {
                true => format!("{column} > {literal}"),
                false => {
                    format!("({column} > {literal} OR ({column} = {literal} AND {condition}))")
                }
            };
            if index == 0 && self.order.len() > 1 {
                condition = format!("{column} >= {literal} AND {condition}");
            }
        }
        Ok(format!("({condition})"))
    }

    fn literal(&self, index: usize, text: &str) -> Result<String> {
        let column = &self.order[index];
        (column.order.literal)(text).ok_or_else(|| {
            Error::configuration(format!(
                "a value of column {:?} of table {:?} has no place in the order of its type: correct the row, or take another column for key or cursor",
                column.name, self.name
            ))
        })
    }
}

fn filter(conditions: &[String]) -> String {
    match conditions {
        [] => String::new(),
        conditions => format!(" WHERE {}", conditions.join(" AND ")),
    }
}

fn qualified<C: ReadRows>(column: &str) -> Result<String> {
    Ok(format!("{ALIAS}.{}", quote(C::DIALECT, column)?))
}

fn column_of<'a>(
    table: &str,
    found: &'a TargetTable,
    name: &str,
) -> Result<&'a crate::sql::catalogue::TargetColumn> {
    found.column(name).ok_or_else(|| {
        let known: Vec<&str> = found.columns.iter().map(|column| &*column.name).collect();
        Error::configuration(format!(
            "table {table:?} has no column {name:?}, it has {}: correct key or cursor",
            known.join(", ")
        ))
    })
}

/// The columns that tell the rows apart.
fn key(name: &str, found: &TargetTable, options: &ReadOptions) -> Result<Vec<String>> {
    let key = options.key.as_deref().or(found.default_key());
    let key = key.ok_or_else(|| {
        Error::configuration(format!(
            "nothing says which columns of {name:?} tell its rows apart: write key = [\"…\"] in the source, or give the table a primary key; in the mode \"cursor\" too"
        ))
    })?;
    for column in key {
        column_of(name, found, column)?;
    }
    Ok(key.to_vec())
}

/// How a table is read, for messages and operations.
pub(super) fn is_snapshot(options: &ReadOptions) -> bool {
    options.mode == ReadMode::Snapshot
}

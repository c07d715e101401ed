//! Rows of a database found by their keys, once for every database: one request for many keys.
//!
//! **Guarantees.** A row is what it is when it is asked for. Keys are compared exactly, letter for letter, as
//! values of the column's type: a key that the type cannot say, such as `abc` for an integer, belongs to no
//! row, and a collation that takes two texts for one changes nothing. A null belongs to no row; whoever asks
//! leaves it out. Where two rows have the key, the answer says so and gives neither.
//!
//! An answer is bytes, so that a cache can keep it: see [`Outcome`]. A request that fails drops the
//! connection, and the next one opens it again. Nothing is written.
//!
//! - `key`: which columns rows are found by, and their values as text and as SQL
//! - `answer`: what was found, as bytes
//! - `settings`: what every lookup can be told

mod answer;
mod key;
mod settings;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;
use bytes::Bytes;

use self::answer::missing;
pub use self::answer::{Columns, Outcome, outcome, read_columns, row, several};
pub use self::key::KeyColumn;
use self::key::{KeyText, condition};
pub(crate) use self::settings::Place;
pub use self::settings::{LookupConfig, LookupOptions, LookupSettings};
use crate::change::Logical;
use crate::error::{Error, Result};
use crate::format::read_cells;
use crate::problem::Problem;
use crate::sink::Identity;
use crate::sql::catalogue::{TargetColumn, TargetTable};
use crate::sql::connection::Purpose;
use crate::sql::failure::Failure;
use crate::sql::identifier::quote;
use crate::sql::source::ReadRows;
use crate::sql::target::Target;

/// So many keys are asked for in one request; more are asked for in several.
pub const KEYS_MAX: usize = 10_000;
/// The alias of the table in every statement.
const ALIAS: &str = "t";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The columns that a row is found by.
    pub key: Vec<String>,
    /// The columns that are wanted of it; none where it only has to be there.
    pub columns: Vec<String>,
}

/// A table or a query whose rows are found by their keys.
#[async_trait]
pub trait Lookup: Send {
    /// The columns of the key, as the database has them.
    fn key(&self) -> &[KeyColumn];

    /// The columns that are wanted, with their types.
    fn columns(&self) -> &[Field];

    /// An answer for each of these keys, in their order; a key has a text for each of its columns.
    ///
    /// # Errors
    /// `Unavailable` while the database does not answer, `Configuration` where it refuses the question.
    async fn find(&mut self, keys: &[Vec<String>]) -> Result<Vec<Bytes>>;
}

/// See the module docs.
struct TableLookup<C: ReadRows> {
    settings: C::Settings,
    timeout: Duration,
    options: LookupOptions,
    wanted: Wanted,
    connection: Option<C>,
    layout: Layout<C::Reader>,
}

/// How rows are read.
struct Layout<R> {
    key: Vec<KeyColumn>,
    columns: Vec<Field>,
    readers: Arc<[R]>,
    /// Everything before the condition.
    select: String,
}

impl<C: ReadRows> TableLookup<C> {
    /// Connects, and looks at the columns.
    async fn open(
        settings: C::Settings,
        timeout: Duration,
        options: &LookupOptions,
        wanted: &Wanted,
    ) -> Result<Self> {
        let (connection, layout) = connect::<C>(&settings, timeout, options, wanted).await?;
        Ok(Self {
            settings,
            timeout,
            options: options.clone(),
            wanted: wanted.clone(),
            connection: Some(connection),
            layout,
        })
    }

    /// The connection and how it reads; opened again where it was dropped.
    async fn connected(&mut self) -> Result<C> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let (settings, options) = (&self.settings, &self.options);
        let (connection, layout) =
            connect::<C>(settings, self.timeout, options, &self.wanted).await?;
        // Others were told the types.
        if layout.columns != self.layout.columns || layout.key != self.layout.key {
            return Err(Error::configuration(format!(
                "the columns of {} have other types than at the start: start the pipeline again",
                self.options.shown()
            )));
        }
        self.layout = layout;
        Ok(connection)
    }

    /// Asks once.
    async fn ask(&mut self, keys: &[Vec<String>]) -> Result<Vec<Bytes>, Failure> {
        let texts: Vec<KeyText<'_>> = self.layout.key.iter().map(KeyColumn::text).collect();
        let Some(condition) = condition(&texts, keys) else {
            return Ok(vec![missing(); keys.len()]);
        };
        let mut connection = self.connected().await?;
        let sql = format!("{}{condition}", self.layout.select);
        let readers = self.layout.readers.clone();
        let asked = connection.rows(sql, readers, 0);
        let cells = tokio::time::timeout(self.timeout, asked).await;
        let cells = cells.map_err(|passed| slow(self.timeout, passed))??;
        self.connection = Some(connection);

        let width = self.layout.readers.len();
        let count = cells.len().checked_div(width).unwrap_or_default();
        let mut of_key: Vec<Vec<Option<String>>> = Vec::with_capacity(self.layout.key.len());
        for (column, key) in self.layout.key.iter().enumerate() {
            let values = (0..count).map(|row| {
                let cell = cells.get(row * width + column);
                cell.map(std::borrow::Cow::Borrowed)
            });
            let (array, _) = read_cells(&key.field, values)?;
            of_key.push(key.texts(&array)?);
        }
        let mut found: HashMap<Vec<&str>, Option<usize>> = HashMap::with_capacity(count);
        for row in 0..count {
            let key: Option<Vec<&str>> = of_key.iter().map(|texts| texts[row].as_deref()).collect();
            // A value that its column's type cannot say is no key that was asked for.
            let Some(key) = key else { continue };
            found
                .entry(key)
                .and_modify(|known| *known = None)
                .or_insert(Some(row));
        }
        let answer = |key: &Vec<String>| {
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            match found.get(&key) {
                None => missing(),
                // One that only has to be there may be there twice.
                Some(None) if !self.layout.columns.is_empty() => several(),
                Some(at) => {
                    let first = at.unwrap_or_default() * width + self.layout.key.len();
                    row((first..first + self.layout.columns.len()).map(|cell| cells.get(cell)))
                }
            }
        };
        Ok(keys.iter().map(answer).collect())
    }
}

#[async_trait]
impl<C: ReadRows> Lookup for TableLookup<C> {
    fn key(&self) -> &[KeyColumn] {
        &self.layout.key
    }

    fn columns(&self) -> &[Field] {
        &self.layout.columns
    }

    async fn find(&mut self, keys: &[Vec<String>]) -> Result<Vec<Bytes>> {
        let mut answers = Vec::with_capacity(keys.len());
        for part in keys.chunks(KEYS_MAX) {
            let asked = match self.ask(part).await {
                // The table has changed since it was looked at: once more.
                Err(Failure::Stale(_)) => {
                    self.connection = None;
                    self.ask(part).await
                }
                asked => asked,
            };
            answers.extend(asked.map_err(Failure::into_error)?);
        }
        Ok(answers)
    }
}

async fn connect<C: ReadRows>(
    settings: &C::Settings,
    timeout: Duration,
    options: &LookupOptions,
    wanted: &Wanted,
) -> Result<(C, Layout<C::Reader>)> {
    let reader = Identity {
        pipeline: "lookup".to_owned(),
        sink: "lookup".to_owned(),
        source: "lookup".to_owned(),
    };
    let opened = async {
        let mut connection = C::open(settings, &reader, Purpose::ReadOnly).await?;
        let layout = Layout::read(&mut connection, options, wanted).await?;
        Ok::<_, Error>((connection, layout))
    };
    let opened = tokio::time::timeout(timeout, opened).await;
    opened.map_err(|passed| slow(timeout, passed))?
}

fn slow(timeout: Duration, passed: tokio::time::error::Elapsed) -> Error {
    let message = format!(
        "the database of the lookup did not answer within {} ms (query_timeout_ms)",
        timeout.as_millis()
    );
    Error::unavailable(message, passed)
}

impl<R> Layout<R> {
    /// Reads the catalogue, or takes what the settings say of a query.
    async fn read<C: ReadRows<Reader = R>>(
        connection: &mut C,
        options: &LookupOptions,
        wanted: &Wanted,
    ) -> Result<Self> {
        let (from, known) = match (&options.table, &options.query) {
            (Some(name), _) => {
                let target = target(name)?;
                let found = connection.describe(&target).await?.ok_or_else(|| {
                    Error::configuration(format!(
                        "table {name:?} does not exist: correct table = \"…\" of the lookup, or create it"
                    ))
                })?;
                (target.quoted(C::DIALECT)?, found)
            }
            (None, query) => {
                let query = query.as_deref().unwrap_or_default();
                // On lines of its own, so that a comment ends.
                (format!("(\n{query}\n)"), options.declared())
            }
        };
        let mut list = Vec::new();
        let mut readers = Vec::new();
        let mut add = |column: &TargetColumn| -> Result<(Field, String)> {
            let field: Field = (C::DIALECT.field)(&column.name, &column.sql_type);
            let field = match Logical::of(&field) {
                // Bits of any number are a text.
                Some(Logical::Bits(0)) => Field::new(&column.name, DataType::Utf8, true),
                _ => field,
            };
            let quoted = format!("{ALIAS}.{}", quote(C::DIALECT, &column.name)?);
            let (expression, reader) = C::reader(column, &quoted, &Arc::new(field.clone()))?;
            list.push(expression);
            readers.push(reader);
            Ok((field, quoted))
        };
        let mut key = Vec::new();
        for name in &wanted.key {
            let column = column_of(options, &known, name)?;
            let (field, quoted) = add(column)?;
            key.push(KeyColumn::new::<C>(column, field, &quoted)?);
        }
        let mut columns = Vec::new();
        for name in &wanted.columns {
            columns.push(add(column_of(options, &known, name)?)?.0);
        }
        let distinct = if columns.is_empty() { "DISTINCT " } else { "" };
        let list = list.join(", ");
        Ok(Self {
            key,
            columns,
            readers: readers.into(),
            select: format!("SELECT {distinct}{list} FROM {from} AS {ALIAS} WHERE "),
        })
    }
}

fn column_of<'a>(
    options: &LookupOptions,
    known: &'a TargetTable,
    name: &str,
) -> Result<&'a TargetColumn> {
    known.column(name).ok_or_else(|| {
        let names: Vec<&str> = known.columns.iter().map(|column| &*column.name).collect();
        Error::configuration(format!(
            "{} has no column {name:?}, it has {}: correct the columns that the lookup is asked for",
            options.shown(),
            names.join(", ")
        ))
    })
}

/// The table that a lookup names.
fn target(name: &str) -> Result<Target> {
    Target::of(name, &crate::change::Table::nowhere())
}

/// Opens a lookup.
///
/// # Errors
/// `Unavailable` while the database does not answer, `Configuration` where it refuses, or where a table or a
/// column is not there.
pub(crate) async fn open<C: ReadRows>(
    settings: C::Settings,
    timeout: Duration,
    options: &LookupOptions,
    wanted: &Wanted,
) -> Result<Box<dyn Lookup>> {
    let lookup = TableLookup::<C>::open(settings, timeout, options, wanted).await?;
    Ok(Box::new(lookup))
}

impl fmt::Debug for dyn Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup")
            .field("columns", &self.columns())
            .finish_non_exhaustive()
    }
}

//! What is kept about conflicts beside the rows, as SQL text: the history, the counts, the queue for a
//! person with the changes that wait behind it, and the shadow (C9, C10).
//!
//! Nothing here connects. A sink runs these statements in the transaction that writes the rows; a
//! [`crate::conflict_queue::ConflictQueue`] runs those that only read. Values stand in the text as escaped literals, and
//! statements are cut at [`STATEMENT_BYTES_MAX`]; one value longer than that has a statement of its
//! own. What a statement returns is text or null in every column ([`Row`]).
//!
//! - duplicate: an entry of the history has an id that a replay gives again, and is kept once. Counts,
//!   the queue and the shadow lean on the positions that move in the same transaction (R4).
//! - null: an image that is not known is null.
//! - keys are JSON texts as [`crate::conflict::write_key`] makes them, compared by their bytes.

mod counts;
mod history;
mod queue;
mod shadow;
mod tables;
mod waiting_room;

#[cfg(test)]
mod tests;

pub use self::counts::Counts;
pub(crate) use self::history::read_record;
pub use self::queue::Waiting;
pub(crate) use self::queue::read_entry;
pub use self::tables::Tables;
pub use self::waiting_room::WaitingHead;
pub(crate) use self::waiting_room::{read_head, read_waiting_change};
use super::dialect::Dialect;
use super::identifier::{literal, quote};
use crate::error::{Error, Result};

/// The history of conflicts.
pub const CONFLICTS_TABLE: &str = "_syncline_conflicts";

/// How often each kind of conflict was.
pub const COUNTS_TABLE: &str = "_syncline_conflict_counts";

/// Conflicts that wait for a person, and those that a person has decided.
pub const QUEUE_TABLE: &str = "_syncline_conflict_queue";

/// The changes that wait behind an open conflict of their key.
pub const WAITING_TABLE: &str = "_syncline_conflict_waiting";

/// Changes that wait for a row that a foreign key needs (R21).
pub const WAITING_ROOM_TABLE: &str = "_syncline_waiting";

/// The source's last images.
pub const SHADOW_TABLE: &str = "_syncline_shadow";

/// Where a statement is cut, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 512 * 1024;

/// What a statement returns of one row.
pub type Row = Vec<Option<String>>;

/// The statements of one sink of one pipeline.
#[derive(Debug, Clone)]
pub struct MetadataTables {
    dialect: &'static Dialect,
    pipeline: String,
    sink: String,
}

impl MetadataTables {
    /// For the sink `sink` of `pipeline`.
    pub fn new(
        dialect: &'static Dialect,
        pipeline: impl Into<String>,
        sink: impl Into<String>,
    ) -> Self {
        Self {
            dialect,
            pipeline: pipeline.into(),
            sink: sink.into(),
        }
    }

    /// The pipeline's name.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// The sink's name.
    pub fn sink(&self) -> &str {
        &self.sink
    }

    /// The dialect of the statements.
    pub fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    /// `pipeline = … AND sink = …`.
    fn own(&self) -> String {
        format!(
            "{} = {} AND {} = {}",
            self.name("pipeline"),
            literal(&self.pipeline),
            self.name("sink"),
            literal(&self.sink)
        )
    }

    /// As [`MetadataTables::own`], of one table of the target.
    fn own_target(&self, target: &str) -> String {
        let own = self.own();
        format!("{own} AND {} = {}", self.name("target"), literal(target))
    }

    fn name(&self, name: &str) -> String {
        name_of(self.dialect, name)
    }

    /// A column to order by, with its table: PostgreSQL takes a bare name for the text that the statement
    /// returns under it, and 10 comes before 9 then.
    fn in_table(&self, table: &str, column: &str) -> String {
        format!("{}.{}", self.name(table), self.name(column))
    }

    fn names(&self, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| self.name(name)).collect();
        names.join(", ")
    }

    /// The columns as text, for a `SELECT`.
    fn texts(&self, columns: &[&str]) -> String {
        let texts: Vec<String> = columns
            .iter()
            .map(|column| self.as_text(&self.name(column)))
            .collect();
        texts.join(", ")
    }

    fn as_text(&self, expression: &str) -> String {
        format!("CAST({expression} AS {})", self.dialect.cast_text)
    }

    /// Where `part` first stands in `text`, from 1; 0 where it does not.
    fn place_of(&self, text: &str, part: &str) -> String {
        let position = self.dialect.position;
        format!("{position}({text}, {})", literal(part))
    }

    /// `INSERT` statements over `rows`, each the values of `columns`.
    fn insert(
        &self,
        table: &str,
        columns: &[&str],
        rows: impl Iterator<Item = Vec<String>>,
        end: &str,
    ) -> Vec<String> {
        let begin = format!(
            "INSERT INTO {} ({}) VALUES ",
            self.name(table),
            self.names(columns)
        );
        chunks(&begin, rows.map(|row| format!("({})", row.join(", "))), end)
    }

    /// Statements that end in a list of `keys`.
    fn with_keys<'a>(
        &self,
        begin: &str,
        keys: impl IntoIterator<Item = &'a str>,
        end: &str,
    ) -> Vec<String> {
        let begin = format!("{begin} AND {} IN (", self.name("key"));
        let end = format!("){end}");
        chunks(&begin, keys.into_iter().map(literal), &end)
    }
}

/// A constant name of this module, quoted: some are words of one dialect or another.
fn name_of(dialect: &'static Dialect, name: &str) -> String {
    quote(dialect, name)
        .expect("the names of Syncline's own tables and columns are short and plain")
}

/// `begin item, item … end`, as often as the bound asks; nothing where there is no item.
fn chunks(begin: &str, items: impl Iterator<Item = String>, end: &str) -> Vec<String> {
    let mut statements: Vec<String> = Vec::new();
    let mut open: Option<String> = None;
    for item in items {
        let fits = |text: &String| text.len() + item.len() + end.len() < STATEMENT_BYTES_MAX;
        open = Some(match open {
            Some(text) if fits(&text) => text + ", " + &item,
            Some(text) => {
                statements.push(text + end);
                begin.to_owned() + &item
            }
            None => begin.to_owned() + &item,
        });
    }
    statements.extend(open.map(|text| text + end));
    statements
}

fn literal_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), literal)
}

fn number_or_null(number: Option<i64>) -> String {
    number.map_or_else(|| "NULL".to_owned(), |number| number.to_string())
}

/// The values of a row by turns, each as what it must be.
struct Fields(std::vec::IntoIter<Option<String>>);

impl Fields {
    fn of(row: Row) -> Self {
        Self(row.into_iter())
    }

    fn optional(&mut self) -> Option<String> {
        self.0.next().flatten()
    }

    fn text(&mut self) -> String {
        self.optional().unwrap_or_default()
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T> {
        let text = self.text();
        text.parse().map_err(|_| unknown("number", &text))
    }

    fn optional_number(&mut self) -> Result<Option<i64>> {
        let text = self.optional();
        text.map(|text| text.parse().map_err(|_| unknown("number", &text)))
            .transpose()
    }

    fn named<T>(&mut self, what: &str, named: impl Fn(&str) -> Option<T>) -> Result<T> {
        let text = self.text();
        named(&text).ok_or_else(|| unknown(what, &text))
    }
}

fn unknown(what: &str, text: &str) -> Error {
    Error::configuration(format!(
        "the target keeps a conflict with the {what} {text:?}, which this version does not know: use the newer Syncline that wrote it"
    ))
}

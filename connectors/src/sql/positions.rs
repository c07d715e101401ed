//! Positions in the target, once for every database: the tables, where partitions stand, and the
//! compare-and-set that fences a second owner (R4).
//!
//! - `tables`: Syncline's own tables, made at connect; a database of an older version gets the
//!   columns that it lacks.
//! - `targets`: a position belongs to one target (R24): which `table` setting it was written for, and
//!   which tables were written.
//! - `lock`: what a session holds while it may write, so that `syncline positions set` does not move a
//!   position under a pipeline that runs.
//! - `store`: positions for a person who looks at them or moves them.
//!
//! A database says how it runs a statement and takes a lock ([`Execute`]); everything else is the same
//! text, or differs by [`Dialect`]. Duplicate: a position that is there already is not inserted, which the caller sees
//! as a fence. Null: an incarnation that a source does not say leaves what is kept.

pub(crate) mod lock;
pub(crate) mod store;
mod tables;
pub(crate) mod targets;

use std::future::Future;

pub(crate) use tables::create_tables;

use self::lock::SinkLock;
use super::POSITIONS_TABLE;
use super::connection::Connection;
use super::dialect::Dialect;
use super::failure::Failure;
use super::identifier::literal;
use super::metadata::Row;
use crate::error::{Error, Result};
use crate::record::{Held, HeldPositions, Partition, Span};
use crate::sink::Identity;

/// What the statements here need of a connection.
pub(crate) trait Execute: Send {
    /// Why a statement failed.
    type Failure: From<Error> + Into<Error> + Send;
    /// How the database writes SQL.
    const DIALECT: &'static Dialect;

    /// Runs one statement and gives its rows, of which every column is a text.
    fn rows(&mut self, sql: &str) -> impl Future<Output = Result<Vec<Row>, Self::Failure>> + Send;

    /// Runs statements; gives how many rows they wrote or, for an update, found.
    fn execute(&mut self, sql: &str) -> impl Future<Output = Result<u64, Self::Failure>> + Send;

    /// Whether it failed because such a row is there already.
    fn is_duplicate(failure: &Self::Failure) -> bool;

    /// Waits until no other session changes tables, and keeps them from it.
    fn begin_schema_change(&mut self) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// Ends it; where it did not succeed, what can be taken back is.
    fn end_schema_change(
        &mut self,
        succeeded: bool,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// Takes the lock of a sink for a session that writes; it is given back when the connection ends.
    /// `Unavailable` where somebody moves the positions for long.
    fn share(&mut self, lock: &SinkLock) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// Takes the lock alone, if no session holds it, except this one where it `shares` it.
    fn take_alone(
        &mut self,
        lock: &SinkLock,
        shares: bool,
    ) -> impl Future<Output = Result<bool, Self::Failure>> + Send;

    /// Gives back what [`Execute::take_alone`] took.
    fn release(
        &mut self,
        lock: &SinkLock,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;
}

/// A value of a column that is never null.
fn text(row: &Row, column: usize) -> Result<&str> {
    row.get(column)
        .and_then(|value| value.as_deref())
        .ok_or_else(|| unreadable("a value is missing"))
}

/// Whether the one value that a statement gave is 1.
pub(crate) fn is_one(rows: &[Row]) -> bool {
    rows.first()
        .is_some_and(|row| text(row, 0).is_ok_and(|text| text == "1"))
}

fn number<T: std::str::FromStr>(row: &Row, column: usize) -> Result<T> {
    text(row, column)?
        .parse()
        .map_err(|_| unreadable("a number is none"))
}

fn unreadable(why: &str) -> Error {
    Error::configuration(format!(
        "Syncline's own tables in the target cannot be read: {why}; was {POSITIONS_TABLE} changed by hand?"
    ))
}

fn as_text(dialect: &'static Dialect, expression: &str) -> String {
    format!("CAST({expression} AS {})", dialect.cast_text)
}

fn owner(identity: &Identity) -> String {
    format!(
        "pipeline = {} AND sink = {} AND source = {}",
        literal(&identity.pipeline),
        literal(&identity.sink),
        literal(&identity.source)
    )
}

fn nullable(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), literal)
}

/// Where each partition stands.
pub(crate) async fn read<E: Execute>(
    connection: &mut E,
    identity: &Identity,
) -> Result<HeldPositions, E::Failure> {
    let sql = select(E::DIALECT, identity, "incarnation");
    Ok(held(connection.rows(&sql).await?)?)
}

/// As [`read`], without incarnations: also from a database of an older version.
pub(crate) async fn read_offsets<C: Connection>(
    session: &mut C,
    identity: &Identity,
) -> Result<HeldPositions, Failure> {
    let sql = select(C::DIALECT, identity, &as_text(C::DIALECT, "NULL"));
    Ok(held(session.query(&sql).await?)?)
}

fn select(dialect: &'static Dialect, identity: &Identity, incarnation: &str) -> String {
    format!(
        "SELECT topic, {}, {}, {incarnation} FROM {POSITIONS_TABLE} WHERE {}",
        as_text(dialect, dialect.own_tables.partition),
        as_text(dialect, "position"),
        owner(identity)
    )
}

fn held(rows: Vec<Row>) -> Result<HeldPositions> {
    let mut positions = HeldPositions::new();
    for row in rows {
        let partition = Partition {
            topic: text(&row, 0)?.into(),
            number: number(&row, 1)?,
        };
        let held = Held {
            next: number(&row, 2)?,
            incarnation: row.get(3).cloned().flatten().map(Into::into),
        };
        positions.insert(partition, held);
    }
    Ok(positions)
}

/// Moves every span from its `from` to its `next`; `false` where one of them stands elsewhere. The rows
/// stay locked until the transaction ends, so that a second owner waits and then fails.
pub(crate) async fn advance<E: Execute>(
    connection: &mut E,
    identity: &Identity,
    spans: &[Span],
) -> Result<bool, E::Failure> {
    if spans.is_empty() {
        return Ok(true);
    }
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort_by(|left, right| left.partition.cmp(&right.partition));
    let statements = if E::DIALECT.updates_from_values {
        in_bulk(identity, &sorted)
    } else {
        one_by_one(E::DIALECT, identity, &sorted)
    };
    match connection.execute(&statements.join("; ")).await {
        Ok(moved) => Ok(moved == spans.len() as u64),
        Err(failure) if E::is_duplicate(&failure) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Whether every span ended where the target stands: a write that was committed and not heard of.
pub(crate) fn is_done(held: &HeldPositions, spans: &[Span]) -> bool {
    let mut spans = spans.iter();
    spans.all(|span| held.get(&span.partition).map(|held| held.next) == Some(span.next))
}

/// Why the positions could not be moved, when the target holds `held`.
pub(crate) fn fence(held: &HeldPositions, spans: &[Span]) -> Error {
    let stands = |span: &Span| held.get(&span.partition).map(|held| held.next);
    match spans.iter().find(|span| stands(span) != span.from) {
        Some(span) => Error::Fenced {
            partition: span.partition.clone(),
            expected: span.from.unwrap_or(0),
            found: stands(span),
        },
        None => Error::Unavailable {
            message: "the positions moved while they were compared: try again".to_owned(),
            cause: None,
        },
    }
}

/// One statement for the positions that are there and one for the new ones.
fn in_bulk(identity: &Identity, spans: &[&Span]) -> Vec<String> {
    let (known, new): (Vec<&Span>, Vec<&Span>) = spans.iter().partition(|span| span.from.is_some());
    let values = |spans: &[&Span]| {
        let rows: Vec<String> = spans
            .iter()
            .map(|span| {
                format!(
                    "({}, {}::integer, {}::bigint, {}::bigint, {}::text)",
                    literal(&span.partition.topic),
                    span.partition.number,
                    span.from.unwrap_or(0),
                    span.next,
                    nullable(span.incarnation.as_deref())
                )
            })
            .collect();
        format!(
            "(VALUES {}) AS n (topic, partition, came_from, next, incarnation)",
            rows.join(", ")
        )
    };
    let (pipeline, sink, source) = (
        literal(&identity.pipeline),
        literal(&identity.sink),
        literal(&identity.source),
    );
    let mut statements = Vec::new();
    if !known.is_empty() {
        statements.push(format!(
            "UPDATE {POSITIONS_TABLE} AS p SET position = n.next, \
             incarnation = COALESCE(n.incarnation, p.incarnation), updated_at = now() FROM {} \
             WHERE p.pipeline = {pipeline} AND p.sink = {sink} AND p.source = {source} AND p.topic = n.topic \
             AND p.partition = n.partition AND p.position = n.came_from",
            values(&known)
        ));
    }
    if !new.is_empty() {
        statements.push(format!(
            "INSERT INTO {POSITIONS_TABLE} (pipeline, sink, source, topic, partition, position, incarnation) \
             SELECT {pipeline}, {sink}, {source}, n.topic, n.partition, n.next, n.incarnation FROM {} \
             ON CONFLICT DO NOTHING",
            values(&new)
        ));
    }
    statements
}

/// Each statement names one row by its whole key, so that it locks no other lane's.
fn one_by_one(dialect: &'static Dialect, identity: &Identity, spans: &[&Span]) -> Vec<String> {
    let (owner, now) = (owner(identity), dialect.now);
    let number_column = dialect.own_tables.partition;
    let unless_there = dialect.unless_there;
    let (pipeline, sink, source) = (
        literal(&identity.pipeline),
        literal(&identity.sink),
        literal(&identity.source),
    );
    let statement = |span: &&Span| {
        let (topic, number) = (literal(&span.partition.topic), span.partition.number);
        let next = span.next;
        let incarnation = nullable(span.incarnation.as_deref());
        match span.from {
            Some(from) => format!(
                "UPDATE {POSITIONS_TABLE} SET position = {next}, \
                 incarnation = COALESCE({incarnation}, incarnation), updated_at = {now} \
                 WHERE {owner} AND topic = {topic} AND {number_column} = {number} AND position = {from}"
            ),
            None => format!(
                "INSERT INTO {POSITIONS_TABLE} (pipeline, sink, source, topic, {number_column}, position, incarnation, updated_at) \
                 VALUES ({pipeline}, {sink}, {source}, {topic}, {number}, {next}, {incarnation}, {now}){unless_there}"
            ),
        }
    };
    spans.iter().map(statement).collect()
}

//! Which rows the foreign keys of changes need, and which of them are there.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::Array as _;

pub(super) use super::foreign_key::ForeignKey;
use crate::change::{Changes, Operation};
use crate::error::{Error, Result};
use crate::sql::Options;
use crate::sql::bulk::{Bulk, Tables};
use crate::sql::failure::Failure;
use crate::sql::identifier::{literal, quote};
use crate::sql::order::Order;
use crate::sql::session::SqlSession;
use crate::sql::target::Target;
use crate::text::write_text;
use crate::waiting::Awaited;

/// How many rows one statement asks for.
const ASKED_MAX: usize = 200;

/// The condition under which an awaited row is there.
fn exists<C: Tables>(awaited: &Awaited) -> Result<String> {
    let target = Target {
        schema: awaited.schema.clone(),
        name: awaited.table.clone(),
    };
    let mut equal = Vec::new();
    for (column, value) in awaited.columns.iter().zip(&awaited.values) {
        equal.push(format!(
            "{} = {}",
            quote(C::DIALECT, column)?,
            literal(value)
        ));
    }
    let table = target.quoted(C::DIALECT)?;
    Ok(format!(
        "EXISTS (SELECT 1 FROM {table} WHERE {})",
        equal.join(" AND ")
    ))
}

/// A table in lower case, and values of its columns: what a change of a write brings.
type Brought = (String, Vec<(String, String)>);

/// What brings an awaited row.
fn plain(awaited: &Awaited) -> Brought {
    let columns = awaited.columns.iter().map(|column| column.to_lowercase());
    let mut columns: Vec<_> = columns.zip(awaited.values.iter().cloned()).collect();
    columns.sort();
    (awaited.table.to_lowercase(), columns)
}

/// The changes whose foreign keys need a row that neither the target has nor another change brings, with
/// that row. It only spares the database many refusals: what it overlooks is refused by itself.
///
/// # Errors
/// As a query.
pub(super) async fn lacking<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    order: &Order<'_>,
) -> Result<BTreeMap<usize, Awaited>, Failure> {
    let mut needs: Vec<(usize, Awaited)> = Vec::new();
    for number in 0..order.len() {
        let (slice, index) = order.slice(number);
        if !is_upsert(&slice.changes, index) {
            continue;
        }
        let target = Target::of(&options.table, &slice.changes.table)?;
        for key in session.foreign_keys(&target).await?.iter() {
            needs.extend(need(key, &slice.changes, index).map(|awaited| (number, awaited)));
        }
    }
    let known: BTreeSet<Awaited> = needs.iter().map(|(_, awaited)| awaited.clone()).collect();
    let there = present(session, &known).await?;
    needs.retain(|(_, awaited)| !there.contains(awaited));
    let mut lacking: BTreeMap<usize, Awaited> = BTreeMap::new();
    // A row that waits brings nothing: what needs it waits too.
    loop {
        let brought = brought(options, order, &needs, &lacking)?;
        let before = lacking.len();
        for (number, awaited) in &needs {
            if !brought.contains(&plain(awaited)) {
                lacking.entry(*number).or_insert_with(|| awaited.clone());
            }
        }
        if lacking.len() == before {
            return Ok(lacking);
        }
    }
}

fn is_upsert(changes: &Changes, row: usize) -> bool {
    !matches!(
        changes.operations[row],
        Operation::Delete | Operation::Truncate
    )
}

/// The row that a foreign key of one change needs; `None` where a part of it is null or not carried.
fn need(key: &ForeignKey, changes: &Changes, row: usize) -> Option<Awaited> {
    let values = key.columns.iter().map(|column| value(changes, column, row));
    Some(Awaited {
        schema: key.parent.schema.clone(),
        table: key.parent.name.clone(),
        columns: key.parent_columns.clone(),
        values: values.collect::<Option<_>>()?,
    })
}

fn value(changes: &Changes, column: &str, row: usize) -> Option<String> {
    let schema = changes.rows.schema_ref();
    let index = (0..schema.fields().len())
        .find(|&index| schema.field(index).name().eq_ignore_ascii_case(column))?;
    let array = changes.rows.column(index);
    if array.is_null(row) || changes.is_unset(index, row) {
        return None;
    }
    let mut text = Vec::new();
    write_text(schema.field(index), array, row, &mut text);
    String::from_utf8(text).ok()
}

/// The needed rows that some change brings, but for those that wait.
fn brought(
    options: &Options,
    order: &Order<'_>,
    needs: &[(usize, Awaited)],
    waiting: &BTreeMap<usize, Awaited>,
) -> Result<HashSet<Brought>, Error> {
    let wanted = needs.iter().map(|(_, awaited)| {
        let columns = awaited.columns.iter();
        let columns: BTreeSet<String> = columns.map(|column| column.to_lowercase()).collect();
        (awaited.table.to_lowercase(), columns)
    });
    let wanted: HashSet<_> = wanted.collect();
    let mut found = HashSet::new();
    for number in (0..order.len()).filter(|number| !waiting.contains_key(number)) {
        let (slice, index) = order.slice(number);
        if !is_upsert(&slice.changes, index) {
            continue;
        }
        let target = Target::of(&options.table, &slice.changes.table)?;
        let name = target.name.to_lowercase();
        for (_, columns) in wanted.iter().filter(|(table, _)| *table == name) {
            let values = columns
                .iter()
                .map(|column| Some((column.clone(), value(&slice.changes, column, index)?)));
            if let Some(values) = values.collect::<Option<Vec<_>>>() {
                found.insert((name.clone(), values));
            }
        }
    }
    Ok(found)
}

/// Which of these rows the target has. Where it cannot be asked, none.
///
/// # Errors
/// As a query.
pub(super) async fn present<C: Bulk>(
    session: &mut SqlSession<C>,
    awaited: &BTreeSet<Awaited>,
) -> Result<HashSet<Awaited>, Failure> {
    let awaited: Vec<&Awaited> = awaited.iter().collect();
    let mut found = HashSet::new();
    for chunk in awaited.chunks(ASKED_MAX) {
        let mut asks = Vec::new();
        for (number, awaited) in chunk.iter().enumerate() {
            let exists = exists::<C>(awaited)?;
            asks.push(format!(
                "SELECT '{number}' FROM (SELECT 1 AS one) AS o WHERE {exists}"
            ));
        }
        session.connection.execute("SAVEPOINT asked").await?;
        let answer = session.connection.query(&asks.join(" UNION ALL ")).await;
        let end = match &answer {
            Ok(_) => "RELEASE SAVEPOINT asked",
            // A value that the column cannot hold, or a table that may not be read.
            Err(Failure::Error(Error::Unavailable { .. })) => "",
            Err(_) => "ROLLBACK TO SAVEPOINT asked; RELEASE SAVEPOINT asked",
        };
        if let Err(failure @ Failure::Error(Error::Unavailable { .. })) = answer {
            return Err(failure);
        }
        session.connection.execute(end).await?;
        for row in answer.unwrap_or_default() {
            let number = row.into_iter().next().flatten();
            let number = number.and_then(|number| number.parse::<usize>().ok());
            found.extend(number.map(|number| chunk[number].clone()));
        }
    }
    Ok(found)
}

//! Positions in the target: the tables, and the compare-and-set that fences (R4).

use rusqlite::{Connection, params};

use super::failure::of_statement;
use crate::error::Result;
use crate::record::{Partition, Positions, Span};
use crate::sink::Identity;
use crate::sql::{POSITIONS_TABLE, TOMBSTONES_TABLE};

/// Makes the tables that are not there.
pub(super) fn create_tables(connection: &Connection) -> Result<()> {
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {POSITIONS_TABLE} (pipeline TEXT, sink TEXT, source TEXT, topic TEXT, \
         partition INTEGER, position INTEGER NOT NULL, updated_at TEXT NOT NULL, \
         PRIMARY KEY (pipeline, sink, source, topic, partition)) WITHOUT ROWID; \
         CREATE TABLE IF NOT EXISTS {TOMBSTONES_TABLE} (pipeline TEXT, sink TEXT, target TEXT, key TEXT, \
         version, PRIMARY KEY (pipeline, sink, target, key)) WITHOUT ROWID"
    );
    connection
        .execute_batch(&create)
        .map_err(|error| of_statement("creating Syncline's own tables", error))
}

/// Where each partition stands.
pub(super) fn read(connection: &Connection, identity: &Identity) -> Result<Positions> {
    let read = || {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT topic, partition, position FROM {POSITIONS_TABLE} WHERE pipeline = ?1 AND sink = ?2 AND source = ?3"
        ))?;
        let rows = statement.query_map(
            params![identity.pipeline, identity.sink, identity.source],
            |row| {
                let partition = Partition {
                    topic: row.get::<_, String>(0)?.into(),
                    number: row.get(1)?,
                };
                Ok((partition, row.get(2)?))
            },
        )?;
        rows.collect::<rusqlite::Result<Positions>>()
    };
    read().map_err(|error| of_statement("reading the positions", error))
}

/// Moves every span from its `from` to its `next`; `false` where one of them stands elsewhere.
pub(super) fn advance(
    connection: &Connection,
    identity: &Identity,
    spans: &[Span],
) -> Result<bool> {
    for span in spans {
        let moved = advance_one(connection, identity, span)
            .map_err(|error| of_statement("moving the positions", error))?;
        if !moved {
            return Ok(false);
        }
    }
    Ok(true)
}

fn advance_one(
    connection: &Connection,
    identity: &Identity,
    span: &Span,
) -> rusqlite::Result<bool> {
    let Identity {
        pipeline,
        sink,
        source,
    } = identity;
    let (topic, number) = (&*span.partition.topic, span.partition.number);
    let now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
    let own = "pipeline = ?1 AND sink = ?2 AND source = ?3 AND topic = ?4 AND partition = ?5";
    let moved = match span.from {
        Some(from) => connection
            .prepare_cached(&format!(
                "UPDATE {POSITIONS_TABLE} SET position = ?6, updated_at = {now} WHERE {own} AND position = ?7"
            ))?
            .execute(params![pipeline, sink, source, topic, number, span.next, from])?,
        None => connection
            .prepare_cached(&format!(
                "INSERT INTO {POSITIONS_TABLE} (pipeline, sink, source, topic, partition, position, updated_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, {now}) ON CONFLICT DO NOTHING"
            ))?
            .execute(params![pipeline, sink, source, topic, number, span.next])?,
    };
    Ok(moved == 1)
}

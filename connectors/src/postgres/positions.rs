//! Positions and tombstones in the target: the tables, and the compare-and-set that fences (R4).

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::failure::{Failure, failure};
use crate::record::{Partition, Positions, Span};
use crate::sink::Identity;
use crate::sql::{POSITIONS_TABLE, TOMBSTONES_TABLE};

/// Serialises sessions that create or alter tables at the same time.
pub(super) const DDL_LOCK: i64 = 0x5379_6e63_6c69_6e65;

/// Makes the tables that are not there.
pub(super) async fn create_tables(
    connection: &mut PgConnection,
    tombstones: bool,
) -> Result<(), Failure> {
    let doing = "creating Syncline's own tables";
    let missing = format!(
        "SELECT to_regclass('{POSITIONS_TABLE}') IS NULL OR ({tombstones} AND to_regclass('{TOMBSTONES_TABLE}') IS NULL)"
    );
    let missing: bool = sqlx::query_scalar(AssertSqlSafe(missing))
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failure(doing, error))?;
    if !missing {
        return Ok(());
    }
    let mut sql = format!("BEGIN; SELECT pg_advisory_xact_lock({DDL_LOCK}); ");
    sql.push_str(&format!(
        "CREATE TABLE IF NOT EXISTS {POSITIONS_TABLE} (pipeline text, sink text, source text, topic text, \
         partition integer, position bigint NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(), \
         PRIMARY KEY (pipeline, sink, source, topic, partition)) WITH (fillfactor = 50); "
    ));
    if tombstones {
        sql.push_str(&format!(
            "CREATE TABLE IF NOT EXISTS {TOMBSTONES_TABLE} (pipeline text, sink text, target text, \
             key text, instant timestamptz, number numeric, PRIMARY KEY (pipeline, sink, target, key)); "
        ));
    }
    sql.push_str("COMMIT");
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut *connection)
        .await
        .map(|_| ())
        .map_err(|error| failure(doing, error))
}

/// Where each partition stands.
pub(super) async fn read(
    connection: &mut PgConnection,
    identity: &Identity,
) -> Result<Positions, Failure> {
    let sql = format!(
        "SELECT topic, partition, position FROM {POSITIONS_TABLE} WHERE pipeline = $1 AND sink = $2 AND source = $3"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(&identity.pipeline)
        .bind(&identity.sink)
        .bind(&identity.source)
        .fetch_all(connection)
        .await
        .map_err(|error| failure("reading the positions", error))?;
    rows.iter()
        .map(|row| {
            let topic: String = row.try_get(0)?;
            let number = row.try_get(1)?;
            let partition = Partition {
                topic: topic.into(),
                number,
            };
            Ok((partition, row.try_get(2)?))
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(|error| failure("reading the positions", error))
}

/// Moves every span from its `from` to its `next`; `false` where one of them stands elsewhere. The
/// rows stay locked until the transaction ends, so that a second owner waits and then fails.
pub(super) async fn advance(
    connection: &mut PgConnection,
    identity: &Identity,
    spans: &[Span],
) -> Result<bool, Failure> {
    let update = format!(
        "UPDATE {POSITIONS_TABLE} AS p SET position = n.next, updated_at = now() \
         FROM unnest($4::text[], $5::integer[], $6::bigint[], $7::bigint[]) AS n (topic, partition, came_from, next) \
         WHERE p.pipeline = $1 AND p.sink = $2 AND p.source = $3 AND p.topic = n.topic \
         AND p.partition = n.partition AND p.position = n.came_from"
    );
    let insert = format!(
        "INSERT INTO {POSITIONS_TABLE} (pipeline, sink, source, topic, partition, position) \
         SELECT $1, $2, $3, n.topic, n.partition, n.next \
         FROM unnest($4::text[], $5::integer[], $6::bigint[], $7::bigint[]) AS n (topic, partition, came_from, next) \
         ON CONFLICT DO NOTHING"
    );
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort_by(|left, right| left.partition.cmp(&right.partition));
    let (known, new): (Vec<&Span>, Vec<&Span>) =
        sorted.into_iter().partition(|span| span.from.is_some());
    for (sql, spans) in [(update, known), (insert, new)] {
        if spans.is_empty() {
            continue;
        }
        let topics: Vec<String> = spans
            .iter()
            .map(|span| span.partition.topic.to_string())
            .collect();
        let numbers: Vec<i32> = spans.iter().map(|span| span.partition.number).collect();
        let from: Vec<i64> = spans.iter().map(|span| span.from.unwrap_or(0)).collect();
        let next: Vec<i64> = spans.iter().map(|span| span.next).collect();
        let moved = sqlx::query(AssertSqlSafe(sql))
            .bind(&identity.pipeline)
            .bind(&identity.sink)
            .bind(&identity.source)
            .bind(topics)
            .bind(numbers)
            .bind(from)
            .bind(next)
            .execute(&mut *connection)
            .await
            .map_err(|error| failure("moving the positions", error))?
            .rows_affected();
        if moved != spans.len() as u64 {
            return Ok(false);
        }
    }
    Ok(true)
}

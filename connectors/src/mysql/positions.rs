//! Positions and tombstones in the target: the tables, and the compare-and-set that fences (R4).

use super::failure::Failure;
use super::session::{Session, integer, text};
use crate::error::Error;
use crate::record::{Partition, Positions, Span};
use crate::sink::Identity;
use crate::sql::identifier::literal;
use crate::sql::{POSITIONS_TABLE, TOMBSTONES_TABLE};

/// Serialises sessions of the server that create or alter tables at the same time.
const DDL_LOCK: &str = "syncline_ddl";

/// How long to wait for it, in seconds.
const DDL_LOCK_SECONDS: u32 = 60;

/// Takes the lock under which schemas change.
pub(super) async fn lock_schemas(session: &mut Session) -> Result<(), Failure> {
    let sql = format!("SELECT COALESCE(GET_LOCK('{DDL_LOCK}', {DDL_LOCK_SECONDS}), 0)");
    let rows = session.rows(&sql).await?;
    match rows.first().map(|row| integer(row, 0)).transpose()? {
        Some(1) => Ok(()),
        _ => Err(Failure::Error(Error::Unavailable {
            message: format!(
                "another session changes tables for longer than {DDL_LOCK_SECONDS} s: try again"
            ),
            cause: None,
        })),
    }
}

/// Gives it back.
pub(super) async fn unlock_schemas(session: &mut Session) -> Result<(), Failure> {
    let sql = format!("SELECT RELEASE_LOCK('{DDL_LOCK}')");
    session.rows(&sql).await.map(drop)
}

/// Makes the tables that are not there. An index takes 3,072 bytes, which bounds the names.
pub(super) async fn create_tables(session: &mut Session, tombstones: bool) -> Result<(), Failure> {
    let wanted: &[&str] = if tombstones {
        &[POSITIONS_TABLE, TOMBSTONES_TABLE]
    } else {
        &[POSITIONS_TABLE]
    };
    let names: Vec<String> = wanted.iter().map(|name| literal(name)).collect();
    let sql = format!(
        "SELECT CAST(COUNT(*) AS SIGNED) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ({})",
        names.join(", ")
    );
    let rows = session.rows(&sql).await?;
    let there = rows.first().map(|row| integer(row, 0)).transpose()?;
    if there == Some(wanted.len() as i64) {
        return Ok(());
    }
    let collation = session.server.collation();
    let mut sql = format!(
        "CREATE TABLE IF NOT EXISTS {POSITIONS_TABLE} (pipeline varchar(120) NOT NULL, sink varchar(120) NOT NULL, \
         source varchar(120) NOT NULL, topic varchar(400) NOT NULL, `partition` int NOT NULL, \
         position bigint NOT NULL, updated_at datetime(6) NOT NULL, \
         PRIMARY KEY (pipeline, sink, source, topic, `partition`)) ENGINE = InnoDB COLLATE {collation}"
    );
    if tombstones {
        sql.push_str(&format!(
            "; CREATE TABLE IF NOT EXISTS {TOMBSTONES_TABLE} (pipeline varchar(120) NOT NULL, \
             sink varchar(120) NOT NULL, target varchar(140) NOT NULL, key_hash binary(32) NOT NULL, \
             instant datetime(6) NULL, number decimal(65,30) NULL, \
             PRIMARY KEY (pipeline, sink, target, key_hash)) ENGINE = InnoDB COLLATE {collation}"
        ));
    }
    lock_schemas(session).await?;
    session.execute(&sql).await?;
    unlock_schemas(session).await
}

fn owned_by(identity: &Identity) -> String {
    format!(
        "pipeline = {} AND sink = {} AND source = {}",
        literal(&identity.pipeline),
        literal(&identity.sink),
        literal(&identity.source)
    )
}

/// Where each partition stands.
pub(super) async fn read(session: &mut Session, identity: &Identity) -> Result<Positions, Failure> {
    let sql = format!(
        "SELECT `partition`, position, topic FROM {POSITIONS_TABLE} WHERE {}",
        owned_by(identity)
    );
    let mut positions = Positions::new();
    for row in session.rows(&sql).await? {
        let topic = text(&row, "topic")?.unwrap_or_default();
        let partition = Partition {
            topic: topic.into(),
            number: integer(&row, 0)? as i32,
        };
        positions.insert(partition, integer(&row, 1)?);
    }
    Ok(positions)
}

/// Moves every span from its `from` to its `next`; `false` where one of them stands elsewhere. The
/// rows stay locked until the transaction ends, so that a second owner waits and then fails. Each
/// statement names one row by its whole key, so that it locks no other lane's.
pub(super) async fn advance(
    session: &mut Session,
    identity: &Identity,
    spans: &[Span],
) -> Result<bool, Failure> {
    if spans.is_empty() {
        return Ok(true);
    }
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort_by(|left, right| left.partition.cmp(&right.partition));
    let owner = owned_by(identity);
    let (pipeline, sink, source) = (
        literal(&identity.pipeline),
        literal(&identity.sink),
        literal(&identity.source),
    );
    let statements: Vec<String> = sorted
        .iter()
        .map(|span| {
            let (topic, number) = (literal(&span.partition.topic), span.partition.number);
            let next = span.next;
            match span.from {
                Some(from) => format!(
                    "UPDATE {POSITIONS_TABLE} SET position = {next}, updated_at = UTC_TIMESTAMP(6) \
                     WHERE {owner} AND topic = {topic} AND `partition` = {number} AND position = {from}"
                ),
                None => format!(
                    "INSERT INTO {POSITIONS_TABLE} (pipeline, sink, source, topic, `partition`, position, updated_at) \
                     VALUES ({pipeline}, {sink}, {source}, {topic}, {number}, {next}, UTC_TIMESTAMP(6))"
                ),
            }
        })
        .collect();
    match session.execute_counted(statements.join("; ")).await {
        Ok(moved) => Ok(moved == spans.len() as u64),
        // The position is there already.
        Err(Failure::Data(refused)) if refused.duplicate.is_some() => Ok(false),
        Err(other) => Err(other),
    }
}

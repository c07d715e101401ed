//! Marks what a session writes with a replication origin, so that whoever reads the changes of this
//! database can tell them from those of its users (`ignore_origins` of a source).
//!
//! **Guarantees.** The mark is one of the transaction: every row, delete and truncate of a write
//! carries it, and nothing else does. PostgreSQL writes it into its log beside the commit, so it costs
//! no column and no statement. A session without its mark does not come into being.
//!
//! An origin is active in one session at a time, so that every connection takes the first free one of
//! `syncline_PIPELINE_SINK_0`, `…_1`, and so on. They are made once and stay: a reader of the log looks
//! their names up when it gets there.

use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::failure::{Failure, failure};
use crate::error::Error;
use crate::sink::Identity;
use crate::sql::identifier::literal;

/// How writes are marked as Syncline's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginMark {
    /// By a replication origin `syncline_PIPELINE_SINK_NUMBER`, which Debezium shows as
    /// `source.origin`. Needs PostgreSQL 14 and, but for a superuser, a GRANT.
    Replication,
}

/// As many sessions as can write for one sink at a time.
const ORIGINS_MAX: usize = 256;

/// The functions that a session calls.
const FUNCTIONS: [&str; 4] = [
    "pg_replication_origin_oid(text)",
    "pg_replication_origin_create(text)",
    "pg_replication_origin_session_setup(text)",
    "pg_replication_origin_xact_setup(pg_lsn, timestamptz)",
];

/// What begins a transaction. PostgreSQL would stamp every marked transaction of a session with the
/// time of its first one, unless it is told.
pub(super) const BEGIN_MARKED: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SELECT pg_replication_origin_xact_setup('0/0', clock_timestamp())";

/// Takes a free origin for as long as the session lives.
pub(super) async fn take(
    connection: &mut PgConnection,
    identity: &Identity,
) -> Result<(), Failure> {
    check(connection).await?;
    for number in 0..ORIGINS_MAX {
        let name = format!("syncline_{}_{}_{number}", identity.pipeline, identity.sink);
        create(connection, &name).await?;
        if set_up(connection, &name).await? {
            return Ok(());
        }
    }
    Err(Failure::Error(Error::Unavailable {
        message: format!(
            "all {ORIGINS_MAX} replication origins of the sink are active in other sessions"
        ),
        cause: None,
    }))
}

/// Whether the user may mark its writes.
///
/// # Errors
/// `Configuration` with the GRANT that is missing.
pub(super) async fn check(connection: &mut PgConnection) -> Result<(), Failure> {
    let functions: Vec<String> = FUNCTIONS.iter().map(|name| literal(name)).collect();
    let sql = format!(
        "SELECT quote_ident(current_user), bool_and(has_function_privilege(f, 'EXECUTE')) \
         FROM unnest(ARRAY[{}]) AS f",
        functions.join(", ")
    );
    let (user, granted): (String, bool) = sqlx::query_as(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .map_err(|error| failure("looking up the functions for replication origins", error))?;
    if granted {
        return Ok(());
    }
    Err(Failure::Error(Error::configuration(format!(
        "origin = \"replication\" calls functions that {user} may not: as a superuser, run in this database GRANT EXECUTE ON FUNCTION {} TO {user}",
        FUNCTIONS.join(", ")
    ))))
}

async fn create(connection: &mut PgConnection, name: &str) -> Result<(), Failure> {
    let sql = "SELECT pg_replication_origin_create($1) WHERE pg_replication_origin_oid($1) IS NULL";
    match sqlx::query(sql).bind(name).execute(connection).await {
        // Another session made it meanwhile.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("23505") => Ok(()),
        other => other
            .map(|_| ())
            .map_err(|error| failure("creating a replication origin", error)),
    }
}

/// `false` where another session holds it.
async fn set_up(connection: &mut PgConnection, name: &str) -> Result<bool, Failure> {
    let sql = "SELECT pg_replication_origin_session_setup($1)";
    let error = match sqlx::query(sql).bind(name).execute(connection).await {
        Ok(_) => return Ok(true),
        Err(error) => error,
    };
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        // object_in_use
        Some("55006") => Ok(false),
        // configuration_limit_exceeded, object_not_in_prerequisite_state
        Some("53400" | "55000") => Err(Failure::Error(Error::configuration(format!(
            "the server has no room for the replication origin {name:?}: raise max_replication_slots (from PostgreSQL 18 on max_active_replication_origins) to one for each lane of each sink, or drop origins that nobody uses with pg_replication_origin_drop"
        )))),
        _ => Err(failure("taking a replication origin", error)),
    }
}

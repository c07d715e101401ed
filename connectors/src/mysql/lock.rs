//! What a session holds while it may write a sink's positions. The server has named locks that one
//! session holds: a session takes one of [`SLOTS`] names, and who moves positions looks that none is
//! taken.

use sqlx::MySqlConnection;

use super::failure::Failure;
use crate::error::Error;
use crate::sql::identifier::literal;
use crate::sql::positions::lock::{SinkLock, WAIT_SECONDS};
use crate::sql::positions::{Execute as _, is_one};

/// How many sessions of one sink there may be.
const SLOTS: u64 = 256;

/// The name of one lock. Names are of the whole server: the database is a part of them.
fn name(lock: &SinkLock, part: &str) -> String {
    let (key, part) = (literal(&format!(":{:016x}:", lock.key())), literal(part));
    format!("CONCAT('syncline:', LEFT(SHA1(DATABASE()), 16), {key}, {part})")
}

/// Whether an expression is 1. A lock that the server could not give is null.
async fn asks(connection: &mut MySqlConnection, expression: &str) -> Result<bool, Failure> {
    let sql = format!("SELECT CAST({expression} AS char)");
    Ok(is_one(&connection.rows(&sql).await?))
}

/// Takes a slot, which no one has who moves positions.
pub(super) async fn share(
    connection: &mut MySqlConnection,
    lock: &SinkLock,
) -> Result<(), Failure> {
    take_slot(connection, lock).await?;
    let alone = name(lock, "alone");
    if !asks(connection, &format!("IS_FREE_LOCK({alone})")).await? {
        if !asks(connection, &format!("GET_LOCK({alone}, {WAIT_SECONDS})")).await? {
            return Err(lock.busy().into());
        }
        release(connection, lock).await?;
    }
    Ok(())
}

async fn take_slot(connection: &mut MySqlConnection, lock: &SinkLock) -> Result<(), Failure> {
    let rows = connection
        .rows("SELECT CAST(CONNECTION_ID() % 256 AS char)")
        .await?;
    let first = rows.first().and_then(|row| row.first().cloned().flatten());
    let first: u64 = first.and_then(|first| first.parse().ok()).unwrap_or(0);
    for step in 0..SLOTS {
        let slot = name(lock, &((first + step) % SLOTS).to_string());
        if asks(connection, &format!("GET_LOCK({slot}, 0)")).await? {
            return Ok(());
        }
    }
    Err(Error::configuration(format!(
        "sink {:?} of pipeline {:?} has {SLOTS} sessions open already: run fewer lanes",
        lock.sink, lock.pipeline
    ))
    .into())
}

/// Takes the lock alone, if no slot is taken, except the one of this session where it `shares` the lock.
pub(super) async fn take_alone(
    connection: &mut MySqlConnection,
    lock: &SinkLock,
    shares: bool,
) -> Result<bool, Failure> {
    if !asks(connection, &format!("GET_LOCK({}, 0)", name(lock, "alone"))).await? {
        return Ok(false);
    }
    let slots: Vec<String> = (0..SLOTS)
        .map(|slot| format!("IS_FREE_LOCK({})", name(lock, &slot.to_string())))
        .collect();
    let free = SLOTS - u64::from(shares);
    let is_free = asks(connection, &format!("({}) = {free}", slots.join(" + "))).await?;
    if !is_free {
        release(connection, lock).await?;
    }
    Ok(is_free)
}

/// Gives back what [`take_alone`] took.
pub(super) async fn release(
    connection: &mut MySqlConnection,
    lock: &SinkLock,
) -> Result<(), Failure> {
    let alone = name(lock, "alone");
    asks(connection, &format!("RELEASE_LOCK({alone})"))
        .await
        .map(drop)
}

//! What a session holds while it may write a sink's positions, so that nobody moves them under a
//! pipeline that runs, from whatever machine.
//!
//! Every session of a sink holds a shared lock in the database, and who moves positions by hand takes
//! it alone. The database gives it back when the connection ends, also where the process was killed.
//! - PostgreSQL: an advisory lock.
//! - MySQL has named locks that one session holds: a session takes one of [`SLOTS`] names, and who
//!   moves positions looks that none is taken.
//! - SQLite: a lock on a file beside the database (`sqlite/lock.rs`).

use super::{Execute, text};
use crate::error::{Error, Result};
use crate::sql::identifier::{Dialect, literal};

/// How many sessions of one sink there may be in MySQL.
const SLOTS: u64 = 256;
/// How long a session waits for who moves positions, in seconds.
const WAIT_SECONDS: u32 = 10;

/// The lock of one sink of one pipeline.
#[derive(Debug, Clone)]
pub(crate) struct SinkLock {
    pipeline: String,
    sink: String,
}

impl SinkLock {
    pub(crate) fn new(pipeline: &str, sink: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            sink: sink.to_owned(),
        }
    }

    /// A number that stands for the sink: FNV-1a, which is the same in every version.
    pub(crate) fn key(&self) -> u64 {
        let bytes = self.pipeline.bytes().chain([0xff]).chain(self.sink.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// A name of MySQL's, which are of the whole server: the database is a part of it.
    fn name(&self, part: &str) -> String {
        let (key, part) = (literal(&format!(":{:016x}:", self.key())), literal(part));
        format!("CONCAT('syncline:', LEFT(SHA1(DATABASE()), 16), {key}, {part})")
    }

    /// Takes the lock for a session that writes; it is given back when the connection ends.
    ///
    /// # Errors
    /// `Unavailable` where somebody moves the positions for long.
    pub(crate) async fn share<E: Execute>(&self, connection: &mut E) -> Result<(), E::Failure> {
        let key = self.key() as i64;
        match E::DIALECT {
            Dialect::Postgres => {
                let sql = format!("SELECT pg_advisory_lock_shared({key})::text");
                connection.rows(&sql).await?;
            }
            Dialect::Mysql => {
                self.take_slot(connection).await?;
                let alone = self.name("alone");
                let sql = format!("SELECT CAST(IS_FREE_LOCK({alone}) AS char)");
                if !is_one(connection, &sql).await? {
                    let sql = format!("SELECT CAST(GET_LOCK({alone}, {WAIT_SECONDS}) AS char)");
                    if !is_one(connection, &sql).await? {
                        return Err(self.busy().into());
                    }
                    self.release(connection).await?;
                }
            }
            Dialect::Sqlite => {}
        }
        Ok(())
    }

    async fn take_slot<E: Execute>(&self, connection: &mut E) -> Result<(), E::Failure> {
        let rows = connection
            .rows("SELECT CAST(CONNECTION_ID() AS char)")
            .await?;
        let first: u64 = rows
            .first()
            .map(|row| super::number(row, 0))
            .transpose()?
            .unwrap_or(0);
        for step in 0..SLOTS {
            let slot = self.name(&((first + step) % SLOTS).to_string());
            let sql = format!("SELECT CAST(GET_LOCK({slot}, 0) AS char)");
            if is_one(connection, &sql).await? {
                return Ok(());
            }
        }
        Err(Error::configuration(format!(
            "sink {:?} of pipeline {:?} has {SLOTS} sessions open already: run fewer lanes",
            self.sink, self.pipeline
        ))
        .into())
    }

    /// Whether no session but this one, which shares the lock, holds it.
    pub(crate) async fn is_alone<E: Execute>(
        &self,
        connection: &mut E,
    ) -> Result<bool, E::Failure> {
        let alone = self.take(connection, SLOTS - 1).await?;
        if alone {
            self.release(connection).await?;
        }
        Ok(alone)
    }

    /// Takes the lock alone, if no session holds it; `false` where one does.
    pub(crate) async fn take_alone<E: Execute>(
        &self,
        connection: &mut E,
    ) -> Result<bool, E::Failure> {
        self.take(connection, SLOTS).await
    }

    /// `free` is how many slots have to be free.
    async fn take<E: Execute>(&self, connection: &mut E, free: u64) -> Result<bool, E::Failure> {
        match E::DIALECT {
            Dialect::Postgres => {
                let key = self.key() as i64;
                let sql = format!("SELECT pg_try_advisory_lock({key})::integer::text");
                is_one(connection, &sql).await
            }
            Dialect::Mysql => {
                let alone = self.name("alone");
                let sql = format!("SELECT CAST(GET_LOCK({alone}, 0) AS char)");
                if !is_one(connection, &sql).await? {
                    return Ok(false);
                }
                let slots: Vec<String> = (0..SLOTS)
                    .map(|slot| format!("IS_FREE_LOCK({})", self.name(&slot.to_string())))
                    .collect();
                let sql = format!("SELECT CAST(({}) = {free} AS char)", slots.join(" + "));
                let is_free = is_one(connection, &sql).await?;
                if !is_free {
                    self.release(connection).await?;
                }
                Ok(is_free)
            }
            Dialect::Sqlite => Ok(true),
        }
    }

    /// Gives back what [`SinkLock::take_alone`] took.
    pub(crate) async fn release<E: Execute>(&self, connection: &mut E) -> Result<(), E::Failure> {
        let sql = match E::DIALECT {
            Dialect::Postgres => {
                format!("SELECT pg_advisory_unlock({})::text", self.key() as i64)
            }
            Dialect::Mysql => {
                format!("SELECT CAST(RELEASE_LOCK({}) AS char)", self.name("alone"))
            }
            Dialect::Sqlite => return Ok(()),
        };
        connection.rows(&sql).await.map(drop)
    }

    /// The pipeline runs.
    pub(crate) fn held(&self) -> Error {
        Error::configuration(format!(
            "pipeline {:?} runs and writes sink {:?} (or a conflict of it is being resolved): stop it, on every machine, and try again",
            self.pipeline, self.sink
        ))
    }

    /// Somebody moves the positions.
    pub(crate) fn busy(&self) -> Error {
        Error::Unavailable {
            message: format!(
                "the positions of pipeline {:?}, sink {:?} are being changed by hand for longer than {WAIT_SECONDS} s: try again",
                self.pipeline, self.sink
            ),
            cause: None,
        }
    }
}

async fn is_one<E: Execute>(connection: &mut E, sql: &str) -> Result<bool, E::Failure> {
    let rows = connection.rows(sql).await?;
    // A lock that the server could not give is null.
    Ok(rows
        .first()
        .is_some_and(|row| text(row, 0).is_ok_and(|text| text == "1")))
}

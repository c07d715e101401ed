//! Changes of tables of PostgreSQL as a source: logical replication, with every row first.
//!
//! **Guarantees.** The tables are read in the order of their keys while a slot keeps every change that is made
//! meanwhile; then the stream of the slot goes on, without a gap. A change that the rows held already is
//! passed over, so nothing comes twice, unless the process ends in the middle of a table: then the rest of it is
//! read as it is then, and the changes since the beginning come again. The sink keeps the place in the log
//! beside its rows: a restart goes on there, also in the middle of a large transaction. The server is told only
//! what every sink has. Transactions come one after another as they were committed, whole tables and all.
//!
//! - duplicate: a change is passed over where the sink holds its number.
//! - null: null.
//! - delete: the row before where the replica identity is `FULL`, else its identity.
//! - truncate: one for each table (R13), in its place.
//! - a change of a key carries the old key (R10); an unchanged large value is unset (R14).
//! - a table whose columns change begins a new batch, with the columns of the log at that place (R19).
//! - a slot that is lost, or that is past what a sink holds, stops the source with the remedy.
//!
//! The parts, in the order in which changes pass them:
//!
//! - `slot`: tables, publication and slot, made and checked
//! - `reading`: the rows that are there
//! - `start`: where to begin, by what the sinks hold
//! - `stream`: the connection that the changes come from
//! - `pgoutput`: its messages; `json`: its values
//! - `relation`: a table as the log says it is; `rows`: changes as rows and records
//! - `bookmark`: where it stands, as a text; `visible`: which transactions the rows hold
//! - `source`: the [`Source`](crate::source::Source)

mod bookmark;
mod json;
mod pgoutput;
mod reading;
mod relation;
mod rows;
mod slot;
mod source;
mod start;
mod stream;
mod visible;

use self::source::ReplicationSource;
use super::PostgresSink;
use crate::error::Result;
use crate::source::{Opening, Source};
use crate::sql::source::ReadOptions;

/// What the source needs to know.
#[derive(Debug, Clone)]
pub(super) struct ReplicationSettings {
    /// Where the database is.
    pub(super) place: PostgresSink,
    pub(super) options: ReadOptions,
    pub(super) slot: String,
    pub(super) publication: String,
    pub(super) failover: bool,
    pub(super) ignore_origins: Vec<String>,
}

/// Opens the source. Makes nothing yet.
///
/// # Errors
/// `Unavailable` while the database does not answer, `Configuration` where a table cannot be followed.
pub(super) async fn connect(
    settings: ReplicationSettings,
    opening: &Opening,
) -> Result<Box<dyn Source>> {
    let source = ReplicationSource::open(settings, opening.purpose).await?;
    Ok(Box::new(source))
}

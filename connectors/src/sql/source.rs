//! Tables of a database as a source: rows come as rows, and the sink keeps after which one to go on.
//!
//! **Guarantees.** A table is read in the order of its key, or of a column that grows and the key behind
//! it, a page a query. Each page is one write of the sink, which keeps the key of the last row together
//! with the rows: a restart goes on behind it, nothing is left out and nothing comes twice. A row is what
//! it is when its page is read; there is no one moment for which all of them stand.
//!
//! - Rows are written by key, so a row that comes again (look-back, a new round, sinks that stood at
//!   different places) ends as it is at the source.
//! - Deletes are not seen in either mode, and a cursor does not see a change that leaves its column as it
//!   is. A row whose cursor is lower than what was read already comes by the look-back only.
//! - Null: a row without a value in the key or the cursor has no place in the order: it stops the source,
//!   it is never passed over. So do two rows of one key where no unique index rules them out.
//! - A value that its column's type cannot say exactly rejects its row (R3).
//!
//! A database says how its values are read and put in order ([`ReadRows`]); everything else is here:
//!
//! - `options`: what every such source can be told
//! - `rows`: what a database does, and the values as they come
//! - `bookmark`: after which row reading goes on, as a text that the sink keeps
//! - `layout`: a table as it is now, and the statements that read it
//! - `page`: values as rows and records
//! - `pages`: one table read once, for a source that goes on with a log
//! - `progress`: where one table stands, and what is to be read next
//! - `reader`: the [`Source`](crate::source::Source)
//! - `settings`: its settings

mod bookmark;
mod layout;
mod lookback;
mod options;
mod page;
mod pages;
mod progress;
pub(crate) mod rows;

mod reader;
pub(crate) mod settings;

use std::sync::LazyLock;

pub use self::options::{ReadMode, ReadOptions};
pub(crate) use self::pages::Pages;
use self::reader::TableSource;
pub(crate) use self::rows::{Cells, Order, ReadRows};
use crate::error::{Error, Result};
use crate::format::{Decoding, Format};
use crate::source::{Extent, Opening, Source};

/// How a row that comes back from the quarantine is read: it was kept as a JSON object.
static DECODING: LazyLock<Decoding> = LazyLock::new(|| Decoding::new(Format::Json));

/// How a change of a log that comes back from the quarantine is read: it was kept as an event.
static EVENTS: LazyLock<Decoding> = LazyLock::new(|| Decoding::new(Format::DebeziumJson));

/// What the bytes are that stand for a row or a change.
pub(crate) fn decoding(mode: ReadMode) -> &'static Decoding {
    match mode {
        ReadMode::Snapshot | ReadMode::Cursor => &DECODING,
        ReadMode::Replication => &EVENTS,
    }
}

/// Opens the source of one lane: it reads every so many of the tables.
///
/// # Errors
/// `Unavailable` while the database does not answer, `Configuration` where it refuses, or where a table
/// is not there or cannot be read in order.
pub(crate) async fn connect<C: ReadRows>(
    settings: &C::Settings,
    options: &ReadOptions,
    opening: &Opening,
) -> Result<Box<dyn Source>> {
    let source = TableSource::<C>::open(settings, options, opening).await?;
    Ok(Box::new(source))
}

/// Tables have no offsets to move to.
///
/// # Errors
/// Always: names the remedy.
pub(crate) fn survey() -> Result<Vec<Extent>> {
    Err(Error::configuration(
        "the rows of a table have no offsets: `syncline positions reset FILE --source NAME` reads it from its beginning",
    ))
}

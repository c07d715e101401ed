//! What is asked of a database before a pipeline runs: whether a sink could write, and its table's key.

use crate::change::Table;
use crate::error::{Error, Result};
use crate::sink::Identity;
use crate::sql::Evolution;
use crate::sql::connection::{Connection, Purpose, Settings};
use crate::sql::failure::Failure;
use crate::sql::target::Target;
use crate::sql::version::version_column;

/// Whether the database answers, and whether the table that the sink names is there, where the sink
/// does not create it, with a unique index over the sink's key. Writes nothing.
///
/// # Errors
/// `Unavailable` or `Configuration`, with what to do about it.
pub(crate) async fn check<C: Connection>(settings: &C::Settings) -> Result<()> {
    let options = settings.options();
    version_column(&options.conflict)?;
    let mut connection = open_to_check::<C>(settings, "check").await?;
    if options.table.contains('{') {
        return Ok(());
    }
    let target = Target::of(&options.table, &Table::nowhere())?;
    let found = connection.describe(&target).await;
    let creates = matches!(options.evolution, Evolution::Evolve | Evolution::Lenient);
    match (found.map_err(Failure::into_error)?, &options.key) {
        (Some(found), Some(key)) => found.check_key(&target.to_string(), key, options.case),
        (None, _) if !creates => Err(Error::configuration(format!(
            "table {:?} does not exist: create it, or write evolution = \"evolve\" in the sink",
            target.to_string()
        ))),
        _ => Ok(()),
    }
}

/// The key of the one table that the sink names, as the table says it; `None` where the sink says it
/// itself, where the table does not exist or has no such key, or depends on the change.
///
/// # Errors
/// As [`check`].
pub(crate) async fn default_key<C: Connection>(
    settings: &C::Settings,
) -> Result<Option<Vec<String>>> {
    let options = settings.options();
    if options.key.is_some() || options.table.contains('{') {
        return Ok(None);
    }
    let target = Target::of(&options.table, &Table::nowhere())?;
    let mut connection = open_to_check::<C>(settings, "catalogue").await?;
    let found = connection.describe(&target).await;
    let found = found.map_err(Failure::into_error)?;
    Ok(found.and_then(|table| table.default_key().map(<[String]>::to_vec)))
}

/// A session that writes nothing and decides nothing.
async fn open_to_check<C: Connection>(settings: &C::Settings, name: &str) -> Result<C> {
    let identity = Identity {
        pipeline: name.to_owned(),
        sink: String::new(),
        source: String::new(),
    };
    C::open(settings, &identity, Purpose::ReadOnly).await
}

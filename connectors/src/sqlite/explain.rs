//! What would become of one change now: read as a write would read it, through a connection that cannot
//! write. A file that is not there is not made.

use std::sync::Arc;

use super::apply::Run;
use super::failure::of_statement;
use super::function::register;
use super::prepare::{Prepared, read_table};
use super::{SqliteSink, positions, session};
use crate::change::Changes;
use crate::conflict::{ConflictPolicy, Resolvers};
use crate::error::{Error, Result};
use crate::record::Positions;
use crate::sink::{Identity, Outcome};
use crate::sql::admit::with_default_key;
use crate::sql::books::Books;
use crate::sql::decide::{Groups, Tally};
use crate::sql::explain::{Explained, Question, makes_tables, nothing_held, to_look};
use crate::sql::identifier::Dialect;
use crate::sql::target::{Target, key_columns};

/// What would become of the one change of `changes`, and where the partitions stand.
///
/// # Errors
/// As a write.
pub(super) fn explain(
    config: &SqliteSink,
    identity: &Identity,
    resolvers: &Arc<dyn Resolvers>,
    changes: &Changes,
) -> Result<(Explained, Positions)> {
    let options = config.options();
    let target = Target::of(&options.table, &changes.table)?;
    let name = target.to_string();
    let mut connection = session::open_to_look(config)?;
    if let Some(connection) = &mut connection {
        // All that is read is of one moment.
        connection
            .execute_batch("BEGIN")
            .map_err(|error| of_statement("beginning to look", error))?;
    }
    let found = match &connection {
        Some(connection) => read_table(connection, &target)?,
        None => None,
    };
    let changes = &with_default_key(&options, &target, found.as_ref(), changes)?;
    let key = key_columns(&options, changes)?;
    let mut question = Question {
        target: &name,
        changes,
        key: &key,
        options: &options,
        table_exists: found.is_some(),
        unplaced: Vec::new(),
    };
    let now_ms = chrono::Utc::now().timestamp_millis();
    // A history in a file would be written by the books.
    let unkept = ConflictPolicy {
        history: None,
        ..options.conflict.clone()
    };
    let mut books = Books::new(Dialect::Sqlite, identity, &unkept, now_ms)?;
    books.may_wait = false;
    let positions = match &connection {
        Some(connection) => {
            positions::stand_in(connection, &books)?;
            positions::read(connection, identity)?
        }
        None => Positions::new(),
    };
    if let Some(explained) = question.without_asking()? {
        return Ok((explained, positions));
    }
    let (Some(connection), Some(_)) = (&connection, found) else {
        if !makes_tables(&options) {
            return Err(Error::configuration(format!(
                "table {name:?} does not exist: create it, or write evolution = \"evolve\" in the sink"
            )));
        }
        let resolver = resolvers.compile(&options.conflict, &changes.schema(), &key)?;
        let explained = question.answer(&nothing_held(changes)?, resolver.as_ref())?;
        return Ok((explained, positions));
    };
    let memory =
        register(connection).map_err(|error| of_statement("adding functions to SQLite", error))?;
    let looking = to_look(&options);
    let prepared = Prepared::build(connection, &looking, &target, &changes.schema(), &key)?;
    let placed = changes
        .project(&prepared.indices())
        .map_err(Error::configuration)?;
    question.unplaced = Question::missing(changes, &placed);
    question.changes = &placed;
    question.key = &prepared.placed_key;
    let groups = Groups::of(&placed, &prepared.placed_key, options.delete)?;
    let run = Run {
        connection,
        memory: &memory,
        identity,
        resolvers,
        books: &mut books,
        options: &options,
        now_ms,
        outcome: Outcome::default(),
        tally: Tally::new(),
        rejected: Vec::new(),
    };
    let (_, facts) = run.facts(&placed, &prepared, &groups)?;
    let resolver = prepared.resolver(resolvers, &options.conflict)?;
    Ok((question.answer(&facts, resolver.as_ref())?, positions))
}

//! Reads what a write of one change would read, in a transaction that is rolled back. Nothing is made
//! in the database but tables of the session.
//!
//! The row stays locked for a moment, as the sink's own write would lock it: so the answer is one that a
//! write could have come to.

use std::sync::Arc;

use super::{Question, makes_tables, nothing_held, read_only_options};
use crate::change::Changes;
use crate::conflict::Resolvers;
use crate::error::{Error, Result};
use crate::explanation::Explanation;
use crate::record::HeldPositions;
use crate::sink::Identity;
use crate::sql::admit::with_default_key;
use crate::sql::bulk::{Bulk, PreparedTable as _, TableWrite};
use crate::sql::connection::{Purpose, Settings};
use crate::sql::contested::read_facts;
use crate::sql::decide::Groups;
use crate::sql::failure::Failure;
use crate::sql::metadata::SHADOW_TABLE;
use crate::sql::names::spelled;
use crate::sql::normal_keys::with_normal_keys;
use crate::sql::positions::read_offsets;
use crate::sql::session::SqlSession;
use crate::sql::target::{Target, key_columns};
use crate::sql::undeclared;
use crate::sql::{Options, POSITIONS_TABLE, TOMBSTONES_TABLE};

/// What would become of the one change of `changes`, and where the partitions stand.
///
/// # Errors
/// As a write.
pub(crate) async fn explain<C: Bulk>(
    settings: &C::Settings,
    identity: &Identity,
    resolvers: &Arc<dyn Resolvers>,
    changes: &Changes,
) -> Result<(Explanation, HeldPositions)> {
    let mut session =
        SqlSession::<C>::open(settings, identity, resolvers, Purpose::ReadOnly).await?;
    let answer = async {
        let explained = ask(&mut session, &settings.options(), identity, changes).await?;
        let positions = match session.exists(POSITIONS_TABLE).await? {
            true => read_offsets(&mut session.connection, identity).await?,
            false => HeldPositions::new(),
        };
        Ok((explained, positions))
    };
    let answer = answer.await.map_err(Failure::into_error)?;
    // The answer is known: a goodbye that gets lost changes nothing.
    let _ = session.connection.close().await;
    Ok(answer)
}

async fn ask<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    identity: &Identity,
    changes: &Changes,
) -> Result<Explanation, Failure> {
    let changes = &spelled(options, changes.clone())?;
    let target = Target::of(&options.table, &changes.table)?;
    let name = target.to_string();
    let found = session.connection.describe(&target).await?;
    let changes = &with_default_key(options, &target, found.as_ref(), changes)?;
    let reading = read_only_options(options);
    let lent = undeclared::read_only(C::DIALECT, &reading, &name, changes, found.as_ref())?;
    let changes = &lent;
    let key = key_columns(options, changes)?;
    let mut question = Question {
        target: &name,
        changes,
        key: &key,
        options,
        table_exists: found.is_some(),
        unplaced: Vec::new(),
    };
    if let Some(explained) = question.without_asking()? {
        return Ok(explained);
    }
    if found.is_none() {
        if !makes_tables(options) {
            return Err(Failure::Error(Error::configuration(format!(
                "table {name:?} does not exist: create it, or write evolution = \"evolve\" in the sink"
            ))));
        }
        let resolver = session
            .resolvers
            .compile(&options.conflict, &changes.schema(), &key)?;
        return Ok(question.answer(&nothing_held(changes)?, resolver.as_ref())?);
    }
    let table = session.prepare(&reading, &target, changes, &key).await?;
    let connection = &mut session.connection;
    let (changes, _) = with_normal_keys(connection, options, &table, changes.clone()).await?;
    let changes = &changes;
    let layout = table.layout();
    let placed = layout.place(changes)?;
    question.unplaced = Question::missing(changes, &placed);
    question.changes = &placed;
    question.key = layout.placed_key;
    let groups = Groups::of(&placed, layout.placed_key, options.delete)?;
    let resolver = layout.resolver(&session.resolvers, &options.conflict)?;
    session.conflict_log.has_shadow = session.exists(SHADOW_TABLE).await?;
    let write = TableWrite {
        table: &table,
        options,
        identity,
        has_tombstones: session.exists(TOMBSTONES_TABLE).await?,
    };
    session.begin().await?;
    let (_, locked) = read_facts(session, &write, &placed, &groups).await?;
    session.roll_back().await?;
    Ok(question.answer(&locked, resolver.as_ref())?)
}

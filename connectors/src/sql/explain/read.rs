//! Reads what a write of one change would read, in a transaction that is rolled back. Nothing is made
//! in the database but tables of the session.
//!
//! The row stays locked for a moment, as the sink's own write would lock it: so the answer is one that a
//! write could have come to.

use std::sync::Arc;

use super::{Explained, Question, makes_tables, nothing_held, read_only_options};
use crate::change::Changes;
use crate::conflict::Resolvers;
use crate::error::{Error, Result};
use crate::record::HeldPositions;
use crate::sink::Identity;
use crate::sql::admit::with_default_key;
use crate::sql::connection::{Bulk, PreparedTable, Purpose, Settings};
use crate::sql::decide::Groups;
use crate::sql::equality::with_normal_keys;
use crate::sql::failure::Failure;
use crate::sql::ledger::SHADOW_TABLE;
use crate::sql::names::spelled;
use crate::sql::positions::read_offsets;
use crate::sql::target::{Target, key_columns};
use crate::sql::undeclared;
use crate::sql::{Options, POSITIONS_TABLE, TOMBSTONES_TABLE};

/// What would become of the one change of `changes`, and where the partitions stand.
///
/// # Errors
/// As a write.
pub(crate) async fn explain<B: Bulk>(
    settings: &B::Settings,
    identity: &Identity,
    resolvers: &Arc<dyn Resolvers>,
    changes: &Changes,
) -> Result<(Explained, HeldPositions)> {
    let mut session = B::open(settings, identity, resolvers, Purpose::ReadOnly).await?;
    let answer = async {
        let explained = ask(&mut session, &settings.options(), identity, changes).await?;
        let positions = match exists(&mut session, POSITIONS_TABLE).await? {
            true => read_offsets(&mut session, identity).await?,
            false => HeldPositions::new(),
        };
        Ok((explained, positions))
    };
    let answer = answer.await.map_err(Failure::into_error)?;
    // The answer is known: a goodbye that gets lost changes nothing.
    let _ = session.close().await;
    Ok(answer)
}

/// Whether one of Syncline's own tables is there.
async fn exists<B: Bulk>(session: &mut B, table: &str) -> Result<bool, Failure> {
    let target = Target {
        schema: None,
        name: table.to_owned(),
    };
    Ok(session.describe(&target).await?.is_some())
}

async fn ask<B: Bulk>(
    session: &mut B,
    options: &Options,
    identity: &Identity,
    changes: &Changes,
) -> Result<Explained, Failure> {
    let changes = &spelled(options, changes.clone())?;
    let target = Target::of(&options.table, &changes.table)?;
    let name = target.to_string();
    let found = session.describe(&target).await?;
    let changes = &with_default_key(options, &target, found.as_ref(), changes)?;
    let reading = read_only_options(options);
    let lent = undeclared::to_look(B::DIALECT, &reading, &name, changes, found.as_ref())?;
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
            .resolvers()
            .compile(&options.conflict, &changes.schema(), &key)?;
        return Ok(question.answer(&nothing_held(changes)?, resolver.as_ref())?);
    }
    let table = session.prepare(&reading, &target, changes, &key).await?;
    let (changes, _) = with_normal_keys(session, options, &table, changes.clone()).await?;
    let changes = &changes;
    let placed = table.place(changes)?;
    question.unplaced = Question::missing(changes, &placed);
    question.changes = &placed;
    question.key = table.placed_key();
    let groups = Groups::of(&placed, table.placed_key(), options.delete)?;
    let resolver = table.resolver(session.resolvers(), &options.conflict)?;
    let tombstones = exists(session, TOMBSTONES_TABLE).await?;
    let shadow = exists(session, SHADOW_TABLE).await?;
    session.books().has_tombstones = tombstones;
    session.books().has_shadow = shadow;
    session.begin().await?;
    let facts = session
        .facts(identity, options, &table, &placed, &groups)
        .await?;
    session.roll_back().await?;
    Ok(question.answer(&facts, resolver.as_ref())?)
}

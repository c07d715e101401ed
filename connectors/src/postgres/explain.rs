//! What would become of one change now: read as a write would read it, in a transaction that is rolled
//! back. Nothing is made in the database but tables of the session.
//!
//! The row stays locked for a moment, as the sink's own write would lock it: so the answer is one that a
//! write could have come to.

use std::sync::Arc;

use super::PostgresSink;
use super::catalogue;
use super::failure::Failure;
use super::positions;
use super::prepare::Prepared;
use super::session::Session;
use super::settle::facts;
use super::statement::Statements;
use crate::change::Changes;
use crate::conflict::Resolvers;
use crate::error::Result;
use crate::record::Positions;
use crate::sink::Identity;
use crate::sql::admit::with_default_key;
use crate::sql::decide::Groups;
use crate::sql::explain::{Explained, Question, makes_tables, nothing_held, to_look};
use crate::sql::target::{Target, key_columns};

/// What would become of the one change of `changes`, and where the partitions stand.
///
/// # Errors
/// As a write.
pub(super) async fn explain(
    config: &PostgresSink,
    identity: &Identity,
    resolvers: &Arc<dyn Resolvers>,
    changes: &Changes,
) -> Result<(Explained, Positions)> {
    let mut session = Session::open_to_look(config, identity, resolvers).await?;
    let answer = async {
        let explained = ask(&mut session, config, identity, changes).await?;
        let positions = positions::read(&mut session.connection, identity).await?;
        Ok((explained, positions))
    };
    let answer = answer.await.map_err(Failure::into_error)?;
    // The answer is known: that the goodbye got lost changes nothing.
    let _ = session.close().await;
    Ok(answer)
}

async fn ask(
    session: &mut Session,
    config: &PostgresSink,
    identity: &Identity,
    changes: &Changes,
) -> Result<Explained, Failure> {
    let options = config.options();
    let target = Target::of(&options.table, &changes.table)?;
    let name = target.to_string();
    let found = catalogue::read(&mut session.connection, &target).await?;
    let table = found.as_ref().map(|found| &found.table);
    let changes = &with_default_key(&options, &target, table, changes)?;
    let key = key_columns(&options, changes)?;
    let mut question = Question {
        target: &name,
        changes,
        key: &key,
        options: &options,
        table_exists: found.is_some(),
        unplaced: Vec::new(),
    };
    if let Some(explained) = question.without_asking()? {
        return Ok(explained);
    }
    if found.is_none() && makes_tables(&options) {
        let resolver = session
            .resolvers
            .compile(&options.conflict, &changes.schema(), &key)?;
        return Ok(question.answer(&nothing_held(changes)?, resolver.as_ref())?);
    }
    let looking = to_look(&options);
    let prepared = Prepared::of(session, &looking, &target, changes, &key).await?;
    let placed = prepared.place(changes)?;
    question.unplaced = Question::missing(changes, &placed);
    question.changes = &placed;
    question.key = &prepared.placed_key;
    let statements = Statements {
        prepared: &prepared,
        policy: &options.conflict,
        identity,
    };
    let groups = Groups::of(&placed, &prepared.placed_key, options.delete)?;
    let resolver = prepared.resolver(&session.resolvers.clone(), &options.conflict)?;
    session.begin().await?;
    let (_, facts) = facts(session, &statements, &options, &placed, &groups).await?;
    session.roll_back().await?;
    Ok(question.answer(&facts, resolver.as_ref())?)
}

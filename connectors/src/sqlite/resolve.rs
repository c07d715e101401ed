//! A person's decision carried out, and what waited behind it replayed, in one transaction (C9), which
//! holds the file's write lock.

use std::sync::Arc;

use super::SqliteSink;
use super::session::Session;
use crate::conflict::{Resolution, Resolved, Resolvers, read_change};
use crate::desk::{already, closed, gone};
use crate::error::Result;
use crate::sink::Identity;
use crate::sql::Options;
use crate::sql::books::Keys;
use crate::sql::ledger::read_entry;
use crate::sql::target::key_columns;

/// Resolves the entry `id` of the sink of `identity`, whose source it finds in the entry.
///
/// # Errors
/// `Configuration` where there is no such entry, where it is resolved already, or where what was
/// decided does not fit; `Rejected` where the target refuses the row. Nothing is changed then.
pub(crate) fn resolve(
    config: &SqliteSink,
    identity: Identity,
    id: i64,
    resolution: &Resolution,
    resolvers: &Arc<dyn Resolvers>,
) -> Result<Resolved> {
    let mut session = Session::open(config, identity, resolvers.clone())?;
    session.run("BEGIN IMMEDIATE")?;
    let options = config.options();
    // A transaction that fails goes with its connection.
    let resolved = carry_out(&mut session, &options, id, resolution)?;
    session.run("COMMIT")?;
    Ok(resolved)
}

fn carry_out(
    session: &mut Session,
    options: &Options,
    id: i64,
    resolution: &Resolution,
) -> Result<Resolved> {
    let ledger = session.books.ledger.clone();
    let row = session
        .ledger(&[ledger.select_entry(id)])?
        .into_iter()
        .next();
    let entry = read_entry(row.ok_or_else(|| gone(id))?)?;
    if session.ledger(&[ledger.lock_entry(id)])?.is_empty() {
        return Err(already(id));
    }
    session.identity.source.clone_from(&entry.source);
    let change = read_change(&entry.change)?;
    let key = key_columns(options, &change)?;
    let decided = resolution.change(&entry, &change, &key)?;
    let select = ledger.select_waiting(&entry.target, &entry.key.0);
    let waiting = session.ledger(&[select])?;
    session.ledger(&[
        ledger.close_entry(id, resolution),
        ledger.delete_waiting(&entry.target, &entry.key.0),
    ])?;
    if let Some(decided) = decided {
        session.books.counting = false;
        let applied = session.apply(&options.forced(), &[decided]);
        session.books.counting = true;
        applied?;
    }
    let keys = Keys::of(&entry.target, &change, &key);
    let images = session.ledger(&session.books.ask_shadow(&keys))?;
    let moved = session.books.follow(&keys, &change, &images)?;
    session.ledger(&moved)?;
    let mut resolved = Resolved {
        entry: closed(&entry, resolution),
        replayed: 0,
        waiting: 0,
    };
    for row in waiting {
        let text = row.get(1).and_then(Option::as_deref).unwrap_or_default();
        let outcome = session.apply(options, &[read_change(text)?])?;
        resolved.waiting += outcome.queued;
        resolved.replayed += 1 - outcome.queued.min(1);
    }
    Ok(resolved)
}

//! A person's decision carried out, and what waited behind it replayed, in one transaction (C9).
//!
//! The entry is locked first, as a write of its key does: who resolves and who writes take turns.

use super::MysqlSink;
use super::apply;
use super::failure::Failure;
use super::plan::{Part, plan};
use super::session::Session;
use crate::change::Changes;
use crate::conflict::{QueueEntry, Resolution, Resolved, Resolvers, read_change};
use crate::desk::{already, closed, gone};
use crate::error::{Error, Result};
use crate::sink::Identity;
use crate::sql::Options;
use crate::sql::books::Keys;
use crate::sql::ledger::read_entry;
use crate::sql::target::key_columns;

/// How often it begins anew because changes of the key come in meanwhile.
const TRIES_MAX: u32 = 10;

/// Resolves the entry `id` of the sink of `identity`, whose source it finds in the entry.
///
/// # Errors
/// `Configuration` where there is no such entry, where it is resolved already, or where what was
/// decided does not fit; `Rejected` where the target refuses the row. Nothing is changed then.
pub(crate) async fn resolve(
    config: &MysqlSink,
    identity: Identity,
    id: i64,
    resolution: &Resolution,
    resolvers: &std::sync::Arc<dyn Resolvers>,
) -> Result<Resolved> {
    let mut identity = identity;
    let mut session = Session::open(config, &identity, resolvers).await?;
    let entry = entry(&mut session, id).await.map_err(Failure::into_error)?;
    if identity.source != entry.source {
        session.close().await?;
        identity.source.clone_from(&entry.source);
        session = Session::open(config, &identity, resolvers).await?;
    }
    let mut desk = Resolving {
        session,
        identity,
        options: config.options(),
    };
    for _ in 0..TRIES_MAX {
        match desk.attempt(&entry, resolution).await {
            Ok(Some(resolved)) => {
                desk.session.close().await?;
                return Ok(resolved);
            }
            Ok(None) | Err(Failure::Raced(_)) => desk.session.roll_back().await?,
            Err(Failure::Data(refused)) => {
                return Err(Error::Rejected(vec![refused.of_change(0, 0)]));
            }
            Err(failure) => return Err(failure.into_error()),
        }
    }
    Err(Error::Unavailable {
        message: format!("changes of the key of conflict {id} keep coming in: try again"),
        cause: None,
    })
}

struct Resolving {
    session: Session,
    identity: Identity,
    options: Options,
}

impl Resolving {
    /// `None` where other changes came to wait while it was planned.
    async fn attempt(
        &mut self,
        entry: &QueueEntry,
        resolution: &Resolution,
    ) -> Result<Option<Resolved>, Failure> {
        let ledger = self.session.books.ledger.clone();
        let select = ledger.select_waiting(&entry.target, &entry.key.0);
        let waiting = self.session.ledger(std::slice::from_ref(&select)).await?;
        let change = read_change(&entry.change)?;
        let key = key_columns(&self.options, &change)?;
        let decided = resolution.change(entry, &change, &key)?;
        // Tables are prepared outside of the transaction.
        let forced = self.options.forced();
        for (changes, options) in decided.iter().map(|changes| (changes, &forced)) {
            plan(&mut self.session, options, &[part(changes)]).await?;
        }
        let mut later = Vec::new();
        for row in &waiting {
            let text = row.get(1).and_then(Option::as_deref).unwrap_or_default();
            let changes = read_change(text)?;
            plan(&mut self.session, &self.options, &[part(&changes)]).await?;
            later.push(changes);
        }

        self.session.begin().await?;
        let locked = self.session.ledger(&[ledger.lock_entry(entry.id)]).await?;
        if locked.is_empty() {
            return Err(Failure::Error(already(entry.id)));
        }
        if self.session.ledger(&[select]).await? != waiting {
            return Ok(None);
        }
        let close = ledger.close_entry(entry.id, resolution);
        let forget = ledger.delete_waiting(&entry.target, &entry.key.0);
        self.session.ledger(&[close, forget]).await?;
        if let Some(decided) = &decided {
            self.session.books.counting = false;
            let applied = self.apply(decided, &forced).await;
            self.session.books.counting = true;
            applied?;
        }
        self.follow(entry, &change, &key).await?;
        let mut resolved = Resolved {
            entry: closed(entry, resolution),
            replayed: 0,
            waiting: 0,
        };
        let options = self.options.clone();
        for changes in &later {
            let queued = self.apply(changes, &options).await?;
            resolved.waiting += queued;
            resolved.replayed += 1 - queued.min(1);
        }
        self.session.commit().await?;
        Ok(Some(resolved))
    }

    /// Applies one change; gives how many changes wait of it.
    async fn apply(&mut self, changes: &Changes, options: &Options) -> Result<u64, Failure> {
        let work = plan(&mut self.session, options, &[part(changes)]).await?;
        let outcome = apply::run(&mut self.session, &self.identity, options, &work).await?;
        Ok(outcome.queued)
    }

    /// The shadow takes on what the source said.
    async fn follow(
        &mut self,
        entry: &QueueEntry,
        change: &Changes,
        key: &[usize],
    ) -> Result<(), Failure> {
        let keys = Keys::of(&entry.target, change, key);
        let ask = self.session.books.ask_shadow(&keys);
        let images = self.session.ledger(&ask).await?;
        let moved = self.session.books.follow(&keys, change, &images)?;
        self.session.ledger(&moved).await.map(drop)
    }
}

async fn entry(session: &mut Session, id: i64) -> Result<QueueEntry, Failure> {
    let select = session.books.ledger.select_entry(id);
    let row = session.ledger(&[select]).await?.into_iter().next();
    Ok(read_entry(row.ok_or_else(|| gone(id))?)?)
}

fn part(changes: &Changes) -> Part {
    Part {
        batch: 0,
        first_row: 0,
        changes: changes.clone(),
    }
}

//! Manual resolution: a person's decision carried out, and what waited behind it replayed, in one
//! transaction (C9).
//!
//! The entry is locked first, as a write of its key locks it: a resolution and a write of the same key
//! exclude each other.

use std::sync::Arc;

use crate::change::Changes;
use crate::conflict::{QueueEntry, QueueState, Resolution, Resolved, Resolvers, Take, read_change};
use crate::error::{Error, Result};
use crate::sink::Identity;
use crate::sql::Options;
use crate::sql::apply::apply;
use crate::sql::bulk::Bulk;
use crate::sql::conflict_log::Keys;
use crate::sql::connection::{Purpose, Settings};
use crate::sql::failure::Failure;
use crate::sql::metadata::{Row, read_entry};
use crate::sql::plan::{ChangeSlice, RowNumbers, plan};
use crate::sql::session::SqlSession;
use crate::sql::target::key_columns;

/// How often it begins anew because changes of the key come in meanwhile.
const TRIES_MAX: u32 = 10;

/// Resolves the entry `id` of the sink of `identity`, whose source it finds in the entry.
///
/// # Errors
/// `Configuration` where there is no such entry, where it is resolved already, or where what was
/// decided does not fit; `Rejected` where the target refuses the row. Nothing is changed then.
pub(crate) async fn resolve<C: Bulk>(
    settings: &C::Settings,
    mut identity: Identity,
    id: i64,
    resolution: &Resolution,
    resolvers: &Arc<dyn Resolvers>,
) -> Result<Resolved> {
    let mut session = SqlSession::<C>::open(settings, &identity, resolvers, Purpose::Write).await?;
    let entry = entry(&mut session, id).await.map_err(Failure::into_error)?;
    if identity.source != entry.source {
        session.connection.close().await?;
        identity.source.clone_from(&entry.source);
        session = SqlSession::<C>::open(settings, &identity, resolvers, Purpose::Write).await?;
    }
    let mut attempt = Attempt {
        session,
        options: settings.options(),
    };
    for _ in 0..TRIES_MAX {
        match attempt.run(&entry, resolution).await {
            Ok(Some(resolved)) => {
                attempt.session.connection.close().await?;
                return Ok(resolved);
            }
            Ok(None) | Err(Failure::ConcurrentInsert(_)) => attempt.session.roll_back().await?,
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

struct Attempt<C: Bulk> {
    session: SqlSession<C>,
    options: Options,
}

impl<C: Bulk> Attempt<C> {
    /// `None` where other changes came to wait while it was planned.
    async fn run(
        &mut self,
        entry: &QueueEntry,
        resolution: &Resolution,
    ) -> Result<Option<Resolved>, Failure> {
        let metadata = self.session.conflict_log.metadata.clone();
        let select = metadata.select_waiting(&entry.target, &entry.key.0);
        let waiting = self.session.connection.query(&select).await?;
        let change = read_change(&entry.change)?;
        let key = key_columns(&self.options, &change)?;
        let decided = self.decided(entry, &change, &key, resolution)?;
        let later = waiting.iter().map(read_waiting);
        let later = later.collect::<Result<Vec<Changes>>>()?;
        let options = self.options.clone();
        if !C::PREPARES_INSIDE {
            for (changes, options) in &decided {
                plan(&mut self.session, options, &[slice(changes)]).await?;
            }
            for changes in &later {
                plan(&mut self.session, &options, &[slice(changes)]).await?;
            }
        }

        self.session.begin().await?;
        if self
            .session
            .connection
            .query(&metadata.lock_entry(entry.id))
            .await?
            .is_empty()
        {
            return Err(Failure::Error(Error::configuration(format!(
                "the conflict {0} is not open any more: `syncline conflicts show {0}` says who resolved it",
                entry.id
            ))));
        }
        if self.session.connection.query(&select).await? != waiting {
            return Ok(None);
        }
        let close = metadata.close_entry(entry.id, resolution);
        let forget = metadata.delete_waiting(&entry.target, &entry.key.0);
        self.session.connection.execute(&close).await?;
        self.session.connection.execute(&forget).await?;
        for (changes, options) in &decided {
            self.session.conflict_log.counting = false;
            let applied = self.apply(changes, options).await;
            self.session.conflict_log.counting = true;
            applied?;
        }
        self.follow(entry, &change, &key).await?;
        let mut resolved = Resolved {
            entry: closed(entry, resolution),
            replayed: 0,
            waiting: 0,
        };
        for changes in &later {
            let queued = self.apply(changes, &options).await?;
            resolved.waiting += queued;
            resolved.replayed += 1 - queued.min(1);
        }
        self.session.connection.commit().await?;
        Ok(Some(resolved))
    }

    /// What a decision comes to: changes in their order, each with how it is applied. Columns that nobody
    /// disputes merge as always.
    fn decided(
        &self,
        entry: &QueueEntry,
        change: &Changes,
        key: &[usize],
        resolution: &Resolution,
    ) -> Result<Vec<(Changes, Options)>> {
        let policy = &self.options.conflict;
        let disputed = Resolution::disputed(entry, change, policy);
        if disputed.is_empty() || resolution.take == Take::Skip {
            let decided = resolution.change(entry, change, key)?;
            let forced = self.options.forced();
            return Ok(decided
                .into_iter()
                .map(|changes| (changes, forced.clone()))
                .collect());
        }
        let merging = Options {
            conflict: resolution.merging(policy),
            ..self.options.clone()
        };
        let after = resolution.after_merge(entry, change, key, &disputed)?;
        let after = after.map(|changes| (changes, self.options.forced()));
        Ok([(change.clone(), merging)]
            .into_iter()
            .chain(after)
            .collect())
    }

    /// Applies one change; gives how many changes wait of it.
    async fn apply(&mut self, changes: &Changes, options: &Options) -> Result<u64, Failure> {
        let work = plan(&mut self.session, options, &[slice(changes)]).await?;
        let outcome = apply(&mut self.session, options, &work).await?;
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
        let ask = self.session.conflict_log.ask_shadow(&keys);
        let images = self.session.query_all(&ask).await?;
        let moved = self.session.conflict_log.follow(&keys, change, &images)?;
        self.session.execute_all(&moved).await
    }
}

async fn entry<C: Bulk>(session: &mut SqlSession<C>, id: i64) -> Result<QueueEntry, Failure> {
    let select = session.conflict_log.metadata.select_entry(id);
    let row = session.connection.query(&select).await?.into_iter().next();
    let row = row.ok_or_else(|| {
        Error::configuration(format!(
            "there is no conflict {id} in the queue of this sink: `syncline conflicts list --all` shows the ids"
        ))
    })?;
    Ok(read_entry(row)?)
}

/// A change that waited behind the entry.
fn read_waiting(row: &Row) -> Result<Changes> {
    read_change(row.get(1).and_then(Option::as_deref).unwrap_or_default())
}

fn slice(changes: &Changes) -> ChangeSlice {
    ChangeSlice {
        batch: 0,
        rows: RowNumbers::From(0),
        changes: changes.clone(),
    }
}

/// The entry as a resolution leaves it.
fn closed(entry: &QueueEntry, resolution: &Resolution) -> QueueEntry {
    QueueEntry {
        state: match resolution.take {
            Take::Skip => QueueState::Skipped,
            _ => QueueState::Resolved,
        },
        taken: Some(resolution.taken()),
        resolved_by: Some(resolution.by.clone()),
        resolved_at_ms: Some(resolution.at_ms),
        waiting: 0,
        ..entry.clone()
    }
}

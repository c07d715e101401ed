//! The one implementation of [`Sink`] for databases: how a write goes from its first try to its commit.
//!
//! **Guarantees.** One write is one transaction (C10): rows, conflict decisions and positions become
//! durable together or nothing does. Positions move by compare-and-set, which fences a second owner
//! (R4). Where the reply to a commit is lost, the next try of the same write finds its positions moved
//! and returns the outcome that it had.
//!
//! - Refused together: the changes are tried in pieces, inside the transaction ([`bisect`]). What is
//!   refused alone is returned as rejected and nothing is written; where nothing is, that is the write.
//! - A table that changed since it was prepared, which a refusal of data can mean too: connects anew
//!   and tries once more.
//! - A row that another session inserted meanwhile: decides anew, at most [`RACES_MAX`] times.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::change::Changes;
use crate::conflict::Resolvers;
use crate::error::{Error, Result};
use crate::record::{HeldPositions, Span};
use crate::sink::{Identity, Outcome, Sink, Write};
use crate::sql::admit::KnownTables;
use crate::sql::apply::apply;
use crate::sql::bulk::{Bulk, PreparedTable};
use crate::sql::connection::{Purpose, Settings};
use crate::sql::equality::KeyColumn;
use crate::sql::failure::{Cause, Failure, rejections};
use crate::sql::moves;
use crate::sql::plan::{ChangeSlice, plan};
use crate::sql::positions::{fence, is_done};
use crate::sql::session::SqlSession;
use crate::sql::target::{Target, key_columns};

/// How often one write begins anew because other sessions insert the rows that it decides about.
const RACES_MAX: u32 = 10;

/// As many times as long as a write may take, so long may it take in pieces.
const PIECES_TIMES: u32 = 20;

/// For each so many tables it may take that time once more: each may have to be made.
const TABLES_TIMES: u32 = 100;

/// One session of one lane.
pub(crate) struct SqlSink<C: Bulk> {
    settings: C::Settings,
    identity: Identity,
    resolvers: Arc<dyn Resolvers>,
    /// Taken out during a call and put back only where its state is known, so that a call that was
    /// dropped half-way leaves no open transaction behind.
    session: Option<SqlSession<C>>,
    /// Tables that were looked up before a write was planned.
    tables: KnownTables,
    /// The last write, from just before its commit until the reply to it.
    in_doubt: Option<InDoubt>,
}

/// A write whose commit may have happened.
struct InDoubt {
    spans: Vec<Span>,
    outcome: Outcome,
}

#[async_trait]
impl<C: Bulk> Sink for SqlSink<C> {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        let mut session = self.take_session().await?;
        let read = session.connection.positions(&self.identity);
        let positions = match self.settings.write_timeout() {
            Some((limit, setting)) => tokio::time::timeout(limit, read)
                .await
                .map_err(|_| silence(limit, setting))?,
            None => read.await,
        };
        let positions = positions.map_err(Failure::into_error)?;
        session.count_waiting().await.map_err(Failure::into_error)?;
        self.session = Some(session);
        Ok(Some(positions))
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        let written = self.write_or_refuse(write).await;
        written.map_err(|error| moves::explain(write, error))
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        match self.session.take() {
            Some(session) => session.connection.close().await,
            None => Ok(()),
        }
    }
}

impl<C: Bulk> SqlSink<C> {
    /// Connects with its first use.
    pub(crate) fn new(
        settings: &C::Settings,
        identity: &Identity,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Self {
        Self {
            settings: settings.clone(),
            identity: identity.clone(),
            resolvers: resolvers.clone(),
            session: None,
            tables: KnownTables::default(),
            in_doubt: None,
        }
    }

    /// Connects now.
    ///
    /// # Errors
    /// `Unavailable` while the database does not answer, `Configuration` where it refuses.
    pub(crate) async fn open(&mut self) -> Result<()> {
        self.session = Some(self.take_session().await?);
        Ok(())
    }

    /// Prepares the tables of a write without writing, so that [`SqlSink::key_equality`] knows them.
    ///
    /// # Errors
    /// `Unavailable` or `Configuration`; what would be refused is not told here.
    pub(crate) async fn prepare(&mut self, write: &Write) -> Result<()> {
        let options = self.settings.options();
        let mut session = self.take_session().await?;
        session.tables.looked_at = false;
        for target in self.tables.unknown(&options, &write.changes)? {
            let table = session.connection.describe(&target).await;
            let table = table.map_err(Failure::into_error)?;
            self.tables.learn(target, table.as_ref());
        }
        let admitted = match self.tables.admit(&options, write) {
            Err(Error::Rejected(_)) => {
                self.session = Some(session);
                return Ok(());
            }
            admitted => admitted?,
        };
        let slices = ChangeSlice::of_write(&options, &admitted.write)?;
        let planned = plan(&mut session, &options, &slices).await;
        self.session = Some(session);
        match planned.map_err(Failure::into_error) {
            Err(error @ (Error::Unavailable { .. } | Error::Configuration { .. })) => Err(error),
            _ => Ok(()),
        }
    }

    /// How the table of these changes tells their keys apart; `None` where it was not written yet, where it
    /// constrains rows of several keys together, or where the changes do not have the key that it was
    /// prepared for.
    pub(crate) fn key_equality(&self, changes: &Changes) -> Option<Vec<KeyColumn>> {
        let options = self.settings.options();
        let target = Target::of(&options.table, &changes.table).ok()?;
        let tables = &self.session.as_ref()?.tables;
        let entry = tables.by_target.get(&target)?.last()?;
        if entry.found.constrains_across_keys() {
            return None;
        }
        let layout = entry.table.layout();
        let schema = changes.schema();
        let columns = entry.key.iter().map(|column| {
            let prepared = entry.schema.field(*column);
            let place = layout.indices.iter().position(|index| index == column)?;
            Some(KeyColumn {
                index: schema.index_of(prepared.name()).ok()?,
                equality: entry.table.equality(place),
                is_text: prepared.data_type().is_string(),
            })
        });
        let columns: Vec<KeyColumn> = columns.collect::<Option<_>>()?;
        let named = match options.key.is_some() || changes.key.is_some() {
            true => key_columns(&options, changes).ok()?,
            false => return Some(columns),
        };
        let same = columns.iter().map(|column| column.index).eq(named);
        same.then_some(columns)
    }

    /// Writes all, or says which changes the database refuses.
    async fn write_or_refuse(&mut self, write: &Write) -> Result<Outcome> {
        let (mut refreshed, mut in_pieces, mut races) = (false, false, 0);
        loop {
            let mut session = self.take_session().await?;
            let limit = self.settings.write_timeout();
            let pieces = if in_pieces { PIECES_TIMES } else { 1 };
            let times = pieces * (1 + self.targets(write)?.len() as u32 / TABLES_TIMES);
            let attempt = self.attempt(&mut session, write, in_pieces);
            let tried = match limit {
                Some((limit, setting)) => tokio::time::timeout(limit * times, attempt)
                    .await
                    .map_err(|_| silence(limit, setting))?,
                None => attempt.await,
            };
            let failure = match tried {
                Ok(outcome) => {
                    self.session = Some(session);
                    return Ok(outcome);
                }
                Err(failure) => failure,
            };
            match failure {
                Failure::Error(error @ Error::Unavailable { .. }) => return Err(error),
                Failure::Error(error) => {
                    session.roll_back().await?;
                    self.session = Some(session);
                    return Err(error);
                }
                Failure::Stale(error) if refreshed => return Err(error),
                Failure::Stale(_) => refreshed = true,
                Failure::ConcurrentInsert(error) => {
                    session.roll_back().await?;
                    self.session = Some(session);
                    races += 1;
                    if races > RACES_MAX {
                        return Err(error);
                    }
                }
                // Refused for their own values, wherever they stand.
                Failure::Rows(rows) if rows.iter().all(|(_, row)| row.cause == Cause::Values) => {
                    session.roll_back().await?;
                    self.session = Some(session);
                    return Err(Error::Rejected(rejections(rows)));
                }
                failure @ (Failure::Data(_) | Failure::Rows(_)) => {
                    session.roll_back().await?;
                    if in_pieces {
                        self.session = Some(session);
                        return Err(failure.into_error());
                    }
                    // A table that is no longer what it was explains a refusal: prepare anew.
                    let targets = self.targets(write)?;
                    let outdated = session.is_outdated(&targets).await;
                    if !refreshed && outdated.map_err(Failure::into_error)? {
                        refreshed = true;
                        continue;
                    }
                    self.session = Some(session);
                    in_pieces = true;
                }
            }
        }
    }

    async fn take_session(&mut self) -> Result<SqlSession<C>> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => {
                SqlSession::open(
                    &self.settings,
                    &self.identity,
                    &self.resolvers,
                    Purpose::Write,
                )
                .await
            }
        }
    }

    /// The tables that a write goes to.
    fn targets(&self, write: &Write) -> Result<BTreeSet<Target>> {
        let options = self.settings.options();
        let changes = write.changes.iter();
        changes
            .map(|changes| Target::of(&options.table, &changes.table))
            .collect()
    }

    /// The whole of a write: tables, positions, rows, commit. `in_pieces` finds out which changes the
    /// database refuses.
    async fn attempt(
        &mut self,
        session: &mut SqlSession<C>,
        write: &Write,
        in_pieces: bool,
    ) -> Result<Outcome, Failure> {
        let options = self.settings.options();
        session.tables.looked_at = false;
        for target in self.tables.unknown(&options, &write.changes)? {
            let table = session.connection.describe(&target).await?;
            self.tables.learn(target, table.as_ref());
        }
        let admitted = self.tables.admit(&options, write)?;
        let mut slices = ChangeSlice::of_write(&options, &admitted.write)?;
        // Which rows are to be made whole is known by their values, which are read in the transaction.
        let moves = moves::prepare(session, &options, &slices).await?;
        let early = match C::PREPARES_INSIDE || moves {
            true => None,
            false => Some(plan(session, &options, &slices).await?),
        };
        session.begin().await?;
        if !session
            .connection
            .advance(&self.identity, &options.table, write)
            .await?
        {
            session.roll_back().await?;
            return self.answer_moved(session, write).await;
        }
        let mut held = Outcome {
            taken: session.forget_waiting(&write.taken).await?,
            ..Outcome::default()
        };
        slices = session.hold_behind(&options, slices, &mut held).await?;
        // What was planned held all of them.
        let early = early.filter(|_| held.waiting == 0);
        if moves {
            slices = moves::complete(session, &self.identity, &options, slices).await?;
        }
        let mut outcome = if in_pieces {
            let tried = session.apply_in_pieces(&options, &slices).await?;
            if !tried.rejected.is_empty() {
                return Err(Failure::Error(Error::Rejected(tried.rejected)));
            }
            tried.outcome
        } else {
            let work = match early {
                Some(work) => work,
                None => plan(session, &options, &slices).await?,
            };
            apply(session, &options, &work).await?
        };
        outcome += &admitted.outcome;
        outcome += &held;
        session.release(&options, &mut outcome).await?;
        self.in_doubt = Some(InDoubt {
            spans: write.spans.clone(),
            outcome: outcome.clone(),
        });
        let committed = session.connection.commit().await;
        if !matches!(&committed, Err(Failure::Error(Error::Unavailable { .. }))) {
            self.in_doubt = None;
        }
        committed?;
        Ok(outcome)
    }

    /// The positions were not where the write expects them: our own commit whose reply was lost, or
    /// another owner.
    async fn answer_moved(
        &mut self,
        session: &mut SqlSession<C>,
        write: &Write,
    ) -> Result<Outcome, Failure> {
        let found = session.connection.positions(&self.identity).await?;
        if let Some(in_doubt) = &self.in_doubt
            && in_doubt.spans == write.spans
            && is_done(&found, &write.spans)
        {
            return Ok(in_doubt.outcome.clone());
        }
        Err(Failure::Error(fence(&found, &write.spans)))
    }
}

fn silence(limit: Duration, setting: &str) -> Error {
    Error::Unavailable {
        message: format!(
            "the database did not answer within {} ms ({setting})",
            limit.as_millis()
        ),
        cause: None,
    }
}

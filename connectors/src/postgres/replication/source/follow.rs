//! Changes from the stream: received, counted and gathered until a fetch is full.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgwire_replication::{Lsn, ReplicationEvent};

use super::ReplicationSource;
use crate::change::Operation;
use crate::error::Result;
use crate::format::is_origin_of;
use crate::postgres::failure::Failure;
use crate::postgres::replication::pgoutput::{self, Message, Old, Value};
use crate::postgres::replication::relation::Relation;
use crate::postgres::replication::slot::one;
use crate::postgres::replication::stream::Stream;
use crate::source::{Event, FetchedRows, Limits, Purpose};

/// How much log without a change of these tables is passed before sinks take note of it, so that the server
/// can remove it: one file of the log.
const QUIET_BYTES: u64 = 16 << 20;

/// Milliseconds between 1970 and 2000, from which PostgreSQL counts.
const YEAR_2000_MS: i64 = 946_684_800_000;

/// The transaction that is being received.
pub(super) struct Transaction {
    number: u32,
    commit: Lsn,
    time_ms: i64,
    /// How many of its changes were handed over before.
    skip: u64,
    /// Whether its origin is left out.
    ignored: bool,
}

impl ReplicationSource {
    /// Receives changes until the limits are reached.
    pub(super) async fn follow(&mut self, limits: &Limits) -> Result<Event, Failure> {
        if self.stream.is_none() {
            self.open_stream().await?;
        }
        let begun = Instant::now();
        loop {
            let is_over = self.is_over();
            let is_full =
                self.gathered.len() >= limits.rows || self.gathered.size() >= limits.bytes;
            let waited = self
                .since
                .is_some_and(|since| since.elapsed() >= limits.linger);
            if self.gathered.len() > 0 && (is_full || waited || is_over) {
                return self.deliver();
            }
            // What was left out is counted, and the place behind it kept.
            let left_out = self.gathered.ignored > 0 && (waited || is_over) && self.may_move();
            if is_over && !left_out {
                return Ok(Event::End);
            }
            if left_out || self.is_quiet() {
                if let Some(head) = &mut self.head {
                    head.number += 1;
                }
                return self.deliver();
            }
            let left = limits.linger.saturating_sub(begun.elapsed());
            if self.pending.is_none() {
                let Some(stream) = &mut self.stream else {
                    return Ok(Event::Idle);
                };
                // What is there is taken also where no time is left.
                let wait = left.max(Duration::from_millis(1));
                match tokio::time::timeout(wait, stream.next()).await {
                    Ok(event) => self.pending = Some(event?),
                    Err(_) if self.gathered.len() > 0 => return self.deliver(),
                    Err(_) => return Ok(Event::Idle),
                }
            }
            self.take_pending().await?;
        }
    }

    fn deliver(&mut self) -> Result<Event, Failure> {
        let (records, decoded) = self.gathered.take()?;
        self.since = None;
        Ok(Event::Rows(FetchedRows {
            records,
            decoded,
            spans: self.hand_over(),
        }))
    }

    async fn open_stream(&mut self) -> Result<(), Failure> {
        if self.purpose == Purpose::Once && self.until.is_none() {
            let session = self.session().await?;
            let end = one(session, "SELECT pg_current_wal_flush_lsn()::text").await?;
            self.until = Lsn::parse(&end).ok();
        }
        let from = self
            .head
            .as_ref()
            .map_or(Lsn::ZERO, |head| head.bookmark.lsn());
        self.relations.clear();
        self.transaction = None;
        self.stream = Some(Stream::open(&self.settings, from, self.acknowledged).await?);
        Ok(())
    }

    /// Whether `--once` has come to the end that there was.
    fn is_over(&self) -> bool {
        if self.purpose == Purpose::Peek {
            return true;
        }
        let lsn = self.head.as_ref().map(|head| head.bookmark.lsn());
        match (self.until, lsn) {
            (Some(until), Some(lsn)) => self.transaction.is_none() && lsn >= until,
            _ => false,
        }
    }

    /// Whether much log without a change of these tables was passed.
    fn is_quiet(&self) -> bool {
        let (Some(given), Some(head)) = (&self.given, &self.head) else {
            return false;
        };
        let passed = head.bookmark.lsn().0.saturating_sub(given.bookmark.lsn().0);
        self.purpose == Purpose::Follow && passed >= QUIET_BYTES && self.may_move()
    }

    /// Whether the place may move without a change. A move counts: none is made while a sink further on has
    /// counted others.
    fn may_move(&self) -> bool {
        let together = self.head.as_ref().is_some_and(|head| head.ahead.is_empty());
        together && self.gathered.len() == 0 && self.transaction.is_none()
    }

    /// Deals with the message that came; dropped in the middle, it is dealt with again.
    async fn take_pending(&mut self) -> Result<(), Failure> {
        let Some(event) = self.pending.clone() else {
            return Ok(());
        };
        if let ReplicationEvent::XLogData { data, .. } = &event {
            let message = pgoutput::parse(data)?;
            if let Message::Relation(relation) = &message {
                let full = format!("{}.{}", relation.schema, relation.name);
                let known = match (self.tables.get(&full), self.nouns.get(&full)) {
                    (Some(followed), Some(table)) => {
                        let (key, table) = (followed.key.clone(), table.clone());
                        let session = self.session().await?;
                        Some(Arc::new(
                            Relation::of(relation, session, &table, &key).await?,
                        ))
                    }
                    _ => None,
                };
                self.relations.insert(relation.id, known);
            } else {
                self.take(message)?;
            }
        } else {
            self.take_boundary(&event);
        }
        self.pending = None;
        Ok(())
    }

    /// Begin, commit, and signs of life.
    fn take_boundary(&mut self, event: &ReplicationEvent) {
        let Some(head) = &mut self.head else {
            return;
        };
        match event {
            ReplicationEvent::Begin {
                final_lsn,
                xid,
                commit_time_micros,
            } => {
                self.transaction = Some(Transaction {
                    number: *xid,
                    commit: *final_lsn,
                    time_ms: commit_time_micros / 1_000 + YEAR_2000_MS,
                    skip: head.bookmark.done,
                    ignored: false,
                });
            }
            ReplicationEvent::Commit { end_lsn, .. } => {
                self.transaction = None;
                head.bookmark.commit(*end_lsn);
                head.bookmark.prune(*end_lsn);
            }
            ReplicationEvent::KeepAlive { wal_end, .. } => {
                // Everything that commits before it has come. A transaction of which some was handed
                // over comes again from its beginning: the place before it has to stay.
                let between = self.transaction.is_none() && head.bookmark.done == 0;
                if between && *wal_end > head.bookmark.lsn() {
                    head.bookmark.commit(*wal_end);
                    head.bookmark.prune(*wal_end);
                }
            }
            _ => {}
        }
    }

    /// A change.
    fn take(&mut self, message: Message<'_>) -> Result<()> {
        match message {
            Message::Insert { relation, new } => {
                self.push(relation, Operation::Create, None, Some(&new))
            }
            Message::Update { relation, old, new } => {
                self.push(relation, Operation::Update, old.as_ref(), Some(&new))
            }
            Message::Delete { relation, old } => {
                self.push(relation, Operation::Delete, Some(&old), None)
            }
            Message::Truncate { relations } => {
                for relation in relations {
                    self.push(relation, Operation::Truncate, None, None)?;
                }
                Ok(())
            }
            Message::Origin(name) => {
                let patterns = &self.settings.ignore_origins;
                if let Some(transaction) = &mut self.transaction {
                    transaction.ignored = is_origin_of(patterns, name);
                }
                Ok(())
            }
            Message::Relation(_) | Message::Other => Ok(()),
        }
    }

    fn push(
        &mut self,
        relation: u32,
        operation: Operation,
        old: Option<&Old<'_>>,
        new: Option<&[Value<'_>]>,
    ) -> Result<()> {
        let (Some(head), Some(transaction)) = (&mut self.head, &mut self.transaction) else {
            return Ok(());
        };
        let Some(Some(relation)) = self.relations.get(&relation) else {
            return Ok(());
        };
        let mark = head.bookmark.tables.get(&relation.name);
        let Some(mark) = mark else {
            return Ok(());
        };
        if let Some(holds) = &mark.holds
            && holds.holds(transaction.number, transaction.commit)
        {
            return Ok(());
        }
        if transaction.ignored {
            self.gathered.ignored += 1;
            self.since.get_or_insert_with(Instant::now);
            return Ok(());
        }
        if transaction.skip > 0 {
            transaction.skip -= 1;
            return Ok(());
        }
        let (lsn, done) = (head.bookmark.lsn(), head.bookmark.done);
        let number = head.number_of(transaction.commit, lsn, done)?;
        let time_ms = Some(transaction.time_ms);
        self.gathered
            .push(relation, number, time_ms, operation, (old, new));
        self.since.get_or_insert_with(Instant::now);
        head.number = number + 1;
        head.bookmark.done += 1;
        Ok(())
    }
}

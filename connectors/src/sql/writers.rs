//! Several connections for the changes of one partition: `writers = N`.
//!
//! A delivery is split by the hash of the keys over N writers. Each writes its part in a transaction of its
//! own, which moves a position of its own ([`layout`]), and the delivery is done when all are. So a key has
//! one order (R8), every change is written once (R4), and between two deliveries all writers stand together.
//!
//! A delivery is written **whole**, by the first writer in one transaction that moves all positions, where
//! a split could give another result than one writer gives, or would not pay:
//!
//! - its table has unique indexes beside the key, or exclusion constraints: a value may move from a row to
//!   another one (R20);
//! - it holds a truncate (R13) or a change of key (R10), or a key that cannot be routed ([`route`]);
//! - it is the first of its table in this process: it makes and prepares the table;
//! - the writers do not stand together: a process ended between two commits, or N is another one now.
//!   Then the rows that their writer has written are left out, by the N of that time;
//! - the target refused a part: all that is left is tried together, in the order of the source;
//! - it is small.
//!
//! Foreign keys do not need it: what comes before its parent waits (R21), as it does between lanes.

mod layout;
mod route;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use self::layout::{Layout, layouts};
use crate::change::Changes;
use crate::conflict::Resolvers;
use crate::error::{Error, RejectedChange, Result};
use crate::positions::WriterMark;
use crate::record::{HeldPositions, Partition, Span};
use crate::sink::{Identity, Outcome, Sink, Write};
use crate::sql::bulk::Bulk;
use crate::sql::connection::Settings;
use crate::sql::sink::SqlSink;
use crate::sql::version::version_column;

/// A delivery of fewer changes is not split.
const SPLIT_MIN: usize = 256;

/// Opens a sink for one lane: one connection, and others when a delivery is split.
///
/// # Errors
/// `Unavailable` while the database does not answer, `Configuration` where it refuses or where the
/// conflict policy is incomplete.
pub(crate) async fn connect<C: Bulk>(
    settings: &C::Settings,
    identity: &Identity,
    resolvers: &Arc<dyn Resolvers>,
) -> Result<Box<dyn Sink>> {
    let options = settings.options();
    version_column(&options.conflict)?;
    let mut first = SqlSink::new(settings, identity, resolvers);
    first.open().await?;
    Ok(Box::new(Writers::<C> {
        count: options.writers.max(1),
        sinks: vec![first],
        settings: settings.clone(),
        identity: identity.clone(),
        resolvers: resolvers.clone(),
        layouts: BTreeMap::new(),
        pending: None,
        owed: Owed::default(),
    }))
}

/// See the module docs.
struct Writers<C: Bulk> {
    settings: C::Settings,
    identity: Identity,
    resolvers: Arc<dyn Resolvers>,
    /// How many there are to be.
    count: usize,
    /// Those that were needed so far. Taken out while they write, so that a call that was dropped half-way
    /// leaves no open transaction behind.
    sinks: Vec<SqlSink<C>>,
    /// Where the writers of each partition stand; of one writer only where there were more.
    layouts: BTreeMap<Partition, Layout>,
    /// A split delivery that did not get through.
    pending: Option<Pending>,
    owed: Owed,
}

/// A split delivery, until all of its parts are durable.
struct Pending {
    spans: Vec<Span>,
    changes: usize,
    parts: Vec<Part>,
}

/// What one writer gets of a delivery.
struct Part {
    write: Arc<Write>,
    /// Once it is durable.
    outcome: Option<Outcome>,
}

/// A batch of a delivery, and rows of it.
type Place = (usize, Vec<u32>);

/// What became of the durable parts of a delivery whose other parts were not: it is told with those.
#[derive(Default)]
struct Owed {
    outcome: Outcome,
    changes: u64,
}

#[async_trait]
impl<C: Bulk> Sink for Writers<C> {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        let held = self.first().positions().await?.unwrap_or_default();
        let (held, layouts) = layouts(held);
        self.layouts = layouts;
        if self.count == 1 {
            self.layouts.retain(|_, layout| !layout.is_alone());
        }
        // Whoever asks gets what was not acknowledged again, without knowing what became of it.
        self.pending = None;
        self.owed = Owed::default();
        Ok(Some(held))
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        if let Some(pending) = self.pending.take() {
            if pending.spans == write.spans && pending.changes == write.len() {
                return self.write_parts(write, pending).await;
            }
            self.settle(&pending);
        }
        match self.split(write)? {
            Some(parts) => {
                let pending = Pending {
                    spans: write.spans.clone(),
                    changes: write.len(),
                    parts,
                };
                self.write_parts(write, pending).await
            }
            None => self.write_whole(write).await,
        }
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        for sink in self.sinks.drain(..) {
            Box::new(sink).close().await?;
        }
        Ok(())
    }
}

impl<C: Bulk> Writers<C> {
    fn first(&mut self) -> &mut SqlSink<C> {
        self.open_up_to(1);
        &mut self.sinks[0]
    }

    fn open_up_to(&mut self, count: usize) {
        while self.sinks.len() < count {
            let sink = SqlSink::new(&self.settings, &self.identity, &self.resolvers);
            self.sinks.push(sink);
        }
    }

    /// The delivery cut into a part for each writer; `None` where it is written whole.
    fn split(&self, write: &Write) -> Result<Option<Vec<Part>>> {
        let Some(first) = self.sinks.first() else {
            return Ok(None);
        };
        let stand_together = |span: &Span| {
            let layout = self.layouts.get(&span.partition);
            layout.is_some_and(|layout| layout.stands(self.count) == span.from)
        };
        if self.count == 1 || write.len() < SPLIT_MIN || !write.spans.iter().all(stand_together) {
            return Ok(None);
        }
        let mut parts = vec![Write::default(); self.count];
        parts[0].taken.clone_from(&write.taken);
        for changes in &write.changes {
            let Some(hashes) = route::hashes(&first.key_equality(changes), changes) else {
                return Ok(None);
            };
            let mut rows = vec![Vec::new(); self.count];
            for (row, hash) in hashes.into_iter().enumerate() {
                rows[route::writer(hash, self.count)].push(row as u32);
            }
            for (part, rows) in parts.iter_mut().zip(rows) {
                if !rows.is_empty() {
                    let taken = changes.take(&rows).map_err(Error::configuration)?;
                    part.changes.push(taken);
                }
            }
        }
        for (writer, part) in parts.iter_mut().enumerate() {
            let spans = write.spans.iter();
            part.spans = spans.map(|span| layout::span(span, writer)).collect();
        }
        let parts = parts.into_iter().map(|write| Part {
            write: Arc::new(write),
            outcome: None,
        });
        Ok(Some(parts.collect()))
    }

    /// Writes the parts that are not durable, side by side.
    async fn write_parts(&mut self, write: &Write, mut pending: Pending) -> Result<Outcome> {
        self.open_up_to(self.count);
        let mut running = JoinSet::new();
        for (writer, mut sink) in std::mem::take(&mut self.sinks).into_iter().enumerate() {
            let part = pending.parts.get(writer);
            let part = part.filter(|part| part.outcome.is_none());
            let part = part.map(|part| part.write.clone());
            running.spawn(async move {
                let written = match part {
                    Some(part) => Some(sink.write(&part).await),
                    None => None,
                };
                (writer, sink, written)
            });
        }
        let mut sinks = BTreeMap::new();
        let mut errors = Vec::new();
        while let Some(joined) = running.join_next().await {
            let (writer, sink, written) = joined.map_err(|error| {
                Error::configuration(format!("a writer of the sink failed: {error}"))
            })?;
            sinks.insert(writer, sink);
            match written {
                Some(Ok(outcome)) => pending.parts[writer].outcome = Some(outcome),
                Some(Err(error)) => errors.push(error),
                None => {}
            }
        }
        self.sinks = sinks.into_values().collect();
        if errors.is_empty() {
            let mut outcome = Outcome::default();
            for part in &pending.parts {
                outcome += part.outcome.as_ref().unwrap_or(&Outcome::default());
            }
            for span in &write.spans {
                let layout = self.layouts.entry(span.partition.clone());
                layout.or_default().set(self.count, span.next);
            }
            return Ok(outcome);
        }
        let unavailable = |error: &Error| matches!(error, Error::Unavailable { .. });
        if let Some(place) = errors.iter().position(unavailable) {
            // The same write may be tried again: what is durable is kept.
            self.pending = Some(pending);
            return Err(errors.swap_remove(place));
        }
        self.settle(&pending);
        let refused = |error: &Error| matches!(error, Error::Rejected(_));
        match errors.iter().position(|error| !refused(error)) {
            Some(place) => Err(plain(errors.swap_remove(place))),
            None => self.write_whole(write).await,
        }
    }

    /// Takes note of what is durable of a delivery that is not.
    fn settle(&mut self, pending: &Pending) {
        for (writer, part) in pending.parts.iter().enumerate() {
            let Some(outcome) = &part.outcome else {
                continue;
            };
            self.owed.outcome += outcome;
            self.owed.changes += part.write.len() as u64;
            for span in &pending.spans {
                if let Some(layout) = self.layouts.get_mut(&span.partition) {
                    layout.moved(writer, span.next);
                }
            }
        }
    }

    /// Writes a delivery by the first writer, for all.
    async fn write_whole(&mut self, write: &Write) -> Result<Outcome> {
        let plain_span = |span: &Span| !self.layouts.contains_key(&span.partition);
        if self.count == 1 && write.spans.iter().all(plain_span) {
            return self.first().write(write).await;
        }
        let mut spans = Vec::new();
        let mut after = Vec::new();
        for span in &write.spans {
            let found = self.layouts.get(&span.partition).cloned();
            let mut layout = found.unwrap_or_else(|| Layout::alone(span.from));
            spans.extend(layout.advance(span, self.count));
            after.push((span.partition.clone(), layout));
        }
        let left = self.not_held(write).await?;
        let places: Vec<Place> = left.iter().map(|(place, _)| place.clone()).collect();
        let left = Write {
            changes: left.into_iter().map(|(_, changes)| changes).collect(),
            spans,
            taken: write.taken.clone(),
        };
        let held = (write.len() - left.len()) as u64;
        match self.first().write(&left).await {
            Ok(mut outcome) => {
                for (partition, layout) in after {
                    match layout.is_alone() && self.count == 1 {
                        true => self.layouts.remove(&partition),
                        false => self.layouts.insert(partition, layout),
                    };
                }
                let owed = std::mem::take(&mut self.owed);
                outcome += &owed.outcome;
                outcome.replayed += held.saturating_sub(owed.changes);
                Ok(outcome)
            }
            Err(Error::Rejected(rejected)) => Err(Error::Rejected(placed(rejected, &places))),
            Err(error) => Err(plain(error)),
        }
    }

    /// The changes that their writers have not written, with the batch and the rows that they are.
    async fn not_held(&mut self, write: &Write) -> Result<Vec<(Place, Changes)>> {
        let apart = |span: &Span| {
            let layout = self.layouts.get(&span.partition);
            layout.is_some_and(|layout| !layout.is_level())
        };
        let apart = write.spans.iter().any(apart);
        if apart {
            // Else nothing tells whose rows they are, and rows would be written twice.
            self.first().prepare(write).await?;
        }
        let mut left = Vec::new();
        for (batch, changes) in write.changes.iter().enumerate() {
            let rows: Vec<u32> = match apart {
                true => self.rows_not_held(changes),
                false => (0..changes.len() as u32).collect(),
            };
            let taken = match rows.len() == changes.len() {
                true => changes.clone(),
                false => changes.take(&rows).map_err(Error::configuration)?,
            };
            left.push(((batch, rows), taken));
        }
        Ok(left)
    }

    fn rows_not_held(&self, changes: &Changes) -> Vec<u32> {
        let first = self.sinks.first();
        let keys = first.and_then(|first| first.key_equality(changes));
        let hashes = route::hashes(&keys, changes);
        let is_left = |row: &u32| {
            let row = *row as usize;
            let origin = changes.origins[row] as usize;
            let Some(layout) = self
                .layouts
                .get(&changes.records.partition(origin).partition)
            else {
                return true;
            };
            let offset = changes.records.entries[origin].offset;
            match &hashes {
                Some(hashes) => !layout.holds(hashes[row], offset),
                // It was part of no split delivery, so all of its writers stand before it or none.
                None => true,
            }
        };
        (0..changes.len() as u32).filter(is_left).collect()
    }
}

/// Rejections of a part, by their places in the delivery.
fn placed(rejected: Vec<RejectedChange>, places: &[Place]) -> Vec<RejectedChange> {
    let rejected = rejected.into_iter().map(|change| {
        let (batch, rows) = &places[change.batch];
        RejectedChange {
            batch: *batch,
            row: rows[change.row] as usize,
            ..change
        }
    });
    rejected.collect()
}

/// An error that names the partition, and not the position of one writer.
fn plain(error: Error) -> Error {
    match error {
        Error::Fenced {
            partition,
            expected,
            found,
        } => Error::Fenced {
            partition: WriterMark::read(&partition)
                .map_or_else(|| partition.clone(), |mark| mark.of()),
            expected,
            found,
        },
        error => error,
    }
}

//! Lane → sink: the task that owns a sink's connection and makes deliveries durable in order.
//!
//! While the database works on one delivery the lane prepares the next. The queue between them is
//! bounded twice: by [`DELIVERIES_MAX`] and, in the lane, by bytes. What the sink refuses goes into
//! quarantine first and only then does the rest of the delivery commit, so that no position moves
//! past a change that is nowhere. Where another process moved a position (a fence), everything that
//! is queued is given back to the source, and nothing is written until the positions were read anew.

use std::sync::Arc;
use std::time::Instant;

use syncline_connectors::change::Changes;
use syncline_connectors::error::{Error, RejectedChange, Result};
use syncline_connectors::record::{HeldPositions, Positions, Span, offsets};
use syncline_connectors::sink::{Outcome, Sink, Write};
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;
use crate::quarantine::{Entry, Quarantine, Verdict};
use crate::run::account::{Account, Tally};
use crate::run::patience;
use crate::run::status::Status;

/// At most this many deliveries wait for one writer.
pub(crate) const DELIVERIES_MAX: usize = 16;

/// One fetch on its way into one sink.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The number that the lane's tracker gave the fetch.
    pub(crate) number: u64,
    pub(crate) write: Write,
    pub(crate) tally: Tally,
    pub(crate) fetched_at: Instant,
    /// Memory that the delivery holds.
    pub(crate) bytes: usize,
}

/// What a lane asks of a writer; answered in order.
#[derive(Debug)]
pub(crate) enum Command {
    /// Make this durable.
    Deliver(Delivery),
    /// Read the positions afresh, once everything before is finished or given back.
    Positions(oneshot::Sender<Result<Option<HeldPositions>>>),
    /// Keep these places, durably where the sink keeps positions, before anything else is written.
    /// Fails with a fence where another process was faster.
    Remember(Vec<Span>, oneshot::Sender<Result<()>>),
    /// Say when everything before is finished.
    Flush(oneshot::Sender<()>),
}

/// What a writer tells its lane.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Durable.
    Finished { number: u64, bytes: usize },
    /// Not written: it will come again from the source.
    GivenBack { bytes: usize },
    /// Another process moved a position: read the positions again. This delivery was not written.
    Fenced { error: Error, bytes: usize },
    /// The sink cannot go on.
    Failed(Error),
}

/// The task that writes; see the module docs.
pub(crate) struct Writer {
    pub(crate) pipeline: String,
    pub(crate) name: String,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) account: Arc<Account>,
    pub(crate) status: Arc<Status>,
    /// Where each partition stands in the target, as far as this writer knows.
    pub(crate) positions: Positions,
    /// Whether the sink keeps positions, once it was asked.
    pub(crate) keeps_positions: bool,
    /// Whether queued deliveries are given back until the positions are read anew.
    pub(crate) fenced: bool,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) notices: mpsc::Sender<Notice>,
}

impl Writer {
    /// Serves a lane until it hangs up or the sink cannot go on, then closes the sink.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let mut failed = false;
        while let Some(command) = self.commands.recv().await {
            let notice = match command {
                Command::Deliver(delivery) => self.deliver(delivery).await,
                Command::Positions(reply) => {
                    // A lane that hung up no longer wants to know.
                    let _ = reply.send(self.read_positions().await);
                    continue;
                }
                Command::Remember(spans, reply) => {
                    let _ = reply.send(self.remember(spans).await);
                    continue;
                }
                Command::Flush(reply) => {
                    let _ = reply.send(());
                    continue;
                }
            };
            failed = matches!(notice, Notice::Failed(_));
            // What is queued behind a failure must not be written: its positions would pass what
            // was not.
            if self.notices.send(notice).await.is_err() || failed {
                break;
            }
        }
        match self.sink.close().await {
            Err(error) if failed => {
                tracing::warn!(sink = self.name, error = error.chain(), "did not close");
                Ok(())
            }
            closed => closed.map_err(|error| Failure::of_sink(&self.name, error)),
        }
    }

    async fn read_positions(&mut self) -> Result<Option<HeldPositions>> {
        let held = self.sink.positions().await?;
        self.keeps_positions = held.is_some();
        self.positions = held.as_ref().map(offsets).unwrap_or_default();
        self.fenced = false;
        Ok(held)
    }

    /// A sink that keeps no positions is told here what to skip, for as long as this process runs.
    async fn remember(&mut self, spans: Vec<Span>) -> Result<()> {
        let write = Write {
            changes: Vec::new(),
            spans,
        };
        if self.keeps_positions {
            self.sink.write(&write).await?;
        }
        for span in write.spans {
            self.positions.insert(span.partition, span.next);
        }
        Ok(())
    }

    async fn deliver(&mut self, delivery: Delivery) -> Notice {
        let Delivery {
            number,
            mut write,
            mut tally,
            fetched_at,
            bytes,
        } = delivery;
        if self.fenced {
            self.account.give_back(&tally);
            return Notice::GivenBack { bytes };
        }
        if let Some(error) = self.gap(&write) {
            self.fenced = true;
            self.account.give_back(&tally);
            return Notice::Fenced { error, bytes };
        }
        let replayed = match self.skip_replayed(&mut write) {
            Ok(replayed) => replayed,
            Err(error) => return Notice::Failed(error),
        };
        if write.spans.is_empty() {
            // All of it was seen before, with what was filtered or rejected on its way.
            self.account.replay(tally.entered);
            return Notice::Finished { number, bytes };
        }
        if replayed > 0 {
            tally.entered -= replayed;
            self.account.replay(replayed);
        }
        match self.write(&mut write).await {
            Ok((outcome, refused)) => {
                for span in write.spans {
                    self.positions.insert(span.partition, span.next);
                }
                self.account
                    .finish(&tally, &outcome, refused, fetched_at.elapsed());
                Notice::Finished { number, bytes }
            }
            Err(error @ Error::Fenced { .. }) => {
                self.fenced = true;
                self.account.give_back(&tally);
                Notice::Fenced { error, bytes }
            }
            Err(error) => Notice::Failed(error),
        }
    }

    /// Writes until the sink takes everything that is left; returns how many it refused.
    async fn write(&mut self, write: &mut Write) -> Result<(Outcome, u64)> {
        let mut refused = 0;
        loop {
            match self.sink.write(write).await {
                Ok(outcome) => return Ok((outcome, refused)),
                Err(Error::Rejected(rejected)) => {
                    if rejected.is_empty() {
                        return Err(Error::configuration(format!(
                            "sink {} refused a write without naming a change",
                            self.name
                        )));
                    }
                    refused += rejected.len() as u64;
                    self.quarantine(write, &rejected).await?;
                    remove(write, &rejected)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn quarantine(&mut self, write: &Write, rejected: &[RejectedChange]) -> Result<()> {
        let entries: Vec<Entry> = rejected
            .iter()
            .map(|bad| {
                let changes = &write.changes[bad.batch];
                let verdict = Verdict {
                    pipeline: &self.pipeline,
                    stage: &self.name,
                    rule: &bad.rule,
                    field: bad.field.as_deref(),
                    reason: &bad.reason,
                };
                Entry::new(
                    &changes.records,
                    changes.origins[bad.row] as usize,
                    &verdict,
                )
            })
            .collect();
        patience::append(&self.quarantine, &entries, &self.status).await
    }

    /// A span that begins past where the target stands: to write it would pass what lies between.
    fn gap(&self, write: &Write) -> Option<Error> {
        write.spans.iter().find_map(|span| {
            let (at, from) = (*self.positions.get(&span.partition)?, span.from?);
            (at < from).then(|| Error::Fenced {
                partition: span.partition.clone(),
                expected: from,
                found: Some(at),
            })
        })
    }

    /// Takes out what the target holds already (R4) and sets each span to begin where it stands.
    fn skip_replayed(&self, write: &mut Write) -> Result<u64> {
        let stale = |span: &Span| {
            self.positions
                .get(&span.partition)
                .is_some_and(|&at| Some(at) > span.from)
        };
        let mut replayed = 0;
        if write.spans.iter().any(stale) {
            for changes in &mut write.changes {
                let fresh: Vec<u32> = (0..changes.len() as u32)
                    .filter(|&row| !self.holds(changes, row as usize))
                    .collect();
                if fresh.len() < changes.len() {
                    replayed += (changes.len() - fresh.len()) as u64;
                    *changes = take(changes, &fresh)?;
                }
            }
        }
        write.spans.retain_mut(|span| {
            let at = self.positions.get(&span.partition).copied();
            span.from = at;
            at.is_none_or(|at| at < span.next)
        });
        Ok(replayed)
    }

    fn holds(&self, changes: &Changes, row: usize) -> bool {
        let origin = changes.origins[row] as usize;
        let partition = &changes.records.partition(origin).partition;
        let offset = changes.records.entries[origin].offset;
        self.positions.get(partition).is_some_and(|&at| offset < at)
    }
}

fn remove(write: &mut Write, rejected: &[RejectedChange]) -> Result<()> {
    for (index, changes) in write.changes.iter_mut().enumerate() {
        let mut gone = vec![false; changes.len()];
        for bad in rejected.iter().filter(|bad| bad.batch == index) {
            gone[bad.row] = true;
        }
        let left: Vec<u32> = (0..changes.len() as u32)
            .filter(|&row| !gone[row as usize])
            .collect();
        if left.len() < changes.len() {
            *changes = take(changes, &left)?;
        }
    }
    Ok(())
}

fn take(changes: &Changes, rows: &[u32]) -> Result<Changes> {
    changes
        .take(rows)
        .map_err(|e| Error::configuration_from("cannot take rows of a batch", e))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::time::Duration;

    use async_trait::async_trait;
    use syncline_connectors::record::{Held, Partition};

    use super::*;
    use crate::config::{FileQuarantine, QuarantineConfig};

    /// Answers writes as it was told to, and keeps the spans of those that it was asked for.
    struct Scripted {
        position: i64,
        answers: VecDeque<Result<Outcome>>,
        asked: Arc<Mutex<Vec<Vec<Span>>>>,
    }

    #[async_trait]
    impl Sink for Scripted {
        async fn positions(&mut self) -> Result<Option<HeldPositions>> {
            let held = Held {
                next: self.position,
                incarnation: None,
            };
            Ok(Some(HeldPositions::from([(partition(), held)])))
        }

        async fn write(&mut self, write: &Write) -> Result<Outcome> {
            self.asked.lock().unwrap().push(write.spans.clone());
            self.answers.pop_front().unwrap_or(Ok(Outcome::default()))
        }

        async fn close(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    fn partition() -> Partition {
        Partition {
            topic: "t".into(),
            number: 0,
        }
    }

    fn span(from: i64, next: i64) -> Span {
        Span {
            partition: partition(),
            from: Some(from),
            next,
            incarnation: None,
        }
    }

    /// What a lane asks for: the positions, or to write what lies from one position to another.
    enum Ask {
        Positions,
        Write(i64, i64),
    }

    /// Asks a writer whose sink stands at 10; gives the notices, the spans that the sink saw, and
    /// the account. Every delivery is of five changes that a rule filtered.
    fn check(
        answers: Vec<Result<Outcome>>,
        asks: Vec<Ask>,
        notices: &[&str],
        spans: &[Span],
    ) -> Account {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let config = QuarantineConfig::File(FileQuarantine {
                path: folder.path().into(),
            });
            let (commands_in, commands) = mpsc::channel(DELIVERIES_MAX);
            let (told, mut notices_out) = mpsc::channel(DELIVERIES_MAX);
            let asked = Arc::new(Mutex::new(Vec::new()));
            let account = Arc::new(Account::default());
            let writer = Writer {
                pipeline: "p".into(),
                name: "s".into(),
                sink: Box::new(Scripted {
                    position: 10,
                    answers: answers.into(),
                    asked: asked.clone(),
                }),
                quarantine: Arc::new(Quarantine::open(&config, "p").await.unwrap()),
                account: account.clone(),
                status: Arc::new(Status::new("p")),
                positions: Positions::new(),
                keeps_positions: false,
                fenced: false,
                commands,
                notices: told,
            };
            let tally = Tally {
                entered: 5,
                filtered: 5,
                ..Tally::default()
            };
            for (number, ask) in asks.into_iter().enumerate() {
                let command = match ask {
                    Ask::Positions => Command::Positions(oneshot::channel().0),
                    Ask::Write(from, next) => {
                        account.enter(&tally);
                        Command::Deliver(Delivery {
                            number: number as u64,
                            write: Write {
                                changes: Vec::new(),
                                spans: vec![span(from, next)],
                            },
                            tally,
                            fetched_at: Instant::now(),
                            bytes: 0,
                        })
                    }
                };
                commands_in.send(command).await.unwrap();
            }
            drop(commands_in);
            tokio::time::timeout(Duration::from_secs(60), writer.run())
                .await
                .unwrap()
                .unwrap();
            let mut found = Vec::new();
            while let Some(notice) = notices_out.recv().await {
                found.push(match notice {
                    Notice::Finished { .. } => "finished",
                    Notice::GivenBack { .. } => "given back",
                    Notice::Fenced { .. } => "fenced",
                    Notice::Failed(_) => "failed",
                });
            }
            assert_eq!(found, notices);
            assert_eq!(asked.lock().unwrap().concat(), spans);
            Arc::into_inner(account).expect("the writer has ended")
        })
    }

    #[test]
    fn nothing_that_is_queued_behind_a_failure_is_written() {
        let wrong = || Err(Error::configuration("no such column"));
        let account = check(
            vec![wrong()],
            vec![Ask::Positions, Ask::Write(10, 20), Ask::Write(20, 30)],
            &["failed"],
            &[span(10, 20)],
        );
        let balance = account.balance();
        assert!(balance.adds_up(), "R17: {balance:?}");
        assert_eq!(balance.in_flight, 10);
    }

    #[test]
    fn r4_a_gap_is_a_fence_and_heals_at_the_positions() {
        let account = check(
            vec![],
            vec![
                Ask::Positions,
                Ask::Write(20, 30),
                Ask::Write(30, 40),
                Ask::Positions,
                Ask::Write(10, 20),
            ],
            &["fenced", "given back", "finished"],
            &[span(10, 20)],
        );
        let balance = account.balance();
        assert_eq!(
            (balance.entered, balance.filtered, balance.in_flight),
            (5, 5, 0)
        );
    }

    #[test]
    fn r17_what_the_target_holds_counts_as_replayed_with_all_that_was_filtered() {
        let account = check(
            vec![],
            vec![Ask::Positions, Ask::Write(0, 10), Ask::Write(10, 20)],
            &["finished", "finished"],
            &[span(10, 20)],
        );
        let balance = account.balance();
        assert_eq!(
            (balance.entered, balance.filtered, balance.replayed),
            (5, 5, 5)
        );
        assert!(balance.adds_up(), "R17: {balance:?}");
    }
}

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use syncline_connectors::record::{Held, Partition};
use tokio::sync::oneshot;

use super::*;
use crate::config::{FileQuarantine, QuarantineConfig};
use crate::run::account::Tally;

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
            stop_after: 0,
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
            refusals: Arc::default(),
            account: account.clone(),
            status: Arc::new(Status::new("p")),
            positions: Positions::new(),
            keeps_positions: false,
            fenced: false,
            held: None,
            room: None,
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
                            taken: Vec::new(),
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

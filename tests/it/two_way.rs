//! The shipped `pipelines/two-way/`: users edit both databases at random; after they stop, the
//! tables are equal, and no change is sent back to its origin.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Connect, Database, Kafka, Pipeline, Process, eventually, kafka, postgres};

/// The number of bursts, of edits in a burst on each side, and of clients.
const BURSTS: usize = 8;
const EDITS: usize = 60;
const CLIENTS: u64 = 25;

/// Enough for two Debezium workers and two pipelines on a busy machine.
const SYNCED_WITHIN: Duration = Duration::from_secs(120);

/// The number of rounds in a row that must bring the expected records and no others.
const QUIET_ROUNDS: usize = 3;

/// One of the two databases, with its users' edits.
struct Side {
    database: Database,
    topic: String,
    /// The number of rows that users inserted, updated or deleted.
    changed: i64,
    random: u64,
}

impl Side {
    async fn create(label: &str, seed: u64) -> Self {
        let database = postgres(label).await;
        let table = include_str!("../../pipelines/two-way/clients.sql");
        database.execute(table).await;
        Self {
            database,
            topic: String::new(),
            changed: 0,
            random: seed,
        }
    }

    async fn stream(&mut self, kafka: &Kafka) -> Connect {
        let settings = [
            ("publication.autocreate.mode", "filtered"),
            ("table.include.list", "public.clients"),
        ];
        let connect = Connect::start(kafka, &self.database, &settings).await;
        self.topic = connect.topic("public", "clients");
        connect
    }

    /// Runs a user's statement; returns the number of changed rows.
    async fn edit(&mut self, statement: &str) -> i64 {
        let sql = format!("WITH done AS ({statement} RETURNING 1) SELECT count(*) FROM done");
        loop {
            match self.database.number(&sql).await {
                Ok(count) => {
                    self.changed += count;
                    return count;
                }
                // PostgreSQL may choose a user as the victim of a deadlock; the user tries again.
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("40P01") => {}
                Err(error) => panic!("{statement}: {error}"),
            }
        }
    }

    async fn edit_at_random(&mut self) {
        for number in 0..EDITS {
            let id = self.draw() % CLIENTS;
            let (name, balance) = (self.draw() % 100, self.draw() % 100_000);
            let statement = match self.draw() % 10 {
                0..3 => format!(
                    "INSERT INTO clients (id, name, balance) VALUES ({id}, 'client {name}', {balance} / 100.0) ON CONFLICT DO NOTHING"
                ),
                3..8 => format!(
                    "UPDATE clients SET name = 'edit {number}', balance = {balance} / 100.0 WHERE id = {id}"
                ),
                _ => format!("DELETE FROM clients WHERE id = {id}"),
            };
            self.edit(&statement).await;
        }
    }

    /// The next number of a linear congruential generator (Knuth, MMIX).
    fn draw(&mut self) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    async fn has(&self, id: i64) -> bool {
        let sql = format!("SELECT count(*) FROM clients WHERE id = {id}");
        self.database.number(&sql).await.expect("it answers") == 1
    }

    /// The number of records in its topic.
    fn records(&self, kafka: &Kafka) -> i64 {
        let offsets = kafka.offsets(&self.topic);
        offsets.iter().map(|(_, next)| next).sum()
    }
}

/// Both sides, and the processes between them.
struct Sync {
    kafka: Kafka,
    crm: Side,
    billing: Side,
    to_billing: Process,
    to_crm: Process,
    /// The next unused client.
    fresh: i64,
}

impl Sync {
    fn expect_running(&mut self) {
        self.to_billing.expect_running();
        self.to_crm.expect_running();
    }

    /// Inserts a client on each side and waits until both are on both sides. Returns the client of
    /// the CRM and that of billing.
    async fn round(&mut self) -> [i64; 2] {
        let ids = [self.fresh, self.fresh + 1];
        self.fresh += 2;
        for (side, id) in [(&mut self.crm, ids[0]), (&mut self.billing, ids[1])] {
            let insert = format!("INSERT INTO clients (id, name) VALUES ({id}, 'new')");
            assert_eq!(side.edit(&insert).await, 1);
        }
        eventually("new clients on both sides", SYNCED_WITHIN, async || {
            self.expect_running();
            match (self.billing.has(ids[0]).await, self.crm.has(ids[1]).await) {
                (true, true) => Ok(()),
                missing => Err(missing),
            }
        })
        .await;
        ids
    }

    /// Waits until, several times in a row, a round brings two records to each topic (the side's
    /// own client and the other side's) and no others: then no earlier change is in flight, and
    /// none is sent back.
    async fn resolve(&mut self) {
        let mut quiet = 0;
        let mut before = (0, 0);
        for _ in 0..20 {
            let news = self.round().await;
            if quiet + 1 == QUIET_ROUNDS {
                self.await_echoes(news).await;
            }
            let records = eventually("all records to be taken in", SYNCED_WITHIN, async || {
                let records = (
                    self.crm.records(&self.kafka),
                    self.billing.records(&self.kafka),
                );
                // The positions of the pipelines: the one from the CRM stores them in billing.
                let positions = (
                    self.billing.database.positions_sum().await,
                    self.crm.database.positions_sum().await,
                );
                let grown = records.0 >= before.0 + 2 && records.1 >= before.1 + 2;
                match positions {
                    (Ok(crm), Ok(billing)) if grown && (crm, billing) == records => Ok(records),
                    other => Err(format!("{other:?} of {records:?}, before {before:?}")),
                }
            })
            .await;
            let grown = (records.0 - before.0, records.1 - before.1);
            quiet = if grown == (2, 2) { quiet + 1 } else { 0 };
            before = records;
            if quiet == QUIET_ROUNDS {
                return;
            }
        }
        panic!("the topics grow and grow: {before:?}");
    }

    /// Waits until the topics contain what the pipelines wrote for the clients of a round.
    async fn await_echoes(&mut self, [of_crm, of_billing]: [i64; 2]) {
        eventually("both echoes", SYNCED_WITHIN, async || {
            self.expect_running();
            let echoes = [(&self.crm, of_billing), (&self.billing, of_crm)]
                .map(|(side, id)| has_echo(&self.kafka, &side.topic, id));
            match echoes {
                [true, true] => Ok(()),
                missing => Err(missing),
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_edit_until_they_stop_and_the_tables_are_equal() {
    let kafka = kafka();
    let (mut crm, mut billing) = (
        Side::create("crm", 1).await,
        Side::create("billing", 2).await,
    );
    // A row on each side, so that the topics exist.
    crm.edit("INSERT INTO clients (id, name) VALUES (1000, 'of the CRM')")
        .await;
    billing
        .edit("INSERT INTO clients (id, name) VALUES (1001, 'of billing')")
        .await;
    let _debezium = tokio::join!(crm.stream(&kafka), billing.stream(&kafka));
    eventually("both topics", SYNCED_WITHIN, async || {
        match (crm.records(&kafka), billing.records(&kafka)) {
            (1, 1) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let pipelines = ["two-way/crm-to-billing.toml", "two-way/billing-to-crm.toml"].map(|name| {
        let mut pipeline = Pipeline::shipped(name);
        pipeline
            .set("KAFKA_BROKERS", kafka.brokers())
            .set("CRM_TOPIC", &crm.topic)
            .set("BILLING_TOPIC", &billing.topic)
            .set("CRM_GROUP", &crm.topic)
            .set("BILLING_GROUP", &billing.topic)
            .set("CRM_URL", crm.database.url())
            .set("BILLING_URL", billing.database.url());
        pipeline
    });
    let [to_billing, to_crm] = pipelines.each_ref().map(|it| it.start(&["--json"]));
    let mut sync = Sync {
        kafka,
        crm,
        billing,
        to_billing,
        to_crm,
        fresh: 1002,
    };
    sync.round().await;

    for _ in 0..BURSTS {
        tokio::join!(sync.crm.edit_at_random(), sync.billing.edit_at_random());
        // A part is written, a part is in flight.
        sync.round().await;
    }
    sync.resolve().await;

    // R12: an older change is in flight while its row is changed and deleted on the other side.
    sync.to_crm.pause();
    let update = |name: &str| format!("UPDATE clients SET name = '{name}' WHERE id = 1000");
    assert_eq!(sync.billing.edit(&update("older")).await, 1);
    assert_eq!(sync.crm.edit(&update("newer")).await, 1);
    let delete = "DELETE FROM clients WHERE id = 1000";
    assert_eq!(sync.crm.edit(delete).await, 1);
    eventually("the delete in billing", SYNCED_WITHIN, async || {
        sync.to_billing.expect_running();
        match sync.billing.has(1000).await {
            false => Ok(()),
            true => Err("still there"),
        }
    })
    .await;
    sync.to_crm.resume();
    sync.resolve().await;

    let query = "SELECT id, name, balance, updated_at FROM clients ORDER BY id";
    let [in_crm, in_billing] = [
        sync.crm.database.rows(query).await,
        sync.billing.database.rows(query).await,
    ];
    assert_eq!(in_crm, in_billing);
    assert!(
        in_crm.iter().all(|row| row[0].as_deref() != Some("1000")),
        "what was deleted stays deleted"
    );

    // Every user's change is in its topic once, and the topic contains at most as many changes of
    // the pipeline as users made on the other side: nothing was sent back.
    let (crm, billing) = (&sync.crm, &sync.billing);
    let mut marked = Vec::new();
    for (side, other) in [(crm, billing), (billing, crm)] {
        let (own, theirs) = origins(&sync.kafka, &side.topic);
        assert_eq!(own, side.changed, "{}", side.topic);
        assert!(
            theirs > 0 && theirs <= other.changed,
            "{theirs} of {}",
            other.changed
        );
        marked.push(theirs);
    }
    for (process, (pipeline, marked)) in [sync.to_billing, sync.to_crm]
        .into_iter()
        .zip(pipelines.iter().zip(marked))
    {
        process.terminate();
        let finished = pipeline.finish(process, crate::harness::DEADLINE).await;
        finished.expect_success();
        let summary: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        let sink = &summary[0]["sinks"][0];
        let count = |part: &str| sink[part].as_i64().expect("a count");
        assert_eq!(
            (count("ignored"), count("quarantined")),
            (marked, 0),
            "{sink}"
        );
        let parts = ["written", "superseded", "filtered", "kept"];
        let sum: i64 = parts.into_iter().map(count).sum();
        assert_eq!(count("in"), sum, "R17: {sink}");
    }
}

/// The changes in a topic without tombstones: the client and the origin.
fn changes(kafka: &Kafka, topic: &str) -> Vec<(i64, Option<String>)> {
    let values = kafka.read(topic).into_iter().filter_map(|one| one.value);
    let change = |value: String| {
        let event: Value = serde_json::from_str(&value).expect("JSON");
        let payload = &event["payload"];
        let row = ["after", "before"].map(|image| payload[image]["id"].as_i64());
        let origin = payload["source"]["origin"].as_str().map(str::to_owned);
        (row[0].or(row[1]).expect("a row"), origin)
    };
    values.map(change).collect()
}

/// Whether a topic contains a client that the pipeline wrote.
fn has_echo(kafka: &Kafka, topic: &str, id: i64) -> bool {
    let mut changes = changes(kafka, topic).into_iter();
    changes.any(|(found, origin)| found == id && origin.is_some())
}

/// The number of a topic's changes by users, and by a pipeline.
fn origins(kafka: &Kafka, topic: &str) -> (i64, i64) {
    let (mut own, mut marked) = (0, 0);
    for (_, origin) in changes(kafka, topic) {
        match origin.as_deref() {
            None => own += 1,
            Some(origin) if origin.starts_with("syncline_") => marked += 1,
            Some(other) => panic!("an origin {other}"),
        }
    }
    (own, marked)
}

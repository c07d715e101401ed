//! Broker faults against the client's own mock cluster.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::executor::block_on;
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaApiKey;
use rdkafka::types::RDKafkaRespErr;

use super::drive::{DEADLINE, Driver, Sink};
use super::tests::source;
use super::{KafkaWriter, OutRecord};
use crate::error::Error;

fn write(brokers: &str, topic: &str, count: usize) {
    let writer = KafkaWriter::connect(brokers, topic, &Default::default()).unwrap();
    let records = (0..count)
        .map(|i| OutRecord {
            value: Some(format!("v{i}").into_bytes()),
            ..OutRecord::default()
        })
        .collect();
    block_on(writer.send_all(records)).unwrap();
}

#[test]
fn r16_brokers_that_are_away_are_unavailable_and_the_source_recovers_by_itself() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    write(&brokers, "t", 100);
    let sink = Arc::new(Mutex::new(Sink::default()));
    let mut driver = Driver::open(&source(&brokers, "t", "g"), &sink);
    driver.until("the first records", |driver, _| driver.rows_seen() == 100);

    cluster.broker_down(1).unwrap();
    let started = Instant::now();
    let error = loop {
        match driver.step() {
            Err(error) => break error,
            Ok(_) => assert!(started.elapsed() < DEADLINE, "the outage was not said"),
        }
    };
    assert!(
        matches!(error, Error::Unavailable { .. }),
        "{}",
        error.chain()
    );
    assert!(
        started.elapsed().as_secs() < 15,
        "said after {:?}",
        started.elapsed()
    );
    assert!(driver.step().is_err(), "it goes on being said");

    cluster.broker_up(1).unwrap();
    driver.until("an answer after the outage", |_, _| true);
    write(&brokers, "t", 50);
    driver.until("records after the outage", |driver, _| {
        driver.rows_seen() == 150
    });
    driver.close();
}

#[test]
fn r16_a_refusal_is_a_matter_of_configuration() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    cluster
        .topic_error(
            "t",
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        )
        .unwrap();
    let sink = Arc::new(Mutex::new(Sink::default()));
    let error = Driver::open(&source(&brokers, "t", "g"), &sink).until_refused();
    assert!(error.contains("READ and DESCRIBE on the topic"), "{error}");
}

#[test]
fn a_coordinator_that_moves_costs_nothing() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    write(&brokers, "t", 10);
    cluster.request_errors(
        RDKafkaApiKey::JoinGroup,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        ],
    );
    let sink = Arc::new(Mutex::new(Sink::default()));
    let mut driver = Driver::open(&source(&brokers, "t", "g"), &sink);
    driver.until("the records", |driver, _| driver.rows_seen() == 10);
    driver.close();
}

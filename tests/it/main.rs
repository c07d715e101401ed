//! The one integration binary: the real `syncline` against a real Kafka, real databases and a real
//! Debezium. `make test` brings the services up.

mod harness;

mod debezium;
mod harness_check;
mod kafka_to_postgres;
mod kill;
mod quickstart;
mod whole_database;

//! The one integration binary: the real `syncline` against a real Kafka, real databases and a real
//! Debezium. `make test` brings the services up.

mod harness;

mod avro;
mod backpressure;
mod cases;
mod cli;
mod conflict_commands;
mod conflicts;
mod control;
mod daemon;
mod debezium;
mod diagnosis;
mod faults;
mod files;
mod formats;
mod graph;
mod harness_check;
mod history;
mod http;
mod kafka_sink;
mod kafka_to_postgres;
mod keys;
mod kill;
mod kill_conflicts;
mod lookup;
mod manual;
mod order;
mod poison;
mod positions;
mod quickstart;
mod races;
mod replay;
mod replication;
mod security;
mod shape;
mod structure;
mod tables;
mod two_way;
mod types;
mod waiting;
mod whole_database;
mod writers;

//! The sources, sinks and lookups that exist: the one file that names implementations.
//!
//! A new source, sink or lookup is a folder with its settings and one line here. The parser of pipeline files,
//! their JSON Schema, `syncline list` and the reference go through these lists.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::blackhole::BlackholeSink;
use crate::file::{FileSink, FileSource};
use crate::http::{HttpSink, HttpSource};
use crate::kafka::{KafkaSink, KafkaSource};
use crate::kind::Kind;
use crate::mysql::{MysqlLookup, MysqlSink, MysqlSource};
use crate::postgres::{PostgresLookup, PostgresSink, PostgresSource};
use crate::sink::{SinkConfig, SinkSettings};
use crate::source::{SourceConfig, SourceSettings};
use crate::sql::lookup::{LookupConfig, LookupSettings};
use crate::sqlite::{SqliteLookup, SqliteSink, SqliteSource};

/// Every source.
pub const SOURCES: &[Kind<SourceConfig>] = &[
    source::<KafkaSource>("kafka"),
    source::<FileSource>("file"),
    source::<HttpSource>("http"),
    source::<PostgresSource>("postgres"),
    source::<MysqlSource>("mysql"),
    source::<SqliteSource>("sqlite"),
];

/// Every sink.
pub const SINKS: &[Kind<SinkConfig>] = &[
    sink::<PostgresSink>("postgres"),
    sink::<MysqlSink>("mysql"),
    sink::<SqliteSink>("sqlite"),
    sink::<KafkaSink>("kafka"),
    sink::<FileSink>("file"),
    sink::<HttpSink>("http"),
    sink::<BlackholeSink>("blackhole"),
];

/// Every lookup.
pub const LOOKUPS: &[Kind<LookupConfig>] = &[
    lookup::<PostgresLookup>("postgres"),
    lookup::<MysqlLookup>("mysql"),
    lookup::<SqliteLookup>("sqlite"),
];

const fn source<S>(name: &'static str) -> Kind<SourceConfig>
where
    S: SourceSettings + JsonSchema + DeserializeOwned + 'static,
{
    Kind {
        name,
        schema: S::json_schema,
        read: |value| Ok(Arc::new(serde_json::from_value::<S>(value)?)),
    }
}

const fn sink<S>(name: &'static str) -> Kind<SinkConfig>
where
    S: SinkSettings + JsonSchema + DeserializeOwned + 'static,
{
    Kind {
        name,
        schema: S::json_schema,
        read: |value| Ok(Arc::new(serde_json::from_value::<S>(value)?)),
    }
}

const fn lookup<L>(name: &'static str) -> Kind<LookupConfig>
where
    L: LookupSettings + JsonSchema + DeserializeOwned + 'static,
{
    Kind {
        name,
        schema: L::json_schema,
        read: |value| Ok(Arc::new(serde_json::from_value::<L>(value)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_answer_with_the_name_under_which_they_are_listed() {
        let source = |kind: &str, text: &str| {
            let known = SOURCES.iter().find(|known| known.name == kind).unwrap();
            let config = (known.read)(serde_json::from_str(text).unwrap()).unwrap();
            assert_eq!(config.describe().kind, kind);
        };
        source(
            "kafka",
            r#"{"brokers": "h:1", "topics": "t", "group": "g", "format": "debezium-json"}"#,
        );
        source("file", r#"{"path": "x.jsonl", "format": "debezium-json"}"#);
        source("http", r#"{"url": "https://h/clients", "format": "json"}"#);
        source("postgres", r#"{"url": "postgres://h/d", "tables": ["t"]}"#);
        source("mysql", r#"{"url": "mysql://h/d", "tables": ["t"]}"#);
        source("sqlite", r#"{"path": "x.db", "tables": ["t"]}"#);
        let sink = |kind: &str, text: &str| {
            let known = SINKS.iter().find(|known| known.name == kind).unwrap();
            let config = (known.read)(serde_json::from_str(text).unwrap()).unwrap();
            assert_eq!(config.kind(), kind);
        };
        sink("postgres", r#"{"url": "postgres://h/d"}"#);
        sink("mysql", r#"{"url": "mysql://h/d"}"#);
        sink("sqlite", r#"{"path": "x.db"}"#);
        sink("kafka", r#"{"brokers": "h:1", "topic": "t"}"#);
        sink("file", r#"{"path": "x.jsonl"}"#);
        sink("http", r#"{"url": "https://h/clients/{id}"}"#);
        sink("blackhole", "{}");
        let lookup = |kind: &str, text: &str| {
            let known = LOOKUPS.iter().find(|known| known.name == kind).unwrap();
            let config = (known.read)(serde_json::from_str(text).unwrap()).unwrap();
            assert_eq!(config.kind(), kind);
        };
        lookup("postgres", r#"{"url": "postgres://h/d", "table": "t"}"#);
        lookup("mysql", r#"{"url": "mysql://h/d", "table": "t"}"#);
        lookup("sqlite", r#"{"path": "x.db", "table": "t"}"#);
    }
}

//! Whether what a pipeline names is there: brokers, topics, files, databases, tables.

use syncline_connectors::error::{Error, Result};
use syncline_connectors::sink::SinkConfig;
use syncline_connectors::source::{Lane, SourceConfig};
use syncline_connectors::{kafka, mysql, postgres, source, sqlite};

use crate::config::{PipelineFile, QuarantineConfig};

/// What is not there, with the path of the component that names it.
pub(super) async fn unreached(file: &PipelineFile) -> Vec<(Vec<String>, Error)> {
    let mut found = Vec::new();
    let mut note = |path: &[&str], result: Result<()>| {
        if let Err(error) = result {
            found.push((path.iter().map(|&part| part.to_owned()).collect(), error));
        }
    };
    for (name, config) in &file.sources {
        note(&["sources", name], check_source(config).await);
    }
    for (name, sink) in &file.sinks {
        note(&["sinks", name], check_sink(&sink.config).await);
    }
    if let Some(QuarantineConfig::Kafka(config)) = &file.quarantine {
        note(
            &["quarantine"],
            kafka::check(&config.as_source()).await.map(drop),
        );
    }
    found
}

async fn check_source(config: &SourceConfig) -> Result<()> {
    match config {
        SourceConfig::Kafka(config) => kafka::check(config).await.map(drop),
        SourceConfig::File(_) => {
            let lane = Lane { number: 0, of: 1 };
            source::connect(config, lane, true, 0).await?.close().await
        }
    }
}

async fn check_sink(config: &SinkConfig) -> Result<()> {
    match config {
        SinkConfig::Postgres(config) => postgres::check(config).await,
        SinkConfig::Mysql(config) => mysql::check(config).await,
        SinkConfig::Sqlite(config) => sqlite::check(config).await,
        SinkConfig::File(_) | SinkConfig::Blackhole(_) => Ok(()),
    }
}

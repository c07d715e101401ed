//! Checks that the brokers, topics, files, databases and tables that a pipeline names exist.

use syncline_connectors::error::{Error, Result};
use syncline_connectors::source;

use crate::config::{PipelineFile, QuarantineConfig};

/// The errors of what does not exist, each with the path of the component that names it.
pub(super) async fn unreached(file: &PipelineFile) -> Vec<(Vec<String>, Error)> {
    let mut found = Vec::new();
    let mut note = |path: &[&str], result: Result<()>| {
        if let Err(error) = result {
            found.push((path.iter().map(|&part| part.to_owned()).collect(), error));
        }
    };
    for (name, config) in &file.sources {
        note(&["sources", name], source::probe(config.as_ref()).await);
    }
    for (name, sink) in &file.sinks {
        note(&["sinks", name], sink.config.probe().await);
    }
    if let Some(QuarantineConfig::Kafka(config)) = &file.quarantine {
        note(&["quarantine"], source::probe(&config.as_source()).await);
    }
    found
}

/// The sources that read files which are not there; no other system is asked.
pub(super) async fn missing_files(file: &PipelineFile) -> Vec<(Vec<String>, Error)> {
    let mut found = Vec::new();
    let sources = file.sources.iter();
    for (name, config) in sources.filter(|(_, config)| config.describe().local) {
        if let Err(error) = source::probe(config.as_ref()).await {
            found.push((vec!["sources".to_owned(), name.clone()], error));
        }
    }
    found
}

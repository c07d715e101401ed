//! Infers the rows that will come from the first records of a source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use syncline_connectors::change::Table;
use syncline_connectors::error::Result;
use syncline_connectors::format::Decoder;
use syncline_connectors::record::Positions;
use syncline_connectors::source::{Event, Limits, Opening, Purpose, SourceSettings};

use crate::config::{KnownRows, PipelineFile};

/// The maximum number of records; enough to know the columns.
const RECORDS_MAX: usize = 1_000;
/// The maximum number of bytes, if records are large.
const BYTES_MAX: usize = 4 << 20;
/// The maximum time to wait for records of a source.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The schemas of every source that can be read: files always, other systems if `connect` is set.
/// The rows of a source that cannot be read stay unknown; another check reports that it cannot be
/// reached.
pub(super) async fn known_rows(file: &PipelineFile, connect: bool) -> KnownRows {
    let mut known = KnownRows::new();
    for (name, source) in &file.sources {
        let mut schemas = Vec::new();
        if connect || source.describe().local {
            match sample(source.as_ref()).await {
                Ok(found) => schemas = found,
                Err(error) => {
                    let reason = file.document.redact(&error.chain());
                    tracing::debug!(source = name, reason, "the rows stay unknown");
                }
            }
        }
        if schemas.is_empty() {
            schemas.extend(source.decoding().options().declared);
        }
        if !schemas.is_empty() {
            known.insert(name.clone(), schemas);
        }
    }
    known
}

/// The schema of each table among the first records.
async fn sample(config: &dyn SourceSettings) -> Result<Vec<SchemaRef>> {
    let opening = Opening::alone(Purpose::Once, BYTES_MAX as u64);
    let mut source = config.connect(opening).await?;
    let decoding = config.decoding();
    let mut decoder = Decoder::new(decoding.format, decoding.options());
    let limits = Limits {
        rows: RECORDS_MAX,
        bytes: BYTES_MAX,
        linger: Duration::from_millis(200),
    };
    let deadline = Instant::now() + WAIT_MAX;
    let (mut records, mut bytes) = (0, 0);
    // An inferred schema gets wider with every batch, so the last one of a table is the most
    // complete.
    let mut schemas: BTreeMap<Table, SchemaRef> = BTreeMap::new();
    while records < RECORDS_MAX && bytes < BYTES_MAX && Instant::now() < deadline {
        match source.next(&limits).await? {
            Event::Assigned(partitions) => source.assign(&Positions::new(), &partitions).await?,
            Event::Records(fetched) => {
                records += fetched.records.len();
                bytes += fetched.records.bytes.len();
                for changes in decoder.decode(&Arc::new(fetched.records)).changes {
                    schemas.insert(changes.table.as_ref().clone(), changes.schema());
                }
            }
            Event::End => break,
            Event::Idle | Event::Revoked { .. } => {}
        }
    }
    source.close().await?;
    Ok(schemas.into_values().collect())
}

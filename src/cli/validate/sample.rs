//! Infers the rows that will come from the first records of a source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use syncline_connectors::assignment::from_the_start;
use syncline_connectors::change::{Table, has_no_kind};
use syncline_connectors::error::Result;
use syncline_connectors::format::{Decoded, decoder};
use syncline_connectors::record::Records;
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
    let mut decoder = decoder(decoding.format, decoding.options());
    let limits = Limits {
        rows: RECORDS_MAX,
        bytes: BYTES_MAX,
        linger: Duration::from_millis(200),
    };
    let deadline = Instant::now() + WAIT_MAX;
    let mut found = Found::default();
    while found.records < RECORDS_MAX && found.bytes < BYTES_MAX && Instant::now() < deadline {
        match source.next(&limits).await? {
            Event::Assigned(partitions) => {
                source.assign(&from_the_start(&partitions)).await?;
            }
            Event::Records(fetched) => {
                let fetched = Arc::new(fetched.records);
                decoder.prepare(&fetched).await?;
                found.add(&fetched, decoder.decode(&fetched));
            }
            Event::Rows(rows) => found.add(&rows.records, rows.decoded),
            Event::End => break,
            Event::Idle | Event::Revoked { .. } => {}
        }
    }
    source.close().await?;
    Ok(found.schemas.into_values().collect())
}

/// What was read so far.
#[derive(Default)]
struct Found {
    records: usize,
    bytes: usize,
    /// Where no schema declares a column, batches may know different columns, and more or less of them.
    schemas: BTreeMap<Table, SchemaRef>,
}

impl Found {
    fn add(&mut self, records: &Records, decoded: Decoded) {
        self.records += records.len();
        self.bytes += records.bytes.len();
        for changes in decoded.changes {
            let table = changes.table.as_ref().clone();
            let known = self.schemas.remove(&table);
            self.schemas.insert(table, merged(known, changes.schema()));
        }
    }
}

/// A schema with what was known before of the columns that it knows nothing of.
fn merged(known: Option<SchemaRef>, schema: SchemaRef) -> SchemaRef {
    let Some(known) = known else {
        return schema;
    };
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    for field in known.fields() {
        match fields.iter_mut().find(|other| other.name() == field.name()) {
            Some(other) if has_no_kind(other) => *other = field.clone(),
            Some(_) => {}
            None => fields.push(field.clone()),
        }
    }
    Arc::new(Schema::new(fields))
}

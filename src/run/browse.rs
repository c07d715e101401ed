//! Reads a source as a pipeline would, for who only looks: from its beginning, through decoder and
//! operators, up to a sink. Nothing is written, quarantined or acknowledged, and no group is joined.
//!
//! The changes of a partition come in its order, a change that comes twice comes twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_connectors::assignment::from_the_start;
use syncline_connectors::change::Changes;
use syncline_connectors::format::Decoded;
use syncline_connectors::record::{Partition, Records};
use syncline_connectors::source::{Event, Opening, Purpose};

use super::chain::Chain;
use crate::failure::Failure;
use crate::plan::{Plan, SourcePlan};
use crate::quarantine::Entry;

/// How far a look at a source came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Browsed {
    /// Records that were read.
    pub(crate) records: u64,
    /// Changes among them that were rejected on their way.
    pub(crate) rejected: u64,
    /// Whether the end was reached that the source had at the start.
    pub(crate) complete: bool,
}

/// Shows `visit` all that reaches the sink of index `sink` among those of `source`, until the source
/// ends or the deadline passes.
///
/// # Errors
/// As a run that meets the same records; of `visit`.
pub(crate) async fn browse(
    plan: &Plan,
    source: &SourcePlan,
    sink: usize,
    wait_max: Duration,
    mut visit: impl FnMut(&Changes) -> Result<(), Failure>,
) -> Result<Browsed, Failure> {
    let deadline = Instant::now() + wait_max;
    let failed = |error| Failure::of(&source.part(), error);
    let opening = Opening::alone(Purpose::Peek, plan.memory_bytes / 4);
    let mut reader = source.config.connect(opening).await.map_err(failed)?;
    let mut decoder = source.decoder();
    let mut chain = Chain::new(&plan.name, source);
    let (mut browsed, mut complete) = (Browsed::default(), false);
    while Instant::now() < deadline {
        let (records, decoded): (Arc<Records>, Decoded) =
            match reader.next(&plan.limits).await.map_err(failed)? {
                Event::Assigned(partitions) => {
                    let assigned = reader.assign(&from_the_start(&partitions)).await;
                    assigned.map_err(failed)?;
                    continue;
                }
                Event::Records(fetched) => {
                    let records = Arc::new(fetched.records);
                    decoder.prepare(&records).await.map_err(failed)?;
                    let decoded = decoder.decode(&records);
                    (records, decoded)
                }
                Event::Rows(rows) => (rows.records, rows.decoded),
                Event::End => {
                    complete = true;
                    break;
                }
                Event::Idle | Event::Revoked { .. } => continue,
            };
        browsed.records += records.len() as u64;
        let mut chained = chain.apply(&records, decoded, None).await?;
        browsed.rejected += chained.rejected.len() as u64;
        for changes in &chained.flows.swap_remove(sink).changes {
            visit(changes)?;
        }
    }
    browsed.complete = complete;
    if let Err(error) = reader.close().await {
        tracing::debug!(error = error.chain(), "the source did not close");
    }
    Ok(browsed)
}

/// What one record comes to that is given instead of the source's own: the changes that reach the
/// sink of index `sink`, and what was rejected on the way.
///
/// # Errors
/// As a run that meets such a record.
pub(crate) async fn carry(
    plan: &Plan,
    source: &SourcePlan,
    sink: usize,
    record: &[u8],
) -> Result<(Vec<Changes>, Vec<Entry>), Failure> {
    let mut records = Records::default();
    let partition = Partition {
        topic: source.config.describe().topic.into(),
        number: 0,
    };
    let number = records.add_partition(&partition, true);
    records.push(number, 0, None, None, Some(record), None);
    let records = Arc::new(records);
    let decoded = source.decoder_of_texts().decode(&records);
    let mut chain = Chain::new(&plan.name, source);
    let mut chained = chain.apply(&records, decoded, None).await?;
    let changes = chained.flows.swap_remove(sink).changes;
    Ok((changes, chained.rejected))
}

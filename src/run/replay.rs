//! Writes records of the quarantine again, through the pipeline as it is now (R26).
//!
//! Records go in the order of their source through decoder and operators to the sinks that did not get
//! them: the one that refused them, or those behind the operator that did. Each record leaves a mark among
//! the positions of its sink, moved in the transaction that writes its rows, so that it is written once. A
//! change never replaces a row that is not what its source knew, unless a person forces it.

mod write;

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use serde::Serialize;
use syncline_connectors::change::{Changes, Operation};
use syncline_connectors::conflict::Verdict;
use syncline_connectors::record::{Partition, Records};
use syncline_connectors::sink::{Identity, Sink};

pub(crate) use self::write::retain;
use self::write::write;
use crate::conflict;
use crate::failure::Failure;
use crate::plan::{Input, Plan, SourcePlan};
use crate::quarantine::{Entry, Payload, Quarantine};
use crate::run::chain::Chain;
use crate::run::held::take;

/// Why a change is not replayed though the target would take it.
const RULE: &str = "R26 overtaken";
const OVERTAKEN: &str = "the target's row is not what the source knew, so that a later change of its key may have written it: --force writes it all the same";

/// How many records are written in one transaction.
const RECORDS_MAX: usize = 500;

/// What became of entries that were replayed.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Replayed {
    /// Entries that left the quarantine.
    pub(crate) entries: u64,
    /// Changes that were applied.
    pub(crate) written: u64,
    /// Folded into a later change of their key.
    pub(crate) superseded: u64,
    /// Left out by an operator.
    pub(crate) filtered: u64,
    /// Not applied, since the target's row is not what the source knew.
    pub(crate) kept: u64,
    /// Wait for a row that a foreign key needs.
    pub(crate) waiting: u64,
    /// Were written by an earlier replay, which could not take them out.
    pub(crate) written_before: u64,
    /// Entries that stay, each with its new reason.
    pub(crate) stays: Vec<Stays>,
}

/// An entry that is refused again.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stays {
    /// The entry.
    pub(crate) id: String,
    /// The rule that refuses it now.
    pub(crate) rule: String,
    /// The reason.
    pub(crate) reason: String,
}

/// A record of the quarantine, and the sinks that it goes to, by their indices in the plan of its source.
struct Record<'e> {
    entries: Vec<&'e Entry>,
    sinks: BTreeSet<usize>,
}

/// The changes of some records on their way to one sink.
pub(crate) struct Carried {
    /// The index of the sink among those of the source.
    pub(crate) sink: usize,
    /// Its changes.
    pub(crate) changes: Vec<Changes>,
}

/// Replays entries of one source, and takes those that are written out of the quarantine.
///
/// # Errors
/// As a run that meets such records.
pub(crate) async fn replay(
    plan: &Plan,
    source: &SourcePlan,
    entries: &[&Entry],
    quarantine: &Quarantine,
    guarded: bool,
) -> Result<Replayed, Failure> {
    let mut replayed = Replayed::default();
    let mut sinks: BTreeMap<usize, Box<dyn Sink>> = BTreeMap::new();
    for records in records_of(source, entries).chunks(RECORDS_MAX) {
        let OnTheWay {
            carried,
            refused,
            filtered,
        } = carry(plan, source, records).await?;
        replayed.filtered += filtered;
        let mut stay: HashSet<usize> = refused.keys().copied().collect();
        for (record, entry) in &refused {
            replayed
                .stays
                .extend(stays(&records[*record], &entry.rule, &entry.reason));
        }
        for carried in carried {
            if guarded {
                for record in overtaken(plan, source, &carried).await? {
                    if stay.insert(record) {
                        replayed
                            .stays
                            .extend(stays(&records[record], RULE, OVERTAKEN));
                    }
                }
            }
            let name = &source.sinks[carried.sink].name;
            let failed = |error| Failure::of_sink(name, error);
            let sink = match sinks.entry(carried.sink) {
                MapEntry::Occupied(connected) => connected.into_mut(),
                MapEntry::Vacant(place) => {
                    let identity = Identity {
                        pipeline: plan.name.clone(),
                        sink: name.clone(),
                        source: source.name.clone(),
                    };
                    let config = &source.sinks[carried.sink].config;
                    let sink = config.connect(&identity, &conflict::resolvers()).await;
                    place.insert(sink.map_err(failed)?)
                }
            };
            let refused = write(&mut **sink, records, &stay, carried, &mut replayed).await;
            for (record, change) in refused.map_err(failed)? {
                stay.insert(record);
                replayed
                    .stays
                    .extend(stays(&records[record], &change.rule, &change.reason));
            }
        }
        let done = (0..records.len()).filter(|record| !stay.contains(record));
        let done: Vec<Entry> = done
            .flat_map(|record| records[record].entries.iter().copied().cloned())
            .collect();
        replayed.entries += done.len() as u64;
        let withdrawn = quarantine.withdraw(&done).await;
        withdrawn.map_err(|error| Failure::of("quarantine", error))?;
    }
    for (index, sink) in sinks {
        let closed = sink.close().await;
        closed.map_err(|error| Failure::of_sink(&source.sinks[index].name, error))?;
    }
    Ok(replayed)
}

/// The records of changes that the target's row has overtaken: it is not what their source knew.
async fn overtaken(
    plan: &Plan,
    source: &SourcePlan,
    carried: &Carried,
) -> Result<Vec<usize>, Failure> {
    let sink = &source.sinks[carried.sink];
    let failed = |error| Failure::of_sink(&sink.name, error);
    let opened = sink.config.open_queue(&plan.name, &sink.name).await;
    let Some(mut queue) = opened.map_err(failed)? else {
        return Ok(Vec::new());
    };
    let resolvers = conflict::resolvers();
    let mut overtaken = Vec::new();
    for batch in &carried.changes {
        for row in 0..batch.len() as u32 {
            let one = take(batch, &[row]).map_err(failed)?;
            if one.operations[0] == Operation::Truncate {
                continue;
            }
            let told = queue.explain(&one, &source.name, &resolvers).await;
            if told.map_err(failed)?.verdict == Verdict::Keep {
                overtaken.push(batch.origins[row as usize] as usize);
            }
        }
    }
    Ok(overtaken)
}

/// What the entries would bring to each sink now; writes nothing.
///
/// # Errors
/// As a run that meets such records.
pub(crate) async fn preview(
    plan: &Plan,
    source: &SourcePlan,
    entries: &[&Entry],
) -> Result<(Vec<Carried>, Vec<Stays>), Failure> {
    let records = records_of(source, entries);
    let OnTheWay {
        carried, refused, ..
    } = carry(plan, source, &records).await?;
    let stays = refused.iter().flat_map(|(record, entry)| {
        stays(&records[*record], &entry.rule, &entry.reason).collect::<Vec<_>>()
    });
    Ok((carried, stays.collect()))
}

fn stays<'r>(record: &'r Record<'_>, rule: &str, reason: &str) -> impl Iterator<Item = Stays> + 'r {
    let (rule, reason) = (rule.to_owned(), reason.to_owned());
    record.entries.iter().map(move |entry| Stays {
        id: entry.id(),
        rule: rule.clone(),
        reason: reason.clone(),
    })
}

/// The records of entries in the order of the source, each once.
fn records_of<'e>(source: &SourcePlan, entries: &[&'e Entry]) -> Vec<Record<'e>> {
    let mut records: BTreeMap<(&str, i32, i64), Record<'e>> = BTreeMap::new();
    for entry in entries {
        let place = (entry.topic.as_str(), entry.partition, entry.offset);
        let record = records.entry(place).or_insert_with(|| Record {
            entries: Vec::new(),
            sinks: BTreeSet::new(),
        });
        record.entries.push(entry);
        record.sinks.extend(sinks_behind(source, &entry.stage));
    }
    records.into_values().collect()
}

/// The sinks that did not get what a stage refused.
fn sinks_behind(source: &SourcePlan, stage: &str) -> Vec<usize> {
    let mut sinks = source.sinks.iter();
    if let Some(sink) = sinks.position(|sink| sink.name == stage) {
        return vec![sink];
    }
    let step = source.steps.iter().position(|step| step.name == stage);
    // A step comes after its inputs, so that one pass finds all that stand behind the stage.
    let mut behind = vec![false; source.steps.len()];
    let is_behind = |inputs: &[Input], behind: &[bool]| {
        inputs.iter().any(|input| match input {
            Input::Source => step.is_none(),
            Input::Step(index) => behind[*index],
        })
    };
    for (index, next) in source.steps.iter().enumerate() {
        behind[index] = Some(index) == step || is_behind(&next.inputs, &behind);
    }
    let sinks = source.sinks.iter().enumerate();
    sinks
        .filter(|(_, sink)| is_behind(&sink.inputs, &behind))
        .map(|(index, _)| index)
        .collect()
}

/// Records after decoder and operators.
struct OnTheWay {
    /// The changes of each sink.
    carried: Vec<Carried>,
    /// The records that are refused.
    refused: BTreeMap<usize, Entry>,
    /// How many changes are filtered.
    filtered: u64,
}

/// Decodes and transforms.
async fn carry(
    plan: &Plan,
    source: &SourcePlan,
    records: &[Record<'_>],
) -> Result<OnTheWay, Failure> {
    let mut raw = Records::default();
    for record in records {
        let entry = record.entries[0];
        let partition = Partition {
            topic: entry.topic.as_str().into(),
            number: entry.partition,
        };
        let partition = raw.add_partition(&partition, false);
        let bytes = |payload: &Option<Payload>| payload.as_ref().and_then(Payload::bytes);
        raw.push(
            partition,
            entry.offset,
            entry.timestamp_ms,
            bytes(&entry.key).as_deref(),
            bytes(&entry.value).as_deref(),
            bytes(&entry.headers).as_deref(),
        );
    }
    let raw = Arc::new(raw);
    let mut decoder = source.decoder();
    let prepared = decoder.prepare(&raw).await;
    prepared.map_err(|error| Failure::of(&source.part(), error))?;
    let decoded = decoder.decode(&raw);
    let mut chain = Chain::new(&plan.name, source);
    let mut chained = chain.apply(&raw, decoded, None).await?;
    let mut refused = BTreeMap::new();
    for entry in chained.rejected.drain(..) {
        let record = records.iter().position(|record| {
            let of = record.entries[0];
            (of.offset, of.partition, of.topic.as_str())
                == (entry.offset, entry.partition, entry.topic.as_str())
        });
        if let Some(record) = record {
            refused.entry(record).or_insert(entry);
        }
    }
    let mut filtered = 0;
    let mut carried = Vec::new();
    for (sink, flow) in chained.flows.into_iter().enumerate() {
        let mut changes = Vec::new();
        for batch in flow.changes {
            let rows: Vec<u32> = (0..batch.len() as u32)
                .filter(|&row| {
                    let record = batch.origins[row as usize] as usize;
                    records[record].sinks.contains(&sink) && !refused.contains_key(&record)
                })
                .collect();
            if !rows.is_empty() {
                let taken = take(&batch, &rows);
                changes.push(taken.map_err(|error| Failure::of("replay", error))?);
            }
        }
        if records.iter().any(|record| record.sinks.contains(&sink)) {
            filtered += flow.tally.filtered;
        }
        if !changes.is_empty() {
            carried.push(Carried { sink, changes });
        }
    }
    Ok(OnTheWay {
        carried,
        refused,
        filtered,
    })
}

//! The operators of a lane, in topological order: decoded changes in, one flow a sink out.
//!
//! An operator is compiled once for every schema that reaches it and then only evaluates. Where the
//! graph forks, both branches see the same batch; where it joins, the batches follow one another.
//! Before a batch goes through an operator that looks something up, all of it is looked up (`look_up`).
//! A flow carries a tally of what became of the changes on its way, so that every sink's account
//! adds up (R17).

mod join;
mod look_up;
mod to_sink;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use syncline_connectors::change::Changes;
use syncline_connectors::error::Error;
use syncline_connectors::format::Decoded;
use syncline_connectors::record::Records;

pub(crate) use self::look_up::Waits;
use self::to_sink::by_key;
use crate::failure::Failure;
use crate::function::Clock;
use crate::lookup::Reader;
use crate::operator::{self, Context, Operator, OperatorConfig, OperatorError};
use crate::plan::{Input, SourcePlan};
use crate::problem::Problem;
use crate::quarantine::Entry;
use crate::quarantine::Verdict;
use crate::run::account::Tally;
use crate::run::refusals::{RecordKind, Seen, Subject, passes};
use crate::run::sink_keys::SinkKeys;

/// The compiled operators between one source and its sinks; one a lane.
pub(crate) struct Chain {
    pipeline: String,
    decode: Arc<str>,
    /// What the records are.
    pub(crate) input: RecordKind,
    steps: Vec<Step>,
    /// For each sink, where its changes come from.
    sinks: Vec<(Vec<Input>, SinkKeys)>,
    /// How many readers the source and each step have.
    source_readers: usize,
    step_readers: Vec<usize>,
}

struct Step {
    name: Arc<str>,
    stage: Arc<str>,
    context: Context,
    /// What it looks up.
    readers: Vec<Reader>,
    config: OperatorConfig,
    inputs: Vec<Input>,
    compiled: Vec<(SchemaRef, Box<dyn Operator>)>,
}

/// Changes on their way to a sink, with what became of the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    pub(crate) changes: Vec<Changes>,
    pub(crate) tally: Tally,
}

/// What the chain made of a fetch.
#[derive(Debug, Default)]
pub(crate) struct Chained {
    /// One flow a sink, in the plan's order.
    pub(crate) flows: Vec<Flow>,
    /// What has to be in the quarantine before any position moves.
    pub(crate) rejected: Vec<Entry>,
    /// What each stage passed and refused.
    pub(crate) seen: Vec<Seen>,
}

/// Why a chain cannot go on.
#[derive(Debug)]
pub(crate) enum ChainError {
    /// An expression or rule does not fit the schema that arrived.
    Configuration(Vec<Problem>),
    /// The key columns of changes of this table cannot be compared.
    Keys(String, ArrowError),
    /// A lookup cannot be asked.
    Lookup(String, Error),
    /// A rule with `on_failure = "stop"` failed.
    Stop {
        /// The operator.
        operator: String,
        /// What it said.
        cause: OperatorError,
    },
}

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Configuration(problems) => Self::Problems(problems),
            ChainError::Keys(table, cause) => Self::Configuration(format!(
                "the key columns of {table:?} cannot be compared with their rows before ({cause}): give the sink a key of plain values"
            )),
            ChainError::Lookup(name, error) => Self::of(&format!("lookup {name}"), error),
            ChainError::Stop { operator, cause } => {
                Self::Failed(format!("operator {operator}: {cause}"))
            }
        }
    }
}

impl Chain {
    /// The chain of a source's plan; operators are compiled when the first schema arrives.
    pub(crate) fn new(pipeline: &str, plan: &SourcePlan) -> Self {
        Self::with_clock(pipeline, plan, Clock::system)
    }

    /// The same, with a clock of its own for each operator.
    pub(crate) fn with_clock(pipeline: &str, plan: &SourcePlan, clock: impl Fn() -> Clock) -> Self {
        let readers = |wanted: Input| {
            let all = plan
                .steps
                .iter()
                .map(|s| &s.inputs)
                .chain(plan.sinks.iter().map(|s| &s.inputs));
            all.flatten().filter(|&&input| input == wanted).count()
        };
        Self {
            pipeline: pipeline.to_owned(),
            decode: "decode".into(),
            input: RecordKind {
                of_file: plan.of_files(),
                format: plan.format,
            },
            source_readers: readers(Input::Source),
            step_readers: (0..plan.steps.len())
                .map(|index| readers(Input::Step(index)))
                .collect(),
            steps: plan
                .steps
                .iter()
                .map(|step| {
                    let readers = look_up::readers(plan, &step.config);
                    Step {
                        name: step.name.as_str().into(),
                        stage: step.stage.as_str().into(),
                        context: Context {
                            clock: clock(),
                            memory: step.memory.clone(),
                            slots: readers.iter().map(|reader| reader.slot.clone()).collect(),
                        },
                        readers,
                        config: step.config.clone(),
                        inputs: step.inputs.clone(),
                        compiled: Vec::new(),
                    }
                })
                .collect(),
            sinks: plan
                .sinks
                .iter()
                .map(|sink| (sink.inputs.clone(), SinkKeys::of(sink)))
                .collect(),
        }
    }

    /// Sends what was decoded through every operator. With `waits` it waits for a lookup whose database does
    /// not answer. Where it is dropped meanwhile, nothing has come of the changes.
    pub(crate) async fn apply(
        &mut self,
        records: &Arc<Records>,
        decoded: Decoded,
        waits: Option<&Waits<'_>>,
    ) -> Result<Chained, ChainError> {
        let mut rejected = Vec::new();
        for bad in &decoded.rejected {
            let verdict = Verdict {
                pipeline: &self.pipeline,
                stage: &self.decode,
                rule: &bad.rule,
                field: bad.field.as_deref(),
                reason: &bad.reason,
            };
            rejected.push(Entry::new(records, bad.origin as usize, &verdict));
        }
        let mut seen = self.decoded(records, &decoded);
        let tally = Tally {
            entered: decoded.total(),
            filtered: decoded.filtered,
            ignored: decoded.ignored,
            superseded: decoded.superseded,
            quarantined: decoded.rejected.len() as u64,
            warned: 0,
        };
        let mut source = Junction::new(self.source_readers);
        source.put(Flow {
            changes: decoded.changes,
            tally,
        });
        let mut outputs: Vec<Junction> = self
            .step_readers
            .iter()
            .map(|&readers| Junction::new(readers))
            .collect();
        for index in 0..self.steps.len() {
            let flow = collect_inputs(&self.steps[index].inputs, &mut source, &mut outputs)?;
            let step = &mut self.steps[index];
            let applied = step.apply(&self.pipeline, flow, &mut rejected, &mut seen, waits);
            outputs[index].put(applied.await?);
        }
        let flows = self
            .sinks
            .iter()
            .map(|(inputs, keys)| by_key(collect_inputs(inputs, &mut source, &mut outputs)?, keys))
            .collect::<Result<_, _>>()?;
        Ok(Chained {
            flows,
            rejected,
            seen,
        })
    }

    /// What the decoder passed and refused, by topic; the entries of what it refused come first, in
    /// its order.
    fn decoded(&self, records: &Records, decoded: &Decoded) -> Vec<Seen> {
        let mut seen: Vec<Seen> = Vec::new();
        let mut of_topic = |topic: &Arc<str>| -> usize {
            let known = seen.iter().position(|seen| seen.subject.topic == *topic);
            known.unwrap_or_else(|| {
                seen.push(Seen {
                    subject: Subject {
                        stage: self.decode.clone(),
                        topic: topic.clone(),
                        table: None,
                    },
                    passed: false,
                    refused: Vec::new(),
                    more: false,
                    input: Some(self.input),
                });
                seen.len() - 1
            })
        };
        let mut passed = Vec::new();
        for changes in &decoded.changes {
            // A tombstone says nothing of whether the values can be read.
            let mut origins = changes.origins.iter();
            if origins.any(|&origin| records.value(origin as usize).is_some()) {
                passed.push(of_topic(&changes.table.topic));
            }
        }
        let refused: Vec<usize> = decoded
            .rejected
            .iter()
            .map(|bad| of_topic(&records.partition(bad.origin as usize).partition.topic))
            .collect();
        for place in passed {
            seen[place].passed = true;
        }
        for (entry, place) in refused.into_iter().enumerate() {
            seen[place].refused.push(entry);
        }
        seen
    }
}

impl Step {
    async fn apply(
        &mut self,
        pipeline: &str,
        flow: Flow,
        rejected: &mut Vec<Entry>,
        seen: &mut Vec<Seen>,
        waits: Option<&Waits<'_>>,
    ) -> Result<Flow, ChainError> {
        let mut out = Flow {
            changes: Vec::with_capacity(flow.changes.len()),
            tally: flow.tally,
        };
        for changes in flow.changes {
            let (records, table) = (changes.records.clone(), changes.table.clone());
            look_up::look_up(&mut self.readers, &changes, waits).await?;
            let operator = self.operator(&changes.schema())?;
            let applied = operator.apply(changes).map_err(|cause| ChainError::Stop {
                operator: self.name.to_string(),
                cause,
            })?;
            out.tally.entered += applied.added;
            out.tally.filtered += applied.filtered;
            out.tally.warned += applied.warned;
            out.tally.quarantined += applied.rejected.len() as u64;
            seen.push(Seen {
                subject: Subject::of_table(&self.stage, &table),
                passed: passes(&applied.changes),
                refused: (rejected.len()..rejected.len() + applied.rejected.len()).collect(),
                more: false,
                input: None,
            });
            for bad in &applied.rejected {
                let verdict = Verdict {
                    pipeline,
                    stage: &self.stage,
                    rule: &bad.rule,
                    field: bad.field.as_deref(),
                    reason: &bad.reason,
                };
                let entry = Entry::new(&records, bad.origin as usize, &verdict);
                rejected.push(match &bad.detail {
                    Some(detail) => entry.with_detail(detail),
                    None => entry,
                });
            }
            if !applied.changes.is_empty() {
                out.changes.push(applied.changes);
            }
        }
        Ok(out)
    }

    fn operator(&mut self, schema: &SchemaRef) -> Result<&mut Box<dyn Operator>, ChainError> {
        let known = self
            .compiled
            .iter()
            .position(|(known, _)| Arc::ptr_eq(known, schema));
        let known = known.or_else(|| self.compiled.iter().position(|(known, _)| known == schema));
        let index = match known {
            Some(index) => index,
            None => {
                let operator = {
                    let compiled =
                        operator::compile_in(&self.name, &self.config, schema, &self.context);
                    compiled.map_err(|found| {
                        let prefix = ["operators", &*self.stage];
                        let placed = found.into_iter().map(|problem| problem.under(&prefix));
                        ChainError::Configuration(placed.collect())
                    })?
                };
                self.compiled.push((schema.clone(), operator));
                self.compiled.len() - 1
            }
        };
        Ok(&mut self.compiled[index].1)
    }
}

/// A flow with several readers: copied for all of them but the last.
struct Junction {
    flow: Flow,
    readers: usize,
}

impl Junction {
    fn new(readers: usize) -> Self {
        Self {
            flow: Flow::default(),
            readers,
        }
    }

    fn put(&mut self, flow: Flow) {
        self.flow = flow;
    }

    fn read(&mut self) -> Flow {
        self.readers -= 1;
        if self.readers == 0 {
            std::mem::take(&mut self.flow)
        } else {
            self.flow.clone()
        }
    }
}

/// What comes in by several inputs, in an order that is right for each key.
fn collect_inputs(
    inputs: &[Input],
    source: &mut Junction,
    outputs: &mut [Junction],
) -> Result<Flow, ChainError> {
    let mut all = Flow::default();
    for input in inputs {
        let flow = match input {
            Input::Source => source.read(),
            Input::Step(index) => outputs[*index].read(),
        };
        all.tally += flow.tally;
        all.changes.extend(flow.changes);
    }
    if inputs.len() > 1 {
        let table = all
            .changes
            .first()
            .map(|changes| changes.table.name.to_string());
        all.changes = join::in_order(all.changes)
            .map_err(|error| ChainError::Keys(table.unwrap_or_default(), error))?;
    }
    Ok(all)
}

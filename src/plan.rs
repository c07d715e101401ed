//! What was understood: for each source, the operators and sinks that its changes pass, in order.
//!
//! A plan is made from a checked [`PipelineFile`]; after it no text is parsed again but expressions,
//! which are compiled when the first schema arrives.

mod kept;
mod keys;

use std::sync::Arc;

use syncline_connectors::format::{Decode, DecoderOptions, Format, decoder};
use syncline_connectors::sink::SinkConfig;
use syncline_connectors::source::{Limits, SourceConfig};

use crate::config::{FileQuarantine, Layers, PipelineFile, QuarantineConfig};
use crate::lookup::Lookups;
use crate::operator::{self, BranchConfig, Memory, OperatorConfig};

/// Where rejected changes go in the state folder when a file says nothing.
const QUARANTINE_FOLDER: &str = "quarantine";

/// A pipeline, ready to run.
pub struct Plan {
    /// The pipeline's name; positions in the sinks are kept under it.
    pub name: String,
    /// What the client queues, the lanes and the writers may hold together.
    pub memory_bytes: u64,
    /// How much one fetch may hold.
    pub limits: Limits,
    /// What operators look up.
    pub lookups: Arc<Lookups>,
    /// One plan a source.
    pub sources: Vec<SourcePlan>,
    /// Where rejected changes are kept.
    pub quarantine: QuarantineConfig,
}

/// A source and everything that its changes reach.
pub struct SourcePlan {
    /// The source's name.
    pub name: String,
    /// Its settings.
    pub config: SourceConfig,
    /// How its records are decoded.
    pub format: Format,
    /// What the decoder is told.
    pub decoding: DecoderOptions,
    /// What the operators look up.
    pub lookups: Arc<Lookups>,
    /// The operators, each after all of its inputs.
    pub steps: Vec<StepPlan>,
    /// The sinks.
    pub sinks: Vec<SinkPlan>,
}

/// An operator and where its changes come from.
#[derive(Debug)]
pub struct StepPlan {
    /// The operator's name.
    pub name: String,
    /// The name under which refusals are kept: for an output of a `route` that of the operator.
    pub stage: String,
    /// Its settings.
    pub config: OperatorConfig,
    /// Where its changes come from.
    pub inputs: Vec<Input>,
    /// What it remembers, in all lanes.
    pub memory: Memory,
}

/// A sink and where its changes come from.
pub struct SinkPlan {
    /// The sink's name.
    pub name: String,
    /// What is wrapped around it.
    pub layers: Layers,
    /// Its settings.
    pub config: SinkConfig,
    /// The key that its one table names, where nothing else does; see [`Plan::take_keys`].
    pub default_key: Option<Vec<String>>,
    /// Where its changes come from.
    pub inputs: Vec<Input>,
}

/// One edge of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Straight from the source.
    Source,
    /// From the step of this index.
    Step(usize),
}

impl Plan {
    /// The plan of a checked file: names resolve, and there is no cycle.
    pub fn new(file: &PipelineFile) -> Self {
        let batch = &file.batch;
        let lookups = Arc::new(Lookups::new(&file.caches, &file.lookups));
        Self {
            name: file.name.clone(),
            memory_bytes: file.memory_bytes,
            limits: Limits {
                rows: batch.rows,
                bytes: usize::try_from(batch.bytes.0).unwrap_or(usize::MAX),
                linger: batch.linger(),
            },
            sources: file
                .sources
                .iter()
                .map(|(name, config)| source(file, name, config, &lookups))
                .collect(),
            lookups,
            quarantine: file.quarantine.clone().unwrap_or_else(|| {
                let folder = file.state.join(QUARANTINE_FOLDER);
                QuarantineConfig::File(FileQuarantine::new(folder))
            }),
        }
    }

    /// The names of all sinks, each once, in the order in which sources reach them.
    pub fn sink_names(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = Vec::new();
        for sink in self.sources.iter().flat_map(|source| &source.sinks) {
            if !names.contains(&sink.name.as_str()) {
                names.push(&sink.name);
            }
        }
        names.into_iter()
    }
}

impl SourcePlan {
    /// `source NAME`, for status and log.
    pub fn part(&self) -> String {
        format!("source {}", self.name)
    }

    /// The columns that the source's settings declare.
    pub(crate) fn declared_columns(&self) -> Vec<String> {
        let declared = self.config.decoding().schema.as_ref();
        let columns = declared.into_iter().flat_map(|schema| &schema.0);
        columns.map(|(name, _)| name.clone()).collect()
    }

    /// Whether its records are the lines of files.
    pub(crate) fn of_files(&self) -> bool {
        self.config.describe().local
    }

    /// A decoder of its own for a lane.
    pub fn decoder(&self) -> Box<dyn Decode> {
        decoder(self.format, self.decoding.clone())
    }

    /// A decoder of records that a person writes.
    pub(crate) fn decoder_of_texts(&self) -> Box<dyn Decode> {
        decoder(self.format.as_text(), self.decoding.clone())
    }
}

/// Gathers what `name` reaches: operators in topological order, then sinks.
fn source(
    file: &PipelineFile,
    name: &str,
    config: &SourceConfig,
    lookups: &Arc<Lookups>,
) -> SourcePlan {
    let mut steps: Vec<StepPlan> = Vec::new();
    let mut placed = true;
    while placed {
        placed = false;
        for (operator, config) in &file.operators {
            let known = steps.iter().any(|step| step.stage == *operator);
            let waits = config
                .inputs()
                .iter()
                .any(|input| reaches(file, name, input) && resolve(name, &steps, input).is_none());
            let inputs = resolve_all(name, &steps, config.inputs());
            if !known && !waits && !inputs.is_empty() {
                steps.push(StepPlan {
                    name: operator.clone(),
                    stage: operator.clone(),
                    config: config.clone(),
                    inputs,
                    memory: Memory::default(),
                });
                if let OperatorConfig::Route(_) = config {
                    add_branches(operator, config, &mut steps);
                }
                placed = true;
            }
        }
    }
    let mut sinks = Vec::new();
    for (sink, node) in &file.sinks {
        let inputs = resolve_all(name, &steps, &node.inputs);
        if !inputs.is_empty() {
            sinks.push(SinkPlan {
                name: sink.clone(),
                layers: node.layers.clone(),
                config: node.config.clone(),
                default_key: None,
                inputs,
            });
        }
    }
    let mut decoding = config.decoding().options();
    decoding.columns = columns(&steps, &sinks);
    decoding.expected = named(&steps, operator::named_columns);
    decoding.computed = named(&steps, operator::computed_columns);
    decoding.before = wants_before(&steps, &sinks);
    let mut plan = SourcePlan {
        name: name.to_owned(),
        config: config.clone(),
        format: config.decoding().format,
        decoding,
        lookups: lookups.clone(),
        steps,
        sinks,
    };
    plan.tell_keys();
    plan
}

/// Adds a step for each output of the `route` that was added last.
fn add_branches(name: &str, config: &OperatorConfig, steps: &mut Vec<StepPlan>) {
    let route = Input::Step(steps.len() - 1);
    for (output, output_name) in config.output_names(name).into_iter().enumerate() {
        steps.push(StepPlan {
            name: output_name,
            stage: name.to_owned(),
            config: OperatorConfig::Branch(BranchConfig { output }),
            inputs: vec![route],
            memory: Memory::default(),
        });
    }
}

/// Whether an operator, or a sink's way with conflicts, looks at the rows before.
pub(crate) fn wants_before(steps: &[StepPlan], sinks: &[SinkPlan]) -> bool {
    let by_sink = |sink: &SinkPlan| {
        let options = sink.config.options();
        options.is_some_and(|options| options.conflict.wants_before())
    };
    steps.iter().any(|step| step.config.wants_before()) || sinks.iter().any(by_sink)
}

/// Whether changes of `source` arrive at the node `name`.
fn reaches(file: &PipelineFile, source: &str, name: &str) -> bool {
    let mut operators = file.operators.iter();
    let is_it = |known: &str, config: &OperatorConfig| {
        known == name
            || config
                .output_names(known)
                .iter()
                .any(|output| output == name)
    };
    let operator = operators.find(|(known, config)| is_it(known, config));
    name == source
        || operator.is_some_and(|(_, config)| {
            config
                .inputs()
                .iter()
                .any(|input| reaches(file, source, input))
        })
}

fn resolve(source: &str, steps: &[StepPlan], name: &str) -> Option<Input> {
    if name == source {
        return Some(Input::Source);
    }
    steps
        .iter()
        .position(|step| step.name == name)
        .map(Input::Step)
}

fn resolve_all(source: &str, steps: &[StepPlan], names: &[String]) -> Vec<Input> {
    names
        .iter()
        .filter_map(|name| resolve(source, steps, name))
        .collect()
}

/// The source's columns that operators name, as `of` says, by the names under which they leave the
/// source.
fn named(steps: &[StepPlan], of: fn(&OperatorConfig) -> Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for step in steps {
        for column in of(&step.config) {
            for &input in &step.inputs {
                let behind = column_behind(steps, input, &column);
                names.extend(behind.filter(|name| !names.contains(name)));
            }
        }
    }
    names
}

/// The source's column that reaches `input` unchanged as `output`.
fn column_behind(steps: &[StepPlan], input: Input, output: &str) -> Option<String> {
    let Input::Step(index) = input else {
        return Some(output.to_owned());
    };
    let step = &steps[index];
    let column = step.config.column_behind(output)?;
    let mut inputs = step.inputs.iter();
    inputs.find_map(|&input| column_behind(steps, input, &column))
}

/// The columns that anyone asks the decoder for; `None` for all of them.
fn columns(steps: &[StepPlan], sinks: &[SinkPlan]) -> Option<Vec<String>> {
    if sinks
        .iter()
        .any(|sink| sink.inputs.contains(&Input::Source))
    {
        return None;
    }
    let mut wanted: Vec<Option<Vec<String>>> = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate().rev() {
        let here = Input::Step(index);
        let sink_reads = sinks.iter().any(|sink| sink.inputs.contains(&here));
        let mut below: Option<Vec<String>> = (!sink_reads).then(Vec::new);
        for (later, needs) in steps[index + 1..].iter().zip(wanted.iter().rev()) {
            if later.inputs.contains(&here) {
                below = union(below, needs.clone());
            }
        }
        wanted.push(operator::required_columns(&step.config, below.as_deref()));
    }
    wanted.reverse();
    let mut first = steps
        .iter()
        .zip(wanted)
        .filter(|(step, _)| step.inputs.contains(&Input::Source));
    first.try_fold(Vec::new(), |all, (_, needs)| union(Some(all), needs))
}

fn union(left: Option<Vec<String>>, right: Option<Vec<String>>) -> Option<Vec<String>> {
    let mut all = left?;
    for name in right? {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// The decoder reads rows before only where a sink behind its source looks at them.
    #[test]
    fn rows_before_are_read_where_a_sink_asks_for_them() {
        let check = |conflicts: &[&str], expect: bool| {
            let source = "type = \"file\"\npath = \"unused.jsonl\"\nformat = \"debezium-json\"";
            let mut text = format!("[sources.crm]\n{source}\n[sources.other]\n{source}\n");
            text += "[operators.tidy]\ntype = \"map\"\ninputs = [\"crm\"]\ndrop = [\"x\"]\n";
            text += "[sinks.void]\ntype = \"blackhole\"\ninputs = [\"tidy\", \"other\"]\n";
            for (number, conflict) in conflicts.iter().enumerate() {
                text += &format!(
                    "[sinks.s{number}]\ntype = \"sqlite\"\npath = \"unused.db\"\ntable = \"t\"\n\
                     inputs = [\"tidy\"]\nkey = [\"id\"]\n{conflict}\n"
                );
            }
            let file = config::load_text("plan.toml", text.clone(), &|_| None).expect(&text);
            let plan = Plan::new(&file);
            let before = |name: &str| {
                let mut sources = plan.sources.iter();
                let source = sources.find(|source| source.name == name);
                source.expect("it is planned").decoding.before
            };
            assert_eq!((before("crm"), before("other")), (expect, false), "{text}");
        };
        check(&[], false);
        check(&["conflict.strategy = \"source_wins\""], false);
        check(&["conflict.detect = \"before\""], true);
        check(&["", "conflict.strategy = \"target_wins\""], true);
        check(
            &["conflict = { strategy = \"target_wins\", base = \"shadow\" }"],
            false,
        );
    }
}

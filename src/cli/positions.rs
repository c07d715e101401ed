//! `syncline positions show|reset|set FILE`: where a pipeline stands, and how a person moves it.
//!
//! `reset` and `set` show what would change and change nothing without `--yes`. With it they are
//! refused while the pipeline runs, on whatever machine, since a session of the sink holds a lock in the
//! target. Each sink changes in one transaction. Exit codes: 2 where the pipeline runs or what was asked
//! does not fit, 3 where a target or, for `set`, a source does not answer.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use syncline_connectors::positions::{Kept, PositionStore, ReplayMark};
use syncline_connectors::record::Partition;
use syncline_connectors::source::SourceConfig;

use super::conflicts::exit_of;
use super::{Exit, Global, block_on, complain, load_all};
use crate::config::PipelineFile;
use crate::failure::Failure;
use crate::plan::Plan;

mod change;
mod destination;
mod show;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: PositionsCommand,
}

#[derive(Debug, Subcommand)]
enum PositionsCommand {
    /// Show where each sink stands in each partition, where the partition ends, and how much waits.
    #[command(after_help = SHOW_EXAMPLES)]
    Show(show::Arguments),
    /// Forget positions: the sink then begins where `start` of its source says, and its tables are
    /// taken as they are.
    #[command(after_help = RESET_EXAMPLES)]
    Reset(change::ResetArguments),
    /// Move positions to another place; what lies between is skipped, or read again.
    #[command(after_help = SET_EXAMPLES)]
    Set(change::SetArguments),
}

const SHOW_EXAMPLES: &str = "Examples:
  syncline positions show pipelines/crm.toml
  syncline positions show pipelines/crm.toml --sink billing --json";

const RESET_EXAMPLES: &str = "Examples:
  syncline positions reset pipelines/crm.toml              # shows what would be forgotten
  syncline positions reset pipelines/crm.toml --yes        # reads everything anew
  syncline positions reset pipelines/crm.toml --topic crm.public.clients --yes
  syncline positions reset pipelines/crm.toml --sink billing --tables-only --yes   # a table was renamed";

const SET_EXAMPLES: &str = "Examples:
  syncline positions set pipelines/crm.toml --to group --yes     # where the consumer group stands
  syncline positions set pipelines/crm.toml --to beginning --topic crm.public.clients
  syncline positions set pipelines/crm.toml --to end --sink audit
  syncline positions set pipelines/crm.toml --to offset 4711 --topic crm.public.clients --partition 0
  syncline positions set pipelines/crm.toml --to time 2026-01-01T00:00:00Z";

/// Which positions are meant: all of the pipeline that fit.
#[derive(Debug, Args)]
struct Filter {
    /// Only of this sink.
    #[arg(long, value_name = "SINK")]
    sink: Option<String>,
    /// Only of this source.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only of this topic, or of this file.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only of the partition of this number.
    #[arg(long, value_name = "NUMBER")]
    partition: Option<i32>,
}

/// The pipeline that is meant, and which of its positions.
#[derive(Debug, Args)]
struct Subject {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    filter: Filter,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    block_on(async {
        let done = match &arguments.command {
            PositionsCommand::Show(arguments) => show::run(arguments, global).await,
            PositionsCommand::Reset(arguments) => change::reset(arguments, global).await,
            PositionsCommand::Set(arguments) => change::set(arguments, global).await,
        };
        done.unwrap_or_else(|exit| exit)
    })
}

/// A sink of the pipeline with the positions that it keeps.
struct SinkPositions {
    name: String,
    /// `None` where it keeps no positions.
    store: Option<Box<dyn PositionStore>>,
    kept: Kept,
    /// The sources that reach it.
    sources: Vec<(String, SourceConfig)>,
}

impl Filter {
    fn takes_source(&self, source: &str) -> bool {
        self.source.as_deref().is_none_or(|wanted| wanted == source)
    }

    fn takes(&self, source: &str, partition: &Partition) -> bool {
        let topic = self.topic.as_deref();
        self.takes_source(source)
            && topic.is_none_or(|wanted| wanted == &*partition.topic)
            && self
                .partition
                .is_none_or(|wanted| wanted == partition.number)
    }
}

impl Subject {
    /// Reads the file, and refuses names that it does not have.
    fn load(&self, global: &Global) -> Result<PipelineFile, Exit> {
        let mut files = load_all(std::slice::from_ref(&self.file), global)?;
        if files.len() != 1 {
            complain("name one pipeline file, not a folder of several");
            return Err(Exit::Configuration);
        }
        let file = files.swap_remove(0);
        if let Some(sink) = &self.filter.sink
            && !file.sinks.iter().any(|(name, _)| name == sink)
        {
            let names: Vec<&str> = file.sinks.iter().map(|(name, _)| name.as_str()).collect();
            complain(&format!(
                "pipeline {:?} has no sink {sink:?}: there is {}",
                file.name,
                names.join(", ")
            ));
            return Err(Exit::Configuration);
        }
        Ok(file)
    }

    /// Reads what each sink keeps.
    async fn read(&self, file: &PipelineFile) -> Result<Vec<SinkPositions>, Exit> {
        let plan = Plan::new(file);
        let mut sinks = Vec::new();
        for (name, node) in &file.sinks {
            if self
                .filter
                .sink
                .as_ref()
                .is_some_and(|wanted| wanted != name)
            {
                continue;
            }
            let asked = async {
                let mut store = node.config.open_positions(&file.name, name).await?;
                let mut kept = match &mut store {
                    Some(store) => store.read().await?,
                    None => Kept::default(),
                };
                // They go with the positions that they belong to.
                kept.positions
                    .retain(|kept| ReplayMark::read(&kept.partition).is_none());
                Ok((store, kept))
            };
            let (store, kept) = asked
                .await
                .map_err(|error| fail(&Failure::of_sink(name, error)))?;
            let reaching = plan
                .sources
                .iter()
                .filter(|source| source.sinks.iter().any(|sink| sink.name == *name));
            sinks.push(SinkPositions {
                name: name.clone(),
                store,
                kept,
                sources: reaching
                    .map(|source| (source.name.clone(), source.config.clone()))
                    .collect(),
            });
        }
        Ok(sinks)
    }
}

/// Says why it does not go on.
fn fail(failure: &Failure) -> Exit {
    complain(&failure.to_string());
    exit_of(failure)
}

//! Connects the sources and sinks of a pipeline: its lanes with their writers.

use std::collections::BTreeMap;
use std::sync::Arc;

use syncline_connectors::layer::Breaker;
use syncline_connectors::record::Positions;
use syncline_connectors::sink::Identity;
use syncline_connectors::source::{self, Opening, Purpose};
use tokio::sync::{mpsc, watch};

use super::chain::Chain;
use super::lane::{Lane, Progress, WriterHandle};
use super::layers::{RetryContext, patient};
use super::writer::{DELIVERIES_MAX, Writer};
use super::{Options, Running};
use crate::conflict;
use crate::failure::Failure;
use crate::plan::{Plan, SinkPlan, SourcePlan};
use crate::quarantine::Quarantine;

impl Running {
    pub(super) async fn connect(
        &self,
        plan: &Plan,
        options: &Options,
        quarantine: &Arc<Quarantine>,
        stopped: &watch::Receiver<bool>,
        abandoned: &watch::Receiver<bool>,
    ) -> Result<Vec<(Lane, Vec<Writer>)>, Failure> {
        let mut counts = Vec::with_capacity(plan.sources.len());
        for source in &plan.sources {
            let lanes = source.config.lanes(options.lanes_max).await;
            counts.push(lanes.map_err(|error| Failure::of(&source.part(), error))?);
        }
        let lanes_count = counts.iter().sum::<usize>().max(1);
        let lane_bytes = plan.memory_bytes / lanes_count as u64;
        let mut breakers: BTreeMap<&str, Breaker> = BTreeMap::new();
        let mut lanes = Vec::new();
        let measured = self.measures.sources.iter().map(|(_, measures)| measures);
        let watched = self.lags.iter().map(|(_, lag)| lag).zip(measured);
        for ((source_plan, of), (lag, measures)) in plan.sources.iter().zip(counts).zip(watched) {
            for number in 0..of {
                // Each lane reports for itself: one that goes on says nothing of the others.
                let at = match lanes_count {
                    1 => String::new(),
                    _ => format!(" (lane {}/{number})", source_plan.name),
                };
                let mut handles = Vec::new();
                let mut writers = Vec::new();
                for sink_plan in &source_plan.sinks {
                    let breaker = breakers
                        .entry(&sink_plan.name)
                        .or_insert_with(|| Breaker::new(&sink_plan.layers.breaker));
                    let sink_measures = self.measures.sink(&sink_plan.name);
                    sink_measures.guarded_by(breaker);
                    let part = format!("sink {}{at}", sink_plan.name);
                    let context = RetryContext {
                        part: &part,
                        breaker,
                        status: &self.status,
                        measures: &sink_measures,
                        abandoned,
                    };
                    let (handle, writer) = self
                        .connect_sink(source_plan, sink_plan, quarantine, &context)
                        .await?;
                    handles.push(handle);
                    writers.push(writer);
                }
                let part = format!("{}{at}", source_plan.part());
                let opening = Opening {
                    lane: source::Lane { number, of },
                    purpose: if options.once {
                        Purpose::Once
                    } else {
                        Purpose::Follow
                    },
                    memory_bytes: lane_bytes / 4,
                };
                let source = source_plan.config.connect(opening).await;
                let source = source.map_err(|error| Failure::of(&part, error))?;
                self.refusals.reads(&part);
                let lane = Lane {
                    part,
                    number,
                    lag: lag.clone(),
                    measures: measures.clone(),
                    queued: measures.lane(),
                    source,
                    decoder: source_plan.decoder(),
                    chain: Chain::new(&plan.name, source_plan),
                    writers: handles,
                    quarantine: quarantine.clone(),
                    refusals: self.refusals.clone(),
                    declared: source_plan.declared_columns(),
                    status: self.status.clone(),
                    limits: plan.limits,
                    in_flight_bytes_max: usize::try_from(lane_bytes / 2).unwrap_or(usize::MAX),
                    stop: stopped.clone(),
                    progress: Progress::default(),
                };
                lanes.push((lane, writers));
            }
        }
        Ok(lanes)
    }

    async fn connect_sink(
        &self,
        source: &SourcePlan,
        plan: &SinkPlan,
        quarantine: &Arc<Quarantine>,
        context: &RetryContext<'_>,
    ) -> Result<(WriterHandle, Writer), Failure> {
        let identity = Identity {
            pipeline: self.name.clone(),
            sink: plan.name.clone(),
            source: source.name.clone(),
        };
        let connected = plan.config.connect(&identity, &conflict::resolvers()).await;
        let sink = connected.map_err(|error| Failure::of_sink(&plan.name, error))?;
        let (commands_in, commands) = mpsc::channel(DELIVERIES_MAX);
        let (notices, notices_out) = mpsc::channel(2 * DELIVERIES_MAX);
        let account = self.account(&plan.name);
        let handle = WriterHandle {
            name: plan.name.clone(),
            commands: commands_in,
            notices: notices_out,
            account: account.clone(),
        };
        let writer = Writer {
            pipeline: self.name.clone(),
            name: plan.name.as_str().into(),
            sink: patient(sink, &plan.layers, context),
            quarantine: quarantine.clone(),
            refusals: self.refusals.clone(),
            account,
            status: self.status.clone(),
            positions: Positions::new(),
            keeps_positions: false,
            fenced: false,
            held: None,
            room: None,
            commands,
            notices,
        };
        Ok((handle, writer))
    }
}

//! `syncline status`, `pause`, `resume`, `restart`, `reload`: what a running process does, and what it is
//! told. They ask its control API.

use clap::Args;
use hyper::Method;

use super::client::{Reach, segment};
use super::conflicts::layout;
use super::summary::grouped;
use super::{Exit, Global, block_on, print, print_json};
use crate::daemon::view::{Pipeline, Pipelines, Reloaded};

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// The pipeline; all of them where none is named.
    name: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct NamedArguments {
    /// The pipeline.
    name: String,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct ReloadArguments {
    #[command(flatten)]
    reach: Reach,
}

/// Shows the pipelines. Exit code 1 where one does not do what it should.
pub(crate) fn status(arguments: &StatusArguments, global: &Global) -> Exit {
    ask(async {
        let client = arguments.reach.client(global)?;
        let pipelines: Vec<Pipeline> = match &arguments.name {
            Some(name) => {
                let path = format!("/v1/pipelines/{}", segment(name));
                vec![client.ask(Method::GET, &path, global).await?]
            }
            None => {
                let all: Pipelines = client.ask(Method::GET, "/v1/pipelines", global).await?;
                all.pipelines
            }
        };
        let printed = match global.json {
            true => print_json(&serde_json::json!(pipelines)),
            false => print(&table(&pipelines)),
        };
        let ready = pipelines.iter().all(|pipeline| pipeline.ready);
        Ok(match ready {
            true => printed,
            false => printed.max(Exit::Failed),
        })
    })
}

/// Tells a pipeline something: `pause`, `resume` or `restart`.
pub(crate) fn tell(arguments: &NamedArguments, action: &str, global: &Global) -> Exit {
    ask(async {
        let client = arguments.reach.client(global)?;
        let path = format!("/v1/pipelines/{}/{action}", segment(&arguments.name));
        let pipeline: Pipeline = client.ask(Method::POST, &path, global).await?;
        Ok(match global.json {
            true => print_json(&serde_json::json!(pipeline)),
            false => print(&table(&[pipeline])),
        })
    })
}

/// Lets the process read its configuration again.
pub(crate) fn reload(arguments: &ReloadArguments, global: &Global) -> Exit {
    ask(async {
        let client = arguments.reach.client(global)?;
        let reloaded: Reloaded = client.ask(Method::POST, "/v1/reload", global).await?;
        if global.json {
            return Ok(print_json(&serde_json::json!(reloaded)));
        }
        let rows = [
            ("changed", &reloaded.changed),
            ("added", &reloaded.added),
            ("removed", &reloaded.removed),
            ("unchanged", &reloaded.unchanged),
            ("needs a restart of the process", &reloaded.needs_restart),
        ];
        let rows = rows.iter().filter(|(_, names)| !names.is_empty());
        let rows: String = rows
            .map(|(what, names)| format!("{what}: {}\n", names.join(", ")))
            .collect();
        Ok(print(&rows))
    })
}

/// Runs a command whose early end is an exit code too.
fn ask(command: impl Future<Output = Result<Exit, Exit>>) -> Exit {
    block_on(async { command.await.unwrap_or_else(|exit| exit) })
}

fn table(pipelines: &[Pipeline]) -> String {
    let head = [
        "pipeline",
        "state",
        "fresh",
        "lag",
        "changes/s",
        "written",
        "kept",
        "quarantined",
        "cause",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for pipeline in pipelines {
        let lags = pipeline.sources.iter().filter_map(|source| source.lag);
        let sum = |of: fn(&crate::daemon::view::Sink) -> u64| {
            grouped(pipeline.sinks.iter().map(of).sum())
        };
        let rate: f64 = pipeline
            .sinks
            .iter()
            .map(|sink| sink.changes_per_second)
            .sum();
        rows.push(vec![
            pipeline.name.clone(),
            pipeline.state.clone(),
            pipeline.freshness_ms.map_or_else(|| "-".to_owned(), age),
            lags.reduce(|one, other| one + other)
                .map_or_else(|| "-".to_owned(), grouped),
            grouped(rate.round() as u64),
            sum(|sink| sink.written),
            sum(|sink| sink.kept),
            sum(|sink| sink.quarantined),
            what(pipeline),
        ]);
    }
    layout::aligned(&rows)
}

/// Why it is stalled or failed, and when it runs next.
fn what(pipeline: &Pipeline) -> String {
    let schedule = pipeline.schedule.as_ref();
    let next = schedule.and_then(|schedule| schedule.next.as_ref());
    let next = next.map(|at| format!("next run {at}"));
    let parts: Vec<String> = pipeline.cause.clone().into_iter().chain(next).collect();
    parts.join("; ")
}

/// How old the targets are, in words.
fn age(milliseconds: u64) -> String {
    match milliseconds / 1_000 {
        0 => format!("{milliseconds} ms"),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_said_in_the_unit_that_fits() {
        let said = [900, 1_000, 119_999, 120_000, 7_200_000].map(age);
        assert_eq!(said, ["900 ms", "1 s", "119 s", "2 min", "2 h"]);
    }
}

//! `syncline run FILE|DIR… [--once]`: runs pipelines until a signal, or until their sources are drained.
//!
//! The first SIGTERM or SIGINT drains and ends with 0; a second one ends at once with 143 or 130.
//! Pipelines run side by side. A system that is away at the start is waited for, and a pipeline that
//! fails begins again by itself while the others run on (see [`crate::run::supervise`]); with `--once`
//! and `--fail-fast` it does not. The exit code is that of the worst. What was put into quarantine is listed by rule on stderr, and is a failure only with
//! `--fail-on-quarantine`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::progress::Progress;
use super::{Exit, Global, load_all, print, print_json, refuse, say, summary};
use crate::config::{PipelineFile, check_together};
use crate::failure::Failure;
use crate::run::supervise::{Hopeful, Supervisor};
use crate::run::{Options, Summary};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Pipeline files, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Stop when the sources are drained; for Kafka, at the end offsets as they were at the start.
    #[arg(long)]
    once: bool,
    /// How many lanes a source may have; the cores of the machine where it is not given.
    #[arg(long, value_name = "N")]
    lanes: Option<std::num::NonZeroUsize>,
    /// Seconds that draining may take after a signal before the run fails.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_timeout: u64,
    /// End with the first failure of any pipeline, also where a system does not answer at the start.
    #[arg(long)]
    fail_fast: bool,
    /// End with exit code 1 if any change was put into quarantine.
    #[arg(long)]
    fail_on_quarantine: bool,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let files = match load_all(&arguments.paths, global) {
        Ok(files) => files,
        Err(exit) => return exit,
    };
    if let Err(report) = check_together(&files) {
        return refuse(&report, global);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            return Exit::Failed;
        }
    };
    let options = Options {
        once: arguments.once,
        fail_fast: arguments.fail_fast,
        lanes_max: arguments.lanes.map_or(cores, usize::from),
        drain_deadline: Duration::from_secs(arguments.drain_timeout),
    };
    let exit = runtime.block_on(run_all(files, &options, arguments, global));
    // A task that is wedged past the drain deadline must not hold the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    exit
}

async fn run_all(
    files: Vec<PipelineFile>,
    options: &Options,
    arguments: &Arguments,
    global: &Global,
) -> Exit {
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(terminate), Ok(interrupt)) = signals else {
        tracing::error!("cannot listen for signals");
        return Exit::Failed;
    };
    let (stop, stopped) = watch::channel(false);
    let signals = tokio::spawn(listen(terminate, interrupt, stop.clone()));
    let mut tasks = JoinSet::new();
    let mut watched = Vec::new();
    let hopeful = Hopeful::new(files.len());
    for file in files.into_iter().map(Arc::new) {
        let supervisor = Supervisor::new(file.clone(), options.clone(), hopeful.clone());
        watched.push(supervisor.running.clone());
        let stopped = stopped.clone();
        tasks.spawn(async move {
            let result = supervisor.run(stopped).await;
            (file, supervisor.running, result)
        });
    }
    let progress = Progress::start(watched, !global.json && std::io::stderr().is_terminal());
    let mut exit = Exit::Done;
    let (mut summaries, mut errors) = (Vec::new(), Vec::new());
    while let Some(ended) = tasks.join_next().await {
        let Ok((file, running, result)) = ended else {
            tracing::error!("a pipeline panicked");
            exit = worse(exit, Exit::Failed);
            continue;
        };
        if let Err(failure) = &result {
            progress.clear();
            exit = worse(exit, report(&file, failure, global));
            if options.fail_fast {
                stop.send_replace(true);
            }
        }
        summaries.push(running.summary());
        errors.push(result.err().map(|failure| as_json(&file, &failure)));
    }
    progress.clear();
    signals.abort();
    let printed = if global.json {
        print_json(&with_errors(&summaries, errors))
    } else {
        let printed = print(&summary::text(&summaries));
        say(&summary::quarantined(&summaries));
        printed
    };
    let any = |summary: &Summary| !summary.quarantined.is_empty();
    if arguments.fail_on_quarantine && summaries.iter().any(any) {
        exit = worse(exit, Exit::Failed);
    }
    worse(exit, printed)
}

fn report(file: &PipelineFile, failure: &Failure, global: &Global) -> Exit {
    match failure {
        // With `--json` they stand in the summary.
        Failure::Problems(_) if global.json => Exit::Configuration,
        Failure::Problems(problems) => refuse(&file.document.report(problems.clone()), global),
        Failure::Configuration(message) => {
            tracing::error!(pipeline = file.name, "{message}");
            Exit::Configuration
        }
        Failure::Unreachable(message) => {
            tracing::error!(pipeline = file.name, "{message}");
            Exit::Unreachable
        }
        Failure::Failed(message) => {
            tracing::error!(pipeline = file.name, "{message}");
            Exit::Failed
        }
    }
}

/// The summaries, each with the `error` that ended its pipeline, or null.
fn with_errors(summaries: &[Summary], errors: Vec<Option<Value>>) -> Value {
    let summaries = summaries.iter().zip(errors).map(|(summary, error)| {
        let mut summary = serde_json::json!(summary);
        summary["error"] = error.into();
        summary
    });
    summaries.collect()
}

/// Why a pipeline ended: its kind, the message, and where the file is wrong.
fn as_json(file: &PipelineFile, failure: &Failure) -> Value {
    let (kind, problems) = match failure {
        Failure::Problems(problems) => {
            let report = file.document.report(problems.clone());
            ("configuration", report.to_json())
        }
        Failure::Configuration(_) => ("configuration", Value::Array(Vec::new())),
        Failure::Unreachable(_) => ("unreachable", Value::Array(Vec::new())),
        Failure::Failed(_) => ("failed", Value::Array(Vec::new())),
    };
    serde_json::json!({ "kind": kind, "message": failure.to_string(), "problems": problems })
}

/// Of two ends the one that a person has to act on first: a wrong configuration, then something that is
/// not reachable, then a failure.
fn worse(left: Exit, right: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::Failed => 1,
        Exit::Unreachable => 2,
        Exit::Configuration => 3,
    };
    if rank(right) > rank(left) {
        right
    } else {
        left
    }
}

async fn listen(mut terminate: Signal, mut interrupt: Signal, stop: watch::Sender<bool>) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining; a second signal ends at once");
    stop.send_replace(true);
    let code = tokio::select! {
        _ = terminate.recv() => 143,
        _ = interrupt.recv() => 130,
    };
    std::process::exit(code);
}

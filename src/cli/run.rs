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
use tokio::sync::mpsc;

use super::progress::Progress;
use super::watch::watch;
use super::{Exit, Global, print, read_all, refuse, say, summary};
use crate::config::{Api, PipelineFile, Report, Services, check_together};
use crate::daemon::api::Server;
use crate::daemon::{Daemon, Ended, Load, Loaded, Notifier, ReloadAsked};
use crate::failure::Failure;
use crate::run::{Options, Summary};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Pipeline files, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(super) paths: Vec<PathBuf>,
    /// Stop when the sources are drained; for Kafka, at the end offsets as they were at the start.
    #[arg(long)]
    once: bool,
    /// How many lanes a source may have; the cores of the machine where it is not given.
    #[arg(long, value_name = "N")]
    lanes: Option<std::num::NonZeroUsize>,
    /// Seconds that a stop may take before the process ends with exit code 1: what is in flight is
    /// written. By default what `shutdown_timeout_s` of syncline.toml says, else 25.
    #[arg(long, value_name = "SECONDS", alias = "drain-timeout")]
    shutdown_timeout: Option<u64>,
    /// Where the control API listens, HOST:PORT. By default what `[api]` of syncline.toml says; without
    /// either there is none.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "once")]
    api: Option<String>,
    /// Reload whenever a pipeline file or a syncline.toml has changed.
    #[arg(long, conflicts_with = "once")]
    watch: bool,
    /// End with the first failure of any pipeline, also where a system does not answer at the start.
    #[arg(long)]
    fail_fast: bool,
    /// End with exit code 1 if any change was put into quarantine.
    #[arg(long)]
    fail_on_quarantine: bool,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let load: Load = {
        let (paths, config) = (arguments.paths.clone(), global.config.clone());
        Box::new(move || load(&paths, config.clone()))
    };
    let loaded = match load() {
        Ok(loaded) => loaded,
        Err(report) => return refuse(&report, global),
    };
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
    let given = arguments.shutdown_timeout.map(Duration::from_secs);
    let options = Options {
        once: arguments.once,
        fail_fast: arguments.fail_fast,
        lanes_max: arguments.lanes.map_or(cores, usize::from),
        drain_deadline: given.unwrap_or_else(|| loaded.service.settings.shutdown_timeout()),
    };
    let exit = runtime.block_on(async {
        let (daemon, asked) = Daemon::new(loaded, options, load);
        run_all(&daemon, asked, arguments, global).await
    });
    // A task that is wedged past the drain deadline must not hold the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    exit
}

/// Reads what the command line names, now or for a reload.
fn load(paths: &[PathBuf], config: Option<PathBuf>) -> Result<Loaded, Report> {
    let mut services = Services::new(config);
    let service = services.of_process(paths)?;
    let files = read_all(paths, &mut services)?;
    check_together(&files)?;
    Ok(Loaded { service, files })
}

async fn run_all(
    daemon: &Arc<Daemon>,
    asked: mpsc::Receiver<ReloadAsked>,
    arguments: &Arguments,
    global: &Global,
) -> Exit {
    let signals = match Signals::new(arguments.once) {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            return Exit::Failed;
        }
    };
    let server = match serve(daemon, arguments).await {
        Ok(server) => server,
        Err(message) => {
            tracing::error!("{message}");
            return Exit::Configuration;
        }
    };
    let notifier = Arc::new(Notifier::ready());
    let signals = tokio::spawn(signals.listen(daemon.clone(), notifier));
    let watching = arguments.watch.then(|| {
        let (paths, config) = (arguments.paths.clone(), global.config.clone());
        tokio::spawn(watch(daemon.clone(), paths, config))
    });
    let visible = !global.json && std::io::stderr().is_terminal();
    let progress = Progress::start(daemon.clone(), visible);
    let mut exit = Exit::Done;
    let ended = daemon
        .run(asked, |end: &Ended| {
            if let Err(failure) = &end.result {
                progress.clear();
                exit = worse(exit, report(&end.file, failure, global));
            }
        })
        .await;
    progress.clear();
    signals.abort();
    if let Some(watching) = watching {
        watching.abort();
    }
    drop(server);
    let summaries: Vec<Summary> = ended.iter().map(|end| end.running.summary()).collect();
    let text = if global.json {
        let errors = ended.iter().map(|end| {
            let failure = end.result.as_ref().err()?;
            Some(as_json(&end.file, failure))
        });
        format!("{:#}\n", with_errors(&summaries, errors.collect()))
    } else {
        summary::text(&summaries)
    };
    let sinks = ended.iter().flat_map(|end| &end.file.sinks);
    let printed = match sinks.into_iter().any(|(_, sink)| sink.config.owns_stdout()) {
        true => {
            say(&text);
            Exit::Done
        }
        false => print(&text),
    };
    if !global.json {
        say(&summary::quarantined(&summaries));
    }
    let any = |summary: &Summary| !summary.quarantined.is_empty();
    if arguments.fail_on_quarantine && summaries.iter().any(any) {
        exit = worse(exit, Exit::Failed);
    }
    worse(exit, printed)
}

/// Starts the API, where there is one.
async fn serve(daemon: &Arc<Daemon>, arguments: &Arguments) -> Result<Option<Server>, String> {
    let written = daemon.service().settings.api.clone();
    let settings = match (&arguments.api, written) {
        _ if arguments.once => return Ok(None),
        (Some(address), written) => Api {
            address: address.clone(),
            ..written.unwrap_or_default()
        },
        (None, Some(written)) => written,
        (None, None) => return Ok(None),
    };
    let server = Server::start(&settings, daemon.clone()).await?;
    tracing::info!(address = %server.address, "the control API listens");
    Ok(Some(server))
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

/// The signals that a process listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Asks for a reload; a run that ends by itself keeps the system's way with it.
    hang_up: Option<Signal>,
}

impl Signals {
    fn new(once: bool) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: (!once).then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    /// Reloads on SIGHUP, drains at the first SIGTERM or SIGINT, and ends the process at the second.
    async fn listen(mut self, daemon: Arc<Daemon>, notifier: Arc<Notifier>) {
        loop {
            let hang_up = async {
                match &mut self.hang_up {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = hang_up => {
                    notifier.reloading();
                    // The log says what became of it.
                    let _ = daemon.ask_reload().await;
                    notifier.reloaded();
                }
            }
        }
        tracing::info!("draining; a second signal ends at once");
        notifier.stopping();
        daemon.stop();
        let code = tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.interrupt.recv() => 130,
        };
        std::process::exit(code);
    }
}

//! `syncline doctor`: asks every system of every pipeline, one step after the other, and says at which
//! step it ends and what to do about it.
//!
//! Steps: the name resolves, the port answers, and the pipeline's own way in: TLS, log-in, and what it
//! needs there (topics, tables, rights). It writes nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use syncline_connectors::error::Error;
use syncline_connectors::source;

use super::{Exit, Global, block_on, load_all, print, print_json};
use crate::config::PipelineFile;

/// How long one step may take.
const TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Pipeline files, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

/// A system of a pipeline.
#[derive(Debug, Serialize)]
struct System {
    pipeline: String,
    /// `source NAME` or `sink NAME`.
    part: String,
    r#type: String,
    steps: Vec<Step>,
}

/// What one step found.
#[derive(Debug, Serialize)]
struct Step {
    name: &'static str,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// Whether a person has to change a setting, here or there, before another try can help.
    #[serde(skip)]
    is_wrong: bool,
}

impl Step {
    fn good(name: &'static str, found: String) -> Self {
        Self {
            name,
            ok: true,
            found,
            remedy: None,
            is_wrong: false,
        }
    }

    fn bad(name: &'static str, found: String, remedy: String) -> Self {
        Self {
            name,
            ok: false,
            found,
            remedy: Some(remedy),
            is_wrong: false,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let files = match load_all(&arguments.paths, global) {
        Ok(files) => files,
        Err(exit) => return exit,
    };
    block_on(async {
        let mut systems = Vec::new();
        for file in &files {
            examine(file, &mut systems).await;
        }
        let printed = match global.json {
            true => print_json(&serde_json::json!(systems)),
            false => print(&text(&systems)),
        };
        let bad = || {
            systems
                .iter()
                .flat_map(|one| &one.steps)
                .filter(|step| !step.ok)
        };
        if bad().any(|step| step.is_wrong) {
            Exit::Configuration
        } else if bad().next().is_some() {
            Exit::Unreachable
        } else {
            printed
        }
    })
}

async fn examine(file: &PipelineFile, systems: &mut Vec<System>) {
    for (name, config) in &file.sources {
        let mut steps = reach(&file.addresses("sources", name)).await;
        if steps.iter().all(|step| step.ok) {
            steps.push(access(source::probe(config.as_ref())).await);
        }
        systems.push(System {
            pipeline: file.name.clone(),
            part: format!("source {name}"),
            r#type: config.describe().kind.to_owned(),
            steps,
        });
    }
    for (name, sink) in &file.sinks {
        let mut steps = reach(&file.addresses("sinks", name)).await;
        if steps.iter().all(|step| step.ok) {
            steps.push(access(sink.config.probe()).await);
        }
        systems.push(System {
            pipeline: file.name.clone(),
            part: format!("sink {name}"),
            r#type: sink.config.kind().to_owned(),
            steps,
        });
    }
    for system in systems {
        for step in &mut system.steps {
            step.found = file.document.redact(&step.found);
        }
    }
}

/// Whether names resolve and ports answer. Of several brokers one is enough.
async fn reach(addresses: &[(String, u16)]) -> Vec<Step> {
    let mut failed = Vec::new();
    for (host, port) in addresses {
        match reach_one(host, *port).await {
            Ok(steps) => return steps,
            Err(steps) => failed = steps,
        }
    }
    failed
}

async fn reach_one(host: &str, port: u16) -> Result<Vec<Step>, Vec<Step>> {
    let asked = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host, port))).await;
    let found: Vec<SocketAddr> = match asked {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => {
            let remedy = "correct the host name, or the DNS of this machine".to_owned();
            return Err(vec![Step::bad("name", format!("{host}: {error}"), remedy)]);
        }
        Err(_) => {
            let what = format!("{host}: no answer within {} s", TIMEOUT.as_secs());
            let remedy = "see to the DNS of this machine".to_owned();
            return Err(vec![Step::bad("name", what, remedy)]);
        }
    };
    let ips: Vec<String> = found.iter().map(|one| one.ip().to_string()).collect();
    let name = Step::good("name", format!("{host} is {}", ips.join(", ")));
    let began = Instant::now();
    let connected = tokio::time::timeout(TIMEOUT, tokio::net::TcpStream::connect(&found[..])).await;
    let wrong = match connected {
        Ok(Ok(_)) => {
            let took = began.elapsed().as_millis();
            let port = Step::good("port", format!("{host}:{port} answers in {took} ms"));
            return Ok(vec![name, port]);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
    };
    let what = format!("{host}:{port}: {wrong}");
    let remedy = "start the server, correct the port, or open the firewall on the way".to_owned();
    Err(vec![name, Step::bad("port", what, remedy)])
}

/// The pipeline's own way in.
async fn access(probe: impl Future<Output = Result<(), Error>>) -> Step {
    let began = Instant::now();
    match tokio::time::timeout(TIMEOUT, probe).await {
        Ok(Ok(())) => {
            let took = began.elapsed().as_millis();
            Step::good("access", format!("log-in and rights are right ({took} ms)"))
        }
        Ok(Err(error)) => {
            let is_wrong = !matches!(error, Error::Unavailable { .. });
            let remedy = match is_wrong {
                true => {
                    "change what the message names: docs/grants.md lists the rights, docs/kafka.md TLS and passwords"
                }
                false => "the port answers and the server does not: look at its log",
            };
            Step {
                is_wrong,
                ..Step::bad("access", error.chain(), remedy.to_owned())
            }
        }
        Err(_) => {
            let what = format!("no answer within {} s", TIMEOUT.as_secs());
            let remedy = "the port answers and the server does not: look at its log".to_owned();
            Step::bad("access", what, remedy)
        }
    }
}

fn text(systems: &[System]) -> String {
    let mut text = String::new();
    for system in systems {
        text.push_str(&format!(
            "{}: {} ({})\n",
            system.pipeline, system.part, system.r#type
        ));
        for step in &system.steps {
            let verdict = if step.ok { "ok    " } else { "FAILED" };
            text.push_str(&format!("  {verdict} {:<7} {}\n", step.name, step.found));
            if let Some(remedy) = &step.remedy {
                text.push_str(&format!("         → {remedy}\n"));
            }
        }
    }
    let steps = || systems.iter().flat_map(|system| &system.steps);
    let failed = steps().filter(|step| !step.ok).count();
    text.push_str(&format!(
        "{} systems, {failed} of {} steps failed\n",
        systems.len(),
        steps().count()
    ));
    text
}

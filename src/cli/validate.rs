//! `syncline validate`: reports all problems of pipeline files together.
//!
//! Expressions are compiled for the rows that will come, if these are known: from the source's
//! file, from its declared schema, and with `--connect` from its topics. `--connect` also checks
//! that brokers, topics, databases and tables exist; it writes nothing.

use std::path::PathBuf;

use clap::Args;
use syncline_connectors::error::Error;
use tokio::runtime::Runtime;

use super::{Exit, Global, coloured, complain, print, print_json, refuse};
use crate::config::{
    PipelineFile, Report, Services, check_rows, load_with_problems, pipeline_files,
};
use crate::problem::Problem;

mod reach;
mod sample;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Pipeline files, or folders with pipeline files (`*.toml`).
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Also check that brokers, topics, databases and tables exist.
    #[arg(long)]
    connect: bool,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let paths = match pipeline_files(&arguments.paths) {
        Ok(paths) => paths,
        Err(report) => return refuse(&report, global),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the runtime cannot be started: {error}"));
            return Exit::Failed;
        }
    };
    let mut wrong = Report::default();
    let mut exit = Exit::Done;
    let mut text = String::new();
    let mut services = Services::new(global.config.clone());
    for path in &paths {
        let (report, ended) = match load_with_problems(path, &mut services) {
            Ok((file, problems)) => check(&file, problems, arguments.connect, &runtime),
            Err(report) => (report, Exit::Configuration),
        };
        if report.is_empty() {
            text.push_str(&format!("{}: ok\n", path.display()));
        }
        wrong.append(report);
        exit = worse(exit, ended);
    }
    let printed = if global.json {
        print_json(&wrong.to_json())
    } else {
        text.insert_str(0, &wrong.render(coloured(&std::io::stdout())));
        print(&text)
    };
    match exit {
        Exit::Done => printed,
        exit => exit,
    }
}

/// The problems of the file itself, then those that need its systems.
fn check(
    file: &PipelineFile,
    mut problems: Vec<Problem>,
    connect: bool,
    runtime: &Runtime,
) -> (Report, Exit) {
    let mut exit = match problems.is_empty() {
        true => Exit::Done,
        false => Exit::Configuration,
    };
    // After one system did not answer, no system is queried again.
    let mut ask = connect;
    if connect {
        for (path, error) in runtime.block_on(reach::unreached(file)) {
            exit = worse(exit, exit_of(&error));
            ask &= path[0] != "sources";
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            problems.push(Problem::new(&path, error.chain()));
        }
    }
    if !connect {
        for (path, error) in runtime.block_on(reach::missing_files(file)) {
            exit = worse(exit, exit_of(&error));
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            problems.push(Problem::new(&path, error.chain()));
        }
    }
    let known = runtime.block_on(sample::known_rows(file, ask));
    let wrong = check_rows(file, known);
    if !wrong.is_empty() {
        exit = Exit::Configuration;
    }
    problems.extend(wrong);
    (file.document.report(problems), exit)
}

fn exit_of(error: &Error) -> Exit {
    match error {
        Error::Unavailable { .. } => Exit::Unreachable,
        Error::Configuration { .. } | Error::Rejected(_) | Error::Fenced { .. } => {
            Exit::Configuration
        }
    }
}

/// A configuration error has precedence over an error that may pass by itself.
fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Configuration, _) | (_, Exit::Configuration) => Exit::Configuration,
        (one, other) => one.max(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    const EVENT: &str = r#"{"before":null,"after":{"id":1,"name":"Ada","changed":"x"},"source":{"table":"clients"},"op":"c","ts_ms":1}"#;

    fn validate(pipeline: &str, connect: bool) -> (String, Exit) {
        let folder = tempfile::tempdir().expect("a folder");
        let events = folder.path().join("events.jsonl");
        std::fs::write(&events, format!("{EVENT}\n")).expect("it is written");
        let text = pipeline.replace("EVENTS", &events.display().to_string());
        let file = load_text("p.toml", text, &|_| None).expect("the file itself holds");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (report, exit) = check(&file, Vec::new(), connect, &runtime);
        let messages: Vec<String> = report
            .to_json()
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| format!("{}: {}", one["path"], one["message"]).replace('"', ""))
            .collect();
        (messages.join("\n"), exit)
    }

    const PIPELINE: &str = "
[sources.crm]
type = 'file'
path = 'EVENTS'
format = 'debezium-json'

[operators.tidy]
type = 'map'
inputs = ['crm']
fields.id = 'id'
fields.label = 'upper(name)'

[sinks.out]
type = 'sqlite'
inputs = ['tidy']
path = 'EVENTS.db'
table = 'clients'
key = ['id']
";

    #[test]
    fn what_fits_the_rows_is_ok() {
        assert_eq!(validate(PIPELINE, false), (String::new(), Exit::Done));
    }

    #[test]
    fn expressions_keys_and_versions_are_held_against_the_rows() {
        let wrong = PIPELINE.replace("upper(name)", "upper(nam)");
        let (messages, exit) = validate(&wrong, false);
        assert_eq!(exit, Exit::Configuration);
        assert!(
            messages.starts_with("operators.tidy.fields.label: "),
            "{messages}"
        );
        assert!(messages.contains("nam"), "{messages}");

        let wrong = PIPELINE.replace(
            "key = ['id']",
            "key = ['ident']\nconflict = { strategy = 'newest_wins', version = 'label' }",
        );
        let (messages, exit) = validate(&wrong, false);
        assert_eq!(exit, Exit::Configuration);
        let lines: Vec<&str> = messages.lines().collect();
        assert_eq!(lines[0], "sinks.out.key.0: no column `ident` comes in");
        assert!(
            lines[1].starts_with("sinks.out.conflict.version: "),
            "{messages}"
        );
    }

    #[test]
    fn conflict_strategies_are_held_against_the_rows() {
        let wrong = PIPELINE.replace(
            "key = ['id']",
            "key = ['id']\nconflict.columns.labl = 'max'\nconflict.columns.label = { expression = 'upper(source.labl)' }",
        );
        let (messages, exit) = validate(&wrong, false);
        assert_eq!(exit, Exit::Configuration);
        let lines: Vec<&str> = messages.lines().collect();
        assert_eq!(
            lines,
            [
                "sinks.out.conflict.columns.labl: no column `labl` comes in",
                "sinks.out.conflict.columns.label.expression: no column source.labl"
            ]
        );
    }

    #[test]
    fn a_database_that_does_not_answer_is_unreachable() {
        let pipeline = PIPELINE.replace(
            "type = 'sqlite'\ninputs = ['tidy']\npath = 'EVENTS.db'",
            "type = 'postgres'\ninputs = ['tidy']\nurl = 'postgres://me@127.0.0.1:1/none'",
        );
        assert_eq!(validate(&pipeline, false), (String::new(), Exit::Done));
        let (messages, exit) = validate(&pipeline, true);
        assert_eq!(exit, Exit::Unreachable, "{messages}");
        assert!(messages.starts_with("sinks.out: "), "{messages}");
    }
}

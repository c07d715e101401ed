//! `syncline test FILE|DIR…`: runs the tests of pipelines: those in `[[tests]]` of the file, and those of the
//! file beside it (`clients.tests.toml` for `clients.toml`).
//!
//! A test runs the whole pipeline, from the record to the row in the target, and asks no other system.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::{Exit, Global, block_on, complain, load_all, print, print_json};
use crate::config::{PipelineFile, TestCase};
use crate::run::cases;

mod update;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Pipeline files, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Run only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Also write the results as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write what is found as what is expected, into the files of the tests.
    #[arg(long)]
    update: bool,
}

/// What became of one test.
struct Outcome {
    file: String,
    name: String,
    took: Duration,
    /// What differs; empty where the test holds.
    differences: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let files = match load_all(&arguments.paths, global) {
        Ok(files) => files,
        Err(exit) => return exit,
    };
    block_on(async {
        let mut outcomes = Vec::new();
        for file in &files {
            for case in &file.tests {
                let wanted = arguments.name.as_ref();
                if wanted.is_some_and(|wanted| !case.name.contains(wanted.as_str())) {
                    continue;
                }
                outcomes.push(one(file, case, arguments.update).await);
            }
        }
        finish(arguments, global, &files, &outcomes)
    })
}

async fn one(file: &PipelineFile, case: &TestCase, update: bool) -> Outcome {
    let started = Instant::now();
    let differences = match cases::run(file, case).await {
        Err(failure) => vec![file.document.redact(&failure.to_string())],
        Ok(ran) if update => match update::write(file, case, &ran) {
            Ok(()) => Vec::new(),
            Err(message) => vec![message],
        },
        Ok(ran) => cases::differences(&case.expect, &ran),
    };
    Outcome {
        file: file.document.path().to_owned(),
        name: case.name.clone(),
        took: started.elapsed(),
        differences,
    }
}

fn finish(
    arguments: &Arguments,
    global: &Global,
    files: &[PipelineFile],
    outcomes: &[Outcome],
) -> Exit {
    if let Some(path) = &arguments.junit
        && let Err(error) = std::fs::write(path, junit(outcomes))
    {
        complain(&format!("{} cannot be written: {error}", path.display()));
        return Exit::Failed;
    }
    let failed = outcomes
        .iter()
        .filter(|outcome| !outcome.differences.is_empty())
        .count();
    let printed = match global.json {
        true => print_json(&json!(outcomes.iter().map(to_json).collect::<Vec<_>>())),
        false => print(&text(files, outcomes)),
    };
    match failed {
        0 => printed,
        _ => Exit::Failed,
    }
}

fn to_json(outcome: &Outcome) -> serde_json::Value {
    json!({
        "file": outcome.file,
        "name": outcome.name,
        "passed": outcome.differences.is_empty(),
        "differences": outcome.differences,
        "elapsed_ms": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
    })
}

fn text(files: &[PipelineFile], outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for file in files.iter().filter(|file| file.tests.is_empty()) {
        let _ = writeln!(text, "{}: no tests", file.document.path());
    }
    for outcome in outcomes {
        let word = match outcome.differences.is_empty() {
            true => "ok",
            false => "FAILED",
        };
        let _ = writeln!(text, "{}: {} … {word}", outcome.file, outcome.name);
        for line in &outcome.differences {
            let _ = writeln!(text, "    {line}");
        }
    }
    let failed = outcomes
        .iter()
        .filter(|outcome| !outcome.differences.is_empty())
        .count();
    let _ = writeln!(text, "{} passed, {failed} failed", outcomes.len() - failed);
    text
}

/// The results in the form that build servers read.
fn junit(outcomes: &[Outcome]) -> String {
    let failed = outcomes
        .iter()
        .filter(|outcome| !outcome.differences.is_empty())
        .count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{0}\" failures=\"{failed}\">\n<testsuite name=\"syncline\" tests=\"{0}\" failures=\"{failed}\">\n",
        outcomes.len()
    );
    for outcome in outcomes {
        let _ = write!(
            text,
            "<testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            xml(&outcome.file),
            xml(&outcome.name),
            outcome.took.as_secs_f64()
        );
        let _ = match outcome.differences.is_empty() {
            true => writeln!(text, "/>"),
            false => writeln!(
                text,
                "><failure message=\"{} differences\">{}</failure></testcase>",
                outcome.differences.len(),
                xml(&outcome.differences.join("\n"))
            ),
        };
    }
    text + "</testsuite>\n</testsuites>\n"
}

/// A text inside XML; characters that XML cannot hold become a question mark.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(letter),
            letter if letter.is_control() => escaped.push('?'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;

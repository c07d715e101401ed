//! `syncline eval FILE EXPRESSION`: tries an expression on a row, or on the first rows of a source.
//!
//! Nothing is written, quarantined or acknowledged.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::Array as _;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::Args;
use serde_json::{Value as Json, json};
use syncline_connectors::assignment::from_the_start;
use syncline_connectors::change::Changes;
use syncline_connectors::format::Decoded;
use syncline_connectors::source::{Event, Opening, Purpose};

use super::{Exit, Global, block_on, complain, load_all, print, print_json};
use crate::config::{ChangeLetter, InputChange, PipelineFile, TestCase};
use crate::failure::Failure;
use crate::function;
use crate::operator::literal::Texts;
use crate::operator::{self, MapConfig, OperatorConfig};
use crate::plan::{Plan, SourcePlan};
use crate::problem::Problem;
use crate::run::cases;

/// How long the first rows of a source are waited for.
const WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The pipeline file, whose functions the expression may use.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The SQL expression over the columns of the source's rows.
    #[arg(value_name = "EXPRESSION")]
    expression: String,
    /// The row, as a JSON object, instead of the first rows of the source.
    #[arg(long, value_name = "JSON")]
    row: Option<String>,
    /// The source, where the pipeline has several.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// How many rows of the source are shown at most.
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
}

/// What the expression gives for a row: its type and value, or why there is none.
type Given = Result<(String, Json), String>;

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let files = match load_all(std::slice::from_ref(&arguments.file), global) {
        Ok(files) => files,
        Err(exit) => return exit,
    };
    let Some(file) = files.first() else {
        return Exit::Configuration;
    };
    match block_on_result(evaluate(arguments, file)) {
        Ok(given) => show(&given, global),
        Err(failure) => {
            complain(&file.document.redact(&failure.to_string()));
            match failure {
                Failure::Unreachable(_) => Exit::Unreachable,
                Failure::Failed(_) => Exit::Failed,
                Failure::Problems(_) | Failure::Configuration(_) => Exit::Configuration,
            }
        }
    }
}

fn block_on_result<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut result = Err(Failure::Failed("the runtime cannot be started".to_owned()));
    block_on(async {
        result = work.await;
        Exit::Done
    });
    result
}

async fn evaluate(arguments: &Arguments, file: &PipelineFile) -> Result<Vec<Given>, Failure> {
    let wrong = |message: String| Failure::Configuration(message);
    let expanded = file.functions.expand(&arguments.expression);
    let expanded = expanded.map_err(|error| wrong(explained(&error)))?;
    let text = expanded.map_or_else(|| arguments.expression.clone(), |expanded| expanded.text);
    let mut plan = Plan::new(file);
    for source in &mut plan.sources {
        source.decoding.columns = None;
        source.decoding.computed = function::references(&text).unwrap_or_default();
    }
    let mut sources = plan.sources.iter();
    let source = match &arguments.source {
        Some(name) => sources.find(|source| source.name == *name),
        None => sources.next().filter(|_| plan.sources.len() == 1),
    };
    let source = source.ok_or_else(|| {
        let names: Vec<&str> = plan
            .sources
            .iter()
            .map(|source| source.name.as_str())
            .collect();
        wrong(format!(
            "name the source: --source {}",
            names.join(", or --source ")
        ))
    })?;
    let config = OperatorConfig::Map(MapConfig {
        fields: Texts(vec![("value".to_owned(), text)]),
        ..MapConfig::default()
    });
    let mut given = Vec::new();
    let mut see = |decoded: Decoded| -> Result<(), Failure> {
        given.extend(decoded.rejected.iter().map(|bad| Err(bad.reason.clone())));
        for changes in decoded.changes {
            given.extend(values(&config, changes)?);
        }
        Ok(())
    };
    match &arguments.row {
        Some(row) => {
            let row = serde_json::from_str(row)
                .map_err(|error| wrong(format!("--row is not a JSON object: {error}")))?;
            let change = InputChange {
                source: Some(source.name.clone()),
                op: Some(ChangeLetter::C),
                row: Some(row),
                ..InputChange::default()
            };
            let case = TestCase {
                name: String::new(),
                clock: None,
                lookups: Default::default(),
                schema: None,
                input: vec![change],
                target: Default::default(),
                keys: Default::default(),
                expect: Default::default(),
            };
            let records = cases::records_of(source, &plan, &case).map_err(wrong)?;
            see(source.decoder_of_texts().decode(&Arc::new(records)))?;
        }
        None => read(source, &plan, arguments.limit, see).await?,
    }
    given.truncate(arguments.limit.max(1));
    Ok(given)
}

/// Reads the first records of a source.
async fn read(
    source: &SourcePlan,
    plan: &Plan,
    limit: usize,
    mut see: impl FnMut(Decoded) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error| Failure::of(&source.part(), error);
    let opening = Opening::alone(Purpose::Peek, plan.memory_bytes / 4);
    let mut reader = source.config.connect(opening).await.map_err(failed)?;
    let mut decoder = source.decoder();
    let mut limits = plan.limits;
    limits.rows = limits.rows.min(limit.max(1));
    let deadline = Instant::now() + WAIT_MAX;
    let mut read = 0;
    while read < limit && Instant::now() < deadline {
        match reader.next(&limits).await.map_err(failed)? {
            Event::Assigned(partitions) => {
                reader
                    .assign(&from_the_start(&partitions))
                    .await
                    .map_err(failed)?;
            }
            Event::Records(fetched) => {
                let records = Arc::new(fetched.records);
                read += records.len();
                decoder.prepare(&records).await.map_err(failed)?;
                see(decoder.decode(&records))?;
            }
            Event::Rows(rows) => {
                read += rows.records.len();
                see(rows.decoded)?;
            }
            Event::End => break,
            Event::Idle | Event::Revoked { .. } => {}
        }
    }
    reader.close().await.map_err(failed)
}

/// What the expression gives for each row.
fn values(config: &OperatorConfig, changes: Changes) -> Result<Vec<Given>, Failure> {
    let mut map = operator::compile("eval", config, &changes.schema()).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(told).collect();
        Failure::Configuration(texts.join("\n"))
    })?;
    let count = changes.len();
    let applied = map
        .apply(changes)
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let column = applied.changes.rows.column(0);
    let data_type = function::type_name(column.data_type());
    let options = FormatOptions::new();
    let shown = ArrayFormatter::try_new(column, &options);
    let mut given = Vec::with_capacity(count);
    given.extend(
        applied
            .rejected
            .iter()
            .map(|rejection| Err(rejection.reason.clone())),
    );
    for row in 0..column.len() {
        let value = match (&shown, column.is_null(row)) {
            (Ok(shown), false) => json!(shown.value(row).to_string()),
            _ => Json::Null,
        };
        given.push(Ok((data_type.clone(), value)));
    }
    Ok(given)
}

fn told(problem: &Problem) -> String {
    match &problem.help {
        Some(help) => format!("{}: {help}", problem.message),
        None => problem.message.clone(),
    }
}

fn explained(error: &function::ExpressionError) -> String {
    match &error.help {
        Some(help) => format!("{}: {help}", error.message),
        None => error.message.clone(),
    }
}

fn show(given: &[Given], global: &Global) -> Exit {
    let is_whole = given.iter().all(Result::is_ok);
    let printed = if global.json {
        let rows = given.iter().map(|given| match given {
            Ok((data_type, value)) => json!({ "type": data_type, "value": value }),
            Err(reason) => json!({ "error": reason }),
        });
        print_json(&rows.collect())
    } else {
        let mut text = String::new();
        for given in given {
            let _ = match given {
                Ok((data_type, Json::String(value))) => writeln!(text, "{value}  ({data_type})"),
                Ok((data_type, value)) => writeln!(text, "{value}  ({data_type})"),
                Err(reason) => writeln!(text, "no value: {reason}"),
            };
        }
        print(&text)
    };
    match is_whole {
        true => printed,
        false => Exit::Failed,
    }
}

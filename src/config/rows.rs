//! Expressions, keys and versions held against the rows that will come, where these are known
//! before anything runs: they stand in the pipeline file, or in the file that is to be read.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use syncline_connectors::sql::version::VersionKind;

use super::PipelineFile;
use crate::function::nearest;
use crate::operator;
use crate::problem::Problem;

/// The schemas of the rows that come out of a node, one for each table; a node is absent where
/// they are not known.
pub type KnownRows = BTreeMap<String, Vec<SchemaRef>>;

/// Compiles every operator for the rows of the sources in `known`, as far as they lead, and looks
/// for the columns that sinks name.
pub fn check_rows(file: &PipelineFile, known: KnownRows) -> Vec<Problem> {
    let mut rows = known;
    let mut problems = Vec::new();
    let mut waiting: Vec<_> = file.operators.iter().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|(name, config)| {
            let Some(incoming) = incoming(&rows, config.inputs()) else {
                return true;
            };
            let mut outgoing = Vec::new();
            for schema in &incoming {
                match operator::compile(name, config, schema) {
                    Ok(compiled) => outgoing.push(compiled.schema()),
                    Err(found) => problems.extend(
                        found
                            .into_iter()
                            .map(|problem| problem.under(&["operators", name])),
                    ),
                }
            }
            // Of an operator that is wrong nothing is known to come out.
            if outgoing.len() == incoming.len() {
                rows.insert(name.clone(), outgoing);
            }
            false
        });
        if waiting.len() == before {
            break;
        }
    }
    for (name, sink) in &file.sinks {
        let Some(options) = sink.config.options() else {
            continue;
        };
        for schema in incoming(&rows, &sink.inputs).unwrap_or_default() {
            for (index, column) in options.key.iter().flatten().enumerate() {
                let path = ["sinks", name, "key", &index.to_string()];
                problems.extend(absent(&path, column, &schema));
            }
            if let Some(version) = &options.conflict.version {
                let path = ["sinks", name, "conflict", "version"];
                problems.extend(absent(&path, version, &schema));
                if let Ok(field) = schema.field_with_name(version)
                    && let Err(error) = VersionKind::of(field)
                {
                    problems.push(Problem::new(&path, error.to_string()));
                }
            }
        }
    }
    problems
}

/// The schemas of everything that comes in; `None` where an input is not known.
fn incoming(rows: &KnownRows, inputs: &[String]) -> Option<Vec<SchemaRef>> {
    let mut schemas = Vec::new();
    for input in inputs {
        for schema in rows.get(input)? {
            if !schemas.contains(schema) {
                schemas.push(schema.clone());
            }
        }
    }
    Some(schemas)
}

/// The problem of a column that rows of `schema` do not have.
fn absent(path: &[&str], column: &str, schema: &SchemaRef) -> Option<Problem> {
    if schema.index_of(column).is_ok() {
        return None;
    }
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let help = match nearest(column, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the columns are {}", names.join(", ")),
    };
    Some(Problem::new(path, format!("no column `{column}` comes in")).help(help))
}

//! Checks expressions, keys and versions against the rows that will come, if these are known before
//! the pipeline runs: from the pipeline file, or from the input file.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;

use super::PipelineFile;
use crate::conflict;
use crate::operator;
use crate::problem::Problem;

/// The schemas of the rows that leave a node, one for each table. A node whose rows are unknown is
/// absent.
pub type KnownRows = BTreeMap<String, Vec<SchemaRef>>;

/// Compiles every operator for the rows of the sources in `known`, as far as their rows can be
/// followed, and checks that the columns that sinks name exist.
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
                    // The outputs of a route have the rows that come in.
                    Ok(_) if config.kind() == "route" => outgoing.push(schema.clone()),
                    // Only the database knows the types of what a lookup adds.
                    Ok(_) if config.kind() == "lookup" => {}
                    Ok(compiled) => outgoing.push(compiled.schema()),
                    Err(found) => problems.extend(
                        found
                            .into_iter()
                            .map(|problem| problem.under(&["operators", name])),
                    ),
                }
            }
            // The output of an operator with a problem is unknown.
            if outgoing.len() == incoming.len() {
                for output in config.output_names(name) {
                    rows.insert(output, outgoing.clone());
                }
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
                if schema.index_of(column).is_err() {
                    problems.push(conflict::absent(&path, column, &schema));
                }
            }
            let named = options.key.iter().flatten();
            let key: Vec<usize> = named
                .filter_map(|name| schema.index_of(name).ok())
                .collect();
            let wrong = conflict::check(&options.conflict, &schema, &key).into_iter();
            problems.extend(wrong.map(|problem| problem.under(&["sinks", name])));
        }
    }
    problems
}

/// The schemas of all inputs; `None` if an input is unknown.
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

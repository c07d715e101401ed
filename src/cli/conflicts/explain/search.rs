//! Selects the sink and the source, and finds the last change of a row in the source.

use std::collections::BTreeSet;

use syncline_connectors::change::{Changes, Operation};
use syncline_connectors::conflict::{KeyFilter, write_key};
use syncline_connectors::record::Partition;
use syncline_connectors::sql::Options;
use syncline_connectors::sql::target::key_columns;

use crate::config::PipelineFile;
use crate::failure::Failure;
use crate::plan::{Plan, SourcePlan};

/// The name of the selected sink.
pub(super) fn sink(file: &PipelineFile, wanted: Option<&str>) -> Result<String, Failure> {
    let sinks = file.sinks.iter();
    let databases = sinks.filter(|(_, node)| node.config.options().is_some());
    let names: Vec<&str> = databases.map(|(name, _)| name.as_str()).collect();
    choose("sink", "is a database of this pipeline", &names, wanted).map(str::to_owned)
}

/// The index of the selected source, among those whose changes reach the sink.
pub(super) fn source(plan: &Plan, sink: &str, wanted: Option<&str>) -> Result<usize, Failure> {
    let reaches = |source: &&SourcePlan| source.sinks.iter().any(|plan| plan.name == sink);
    let names: Vec<&str> = plan
        .sources
        .iter()
        .filter(reaches)
        .map(|source| source.name.as_str())
        .collect();
    let name = choose("source", &format!("reaches sink {sink}"), &names, wanted)?;
    let at = plan.sources.iter().position(|source| source.name == name);
    Ok(at.expect("the name was taken from the plan"))
}

/// The index of the sink among the sinks of a source.
pub(super) fn index_of(source: &SourcePlan, sink: &str) -> usize {
    let at = source.sinks.iter().position(|plan| plan.name == sink);
    at.expect("the source was chosen because it reaches the sink")
}

fn choose<'a>(
    kind: &str,
    what: &str,
    names: &[&'a str],
    wanted: Option<&str>,
) -> Result<&'a str, Failure> {
    let all = names.join(", ");
    let message = match (wanted, names) {
        (Some(wanted), _) => match names.iter().find(|name| **name == wanted) {
            Some(name) => return Ok(name),
            None if names.is_empty() => format!("no {kind} {what}"),
            None => format!("no {kind} {wanted} {what}: write --{kind} with one of {all}"),
        },
        (None, [name]) => return Ok(name),
        (None, []) => format!("no {kind} {what}"),
        (None, _) => format!("more than one {kind} {what}: write --{kind} with one of {all}"),
    };
    Err(Failure::Configuration(message))
}

/// Searches for the last change of one row.
pub(super) struct Search<'a> {
    sink: &'a str,
    options: &'a Options,
    wanted: KeyFilter,
    table: Option<String>,
    /// The tables that contain such a row.
    tables: BTreeSet<String>,
    /// The partition and offset of each of its changes.
    places: Vec<(Partition, i64)>,
    last: Option<Changes>,
    truncated: bool,
}

/// The last change of a row.
pub(super) struct Last {
    pub(super) change: Changes,
    /// The offsets of all changes of the row, in the partition of the last one.
    pub(super) offsets: Vec<i64>,
    /// Whether the source truncated the table after the change.
    pub(super) truncated: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        sink: &'a str,
        options: &'a Options,
        key: &str,
        table: Option<String>,
    ) -> Self {
        Self {
            sink,
            options,
            wanted: KeyFilter::of(key),
            table,
            tables: BTreeSet::new(),
            places: Vec::new(),
            last: None,
            truncated: false,
        }
    }

    /// Records the changes of the row in this batch.
    pub(super) fn visit(&mut self, changes: &Changes) -> Result<(), Failure> {
        let name = &changes.table.name;
        if self
            .table
            .as_ref()
            .is_some_and(|table| table.as_str() != &**name)
        {
            return Ok(());
        }
        let key = key_columns(self.options, changes)
            .map_err(|error| Failure::of_sink(self.sink, error))?;
        self.check(changes, &key)?;
        let mut found = None;
        for row in 0..changes.len() {
            if changes.operations[row] == Operation::Truncate {
                self.truncated |= self.tables.contains(&**name);
            } else if self.wanted.matches(&write_key(&changes.rows, &key, row)) {
                let origin = changes.origins[row] as usize;
                let partition = changes.records.partition(origin).partition.clone();
                self.places
                    .push((partition, changes.records.entries[origin].offset));
                self.tables.insert(name.to_string());
                self.truncated = false;
                found = Some(row);
            }
        }
        if let Some(row) = found {
            self.last = Some(one(changes, row)?);
        }
        Ok(())
    }

    /// Checks that the requested key has every column of the key.
    fn check(&self, changes: &Changes, key: &[usize]) -> Result<(), Failure> {
        let schema = changes.schema();
        let names: Vec<&str> = key
            .iter()
            .map(|&at| schema.field(at).name().as_str())
            .collect();
        let whole = match &self.wanted {
            KeyFilter::Value(_) => names.len() == 1,
            KeyFilter::Columns(columns) => {
                columns.len() == names.len() && names.iter().all(|name| columns.contains_key(*name))
            }
        };
        if whole {
            return Ok(());
        }
        let example: Vec<String> = names.iter().map(|name| format!("\"{name}\": …")).collect();
        Err(Failure::Configuration(format!(
            "the key of sink {} is {}: write --key '{{{}}}'",
            self.sink,
            names.join(", "),
            example.join(", ")
        )))
    }

    /// The last change; `None` if there is none.
    pub(super) fn finish(self) -> Result<Option<Last>, Failure> {
        let Some(change) = self.last else {
            return Ok(None);
        };
        if self.tables.len() > 1 {
            let tables: Vec<String> = self.tables.into_iter().collect();
            return Err(Failure::Configuration(format!(
                "more than one table contains such a row: write --table with one of {}",
                tables.join(", ")
            )));
        }
        let own = &change
            .records
            .partition(change.origins[0] as usize)
            .partition;
        let places = self.places.iter().filter(|(partition, _)| partition == own);
        Ok(Some(Last {
            offsets: places.map(|&(_, offset)| offset).collect(),
            truncated: self.truncated,
            change,
        }))
    }
}

/// One change of a batch as a batch of its own.
pub(super) fn one(changes: &Changes, row: usize) -> Result<Changes, Failure> {
    let taken = changes.take(&[row as u32]);
    taken.map_err(|error| {
        Failure::Failed(format!("a change cannot be taken from its batch: {error}"))
    })
}

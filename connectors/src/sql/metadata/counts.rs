//! How often each kind of conflict was: exact, whatever the history leaves out.

use std::collections::BTreeMap;

use super::{COUNTS_TABLE, Fields, MetadataTables, Row, literal};
use crate::conflict::{ConflictCount, CountKey, kind_named, winner_named};
use crate::error::Result;

/// What one row of the table counts. With the partition in it, two lanes never wait for one row.
pub(super) const KEY: &[&str] = &[
    "pipeline",
    "sink",
    "source",
    "partition",
    "target",
    "kind",
    "strategy",
    "column_name",
    "winner",
];

/// Counts of one write, in the order in which their rows are locked.
pub type Counts = BTreeMap<CountKey, u64>;

impl MetadataTables {
    /// Adds the counts of one write of changes from `source`.
    pub fn add_counts(&self, source: &str, counts: &Counts) -> Vec<String> {
        let own = [&self.pipeline, &self.sink, source].map(|text: &str| literal(text));
        let rows = counts.iter().map(|(key, count)| {
            let mut row = own.to_vec();
            row.extend([
                literal(&key.partition),
                literal(&key.target),
                literal(key.kind.name()),
                literal(&key.strategy),
                literal(&key.column),
                literal(key.winner.name()),
                count.to_string(),
            ]);
            row
        });
        let columns = [KEY, &["count"]].concat();
        let count = self.name("count");
        let words = self.dialect;
        let add = format!(
            "{}{count} = {}.{count} + {}",
            (words.or_update)(&self.names(KEY)),
            self.name(COUNTS_TABLE),
            (words.excluded)(&count)
        );
        self.insert(COUNTS_TABLE, &columns, rows, &add)
    }

    /// All counts of the sink, over all partitions and sources.
    pub fn select_counts(&self) -> String {
        let by = ["target", "kind", "strategy", "column_name", "winner"];
        let names = self.names(&by);
        format!(
            "SELECT {}, {} FROM {} WHERE {} GROUP BY {names} ORDER BY {names}",
            self.texts(&by),
            self.as_text(&format!("sum({})", self.name("count"))),
            self.name(COUNTS_TABLE),
            self.own()
        )
    }

    /// A row of [`MetadataTables::select_counts`].
    ///
    /// # Errors
    /// `Configuration` where a newer version wrote it.
    pub(crate) fn read_count(&self, row: Row) -> Result<ConflictCount> {
        let mut fields = Fields::of(row);
        Ok(ConflictCount {
            pipeline: self.pipeline.clone(),
            sink: self.sink.clone(),
            target: fields.text(),
            kind: fields.named("type", kind_named)?,
            strategy: fields.text(),
            column: fields.text(),
            winner: fields.named("winner", winner_named)?,
            count: fields.number()?,
        })
    }
}

//! The SQL of what a resolver decided.

use super::{Statements, staged};
use crate::mysql::stage::{DELETED, DELETES, RECREATED, StatementRun};

impl Statements<'_> {
    /// From `FROM` on: the target's rows for the keys of a step, locked in their order.
    pub(in crate::mysql) fn held(&self, step: u32) -> String {
        format!(
            "FROM {} AS s FORCE INDEX (PRIMARY) STRAIGHT_JOIN {} WHERE s.step = {step} \
             ORDER BY s.number FOR UPDATE",
            self.prepared.stage,
            self.target_row()
        )
    }

    /// From `FROM` on: the tombstones of the keys of a step.
    pub(in crate::mysql) fn tombstones(&self, step: u32) -> String {
        format!("FROM {} WHERE s.step = {step}", self.buried_rows())
    }

    /// A tombstone's version, and its type.
    pub(in crate::mysql) fn tombstone(&self) -> Option<(&'static str, &'static str)> {
        Some(match self.tombstone_column()? {
            "instant" => ("o.instant", "datetime(6)"),
            _ => ("o.number", "decimal(65,30)"),
        })
    }

    /// Deletes what was decided to be deleted.
    pub(in crate::mysql) fn resolved_deletes(&self, step: u32) -> String {
        format!(
            "DELETE t FROM {} AS s FORCE INDEX (PRIMARY) STRAIGHT_JOIN {} \
             WHERE s.step = {step} AND s.side = {DELETES}",
            self.prepared.stage,
            self.target_row()
        )
    }

    /// Writes a stretch; `None` where it sets nothing.
    pub(in crate::mysql) fn resolved(&self, step: u32, stretch: &StatementRun) -> Option<String> {
        let stage = &self.prepared.stage;
        let (first, end) = (stretch.numbers.start, stretch.numbers.end);
        let rows = format!("s.step = {step} AND s.number >= {first} AND s.number < {end}");
        let marked = if stretch.marked { "TRUE" } else { "FALSE" };
        if stretch.inserts {
            let (mut names, mut values) = self.inserted(&stretch.set);
            if let Some(mark) = &self.prepared.mark {
                names.push(mark);
                values.push(marked.to_owned());
            }
            return Some(format!(
                "INSERT INTO {} ({}) SELECT {} FROM {stage} AS s FORCE INDEX (PRIMARY) \
                 WHERE {rows} ORDER BY s.number",
                self.prepared.target,
                names.join(", "),
                values.join(", "),
            ));
        }
        let columns = self.written(&stretch.set);
        let mut assignments: Vec<String> = columns
            .map(|column| format!("t.{} = {}", column.name, staged(column)))
            .collect();
        if let Some(mark) = &self.prepared.mark {
            assignments.push(format!("t.{mark} = {marked}"));
        }
        (!assignments.is_empty()).then(|| {
            format!(
                "UPDATE {stage} AS s FORCE INDEX (PRIMARY) STRAIGHT_JOIN {} SET {} WHERE {rows}",
                self.target_row(),
                assignments.join(", "),
            )
        })
    }

    /// Removes the tombstones of the keys of which a row was written.
    pub(in crate::mysql) fn resolved_clear_tombstones(&self, step: u32) -> String {
        format!(
            "DELETE o FROM {} WHERE s.step = {step} AND s.pattern & {RECREATED} <> 0",
            self.buried_rows()
        )
    }

    /// Keeps the versions of the deletes that are remembered.
    pub(in crate::mysql) fn resolved_record_tombstones(&self, step: u32) -> Option<String> {
        self.record_tombstones_of(step, &format!("s.pattern & {DELETED} <> 0"))
    }
}

//! Statements for rows that a resolver decided: which are read under lock, and what is written of them.

use super::Statements;
use crate::postgres::prepare::Prepared;
use crate::sql::patterns::{DELETE, INSERT, UPDATE};

impl Statements<'_> {
    /// From `FROM` on: the target's rows for the keys that are looked for, locked in their order.
    ///
    /// One look into the index a key. Of a temporary table without statistics the planner takes a few
    /// keys for thousands, and would walk through the whole target to join them.
    pub(in crate::postgres) fn held(&self) -> String {
        let target = &self.prepared.target;
        let keys = self.prepared.keys(self.bound);
        let columns = self.prepared.columns.iter().map(|column| &column.name);
        let read: Vec<String> = columns
            .chain(&self.prepared.mark)
            .map(|name| format!("t.{name}"))
            .collect();
        format!(
            "FROM (SELECT s.* FROM {keys} ORDER BY s.row) AS s \
             CROSS JOIN LATERAL (SELECT {} FROM {target} AS t WHERE {} FOR UPDATE) AS t ORDER BY s.row",
            read.join(", "),
            self.same_key()
        )
    }

    /// Deletes what was decided to be deleted.
    pub(in crate::postgres) fn resolved_deletes(&self) -> String {
        let (target, rows) = (&self.prepared.target, self.rows());
        format!(
            "DELETE FROM {target} AS t USING {rows} WHERE s.op >= {DELETE} AND {}",
            self.same_key()
        )
    }

    /// Inserts what was decided to be inserted, of one pattern of set columns; returns how many rows.
    pub(in crate::postgres) fn resolved_inserts(&self, set: &[bool], pattern: usize) -> String {
        let (target, rows) = (&self.prepared.target, self.rows());
        let (names, mut values) = self.inserted(set);
        let marked = format!("get_bit(s.kept, {}) = 1", self.prepared.columns.len());
        if self.prepared.mark.is_some() {
            values.pop();
            values.push(&marked);
        }
        let key: Vec<&str> = self.key().map(|column| column.name.as_str()).collect();
        format!(
            "WITH done AS (INSERT INTO {target} AS t ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {rows} \
             WHERE s.op = {INSERT} AND s.pattern = {pattern} ORDER BY s.row ON CONFLICT ({}) DO NOTHING RETURNING 1) SELECT count(*) FROM done",
            names.join(", "),
            values.join(", "),
            key.join(", "),
        )
    }

    /// Whether a row that should have been inserted is one of another session.
    pub(in crate::postgres) fn concurrent_inserts(&self) -> String {
        let (target, rows) = (&self.prepared.target, self.rows());
        format!(
            "SELECT EXISTS (SELECT FROM {rows} JOIN {target} AS t ON {} \
             WHERE s.op = {INSERT} AND t.xmin <> pg_current_xact_id()::xid)",
            self.same_key()
        )
    }

    /// Updates what was decided to be updated, but for the columns whose value stays.
    pub(in crate::postgres) fn resolved_updates(&self) -> String {
        let Prepared {
            target,
            columns,
            mark,
            ..
        } = self.prepared;
        let rows = self.rows();
        let mut assignments: Vec<String> = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.key)
            .map(|(place, column)| {
                let (name, value) = (&column.name, &column.assigned);
                format!(
                    "{name} = CASE WHEN get_bit(s.kept, {place}) = 0 THEN {value} ELSE t.{name} END"
                )
            })
            .collect();
        if let Some(mark) = mark {
            assignments.push(format!("{mark} = get_bit(s.kept, {}) = 1", columns.len()));
        }
        format!(
            "UPDATE {target} AS t SET {} FROM {rows} WHERE s.op = {UPDATE} AND {}",
            assignments.join(", "),
            self.same_key()
        )
    }
}

//! The SQL of a write, from a prepared target and a conflict policy.
//!
//! Aliases: `t` the target's row, `s` the staged row, `d` a tombstone. Rows are staged in the order
//! of their keys and their number is that order, so that two writers lock rows in the same order
//! (R9). Every statement counts what it did and returns one row.

#[cfg(test)]
mod golden;

mod resolved;

mod tombstone;

use super::prepare::{Column, Prepared};
use crate::conflict::{ConflictPolicy, Detect, Strategy};
use crate::postgres::POSTGRES;
use crate::sink::Identity;
use crate::sql::conflict::{Predicates, Sides, VersionSides};
use crate::sql::patterns::{BLIND_DELETE, DELETE};
use crate::sql::version::VersionKind;

/// See the module docs.
#[derive(Clone, Copy)]
pub(super) struct Statements<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) policy: &'a ConflictPolicy,
    pub(super) identity: &'a Identity,
    /// Whether the staged rows are bound to each statement as arrays, and not in the staging table.
    pub(super) bound: bool,
}

/// Where the incoming values stand.
#[derive(Clone, Copy)]
enum From {
    /// `excluded`, in `ON CONFLICT`.
    Excluded,
    /// The staged row `s`.
    Staged,
}

impl Statements<'_> {
    /// The staged rows in a `FROM`, under the name `s`.
    fn rows(&self) -> &str {
        self.prepared.rows(self.bound)
    }

    /// Numbers of the staged rows with a value that the target would change in silence (R23), and which of
    /// [`Prepared::columns`] it is; `None` where no column does.
    pub(super) fn changed(prepared: &Prepared, bound: bool) -> Option<String> {
        let terms: Vec<String> = prepared
            .columns
            .iter()
            .enumerate()
            .filter_map(|(place, column)| {
                let changed = column.changed.as_ref()?;
                // A delete names a row by its key and writes nothing.
                let rows = if column.key {
                    String::new()
                } else {
                    format!("s.op < {DELETE} AND ")
                };
                Some(format!("WHEN {rows}{changed} THEN {place}"))
            })
            .collect();
        let place = format!("CASE {} END", terms.join(" "));
        (!terms.is_empty()).then(|| {
            format!(
                "SELECT row, place FROM (SELECT s.row, {place} AS place FROM {}) AS q \
                 WHERE place IS NOT NULL ORDER BY row",
                prepared.rows(bound)
            )
        })
    }

    /// Inserts or updates the rows of one operation and of one pattern of set columns; the others get
    /// their defaults (R19). Returns how many were inserted and how many updated; a row that is in
    /// neither was left as it is. `absent`: rows that the target has are left out.
    pub(super) fn upsert(
        &self,
        operation: i16,
        set: &[bool],
        pattern: i16,
        absent: bool,
    ) -> String {
        let (target, rows) = (&self.prepared.target, self.rows());
        let (names, values) = self.inserted(set);
        let assignments = self.assignments(set, From::Excluded);
        let action = if assignments.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!(
                "UPDATE SET {assignments} WHERE {}",
                self.upsert_applies(set, From::Excluded)
            )
        };
        let key: Vec<&str> = self.key().map(|column| column.name.as_str()).collect();
        // Of a partitioned table no system column is returned; there are none but absent rows then.
        let inserted = match self.prepared.partitioned {
            true => "true",
            false => "t.xmax = 0",
        };
        let absent = match absent {
            true => format!(
                " AND NOT EXISTS (SELECT FROM {target} AS t WHERE {})",
                self.same_key()
            ),
            false => String::new(),
        };
        format!(
            "WITH done AS (INSERT INTO {target} AS t ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {rows} \
             WHERE s.op = {operation} AND s.pattern = {pattern}{absent} ORDER BY s.row ON CONFLICT ({}) DO {action} \
             RETURNING {inserted} AS inserted) \
             SELECT count(*) FILTER (WHERE inserted), count(*) FILTER (WHERE NOT inserted) FROM done",
            names.join(", "),
            values.join(", "),
            key.join(", "),
        )
    }

    /// Counts the staged rows of a pattern that meet a row marked as deleted, inserts first; `None`
    /// where rows are not marked.
    pub(super) fn marked(&self, pattern: i16) -> Option<String> {
        let (target, rows) = (&self.prepared.target, self.rows());
        let mark = self.prepared.mark.as_ref()?;
        Some(format!(
            "SELECT count(*) FILTER (WHERE s.op = 0), count(*) FILTER (WHERE s.op = 1) \
             FROM {rows} JOIN {target} AS t ON {} \
             WHERE s.op < {DELETE} AND s.pattern = {pattern} AND t.{mark} IS TRUE",
            self.same_key()
        ))
    }

    /// Updates the rows of one pattern of set columns (R14). Returns how many were updated, inserts
    /// first.
    pub(super) fn update(&self, set: &[bool], pattern: i16) -> String {
        let (target, rows) = (&self.prepared.target, self.rows());
        let mut assignments = self.assignments(set, From::Staged);
        if assignments.is_empty() {
            // Nothing but the key was sent: the row stays what it is, and is counted.
            let key = self.key().next().map_or("", |column| column.name.as_str());
            assignments = format!("{key} = t.{key}");
        }
        format!(
            "WITH done AS (UPDATE {target} AS t SET {assignments} FROM {rows} \
             WHERE s.op < {DELETE} AND s.pattern = {pattern} AND {} AND {} RETURNING s.op) \
             SELECT count(*) FILTER (WHERE op = 0), count(*) FILTER (WHERE op = 1) FROM done",
            self.same_key(),
            self.upsert_applies(set, From::Staged),
        )
    }

    /// Numbers of the staged rows of a pattern that the target does not have (R14).
    pub(super) fn incomplete(&self, pattern: i16) -> String {
        let (target, rows) = (&self.prepared.target, self.rows());
        format!(
            "SELECT s.row FROM {rows} WHERE s.op < {DELETE} AND s.pattern = {pattern} \
             AND NOT EXISTS (SELECT FROM {target} AS t WHERE {}) ORDER BY s.row",
            self.same_key()
        )
    }

    /// Of the staged rows of a pattern that were not written: those that are in conflict and lost,
    /// inserts first. `fresh` leaves out what this transaction wrote, which a trigger may have
    /// changed; it is not right once a round went before.
    pub(super) fn kept(&self, set: &[bool], pattern: i16, fresh: bool) -> String {
        let (target, rows) = (&self.prepared.target, self.rows());
        let others = if fresh {
            " AND t.xmin <> pg_current_xact_id()::xid"
        } else {
            ""
        };
        format!(
            "SELECT count(*) FILTER (WHERE s.op = 0), count(*) FILTER (WHERE s.op = 1) \
             FROM {rows} JOIN {target} AS t ON {} \
             WHERE s.op < {DELETE} AND s.pattern = {pattern} AND {}{others}",
            self.same_key(),
            self.differs(set, From::Staged),
        )
    }

    /// Deletes, or marks, what the staged deletes of one pattern of set columns name. Returns how many
    /// rows, and how many of them were not what the source deleted.
    pub(super) fn delete(&self, set: &[bool], pattern: i16) -> String {
        let (target, rows) = (&self.prepared.target, self.rows());
        let conflict = self.delete_conflict(set);
        let wins = self.predicates(From::Staged, true).delete_wins();
        let applies = match self.policy.strategy {
            Strategy::SourceWins => String::new(),
            _ => format!(" AND (NOT {conflict} OR {wins})"),
        };
        let write = match &self.prepared.mark {
            Some(mark) => format!(
                "UPDATE {target} AS t SET {mark} = true FROM {rows} WHERE t.{mark} IS NOT TRUE AND"
            ),
            None => format!("DELETE FROM {target} AS t USING {rows} WHERE"),
        };
        format!(
            "WITH done AS ({write} s.op >= {DELETE} AND s.pattern = {pattern} AND {}{applies} RETURNING {conflict} AS conflict) \
             SELECT count(*), count(*) FILTER (WHERE conflict) FROM done",
            self.same_key(),
        )
    }

    /// After the deletes: how many rows that they name are still there.
    pub(super) fn survivors(&self) -> String {
        let (target, rows) = (&self.prepared.target, self.rows());
        format!(
            "SELECT count(*) FROM {rows} WHERE s.op >= {DELETE} \
             AND EXISTS (SELECT FROM {target} AS t WHERE {})",
            self.alive()
        )
    }

    /// Columns and values of an insert that sets some of the columns.
    fn inserted(&self, set: &[bool]) -> (Vec<&str>, Vec<&str>) {
        let columns = self.prepared.columns.iter().zip(set);
        let (mut names, mut values): (Vec<&str>, Vec<&str>) = columns
            .filter(|(column, set)| **set || column.key)
            .map(|(column, _)| (column.name.as_str(), column.assigned.as_str()))
            .unzip();
        if let Some(mark) = &self.prepared.mark {
            names.push(mark);
            values.push("false");
        }
        (names, values)
    }

    /// Empties the target (R13).
    pub(super) fn truncate(prepared: &Prepared) -> String {
        let target = &prepared.target;
        match &prepared.mark {
            Some(mark) => format!("UPDATE {target} SET {mark} = true WHERE {mark} IS NOT TRUE"),
            // A table that others refer to is not truncated, even where none of their rows does.
            None if prepared.referenced => format!("DELETE FROM {target}"),
            None => format!("TRUNCATE {target}"),
        }
    }

    fn key(&self) -> impl Iterator<Item = &Column> {
        self.prepared.columns.iter().filter(|column| column.key)
    }

    fn same_key(&self) -> String {
        let terms: Vec<String> = self
            .key()
            .map(|column| format!("t.{} = {}", column.name, column.sought))
            .collect();
        terms.join(" AND ")
    }

    /// The target holds the staged row's key, and it is not marked as deleted.
    fn alive(&self) -> String {
        match &self.prepared.mark {
            Some(mark) => format!("{} AND t.{mark} IS NOT TRUE", self.same_key()),
            None => self.same_key(),
        }
    }

    /// The set columns outside the key.
    fn written<'b>(&'b self, set: &'b [bool]) -> impl Iterator<Item = &'b Column> {
        self.prepared
            .columns
            .iter()
            .zip(set)
            .filter(|(column, set)| **set && !column.key)
            .map(|(column, _)| column)
    }

    fn sides(&self, set: &[bool], from: From) -> Vec<Sides> {
        self.written(set)
            .map(|column| sides(column, from))
            .collect()
    }

    fn assignments(&self, set: &[bool], from: From) -> String {
        let with_version = self.sets_version(set);
        let predicates = self.predicates(from, with_version);
        let mut assignments: Vec<String> = self
            .written(set)
            .map(|column| {
                let mut sides = sides(column, from);
                if matches!(from, From::Staged) {
                    sides.source.clone_from(&column.assigned);
                }
                format!("{} = {}", column.name, predicates.value(&sides))
            })
            .collect();
        if let Some(mark) = &self.prepared.mark {
            assignments.push(format!("{mark} = false"));
        }
        assignments.join(", ")
    }

    /// Whether a row that exists is written. A row that is marked as deleted counts as absent.
    fn upsert_applies(&self, set: &[bool], from: From) -> String {
        let sides = self.sides(set, from);
        let predicates = self.predicates(from, self.sets_version(set));
        let wins = predicates.upsert_wins(&sides);
        let differs = match self.policy.detect {
            Some(Detect::Key) => "TRUE".to_owned(),
            _ => predicates.differs(&sides),
        };
        let wins = match self.policy.detect {
            Some(Detect::Version) => {
                format!("(NOT {} OR {wins})", predicates.upsert_conflicts(&sides))
            }
            _ => wins,
        };
        let Some(mark) = &self.prepared.mark else {
            return format!("({differs} AND {wins})");
        };
        format!("(t.{mark} IS TRUE OR ({differs} AND {wins}))")
    }

    /// A conflict that the change lost.
    fn differs(&self, set: &[bool], from: From) -> String {
        let sides = self.sides(set, from);
        let predicates = self.predicates(from, self.sets_version(set));
        format!(
            "{} AND NOT {}",
            predicates.upsert_conflicts(&sides),
            self.upsert_applies(set, from)
        )
    }

    /// The target's row is not what the source deleted, or the source does not say what that was.
    fn delete_conflict(&self, set: &[bool]) -> String {
        let conflicts = self
            .predicates(From::Staged, true)
            .delete_conflicts(&self.sides(set, From::Staged));
        format!("(s.op = {BLIND_DELETE} OR {conflicts})")
    }

    fn sets_version(&self, set: &[bool]) -> bool {
        self.prepared
            .version
            .as_ref()
            .is_some_and(|version| set[version.column])
    }

    fn predicates(&self, from: From, with_version: bool) -> Predicates<'_> {
        let version = self.version(from, with_version);
        Predicates::new(&POSTGRES, self.policy, version)
    }

    /// Both versions. A delete's is that of its image, else its event time (C6); event times are
    /// staged only for deletes to use.
    fn version(&self, from: From, with_version: bool) -> Option<VersionSides> {
        let version = self.prepared.version.as_ref()?;
        let column = &self.prepared.columns[version.column];
        let sql_type = &version.sql_type;
        let source = match from {
            _ if !with_version => format!("NULL::{sql_type}"),
            From::Excluded => sides(column, from).source,
            From::Staged if version.kind == VersionKind::Instant => format!(
                "CASE WHEN s.op >= {DELETE} THEN COALESCE({}, s.event::{sql_type}) ELSE {} END",
                column.compared, column.compared
            ),
            From::Staged => column.compared.clone(),
        };
        let target = match (version.kind, &version.threshold) {
            // A sum of two integers could leave their range.
            (VersionKind::Number, Some(_)) if !sql_type.starts_with(['r', 'd']) => {
                format!("t.{}::numeric", column.name)
            }
            _ => format!("t.{}", column.name),
        };
        Some(VersionSides {
            source,
            target,
            threshold: version.threshold.clone(),
        })
    }
}

fn sides(column: &Column, from: From) -> Sides {
    Sides {
        source: match from {
            From::Excluded => format!("excluded.{}", column.name),
            From::Staged => column.compared.clone(),
        },
        target: format!("t.{}", column.name),
        comparison: column.comparison,
    }
}

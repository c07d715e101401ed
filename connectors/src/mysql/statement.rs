//! The SQL of a write, from a prepared target and a conflict policy.
//!
//! Aliases: `t` the target's row, `s` the staged row, `d` what was decided about it, `o` a tombstone.
//! Rows are staged in the order of their keys and their number is that order, so that two writers
//! lock rows in the same order (R9). Every join begins with what is staged and finds the target's rows
//! by the index over the key, so that no other row is locked.
//!
//! A decision is made once, as its row is locked, and kept: an `UPDATE` of MySQL may see values that
//! it has already assigned, so what depends on two columns cannot be asked again there.

#[cfg(test)]
mod golden;
mod resolved;
mod tombstone;

use super::prepare::{Column, Prepared};
use super::session::DECISIONS;
use super::stage::{DELETES, UPSERTS};
use crate::conflict::{ConflictPolicy, Detect, Strategy, Tie};
use crate::mysql::MYSQL;
use crate::sink::Identity;
use crate::sql::conflict::{Predicates, Sides, VersionSides};
use crate::sql::patterns::BLIND_DELETE;
use crate::sql::version::VersionKind;

/// What was decided about a row that is in the target.
pub(super) const APPLIES: i64 = 1;
/// A conflict that the change lost.
pub(super) const LOST: i64 = 2;
/// It applies to a row that is marked as deleted, which counts as absent. Anything else is a change that
/// the target holds already.
pub(super) const REVIVES: i64 = 3;

/// See the module docs.
pub(super) struct Statements<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) policy: &'a ConflictPolicy,
    pub(super) identity: &'a Identity,
}

impl Statements<'_> {
    /// Locks the rows that the staged upserts of one pattern of set columns meet, and decides.
    pub(super) fn decide(&self, step: u32, set: &[bool], pattern: i32) -> String {
        let conflicts = self
            .predicates(self.sets_version(set))
            .upsert_conflicts(&self.sides(set));
        let ahead = match self.policy.strategy {
            Strategy::Merge => self.ahead(set),
            _ => "FALSE".to_owned(),
        };
        let applies = match &self.prepared.mark {
            Some(mark) => format!("CASE WHEN t.{mark} IS TRUE THEN {REVIVES} ELSE {APPLIES} END"),
            None => APPLIES.to_string(),
        };
        format!(
            "INSERT INTO {DECISIONS} (step, number, outcome, flag) SELECT s.step, s.number, \
             CASE WHEN {} THEN {applies} WHEN {conflicts} THEN {LOST} ELSE 0 END, \
             CASE WHEN {ahead} THEN 1 ELSE 0 END \
             FROM {} AS s FORCE INDEX (PRIMARY) STRAIGHT_JOIN {} \
             WHERE s.step = {step} AND s.side = {UPSERTS} AND s.pattern = {pattern} FOR UPDATE",
            self.upsert_applies(set),
            self.prepared.stage,
            self.target_row(),
        )
    }

    /// How many rows of one side were decided how: operation, pattern, outcome, flag, count.
    pub(super) fn decided(&self, step: u32, side: u8) -> String {
        format!(
            "SELECT s.op, s.pattern, d.outcome, d.flag, COUNT(*) FROM {} \
             WHERE d.step = {step} AND s.side = {side} GROUP BY s.op, s.pattern, d.outcome, d.flag",
            self.decided_rows()
        )
    }

    /// Updates the rows of one pattern that win and differ; `None` where the pattern sets nothing.
    pub(super) fn update(&self, step: u32, set: &[bool], pattern: i32) -> Option<String> {
        let assignments = self.assignments(set);
        (!assignments.is_empty()).then(|| {
            format!(
                "UPDATE {} STRAIGHT_JOIN {} SET {assignments} \
                 WHERE d.step = {step} AND d.outcome IN ({APPLIES}, {REVIVES}) AND s.side = {UPSERTS} AND s.pattern = {pattern}",
                self.decided_rows(),
                self.target_row(),
            )
        })
    }

    /// Numbers of the staged rows of a pattern that win and differ.
    pub(super) fn updated(&self, step: u32, pattern: i32) -> String {
        format!(
            "SELECT s.number FROM {} WHERE d.step = {step} AND d.outcome IN ({APPLIES}, {REVIVES}) \
             AND s.side = {UPSERTS} AND s.pattern = {pattern} ORDER BY s.number",
            self.decided_rows(),
        )
    }

    /// Inserts the rows of one pattern of set columns that the target does not have; the other columns
    /// get their defaults (R19).
    pub(super) fn insert(&self, step: u32, set: &[bool], pattern: i32) -> String {
        let (mut names, mut values) = self.inserted(set);
        if let Some(mark) = &self.prepared.mark {
            names.push(mark);
            values.push("FALSE".to_owned());
        }
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM {} AND s.pattern = {pattern} ORDER BY s.number",
            self.prepared.target,
            names.join(", "),
            values.join(", "),
            self.missing(step),
        )
    }

    /// Columns and values of an insert that sets some of the columns.
    fn inserted(&self, set: &[bool]) -> (Vec<&str>, Vec<String>) {
        let columns = self.prepared.columns.iter().zip(set);
        columns
            .filter(|(column, set)| **set || column.key)
            .map(|(column, _)| (column.name.as_str(), staged(column)))
            .unzip()
    }

    /// Numbers of the staged rows of a pattern that the target does not have (R14).
    pub(super) fn incomplete(&self, step: u32, pattern: i32) -> String {
        format!(
            "SELECT s.number FROM {} AND s.pattern = {pattern} ORDER BY s.number",
            self.missing(step)
        )
    }

    /// Locks the rows that the staged deletes of one pattern of set columns meet, and decides. The flag
    /// is a row that is not what the source deleted. A row that is marked as deleted is none.
    pub(super) fn decide_deletes(&self, step: u32, set: &[bool], pattern: i32) -> String {
        let conflict = self.delete_conflict(set);
        let applies = match self.policy.strategy {
            Strategy::SourceWins => "TRUE".to_owned(),
            _ => format!(
                "(NOT {conflict} OR {})",
                self.predicates(true).delete_wins()
            ),
        };
        let alive = match &self.prepared.mark {
            Some(mark) => format!(" AND t.{mark} IS NOT TRUE"),
            None => String::new(),
        };
        format!(
            "INSERT INTO {DECISIONS} (step, number, outcome, flag) SELECT s.step, s.number, \
             CASE WHEN {applies} THEN {APPLIES} ELSE {LOST} END, CASE WHEN {conflict} THEN 1 ELSE 0 END \
             FROM {} AS s FORCE INDEX (PRIMARY) STRAIGHT_JOIN {} \
             WHERE s.step = {step} AND s.side = {DELETES} AND s.pattern = {pattern}{alive} FOR UPDATE",
            self.prepared.stage,
            self.target_row(),
        )
    }

    /// Deletes, or marks, the rows whose delete applies.
    pub(super) fn delete(&self, step: u32) -> String {
        let rows = format!(
            "{} STRAIGHT_JOIN {}",
            self.decided_rows(),
            self.target_row()
        );
        let applies = format!("d.step = {step} AND d.outcome = {APPLIES} AND s.side = {DELETES}");
        match &self.prepared.mark {
            Some(mark) => format!("UPDATE {rows} SET t.{mark} = TRUE WHERE {applies}"),
            None => format!("DELETE t FROM {rows} WHERE {applies}"),
        }
    }

    /// Empties the target (R13).
    pub(super) fn truncate(prepared: &Prepared) -> String {
        let target = &prepared.target;
        match &prepared.mark {
            Some(mark) => format!("UPDATE {target} SET {mark} = TRUE WHERE {mark} IS NOT TRUE"),
            None => format!("DELETE FROM {target}"),
        }
    }

    fn key(&self) -> impl Iterator<Item = &Column> {
        self.prepared.columns.iter().filter(|column| column.key)
    }

    /// The target's row of a staged one, to be joined.
    fn target_row(&self) -> String {
        let same_key: Vec<String> = self
            .key()
            .map(|column| format!("t.{} = {}", column.name, staged(column)))
            .collect();
        format!(
            "{} AS t FORCE INDEX ({}) ON {}",
            self.prepared.target,
            self.prepared.quoted_key_index,
            same_key.join(" AND ")
        )
    }

    /// Decisions with their staged rows.
    fn decided_rows(&self) -> String {
        format!(
            "{DECISIONS} AS d STRAIGHT_JOIN {} AS s ON s.step = d.step AND s.number = d.number",
            self.prepared.stage
        )
    }

    /// The staged upserts about which nothing was decided, since there is no such row.
    fn missing(&self, step: u32) -> String {
        format!(
            "{} AS s FORCE INDEX (PRIMARY) \
             LEFT JOIN {DECISIONS} AS d ON d.step = s.step AND d.number = s.number \
             WHERE s.step = {step} AND s.side = {UPSERTS} AND d.number IS NULL",
            self.prepared.stage
        )
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

    fn sides(&self, set: &[bool]) -> Vec<Sides> {
        self.written(set).map(sides).collect()
    }

    fn assignments(&self, set: &[bool]) -> String {
        // Which version is ahead was decided before the first assignment.
        let decided = VersionSides {
            source: "d.flag".to_owned(),
            target: "0".to_owned(),
            threshold: None,
        };
        let policy = ConflictPolicy {
            tie: Tie::Target,
            ..self.policy.clone()
        };
        let predicates = Predicates::new(&MYSQL, &policy, Some(decided));
        let mut assignments: Vec<String> = self
            .written(set)
            .map(|column| format!("t.{} = {}", column.name, predicates.value(&sides(column))))
            .collect();
        if let Some(mark) = &self.prepared.mark {
            assignments.push(format!("t.{mark} = FALSE"));
        }
        assignments.join(", ")
    }

    /// Whether a row that exists is written. A row that is marked as deleted counts as absent.
    fn upsert_applies(&self, set: &[bool]) -> String {
        let sides = self.sides(set);
        let predicates = self.predicates(self.sets_version(set));
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

    /// The change's version is ahead of the row's.
    fn ahead(&self, set: &[bool]) -> String {
        let newest = ConflictPolicy {
            strategy: Strategy::NewestWins,
            ..self.policy.clone()
        };
        let version = self.version(self.sets_version(set));
        Predicates::new(&MYSQL, &newest, version).upsert_wins(&[])
    }

    /// The target's row is not what the source deleted, or the source does not say what that was.
    fn delete_conflict(&self, set: &[bool]) -> String {
        let conflicts = self.predicates(true).delete_conflicts(&self.sides(set));
        format!("(s.op = {BLIND_DELETE} OR {conflicts})")
    }

    fn sets_version(&self, set: &[bool]) -> bool {
        self.prepared
            .version
            .as_ref()
            .is_some_and(|version| set[version.column])
    }

    fn predicates(&self, with_version: bool) -> Predicates<'_> {
        Predicates::new(&MYSQL, self.policy, self.version(with_version))
    }

    /// Both versions. A delete's is that of its image, else its event time (C6); event times are
    /// staged only for deletes to use.
    fn version(&self, with_version: bool) -> Option<VersionSides> {
        let version = self.prepared.version.as_ref()?;
        let column = &self.prepared.columns[version.column];
        let value = staged(column);
        let source = match version.kind {
            _ if !with_version => "NULL".to_owned(),
            VersionKind::Instant => format!(
                "CASE WHEN s.op = {BLIND_DELETE} THEN COALESCE({value}, s.event) ELSE {value} END"
            ),
            VersionKind::Number => value,
        };
        let target = match (version.kind, &version.threshold) {
            // A sum of two integers could leave their range.
            (VersionKind::Number, Some(_)) if !version.float => {
                format!("CAST(t.{} AS DECIMAL(65,30))", column.name)
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

/// The staged value of a column.
fn staged(column: &Column) -> String {
    format!("s.c{}", column.index)
}

fn sides(column: &Column) -> Sides {
    Sides {
        source: staged(column),
        target: format!("t.{}", column.name),
        comparison: column.comparison,
    }
}

//! The SQL of tombstones, which keep the versions of deletes (R12).

use super::{Statements, staged};
use crate::conflict::{ConflictPolicy, Strategy};
use crate::mysql::MYSQL;
use crate::mysql::session::DECISIONS;
use crate::mysql::stage::{DELETES, UPSERTS};
use crate::mysql::statement::APPLIES;
use crate::sql::TOMBSTONES_TABLE;
use crate::sql::conflict::{Predicates, VersionSides};
use crate::sql::identifier::literal;
use crate::sql::version::VersionKind;

impl Statements<'_> {
    /// Keeps the versions of the deletes that applied, or that found nothing (R12).
    pub(in crate::mysql) fn record_tombstones(&self, step: u32) -> Option<String> {
        self.record_tombstones_of(
            step,
            &format!("(d.outcome IS NULL OR d.outcome = {APPLIES})"),
        )
    }

    /// Keeps the versions of deletes. Tombstones have one unique index, of their key.
    pub(super) fn record_tombstones_of(&self, step: u32, which: &str) -> Option<String> {
        let version = self.version(true)?.source;
        let column = self.tombstone_column()?;
        Some(format!(
            "INSERT INTO {TOMBSTONES_TABLE} (pipeline, sink, target, key_hash, {column}) \
             SELECT {}, {}, {}, {}, {version} FROM {} AS s FORCE INDEX (PRIMARY) \
             LEFT JOIN {DECISIONS} AS d ON d.step = s.step AND d.number = s.number \
             WHERE s.step = {step} AND s.side = {DELETES} AND {version} IS NOT NULL \
             AND {which} ORDER BY s.number \
             ON DUPLICATE KEY UPDATE {column} = COALESCE(GREATEST({TOMBSTONES_TABLE}.{column}, VALUES({column})), VALUES({column}))",
            literal(&self.identity.pipeline),
            literal(&self.identity.sink),
            literal(&self.prepared.name),
            self.key_hash(),
            self.prepared.stage,
        ))
    }

    /// How many upserts are not ahead of the tombstone of their key: operation, pattern, count.
    pub(in crate::mysql) fn outdated(&self, step: u32) -> Option<String> {
        Some(format!(
            "SELECT s.op, s.pattern, COUNT(*) FROM {} WHERE {} GROUP BY s.op, s.pattern",
            self.buried_rows(),
            self.is_outdated(step)?,
        ))
    }

    /// Takes them out of the staging table.
    pub(in crate::mysql) fn drop_outdated(&self, step: u32) -> Option<String> {
        Some(format!(
            "DELETE s FROM {} WHERE {}",
            self.buried_rows(),
            self.is_outdated(step)?,
        ))
    }

    /// Removes the tombstones of the upserts that are left.
    pub(in crate::mysql) fn clear_tombstones(&self, step: u32) -> String {
        format!(
            "DELETE o FROM {} WHERE s.step = {step} AND s.side = {UPSERTS}",
            self.buried_rows()
        )
    }

    /// Staged rows with the tombstone of their key.
    pub(super) fn buried_rows(&self) -> String {
        format!(
            "{} AS s FORCE INDEX (PRIMARY) STRAIGHT_JOIN {TOMBSTONES_TABLE} AS o \
             ON o.pipeline = {} AND o.sink = {} AND o.target = {} AND o.key_hash = {}",
            self.prepared.stage,
            literal(&self.identity.pipeline),
            literal(&self.identity.sink),
            literal(&self.prepared.name),
            self.key_hash(),
        )
    }

    pub(super) fn tombstone_column(&self) -> Option<&'static str> {
        Some(match self.prepared.version.as_ref()?.kind {
            VersionKind::Instant => "instant",
            VersionKind::Number => "number",
        })
    }

    /// A tombstone is judged as the row would be that it stands for.
    fn is_outdated(&self, step: u32) -> Option<String> {
        let version = self.prepared.version.as_ref()?;
        let column = &self.prepared.columns[version.column];
        let sides = VersionSides {
            source: staged(column),
            target: format!("o.{}", self.tombstone_column()?),
            threshold: version.threshold.clone(),
        };
        let newest = ConflictPolicy {
            strategy: Strategy::NewestWins,
            ..self.policy.clone()
        };
        let ahead = Predicates::new(&MYSQL, &newest, Some(sides)).upsert_wins(&[]);
        Some(format!(
            "s.step = {step} AND s.side = {UPSERTS} AND NOT {ahead}"
        ))
    }

    /// A hash of the key that is the same for the same key: an index does not take every key whole.
    fn key_hash(&self) -> String {
        let parts: Vec<String> = self
            .key()
            .map(|column| {
                let value = staged(column);
                let value = match &column.collation {
                    Some(collation) => collation.weights(&value),
                    None => value,
                };
                format!("HEX(CAST({value} AS BINARY))")
            })
            .collect();
        format!("UNHEX(SHA2(CONCAT_WS(':', {}), 256))", parts.join(", "))
    }
}

//! Statements for the versions of deletes (R12).

use super::{From, Statements};
use crate::conflict::{ConflictPolicy, Strategy};
use crate::postgres::POSTGRES;
use crate::postgres::equality::normal;
use crate::sql::TOMBSTONES_TABLE;
use crate::sql::conflict::{Predicates, VersionSides};
use crate::sql::identifier::literal;
use crate::sql::patterns::DELETE;
use crate::sql::version::VersionKind;

impl Statements<'_> {
    /// Keeps the versions of the deletes that applied, or that found nothing (R12).
    pub(in crate::postgres) fn record_tombstones(&self) -> Option<String> {
        let (target, rows) = (&self.prepared.target, self.rows());
        let version = self.version(From::Staged, true)?.source;
        let column = self.tombstone_column()?;
        let cast = self.tombstone_type()?;
        Some(format!(
            "INSERT INTO {TOMBSTONES_TABLE} AS d (pipeline, sink, target, key, {column}) \
             SELECT {}, {}, {}, {}, ({version})::{cast} FROM {rows} WHERE s.op >= {DELETE} \
             AND {version} IS NOT NULL AND NOT EXISTS (SELECT FROM {target} AS t WHERE {}) ORDER BY s.row \
             ON CONFLICT (pipeline, sink, target, key) DO UPDATE SET {column} = greatest(d.{column}, excluded.{column})",
            literal(&self.identity.pipeline),
            literal(&self.identity.sink),
            literal(&self.prepared.name),
            self.key_text(),
            self.alive(),
        ))
    }

    /// Whether there are tombstones of this target.
    pub(in crate::postgres) fn has_tombstones(&self) -> String {
        format!(
            "SELECT EXISTS (SELECT FROM {TOMBSTONES_TABLE} AS d WHERE {})",
            self.own_tombstones()
        )
    }

    /// Takes the upserts that are not ahead of the tombstone of their key out of the staging table;
    /// returns how many, inserts first. Not for rows that are bound.
    pub(in crate::postgres) fn drop_outdated(&self) -> Option<String> {
        let rows = self.prepared.rows(false);
        Some(format!(
            "WITH gone AS (DELETE FROM {rows} USING {TOMBSTONES_TABLE} AS d WHERE s.op < {DELETE} \
             AND {} AND d.key = {} AND NOT {} RETURNING s.op, s.pattern) \
             SELECT op, pattern, count(*) FROM gone GROUP BY op, pattern",
            self.own_tombstones(),
            self.key_text(),
            self.ahead_of_tombstone()?,
        ))
    }

    /// Removes the tombstones of the upserts that are left.
    pub(in crate::postgres) fn clear_tombstones(&self) -> String {
        let rows = self.rows();
        format!(
            "DELETE FROM {TOMBSTONES_TABLE} AS d USING {rows} WHERE s.op < {DELETE} AND {} AND d.key = {}",
            self.own_tombstones(),
            self.key_text(),
        )
    }

    /// Removes the tombstones of the keys of which a row was written.
    pub(in crate::postgres) fn resolved_clear_tombstones(&self) -> String {
        let (columns, rows) = (&self.prepared.columns, self.rows());
        format!(
            "DELETE FROM {TOMBSTONES_TABLE} AS d USING {rows} WHERE get_bit(s.kept, {}) = 1 AND {} AND d.key = {}",
            columns.len() + 1,
            self.own_tombstones(),
            self.key_text(),
        )
    }

    /// From `FROM` on: the tombstones of the keys that are looked for.
    pub(in crate::postgres) fn tombstones(&self) -> String {
        format!(
            "FROM {} JOIN {TOMBSTONES_TABLE} AS d ON {} AND d.key = {} ORDER BY s.row",
            self.prepared.keys(self.bound),
            self.own_tombstones(),
            self.key_text(),
        )
    }

    /// The tombstone's version and its type.
    pub(in crate::postgres) fn tombstone(&self) -> Option<(String, &'static str)> {
        let sql_type = match self.tombstone_type()? {
            "timestamptz" => "timestamp with time zone",
            other => other,
        };
        Some((format!("d.{}", self.tombstone_column()?), sql_type))
    }

    pub(super) fn tombstone_column(&self) -> Option<&'static str> {
        Some(match self.prepared.version.as_ref()?.kind {
            VersionKind::Instant => "instant",
            VersionKind::Number => "number",
        })
    }

    pub(super) fn tombstone_type(&self) -> Option<&'static str> {
        Some(match self.prepared.version.as_ref()?.kind {
            VersionKind::Instant => "timestamptz",
            VersionKind::Number => "numeric",
        })
    }

    /// A tombstone is judged as the row would be that it stands for.
    pub(super) fn ahead_of_tombstone(&self) -> Option<String> {
        let version = self.prepared.version.as_ref()?;
        let column = &self.prepared.columns[version.column];
        let sides = VersionSides {
            source: format!("({})::{}", column.compared, self.tombstone_type()?),
            target: format!("d.{}", self.tombstone_column()?),
            threshold: version.threshold.clone(),
        };
        let newest = ConflictPolicy {
            strategy: Strategy::NewestWins,
            ..self.policy.clone()
        };
        Some(Predicates::new(&POSTGRES, &newest, Some(sides)).upsert_wins(&[]))
    }

    pub(super) fn own_tombstones(&self) -> String {
        format!(
            "d.pipeline = {} AND d.sink = {} AND d.target = {}",
            literal(&self.identity.pipeline),
            literal(&self.identity.sink),
            literal(&self.prepared.name)
        )
    }

    /// The key as text that is the same for the same key.
    pub(super) fn key_text(&self) -> String {
        let parts: Vec<String> = self
            .key()
            .map(|column| normal(&column.sql_type, &column.compared))
            .collect();
        format!("ROW({})::text", parts.join(", "))
    }
}

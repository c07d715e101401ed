//! The versions of deleted keys, so that an older change does not bring a row back (R12).
//!
//! A tombstone keeps the version as the delete carried it and is judged as the row would be that it
//! stands for; an upsert that is ahead of it removes it.

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, Result};

use super::prepare::{Prepared, Version};
use crate::conflict::{ConflictPolicy, Strategy};
use crate::sink::Identity;
use crate::sql::TOMBSTONES_TABLE;
use crate::sql::conflict::{Predicates, VersionSides};
use crate::sql::identifier::literal;
use crate::sqlite::SQLITE;

/// The tombstones of one target.
pub(super) struct Tombstones<'c> {
    /// Whether there are any: where there are none, upserts need not look.
    pub(super) any: bool,
    find: CachedStatement<'c>,
    record_tombstones: CachedStatement<'c>,
    clear_tombstones: CachedStatement<'c>,
    read: CachedStatement<'c>,
}

impl<'c> Tombstones<'c> {
    pub(super) fn open(
        connection: &'c Connection,
        identity: &Identity,
        prepared: &Prepared,
        version: &Version,
        policy: &ConflictPolicy,
    ) -> Result<Self> {
        let (pipeline, sink) = (literal(&identity.pipeline), literal(&identity.sink));
        let target = literal(&prepared.name);
        let own = format!("d.pipeline = {pipeline} AND d.sink = {sink} AND d.target = {target}");
        let newest = ConflictPolicy {
            strategy: Strategy::NewestWins,
            ..policy.clone()
        };
        let sides = VersionSides {
            source: version.comparable("?2"),
            target: version.comparable("d.version"),
            threshold: version.threshold.clone(),
        };
        let ahead = Predicates::new(&SQLITE, &newest, Some(sides)).upsert_wins(&[]);
        let any = connection
            .prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 FROM {TOMBSTONES_TABLE} AS d WHERE {own})"
            ))?
            .query_row([], |row| row.get(0))?;
        Ok(Self {
            any,
            find: connection.prepare_cached(&format!(
                "SELECT {ahead} FROM {TOMBSTONES_TABLE} AS d WHERE {own} AND d.key = ?1"
            ))?,
            record_tombstones: connection.prepare_cached(&format!(
                "INSERT INTO {TOMBSTONES_TABLE} AS d (pipeline, sink, target, key, version) \
                 VALUES ({pipeline}, {sink}, {target}, ?1, ?2) ON CONFLICT DO UPDATE \
                 SET version = excluded.version WHERE {} > {}",
                version.comparable("excluded.version"),
                version.comparable("d.version")
            ))?,
            read: connection.prepare_cached(&format!(
                "SELECT d.version FROM {TOMBSTONES_TABLE} AS d WHERE {own} AND d.key = ?1"
            ))?,
            clear_tombstones: connection.prepare_cached(&format!(
                "DELETE FROM {TOMBSTONES_TABLE} AS d WHERE {own} AND d.key = ?1"
            ))?,
        })
    }

    /// Whether a change of this version comes too late; where it does not and has a whole row to
    /// insert, its tombstone goes.
    pub(super) fn outdated(
        &mut self,
        key: &str,
        version: Option<&str>,
        whole: bool,
    ) -> Result<bool> {
        let mut rows = self.find.query((key, version))?;
        let ahead = rows.next()?.map(|row| row.get(0)).transpose()?;
        drop(rows);
        if ahead == Some(true) && whole {
            self.clear_tombstones.execute([key])?;
        }
        Ok(ahead == Some(false))
    }

    /// Shows the version of the delete of a key; `None` where there is none.
    pub(super) fn version(
        &mut self,
        key: &str,
        show: impl FnOnce(Option<ValueRef<'_>>),
    ) -> Result<()> {
        let mut rows = self.read.query([key])?;
        match rows.next()? {
            Some(row) => show(Some(row.get_ref(0)?)),
            None => show(None),
        }
        Ok(())
    }

    /// A row is there again.
    pub(super) fn clear_tombstones(&mut self, key: &str) -> Result<()> {
        self.clear_tombstones.execute([key]).map(|_| ())
    }

    /// Keeps the version of a delete; an older one never replaces a newer one.
    pub(super) fn record_tombstones(&mut self, key: &str, version: &str) -> Result<()> {
        self.any = true;
        self.record_tombstones.execute((key, version)).map(|_| ())
    }
}

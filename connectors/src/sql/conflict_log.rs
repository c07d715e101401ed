//! The conflict log of a sink: what it keeps about conflicts beside the rows, written in the transaction
//! that writes the rows (C9, C10).
//!
//! Counts are exact; the history is sampled above its rate; the queue and the shadow are whole. What
//! is to be kept is given as statements ([`MetadataTables`]), so that nothing here connects.

mod entry;

use std::borrow::Cow;

use self::entry::{About, read_hashes, write_hashes};
use super::decide::{LockedRows, Resolved, Tally};
use super::metadata::{Counts, MetadataTables, Row, Tables, Waiting};
use super::shadow::Shadow;
use super::version::duration_us;
use crate::change::Changes;
use crate::conflict::{
    BaseFrom, ConflictPolicy, ConflictRecord, CountKey, HistoryFile, HistoryPlace, RateLimit,
    partition_text, read_images, write_change, write_image, write_key,
};
use crate::error::{Error, Result};
use crate::sink::Identity;
use crate::sql::dialect::Dialect;

/// The history is pruned after as many inserts as it may hold rows, but within these bounds.
const PRUNE_AFTER_MIN: u64 = 100;
const PRUNE_AFTER_MAX: u64 = 5_000;

/// At most so many old ones go at a time.
const PRUNED_MAX: u32 = 10_000;

/// See the module docs.
pub(crate) struct ConflictLog {
    pub(crate) metadata: MetadataTables,
    identity: Identity,
    policy: ConflictPolicy,
    tables: Tables,
    rate_limit: Option<RateLimit>,
    file: Option<HistoryFile>,
    kept_since_prune: usize,
    /// Whether a conflict of this sink may be open.
    pub(crate) may_wait: bool,
    /// Whether conflicts are counted: not while a person's decision is carried out, which was one.
    pub(crate) counting: bool,
    /// Whether the tables of tombstones and of the shadow exist, which a session that only reads does
    /// not make.
    pub(crate) has_tombstones: bool,
    pub(crate) has_shadow: bool,
}

/// The keys of a stretch of changes of one target.
pub(crate) struct Keys<'a> {
    /// The target's name, unquoted.
    pub(crate) target: &'a str,
    /// One JSON text a key, in the order of the groups.
    pub(crate) texts: Vec<String>,
}

impl<'a> Keys<'a> {
    /// `firsts` holds one change of every key, `key` are its key columns.
    pub(crate) fn of(target: &'a str, firsts: &Changes, key: &[usize]) -> Self {
        Self {
            target,
            texts: (0..firsts.len())
                .map(|row| write_key(&firsts.rows, key, row))
                .collect(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    /// Where each key stands.
    fn places(&self) -> std::collections::HashMap<&str, usize> {
        self.iter().enumerate().map(|(at, key)| (key, at)).collect()
    }
}

impl ConflictLog {
    /// Those of the sink of `identity`.
    pub(crate) fn new(
        dialect: &'static Dialect,
        identity: &Identity,
        policy: &ConflictPolicy,
        now_ms: i64,
    ) -> Result<Self> {
        let tables = Tables::of(policy);
        let history = policy.history.as_ref();
        let file = match history.map(|history| (history.to, &history.path, history)) {
            Some((HistoryPlace::File, Some(path), history)) => Some(HistoryFile::new(
                path,
                history.rows_max,
                duration_us("age_max", &history.age_max)? / 1_000,
            )),
            Some((HistoryPlace::File, None, _)) => {
                return Err(Error::configuration(
                    "a history of conflicts in a file needs its path: write path = \"…\"",
                ));
            }
            _ => None,
        };
        Ok(Self {
            metadata: MetadataTables::new(dialect, &identity.pipeline, &identity.sink),
            identity: identity.clone(),
            policy: policy.clone(),
            tables,
            rate_limit: history.map(|history| RateLimit::new(history.per_second_max, now_ms)),
            file,
            kept_since_prune: 0,
            may_wait: tables.queue,
            counting: true,
            has_tombstones: true,
            has_shadow: true,
        })
    }

    /// Those of a session that only reads: they enter nothing, and no conflict of a key is waited for.
    pub(crate) fn read_only(
        dialect: &'static Dialect,
        identity: &Identity,
        policy: &ConflictPolicy,
    ) -> Result<Self> {
        let unkept = ConflictPolicy {
            history: None,
            ..policy.clone()
        };
        Ok(Self {
            may_wait: false,
            ..Self::new(dialect, identity, &unkept, 0)?
        })
    }

    /// The tables that are needed.
    pub(crate) fn tables(&self) -> Tables {
        self.tables
    }

    /// Which keys have an open conflict; locks the entries.
    pub(crate) fn ask_open(&self, keys: &Keys<'_>) -> Vec<String> {
        if self.may_wait {
            self.metadata.open_keys(keys.target, keys.iter())
        } else {
            Vec::new()
        }
    }

    /// The images of the keys, where the shadow is kept.
    pub(crate) fn ask_shadow(&self, keys: &Keys<'_>) -> Vec<String> {
        if self.policy.keeps_shadow() && self.has_shadow {
            self.metadata.read_shadow(keys.target, keys.iter())
        } else {
            Vec::new()
        }
    }

    /// Puts what the statements returned into `locked`: of [`ConflictLog::ask_open`] and
    /// [`ConflictLog::ask_shadow`]. `firsts` gives the schema.
    pub(crate) fn add_facts(
        &self,
        locked: &mut LockedRows,
        keys: &Keys<'_>,
        firsts: &Changes,
        open: &[Row],
        images: &[Row],
    ) -> Result<()> {
        let places = keys.places();
        let mut waiting = vec![false; keys.texts.len()];
        for row in open {
            let key = row.first().and_then(Option::as_deref).unwrap_or_default();
            if let Some(&at) = places.get(key) {
                waiting[at] = true;
            }
        }
        locked.waiting = waiting.contains(&true).then(|| waiting.into());
        locked.shadow = self.shadow(keys, firsts, images)?;
        Ok(())
    }

    /// The images of the keys; `None` where none are kept.
    fn shadow(&self, keys: &Keys<'_>, changes: &Changes, images: &[Row]) -> Result<Option<Shadow>> {
        if !self.policy.keeps_shadow() {
            return Ok(None);
        }
        let places = keys.places();
        let mut texts: Vec<Option<&str>> = vec![None; keys.texts.len()];
        for row in images {
            if let [Some(key), Some(image)] = &row[..]
                && let Some(&at) = places.get(key.as_str())
            {
                texts[at] = Some(image);
            }
        }
        Ok(Some(match self.policy.base {
            BaseFrom::ShadowHash => Shadow::Hashes(read_hashes(changes, &texts)?),
            _ => Shadow::Image(read_images(&changes.schema(), &texts)?),
        }))
    }

    /// How many conflicts may be kept with their images now.
    pub(crate) fn reports_max(&self, now_ms: i64) -> usize {
        let rate_limit = self.rate_limit.as_ref();
        rate_limit.map_or(0, |rate_limit| rate_limit.clone().take(usize::MAX, now_ms))
    }

    /// What a decision leaves behind, as statements. A history in a file is written here.
    pub(crate) fn enter(
        &mut self,
        keys: &Keys<'_>,
        changes: &Changes,
        resolved: &Resolved,
        now_ms: i64,
    ) -> Result<Vec<String>> {
        let mut statements = self.count(keys.target, changes, &resolved.tally);
        let about = About {
            conflict_log: self,
            keys,
            changes,
            now_ms,
        };
        let records: Vec<ConflictRecord> = resolved
            .reports
            .iter()
            .map(|report| about.record(report))
            .collect();
        let queued = resolved
            .queued
            .iter()
            .map(|report| about.entry(report))
            .collect::<Result<Vec<_>>>()?;
        let waiting = resolved
            .waiting
            .iter()
            .map(|&(key, row)| Ok((key, write_change(changes, row as usize)?)))
            .collect::<Result<Vec<_>>>()?;
        let waiting: Vec<Waiting<'_>> = waiting
            .iter()
            .map(|(key, change)| Waiting {
                target: keys.target,
                key: &keys.texts[*key as usize],
                change,
            })
            .collect();
        statements.extend(self.metadata.insert_queue(&queued));
        statements.extend(self.metadata.append_waiting(&waiting));
        if let Some((shadow, moved)) = &resolved.shadow {
            statements.extend(self.keep_shadow(keys, changes, shadow, moved));
        }
        statements.extend(self.keep_history(&records, now_ms)?);
        Ok(statements)
    }

    /// The counts of conflicts of one target.
    pub(crate) fn count(&self, target: &str, changes: &Changes, tally: &Tally) -> Vec<String> {
        if !self.tables.counts || !self.counting || tally.is_empty() {
            return Vec::new();
        }
        let Some(&origin) = changes.origins.first() else {
            return Vec::new();
        };
        let partition = partition_text(&changes.records.partition(origin as usize).partition);
        let schema = changes.rows.schema_ref();
        let counts: Counts = tally
            .iter()
            .map(|(&(kind, strategy, column, winner), &count)| {
                let key = CountKey {
                    partition: partition.clone(),
                    target: target.to_owned(),
                    kind,
                    strategy: strategy.to_owned(),
                    column: column.map_or_else(String::new, |at| schema.field(at).name().clone()),
                    winner,
                };
                (key, count)
            })
            .collect();
        self.metadata.add_counts(&self.identity.source, &counts)
    }

    /// The shadow of the one key after `change`; `images` is what [`ConflictLog::ask_shadow`] returned.
    pub(crate) fn follow(
        &self,
        keys: &Keys<'_>,
        change: &Changes,
        images: &[Row],
    ) -> Result<Vec<String>> {
        let Some(mut shadow) = self.shadow(keys, change, images)? else {
            return Ok(Vec::new());
        };
        shadow.follow(change, &[0], &[true])?;
        Ok(self.keep_shadow(keys, change, &shadow, &[0]))
    }

    /// For a truncate: nothing is agreed on any more.
    pub(crate) fn clear(&self, target: &str) -> Option<String> {
        let keeps = self.policy.keeps_shadow();
        keeps.then(|| self.metadata.clear_shadow(target))
    }

    fn keep_shadow(
        &self,
        keys: &Keys<'_>,
        changes: &Changes,
        shadow: &Shadow,
        moved: &[u32],
    ) -> Vec<String> {
        let mut images: Vec<(&str, Cow<'_, str>)> = Vec::new();
        let mut gone = Vec::new();
        for &key in moved {
            let row = key as usize;
            let text = keys.texts[row].as_str();
            let image = match shadow {
                Shadow::Image(image) => image
                    .present
                    .value(row)
                    .then(|| write_image(&image.rows, &image.unset, row)),
                Shadow::Hashes(hashes) => write_hashes(hashes, changes, row),
            };
            match image {
                Some(image) => images.push((text, Cow::Owned(image))),
                None => gone.push(text),
            }
        }
        let images = images.iter().map(|(key, image)| (*key, image.as_ref()));
        let mut statements = self.metadata.write_shadow(keys.target, images);
        statements.extend(self.metadata.delete_shadow(keys.target, gone));
        statements
    }

    fn keep_history(&mut self, records: &[ConflictRecord], now_ms: i64) -> Result<Vec<String>> {
        let (Some(rate_limit), Some(history)) = (&mut self.rate_limit, &self.policy.history) else {
            return Ok(Vec::new());
        };
        let kept = rate_limit.take(records.len(), now_ms);
        let records = &records[..kept];
        if let Some(file) = &mut self.file {
            file.append(records, now_ms)?;
            return Ok(Vec::new());
        }
        let mut statements = self.metadata.insert_history(records);
        self.kept_since_prune += kept;
        let prune_after = history.rows_max.clamp(PRUNE_AFTER_MIN, PRUNE_AFTER_MAX);
        if self.kept_since_prune as u64 >= prune_after {
            self.kept_since_prune = 0;
            statements.extend(self.prune(now_ms)?);
        }
        Ok(statements)
    }

    /// Lets go of what is too old in a history in a table, and of what is too much. A session does so
    /// when it begins, too: many short ones would never come to it.
    pub(crate) fn prune(&self, now_ms: i64) -> Result<Vec<String>> {
        let Some(history) = self.policy.history.as_ref().filter(|_| self.file.is_none()) else {
            return Ok(Vec::new());
        };
        let age_ms = duration_us("age_max", &history.age_max)? / 1_000;
        let oldest_ms = now_ms.saturating_sub(age_ms);
        let rows_max = history.rows_max;
        Ok(self.metadata.prune_history(rows_max, oldest_ms, PRUNED_MAX))
    }
}

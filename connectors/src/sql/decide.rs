//! Decides changes against the rows that the target holds, in memory, for strategies that no
//! statement can decide.
//!
//! A sink reads the rows of a stretch of changes under lock, once, and hands them over as
//! [`LockedRows`]. The changes of a key are then taken **one at a time** (R8): a round holds the next
//! change of every key, a [`Resolver`] decides the round as whole columns, and the rows as decided
//! are what the next round meets. What is left to write is one net change a key. Nothing here does
//! I/O.
//!
//! - duplicate: a change like the row is `Same` and writes nothing
//! - null: a row whose key holds a null is rejected (R2)
//! - delete: under delete mode `ignore` it counts as kept; a deleted and re-created row is deleted
//!   and inserted, so that columns which only the target has begin anew
//! - manual: from a queued change on, every later change of its key waits behind it (C9)
//!
//! Every change ends as written, kept or rejected; none is superseded.

mod after;
mod groups;
mod net;
mod report;
mod rows;

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::buffer::BooleanBuffer;

pub(crate) use self::groups::Groups;
pub(crate) use self::net::Net;
pub(crate) use self::report::{Report, Tally};
use super::shadow::Shadow;
use super::{DeleteMode, Options};
use crate::change::{Changes, Operation, take_bits, take_masks, take_rows};
use crate::conflict::{
    Base, ConflictBatch, ConflictPolicy, Decisions, Path, Resolver, TargetRows, Verdict, Winner,
};
use crate::error::{Error, RejectedRow, Result};
use crate::sink::Outcome;

/// What the target says about the keys of [`Groups`], one entry a key.
#[derive(Debug)]
pub(crate) struct LockedRows {
    /// Its rows, locked.
    pub(crate) held: TargetRows,
    /// The last images of the source, where the sink keeps them.
    pub(crate) shadow: Option<Shadow>,
    /// The versions of deletes (R12), of the version column's type.
    pub(crate) tombstones: Option<ArrayRef>,
    /// Keys with an open conflict.
    pub(crate) waiting: Option<BooleanBuffer>,
}

/// How changes are decided.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) policy: &'a ConflictPolicy,
    pub(crate) delete: DeleteMode,
    pub(crate) resolver: &'a dyn Resolver,
    /// Index of the version column, where versions of deletes are kept.
    pub(crate) version: Option<usize>,
    /// At most this many conflicts are reported with their images.
    pub(crate) reports_max: usize,
}

/// What is to be written.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// What became of the changes that are not rejected.
    pub(crate) outcome: Outcome,
    /// Changes that can never be written.
    pub(crate) rejected: Vec<RejectedRow>,
    /// Rows to delete, by ascending key; some may be absent.
    pub(crate) deletes: Net,
    /// Rows to insert (`Create`) or to update (`Update`), by ascending key.
    pub(crate) upserts: Net,
    /// The source's last images as they are to be kept, and the keys whose image changed.
    pub(crate) shadow: Option<(Shadow, Vec<u32>)>,
    /// Conflicts by what they were and how they ended.
    pub(crate) tally: Tally,
    /// Conflicts with their images.
    pub(crate) reports: Vec<Report>,
    /// Conflicts for a person.
    pub(crate) queued: Vec<Report>,
    /// Changes that wait behind an open conflict of their key, in order: key and change.
    pub(crate) waiting: Vec<(u32, u32)>,
}

/// Whether a resolver decides these changes, and not the bulk statement: also where a conflict
/// `may_wait` for a person, since later changes of its key wait then (C9).
///
/// # Errors
/// `Configuration` where the statement is asked for and cannot decide them.
pub(crate) fn takes_resolver(options: &Options, changes: &Changes, may_wait: bool) -> Result<bool> {
    let policy = &options.conflict;
    let soft = options.delete == DeleteMode::Soft;
    let fits = policy.fits_statement(changes.before.is_some(), soft);
    match policy.path {
        Path::Fastest => Ok(!fits || may_wait),
        Path::Resolver => Ok(true),
        Path::Statement if fits => Ok(false),
        Path::Statement => Err(Error::configuration(format!(
            "the conflict strategy {} cannot be one statement",
            policy.strategy.name()
        ))),
    }
}

/// Decides all changes of `groups`, which are rows of `changes`.
///
/// # Errors
/// As [`Resolver::resolve`].
pub(crate) fn decide(
    rules: Rules<'_>,
    changes: &Changes,
    groups: &Groups,
    locked: LockedRows,
) -> Result<Resolved> {
    let mut decider = Decider::new(rules, changes, groups, locked);
    let mut number = 0;
    while decider.round(number)? {
        number += 1;
    }
    decider.resolve()
}

/// The decisions as they go.
struct Decider<'a> {
    rules: Rules<'a>,
    changes: &'a Changes,
    groups: &'a Groups,
    held: TargetRows,
    shadow: Option<Shadow>,
    tombstones: Option<ArrayRef>,
    keys: Vec<Key>,
    /// For each column, the keys whose value in the target no change replaced.
    untouched: Vec<BooleanBuffer>,
    outcome: Outcome,
    rejected: Vec<RejectedRow>,
    tally: Tally,
    reports: Vec<Report>,
    queued: Vec<Report>,
    waiting: Vec<(u32, u32)>,
}

/// What happened to a key so far.
#[derive(Debug, Clone, Copy, Default)]
struct Key {
    /// The target held a row at the start.
    existed: bool,
    /// A row is there now.
    exists: bool,
    /// The row is marked as deleted now.
    marked: bool,
    /// Something is to be written.
    dirty: bool,
    /// The row that was held was deleted, and another one was made.
    reborn: bool,
    /// The last delete that applied, while nothing came after it.
    deleted: Option<u32>,
    /// The delete among those that left its version (R12).
    buried: Option<u32>,
    /// A row was written, so that no earlier delete counts any more.
    rose: bool,
    /// The last change that was applied.
    last: Option<u32>,
    /// Later changes wait.
    waits: bool,
    /// The source's image changed.
    shadowed: bool,
}

impl<'a> Decider<'a> {
    fn new(rules: Rules<'a>, changes: &'a Changes, groups: &'a Groups, locked: LockedRows) -> Self {
        let LockedRows {
            held,
            shadow,
            tombstones,
            waiting,
        } = locked;
        let keys: Vec<Key> = (0..groups.len())
            .map(|key| Key {
                existed: held.exists.value(key),
                exists: held.exists.value(key),
                marked: held.marked.as_ref().is_some_and(|marked| marked.value(key)),
                waits: waiting.as_ref().is_some_and(|waiting| waiting.value(key)),
                ..Key::default()
            })
            .collect();
        let untouched = vec![BooleanBuffer::new_set(groups.len()); held.rows.num_columns()];
        Self {
            rules,
            changes,
            groups,
            held,
            shadow,
            tombstones,
            keys,
            untouched,
            outcome: Outcome {
                kept: groups.ignored,
                ..Outcome::default()
            },
            rejected: groups.rejected.clone(),
            tally: BTreeMap::new(),
            reports: Vec::new(),
            queued: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Decides the change of this number of every key that has one; `false` where none has.
    fn round(&mut self, number: usize) -> Result<bool> {
        let mut keys = Vec::new();
        let mut rows = Vec::new();
        let mut any = false;
        for key in 0..self.groups.len() {
            let Some(row) = self.groups.change(key, number) else {
                continue;
            };
            any = true;
            if self.keys[key].waits {
                self.waiting.push((key as u32, row));
                self.outcome.kept += 1;
                self.outcome.queued += 1;
            } else {
                keys.push(key as u32);
                rows.push(row);
            }
        }
        if keys.is_empty() {
            return Ok(any);
        }
        let whole = keys.len() == self.groups.len();
        let in_order = rows.iter().enumerate().all(|(i, &row)| i == row as usize);
        let round = if in_order && rows.len() == self.changes.len() {
            self.changes.clone()
        } else {
            self.changes.take(&rows).map_err(broken)?
        };
        let held = if whole {
            self.held.clone()
        } else {
            self.held_of(&keys)?
        };
        let tombstones = match &self.tombstones {
            Some(tombstones) if !whole => {
                let indices = UInt32Array::from(keys.clone());
                Some(arrow::compute::take(tombstones, &indices, None).map_err(broken)?)
            }
            tombstones => tombstones.clone(),
        };
        let shadow = match &self.shadow {
            Some(shadow) => Some(shadow.take(&keys)?),
            None => None,
        };
        let base = match (&shadow, &round.before) {
            (Some(shadow), _) => shadow.base(),
            (None, Some(before)) => Base::Image(before),
            (None, None) => Base::None,
        };
        let meeting = ConflictBatch {
            changes: &round,
            target: &held,
            base,
            tombstones: tombstones.as_ref(),
        };
        let mut decisions = self.rules.resolver.resolve(&meeting)?;
        for (verdict, operation) in decisions.verdicts.iter_mut().zip(&round.operations) {
            // A delete that finds nothing still says that the row is gone (R12).
            if *verdict == Verdict::Same && *operation == Operation::Delete {
                *verdict = Verdict::Delete;
            }
        }
        self.report(&meeting, &decisions, &keys, &rows);
        self.apply(&round, &decisions, &keys, &rows)?;
        Ok(true)
    }

    fn held_of(&self, keys: &[u32]) -> Result<TargetRows> {
        Ok(TargetRows {
            rows: take_rows(&self.held.rows, keys).map_err(broken)?,
            exists: take_bits(&self.held.exists, keys),
            marked: self.held.marked.as_ref().map(|bits| take_bits(bits, keys)),
            foreign: take_masks(&self.held.foreign, keys),
        })
    }

    /// Makes the decisions the state that the next round meets.
    fn apply(
        &mut self,
        round: &Changes,
        decisions: &Decisions,
        keys: &[u32],
        rows: &[u32],
    ) -> Result<()> {
        for (index, verdict) in decisions.verdicts.iter().enumerate() {
            let (key, row) = (&mut self.keys[keys[index] as usize], rows[index]);
            match verdict {
                Verdict::Write => {
                    key.reborn |= key.existed && !key.exists;
                    key.exists = true;
                    key.marked = false;
                    key.dirty = true;
                    key.deleted = None;
                    key.buried = None;
                    key.rose = true;
                    key.last = Some(row);
                }
                Verdict::Delete => {
                    if self.rules.delete == DeleteMode::Soft {
                        key.dirty |= key.exists && !key.marked;
                        key.marked = key.exists;
                    } else {
                        key.dirty |= key.existed;
                        key.exists = false;
                    }
                    key.deleted = Some(row);
                    key.last = Some(row);
                }
                Verdict::Same | Verdict::Keep | Verdict::Reject => {}
                Verdict::Queue => key.waits = true,
            }
            match verdict {
                Verdict::Write | Verdict::Delete | Verdict::Same => self.outcome.written += 1,
                Verdict::Keep => self.outcome.kept += 1,
                Verdict::Queue => {
                    self.outcome.kept += 1;
                    self.outcome.queued += 1;
                }
                Verdict::Reject => {}
            }
            key.shadowed |= !matches!(verdict, Verdict::Queue | Verdict::Reject);
        }
        for rejected in &decisions.rejected {
            self.rejected.push(RejectedRow {
                row: rows[rejected.row] as usize,
                ..rejected.clone()
            });
        }
        self.move_rows(decisions, keys)?;
        self.move_tombstones(round, decisions, keys, rows)?;
        let seen: Vec<bool> = decisions
            .verdicts
            .iter()
            .map(|verdict| !matches!(verdict, Verdict::Queue | Verdict::Reject))
            .collect();
        if let Some(shadow) = &mut self.shadow {
            shadow.follow(round, keys, &seen)?;
        }
        Ok(())
    }

    fn resolve(self) -> Result<Resolved> {
        let (deletes, upserts) = net::nets(&self)?;
        let shadowed: Vec<u32> = (0..self.keys.len() as u32)
            .filter(|&key| self.keys[key as usize].shadowed)
            .collect();
        let mut rejected = self.rejected;
        rejected.sort_by_key(|rejected| rejected.row);
        Ok(Resolved {
            outcome: self.outcome,
            rejected,
            deletes,
            upserts,
            shadow: self.shadow.map(|shadow| (shadow, shadowed)),
            tally: self.tally,
            reports: self.reports,
            queued: self.queued,
            waiting: self.waiting,
        })
    }
}

fn broken(cause: arrow::error::ArrowError) -> Error {
    Error::configuration_from("cannot put the rows of a conflict together", cause)
}

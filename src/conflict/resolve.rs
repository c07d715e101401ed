//! One meeting decided: absent rows, then deletes, then upserts that meet a row.

mod choose;
mod columns;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::error::ArrowError;
use syncline_connectors::change::Operation;
use syncline_connectors::conflict::{
    ConflictType, Decisions, Detect, Meeting, NullVersion, Resolver, Verdict, Winner,
};
use syncline_connectors::error::Result;

use super::column::Rule;
use super::mask::{Mask, filter_of, if_any, no_rows, refused, valid_rows, without, without_some};
use super::outcome::Outcome;
use super::rules::{RowRule, Rules};
use super::sides::{Difference, Sides};
use super::version::{Standing, Version};

impl Resolver for Rules {
    fn resolve(&self, meeting: &Meeting<'_>) -> Result<Decisions> {
        Resolution::new(self, meeting)
            .and_then(|resolution| resolution.decide(meeting.graves))
            .map_err(refused)
    }
}

/// What is known of a meeting, and what is decided so far.
struct Resolution<'a> {
    rules: &'a Rules,
    sides: Sides<'a>,
    /// By column; `None` for those of the key.
    differences: Vec<Option<Difference>>,
    /// The changes' versions, and how they stand to the target's.
    versions: Option<Versions<'a>>,
    outcome: Outcome,
}

struct Versions<'a> {
    version: &'a Version,
    source: ArrayRef,
    standing: Standing,
}

impl<'a> Resolution<'a> {
    fn new(rules: &'a Rules, meeting: &Meeting<'a>) -> Result<Self, ArrowError> {
        let sides = Sides::of(meeting);
        let columns = rules.schema.fields().len();
        let mut differences: Vec<Option<Difference>> = (0..columns).map(|_| None).collect();
        for column in rules.compared() {
            let (field, equality) = (rules.schema.field(column), rules.columns[column].equality);
            differences[column] =
                Some(sides.difference(column, field, equality, rules.with_base)?);
        }
        let versions = match &rules.version {
            Some(version) => {
                let source = version.of_changes(sides.changes, &sides.deletes())?;
                let target = sides.target.rows.column(version.column);
                let standing = version.compare(&source, target)?;
                Some(Versions {
                    version,
                    source,
                    standing,
                })
            }
            None => None,
        };
        Ok(Self {
            outcome: Outcome::new(sides.rows, columns),
            rules,
            sides,
            differences,
            versions,
        })
    }

    fn decide(mut self, graves: Option<&ArrayRef>) -> Result<Decisions, ArrowError> {
        if let Some(Versions {
            version, standing, ..
        }) = &self.versions
            && version.nulls == NullVersion::Reject
        {
            let without_version = without(&self.sides.upserts, &standing.source);
            let field = self.rules.schema.field(version.column).name();
            let reason = "the change has no version, and null_version = \"reject\"";
            self.outcome
                .refuse(&without_version, "C4 null_version", Some(field), reason);
        }
        if self.sides.met.has_false() {
            self.decide_absent(graves)?;
        }
        let deletes = without(&self.sides.met, &self.sides.upserts);
        if deletes.has_true() {
            self.decide_deletes(&deletes)?;
        }
        let upserts = &self.sides.met & &self.sides.upserts;
        if upserts.has_true() {
            self.decide_upserts(&upserts)?;
        }
        self.outcome
            .finish(self.rules, &self.sides, &self.differences)
    }

    /// Changes that meet no row: an upsert is inserted, a delete is done already (R12, R14).
    fn decide_absent(&mut self, graves: Option<&ArrayRef>) -> Result<(), ArrowError> {
        let absent = !&self.sides.met;
        let deletes = without(&absent, &self.sides.upserts);
        self.outcome.rule(&deletes, Verdict::Same);
        for row in deletes.set_indices() {
            let reason = "the row is gone already";
            self.outcome
                .conflict(row, ConflictType::DeleteMissing, Winner::Source, reason);
        }

        let mut upserts = self.outcome.without_refused(&absent & &self.sides.upserts);
        if let Some(kept_out) = self.kept_out(&upserts, graves)? {
            for row in kept_out.set_indices() {
                let reason = "the row was deleted by a change that is not older";
                self.outcome
                    .conflict(row, ConflictType::UpdateMissing, Winner::Target, reason);
            }
            upserts = without(&upserts, &kept_out);
        }
        let incomplete = &self.sides.incomplete(self.rules.compared()) & &upserts;
        let reason = "the source did not send every value, and the target has no such row";
        self.outcome
            .refuse(&incomplete, "R14 incomplete", None, reason);
        let inserted = without(&upserts, &incomplete);
        self.outcome.rule(&inserted, Verdict::Write);
        for row in inserted.set_indices() {
            if self.sides.changes.operations[row] == Operation::Update {
                let reason = "there is no such row: it is inserted";
                self.outcome
                    .conflict(row, ConflictType::UpdateMissing, Winner::Source, reason);
            }
        }
        // A column that a change does not carry gets its default (R19).
        self.take_all(&inserted);
        Ok(())
    }

    /// The upserts that are not newer than the delete that took their row away (R12).
    fn kept_out(
        &self,
        upserts: &Mask,
        graves: Option<&ArrayRef>,
    ) -> Result<Option<Mask>, ArrowError> {
        let Some(Versions {
            version, source, ..
        }) = &self.versions
        else {
            return Ok(None);
        };
        let target = &self.sides.target;
        if !self.rules.guards_graves || (graves.is_none() && target.marked.is_none()) {
            return Ok(None);
        }
        let mut deleted = match graves {
            Some(graves) => graves.clone(),
            None => new_null_array(source.data_type(), self.sides.rows),
        };
        // A row that is marked as deleted still has its version.
        if let Some(marked) = &target.marked {
            let marked = without(marked, &valid_rows(&deleted));
            deleted = zip(
                &filter_of(&marked),
                target.rows.column(version.column),
                &deleted,
            )?;
        }
        let standing = version.compare(source, &deleted)?;
        let kept_out = version.upserts_before_a_grave(&standing);
        Ok(if_any(&kept_out & upserts))
    }

    /// Deletes that meet a row.
    fn decide_deletes(&mut self, deletes: &Mask) -> Result<(), ArrowError> {
        let blind = &self.sides.blind(self.rules.compared()) & deletes;
        let differs = self.any_difference();
        if self.rules.detect == Detect::Version {
            self.refuse_foreign_versions(deletes);
        }
        let conflict = match (self.rules.detect, &self.versions) {
            (Detect::Key, _) => deletes.clone(),
            // Nothing says that a delete without a version is not older.
            (Detect::Version, Some(Versions { standing, .. })) => {
                &standing.behind | &!&standing.source
            }
            _ => differs,
        };
        let conflict = &(&conflict | &blind) & deletes;
        let conflict = self.outcome.without_refused(conflict);
        let free = self.outcome.without_refused(without(deletes, &conflict));
        self.outcome.rule(&free, Verdict::Delete);
        if !conflict.has_true() {
            return Ok(());
        }
        let chosen = self.choose(&conflict, true)?;
        let compares = match &self.rules.row {
            RowRule::Newest => true,
            RowRule::Columns(_) => self.versions.is_some(),
            _ => false,
        };
        for row in conflict.set_indices() {
            if self.outcome.is_refused(row) {
                continue;
            }
            let origin = ConflictType::DeleteOriginDiffers;
            let (verdict, kind, winner) = if is_in(chosen.queue.as_ref(), row) {
                (Verdict::Queue, origin, Winner::Manual)
            } else if chosen.source.value(row) {
                (Verdict::Delete, origin, Winner::Source)
            } else if compares {
                (Verdict::Keep, ConflictType::DeleteExists, Winner::Target)
            } else {
                (Verdict::Keep, origin, Winner::Target)
            };
            self.outcome.verdicts[row] = verdict;
            let reason = self.reason(row, winner, true);
            self.outcome.conflict(row, kind, winner, reason);
        }
        for column in self.rules.compared() {
            let contested = &self.difference(column).sides & &conflict;
            let outcome = &mut self.outcome.columns[column];
            outcome.contested = &outcome.contested | &contested;
        }
        Ok(())
    }

    /// Creates, reads and updates that meet a row.
    fn decide_upserts(&mut self, upserts: &Mask) -> Result<(), ArrowError> {
        let differs = self.any_difference();
        if self.rules.detect == Detect::Version {
            self.refuse_foreign_versions(upserts);
        }
        let conflict = match (self.rules.detect, &self.versions) {
            (Detect::Key, _) => upserts.clone(),
            (Detect::Version, Some(_)) => self.not_older(),
            (Detect::Before, _) => self.changed_apart(),
            (Detect::Row | Detect::Version, _) => differs.clone(),
        };
        let conflict = self.outcome.without_refused(&conflict & upserts);
        let free = self.outcome.without_refused(without(upserts, &conflict));
        self.outcome.rule(&(&free & &differs), Verdict::Write);
        self.outcome.rule(&without(&free, &differs), Verdict::Same);
        self.take_all(&free);
        if conflict.has_true() {
            self.decide_conflicts(&conflict)?;
        }
        Ok(())
    }

    /// The rows whose version is not older than that of the change.
    fn not_older(&self) -> Mask {
        let Some(Versions { standing, .. }) = &self.versions else {
            return no_rows(self.sides.rows);
        };
        !&(&standing.ahead | &without(&standing.source, &standing.target))
    }

    /// The rows in which the target is neither what the source thought it was, nor what the change
    /// makes of it (C1).
    fn changed_apart(&self) -> Mask {
        self.rules
            .compared()
            .fold(no_rows(self.sides.rows), |all, column| {
                let difference = self.difference(column);
                let unknown = without(&difference.sides, &difference.known);
                let changed = match self.rules.of_column(column) {
                    // Both sides may have added the same.
                    Some(Rule::Sum) => difference.target.clone(),
                    _ => &difference.target & &difference.sides,
                };
                &(&all | &unknown) | &changed
            })
    }

    /// The changes apply: all that they set becomes theirs.
    fn take_all(&mut self, rows: &Mask) {
        for column in self.rules.compared() {
            let sent = without_some(rows, self.sides.changes.unset[column].as_ref());
            let take = &mut self.outcome.columns[column].take;
            *take = &*take | &sent;
        }
    }

    fn any_difference(&self) -> Mask {
        let columns = self.differences.iter().flatten();
        columns.fold(no_rows(self.sides.rows), |all, difference| {
            &all | &difference.sides
        })
    }

    fn difference(&self, column: usize) -> &Difference {
        self.differences[column]
            .as_ref()
            .expect("every column that is compared has one")
    }
}

fn is_in(mask: Option<&Mask>, row: usize) -> bool {
    mask.is_some_and(|mask| mask.value(row))
}

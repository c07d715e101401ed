//! Decides one conflict batch: first changes without a row, then deletes, then upserts that meet a
//! row.

mod choose;
mod columns;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::error::ArrowError;
use syncline_connectors::change::Operation;
use syncline_connectors::conflict::{
    ConflictBatch, ConflictType, Decisions, Detect, NullVersion, Resolver, Verdict, Winner,
};
use syncline_connectors::error::Result;

use super::column::Rule;
use super::mask::{Mask, filter_of, if_any, no_rows, refused, valid_rows, without, without_some};
use super::outcome::Outcome;
use super::rules::{RowRule, Rules};
use super::sides::{Difference, Sides};
use super::version::{Version, VersionOrder};

impl Resolver for Rules {
    fn resolve(&self, batch: &ConflictBatch<'_>) -> Result<Decisions> {
        Resolution::new(self, batch)
            .and_then(|resolution| resolution.decide(batch.tombstones))
            .map_err(refused)
    }
}

/// The facts about a conflict batch and the decisions so far.
struct Resolution<'a> {
    rules: &'a Rules,
    sides: Sides<'a>,
    /// One entry for each column; `None` for key columns.
    differences: Vec<Option<Difference>>,
    /// The changes' versions, compared with the target's.
    versions: Option<Versions<'a>>,
    outcome: Outcome,
}

struct Versions<'a> {
    version: &'a Version,
    source: ArrayRef,
    order: VersionOrder,
}

impl<'a> Resolution<'a> {
    fn new(rules: &'a Rules, batch: &ConflictBatch<'a>) -> Result<Self, ArrowError> {
        let sides = Sides::of(batch);
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
                let order = version.compare(&source, target)?;
                Some(Versions {
                    version,
                    source,
                    order,
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

    fn decide(mut self, tombstones: Option<&ArrayRef>) -> Result<Decisions, ArrowError> {
        if let Some(Versions { version, order, .. }) = &self.versions
            && version.nulls == NullVersion::Reject
        {
            let without_version = without(&self.sides.upserts, &order.source);
            let field = self.rules.schema.field(version.column).name();
            let reason = "the change has no version, and null_version = \"reject\"";
            self.outcome
                .refuse(&without_version, "C4 null_version", Some(field), reason);
        }
        if self.sides.met.has_false() {
            self.decide_absent(tombstones)?;
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

    /// Decides changes that meet no row: an upsert is inserted, a delete has nothing to do (R12,
    /// R14).
    fn decide_absent(&mut self, tombstones: Option<&ArrayRef>) -> Result<(), ArrowError> {
        let absent = !&self.sides.met;
        let deletes = without(&absent, &self.sides.upserts);
        self.outcome.set_verdict(&deletes, Verdict::Same);
        for row in deletes.set_indices() {
            let reason = "the row is already deleted";
            self.outcome
                .conflict(row, ConflictType::DeleteMissing, Winner::Source, reason);
        }

        let mut upserts = self.outcome.without_refused(&absent & &self.sides.upserts);
        if let Some(kept_out) = self.older_than_delete(&upserts, tombstones)? {
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
        self.outcome.set_verdict(&inserted, Verdict::Write);
        for row in inserted.set_indices() {
            if self.sides.changes.operations[row] == Operation::Update {
                let reason = "there is no such row: it is inserted";
                self.outcome
                    .conflict(row, ConflictType::UpdateMissing, Winner::Source, reason);
            }
        }
        // A column that a change does not carry gets its default (R19).
        self.apply_unconflicted(&inserted);
        Ok(())
    }

    /// The upserts that are not newer than the delete of their row (R12).
    fn older_than_delete(
        &self,
        upserts: &Mask,
        tombstones: Option<&ArrayRef>,
    ) -> Result<Option<Mask>, ArrowError> {
        let Some(Versions {
            version, source, ..
        }) = &self.versions
        else {
            return Ok(None);
        };
        let target = &self.sides.target;
        if !self.rules.uses_tombstones || (tombstones.is_none() && target.marked.is_none()) {
            return Ok(None);
        }
        let mut deleted = match tombstones {
            Some(tombstones) => tombstones.clone(),
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
        let order = version.compare(source, &deleted)?;
        let kept_out = version.upserts_before_delete(&order);
        Ok(if_any(&kept_out & upserts))
    }

    /// Decides deletes that meet a row.
    fn decide_deletes(&mut self, deletes: &Mask) -> Result<(), ArrowError> {
        let blind = &self.sides.blind(self.rules.compared()) & deletes;
        let differs = self.any_difference();
        if self.rules.detect == Detect::Version {
            self.refuse_foreign_versions(deletes);
        }
        let conflict = match (self.rules.detect, &self.versions) {
            (Detect::Key, _) => deletes.clone(),
            // A delete without a version may be older than the row, so it is a conflict.
            (Detect::Version, Some(Versions { order, .. })) => &order.behind | &!&order.source,
            _ => differs,
        };
        let conflict = &(&conflict | &blind) & deletes;
        let conflict = self.outcome.without_refused(conflict);
        let free = self.outcome.without_refused(without(deletes, &conflict));
        self.outcome.set_verdict(&free, Verdict::Delete);
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

    /// Decides creates, reads and updates that meet a row.
    fn decide_upserts(&mut self, upserts: &Mask) -> Result<(), ArrowError> {
        let differs = self.any_difference();
        if self.rules.detect == Detect::Version {
            self.refuse_foreign_versions(upserts);
        }
        let conflict = match (self.rules.detect, &self.versions) {
            (Detect::Key, _) => upserts.clone(),
            (Detect::Version, Some(_)) => self.not_older(),
            (Detect::Before, _) => self.changed_on_both_sides(),
            (Detect::Row | Detect::Version, _) => differs.clone(),
        };
        let conflict = self.outcome.without_refused(&conflict & upserts);
        let free = self.outcome.without_refused(without(upserts, &conflict));
        self.outcome
            .set_verdict(&(&free & &differs), Verdict::Write);
        self.outcome
            .set_verdict(&without(&free, &differs), Verdict::Same);
        self.apply_unconflicted(&free);
        if conflict.has_true() {
            self.decide_conflicts(&conflict)?;
        }
        Ok(())
    }

    /// The rows whose version is not older than the change's.
    fn not_older(&self) -> Mask {
        let Some(Versions { order, .. }) = &self.versions else {
            return no_rows(self.sides.rows);
        };
        !&(&order.ahead | &without(&order.source, &order.target))
    }

    /// The rows in which the target differs both from the base and from the result of the change
    /// (C1).
    fn changed_on_both_sides(&self) -> Mask {
        self.rules
            .compared()
            .fold(no_rows(self.sides.rows), |all, column| {
                let difference = self.difference(column);
                let unknown = without(&difference.sides, &difference.known);
                let changed = match self.rules.of_column(column) {
                    // Under `sum` the same value on both sides is two increments.
                    Some(Rule::Sum) => difference.target.clone(),
                    _ => &difference.target & &difference.sides,
                };
                &(&all | &unknown) | &changed
            })
    }

    /// Applies changes without a conflict: every column that they set takes the source's value.
    fn apply_unconflicted(&mut self, rows: &Mask) {
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

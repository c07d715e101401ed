//! One meeting decided: absent rows, then deletes, then upserts that meet a row.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::error::ArrowError;
use syncline_connectors::change::Operation;
use syncline_connectors::conflict::{
    ConflictType, Decisions, Detect, Meeting, NullVersion, Resolver, Tie, Verdict, Winner,
};
use syncline_connectors::error::Result;

use super::column::{Contest, Decided, Rule};
use super::expression::{Choice, RowExpression};
use super::mask::{Mask, filter_of, if_any, no_rows, refused, valid_rows, without, without_some};
use super::outcome::Outcome;
use super::rules::{RowRule, Rules};
use super::sides::{Difference, Sides};
use super::version::{Standing, Version, Wins};

const FOREIGN: &str = "R3 exactness";
const FOREIGN_REASON: &str = "the target holds a value that the type of the changes cannot say, and nothing is computed with it";

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

/// Who wins the rows in conflict, where one side takes all.
struct Chosen {
    source: Mask,
    queue: Option<Mask>,
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
        self.outcome.finish(self.rules, &self.sides)
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
        let partial = &self.sides.partial(self.rules.compared()) & &upserts;
        let reason = "the source did not send every column, and the target has no such row";
        self.outcome
            .refuse(&partial, "R14 incomplete", None, reason);
        let inserted = without(&upserts, &partial);
        self.outcome.rule(&inserted, Verdict::Write);
        for row in inserted.set_indices() {
            if self.sides.changes.operations[row] == Operation::Update {
                let reason = "there is no such row: it is inserted";
                self.outcome
                    .conflict(row, ConflictType::UpdateMissing, Winner::Source, reason);
            }
        }
        for column in self.rules.compared() {
            let take = &mut self.outcome.columns[column].take;
            *take = &*take | &inserted;
        }
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
        let blind = &self.sides.partial(self.rules.compared()) & deletes;
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

    fn decide_conflicts(&mut self, conflict: &Mask) -> Result<(), ArrowError> {
        let by_column = matches!(self.rules.row, RowRule::Columns(_));
        let chosen = match by_column {
            true => Chosen {
                source: no_rows(self.sides.rows),
                queue: None,
            },
            false => self.choose(conflict, false)?,
        };
        let mut queue = chosen.queue.unwrap_or_else(|| no_rows(self.sides.rows));
        let open = self.outcome.without_refused(without(conflict, &queue));
        // In which rows something becomes other than the target's, and other than the source's.
        let mut changed = no_rows(self.sides.rows);
        let mut stays = no_rows(self.sides.rows);
        for column in self.rules.compared() {
            let decided = match self.rules.of_column(column) {
                Some(rule) => self.decide_column(column, rule, &open, &mut queue)?,
                None => {
                    let contested = &self.difference(column).sides & &open;
                    let take = &contested & &chosen.source;
                    (contested, Decided::take(take))
                }
            };
            let (contested, decided) = decided;
            let differs = &self.difference(column).sides & &open;
            changed = &changed | &(&decided.take & &differs);
            let mut kept = without(&differs, &decided.take);
            if let Some(computed) = &decided.computed {
                changed = &changed | &computed.not_target;
                kept = &without(&kept, &computed.rows) | &computed.not_source;
            }
            stays = &stays | &kept;
            let outcome = &mut self.outcome.columns[column];
            outcome.take = &outcome.take | &decided.take;
            outcome.computed = decided.computed;
            outcome.contested = &outcome.contested | &contested;
            if !decided.refused.is_empty() {
                let field = self.rules.schema.field(column).name();
                self.outcome.refuse_each(decided.refused, field);
            }
        }
        for row in conflict.set_indices() {
            if self.outcome.is_refused(row) {
                continue;
            }
            let (changed, stays) = (changed.value(row), stays.value(row));
            let (verdict, winner) = if queue.value(row) {
                (Verdict::Queue, Winner::Manual)
            } else if changed && stays {
                (Verdict::Write, Winner::Merged)
            } else if changed {
                (Verdict::Write, Winner::Source)
            } else if chosen.source.value(row) && !stays {
                (Verdict::Same, Winner::Source)
            } else {
                (Verdict::Keep, Winner::Target)
            };
            let kind = match self.sides.changes.operations[row] {
                Operation::Update => ConflictType::UpdateOriginDiffers,
                _ => ConflictType::InsertExists,
            };
            self.outcome.verdicts[row] = verdict;
            let reason = self.reason(row, winner, false);
            self.outcome.conflict(row, kind, winner, reason);
        }
        Ok(())
    }

    /// One column of rows in conflict: where its rule had to decide it, and how it is decided.
    fn decide_column(
        &mut self,
        column: usize,
        rule: &Rule,
        open: &Mask,
        queue: &mut Mask,
    ) -> Result<(Mask, Decided), ArrowError> {
        if matches!(rule, Rule::Sum) {
            return self.decide_sum(column, open);
        }
        let difference = self.difference(column);
        let differs = &difference.sides & open;
        let by_source = &difference.only_source() & &differs;
        let contested = without(&without(&differs, &by_source), &difference.only_target());
        let known = difference.known.clone();
        if !contested.has_true() {
            return Ok((contested, Decided::take(by_source)));
        }
        let mut rows = contested.clone();
        let mut take = by_source;
        if rule.computes() {
            rows = self.refuse_foreign(column, rows);
        }
        if matches!(rule, Rule::Merge) {
            let filled = without(&rows, &known);
            let (from_source, from_target) = self.nulls_on_one_side(column, &filled);
            take = &take | &from_source;
            rows = without(&without(&rows, &from_source), &from_target);
        }
        if let Rule::Expression(expression) = rule {
            let foreign = &expression.over_foreign(&self.sides) & &rows;
            rows = self.refuse_rows_over_foreign(column, rows, &foreign);
        }
        let by_version = match rule {
            Rule::Newest => Some(Wins::Newest),
            Rule::Oldest => Some(Wins::Oldest),
            Rule::Merge if self.versions.is_some() => Some(Wins::Newest),
            _ => None,
        };
        if let Some(wins) = by_version {
            self.refuse_foreign_versions(&rows);
            let won = self.upserts_that_win(wins);
            take = &take | &(&rows & &won);
            return Ok((contested, Decided::take(take)));
        }
        let contest = self.contest(column, &rows);
        let mut decided = match rule {
            Rule::Source => Decided::take(rows.clone()),
            Rule::Merge if self.rules.tie == Tie::Source => Decided::take(rows.clone()),
            Rule::Target | Rule::Merge => Decided::take(no_rows(rows.len())),
            Rule::Max => contest.by_order(true)?,
            Rule::Min => contest.by_order(false)?,
            Rule::Union => contest.union()?,
            Rule::Concat => contest.concat()?,
            Rule::Coalesce => contest.coalesce(),
            Rule::JsonMerge => contest.json_merge()?,
            Rule::Manual => {
                *queue = &*queue | &rows;
                Decided::take(no_rows(rows.len()))
            }
            Rule::Expression(expression) if rows.has_true() => {
                let values = expression.evaluate(&self.sides, &rows)?;
                contest.computed("C2 expression", values)?
            }
            Rule::Expression(_) => Decided::take(no_rows(rows.len())),
            Rule::Sum | Rule::Newest | Rule::Oldest => unreachable!("decided above"),
        };
        decided.take = &decided.take | &take;
        Ok((contested, decided))
    }

    /// `sum`: wherever the source changed the value, also to what the target holds (C8).
    fn decide_sum(&mut self, column: usize, open: &Mask) -> Result<(Mask, Decided), ArrowError> {
        let sides = &self.sides;
        let difference = self.difference(column);
        let sent = without_some(open, sides.changes.unset[column].as_ref());
        let known = match sides.has_base_values() {
            true => difference.known.clone(),
            false => no_rows(sides.rows),
        };
        let operations = &sides.changes.operations;
        let unknown = without(&sent, &known);
        let groundless = match unknown.has_true() {
            true => Mask::collect_bool(sides.rows, |row| {
                unknown.value(row) && operations[row] == Operation::Update
            }),
            false => unknown.clone(),
        };
        let created = without(&unknown, &groundless);
        let changed = &(&sent & &known) & &difference.source;
        let asked = &changed | &created;
        let contested = &(&changed & &difference.target) | &(&created & &difference.sides);
        if groundless.has_true() {
            let field = self.rules.schema.field(column).name();
            let reason = "sum needs the row before: set REPLICA IDENTITY FULL on the source's table, or write base = \"shadow\"";
            self.outcome
                .refuse(&groundless, "C8 sum", Some(field), reason);
        }
        let rows = self.refuse_foreign(column, asked);
        if !rows.has_true() {
            return Ok((contested, Decided::take(rows)));
        }
        let decided = self.contest(column, &rows).sum()?;
        Ok((contested, decided))
    }

    /// A column, and rows in which it is to be decided; the base as far as it is known.
    fn contest<'b>(&'b self, column: usize, rows: &'b Mask) -> Contest<'b> {
        Contest {
            field: self.rules.schema.field(column),
            equality: self.rules.columns[column].equality,
            source: self.sides.source(column),
            target: self.sides.target.rows.column(column),
            base: self.sides.base_column(column),
            rows,
            separator: &self.rules.separator,
        }
    }

    /// Who wins each row in conflict, where one side takes all.
    fn choose(&mut self, conflict: &Mask, deletes: bool) -> Result<Chosen, ArrowError> {
        let nobody = || no_rows(self.sides.rows);
        let all_to_source = |wins: bool| if wins { conflict.clone() } else { nobody() };
        let wins = match &self.rules.row {
            RowRule::Source | RowRule::Target => {
                let wins = matches!(self.rules.row, RowRule::Source);
                return Ok(Chosen {
                    source: all_to_source(wins),
                    queue: None,
                });
            }
            RowRule::Manual => {
                return Ok(Chosen {
                    source: nobody(),
                    queue: Some(conflict.clone()),
                });
            }
            RowRule::Expression(expression) => return self.ask(expression, conflict),
            RowRule::Columns(_) if self.versions.is_none() => {
                return Ok(Chosen {
                    source: all_to_source(self.rules.tie == Tie::Source),
                    queue: None,
                });
            }
            RowRule::Newest | RowRule::Columns(_) => Wins::Newest,
            RowRule::Oldest => Wins::Oldest,
        };
        self.refuse_foreign_versions(conflict);
        let won = match deletes {
            true => self.deletes_that_win(wins),
            false => self.upserts_that_win(wins),
        };
        Ok(Chosen {
            source: &won & conflict,
            queue: None,
        })
    }

    /// Asks an expression who wins.
    fn ask(&mut self, expression: &RowExpression, conflict: &Mask) -> Result<Chosen, ArrowError> {
        let foreign = &expression.over_foreign(&self.sides) & conflict;
        self.outcome.refuse(&foreign, FOREIGN, None, FOREIGN_REASON);
        let asked = without(conflict, &foreign);
        let mut source = vec![false; self.sides.rows];
        let mut queue = vec![false; self.sides.rows];
        let mut silent = vec![false; self.sides.rows];
        if asked.has_true() {
            let choices = expression.choose(&self.sides, &asked)?;
            for (row, choice) in asked.set_indices().zip(choices) {
                match choice {
                    Choice::Source => source[row] = true,
                    Choice::Target => {}
                    Choice::Manual => queue[row] = true,
                    Choice::Nothing => silent[row] = true,
                }
            }
        }
        let reason = "the expression gives neither 'source' nor 'target' nor 'manual'";
        self.outcome
            .refuse(&Mask::from(silent), "C2 expression", None, reason);
        Ok(Chosen {
            source: Mask::from(source),
            queue: Some(Mask::from(queue)),
        })
    }

    fn upserts_that_win(&self, wins: Wins) -> Mask {
        match &self.versions {
            Some(Versions {
                version, standing, ..
            }) => version.upserts_that_win(standing, wins),
            None => no_rows(self.sides.rows),
        }
    }

    fn deletes_that_win(&self, wins: Wins) -> Mask {
        match &self.versions {
            Some(Versions {
                version, standing, ..
            }) => version.deletes_that_win(standing, wins),
            None => no_rows(self.sides.rows),
        }
    }

    /// `rows` without those whose target value cannot be computed with; these are rejected.
    fn refuse_foreign(&mut self, column: usize, rows: Mask) -> Mask {
        match &self.sides.target.foreign[column] {
            Some(foreign) => {
                let foreign = foreign & &rows;
                self.refuse_rows_over_foreign(column, rows, &foreign)
            }
            None => rows,
        }
    }

    fn refuse_rows_over_foreign(&mut self, column: usize, rows: Mask, foreign: &Mask) -> Mask {
        let field = self.rules.schema.field(column).name();
        self.outcome
            .refuse(foreign, FOREIGN, Some(field), FOREIGN_REASON);
        without(&rows, foreign)
    }

    /// Rejects the rows whose version in the target cannot be compared.
    fn refuse_foreign_versions(&mut self, rows: &Mask) {
        if let Some(version) = &self.rules.version {
            self.refuse_foreign(version.column, rows.clone());
        }
    }

    /// Where one side is null and the other is not: the rows whose value is the source's, and those
    /// whose value is the target's.
    fn nulls_on_one_side(&self, column: usize, rows: &Mask) -> (Mask, Mask) {
        let source = valid_rows(self.sides.source(column));
        let mut target = valid_rows(self.sides.target.rows.column(column));
        if let Some(foreign) = &self.sides.target.foreign[column] {
            target = &target | foreign;
        }
        (
            &without(&source, &target) & rows,
            &without(&target, &source) & rows,
        )
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

    /// Why a conflict ended as it did, for a person.
    fn reason(&self, row: usize, winner: Winner, delete: bool) -> &'static str {
        if winner == Winner::Manual {
            return "a person decides";
        }
        let by_version = || self.versions.as_ref().map(|v| v.standing.reason(row));
        match &self.rules.row {
            RowRule::Source | RowRule::Target if winner == Winner::Merged => {
                "some columns have a strategy of their own"
            }
            RowRule::Source => "the source wins every conflict",
            RowRule::Target => "the target wins every conflict",
            RowRule::Newest | RowRule::Oldest => by_version().unwrap_or("there are no versions"),
            RowRule::Manual => "a person decides",
            RowRule::Expression(_) => "the expression says so",
            RowRule::Columns(_) if delete => {
                by_version().unwrap_or("there are no versions: who wins a tie wins")
            }
            RowRule::Columns(_) => match winner {
                Winner::Source => "every column that differs went to the source",
                Winner::Target => "every column that differs went to the target",
                _ => "decided column by column",
            },
        }
    }
}

fn is_in(mask: Option<&Mask>, row: usize) -> bool {
    mask.is_some_and(|mask| mask.value(row))
}

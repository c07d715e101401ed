//! Decides rows in conflict column by column.

use arrow::error::ArrowError;
use syncline_connectors::change::Operation;
use syncline_connectors::conflict::{ConflictType, Tie, Verdict, Winner};

use super::Resolution;
use super::choose::Chosen;
use crate::conflict::column::{ContestedColumn, Decided, Rule};
use crate::conflict::mask::{Mask, no_rows, valid_rows, without, without_some};
use crate::conflict::rules::RowRule;
use crate::conflict::version::Wins;

impl Resolution<'_> {
    pub(super) fn decide_conflicts(&mut self, conflict: &Mask) -> Result<(), ArrowError> {
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
        // The rows in which a value changes in the target, and those in which a value of the source
        // is not taken.
        let mut changed = no_rows(self.sides.rows);
        let mut stays = no_rows(self.sides.rows);
        for column in self.rules.compared() {
            let decided = match self.rules.of_column(column) {
                Some(rule) => self.decide_column(column, rule, &open, &mut queue)?,
                None => {
                    let contested = &self.difference(column).sides & conflict;
                    let take = &(&contested & &chosen.source) & &open;
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
                self.outcome.refuse_all(decided.refused, field);
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

    /// Decides one column of the rows in conflict. Returns the contested rows and the decision.
    pub(super) fn decide_column(
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

    /// Decides a `sum` column: every row in which the source changed the value, even to the
    /// target's value (C8).
    pub(super) fn decide_sum(
        &mut self,
        column: usize,
        open: &Mask,
    ) -> Result<(Mask, Decided), ArrowError> {
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

    /// A column with the rows to decide, and the base's values if there are any.
    pub(super) fn contest<'b>(&'b self, column: usize, rows: &'b Mask) -> ContestedColumn<'b> {
        ContestedColumn {
            field: self.rules.schema.field(column),
            equality: self.rules.columns[column].equality,
            source: self.sides.source(column),
            target: self.sides.target.rows.column(column),
            base: self.sides.base_column(column),
            rows,
            separator: &self.rules.separator,
        }
    }

    /// For `rows` where one side is null and the other is not: the rows that take the source's
    /// value, and those that take the target's.
    pub(super) fn nulls_on_one_side(&self, column: usize, rows: &Mask) -> (Mask, Mask) {
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
}

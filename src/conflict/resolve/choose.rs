//! Chooses the winner where one side takes the whole row, and rejects what cannot be decided.

use arrow::error::ArrowError;
use syncline_connectors::conflict::{Tie, Winner};

use super::{Resolution, Versions};
use crate::conflict::expression::{Choice, RowExpression};
use crate::conflict::mask::{Mask, no_rows, without};
use crate::conflict::rules::RowRule;
use crate::conflict::version::Wins;

const FOREIGN: &str = "R3 exactness";
const FOREIGN_REASON: &str = "the target holds a value that the type of the changes cannot represent, so nothing can be computed with it";

/// The winners of the rows in conflict where one side takes the whole row.
pub(super) struct Chosen {
    pub(super) source: Mask,
    pub(super) queue: Option<Mask>,
}

impl Resolution<'_> {
    /// Chooses the winner of each row in conflict where one side takes the whole row.
    pub(super) fn choose(&mut self, conflict: &Mask, deletes: bool) -> Result<Chosen, ArrowError> {
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
            RowRule::Expression(expression) => return self.evaluate_choice(expression, conflict),
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

    /// Evaluates an expression that names the winner.
    pub(super) fn evaluate_choice(
        &mut self,
        expression: &RowExpression,
        conflict: &Mask,
    ) -> Result<Chosen, ArrowError> {
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

    pub(super) fn upserts_that_win(&self, wins: Wins) -> Mask {
        match &self.versions {
            Some(Versions { version, order, .. }) => version.upserts_that_win(order, wins),
            None => no_rows(self.sides.rows),
        }
    }

    pub(super) fn deletes_that_win(&self, wins: Wins) -> Mask {
        match &self.versions {
            Some(Versions { version, order, .. }) => version.deletes_that_win(order, wins),
            None => no_rows(self.sides.rows),
        }
    }

    /// Rejects the rows whose target value is foreign, and returns the others.
    pub(super) fn refuse_foreign(&mut self, column: usize, rows: Mask) -> Mask {
        match &self.sides.target.foreign[column] {
            Some(foreign) => {
                let foreign = foreign & &rows;
                self.refuse_rows_over_foreign(column, rows, &foreign)
            }
            None => rows,
        }
    }

    pub(super) fn refuse_rows_over_foreign(
        &mut self,
        column: usize,
        rows: Mask,
        foreign: &Mask,
    ) -> Mask {
        let field = self.rules.schema.field(column).name();
        self.outcome
            .refuse(foreign, FOREIGN, Some(field), FOREIGN_REASON);
        without(&rows, foreign)
    }

    /// Rejects the rows whose version in the target is foreign and cannot be compared.
    pub(super) fn refuse_foreign_versions(&mut self, rows: &Mask) {
        if let Some(version) = &self.rules.version {
            self.refuse_foreign(version.column, rows.clone());
        }
    }

    /// The reason for the outcome of a conflict, for a person to read.
    pub(super) fn reason(&self, row: usize, winner: Winner, delete: bool) -> &'static str {
        if winner == Winner::Manual {
            return "a person decides";
        }
        let by_version = || self.versions.as_ref().map(|v| v.order.reason(row));
        match &self.rules.row {
            RowRule::Source | RowRule::Target if winner == Winner::Merged => {
                "some columns have a strategy of their own"
            }
            RowRule::Source => "the source wins every conflict",
            RowRule::Target => "the target wins every conflict",
            RowRule::Newest | RowRule::Oldest => by_version().unwrap_or("there are no versions"),
            RowRule::Manual => "a person decides",
            RowRule::Expression(_) => "the expression decides",
            RowRule::Columns(_) if delete => {
                by_version().unwrap_or("there are no versions: the winner of a tie wins")
            }
            RowRule::Columns(_) => match winner {
                Winner::Source => "every column that differs went to the source",
                Winner::Target => "every column that differs went to the target",
                _ => "decided column by column",
            },
        }
    }
}

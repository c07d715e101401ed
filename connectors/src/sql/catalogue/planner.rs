//! What to do where the columns of the changes and of the table differ (R15, R19).

use arrow::datatypes::Field;

use super::{Action, MARK_TYPE, Plan, TargetColumn, TargetTable, Wanted, check_apart, evolves};
use crate::change::is_undeclared;
use crate::error::{Error, Result};
use crate::sql::Evolution;
use crate::sql::dialect::{Dialect, Fit};
use crate::sql::names::{Case, same_but_case, tell};
use crate::sql::types::{arrow_field, default_type, fit, text_type};
use crate::sql::undeclared::kinds::{Kinds, Suit, is_lent, suit};

pub(super) struct Planner<'a> {
    pub(super) dialect: &'static Dialect,
    pub(super) wanted: &'a Wanted<'a>,
    pub(super) table: &'a TargetTable,
    pub(super) evolution: Evolution,
    pub(super) actions: Vec<Action>,
    pub(super) left_out: Vec<usize>,
}

impl Planner<'_> {
    pub(super) fn plan(mut self) -> Result<Plan> {
        let wanted = self.wanted;
        let fields = wanted.schema.fields();
        let mut columns: Vec<Option<String>> = vec![None; fields.len()];
        // In the order in which a row first has a value, as if the rows had come one by one.
        let first = |index: usize| wanted.kinds.get(index).and_then(|kinds| kinds.first);
        let mut order: Vec<usize> = (0..fields.len()).collect();
        order.sort_by_key(|&index| first(index).map_or(0, |(row, _)| row));
        for index in order {
            columns[index] = self.place(index, &fields[index])?;
        }
        check_apart(self.dialect, self.wanted, Some(self.table), &columns)?;
        if let Some(mark) = self.wanted.soft_delete_column
            && self.table.named(mark, self.wanted.case).is_none()
        {
            if !evolves(self.evolution) {
                return Err(self.refusal(
                    mark,
                    "is missing, which delete = \"soft\" sets: add it as boolean not null default false, or name another one in soft_delete_column",
                ));
            }
            self.actions.push(Action::Add {
                column: mark.to_owned(),
                sql_type: MARK_TYPE.to_owned(),
            });
        }
        let key = self.key(&columns);
        self.table
            .check_key(self.wanted.target, &key, Case::Exact)?;
        if !self.wanted.is_open() {
            self.check_required(&columns)?;
        }
        Ok(Plan {
            actions: self.actions,
            columns,
            left_out: self.left_out,
        })
    }

    /// The key by the names that it has in the table.
    pub(super) fn key(&self, columns: &[Option<String>]) -> Vec<String> {
        let placed = |name: &String| {
            let place = self.wanted.schema.index_of(name).ok()?;
            columns.get(place)?.clone()
        };
        let key = self.wanted.key.iter();
        key.map(|name| placed(name).unwrap_or_else(|| name.clone()))
            .collect()
    }

    /// Where one column of the changes goes.
    pub(super) fn place(&mut self, index: usize, field: &Field) -> Result<Option<String>> {
        let name = field.name();
        if Some(name.as_str()) == self.wanted.soft_delete_column {
            return Ok(None);
        }
        let wanted = self.wanted;
        let kinds = wanted.kinds.get(index).filter(|_| is_undeclared(field));
        let Some(column) = self.table.named(name, self.wanted.case) else {
            return match kinds {
                Some(kinds) => match kinds.made(self.dialect, name) {
                    Some(made) => self.place_new(index, &made),
                    // What only ever is null has no type.
                    None => Ok(None),
                },
                None => self.place_new(index, field),
            };
        };
        let name = &column.name;
        tell(self.wanted.target, field.name(), name);
        let is_key = self.wanted.key.contains(field.name());
        if column.generated || (column.identity && !is_key) {
            return Ok(None);
        }
        if is_lent(field) {
            return Ok(Some(column.name.clone()));
        }
        if let Some(kinds) = kinds {
            return self.place_undeclared(name, column, kinds);
        }
        match (fit(self.dialect, field, &column.sql_type), self.evolution) {
            (Fit::Fits, _)
            | (Fit::Checked, Evolution::Evolve | Evolution::Ignore | Evolution::Fail)
            | (Fit::Widen(_), Evolution::Ignore | Evolution::Fail) => Ok(Some(name.clone())),
            (Fit::Widen(sql_type), Evolution::Evolve | Evolution::Lenient) => {
                self.actions.push(Action::Widen {
                    column: name.clone(),
                    sql_type,
                });
                Ok(Some(name.clone()))
            }
            (Fit::Checked, Evolution::Lenient) if is_foreign(self.dialect, column) => {
                Ok(Some(name.clone()))
            }
            (Fit::Checked | Fit::Mismatch, Evolution::Lenient) => {
                let dialect = self.dialect;
                let suits =
                    |older: &TargetColumn| fit(dialect, field, &older.sql_type) == Fit::Fits;
                self.rename_and_add(field, name, suits)
            }
            (Fit::Mismatch, _) => Err(self.refusal(
                name,
                &format!(
                    "has the type {}, which {} does not fit without loss: cast it in a map operator, alter the column, or write evolution = \"lenient\"",
                    column.sql_type,
                    field.data_type()
                ),
            )),
        }
    }

    /// Where the values of an undeclared column go that the table has. What its type does not hold is
    /// refused value by value.
    pub(super) fn place_undeclared(
        &mut self,
        name: &str,
        column: &TargetColumn,
        kinds: &Kinds,
    ) -> Result<Option<String>> {
        match suit(self.dialect, kinds, &column.sql_type) {
            Suit::Widen(sql_type) if evolves(self.evolution) => {
                self.actions.push(Action::Widen {
                    column: column.name.clone(),
                    sql_type,
                });
            }
            Suit::Never
                if self.evolution == Evolution::Lenient
                    && !self.wanted.key.iter().any(|key| key == name) =>
            {
                let made = kinds.made(self.dialect, name);
                let made = made.expect("values that do not fit are there");
                let dialect = self.dialect;
                let suits =
                    |older: &TargetColumn| suit(dialect, kinds, &older.sql_type) == Suit::Reads;
                return self.rename_and_add(&made, &column.name, suits);
            }
            Suit::Reads | Suit::Widen(_) | Suit::Never => {}
        }
        Ok(Some(column.name.clone()))
    }

    pub(super) fn place_new(&mut self, index: usize, field: &Field) -> Result<Option<String>> {
        let name = field.name();
        let alike = |column: &&TargetColumn| same_but_case(&column.name, name);
        if self.dialect.folds_names
            && let Some(column) = self.table.columns.iter().find(alike)
        {
            return Err(self.refusal(
                &column.name,
                &format!("differs from {name:?} of the changes in its case alone, which the database does not count: write case = \"fold\" in the sink, or rename it in a map operator"),
            ));
        }
        match self.evolution {
            Evolution::Ignore => {
                self.left_out.push(index);
                Ok(None)
            }
            Evolution::Fail => Err(self.refusal(
                name,
                "is missing: add it, drop it in a map operator, or write evolution = \"evolve\" or \"ignore\"",
            )),
            Evolution::Evolve | Evolution::Lenient => {
                self.actions.push(Action::Add {
                    column: name.clone(),
                    sql_type: default_type(self.dialect, field)?,
                });
                Ok(Some(name.clone()))
            }
        }
    }

    /// A type change. Rows of an older schema find the column that was renamed for them, which `suits`
    /// them. `name` is the column's in the table.
    pub(super) fn rename_and_add(
        &mut self,
        field: &Field,
        name: &str,
        suits: impl Fn(&TargetColumn) -> bool,
    ) -> Result<Option<String>> {
        if self.wanted.key.contains(field.name()) {
            return Err(self.refusal(
                name,
                "is part of the key and its type changed: a key column cannot be renamed, alter it by hand",
            ));
        }
        let mut number = 1;
        loop {
            let older = format!("{name}_v{number}");
            match self.table.column(&older) {
                None => {
                    self.actions.push(Action::Rename {
                        column: name.to_owned(),
                        to: older,
                    });
                    self.actions.push(Action::Add {
                        column: name.to_owned(),
                        sql_type: default_type(self.dialect, field)?,
                    });
                    return Ok(Some(name.to_owned()));
                }
                Some(column) if suits(column) => {
                    return Ok(Some(older));
                }
                Some(_) => number += 1,
            }
        }
    }

    /// A column that must have a value and gets none would refuse every insert. Where other changes may
    /// carry it, each row is refused by itself.
    pub(super) fn check_required(&self, columns: &[Option<String>]) -> Result<()> {
        let mark = self.wanted.soft_delete_column;
        let mark = mark
            .and_then(|mark| self.table.named(mark, self.wanted.case))
            .map(|column| column.name.as_str());
        match self.table.required_beside(columns, mark) {
            Some(column) => Err(self.refusal(
                &column.name,
                "takes no null, has no default and is not among the changes: give it a default, or compute it in a map operator",
            )),
            None => Ok(()),
        }
    }

    pub(super) fn refusal(&self, column: &str, problem: &str) -> Error {
        Error::configuration(format!(
            "column {column:?} of table {:?} {problem}",
            self.wanted.target
        ))
    }
}

/// A type that the changes can only carry as text (`inet`, an enum): text is no change of it.
pub(super) fn is_foreign(dialect: &'static Dialect, column: &TargetColumn) -> bool {
    let read = arrow_field(dialect, &column.name, &column.sql_type);
    default_type(dialect, &read).is_ok_and(|text| text == text_type(dialect))
        || column.sql_type.starts_with("bit")
}

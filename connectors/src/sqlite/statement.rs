//! The SQL of a row, from a prepared target and a conflict policy.
//!
//! The parameter of a column is its place in [`Prepared::columns`] plus one; the one after the last
//! is the event time of a delete. `t` is the target's row.

use super::prepare::{Column, Prepared};
use crate::conflict::ConflictPolicy;
use crate::sql::conflict::{Comparison, Predicates, Sides, VersionSides};
use crate::sql::version::VersionKind;
use crate::sqlite::SQLITE;

/// See the module docs.
pub(super) struct Statements<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) policy: &'a ConflictPolicy,
}

impl Statements<'_> {
    /// Inserts or updates a row; a new one gets the defaults of the columns that are not set (R19).
    pub(super) fn upsert(&self, set: &[bool]) -> String {
        let (mut names, mut values) = self.inserted(set);
        if let Some(mark) = &self.prepared.mark {
            names.push(mark);
            values.push("0".to_owned());
        }
        let key: Vec<&str> = self.key().map(|(_, column)| column.name.as_str()).collect();
        format!(
            "INSERT INTO {} AS t ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {} WHERE {}",
            self.prepared.target,
            names.join(", "),
            values.join(", "),
            key.join(", "),
            self.assignments(set),
            self.upsert_applies(set)
        )
    }

    /// Columns and values of an insert that sets some of the columns.
    fn inserted(&self, set: &[bool]) -> (Vec<&str>, Vec<String>) {
        let columns = self.prepared.columns.iter().zip(set).enumerate();
        columns
            .filter(|(_, (column, set))| **set || column.key)
            .map(|(place, (column, _))| (column.name.as_str(), parameter(place)))
            .unzip()
    }

    /// Updates the columns that are set of a row that exists (R14, R19).
    pub(super) fn update(&self, set: &[bool]) -> String {
        format!(
            "UPDATE {} AS t SET {} WHERE {} AND {}",
            self.prepared.target,
            self.assignments(set),
            self.same_key(),
            self.upsert_applies(set)
        )
    }

    /// Deletes a row, or marks it. `set` are the columns that the image before has; a `blind` one says
    /// too little to be compared with the row.
    pub(super) fn delete(&self, set: &[bool], blind: bool) -> String {
        let (source, target) = (self.delete_version(set), self.target_version());
        let version = source
            .zip(target)
            .map(|(source, target)| self.sides(source, target));
        let predicates = Predicates::new(&SQLITE, self.policy, version);
        // Such an image cannot say that the row is the one that was deleted (C1).
        let conflicts = if blind {
            "TRUE".to_owned()
        } else {
            predicates.delete_conflicts(&self.columns(set))
        };
        let marked = self.marked();
        let applies = format!(
            "syncline_delete({marked}, {conflicts}, {})",
            predicates.delete_wins()
        );
        let (target, key) = (&self.prepared.target, self.same_key());
        match &self.prepared.mark {
            Some(mark) => format!("UPDATE {target} AS t SET {mark} = 1 WHERE {key} AND {applies}"),
            None => format!("DELETE FROM {target} AS t WHERE {key} AND {applies}"),
        }
    }

    /// Reads the row of a key, whose columns are the parameters in their order; the mark of soft
    /// deletes comes last.
    pub(super) fn read(&self) -> String {
        let columns = self.prepared.columns.iter();
        let names: Vec<String> = columns.map(|column| format!("t.{}", column.name)).collect();
        let terms: Vec<String> = self
            .key()
            .enumerate()
            .map(|(number, (_, column))| format!("t.{} = {}", column.name, parameter(number)))
            .collect();
        format!(
            "SELECT {}, {} FROM {} AS t WHERE {}",
            names.join(", "),
            self.marked(),
            self.prepared.target,
            terms.join(" AND ")
        )
    }

    /// Inserts a row, whatever was decided; the parameter after the last column is the mark.
    pub(super) fn plain_insert(&self, set: &[bool]) -> String {
        let (mut names, mut values) = self.inserted(set);
        if let Some(mark) = &self.prepared.mark {
            names.push(mark);
            values.push(parameter(self.prepared.columns.len()));
        }
        format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.prepared.target,
            names.join(", "),
            values.join(", ")
        )
    }

    /// Updates the columns that are set; the parameter after the last column is the mark.
    pub(super) fn plain_update(&self, set: &[bool]) -> String {
        let mut terms: Vec<String> = self
            .written(set)
            .map(|(place, column)| format!("{} = {}", column.name, parameter(place)))
            .collect();
        if let Some(mark) = &self.prepared.mark {
            terms.push(format!(
                "{mark} = {}",
                parameter(self.prepared.columns.len())
            ));
        }
        if terms.is_empty() {
            let name = self
                .key()
                .next()
                .map_or("", |(_, column)| column.name.as_str());
            terms.push(format!("{name} = t.{name}"));
        }
        format!(
            "UPDATE {} AS t SET {} WHERE {}",
            self.prepared.target,
            terms.join(", "),
            self.same_key()
        )
    }

    /// Deletes a row, whatever was decided.
    pub(super) fn plain_delete(&self) -> String {
        format!(
            "DELETE FROM {} AS t WHERE {}",
            self.prepared.target,
            self.same_key()
        )
    }

    /// Empties the target (R13).
    pub(super) fn truncate(prepared: &Prepared) -> String {
        let target = &prepared.target;
        match &prepared.mark {
            Some(mark) => format!("UPDATE {target} SET {mark} = 1 WHERE {mark} IS NOT TRUE"),
            None => format!("DELETE FROM {target}"),
        }
    }

    /// The parameter of the event time of a delete, where its version may fall back on it (C6).
    pub(super) fn event_time_parameter(&self) -> Option<usize> {
        let version = self.prepared.version.as_ref()?;
        (version.kind == VersionKind::Instant).then_some(self.prepared.columns.len() + 1)
    }

    fn key(&self) -> impl Iterator<Item = (usize, &Column)> {
        let columns = self.prepared.columns.iter().enumerate();
        columns.filter(|(_, column)| column.key)
    }

    fn same_key(&self) -> String {
        let terms: Vec<String> = self
            .key()
            .map(|(place, column)| format!("t.{} = {}", column.name, parameter(place)))
            .collect();
        terms.join(" AND ")
    }

    fn marked(&self) -> String {
        match &self.prepared.mark {
            Some(mark) => format!("t.{mark} IS TRUE"),
            None => "FALSE".to_owned(),
        }
    }

    /// The columns that are written, without the key.
    fn columns(&self, set: &[bool]) -> Vec<Sides> {
        self.written(set)
            .map(|(place, column)| sides(place, column))
            .collect()
    }

    fn written<'a>(&'a self, set: &'a [bool]) -> impl Iterator<Item = (usize, &'a Column)> {
        let columns = self.prepared.columns.iter().enumerate();
        columns.filter(|(place, column)| !column.key && set[*place])
    }

    fn assignments(&self, set: &[bool]) -> String {
        let predicates = self.predicates(set);
        let mut terms: Vec<String> = self
            .written(set)
            .map(|(place, column)| {
                let sides = sides(place, column);
                format!("{} = {}", column.name, predicates.value(&sides))
            })
            .collect();
        if let Some(mark) = &self.prepared.mark {
            terms.push(format!("{mark} = 0"));
        }
        if terms.is_empty() {
            // Nothing but the key: the row stays what it is, and is counted.
            let name = self
                .key()
                .next()
                .map_or("", |(_, column)| column.name.as_str());
            terms.push(format!("{name} = t.{name}"));
        }
        terms.join(", ")
    }

    fn upsert_applies(&self, set: &[bool]) -> String {
        let predicates = self.predicates(set);
        let columns = self.columns(set);
        format!(
            "syncline_upsert({}, {}, {}, {})",
            predicates.differs(&columns),
            predicates.upsert_conflicts(&columns),
            predicates.upsert_wins(&columns),
            self.marked()
        )
    }

    fn predicates(&self, set: &[bool]) -> Predicates<'_> {
        let version = self.prepared.version.as_ref().zip(self.target_version());
        let version = version.map(|(version, target)| {
            let source = if set[version.column] {
                version.of_source(&parameter(version.column))
            } else {
                "NULL".to_owned()
            };
            self.sides(source, target)
        });
        Predicates::new(&SQLITE, self.policy, version)
    }

    fn sides(&self, source: String, target: String) -> VersionSides {
        VersionSides {
            source,
            target,
            threshold: self
                .prepared
                .version
                .as_ref()
                .and_then(|version| version.threshold.clone()),
        }
    }

    fn target_version(&self) -> Option<String> {
        let version = self.prepared.version.as_ref()?;
        let name = &self.prepared.columns[version.column].name;
        Some(version.of_target(&format!("t.{name}")))
    }

    /// The version of a delete: that of its image before, else its event time (C6).
    pub(super) fn delete_version(&self, set: &[bool]) -> Option<String> {
        let version = self.prepared.version.as_ref()?;
        let image = set[version.column].then(|| version.of_source(&parameter(version.column)));
        let event = self
            .event_time_parameter()
            .map(|number| version.comparable(&format!("?{number}")));
        Some(match (image, event) {
            (Some(image), Some(event)) => format!("COALESCE({image}, {event})"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => "NULL".to_owned(),
        })
    }
}

fn parameter(place: usize) -> String {
    format!("?{}", place + 1)
}

fn sides(place: usize, column: &Column) -> Sides {
    Sides {
        source: parameter(place),
        // Whatever collation the column has, values that differ in their case differ.
        target: format!("t.{} COLLATE BINARY", column.name),
        comparison: Comparison::Exact,
    }
}

//! Random histories of two writers, compared with a model that applies one change at a time (R8):
//! changes come through the sink, and direct edits of the target happen in between.
//!
//! A history consists of several rounds: changes, then edits. The sink gets the changes of a round
//! in batches of 1, 7 and 60. For every batch size, strategy and way to write, the rows must be
//! those of the model. The outcome must also be the model's, including every conflict, unless
//! changes were folded into later ones; then every change must still be counted once (R17). The
//! histories have fixed seeds, so a failure is repeatable.

mod policies;
mod script;

use self::policies::policies;
use self::script::{Edit, Round, script};
use super::cells::{Cell, Column, Event, changes, create_table, show};
use super::decision_table::Bucket;
use super::model::Model;
use super::sink::{TestDatabase, Writer, options};
use crate::conflict::{ConflictPolicy, Path, canonical_json};
use crate::error::Error;
use crate::sink::Outcome;
use crate::sql::{DeleteMode, Options};

/// Checks that every history gives the result of the model, through the statement if it can decide,
/// and through the resolver. Only one in `one_in` histories is run, for targets on which each takes
/// long.
pub async fn check_random_histories(database: &dyn TestDatabase, one_in: usize) {
    check(database, &[Path::Statement, Path::Resolver], one_in).await;
}

/// The same as [`check_random_histories`] for strategies that the statement decides; for a database
/// without a resolver.
pub async fn check_statement_histories(database: &dyn TestDatabase) {
    check(database, &[Path::Statement], 1).await;
}

async fn check(database: &dyn TestDatabase, paths: &[Path], one_in: usize) {
    let mut problems = Vec::new();
    let mut number = 0;
    for (seed, (policy, columns)) in policies().into_iter().enumerate() {
        for delete in [DeleteMode::Hard, DeleteMode::Soft] {
            for with_before in [false, true] {
                for &path in paths {
                    if path == Path::Statement
                        && !policy.fits_statement(with_before, delete == DeleteMode::Soft)
                    {
                        continue;
                    }
                    number += 1;
                    if number % one_in != 0 {
                        continue;
                    }
                    let history = History {
                        database,
                        policy: ConflictPolicy {
                            path,
                            ..policy.clone()
                        },
                        delete,
                        columns: &columns,
                        with_before,
                        script: script(seed as u64, &columns, with_before, delete),
                    };
                    for rows in [1, 7, 60] {
                        problems.extend(history.check(rows).await.err());
                    }
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} histories have another result than one change at a time, in {:?}; the first: {}",
        problems.len(),
        problems
            .iter()
            .map(|problem| problem.lines().next())
            .collect::<Vec<_>>(),
        problems[0]
    );
}

/// One history under one policy.
struct History<'a> {
    database: &'a dyn TestDatabase,
    policy: ConflictPolicy,
    delete: DeleteMode,
    columns: &'a [Column],
    with_before: bool,
    script: Vec<Round>,
}

/// The result of a round.
#[derive(Debug, Default, PartialEq)]
struct RoundResult {
    outcome: Outcome,
    rejected: Vec<(usize, String)>,
    /// `id:cells:alive` for each row, ordered by the key.
    rows: Vec<String>,
}

impl History<'_> {
    /// Runs the history in batches of `rows` changes; returns a description of the first
    /// difference.
    async fn check(&self, rows: usize) -> Result<(), String> {
        self.database.reset().await;
        let table = create_table(self.columns, self.database.types());
        self.database.execute(&table).await;
        let options = Options {
            conflict: self.policy.clone(),
            delete: self.delete,
            ..options()
        };
        let mut writer = Writer::open(self.database, &options).await;
        let mut model = Model::new(&self.policy, self.delete, self.columns);
        for (number, round) in self.script.iter().enumerate() {
            let wanted = self.expected(&mut model, round);
            let mut found = RoundResult::default();
            for (at, part) in round.changes.chunks(rows).enumerate() {
                self.write(&mut writer, part, at * rows, &mut found).await;
            }
            found.rows = self.rows().await;
            let folded = found.outcome.superseded > 0;
            let same = if folded {
                found.rows == wanted.rows
            } else {
                found == wanted
            };
            if !same {
                writer.sink.close().await.unwrap();
                return Err(format!(
                    "round {number} in batches of {rows}, {:?} {:?}, {:?} tie {:?}, {:?}, deletes {:?}, {} images of {:?}\n found {found:?}\nwanted {wanted:?}\n{}",
                    self.policy.strategy,
                    self.policy.columns,
                    self.policy.detect,
                    self.policy.tie,
                    self.policy.path,
                    self.delete,
                    if self.with_before { "with" } else { "without" },
                    self.columns,
                    round.text()
                ));
            }
            for edit in &round.edits {
                self.edit(edit, &mut model).await;
            }
        }
        writer.sink.close().await.unwrap();
        Ok(())
    }

    /// The model's result of a round.
    fn expected(&self, model: &mut Model, round: &Round) -> RoundResult {
        let mut end = RoundResult::default();
        for (number, event) in round.changes.iter().enumerate() {
            let (bucket, conflict) = model.apply(event);
            match bucket {
                Bucket::Written => end.outcome.written += 1,
                Bucket::Kept => end.outcome.kept += 1,
                Bucket::Queued => {
                    end.outcome.kept += 1;
                    end.outcome.queued += 1;
                }
                Bucket::Rejected(rule) => end.rejected.push((number, rule)),
            }
            if let Some(kind) = conflict {
                end.outcome.conflicts.add(kind, 1);
            }
        }
        end.rows = model
            .rows
            .iter()
            .map(|(id, (row, marked))| {
                let row: Vec<Cell> = row.iter().cloned().map(Cell::of).collect();
                row_text(*id, &row, *marked)
            })
            .collect();
        end
    }

    /// Writes the changes and skips rejected ones, as a pipeline does.
    async fn write(
        &self,
        writer: &mut Writer,
        events: &[Event],
        first: usize,
        end: &mut RoundResult,
    ) {
        let mut left: Vec<(usize, Event)> = (first..).zip(events.iter().cloned()).collect();
        let mut rejected_here = Vec::new();
        while !left.is_empty() {
            let events: Vec<Event> = left.iter().map(|(_, event)| event.clone()).collect();
            let batch = changes(self.columns, &events, self.with_before);
            match writer.write(vec![batch]).await {
                Ok(outcome) => {
                    end.outcome += &outcome;
                    break;
                }
                Err(Error::Rejected(rejected)) => {
                    assert!(!rejected.is_empty());
                    for change in rejected.into_iter().rev() {
                        let (number, _) = left.remove(change.row);
                        rejected_here.push((number, change.rule));
                    }
                }
                Err(error) => panic!("{:?}: {}", self.policy, error.chain()),
            }
        }
        rejected_here.sort();
        end.rejected.append(&mut rejected_here);
    }

    /// Edits a row of the target, if it exists.
    async fn edit(&self, edit: &Edit, model: &mut Model) {
        let alive = model.rows.get(&edit.id).is_some_and(|(_, marked)| !marked);
        if !alive {
            return;
        }
        let id = edit.id;
        let sql = match &edit.row {
            Some(row) => {
                let terms: Vec<String> = self
                    .columns
                    .iter()
                    .zip(row)
                    .filter(|(_, cell)| !cell.is_unset())
                    .map(|(column, cell)| format!("{} = {}", column.name(), cell.literal()))
                    .collect();
                format!("UPDATE clients SET {} WHERE id = {id}", terms.join(", "))
            }
            None => format!("DELETE FROM clients WHERE id = {id}"),
        };
        self.database.execute(&sql).await;
        match (&edit.row, model.rows.get_mut(&id)) {
            (Some(cells), Some((row, _))) => {
                for (value, cell) in row.iter_mut().zip(cells) {
                    if !cell.is_unset() {
                        *value = cell.known().cloned();
                    }
                }
            }
            _ => {
                model.rows.remove(&id);
            }
        }
    }

    async fn rows(&self) -> Vec<String> {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name()).collect();
        let query = format!(
            "SELECT id, CASE WHEN _deleted THEN 'deleted' ELSE 'alive' END, {} FROM clients ORDER BY id",
            names.join(", ")
        );
        let read = |row: Vec<Option<String>>| {
            let mut texts = row.into_iter();
            let id = texts.next().flatten().unwrap().parse().unwrap();
            let marked = texts.next().flatten().as_deref() == Some("deleted");
            let cells: Vec<Cell> = self
                .columns
                .iter()
                .zip(texts)
                .map(|(column, text)| Cell::of(text.map(|text| column.value(&text))))
                .collect();
            row_text(id, &cells, marked)
        };
        self.database
            .query(&query)
            .await
            .into_iter()
            .map(read)
            .collect()
    }
}

fn row_text(id: i64, row: &[Cell], marked: bool) -> String {
    let state = if marked { "deleted" } else { "alive" };
    // Compared by value, because a database may reorder the keys of a document.
    let plain = show(row);
    let cells: Vec<String> = plain
        .split('|')
        .map(|cell| match canonical_json(cell) {
            Some(document) if cell.starts_with(['{', '[']) => document,
            _ => cell.to_owned(),
        })
        .collect();
    format!("{id}:{}:{state}", cells.join("|"))
}

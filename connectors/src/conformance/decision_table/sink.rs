//! Checks a sink against the decision table.
//!
//! The cases of a policy share a table and differ by their key. First all of them are written in
//! one batch; then each is written in a batch of its own, with another key. The target's row is
//! inserted with SQL, also a row that a soft delete left. A tombstone is created by a create and a
//! delete through the sink.

use super::resolver::report;
use super::{Bucket, Case, TargetState, groups};
use crate::change::Operation;
use crate::conflict::{ConflictPolicy, Path};
use crate::conformance::cells::{Cell, Column, Event, changes, create_table, show};
use crate::conformance::sink::{TestDatabase, Writer, options};
use crate::error::Error;
use crate::sink::Outcome;
use crate::sql::{DeleteMode, Options};

/// The difference between the key of a case alone and its key in the common batch.
const ALONE: i64 = 100_000;

/// Checks that the sink gives the expected result of every case, through the statement if it can
/// decide, and through the resolver.
pub async fn check_decision_table(database: &dyn TestDatabase) {
    check(database, &[Path::Statement, Path::Resolver]).await;
}

/// The same as [`check_decision_table`] for strategies that the statement decides; for a database
/// without a resolver.
pub async fn check_statement_decisions(database: &dyn TestDatabase) {
    check(database, &[Path::Statement]).await;
}

async fn check(database: &dyn TestDatabase, paths: &[Path]) {
    let mut problems = Vec::new();
    for (policy, group) in groups() {
        let (marked, plain): (Vec<Case>, Vec<Case>) = group
            .into_iter()
            .partition(|case| matches!(case.target, TargetState::Marked(_)));
        for (delete, group) in [(DeleteMode::Hard, plain), (DeleteMode::Soft, marked)] {
            for with_before in [false, true] {
                let cases = group
                    .iter()
                    .filter(|case| with_before || case.event.before.is_none());
                let cases: Vec<Case> = cases.cloned().collect();
                for &path in paths {
                    if path == Path::Statement
                        && !policy.fits_statement(with_before, delete == DeleteMode::Soft)
                    {
                        continue;
                    }
                    if cases.is_empty() {
                        continue;
                    }
                    let trial = Trial {
                        database,
                        policy: ConflictPolicy {
                            path,
                            ..policy.clone()
                        },
                        delete,
                        with_before,
                        columns: &cases[0].columns,
                    };
                    problems.extend(trial.run(&cases).await);
                }
            }
        }
    }
    report(&problems);
}

/// One policy on one path.
struct Trial<'a> {
    database: &'a dyn TestDatabase,
    policy: ConflictPolicy,
    delete: DeleteMode,
    with_before: bool,
    columns: &'a [Column],
}

/// The result of changes: the outcome of the accepted ones, and the rules of the rejected ones by
/// their index.
#[derive(Debug, Default, PartialEq)]
struct CaseResults {
    outcome: Outcome,
    refused: Vec<(i64, String)>,
}

impl Trial<'_> {
    async fn run(&self, cases: &[Case]) -> Vec<String> {
        self.database.reset().await;
        let table = create_table(self.columns, self.database.types());
        self.database.execute(&table).await;
        let options = Options {
            conflict: self.policy.clone(),
            delete: self.delete,
            ..options()
        };
        let mut writer = Writer::open(self.database, &options).await;
        let alone: Vec<usize> = (0..cases.len())
            .filter(|&index| self.alone(&cases[index]))
            .collect();
        let ids: Vec<(i64, &Case)> = (0..cases.len())
            .map(|index| (index as i64, &cases[index]))
            .chain(alone.iter().map(|&at| (at as i64 + ALONE, &cases[at])))
            .collect();
        self.prepare(&mut writer, &ids).await;

        let mut problems = Vec::new();
        let (together, single) = ids.split_at(cases.len());
        let found = self.write(&mut writer, together).await;
        let wanted = CaseResults::of(together);
        if found != wanted {
            problems.push(self.problem("all at once", cases[0].line, &found, &wanted));
        }
        for one in single {
            let one = std::slice::from_ref(one);
            let found = self.write(&mut writer, one).await;
            let wanted = CaseResults::of(one);
            if found != wanted {
                problems.push(self.problem("alone", one[0].1.line, &found, &wanted));
            }
        }
        writer.sink.close().await.unwrap();
        let rows = self.rows().await;
        for (id, case) in ids {
            let found = rows.iter().find(|(found, _)| *found == id);
            let found = found.map_or("none".to_owned(), |(_, row)| show(row));
            let wanted = case.row.as_deref().map_or("none".to_owned(), show);
            if !same(&found, &wanted) {
                let many = if id < ALONE { "all at once" } else { "alone" };
                problems.push(self.problem(many, case.line, &found, &wanted));
            }
        }
        problems
    }

    /// Whether the case is also written alone. Not needed for a read, which every sink treats as a
    /// create; for a result that holds for both ties and is tested with one; and for changes
    /// without rows before, which were already alone without them.
    fn alone(&self, case: &Case) -> bool {
        let event = &case.event;
        let seen = self.with_before && event.image().is_none();
        let other_tie = case.any_tie && self.policy.tie != crate::conflict::Tie::Target;
        event.operation != Operation::Read && !seen && !other_tie
    }

    /// Inserts the rows that the cases need into the target.
    async fn prepare(&self, writer: &mut Writer, ids: &[(i64, &Case)]) {
        let rows: Vec<String> = ids
            .iter()
            .filter_map(|(id, case)| {
                let cells = case.target.cells()?.iter().map(Cell::literal);
                let cells: Vec<String> = cells.collect();
                let marked = matches!(case.target, TargetState::Marked(_));
                Some(format!("({id}, {}, {marked})", cells.join(", ")))
            })
            .collect();
        if !rows.is_empty() {
            let rows = rows.join(", ");
            self.database
                .execute(&format!("INSERT INTO clients VALUES {rows}"))
                .await;
        }
        let mut tombstones = Vec::new();
        for (id, case) in ids {
            if let TargetState::Tombstone(version) = case.target {
                let version = Column::Version.value(&version.to_string());
                let cells = self.columns.iter().map(|column| match column {
                    Column::Version => Cell::Is(version.clone()),
                    _ => Cell::Null,
                });
                tombstones.push(Event {
                    operation: Operation::Create,
                    id: *id,
                    before: None,
                    row: cells.collect(),
                });
            }
        }
        if tombstones.is_empty() {
            return;
        }
        for operation in [Operation::Create, Operation::Delete] {
            for event in &mut tombstones {
                event.operation = operation;
            }
            let batch = changes(self.columns, &tombstones, false);
            let done = writer.write(vec![batch]).await.unwrap();
            assert_eq!(
                done.written,
                tombstones.len() as u64,
                "{operation:?}: {done:?}"
            );
        }
    }

    /// Writes the changes and skips rejected ones, as a pipeline does.
    async fn write(&self, writer: &mut Writer, ids: &[(i64, &Case)]) -> CaseResults {
        let mut events: Vec<Event> = ids
            .iter()
            .map(|(id, case)| Event {
                id: *id,
                ..case.event.clone()
            })
            .collect();
        let mut end = CaseResults::default();
        while !events.is_empty() {
            let batch = changes(self.columns, &events, self.with_before);
            match writer.write(vec![batch]).await {
                Ok(outcome) => {
                    end.outcome = outcome;
                    break;
                }
                Err(Error::Rejected(rejected)) => {
                    assert!(!rejected.is_empty());
                    for change in rejected.into_iter().rev() {
                        let event = events.remove(change.row);
                        end.refused.push((event.id, change.rule));
                    }
                }
                Err(error) => panic!("{:?}: {}", self.policy, error.chain()),
            }
        }
        end.refused.sort();
        end
    }

    async fn rows(&self) -> Vec<(i64, Vec<Cell>)> {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name()).collect();
        let query = format!(
            "SELECT id, {} FROM clients WHERE NOT _deleted ORDER BY id",
            names.join(", ")
        );
        let read = |row: Vec<Option<String>>| {
            let mut texts = row.into_iter();
            let id = texts.next().flatten().unwrap().parse().unwrap();
            let cells = self
                .columns
                .iter()
                .zip(texts)
                .map(|(column, text)| Cell::of(text.map(|text| column.value(&text))));
            (id, cells.collect())
        };
        let rows = self.database.query(&query).await;
        rows.into_iter().map(read).collect()
    }

    fn problem(
        &self,
        many: &str,
        line: usize,
        found: &dyn std::fmt::Debug,
        wanted: &dyn std::fmt::Debug,
    ) -> String {
        format!(
            "decision_table.txt:{line} ({} {:?} tie {:?}, {:?}, deletes {:?}, {} images, {many}): found {found:?}, expected {wanted:?}",
            self.policy.strategy.name(),
            self.policy.detect,
            self.policy.tie,
            self.policy.path,
            self.delete,
            if self.with_before { "with" } else { "without" },
        )
    }
}

impl CaseResults {
    /// The expected result of these cases.
    fn of(ids: &[(i64, &Case)]) -> Self {
        let mut end = Self::default();
        for (id, case) in ids {
            match &case.bucket {
                Bucket::Written => end.outcome.written += 1,
                Bucket::Kept => end.outcome.kept += 1,
                Bucket::Queued => {
                    end.outcome.kept += 1;
                    end.outcome.queued += 1;
                }
                Bucket::Rejected(rule) => end.refused.push((*id, rule.clone())),
            }
            if let Some((kind, _)) = case.conflict {
                end.outcome.conflicts.add(kind, 1);
            }
        }
        end.refused.sort();
        end
    }
}

/// Whether two rows are equal: documents by value, everything else by its text.
fn same(found: &str, wanted: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let (found, wanted) = (found.split('|'), wanted.split('|'));
    found.clone().count() == wanted.clone().count()
        && found.zip(wanted).all(|(found, wanted)| {
            found == wanted || (found.starts_with(['{', '[']) && value(found) == value(wanted))
        })
}

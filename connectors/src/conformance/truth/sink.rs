//! The table against a whole sink.
//!
//! The cases of a policy share a table and differ by their key. All of them go in one batch; then
//! every one goes in a batch of its own, with another key. A target's row is put there by SQL, a
//! row that a soft delete left too; a grave by a create and a delete through the sink.

use super::resolver::report;
use super::{Bucket, Case, Held, groups};
use crate::change::Operation;
use crate::conflict::{ConflictPolicy, Path};
use crate::conformance::cells::{Cell, Column, Event, changes, create_table, show};
use crate::conformance::sink::{Bench, Writer, options};
use crate::error::Error;
use crate::sink::Outcome;
use crate::sql::{DeleteMode, Options};

/// By how much the key of a case alone is higher than its key in the batch of all.
const ALONE: i64 = 100_000;

/// Passes where the sink ends every case as it is written down, through the statement where that can
/// decide, and through the resolver.
pub async fn check_truth(bench: &dyn Bench) {
    check(bench, &[Path::Statement, Path::Resolver]).await;
}

/// As [`check_truth`], as far as the statement decides; for a bench without a resolver.
pub async fn check_statements(bench: &dyn Bench) {
    check(bench, &[Path::Statement]).await;
}

async fn check(bench: &dyn Bench, paths: &[Path]) {
    let mut problems = Vec::new();
    for (policy, group) in groups() {
        let (marked, plain): (Vec<Case>, Vec<Case>) = group
            .into_iter()
            .partition(|case| matches!(case.held, Held::Marked(_)));
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
                        bench,
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
    bench: &'a dyn Bench,
    policy: ConflictPolicy,
    delete: DeleteMode,
    with_before: bool,
    columns: &'a [Column],
}

/// What became of changes: the outcome of those that were not refused, and the rules of those that
/// were, by their place.
#[derive(Debug, Default, PartialEq)]
struct End {
    outcome: Outcome,
    refused: Vec<(i64, String)>,
}

impl Trial<'_> {
    async fn run(&self, cases: &[Case]) -> Vec<String> {
        self.bench.reset().await;
        let table = create_table(self.columns, self.bench.types());
        self.bench.execute(&table).await;
        let options = Options {
            conflict: self.policy.clone(),
            delete: self.delete,
            ..options()
        };
        let mut writer = Writer::open(self.bench, &options).await;
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
        let wanted = End::of(together);
        if found != wanted {
            problems.push(self.problem("all at once", cases[0].line, &found, &wanted));
        }
        for one in single {
            let one = std::slice::from_ref(one);
            let found = self.write(&mut writer, one).await;
            let wanted = End::of(one);
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

    /// Whether the case goes alone too: a read is a create to every sink, an outcome under either
    /// tie is seen under one, and what carries no image was alone without images already.
    fn alone(&self, case: &Case) -> bool {
        let event = &case.event;
        let seen = self.with_before && event.image().is_none();
        let other_tie = case.any_tie && self.policy.tie != crate::conflict::Tie::Target;
        event.operation != Operation::Read && !seen && !other_tie
    }

    /// Puts what the cases meet into the target.
    async fn prepare(&self, writer: &mut Writer, ids: &[(i64, &Case)]) {
        let rows: Vec<String> = ids
            .iter()
            .filter_map(|(id, case)| {
                let cells = case.held.cells()?.iter().map(Cell::literal);
                let cells: Vec<String> = cells.collect();
                let marked = matches!(case.held, Held::Marked(_));
                Some(format!("({id}, {}, {marked})", cells.join(", ")))
            })
            .collect();
        if !rows.is_empty() {
            let rows = rows.join(", ");
            self.bench
                .execute(&format!("INSERT INTO clients VALUES {rows}"))
                .await;
        }
        let mut graves = Vec::new();
        for (id, case) in ids {
            if let Held::Grave(version) = case.held {
                let version = Column::Version.value(&version.to_string());
                let cells = self.columns.iter().map(|column| match column {
                    Column::Version => Cell::Is(version.clone()),
                    _ => Cell::Null,
                });
                graves.push(Event {
                    operation: Operation::Create,
                    id: *id,
                    before: None,
                    row: cells.collect(),
                });
            }
        }
        if graves.is_empty() {
            return;
        }
        for operation in [Operation::Create, Operation::Delete] {
            for event in &mut graves {
                event.operation = operation;
            }
            let batch = changes(self.columns, &graves, false);
            let done = writer.write(vec![batch]).await.unwrap();
            assert_eq!(done.written, graves.len() as u64, "{operation:?}: {done:?}");
        }
    }

    /// Writes what is not refused, as the pipeline does.
    async fn write(&self, writer: &mut Writer, ids: &[(i64, &Case)]) -> End {
        let mut events: Vec<Event> = ids
            .iter()
            .map(|(id, case)| Event {
                id: *id,
                ..case.event.clone()
            })
            .collect();
        let mut end = End::default();
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
        let rows = self.bench.query(&query).await;
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
            "truth.txt:{line} ({} {:?} tie {:?}, {:?}, deletes {:?}, {} images, {many}): found {found:?}, expected {wanted:?}",
            self.policy.strategy.name(),
            self.policy.detect,
            self.policy.tie,
            self.policy.path,
            self.delete,
            if self.with_before { "with" } else { "without" },
        )
    }
}

impl End {
    /// What is written down for these cases.
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

/// Whether two rows as they are shown are one: documents by their value, everything else by its text.
fn same(found: &str, wanted: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let (found, wanted) = (found.split('|'), wanted.split('|'));
    found.clone().count() == wanted.clone().count()
        && found.zip(wanted).all(|(found, wanted)| {
            found == wanted || (found.starts_with(['{', '[']) && value(found) == value(wanted))
        })
}

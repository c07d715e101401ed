//! Measures what a change costs as the work grows: more tables in a write, larger batches, wider rows, more
//! rows in the target, more conflicts, hotter keys, more writers of one partition, more partitions of a topic,
//! more idle pipelines in a process. Each curve is one table; the ratio is that of its
//! point to the point that the curve is measured against, in the same run.
//!
//! The databases are those of `SYNCLINE_TEST_POSTGRES` and `SYNCLINE_TEST_MYSQL`, which `make bench` starts, and an
//! SQLite file. `cargo bench --bench scale -- tables` measures the curves whose name holds `tables`.

mod pipelines;
#[path = "../support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Value, json};
use support::{Run, events, show, sink_of, time};
use syncline_connectors::change::{Changes, Operation, Table};
use syncline_connectors::record::{Partition, Span};
use syncline_connectors::sink::{Sink, Write};
use tokio::runtime::Runtime;

/// How often each point is measured; the median is printed.
const ROUNDS: usize = 3;

/// Measures and prints one curve.
type Curve = fn(&Database);

/// A target database.
struct Database {
    kind: &'static str,
    runtime: Runtime,
    folder: tempfile::TempDir,
    fresh: RefCell<u64>,
}

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let runs = |name: &str| wanted.as_deref().is_none_or(|wanted| name.contains(wanted));
    for kind in ["postgres", "mysql", "sqlite"] {
        let database = Database {
            kind,
            runtime: Runtime::new().expect("a runtime starts"),
            folder: tempfile::tempdir().expect("a temporary folder"),
            fresh: RefCell::default(),
        };
        let curves: [(&str, Curve); 7] = [
            ("tables", tables),
            ("batch", batch_rows),
            ("columns", columns),
            ("target", target_rows),
            ("conflicts", conflicts),
            ("keys", keys),
            ("writers", writers),
        ];
        for (name, curve) in curves {
            if runs(&format!("{kind} {name}")) {
                curve(&database);
            }
        }
    }
    if runs("partitions") {
        pipelines::partitions();
    }
    if runs("pipelines") {
        pipelines::idle();
    }
}

/// The same 24,000 changes over more and more tables, 8,000 a write.
fn tables(database: &Database) {
    const ROWS: u64 = 8_000;
    const WRITES: u64 = 3;
    database.curve("tables in a write", &[1, 10, 100, 200, 1_000], |tables| {
        let prefix = database.fresh();
        let mut sink = database.sink("{table}", &prefix, json!({}));
        let batch = |first: u64| {
            let each = ROWS / tables;
            let tables = (0..tables).map(|table| {
                let rows = events::rows(first + table * each, each);
                of_table(rows, &format!("{prefix}_{table}"))
            });
            tables.collect::<Vec<_>>()
        };
        let writes: Vec<Vec<Changes>> = (0..=WRITES).map(|write| batch(write * ROWS)).collect();
        let mut writes = writes.into_iter();
        // The first write makes the tables.
        database.write(&mut *sink, writes.next().expect("there is one"), 0);
        time(ROWS * WRITES, || {
            for (number, changes) in writes.enumerate() {
                database.write(&mut *sink, changes, number as i64 + 1);
            }
        })
    });
}

/// Inserts in batches of more and more rows.
fn batch_rows(database: &Database) {
    let sizes = [1, 10, 100, 1_000, 10_000, 50_000];
    database.curve("rows of a batch", &sizes, |rows| {
        let writes = (50_000 / rows).min(300);
        let table = database.fresh();
        let mut sink = database.sink(&table, "clients", json!({}));
        let batches: Vec<RecordBatch> = (0..=writes)
            .map(|write| events::rows(write * rows, rows))
            .collect();
        let mut batches = batches.into_iter();
        let first = batches.next().expect("there is one");
        database.write(&mut *sink, vec![of_table(first, "clients")], 0);
        time(rows * writes, || {
            for (number, batch) in batches.enumerate() {
                let changes = vec![of_table(batch, "clients")];
                database.write(&mut *sink, changes, number as i64 + 1);
            }
        })
    });
}

/// Rows of more and more columns, as many values in all; the unit is a value.
fn columns(database: &Database) {
    const VALUES: u64 = 400_000;
    let widest = if database.kind == "mysql" { 500 } else { 1_000 };
    database.curve("columns of a row", &[10, 100, widest], |columns| {
        let table = database.fresh();
        let mut sink = database.sink(&table, "clients", json!({}));
        let rows = VALUES / columns / 4;
        let batches: Vec<RecordBatch> = (0..=4).map(|n| wide(n * rows, rows, columns)).collect();
        let mut batches = batches.into_iter();
        let first = batches.next().expect("there is one");
        database.write(&mut *sink, vec![of_table(first, "clients")], 0);
        time(VALUES, || {
            for (number, batch) in batches.enumerate() {
                let changes = vec![of_table(batch, "clients")];
                database.write(&mut *sink, changes, number as i64 + 1);
            }
        })
    });
}

/// Updates of random rows of larger and larger targets.
fn target_rows(database: &Database) {
    const ROWS: u64 = 5_000;
    const WRITES: u64 = 4;
    database.curve(
        "rows in the target",
        &[10_000, 100_000, 1_000_000],
        |held| {
            let table = database.fresh();
            let mut sink = database.sink(&table, "clients", json!({}));
            for first in (0..held).step_by(50_000) {
                let rows = narrow((first..held.min(first + 50_000)).map(|id| (id, 0)));
                database.write(&mut *sink, vec![of_table(rows, "clients")], first as i64);
            }
            let writes: Vec<Vec<Changes>> = (0..WRITES)
                .map(|write| {
                    let ids = (0..ROWS).map(|row| (spread(write * ROWS + row) % held, write + 1));
                    let mut changes = of_table(narrow(ids), "clients");
                    changes.operations.fill(Operation::Update);
                    vec![changes]
                })
                .collect();
            time(ROWS * WRITES, || {
                for (number, changes) in writes.into_iter().enumerate() {
                    database.write(&mut *sink, changes, (held + number as u64) as i64);
                }
            })
        },
    );
}

/// `newest_wins` where more and more of the target's rows, in per cent, are newer.
fn conflicts(database: &Database) {
    const ROWS: u64 = 10_000;
    database.curve("per cent of conflicts", &[0, 1, 10, 50, 100], |share| {
        let table = database.fresh();
        let conflict = json!({"strategy": "newest_wins", "version": "n"});
        let mut sink = database.sink(&table, "clients", conflict);
        let held = narrow((0..ROWS).map(|id| (id, if id % 100 < share { 9 } else { 1 })));
        database.write(&mut *sink, vec![of_table(held, "clients")], 0);
        let newer = |version: u64| {
            let mut changes = of_table(narrow((0..ROWS).map(|id| (id, version))), "clients");
            changes.operations.fill(Operation::Update);
            vec![changes]
        };
        let writes: Vec<Vec<Changes>> = (2..6).map(newer).collect();
        time(ROWS * writes.len() as u64, || {
            for (number, changes) in writes.into_iter().enumerate() {
                database.write(&mut *sink, changes, number as i64 + 1);
            }
        })
    });
}

/// Updates of keys that are all others (1), or of which few are hit again and again: of the changes of a
/// write, this many meet one key on average.
fn keys(database: &Database) {
    const ROWS: u64 = 10_000;
    database.curve("changes of a key", &[1, 10, 100, 10_000], |each| {
        let table = database.fresh();
        let mut sink = database.sink(&table, "clients", json!({}));
        let held = narrow((0..ROWS).map(|id| (id, 0)));
        database.write(&mut *sink, vec![of_table(held, "clients")], 0);
        let keys = ROWS / each;
        let writes: Vec<Vec<Changes>> = (0..4)
            .map(|write| {
                let ids = (0..ROWS).map(|row| (spread(row) % keys, write * ROWS + row + 1));
                let mut changes = of_table(narrow(ids), "clients");
                changes.operations.fill(Operation::Update);
                vec![changes]
            })
            .collect();
        time(ROWS * writes.len() as u64, || {
            for (number, changes) in writes.into_iter().enumerate() {
                database.write(&mut *sink, changes, number as i64 + 1);
            }
        })
    });
}

/// The changes of one partition over more and more connections (`writers`), 10,000 a write.
fn writers(database: &Database) {
    const ROWS: u64 = 10_000;
    const WRITES: u64 = 10;
    if database.kind == "sqlite" {
        return;
    }
    database.curve("writers of a partition", &[1, 2, 3, 4], |writers| {
        let table = database.fresh();
        let mut sink = database.sink_with(&table, "clients", json!({}), writers);
        let held = database.runtime.block_on(sink.positions());
        held.expect("the database answers");
        let writes: Vec<Vec<Changes>> = (0..=WRITES)
            .map(|write| vec![of_table(events::rows(write * ROWS, ROWS), "clients")])
            .collect();
        let partition = Partition {
            topic: table.as_str().into(),
            number: 0,
        };
        let mut next = None;
        let mut write = |changes: Vec<Changes>| {
            let span = Span {
                partition: partition.clone(),
                from: next,
                next: next.unwrap_or(0) + 1,
                incarnation: None,
            };
            next = Some(span.next);
            let write = Write {
                changes,
                spans: vec![span],
                ..Write::default()
            };
            let outcome = database.runtime.block_on(sink.write(&write));
            outcome.expect("the sink takes the rows");
        };
        let mut writes = writes.into_iter();
        // The first write makes the table.
        write(writes.next().expect("there is one"));
        time(ROWS * WRITES, || writes.for_each(&mut write))
    });
}

impl Database {
    /// Prints one curve: `measure` is asked for each point.
    fn curve(&self, name: &str, points: &[u64], mut measure: impl FnMut(u64) -> Run) {
        show(format_args!("{}: {name}", self.kind));
        let mut first = None;
        for &point in points {
            let mut runs: Vec<Run> = (0..ROUNDS).map(|_| measure(point)).collect();
            runs.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
            let run = runs[ROUNDS / 2];
            let base = *first.get_or_insert(run.rate());
            show(format_args!(
                "{point:>12} {:>12.0}/s {:>8.2} CPU s/M {:>6.2}× of the first",
                run.rate(),
                run.cpu_seconds_per_million(),
                run.rate() / base,
            ));
        }
    }

    /// A name that no table has.
    fn fresh(&self) -> String {
        *self.fresh.borrow_mut() += 1;
        format!("scale_{}_{}", std::process::id(), self.fresh.borrow())
    }

    /// A sink that makes its tables, of a pipeline of its own.
    fn sink(&self, table: &str, name: &str, conflict: Value) -> Box<dyn Sink> {
        self.sink_with(table, name, conflict, 1)
    }

    fn sink_with(&self, table: &str, name: &str, conflict: Value, writers: u64) -> Box<dyn Sink> {
        let mut settings = json!({
            "table": table, "key": ["id"], "conflict": conflict, "evolution": "evolve", "writers": writers,
        });
        let url = |variable: &str| {
            std::env::var(variable).unwrap_or_else(|_| panic!("{variable}: run `make bench`"))
        };
        match self.kind {
            "postgres" => settings["url"] = url("SYNCLINE_TEST_POSTGRES").into(),
            "mysql" => settings["url"] = url("SYNCLINE_TEST_MYSQL").into(),
            _ => {
                let file = format!("{}-{name}-{}.db", self.kind, self.fresh());
                settings["path"] = self.folder.path().join(file).display().to_string().into();
            }
        }
        let pipeline = format!("{name}-{}", self.fresh());
        self.runtime
            .block_on(sink_of(&pipeline, self.kind, settings))
    }

    /// Writes, with a position that moves.
    fn write(&self, sink: &mut dyn Sink, changes: Vec<Changes>, number: i64) {
        let topic = format!("{}-{}", self.fresh(), std::process::id());
        let span = Span {
            partition: Partition {
                topic: topic.into(),
                number: 0,
            },
            from: None,
            next: number + 1,
            incarnation: None,
        };
        let write = Write {
            changes,
            spans: vec![span],
            ..Write::default()
        };
        let outcome = self.runtime.block_on(sink.write(&write));
        outcome.expect("the sink takes the rows");
    }
}

/// Creates of a table with these rows.
fn of_table(rows: RecordBatch, name: &str) -> Changes {
    let count = rows.num_rows() as u64;
    let mut changes = events::changes(rows, events::records_of(|_| String::new(), 0, count));
    changes.table = Arc::new(Table {
        name: name.into(),
        ..(*changes.table).clone()
    });
    changes
}

/// `id` and `n`.
fn narrow(rows: impl Iterator<Item = (u64, u64)>) -> RecordBatch {
    let (ids, numbers): (Vec<i64>, Vec<i64>) = rows.map(|(id, n)| (id as i64, n as i64)).unzip();
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(Int64Array::from(numbers)),
    ];
    RecordBatch::try_new(
        Arc::new(Schema::new(vec![field("id"), field("n")])),
        columns,
    )
    .expect("the columns fit")
}

/// `id` and texts of eight characters.
fn wide(first: u64, rows: u64, columns: u64) -> RecordBatch {
    let mut fields = vec![Field::new("id", DataType::Int64, true)];
    let ids = (first..first + rows).map(|id| id as i64);
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(ids))];
    for column in 1..columns {
        fields.push(Field::new(format!("c{column}"), DataType::Utf8, true));
        let texts = (first..first + rows).map(|id| format!("{:08}", id * 31 + column));
        arrays.push(Arc::new(StringArray::from_iter_values(texts)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("the columns fit")
}

/// Numbers that are spread, the same in every run.
fn spread(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

//! Measures the decision of conflicts in a database, compared with a plain upsert of the same rows.
//!
//! The table has 100,000 rows of ten columns in PostgreSQL and gets batches of 10,000 changes over
//! one connection. Every row of the source differs from the target's, so every row is written.
//! Before each round the table is filled again, which is not measured.
//!
//! PostgreSQL is the server of `SYNCLINE_TEST_POSTGRES` (`make bench` starts it).

mod support;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Decimal128Type, TimestampMicrosecondType};
use serde_json::{Value, json};
use support::client::psql;
use support::{Aim, Run, compare, events, report, sink, time};
use syncline_connectors::change::{Changes, Image, Operation};
use syncline_connectors::sink::{Outcome, Write};
use tokio::runtime::Runtime;

const BATCH: u64 = 10_000;
const BATCHES: u64 = 10;
const ROWS: u64 = BATCH * BATCHES;
const SECOND_US: i64 = 1_000_000;
const COLUMNS: &str = "id bigint primary key, first_name text, last_name text, email text, phone text, \
     balance numeric(12, 2), status text, notes text, created_at timestamp, updated_at timestamp";

fn main() {
    let runtime = Runtime::new().expect("a runtime starts");
    let url =
        std::env::var("SYNCLINE_TEST_POSTGRES").expect("SYNCLINE_TEST_POSTGRES: run `make bench`");
    let base: Vec<RecordBatch> = (0..BATCHES)
        .map(|batch| events::rows(batch * BATCH, BATCH))
        .collect();
    let newest = json!({"strategy": "newest_wins", "version": "updated_at"});
    let merge = json!({"strategy": "merge", "version": "updated_at"});

    // Newer in every second row, older in the others, so half of the changes lose.
    let table = Table::new(&runtime, &url, &base);
    let source = edited(&base, |rows| {
        rows.set_notes(source_note);
        rows.shift_versions(|row| if row % 2 == 0 { SECOND_US } else { -SECOND_US });
    });
    let changes = writes(&source, None);
    compare(
        "newest_wins, half the rows newer",
        "source_wins of the same rows",
        Aim::TimeAtMost(1.25),
        || table.run(&changes, &newest, ROWS, ROWS / 2),
        || table.run(&changes, &json!({}), ROWS, 0),
    );

    // The source changed every row's note, the target every second row's phone.
    let held = edited(&base, |rows| {
        rows.change_phones();
        rows.shift_versions(|row| if row % 2 == 0 { SECOND_US } else { 0 });
    });
    let source = edited(&base, |rows| {
        rows.set_notes(source_note);
        rows.shift_versions(|_| 2 * SECOND_US);
    });
    let table = Table::new(&runtime, &url, &held);
    let (plain, whole) = (writes(&source, None), writes(&source, Some(&base)));
    compare(
        "merge, half of it in conflict",
        "source_wins of the same rows",
        Aim::TimeAtMost(2.5),
        || table.run(&whole, &merge, ROWS / 2, 0),
        || table.run(&plain, &json!({}), ROWS, 0),
    );
    let mut with_history = merge.clone();
    with_history["history"] = json!({"per_second_max": 10_000_000});
    report(
        "merge, half of it in conflict",
        "with every conflict in the history",
        || table.run(&whole, &with_history, ROWS / 2, 0),
    );

    // Both changed note, balance and version of every row.
    let both = |note: fn(usize) -> String, amount: i128, seconds: i64| {
        edited(&base, |rows| {
            rows.set_notes(note);
            rows.add_to_balances(amount);
            rows.shift_versions(|_| seconds * SECOND_US);
        })
    };
    let table = Table::new(&runtime, &url, &both(target_note, 250, 1));
    let changes = writes(&both(source_note, 1_000, 2), Some(&base));
    let mut by_column = merge;
    by_column["columns"] = json!({"notes": "concat", "balance": "sum"});
    report(
        "conflicts decided, end to end",
        "merge with concat and sum, every row in conflict",
        || table.run(&changes, &by_column, ROWS, 0),
    );
}

/// A table with its rows before each round.
struct Table<'a> {
    runtime: &'a Runtime,
    url: &'a str,
}

impl<'a> Table<'a> {
    /// Creates the copy that each round starts from.
    fn new(runtime: &'a Runtime, url: &'a str, held: &[RecordBatch]) -> Self {
        psql(
            url,
            &format!(
                "DROP TABLE IF EXISTS bench_resolve, bench_resolve_held;
                 CREATE TABLE bench_resolve ({COLUMNS}); CREATE TABLE bench_resolve_held ({COLUMNS});"
            ),
        );
        let table = Self { runtime, url };
        let outcome = table.write("bench_resolve_held", &writes(held, None), &json!({}));
        assert_eq!(outcome.1.written, ROWS);
        table
    }

    /// Measures the writes under a policy. `conflicts` and `kept` are the expected numbers.
    fn run(&self, writes: &[Write], policy: &Value, conflicts: u64, kept: u64) -> Run {
        psql(
            self.url,
            "TRUNCATE bench_resolve; INSERT INTO bench_resolve SELECT * FROM bench_resolve_held ORDER BY id;
             DO $$ BEGIN DELETE FROM _syncline_conflicts WHERE pipeline = 'bench';
             EXCEPTION WHEN undefined_table THEN NULL; END $$;
             VACUUM ANALYZE bench_resolve;",
        );
        let (run, outcome) = self.write("bench_resolve", writes, policy);
        assert_eq!(
            (outcome.conflicts.total(), outcome.kept, outcome.written),
            (conflicts, kept, ROWS - kept),
            "{policy}"
        );
        run
    }

    fn write(&self, table: &str, writes: &[Write], policy: &Value) -> (Run, Outcome) {
        let settings = json!({"url": self.url, "table": table, "key": ["id"], "conflict": policy});
        let mut sink = self.runtime.block_on(sink("postgres", settings));
        let mut total = Outcome::default();
        let run = time(ROWS, || {
            for write in writes {
                let outcome = self.runtime.block_on(sink.write(write));
                total += &outcome.expect("the sink takes the rows");
            }
        });
        (run, total)
    }
}

/// One write for each batch, all updates; with the rows before if they are given.
fn writes(source: &[RecordBatch], before: Option<&[RecordBatch]>) -> Vec<Write> {
    let write = |(batch, rows): (usize, &RecordBatch)| {
        let image = before.map(|before| Image {
            rows: before[batch].clone(),
            unset: vec![None; rows.num_columns()],
            present: BooleanBuffer::new_set(rows.num_rows()),
        });
        let changes = Changes {
            not_carried: Vec::new(),
            operations: vec![Operation::Update; rows.num_rows()],
            before: image,
            ..events::changes(rows.clone(), events::records(0, BATCH))
        };
        Write {
            changes: vec![changes],
            spans: Vec::new(),
            taken: Vec::new(),
        }
    };
    source.iter().enumerate().map(write).collect()
}

/// The batches after an edit of some columns.
fn edited(batches: &[RecordBatch], edit: impl Fn(&mut Edit)) -> Vec<RecordBatch> {
    let edited = |batch: &RecordBatch| {
        let mut columns = Edit(batch.columns().to_vec());
        edit(&mut columns);
        RecordBatch::try_new(batch.schema(), columns.0).expect("types stay")
    };
    batches.iter().map(edited).collect()
}

/// The columns of a batch of [`events::rows`], for editing.
struct Edit(Vec<ArrayRef>);

impl Edit {
    fn set_notes(&mut self, note: fn(usize) -> String) {
        let notes = StringArray::from_iter_values((0..self.0[7].len()).map(note));
        self.0[7] = Arc::new(notes);
    }

    /// Changes the phone in every second row.
    fn change_phones(&mut self) {
        let phones = self.0[4].as_string::<i32>().iter().enumerate();
        let changed = phones.map(|(row, phone)| match row % 2 {
            0 => Some(format!("+44 20 {}", 100_000 + row)),
            _ => phone.map(str::to_owned),
        });
        self.0[4] = Arc::new(changed.collect::<StringArray>());
    }

    /// Adds this number of hundredths to every balance.
    fn add_to_balances(&mut self, amount: i128) {
        let balances = self.0[5].as_primitive::<Decimal128Type>();
        let added: Decimal128Array = balances.unary(|balance| balance + amount);
        self.0[5] = Arc::new(added.with_data_type(balances.data_type().clone()));
    }

    /// Moves the version of each row by a number of microseconds.
    fn shift_versions(&mut self, by: impl Fn(usize) -> i64) {
        let versions = self.0[9].as_primitive::<TimestampMicrosecondType>();
        let moved = versions
            .iter()
            .enumerate()
            .map(|(row, at)| at.map(|at| at + by(row)));
        self.0[9] = Arc::new(moved.collect::<TimestampMicrosecondArray>());
    }
}

fn source_note(row: usize) -> String {
    format!("the source's note of some length about row {row}, kept by hand")
}

fn target_note(row: usize) -> String {
    format!("the target's note of some length about row {row}, kept by hand")
}

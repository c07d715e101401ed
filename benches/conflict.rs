//! Measures how many decisions the resolver makes in a second, compared with bare Arrow kernels on
//! the same columns.
//!
//! The table has a key, two texts, a decimal and a version. Every change meets a row, and in every
//! second row both sides changed a text. The goal is five million decisions in a second.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::distinct;
use support::{Aim, compare, events, time};
use syncline::conflict::resolvers;
use syncline_connectors::change::{Changes, Image, Operation};
use syncline_connectors::conflict::{
    Base, ConflictBatch, ConflictPolicy, Path, Strategy, TargetRows, Verdict,
};

const ROWS: usize = 8_192;
const BATCHES: u64 = 100;

fn main() {
    let base = rows("both agreed on this name", 0, 0);
    let source = rows("the source called it that", 1, 5);
    let target = rows("the target called it this", 2, 3);
    let changes = Changes {
        not_carried: Vec::new(),
        operations: vec![Operation::Update; ROWS],
        ..events::changes(source.clone(), events::records(0, ROWS as u64))
    };
    let held = TargetRows {
        foreign: vec![None; target.num_columns()],
        rows: target.clone(),
        exists: BooleanBuffer::new_set(ROWS),
        marked: None,
    };
    let image = Image {
        unset: vec![None; base.num_columns()],
        rows: base.clone(),
        present: BooleanBuffer::new_set(ROWS),
    };
    let policy = |strategy: Strategy, columns: &[(&str, Strategy)]| ConflictPolicy {
        strategy,
        version: Some("updated_at".to_owned()),
        columns: columns
            .iter()
            .map(|(name, strategy)| ((*name).to_owned(), strategy.clone()))
            .collect(),
        path: Path::Resolver,
        ..ConflictPolicy::default()
    };
    let own = [
        ("name", Strategy::Max),
        ("notes", Strategy::Concat),
        ("balance", Strategy::Sum),
    ];
    for (name, policy) in [
        ("newest_wins", policy(Strategy::NewestWins, &[])),
        (
            "merge, half of it in conflict",
            policy(Strategy::Merge, &[]),
        ),
        ("merge with max, concat, sum", policy(Strategy::Merge, &own)),
    ] {
        let resolver = resolvers()
            .compile(&policy, &changes.schema(), &[0])
            .expect("the policy fits the columns");
        let meeting = ConflictBatch {
            changes: &changes,
            target: &held,
            base: Base::Image(&image),
            tombstones: None,
        };
        let decisions = resolver.resolve(&meeting).expect("it can be decided");
        assert_eq!(decisions.conflicts.len(), ROWS / 2);
        assert!(!decisions.verdicts.contains(&Verdict::Reject));
        compare(
            name,
            "comparing both sides and the base",
            Aim::TimeAtMost(4.0),
            || {
                time(ROWS as u64 * BATCHES, || {
                    for _ in 0..BATCHES {
                        let decisions = resolver.resolve(black_box(&meeting));
                        black_box(decisions.expect("it can be decided"));
                    }
                })
            },
            || {
                time(ROWS as u64 * BATCHES, || {
                    for _ in 0..BATCHES {
                        for column in 1..base.num_columns() {
                            let [source, target, base] =
                                [&source, &target, &base].map(|rows| rows.column(column));
                            for (left, right) in [(source, target), (source, base), (target, base)]
                            {
                                black_box(distinct(black_box(left), right).expect("one type"));
                            }
                        }
                    }
                })
            },
        );
    }
}

/// One side. Where it must differ from the base it has other texts; elsewhere a few values differ.
fn rows(name: &str, side: usize, step: i64) -> RecordBatch {
    let is_contested = |row: usize| row.is_multiple_of(2);
    // The source changed every row, the target every second one.
    let is_changed = |row: usize| side == 1 || (side == 2 && is_contested(row));
    let number = |row: usize| row as i64 * 7919 % 1_000_003;
    let names = (0..ROWS).map(|row| match is_changed(row) {
        true => format!("{name} {}", number(row)),
        false => format!("both agreed on this name {}", number(row)),
    });
    let notes = (0..ROWS).map(|row| match is_changed(row) && row % 4 == 0 {
        true => format!("{name}: a note about {}", number(row)),
        false => format!("a note about {}", number(row)),
    });
    let balances = (0..ROWS).map(|row| {
        let added = if is_changed(row) && row % 4 == 2 {
            step
        } else {
            0
        };
        i128::from(number(row) + added)
    });
    let versions = (0..ROWS).map(|row| {
        let moved = if is_changed(row) {
            step + row as i64 % 3 * side as i64
        } else {
            0
        };
        1_700_000_000_000_000 + number(row) + moved
    });
    let balances = Decimal128Array::from_iter_values(balances)
        .with_precision_and_scale(12, 2)
        .expect("they fit");
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..ROWS as i64))),
        ("name", Arc::new(StringArray::from_iter_values(names))),
        ("notes", Arc::new(StringArray::from_iter_values(notes))),
        ("balance", Arc::new(balances)),
        (
            "updated_at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(versions)),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .expect("columns of one length")
}

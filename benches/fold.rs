//! Measures folding a batch to one net change for each key (R8), compared with hashing the keys
//! only.

mod support;

use std::hash::BuildHasher;
use std::hint::black_box;

use arrow::array::Int64Array;
use support::{Aim, compare, events, time};
use syncline_connectors::conflict::ConflictPolicy;
use syncline_connectors::sql::DeleteMode;
use syncline_connectors::sql::fold::fold;

const ROWS: u64 = 8_192;
const BATCHES: u64 = 200;

fn main() {
    let records = events::records(0, ROWS);
    for (name, keys) in [
        ("fold, every key once", ROWS),
        ("fold, every key four times", ROWS / 4),
    ] {
        let rows = events::rows(0, ROWS);
        let ids: Int64Array = (0..ROWS as i64)
            .map(|id| Some((id * 7919) % keys as i64))
            .collect();
        let mut columns = rows.columns().to_vec();
        columns[0] = std::sync::Arc::new(ids.clone());
        let rows = arrow::array::RecordBatch::try_new(rows.schema(), columns).expect("same types");
        let changes = events::changes(rows, records.clone());
        let policy = ConflictPolicy::default();
        compare(
            name,
            "hashing the keys into a table",
            Aim::TimeAtMost(1.3),
            || {
                time(ROWS * BATCHES, || {
                    for _ in 0..BATCHES {
                        let folded = fold(black_box(&changes), &[0], &policy, DeleteMode::Hard);
                        black_box(folded.expect("the keys can be hashed"));
                    }
                })
            },
            || {
                let state = foldhash::fast::FixedState::default();
                time(ROWS * BATCHES, || {
                    for _ in 0..BATCHES {
                        let mut table = hashbrown::HashTable::<u32>::with_capacity(ROWS as usize);
                        for (row, id) in black_box(&ids).values().iter().enumerate() {
                            let hash = state.hash_one(id);
                            table
                                .entry(
                                    hash,
                                    |&other| ids.value(other as usize) == *id,
                                    |&other| state.hash_one(ids.value(other as usize)),
                                )
                                .insert(row as u32);
                        }
                        black_box(table.len());
                    }
                })
            },
        );
    }
}

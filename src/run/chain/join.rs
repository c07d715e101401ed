//! Changes of branches that meet again, in an order that is right for each key.
//!
//! Batches of branches follow one another. Where a key stands in several of them, as a row does that moved
//! from one output of a `route` to another, its changes are taken out and put behind the others in the order
//! of their records; of one record, a delete comes first.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use syncline_connectors::change::{Changes, Operation};

use crate::operator::encoded;

/// The batches of several branches as one flow.
pub(super) fn in_order(batches: Vec<Changes>) -> Result<Vec<Changes>, ArrowError> {
    if batches.len() < 2 {
        return Ok(batches);
    }
    let keys: Vec<Vec<Box<[u8]>>> = batches.iter().map(keys_of).collect();
    // The batch of each key; `None` where there are several.
    let mut known: HashMap<(&str, &[u8]), Option<usize>> = HashMap::new();
    for (batch, keys) in keys.iter().enumerate() {
        for key in keys {
            let of = known
                .entry((&batches[batch].table.name, key))
                .or_insert(Some(batch));
            *of = of.filter(|&known| known == batch);
        }
    }
    if known.values().all(Option::is_some) {
        return Ok(batches);
    }
    let is_shared = |batch: usize, row: usize| {
        let key = (&*batches[batch].table.name, &*keys[batch][row]);
        known.get(&key).is_some_and(Option::is_none)
    };
    let mut ordered = Vec::new();
    let mut shared: Vec<(u32, bool, usize, u32)> = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        let mut own = Vec::with_capacity(batch.len());
        for row in 0..batch.len() {
            match is_shared(number, row) {
                true => {
                    let stays = batch.operations[row] != Operation::Delete;
                    shared.push((batch.origins[row], stays, number, row as u32));
                }
                false => own.push(row as u32),
            }
        }
        if !own.is_empty() {
            ordered.push(batch.take(&own)?);
        }
    }
    // Stable: several changes of one record and one branch keep their order.
    shared.sort_by_key(|&(origin, stays, ..)| (origin, stays));
    for run in shared.chunk_by(|one, next| one.2 == next.2) {
        let rows: Vec<u32> = run.iter().map(|(.., row)| *row).collect();
        ordered.push(batches[run[0].2].take(&rows)?);
    }
    Ok(ordered)
}

/// The key of each row: that of its record, else its key columns; else none is like another.
fn keys_of(changes: &Changes) -> Vec<Box<[u8]>> {
    let columns: Option<Vec<ArrayRef>> = changes.key.as_ref().and_then(|key| {
        key.iter()
            .map(|name| changes.column(name).cloned())
            .collect()
    });
    let encoded = columns
        .filter(|columns| !columns.is_empty())
        .map(|columns| encoded(&columns));
    (0..changes.len())
        .map(|row| {
            let origin = changes.origins[row];
            match (changes.records.key(origin as usize), &encoded) {
                (Some(key), _) => key.into(),
                (None, Some(encoded)) => encoded[row].clone(),
                (None, None) => origin.to_le_bytes().into(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use syncline_connectors::change::Table;
    use syncline_connectors::record::{Partition, Records};

    use super::*;

    /// Changes of records, each with its key, in a batch of its own schema.
    fn batch(column: &str, rows: &[(u32, i64, Operation)]) -> Changes {
        let mut records = Records::default();
        let partition = Partition {
            topic: "t".into(),
            number: 0,
        };
        let partition = records.add_partition(&partition, true);
        for offset in 0..10 {
            records.push(partition, offset, None, None, None, None);
        }
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new(column, DataType::Int64, true),
        ]);
        let ids = Int64Array::from_iter_values(rows.iter().map(|(_, id, _)| *id));
        let columns: Vec<ArrayRef> = vec![Arc::new(ids.clone()), Arc::new(ids)];
        Changes {
            table: Arc::new(Table {
                topic: "t".into(),
                database: None,
                schema: None,
                name: "t".into(),
            }),
            key: Some(Arc::from(["id".to_owned()])),
            rows: RecordBatch::try_new(Arc::new(schema), columns).expect("two columns"),
            unset: vec![None, None],
            not_carried: Vec::new(),
            before: None,
            operations: rows.iter().map(|(.., operation)| *operation).collect(),
            event_times_ms: vec![None; rows.len()],
            origins: rows.iter().map(|(origin, ..)| *origin).collect(),
            records: Arc::new(records),
        }
    }

    fn shown(batches: &[Changes]) -> Vec<String> {
        let batch = |batch: &Changes| {
            let rows = batch.operations.iter().zip(&batch.origins);
            let rows: Vec<String> = rows
                .map(|(op, origin)| format!("{}{origin}", op.letter()))
                .collect();
            format!(
                "{}: {}",
                batch.rows.schema_ref().field(1).name(),
                rows.join(" ")
            )
        };
        batches.iter().map(batch).collect()
    }

    #[test]
    fn a_key_in_several_branches_keeps_its_order() {
        use Operation::{Create, Delete, Update};
        // Row 1 moves from a to b and back; row 2 is in a alone.
        let a = batch(
            "a",
            &[
                (0, 1, Create),
                (1, 2, Create),
                (2, 1, Delete),
                (3, 1, Update),
            ],
        );
        let b = batch("b", &[(2, 1, Update), (3, 1, Delete), (4, 3, Create)]);
        let expect = ["a: c1", "b: c4", "a: c0 d2", "b: u2 d3", "a: u3"];
        let joined = in_order(vec![a.clone(), b.clone()]).expect("rows are there");
        assert_eq!(shown(&joined), expect);
        // Whichever branch is named first.
        let joined = in_order(vec![b, a]).expect("rows are there");
        let mut turned = expect.to_vec();
        turned.swap(0, 1);
        assert_eq!(shown(&joined), turned);
    }

    #[test]
    fn branches_without_a_common_key_are_left_as_they_are() {
        use Operation::Create;
        let a = batch("a", &[(0, 1, Create), (2, 1, Create)]);
        let b = batch("b", &[(1, 2, Create)]);
        let joined = in_order(vec![a, b]).expect("rows are there");
        assert_eq!(shown(&joined), ["a: c0 c2", "b: c1"]);
    }
}

//! Changes of a small table, for tests.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema};

use crate::change::{Changes, Operation, Table};
use crate::record::{Partition, Records};

/// A change of `clients (id, name, version)`; the outer `None` is an unset column (R14).
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The operation.
    pub operation: Operation,
    /// The key.
    pub id: Option<i64>,
    /// The column `name`.
    pub name: Option<Option<String>>,
    /// The version.
    pub version: Option<Option<i64>>,
}

/// A change that sets every column.
pub fn row(operation: Operation, id: i64, name: &str, version: impl Into<Option<i64>>) -> Row {
    Row {
        operation,
        id: Some(id),
        name: Some(Some(name.to_owned())),
        version: Some(version.into()),
    }
}

/// A delete with nothing but the key.
pub fn delete_by_key(id: i64) -> Row {
    Row {
        operation: Operation::Delete,
        id: Some(id),
        name: None,
        version: None,
    }
}

/// An update that leaves the name unset.
pub fn without_name(id: i64, version: i64) -> Row {
    Row {
        name: None,
        ..row(Operation::Update, id, "", version)
    }
}

/// A partition of the source table; the only partition of its topic if `single` is set.
pub fn partition() -> Partition {
    Partition {
        topic: "crm.public.clients".into(),
        number: 0,
    }
}

/// A batch of these changes.
pub fn changes(rows: &[Row], single: bool) -> Changes {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("version", DataType::Int64, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.id))),
        Arc::new(StringArray::from_iter(
            rows.iter().map(|row| row.name.clone().flatten()),
        )),
        Arc::new(Int64Array::from_iter(
            rows.iter().map(|row| row.version.flatten()),
        )),
    ];
    let mask = |unset: &dyn Fn(&Row) -> bool| {
        let mask = BooleanBuffer::collect_bool(rows.len(), |index| unset(&rows[index]));
        (mask.count_set_bits() > 0).then_some(mask)
    };
    let mut records = Records::default();
    let number = records.add_partition(&partition(), single);
    for offset in 0..rows.len() {
        records.push(number, offset as i64, None, None, Some(b"{}"), None);
    }
    Changes {
        table: Arc::new(Table {
            topic: partition().topic,
            database: None,
            schema: Some("public".into()),
            name: "clients".into(),
        }),
        key: Some(Arc::from(["id".to_owned()])),
        rows: RecordBatch::try_new(Arc::new(schema), columns).unwrap(),
        unset: vec![
            None,
            mask(&|row| row.name.is_none()),
            mask(&|row| row.version.is_none()),
        ],
        before: None,
        not_carried: Vec::new(),
        operations: rows.iter().map(|row| row.operation).collect(),
        event_times_ms: vec![None; rows.len()],
        origins: (0..rows.len() as u32).collect(),
        records: Arc::new(records),
    }
}

/// The batch with an additional text column.
pub fn with_column(mut changes: Changes, name: &str, value: &str) -> Changes {
    let mut fields: Vec<Arc<Field>> = changes.rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(name, DataType::Utf8, true)));
    let mut columns = changes.rows.columns().to_vec();
    columns.push(Arc::new(StringArray::from(vec![value; changes.len()])));
    changes.rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    changes.unset.push(None);
    changes
}

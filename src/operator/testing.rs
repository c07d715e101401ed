//! A batch with one change of every kind, for the tests of operators.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use syncline_connectors::change::{Changes, Image, Logical, Operation, Table};
use syncline_connectors::record::{Partition, Records};

use super::{Applied, OperatorConfig, compile};
use crate::problem::Problem;

/// | row | operation | id | email     | status | balance    | notes  |
/// |-----|-----------|----|-----------|--------|------------|--------|
/// | 0   | create    | 1  | ` A@x.Org`| open   | 10.50      | {"a":1}|
/// | 1   | update    | 2  | b@y       | draft  | -1.00      | unset  |
/// | 2   | delete    | 3  | unset     | unset  | unset      | unset  |
/// | 3   | delete    | 4  | d@x.org   | draft  | 5.00       | null   |
/// | 4   | truncate  |    |           |        |            |        |
/// | 5   | read      | 5  | null      | open   | 1000000.00 | {}     |
pub(super) fn changes() -> Changes {
    let mut records = Records::default();
    let partition = Partition {
        topic: Arc::from("crm.public.clients"),
        number: 3,
    };
    let partition = records.add_partition(&partition, false);
    for row in 0..6_i64 {
        let key = format!("{{\"id\":{}}}", row + 1);
        let headers = (row == 0).then_some(&b"{\"trace\":\"t1\"}"[..]);
        let time = (row != 1).then_some(1_000 * row);
        records.push(
            partition,
            100 + row,
            time,
            Some(key.as_bytes()),
            None,
            headers,
        );
    }
    let balances = [
        Some(1050),
        Some(-100),
        None,
        Some(500),
        None,
        Some(100_000_000),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![
            Some(1),
            Some(2),
            Some(3),
            Some(4),
            None,
            Some(5),
        ])),
        text([
            Some(" A@x.Org"),
            Some("b@y"),
            None,
            Some("d@x.org"),
            None,
            None,
        ]),
        text([
            Some("open"),
            Some("draft"),
            None,
            Some("draft"),
            None,
            Some("open"),
        ]),
        Arc::new(
            Decimal128Array::from(balances.to_vec())
                .with_precision_and_scale(12, 2)
                .expect("fits"),
        ),
        text([Some("{\"a\":1}"), None, None, None, None, Some("{}")]),
    ];
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("email", DataType::Utf8, true),
        Field::new("status", DataType::Utf8, true),
        Field::new("balance", DataType::Decimal128(12, 2), true),
        Logical::Json.field("notes"),
    ]);
    let mask = |rows: &[usize]| Some(BooleanBuffer::collect_bool(6, |row| rows.contains(&row)));
    Changes {
        table: Arc::new(Table {
            topic: Arc::from("crm.public.clients"),
            database: None,
            schema: Some(Arc::from("public")),
            name: Arc::from("clients"),
        }),
        key: Some(Arc::from(["id".to_owned()])),
        rows: RecordBatch::try_new(Arc::new(schema), columns).expect("columns of one length"),
        unset: vec![
            mask(&[4]),
            mask(&[2, 4]),
            mask(&[2, 4]),
            mask(&[2, 4]),
            mask(&[1, 2, 4]),
        ],
        before: None,
        not_carried: Vec::new(),
        operations: vec![
            Operation::Create,
            Operation::Update,
            Operation::Delete,
            Operation::Delete,
            Operation::Truncate,
            Operation::Read,
        ],
        event_times_ms: vec![None; 6],
        origins: (0..6).collect(),
        records: Arc::new(records),
    }
}

/// The rows before [`changes`]: the rows of the batch in another order. Row 1 has the row of a
/// create, row 3 a row that lacks a value; rows 4 and 5 have none.
///
/// | row | id | email     | status | balance    | notes  |
/// |-----|----|-----------|--------|------------|--------|
/// | 0   | 5  | null      | open   | 1000000.00 | {}     |
/// | 1   | 1  | ` A@x.Org`| open   | 10.50      | {"a":1}|
/// | 2   | 4  | d@x.org   | draft  | 5.00       | null   |
/// | 3   | 2  | b@y       | draft  | -1.00      | unset  |
pub(super) fn changes_with_before() -> Changes {
    let changes = changes();
    // A truncate has no values.
    let before = changes.take(&[5, 0, 3, 1, 4, 4]).expect("six rows");
    let unset = before.unset.iter().map(|mask| {
        let is_set = |row| row < 4 && mask.as_ref().is_some_and(|mask| mask.value(row));
        let mask = BooleanBuffer::collect_bool(6, is_set);
        (mask.count_set_bits() > 0).then_some(mask)
    });
    let before = Image {
        unset: unset.collect(),
        rows: before.rows,
        present: BooleanBuffer::collect_bool(6, |row| row < 4),
    };
    Changes {
        before: Some(before),
        ..changes
    }
}

/// The rows before, one on each line, with the record of the change; `none` if there are none.
pub(super) fn show_before(changes: &Changes) -> String {
    let Some(before) = &changes.before else {
        return "no row before\n".to_owned();
    };
    let as_rows = Changes {
        rows: before.rows.clone(),
        unset: before.unset.clone(),
        before: None,
        ..changes.clone()
    };
    let shown = show(&as_rows);
    let lines = shown.lines().skip(1).enumerate().map(|(row, line)| {
        let origin = changes.origins[row];
        match before.present.value(row) {
            true => format!("{origin} {line}\n"),
            false => {
                let columns = before.rows.columns().iter();
                assert!(columns.clone().all(|column| column.is_null(row)), "{line}");
                assert!(!line.contains('?'), "{line}");
                format!("{origin} none\n")
            }
        }
    });
    lines.collect()
}

fn text(values: [Option<&str>; 6]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// The rows, one on each line: the operation, then the columns; an unset value is `?`.
pub(super) fn show(changes: &Changes) -> String {
    let options = FormatOptions::new().with_null("null");
    let columns: Vec<ArrayFormatter<'_>> = changes
        .rows
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("can be shown"))
        .collect();
    let names: Vec<&str> = changes
        .rows
        .schema_ref()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let mut shown = format!("key {:?}: {}\n", changes.key, names.join(" | "));
    for row in 0..changes.len() {
        shown.push_str(changes.operations[row].letter());
        for (index, column) in columns.iter().enumerate() {
            let is_null = changes.rows.column(index).is_null(row);
            match changes.is_unset(index, row) {
                true if is_null => shown.push_str(" | ?"),
                true => shown.push_str(" | ? with a value"),
                false => shown.push_str(&format!(" | {}", column.value(row))),
            }
        }
        shown.push('\n');
    }
    shown
}

/// The result of an operator, after a check of the sum that must hold (R17).
pub(super) fn show_applied(came_in: usize, applied: &Applied) -> String {
    let went = applied.changes.len() + applied.rejected.len() + applied.filtered as usize;
    assert_eq!(went, came_in, "every row is in exactly one place");
    let mut shown = show(&applied.changes);
    for rejection in &applied.rejected {
        shown.push_str(&format!(
            "rejected {} {:?} {}: {}\n",
            rejection.origin, rejection.field, rejection.rule, rejection.reason
        ));
    }
    shown.push_str(&format!(
        "filtered {} warned {}\n",
        applied.filtered, applied.warned
    ));
    shown
}

/// The problems, one on each line.
pub(super) fn show_problems(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| {
            let at = problem.span.as_ref().map(|span| format!(" {span:?}"));
            let help = problem.help.as_ref().map(|help| format!(" ({help})"));
            format!(
                "{}{}: {}{}\n",
                problem.path.join("."),
                at.unwrap_or_default(),
                problem.message,
                help.unwrap_or_default()
            )
        })
        .collect();
    lines.concat()
}

/// Inserts with one text column, `x`, by the key `id`, which counts from 1 on.
pub(super) fn text_changes(values: &[Option<&str>]) -> Changes {
    let mut records = Records::default();
    let partition = Partition {
        topic: Arc::from("t"),
        number: 0,
    };
    let partition = records.add_partition(&partition, true);
    let len = values.len();
    for row in 0..len as i64 {
        records.push(partition, row, Some(1_000 * row), None, None, None);
    }
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("x", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(1..=len as i64)),
        Arc::new(StringArray::from(values.to_vec())),
    ];
    Changes {
        table: Arc::new(Table {
            topic: Arc::from("t"),
            database: None,
            schema: None,
            name: Arc::from("t"),
        }),
        key: Some(Arc::from(["id".to_owned()])),
        rows: RecordBatch::try_new(Arc::new(schema), columns).expect("columns of one length"),
        unset: vec![None, None],
        before: None,
        not_carried: Vec::new(),
        operations: vec![Operation::Create; len],
        event_times_ms: vec![None; len],
        origins: (0..len as u32).collect(),
        records: Arc::new(records),
    }
}

/// Checks that an operator makes of one batch what it makes of its two parts, split at a row.
pub(super) fn splits_agree(config: &OperatorConfig, changes: &Changes, at: usize) {
    let at = at.min(changes.len()) as u32;
    let apply = |parts: &[Changes]| {
        let mut operator = compile("op", config, &changes.schema()).expect("it compiles");
        let (mut rows, mut rejected) = (Vec::new(), Vec::new());
        for part in parts {
            let applied = operator.apply(part.clone()).expect("it goes on");
            rows.extend(show(&applied.changes).lines().skip(1).map(str::to_owned));
            rejected.extend(applied.rejected);
        }
        (rows, rejected)
    };
    let first: Vec<u32> = (0..at).collect();
    let second: Vec<u32> = (at..changes.len() as u32).collect();
    let parts = [first, second].map(|rows| changes.take(&rows).expect("the rows are there"));
    assert_eq!(apply(std::slice::from_ref(changes)), apply(&parts));
}

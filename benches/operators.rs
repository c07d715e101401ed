//! Measures `map` with five expressions and `filter`, compared with direct calls of the same Arrow
//! kernels, and `normalize` and `validate`, compared with loops over the same values.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, Int64Array, RecordBatch, Scalar, StringArray, cast::AsArray,
};
use arrow::compute::kernels::cmp::gt;
use arrow::compute::kernels::concat_elements::concat_elements_utf8;
use arrow::compute::kernels::numeric::{add, mul};
use arrow::datatypes::Int64Type;
use support::{Aim, compare, events, time};
use syncline::config;
use syncline::operator::{self, Operator};

const ROWS: u64 = 8_192;
const BATCHES: u64 = 200;
const PIPELINE: &str = r#"
[sources.crm]
type   = "file"
path   = "unused.jsonl"
format = "debezium-json"

[operators.tidy]
type   = "map"
inputs = ["crm"]
fields.id    = "id"
fields.name  = "first_name || last_name"
fields.twice = "id * 2"
fields.next  = "id + 1"
fields.sum   = "id + id * 2"

[operators.some]
type   = "filter"
inputs = ["tidy"]
where  = "id > 1000"

[sinks.nowhere]
type   = "blackhole"
inputs = ["some"]
"#;

fn main() {
    normalize_and_validate();
    let file = config::load_text("bench.toml", PIPELINE.to_owned(), &|_| None)
        .expect("the pipeline is right");
    let changes = events::changes(events::rows(0, ROWS), events::records(0, ROWS));
    let mut operators: Vec<Box<dyn Operator>> = Vec::new();
    let mut schema = changes.schema();
    for (name, config) in &file.operators {
        let operator = operator::compile(name, config, &schema).expect("the expressions fit");
        schema = operator.schema();
        operators.push(operator);
    }
    compare(
        "map 5 expressions + filter",
        "the same Arrow kernels called by hand",
        Aim::TimeAtMost(1.1),
        || {
            time(ROWS * BATCHES, || {
                for _ in 0..BATCHES {
                    let mut batch = changes.clone();
                    for operator in &mut operators {
                        batch = operator.apply(batch).expect("nothing stops").changes;
                    }
                    black_box(batch.len());
                }
            })
        },
        || {
            time(ROWS * BATCHES, || {
                for _ in 0..BATCHES {
                    let batch = changes.clone();
                    let rows = by_hand(&batch.rows);
                    let id = rows.column(0);
                    let mask = gt(id, &Scalar::new(Int64Array::from(vec![1000])))
                        .expect("both are integers");
                    let with_rows = syncline_connectors::change::Changes {
                        unset: vec![None; rows.num_columns()],
                        rows,
                        ..batch
                    };
                    black_box(with_rows.filter(&mask).expect("the mask fits").len());
                }
            })
        },
    );
}

const CHECKED: &str = r#"
[sources.crm]
type   = "file"
path   = "unused.jsonl"
format = "debezium-json"

[operators.clean]
type   = "normalize"
inputs = ["crm"]
rules = [
  { fields = ["first_name", "last_name", "status"], space = "trim", case = "lower" },
  { field = "notes", space = "trim", null_like = true },
  { field = "email", space = "trim", case = "lower" },
]

[operators.check]
type   = "validate"
inputs = ["clean"]
rules = [
  { fields = ["id", "email", "status"], required = true },
  { field = "id", min = 0 },
  { field = "first_name", length = { max = 100 } },
  { field = "status", one_of = ["active", "draft"] },
]

[sinks.nowhere]
type   = "blackhole"
inputs = ["check"]
"#;

/// `normalize` with five columns and `validate` with six conditions, against loops over the same values.
fn normalize_and_validate() {
    let file = config::load_text("bench.toml", CHECKED.to_owned(), &|_| None)
        .expect("the pipeline is right");
    let changes = events::changes(events::rows(0, ROWS), events::records(0, ROWS));
    let mut schema = changes.schema();
    let mut operators: Vec<Box<dyn Operator>> = Vec::new();
    for (name, config) in &file.operators {
        let operator = operator::compile(name, config, &schema).expect("the rules fit");
        schema = operator.schema();
        operators.push(operator);
    }
    compare(
        "normalize 5 columns + validate 6 rules",
        "loops over the same values by hand",
        Aim::TimeAtMost(1.5),
        || {
            time(ROWS * BATCHES, || {
                for _ in 0..BATCHES {
                    let mut batch = changes.clone();
                    for operator in &mut operators {
                        batch = operator.apply(batch).expect("nothing stops").changes;
                    }
                    black_box(batch.len());
                }
            })
        },
        || {
            time(ROWS * BATCHES, || {
                for _ in 0..BATCHES {
                    black_box(checked_by_hand(&changes.rows));
                }
            })
        },
    );
}

/// The same values, and how many rows break a rule.
fn checked_by_hand(rows: &RecordBatch) -> usize {
    let column = |name: &str| rows.column_by_name(name).expect("the events have it");
    let lower = |name: &str| -> StringArray {
        let texts: &StringArray = column(name).as_string();
        texts
            .iter()
            .map(|text| Some(text?.trim().to_lowercase()))
            .collect()
    };
    let lowered = ["first_name", "last_name", "status", "email"].map(lower);
    let notes: StringArray = column("notes")
        .as_string::<i32>()
        .iter()
        .map(|text| text.map(str::trim).filter(|text| !text.is_empty()))
        .collect();
    let ids = column("id").as_primitive::<Int64Type>();
    let wrong = (0..rows.num_rows()).filter(|&row| {
        let name = lowered[0].value(row).chars().count() <= 100;
        let status = matches!(lowered[2].value(row), "active" | "draft");
        ids.value(row) < 0 || !name || !status
    });
    wrong.count() + notes.len()
}

fn by_hand(rows: &RecordBatch) -> RecordBatch {
    let id = rows.column(0).as_primitive::<Int64Type>();
    let text = |column: usize| -> &StringArray { rows.column(column).as_string() };
    let two = Scalar::new(Int64Array::from(vec![2]));
    let one = Scalar::new(Int64Array::from(vec![1]));
    let twice = mul(id, &two).expect("integers");
    let sum = add(id, &mul(id, &two).expect("integers")).expect("integers");
    let name: ArrayRef = Arc::new(concat_elements_utf8(text(1), text(2)).expect("texts"));
    RecordBatch::try_from_iter([
        ("id", rows.column(0).clone()),
        ("name", name),
        ("twice", twice),
        ("next", add(id, &one).expect("integers")),
        ("sum", sum),
    ])
    .expect("columns of one length")
}

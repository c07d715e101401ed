//! Conflict batches written as text: a change, the row that it meets, the base, and the decision.

mod columns;
mod compile;
mod model;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use syncline_connectors::change::{Changes, Image, Logical, Operation, Table};
use syncline_connectors::conflict::{
    Base, ConflictBatch, ConflictPolicy, Decisions, Hashes, TargetRows, Verdict, hash_column,
};
use syncline_connectors::record::Records;

use super::resolvers;

/// `id` is the key, `v` the version.
pub(super) fn schema() -> SchemaRef {
    let item = Field::new_list_field(DataType::Int64, true);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("total", DataType::Int64, true),
        Logical::Json.field("doc"),
        Field::new("items", DataType::List(Arc::new(item)), true),
        Field::new("v", DataType::Int64, true),
    ]))
}

/// A row such as `name=a total=5`: a column that is not named is null, `?` is unset, `!` is a value
/// that the types of the changes cannot represent. `None` is no row.
#[derive(Debug, Clone, Default)]
pub(super) struct Row(Option<BTreeMap<String, String>>);

impl Row {
    pub(super) fn of(text: &str) -> Self {
        if text == "-" {
            return Self(None);
        }
        let cells = text.split_whitespace().map(|cell| {
            let (name, value) = cell.split_once('=').unwrap_or((cell, ""));
            (name.to_owned(), value.to_owned())
        });
        Self(Some(cells.collect()))
    }

    fn value(&self, column: &str) -> Option<&str> {
        let value = self.0.as_ref()?.get(column)?.as_str();
        (value != "?" && value != "!").then_some(value)
    }

    fn is(&self, column: &str, sign: &str) -> bool {
        let cells = self.0.as_ref();
        cells.is_some_and(|cells| cells.get(column).is_some_and(|value| value == sign))
    }
}

fn batch(rows: &[Row]) -> RecordBatch {
    let schema = schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let values = rows.iter().map(|row| row.value(field.name()));
        let number = |text: &str| text.parse::<i64>().expect("a number");
        match field.data_type() {
            DataType::Int64 if field.name() == "id" => {
                Arc::new(Int64Array::from_iter_values(0..rows.len() as i64))
            }
            DataType::Int64 => Arc::new(values.map(|v| v.map(number)).collect::<Int64Array>()),
            DataType::List(_) => {
                let lists = values.map(|list| {
                    list.map(|list| {
                        let items = list.split(',').filter(|item| !item.is_empty());
                        items.map(|item| Some(number(item))).collect::<Vec<_>>()
                    })
                });
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))
            }
            _ => Arc::new(values.collect::<StringArray>()),
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema, columns).expect("columns of one length")
}

/// The rows with `sign`, for each column.
fn signed(rows: &[Row], sign: &str) -> Vec<Option<BooleanBuffer>> {
    let schema = schema();
    let masks = schema.fields().iter().map(|field| {
        let mask = BooleanBuffer::collect_bool(rows.len(), |row| rows[row].is(field.name(), sign));
        mask.has_true().then_some(mask)
    });
    masks.collect()
}

pub(super) fn changes(rows: &[Row], operations: &[Operation]) -> Changes {
    Changes {
        table: Arc::new(Table {
            topic: "t".into(),
            database: None,
            schema: None,
            name: "t".into(),
        }),
        key: None,
        rows: batch(rows),
        unset: signed(rows, "?"),
        before: None,
        not_carried: Vec::new(),
        operations: operations.to_vec(),
        event_times_ms: vec![None; rows.len()],
        origins: vec![0; rows.len()],
        records: Arc::new(Records::default()),
    }
}

pub(super) fn held(rows: &[Row]) -> TargetRows {
    let marked = |row: &Row| {
        row.0
            .as_ref()
            .is_some_and(|cells| cells.contains_key("marked"))
    };
    let marks = BooleanBuffer::collect_bool(rows.len(), |row| marked(&rows[row]));
    TargetRows {
        rows: batch(rows),
        exists: BooleanBuffer::collect_bool(rows.len(), |row| rows[row].0.is_some()),
        marked: marks.has_true().then_some(marks),
        foreign: signed(rows, "!"),
    }
}

pub(super) fn image(rows: &[Row]) -> Image {
    Image {
        rows: batch(rows),
        unset: signed(rows, "?"),
        present: BooleanBuffer::collect_bool(rows.len(), |row| rows[row].0.is_some()),
    }
}

/// The hashes of an image.
fn hashes(image: &Image) -> Hashes {
    let schema = image.rows.schema();
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let hashes = hash_column(field, image.rows.column(index));
        let known = BooleanBuffer::collect_bool(hashes.len(), |row| {
            let unset = image.unset[index].as_ref();
            image.present.value(row) && !unset.is_some_and(|unset| unset.value(row))
        });
        arrow::array::UInt64Array::new(hashes.values().clone(), Some(known.into()))
    });
    Hashes {
        columns: columns.collect(),
    }
}

/// One change and the rows that it meets.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) operation: Operation,
    pub(super) source: Row,
    pub(super) target: Row,
    pub(super) base: Row,
}

impl Case {
    /// From `"u"` or another operation, the source's row, the target's and the base's.
    fn of(operation: &str, source: &str, target: &str, base: &str) -> Self {
        Self {
            operation: match operation {
                "c" => Operation::Create,
                "r" => Operation::Read,
                "d" => Operation::Delete,
                _ => Operation::Update,
            },
            source: Row::of(source),
            target: Row::of(target),
            base: Row::of(base),
        }
    }
}

/// Decides all `cases` as one batch.
pub(super) fn decide(policy: &ConflictPolicy, cases: &[Case], with_hashes: bool) -> Decisions {
    let resolver = resolvers()
        .compile(policy, &schema(), &[0])
        .expect("the policy fits the columns");
    let of = |side: fn(&Case) -> &Row| cases.iter().map(side).cloned().collect::<Vec<_>>();
    let operations: Vec<Operation> = cases.iter().map(|case| case.operation).collect();
    let (changes, target) = (
        changes(&of(|case| &case.source), &operations),
        held(&of(|case| &case.target)),
    );
    let bases = of(|case| &case.base);
    let base = image(&bases);
    let hashed = hashes(&base);
    let batch = ConflictBatch {
        changes: &changes,
        target: &target,
        base: match bases.iter().all(|base| base.0.is_none()) {
            true => Base::None,
            false if with_hashes => Base::Hashes(&hashed),
            false => Base::Image(&base),
        },
        tombstones: None,
    };
    let decisions = resolver.resolve(&batch).expect("it can be decided");
    check_invariants(&batch, &decisions);
    decisions
}

/// Checks the invariants of every decision.
fn check_invariants(batch: &ConflictBatch<'_>, decisions: &Decisions) {
    let rows = batch.changes.len();
    assert_eq!(decisions.verdicts.len(), rows);
    assert!(
        decisions
            .conflicts
            .windows(2)
            .all(|pair| pair[0].row < pair[1].row)
    );
    let rejected: Vec<usize> = (0..rows)
        .filter(|&row| decisions.verdicts[row] == Verdict::Reject)
        .collect();
    let reasons: Vec<usize> = decisions
        .rejected
        .iter()
        .map(|rejected| rejected.row)
        .collect();
    assert_eq!(rejected, reasons);
    for (index, column) in decisions.rows.columns().iter().enumerate().skip(1) {
        let target = batch.target.rows.column(index);
        for row in 0..rows {
            let untouched = decisions.untouched[index].as_ref();
            let untouched = untouched.is_some_and(|mask| mask.value(row));
            // What is not written keeps the target's value.
            if untouched || decisions.verdicts[row] != Verdict::Write {
                assert_eq!(&column.slice(row, 1), &target.slice(row, 1));
            }
            if untouched {
                assert_eq!(decisions.verdicts[row], Verdict::Write);
            }
        }
    }
}

/// The decision about a change as text: `verdict row | type winner | contested columns`.
pub(super) fn shown(decisions: &Decisions, row: usize) -> String {
    let mut text = format!("{:?}", decisions.verdicts[row]).to_lowercase();
    let schema = decisions.rows.schema();
    if decisions.verdicts[row] == Verdict::Write {
        for (field, column) in schema.fields().iter().zip(decisions.rows.columns()).skip(1) {
            if column.is_valid(row) {
                let options = FormatOptions::new();
                let formatter = ArrayFormatter::try_new(column, &options).expect("can be shown");
                text.push_str(&format!(" {}={}", field.name(), formatter.value(row)));
            }
        }
    }
    if let Some(rejected) = decisions
        .rejected
        .iter()
        .find(|rejected| rejected.row == row)
    {
        text.push_str(&format!(" {}", rejected.rule));
    }
    if let Some(conflict) = decisions.conflicts.iter().find(|c| c.row as usize == row) {
        text.push_str(&format!(
            " | {} {}",
            conflict.kind.name(),
            conflict.winner.name()
        ));
    }
    let contested = schema.fields().iter().zip(&decisions.contested);
    let contested: Vec<&str> = contested
        .filter(|(_, mask)| mask.as_ref().is_some_and(|mask| mask.value(row)))
        .map(|(field, _)| field.name().as_str())
        .collect();
    if !contested.is_empty() {
        text.push_str(&format!(" | {}", contested.join(" ")));
    }
    text
}

pub(super) fn policy(text: &str) -> ConflictPolicy {
    toml::from_str(&text.replace("; ", "\n")).expect("it is a policy")
}

/// Decides a change alone and again among others: both must give `expect`.
#[track_caller]
pub(super) fn check(settings: &str, case: [&str; 4], expect: &str) {
    let [operation, source, target, base] = case;
    let case_text = format!("{settings}: {case:?}");
    let case = Case::of(operation, source, target, base);
    let policy = policy(settings);
    assert_eq!(
        shown(&decide(&policy, std::slice::from_ref(&case), false), 0),
        expect,
        "{case_text}"
    );
    let others = [
        Case::of("c", "name=new v=1", "-", "-"),
        Case::of("u", "name=same v=1", "name=same v=1", "-"),
        Case::of("d", "name=gone", "-", "-"),
    ];
    let [new, same, gone] = others;
    let many = [new, case.clone(), same, case.clone(), gone, case];
    let decisions = decide(&policy, &many, false);
    for row in [1, 3, 5] {
        assert_eq!(
            shown(&decisions, row),
            expect,
            "row {row} of many, {case_text}"
        );
    }
}

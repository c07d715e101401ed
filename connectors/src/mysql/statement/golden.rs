//! The texts of the statements, for a few tables and policies: they change only on purpose.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use expect_test::expect_file;

use super::*;
use crate::mysql::catalogue::Found;
use crate::mysql::stage::StatementRun;
use crate::sql::Options;
use crate::sql::bulk::Shape;
use crate::sql::catalogue::{Plan, TargetColumn, TargetTable};
use crate::sql::golden::cases;
use crate::sql::target::Target;

/// `account (id bigint, region varchar(20), name varchar(5), amount decimal(12,2), note json, changed
/// datetime(6))`, keyed by `key`.
fn prepared(options: &Options, key: &[usize]) -> Prepared {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let text = Some("utf8mb4_bin");
    let columns = [
        ("id", DataType::Int64, "bigint(20)", None),
        ("region", DataType::Utf8, "varchar(20)", text),
        ("name", DataType::Utf8, "varchar(5)", text),
        ("amount", DataType::Decimal128(12, 2), "decimal(12,2)", None),
        ("note", DataType::Utf8, "longtext", text),
        ("changed", instant, "datetime(6)", None),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, data_type, _, _)| Field::new(*name, data_type.clone(), true))
        .collect();
    let table = TargetTable {
        columns: columns
            .iter()
            .map(|(name, _, sql_type, _)| TargetColumn {
                name: (*name).to_owned(),
                sql_type: (*sql_type).to_owned(),
                nullable: true,
                has_default: false,
                generated: false,
                identity: false,
            })
            .collect(),
        unique: vec![
            key.iter()
                .map(|&column| columns[column].0.to_owned())
                .collect(),
        ],
        primary: Some(0),
        other_constraints: false,
    };
    let collations = columns
        .iter()
        .map(|(_, _, _, collation)| collation.map(str::to_owned))
        .collect();
    let found = Found::of_test(table, collations);
    let plan = Plan {
        actions: Vec::new(),
        columns: columns
            .iter()
            .map(|(name, ..)| Some((*name).to_owned()))
            .collect(),
        left_out: Vec::new(),
    };
    let target = Target {
        schema: Some("shop".to_owned()),
        name: "account".to_owned(),
    };
    let schema = Arc::new(Schema::new(fields));
    let shape = Shape {
        options,
        target: &target,
        schema: &schema,
        key,
        found: &found,
        plan: &plan,
    };
    Prepared::build(&shape, 7).unwrap()
}

#[test]
fn texts_of_statements() {
    let identity = Identity {
        pipeline: "p".to_owned(),
        sink: "k".to_owned(),
        source: "s".to_owned(),
    };
    let mut out = String::new();
    for case in cases() {
        let options = case.options();
        let prepared = prepared(&options, case.key);
        let statements = Statements {
            prepared: &prepared,
            policy: &options.conflict,
            identity: &identity,
        };
        let set = [true, true, true, false, true, false];
        let stretch = |inserts, set: &[bool]| StatementRun {
            numbers: 2..5,
            inserts,
            marked: false,
            set: set.to_vec(),
        };
        let mut texts = vec![
            ("create stage", prepared.create_stage()),
            ("decide", statements.decide(3, &[true; 6], 0)),
            ("decide partial", statements.decide(3, &set, 1)),
            ("decided", statements.decided(3, UPSERTS)),
            ("update", statements.update(3, &[true; 6], 0).unwrap()),
            ("update partial", statements.update(3, &set, 1).unwrap()),
            ("insert", statements.insert(3, &[true; 6], 0)),
            ("incomplete", statements.incomplete(3, 1)),
            (
                "decide deletes",
                statements.decide_deletes(3, &[true; 6], 0),
            ),
            ("delete", statements.delete(3)),
            ("held", statements.held(3)),
            ("decided deletes", statements.resolved_deletes(3)),
            (
                "decided inserts",
                statements.resolved(3, &stretch(true, &[true; 6])).unwrap(),
            ),
            (
                "decided updates",
                statements.resolved(3, &stretch(false, &set)).unwrap(),
            ),
            ("truncate", Statements::truncate(&prepared)),
        ];
        if options.conflict.buries() {
            texts.extend([
                (
                    "record tombstones",
                    statements.record_tombstones(3).unwrap(),
                ),
                ("outdated", statements.outdated(3).unwrap()),
                ("drop outdated", statements.drop_outdated(3).unwrap()),
                ("clear tombstones", statements.clear_tombstones(3)),
                ("tombstones", statements.tombstones(3)),
                (
                    "tombstone",
                    format!("{:?}", statements.tombstone().unwrap()),
                ),
                (
                    "resolved: clear tombstones",
                    statements.resolved_clear_tombstones(3),
                ),
                (
                    "resolved: record tombstones",
                    statements.resolved_record_tombstones(3).unwrap(),
                ),
            ]);
        }
        writeln!(out, "== {}", case.name).unwrap();
        for (name, text) in texts {
            writeln!(out, "-- {name}\n{text}").unwrap();
        }
    }
    expect_file!["golden.txt"].assert_eq(&out);
}

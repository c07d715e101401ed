//! The texts of the statements, for a few tables and policies: they change only on purpose.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use expect_test::expect_file;

use super::*;
use crate::postgres::catalogue::{Found, Kind};
use crate::sql::Options;
use crate::sql::bulk::Shape;
use crate::sql::catalogue::{Plan, TargetColumn, TargetTable};
use crate::sql::golden::cases;
use crate::sql::patterns::{INSERT, UPDATE};
use crate::sql::target::Target;

/// `account (id bigint, region text, name varchar(5), amount numeric(12,2), note jsonb, changed
/// timestamptz)`, keyed by `key`.
fn prepared(options: &Options, key: &[usize]) -> Prepared {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("id", DataType::Int64, "bigint", true),
        ("region", DataType::Utf8, "text", true),
        ("name", DataType::Utf8, "character varying(5)", true),
        (
            "amount",
            DataType::Decimal128(12, 2),
            "numeric(12,2)",
            false,
        ),
        ("note", DataType::Utf8, "jsonb", false),
        ("changed", instant, "timestamp with time zone", true),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, data_type, _, _)| Field::new(*name, data_type.clone(), true))
        .collect();
    let column = |(name, _, sql_type, _): &(&str, DataType, &str, bool)| TargetColumn {
        name: (*name).to_owned(),
        sql_type: (*sql_type).to_owned(),
        nullable: true,
        has_default: false,
        generated: false,
        identity: false,
    };
    let found = Found {
        table: TargetTable {
            columns: columns.iter().map(column).collect(),
            unique: Vec::new(),
            primary: None,
            other_constraints: false,
        },
        exact: columns.iter().map(|(_, _, _, exact)| *exact).collect(),
        kinds: columns
            .iter()
            .map(|(_, _, sql_type, _)| Kind {
                declared: (*sql_type).to_owned(),
                class: "b".to_owned(),
                category: "X".to_owned(),
                deterministic: true,
            })
            .collect(),
        oid: 1,
        references: Vec::new(),
        partitioned: false,
        referenced: false,
    };
    let plan = Plan {
        actions: Vec::new(),
        columns: columns
            .iter()
            .map(|(name, ..)| Some((*name).to_owned()))
            .collect(),
        left_out: Vec::new(),
    };
    let target = Target {
        schema: Some("public".to_owned()),
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
            bound: false,
        };
        let bound = Statements {
            bound: true,
            ..statements
        };
        let set = [true, true, true, false, true, false];
        let mut texts = vec![
            ("create stage", prepared.create_stage()),
            ("create probe", prepared.create_probe()),
            (
                "upsert inserts",
                statements.upsert(INSERT, &[true; 6], 0, false),
            ),
            (
                "upsert updates",
                statements.upsert(UPDATE, &[true; 6], 0, false),
            ),
            ("upsert partial", statements.upsert(UPDATE, &set, 1, true)),
            ("update partial", statements.update(&set, 1)),
            ("incomplete", statements.incomplete(1)),
            ("kept", statements.kept(&[true; 6], 0, true)),
            ("kept partial", statements.kept(&set, 1, false)),
            ("delete", statements.delete(&[true; 6], 0)),
            ("survivors", statements.survivors()),
            ("held", statements.held()),
            ("decided deletes", statements.resolved_deletes()),
            (
                "decided inserts",
                statements.resolved_inserts(&[true; 6], 0),
            ),
            ("raced", statements.concurrent_inserts()),
            ("decided updates", statements.resolved_updates()),
            ("truncate", Statements::truncate(&prepared)),
            (
                "bound: upsert inserts",
                bound.upsert(INSERT, &[true; 6], 0, false),
            ),
            ("bound: delete", bound.delete(&[true; 6], 0)),
            ("bound: held", bound.held()),
        ];
        if options.conflict.buries() {
            texts.extend([
                ("record tombstones", statements.record_tombstones().unwrap()),
                ("has tombstones", statements.has_tombstones()),
                ("drop outdated", statements.drop_outdated().unwrap()),
                ("clear tombstones", statements.clear_tombstones()),
                ("tombstones", statements.tombstones()),
                (
                    "tombstone",
                    format!("{:?}", statements.tombstone().unwrap()),
                ),
                (
                    "resolved: clear tombstones",
                    statements.resolved_clear_tombstones(),
                ),
            ]);
        }
        if let Some(marked) = statements.marked(0) {
            texts.push(("marked", marked));
        }
        writeln!(out, "== {}", case.name).unwrap();
        for (name, text) in texts {
            writeln!(out, "-- {name}\n{text}").unwrap();
        }
    }
    expect_file!["golden.txt"].assert_eq(&out);
}

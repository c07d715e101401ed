//! Values of undeclared columns in the types of a target, and what a table becomes for them.

use std::sync::Arc;

use super::*;
use crate::format::{DecoderOptions, Format, decoder};
use crate::mysql::MYSQL;
use crate::postgres::POSTGRES;
use crate::record::{Partition, Records};
use crate::sql::Evolution;
use crate::sql::catalogue::{TargetColumn, plan, statement};
use crate::sqlite::SQLITE;

/// Rows as flat events carry them.
fn decoded(rows: &[&str]) -> Vec<Changes> {
    let mut records = Records::default();
    let partition = Partition {
        topic: "t".into(),
        number: 0,
    };
    let number = records.add_partition(&partition, true);
    for (offset, row) in rows.iter().enumerate() {
        records.push(
            number,
            offset as i64,
            None,
            None,
            Some(row.as_bytes()),
            None,
        );
    }
    let mut decoder = decoder(Format::DebeziumJson, DecoderOptions::default());
    decoder.decode(&Arc::new(records)).changes
}

fn options(evolution: Evolution) -> Options {
    Options {
        key: Some(vec!["id".to_owned()]),
        evolution,
        ..Options::default()
    }
}

fn table(columns: &[(&str, &str)]) -> TargetTable {
    TargetTable {
        primary: None,
        other_constraints: false,
        columns: columns
            .iter()
            .map(|&(name, sql_type)| TargetColumn {
                name: name.to_owned(),
                sql_type: sql_type.to_owned(),
                nullable: name != "id",
                has_default: false,
                generated: false,
                identity: false,
            })
            .collect(),
        unique: vec![vec!["id".to_owned()]],
    }
}

/// The value of `x` in a column of `sql_type`: as text, or a part of the reason why it is refused.
fn check(dialect: &'static Dialect, sql_type: &str, value: &str, expect: Result<&str, &str>) {
    let options = options(Evolution::Fail);
    let changes = decoded(&[&format!("{{\"id\":1,\"x\":{value}}}")]).remove(0);
    let given = Undeclared::of(&options, &changes).unwrap().unwrap();
    let table = table(&[("id", "bigint"), ("x", sql_type)]);
    let schema = given.changes().schema();
    let wanted = given.wanted("t", &schema, &options);
    let planned = plan(dialect, &wanted, Some(&table), options.evolution).unwrap();
    let lent = given.lend(dialect, &options, &table, &planned, false);
    let lent = lent.unwrap();
    match (lent.rejected.first(), expect) {
        (Some(rejected), Err(part)) => {
            let text = format!("{} {}", rejected.rule, rejected.reason);
            assert!(text.contains(part), "{value} into {sql_type}: {text}");
        }
        (None, Ok(text)) => {
            let column = lent.changes.column("x").unwrap();
            let found = arrow::util::display::array_value_to_string(column, 0).unwrap();
            assert_eq!(found, text, "{value} into {sql_type}");
        }
        (found, expect) => panic!("{value} into {sql_type}: {found:?}, expected {expect:?}"),
    }
}

#[test]
fn each_value_is_read_as_the_type_of_its_column_r19() {
    let postgres = |sql_type: &str, value: &str, expect: Result<&str, &str>| {
        check(&POSTGRES, sql_type, value, expect);
    };
    postgres("integer", "5", Ok("5"));
    postgres("integer", "5000000000", Err("integer"));
    postgres("integer", "5.5", Err("found a number"));
    postgres("integer", "\"5\"", Err("found a string"));
    postgres("numeric(6,2)", "5.25", Ok("5.25"));
    postgres("numeric(6,2)", "\"5.25\"", Ok("5.25"));
    postgres("numeric(6,2)", "5.255", Err("numeric(6,2)"));
    postgres("double precision", "0.1", Ok("0.1"));
    postgres("double precision", "0.12345678901234567890", Err("exactly"));
    postgres("real", "0.1", Ok("0.1"));
    postgres("real", "0.123456789", Err("exactly"));
    postgres("boolean", "true", Ok("true"));
    postgres("boolean", "1", Err("boolean"));
    postgres("text", "12.50", Ok("12.50"));
    postgres("text", "true", Ok("true"));
    postgres("text", "{\"a\":[1]}", Ok("{\"a\":[1]}"));
    postgres("character varying(9)", "[1]", Ok("[1]"));
    postgres("jsonb", "\"text\"", Ok("\"text\""));
    postgres("jsonb", "\"{\\\"a\\\":1}\"", Ok("{\"a\":1}"));
    postgres("jsonb", "1.5", Ok("1.5"));
    postgres("date", "10", Ok("1970-01-11"));
    postgres("date", "\"1970-01-11\"", Ok("1970-01-11"));
    for instant in [
        "timestamp without time zone",
        "timestamp with time zone",
        "time without time zone",
        "time with time zone",
        "timestamp(3) without time zone",
    ] {
        postgres(instant, "1321009871000", Err("timestamp(ms)"));
    }
    postgres(
        "timestamp without time zone",
        "\"2011-11-11T11:11:11\"",
        Ok("2011-11-11T11:11:11"),
    );
    postgres("uuid", "\"no\"", Err("uuid"));
    postgres("bytea", "5", Err("bytea"));
    check(&MYSQL, "tinyint(1)", "true", Ok("true"));
    check(&MYSQL, "bigint unsigned", "-1", Err("unsigned"));
    check(&MYSQL, "datetime(6)", "5", Err("timestamp(ms)"));
    check(&SQLITE, "TIMESTAMP", "5", Err("timestamp(ms)"));
    check(&SQLITE, "INTEGER", "5.5", Err("INTEGER"));
    check(&SQLITE, "TEXT", "5.50", Ok("5.50"));
}

/// What a table of `columns` becomes for `rows`, in one batch and one row at a time.
fn evolved(
    dialect: &'static Dialect,
    evolution: Evolution,
    columns: &[(&str, &str)],
    rows: &[&str],
    expect: &[&str],
) {
    let options = options(evolution);
    let statements = |rows: &[&str], table: &mut TargetTable| -> Vec<String> {
        let mut all = Vec::new();
        for changes in decoded(rows) {
            let given = Undeclared::of(&options, &changes).unwrap().unwrap();
            let schema = given.changes().schema();
            let wanted = given.wanted("t", &schema, &options);
            let planned = plan(dialect, &wanted, Some(table), evolution).unwrap();
            for action in &planned.actions {
                all.push(statement(dialect, "t", action).unwrap());
                table.after(action);
            }
        }
        all
    };
    let mut whole = table(columns);
    let found = statements(rows, &mut whole);
    assert_eq!(found, expect, "{rows:?}");
    let mut single = table(columns);
    for row in rows {
        statements(&[row], &mut single);
    }
    assert_eq!(whole, single, "{rows:?}");
}

#[test]
fn tables_evolve_by_values_row_by_row_r19() {
    use Evolution::{Evolve, Ignore, Lenient};
    let id = ("id", "bigint");
    let row = |x: &str| format!("{{\"id\":1,\"x\":{x}}}");
    let rows = |values: &[&str]| values.iter().map(|x| row(x)).collect::<Vec<_>>();
    let postgres = |evolution, columns: &[(&str, &str)], values: &[&str], expect: &[&str]| {
        let rows = rows(values);
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        evolved(&POSTGRES, evolution, columns, &rows, expect);
    };
    let add = |sql_type: &str| format!("ALTER TABLE t ADD COLUMN \"x\" {sql_type}");
    postgres(Evolve, &[id], &["null"], &[]);
    postgres(Evolve, &[id], &["null", "1"], &[&add("bigint")]);
    postgres(Evolve, &[id], &["1", "2"], &[&add("bigint")]);
    postgres(Evolve, &[id], &["1.5", "2"], &[&add("numeric")]);
    postgres(Evolve, &[id], &["true"], &[&add("boolean")]);
    postgres(Evolve, &[id], &["\"a\"", "1"], &[&add("text")]);
    postgres(Evolve, &[id], &["[1]", "\"a\""], &[&add("jsonb")]);
    postgres(Ignore, &[id], &["1"], &[]);
    let integer = [id, ("x", "integer")];
    let widen = |sql_type: &str| format!("ALTER TABLE t ALTER COLUMN \"x\" TYPE {sql_type}");
    postgres(Evolve, &integer, &["1", "2.5"], &[&widen("numeric")]);
    postgres(Evolve, &integer, &["1", "5000000000"], &[&widen("bigint")]);
    postgres(Evolve, &integer, &["\"a\"", "true"], &[]);
    postgres(Ignore, &integer, &["2.5"], &[]);
    let rename = "ALTER TABLE t RENAME COLUMN \"x\" TO \"x_v1\"";
    postgres(
        Lenient,
        &integer,
        &["1", "\"a\"", "2"],
        &[rename, &add("text")],
    );
    postgres(Lenient, &integer, &["2.5"], &[&widen("numeric")]);
    postgres(
        Lenient,
        &[id, ("x", "timestamp without time zone")],
        &["5", "\"2024-01-01T00:00:00\""],
        &[],
    );
    let mysql = [id, ("x", "int(11)")];
    let texts = [row("1"), row("1.5")];
    let rows: Vec<&str> = texts.iter().map(String::as_str).collect();
    let widen = "ALTER TABLE t MODIFY COLUMN `x` decimal(65,30)";
    evolved(&MYSQL, Evolve, &mysql, &rows, &[widen]);
    evolved(&SQLITE, Evolve, &[id, ("x", "INTEGER")], &rows, &[]);
}

#[test]
fn values_of_the_same_type_are_not_looked_at() {
    let options = options(Evolution::Evolve);
    let changes = decoded(&["{\"id\":1,\"x\":\"a\"}"]).remove(0);
    let given = Undeclared::of(&options, &changes).unwrap().unwrap();
    let table = table(&[("id", "bigint"), ("x", "text"), ("own", "text")]);
    let schema = given.changes().schema();
    let wanted = given.wanted("t", &schema, &options);
    let planned = plan(&POSTGRES, &wanted, Some(&table), options.evolution).unwrap();
    let lent = given.lend(&POSTGRES, &options, &table, &planned, false);
    let lent = lent.unwrap().changes;
    for (before, after) in changes.rows.columns().iter().zip(lent.rows.columns()) {
        assert!(before.to_data().ptr_eq(&after.to_data()));
    }
    assert_eq!(lent.rows.num_columns(), 2, "nothing of the table is added");
}

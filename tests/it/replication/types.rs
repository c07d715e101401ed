//! A table of every type: what is read as a row and what comes as a change is the same, cell by cell.

use super::*;

const TYPES: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768"]),
    ("integer", &["2147483647"]),
    ("bigint", &["-9223372036854775808"]),
    ("real", &["'1.1'", "'NaN'", "'Infinity'", "1e-30"]),
    (
        "double precision",
        &["'0.1'", "'-Infinity'", "1.7976931348623157e308"],
    ),
    ("numeric(12, 2)", &["1234567890.12", "-0.01"]),
    ("numeric", &["'NaN'", "1e100", "0.1000"]),
    ("text", &["''", "'it''s \"quoted\" \\ and é\n'"]),
    ("varchar(10)", &["'ten'"]),
    ("char(4)", &["'ab'"]),
    ("bytea", &["'\\x00ff10'", "''"]),
    ("date", &["'2024-02-29'", "'0001-01-01'"]),
    ("time", &["'23:59:59.999999'", "'24:00'"]),
    ("timetz", &["'12:00:00+02'"]),
    ("timestamp", &["'2024-02-29 12:00:00.000001'", "'infinity'"]),
    (
        "timestamptz",
        &["'2024-02-29 12:00:00+05:30'", "'-infinity'"],
    ),
    (
        "interval",
        &["'1 year 2 mons 3 days 04:05:06.789'", "'-1 day'"],
    ),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("json", &["'{\"a\": [1, null]}'"]),
    ("jsonb", &["'{\"a\": 1.50}'"]),
    ("xml", &["'<a/>'"]),
    ("bit(4)", &["B'1010'"]),
    ("bit varying", &["B'101'"]),
    ("inet", &["'10.0.0.1/8'"]),
    ("money", &["'12.34'"]),
    ("point", &["'(1,2)'"]),
    ("int4range", &["'[1,5)'"]),
    ("tsvector", &["'a b'"]),
    ("integer[]", &["'{1,NULL,3}'", "'{}'"]),
    ("text[]", &["'{a,\"b,c\",\"d\\\"e\",NULL,\"NULL\"}'"]),
    ("boolean[]", &["'{t,f}'"]),
    ("numeric(5,2)[]", &["'{1.50,2}'"]),
    ("timestamptz[]", &["'{\"2024-02-29 12:00:00+00\"}'"]),
    ("mood", &["'happy'"]),
    ("price", &["9.99"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_the_row_that_would_be_read_cell_by_cell() {
    let source = Source::new("types").await;
    let database = &source.database;
    let target = Target::Postgres(crate::harness::postgres("types_to").await);
    let columns: Vec<String> = TYPES
        .iter()
        .enumerate()
        .map(|(index, (sql_type, _))| format!("c{index} {sql_type}"))
        .collect();
    let create = format!(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN price AS numeric(8, 2) CHECK (VALUE >= 0); \
         CREATE TABLE cells (id int PRIMARY KEY, {}, computed int GENERATED ALWAYS AS (id * 2) STORED)",
        columns.join(", ")
    );
    let mut inserts = vec!["INSERT INTO cells (id) VALUES (@0)".to_owned()];
    for (index, (_, values)) in TYPES.iter().enumerate() {
        for value in *values {
            let id = inserts.len();
            inserts.push(format!(
                "INSERT INTO cells (id, c{index}) VALUES (@{id}, {value})"
            ));
        }
    }
    database.execute(&create).await;
    target.execute(&create).await;
    // Rows that are read, and the same as changes.
    let all = |offset: usize| {
        let made = inserts
            .iter()
            .enumerate()
            .map(|(index, sql)| sql.replace(&format!("@{index}"), &(offset + index).to_string()));
        made.collect::<Vec<_>>().join("; ")
    };
    database.execute(&all(0)).await;
    let pipeline = Pipeline::new(&format!(
        "{}{}",
        super::source(database, &source.slot, "[\"cells\"]", ""),
        sink("copy", &target, "table = \"cells\"")
    ));
    let sinks = run(&pipeline).await;
    assert_eq!(sinks[0]["quarantined"], 0, "{sinks:?}");
    database.execute(&all(1_000)).await;
    let sinks = run(&pipeline).await;
    assert_eq!(sinks[0]["written"], inserts.len(), "{sinks:?}");
    let query = "SELECT * FROM cells ORDER BY id";
    let (found, expect) = (target.rows(query).await, database.rows(query).await);
    assert_eq!(found.len(), 2 * inserts.len());
    for (found, expect) in found.iter().zip(&expect) {
        assert_eq!(found, expect);
    }
    source.drop().await;
}

//! Every type of every database: what is stored is what was sent, or it is refused (R23); and keys are one where
//! the target says so (R22).

use async_trait::async_trait;
use syncline_connectors::conformance::keys::{check_keys, check_names};
use syncline_connectors::conformance::sink::Bench;
use syncline_connectors::conformance::values::{ColumnType, Meaning, check_values};

use syncline_connectors::error::Result;
use syncline_connectors::sink::{Identity, Sink};
use syncline_connectors::sql::Options;

use crate::conflicts::{Postgres, Sqlite};
use crate::harness::mariadb;

/// PostgreSQL with `citext`.
struct Extended(Postgres);

#[async_trait]
impl Bench for Extended {
    async fn reset(&self) {
        self.0.reset().await;
        self.0.execute("CREATE EXTENSION citext").await;
    }

    async fn connect(&self, options: &Options, identity: &Identity) -> Result<Box<dyn Sink>> {
        Bench::connect(&self.0, options, identity).await
    }

    async fn execute(&self, sql: &str) {
        self.0.execute(sql).await;
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.0.query(sql).await
    }
}

/// Types of PostgreSQL's own catalogue that no value of ours can be compared with, or that no table has.
const NOT_COMPARED: &str = "'cidr', 'inet', 'macaddr8', 'tstzrange', 'tstzmultirange', 'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', \
    'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary', 'gtsvector', 'aclitem', 'refcursor', 'tsvector', 'tsquery', \
    'jsonpath', 'tid', 'xid', 'xid8', 'cid', 'pg_snapshot', 'txid_snapshot', 'oidvector', 'int2vector'";

fn postgres_types() -> Vec<ColumnType> {
    use Meaning::{Bytes, Instant, Json, Loose, Money, Number, Padded, Span, Text, Time, Uuid};
    let plain = [
        ("boolean", Number),
        ("smallint", Number),
        ("integer", Number),
        ("bigint", Number),
        ("numeric", Number),
        ("numeric(6,2)", Number),
        ("numeric(5,-2)", Number),
        ("real", Number),
        ("double precision", Number),
        ("money", Money),
        ("text", Text),
        ("varchar", Text),
        ("varchar(3)", Text),
        ("char(3)", Padded),
        ("name", Text),
        ("\"char\"", Text),
        ("bytea", Bytes),
        ("date", Instant),
        ("timestamp", Instant),
        ("timestamp(0)", Instant),
        ("timestamp(3)", Instant),
        ("timestamptz", Instant),
        ("timestamptz(3)", Instant),
        ("time", Time),
        ("time(0)", Time),
        ("timetz", Time),
        ("json", Json),
        ("jsonb", Json),
        ("uuid", Uuid),
        ("xml", Text),
        ("bit(5)", Text),
        ("bit varying(9)", Text),
        ("int4range", Loose),
        ("numrange", Loose),
        ("point", Loose),
        ("macaddr", Text),
    ];
    let mut types = vec![
        ColumnType {
            before: "CREATE TYPE mood AS ENUM ('sad', 'happy')".to_owned(),
            ..ColumnType::new("mood", Text, "c::text")
        },
        ColumnType::new("mood[]", Meaning::List(Box::new(Text)), "c::text"),
        ColumnType::new("numeric(6,2)[]", Meaning::List(Box::new(Number)), "c::text"),
        ColumnType::new("varchar(3)[]", Meaning::List(Box::new(Text)), "c::text"),
        ColumnType::new(
            "timestamp(0)[]",
            Meaning::List(Box::new(Instant)),
            "c::text",
        ),
        ColumnType {
            before: "CREATE TYPE pair AS (a numeric(6,2), b varchar(3))".to_owned(),
            ..ColumnType::new("pair", Loose, "c::text")
        },
        ColumnType::new("inet", Text, "host(c)"),
    ];
    for span in [
        "interval",
        "interval(0)",
        "interval minute",
        "interval day to second(3)",
        "interval year to month",
    ] {
        types.push(ColumnType::new(span, Span, "extract(epoch FROM c)::text"));
    }
    for (number, (declared, meaning)) in plain.into_iter().enumerate() {
        types.push(ColumnType::new(declared, meaning.clone(), "c::text"));
        // Of a domain over a domain, and of an array of such.
        types.push(ColumnType {
            before: format!(
                "CREATE DOMAIN inner{number} AS {declared}; CREATE DOMAIN outer{number} AS inner{number}"
            ),
            ..ColumnType::new(&format!("outer{number}"), meaning.clone(), "c::text")
        });
        let list = Meaning::List(Box::new(meaning));
        types.push(ColumnType::new(
            &format!("outer{number}[]"),
            list,
            "c::text",
        ));
    }
    types
}

#[tokio::test]
async fn postgresql_stores_what_was_sent_or_refuses_it_r23() {
    let bench = Postgres::new("types").await;
    check_values(&bench, &postgres_types(), "").await;
}

#[tokio::test]
async fn postgresql_changes_no_value_in_any_type_of_its_catalogue_r23() {
    let bench = Postgres::new("catalogue").await;
    let names = bench
        .query(&format!(
            "SELECT format_type(oid, NULL) FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace \
             AND typtype IN ('b', 'r', 'm') AND typelem = 0 AND typname !~ '^(reg|_)' \
             AND typname NOT IN ({NOT_COMPARED}) ORDER BY 1"
        ))
        .await;
    let known = postgres_types();
    let types: Vec<ColumnType> = names
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .filter(|name| !known.iter().any(|known| known.declared == *name))
        .filter(|name| !name.starts_with("time") && !name.starts_with("character"))
        .map(|name| ColumnType::new(&name, Meaning::Loose, "c::text"))
        .collect();
    assert!(types.len() > 10, "the catalogue has more types than ours");
    check_values(&bench, &types, "").await;
}

#[tokio::test]
async fn mariadb_stores_what_was_sent_or_refuses_it_r23() {
    use Meaning::{Bytes, Instant, Number, Padded, Set, Single, Text, Time, Uuid};
    let text = "CAST(c AS CHAR)";
    let types: Vec<ColumnType> = [
        ("tinyint", Number, text),
        ("tinyint(1)", Number, text),
        ("tinyint unsigned", Number, text),
        ("smallint", Number, text),
        ("mediumint", Number, text),
        ("int", Number, text),
        ("int unsigned zerofill", Number, text),
        ("bigint", Number, text),
        ("bigint unsigned", Number, text),
        ("decimal(6,2)", Number, text),
        ("decimal(6,2) unsigned", Number, text),
        ("decimal(65,30)", Number, text),
        ("float", Single, "CAST(CAST(c AS DOUBLE) AS CHAR)"),
        ("float(7,2)", Number, text),
        ("double", Number, text),
        ("double(7,2)", Number, text),
        ("bit(9)", Text, "LPAD(BIN(c + 0), 9, '0')"),
        ("bit(1)", Number, "CAST(c + 0 AS CHAR)"),
        ("year", Number, text),
        ("date", Instant, text),
        ("datetime", Instant, text),
        ("datetime(3)", Instant, text),
        ("datetime(6)", Instant, text),
        ("timestamp(6) NULL", Instant, text),
        ("time", Time, text),
        ("time(3)", Time, text),
        ("time(6)", Time, text),
        ("char(3)", Padded, text),
        ("varchar(3)", Text, text),
        ("varchar(3) CHARACTER SET latin1", Text, text),
        (
            "varchar(20) CHARACTER SET latin1 COLLATE latin1_bin",
            Text,
            text,
        ),
        ("tinytext", Text, text),
        ("text", Text, text),
        ("longtext", Text, text),
        ("enum('happy','sad','7')", Text, text),
        ("set('happy','sad')", Set, text),
        ("binary(3)", Bytes, "HEX(c)"),
        ("varbinary(3)", Bytes, "HEX(c)"),
        ("tinyblob", Bytes, "HEX(c)"),
        ("longblob", Bytes, "HEX(c)"),
        ("json", Text, text),
        ("uuid", Uuid, text),
    ]
    .into_iter()
    .map(|(declared, meaning, read)| ColumnType::new(declared, meaning, read))
    .collect();
    check_values(&mariadb("types").await, &types, "").await;
}

#[tokio::test]
async fn sqlite_stores_what_was_sent_or_refuses_it_r23() {
    use Meaning::{Bytes, Number, Text};
    let read = "CASE typeof(c) WHEN 'blob' THEN lower(hex(c)) ELSE c END";
    let of = |types: &[(&str, Meaning)]| -> Vec<ColumnType> {
        types
            .iter()
            .map(|(declared, meaning)| ColumnType::new(declared, meaning.clone(), read))
            .collect()
    };
    let types = of(&[
        ("INTEGER", Number),
        ("INT", Number),
        ("REAL", Number),
        ("DOUBLE PRECISION", Number),
        ("NUMERIC", Number),
        ("DECIMAL(10,2)", Number),
        ("BOOLEAN", Number),
        ("TEXT", Text),
        ("VARCHAR(3)", Text),
        ("BLOB", Bytes),
        ("", Text),
        // Types that SQLite does not know, which have a numeric affinity.
        ("STRING", Text),
        ("DATETIME", Text),
        ("UUID", Text),
    ]);
    check_values(&Sqlite::new(), &types, "").await;
    let strict = of(&[
        ("INT", Number),
        ("INTEGER", Number),
        ("REAL", Number),
        ("TEXT", Text),
        ("BLOB", Bytes),
        ("ANY", Text),
    ]);
    check_values(&Sqlite::new(), &strict, " STRICT").await;
}

#[tokio::test]
async fn keys_that_postgresql_takes_for_one_fold_into_one_r22() {
    let bench = Extended(Postgres::new("keys").await);
    check_keys(
        &bench,
        &["text", "citext", "char(5)", "varchar(5) COLLATE \"C\""],
        &["numeric", "numeric(6,2)", "double precision"],
        &["double precision"],
    )
    .await;
}

#[tokio::test]
async fn keys_that_mariadb_takes_for_one_fold_into_one_r22() {
    let collated = |collation: &str| format!("varchar(20) COLLATE {collation}");
    let types = [
        "varchar(20)".to_owned(),
        collated("utf8mb4_general_ci"),
        collated("utf8mb4_unicode_ci"),
        collated("utf8mb4_unicode_nopad_ci"),
        collated("utf8mb4_uca1400_as_cs"),
        collated("utf8mb4_swedish_ci"),
        collated("utf8mb4_bin"),
        collated("utf8mb4_nopad_bin"),
        "char(5) COLLATE utf8mb4_nopad_bin".to_owned(),
        "varchar(20) CHARACTER SET latin1".to_owned(),
    ];
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    check_keys(
        &mariadb("keys").await,
        &types,
        &["decimal(6,2)", "double"],
        &["double"],
    )
    .await;
}

#[tokio::test]
async fn keys_that_sqlite_takes_for_one_fold_into_one_r22() {
    check_keys(
        &Sqlite::new(),
        &["TEXT", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM", "BLOB"],
        &["NUMERIC", "INT", "REAL", "TEXT"],
        &["REAL", "NUMERIC"],
    )
    .await;
}

#[tokio::test]
async fn names_match_without_their_case_on_every_database() {
    check_names(&Sqlite::new()).await;
    check_names(&Postgres::new("names").await).await;
    check_names(&mariadb("names").await).await;
}

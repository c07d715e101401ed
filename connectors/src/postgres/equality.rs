//! Which keys are one key for PostgreSQL (R22).
//!
//! Most types tell values apart as the changes do. A text on its way into another type is asked for: the
//! database says how it writes the value (`citext` in lower case, `1.00` as `1`, `character` without blanks
//! at its end). Refused as keys: texts with a nondeterministic collation, of which PostgreSQL gives no normal
//! form, and types whose equality is not known here (`jsonb`, composites, ranges of numerics).

use arrow::datatypes::{DataType, Field};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::catalogue::Kind;
use super::exact;
use super::failure::{Failure, failure};
use crate::error::Result;
use crate::sql::equality::{Equality, unknown};
use crate::sql::types::split_type;

/// Types that tell values apart by how they write them.
const BY_TEXT: &[&str] = &[
    "\"char\"",
    "bigint",
    "bit",
    "bit varying",
    "boolean",
    "bytea",
    "cidr",
    "date",
    "inet",
    "int4range",
    "int8range",
    "integer",
    "macaddr",
    "macaddr8",
    "money",
    "oid",
    "pg_lsn",
    "smallint",
    "time with time zone",
    "time without time zone",
    "timestamp with time zone",
    "timestamp without time zone",
];

/// How a key column of `sql_type` tells values apart; `target` is the table's name.
///
/// # Errors
/// `Configuration` where that is not known.
pub(super) fn equality(
    target: &str,
    field: &Field,
    sql_type: &str,
    kind: &Kind,
) -> Result<Equality> {
    let text = matches!(
        field.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let asked = || {
        if text {
            Equality::Asked
        } else {
            Equality::of_values(field.data_type())
        }
    };
    let (base, _) = split_type(sql_type);
    let refused = |what: String, remedy: &str| Err(unknown(target, field.name(), &what, remedy));
    match base.as_str() {
        "text" | "character varying" | "name" | "character" if !kind.deterministic => refused(
            "has a nondeterministic collation".to_owned(),
            "give the column a deterministic collation, or citext where its case should not count",
        ),
        "text" | "character varying" | "name" => Ok(Equality::Values),
        "uuid" => Ok(Equality::Uuids),
        "citext" | "character" | "numeric" | "real" | "double precision" => Ok(asked()),
        interval if interval.starts_with("interval") => match field.data_type() {
            DataType::Interval(_) => refused(
                format!("is {}", field.data_type()),
                "turn it into text or a duration in a map operator",
            ),
            _ => Ok(asked()),
        },
        // Its operators are not found either: the database would compare it as a text.
        hidden if hidden.ends_with(".citext") => refused(
            format!("has the type {hidden}, whose schema is not on the search path"),
            "add the schema to options[search_path] in the url",
        ),
        _ if kind.class == "e" => Ok(Equality::Values),
        known if BY_TEXT.contains(&known) => Ok(asked()),
        list if list.ends_with("[]") && kind.deterministic => {
            let element = list.trim_end_matches("[]");
            let plain = matches!(element, "smallint" | "integer" | "bigint" | "text");
            match (plain, text) {
                (true, true) => Ok(Equality::Asked),
                (true, false) => Ok(Equality::Values),
                (false, _) => refused(
                    format!("has the type {}", kind.declared),
                    "give the key column another type",
                ),
            }
        }
        _ => refused(
            format!("has the type {}", kind.declared),
            "give the key column another type",
        ),
    }
}

/// A value of `sql_type` so that values that are one key are one text. With `sql_type`'s own length and
/// scale where `value` already has them.
pub(super) fn normal(sql_type: &str, value: &str) -> String {
    let (base, numbers) = split_type(sql_type);
    match base.as_str() {
        // As citext itself compares.
        "citext" => format!("lower({value}::text COLLATE \"default\")"),
        "numeric" if numbers.is_empty() => format!("trim_scale({value})"),
        "real" | "double precision" => format!("{value} + 0::{base}"),
        interval if interval.starts_with("interval") => format!("justify_interval({value})"),
        _ => value.to_owned(),
    }
}

/// How the target writes these texts of the key column at `place`: `column "id" of table "t"`.
pub(super) async fn ask(
    connection: &mut PgConnection,
    sql_type: &str,
    kind: &Kind,
    texts: &[String],
    place: &str,
) -> Result<Vec<String>, Failure> {
    let (base, _) = split_type(sql_type);
    // Without a length `character` would be one character.
    let plain = match base.as_str() {
        "character" => "bpchar",
        other if other.starts_with("interval") => "interval",
        other => other,
    };
    let typed = format!("u.v::{plain}");
    let normal = format!("({})::text", normal(&base, &typed));
    // What the target would change in silence stays as it is, and is refused with its row.
    let changes = exact::changes(&DataType::Utf8, "text", sql_type, kind, "u.v");
    let normal = match changes {
        Some(changes) => format!("CASE WHEN {changes} THEN u.v ELSE {normal} END"),
        None => normal,
    };
    // A text with a NUL character is in no table.
    let sql =
        format!("SELECT {normal} FROM unnest($1::text[]) WITH ORDINALITY AS u (v, n) ORDER BY u.n");
    let fail = |error| failure(&format!("comparing keys in {place}"), error);
    let sent: Vec<Option<&str>> = texts
        .iter()
        .map(|text| (!text.contains('\0')).then_some(text.as_str()))
        .collect();
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(&sent)
        .fetch_all(connection)
        .await
        .map_err(fail)?;
    rows.iter()
        .zip(texts)
        .map(|(row, text)| {
            let answer: Option<String> = row.try_get(0).map_err(fail)?;
            Ok(answer.unwrap_or_else(|| text.clone()))
        })
        .collect()
}

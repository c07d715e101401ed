//! Which values a column of the target would change in silence, as a condition in SQL (R23).
//!
//! PostgreSQL rounds to the scale of a `numeric` and to the fraction of a second that a column keeps,
//! cuts a `name` after 63 bytes, drops the zone of a text that becomes a `timestamp`, the time of a text
//! that becomes a `date`, the digits that a float does not hold, blanks past the length of a `varchar`.
//! Domains and the elements of arrays do the same. Types that take every value whole have no condition,
//! so that nothing is looked at; a type that is not known here is compared after the round trip: the text
//! of what it makes of a value has to be the value, but for blanks, case and zeros after the point.
//!
//! - null: never changed
//! - delete: not looked at, it writes nothing

use arrow::datatypes::{DataType, TimeUnit};

use super::catalogue::Kind;
use crate::sql::types::split_type;

/// Types that keep every value that they accept.
const WHOLE: &[&str] = &[
    "bigint",
    "bit",
    "bit varying",
    "boolean",
    "bytea",
    "cidr",
    "citext",
    "geography",
    "geometry",
    "hstore",
    "inet",
    "int4multirange",
    "int4range",
    "int8multirange",
    "int8range",
    "integer",
    "json",
    "jsonb",
    "jsonpath",
    "ltree",
    "nummultirange",
    "numrange",
    "pg_lsn",
    "smallint",
    "text",
    "tsquery",
    "tsvector",
    "uuid",
    "xml",
];

/// The condition on which a column of `sql_type` changes the staged `value`, whose type is `staged` and
/// which came as `data_type`; `None` where it keeps every value or refuses it by itself.
pub(super) fn changes(
    data_type: &DataType,
    staged: &str,
    sql_type: &str,
    kind: &Kind,
    value: &str,
) -> Option<String> {
    let (base, numbers) = split_type(sql_type);
    let column = |element| Column {
        data_type: element,
        kind,
        value: "",
        base: base.trim_end_matches("[]"),
        sql_type: sql_type.trim_end_matches("[]"),
        numbers: &numbers,
        text: false,
        listed: false,
    };
    if !base.ends_with("[]") {
        let column = Column {
            value,
            text: staged == "text",
            listed: staged.ends_with("[]"),
            ..column(data_type)
        };
        return column.changes();
    }
    // A list, or its text.
    let (values, text) = match staged.strip_suffix("[]") {
        Some(element) => (value.to_owned(), element == "text"),
        None if staged == "text" => (format!("{value}::text[]"), true),
        None => return None,
    };
    let column = Column {
        value: "e.v",
        text,
        ..column(deepest(data_type))
    };
    let changes = column.changes()?;
    Some(format!(
        "EXISTS (SELECT FROM unnest({values}) AS e (v) WHERE {changes})"
    ))
}

fn deepest(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            deepest(item.data_type())
        }
        other => other,
    }
}

/// A value on its way into a column, or an element of one.
struct Column<'a> {
    data_type: &'a DataType,
    kind: &'a Kind,
    /// The value as SQL.
    value: &'a str,
    /// The type without its numbers, and with them.
    base: &'a str,
    sql_type: &'a str,
    numbers: &'a [i32],
    /// The value is a text.
    text: bool,
    /// The value is a list that goes into one value.
    listed: bool,
}

impl Column<'_> {
    fn changes(&self) -> Option<String> {
        let Self { value, base, .. } = *self;
        // An extension may stand in a schema of its own.
        let name = base.rsplit_once('.').map_or(base, |(_, name)| name);
        if WHOLE.contains(&name) || self.kind.class == "e" {
            return None;
        }
        let terms: Vec<String> = match base {
            "numeric" => self.modified(self.rounds()),
            "real" | "double precision" => {
                self.of_text(format!("{value}::numeric <> {value}::{base}::text::numeric"))
            }
            // Blanks are cut, anything else is refused as it is assigned.
            "character varying" | "character" => match self.numbers {
                [length] => self.of_text(format!(
                    "(char_length({value}) > {length} AND char_length(rtrim({value}, ' ')) <= {length})"
                )),
                _ => Vec::new(),
            },
            // It reads a sign and a short group for digits: a date would become an address.
            "macaddr" | "macaddr8" => self.of_text(format!(
                "char_length(regexp_replace({value}, '[^0-9A-Fa-f]', '', 'g')) NOT IN (12, 16)"
            )),
            "date" => self.of_text(format!(
                "{value}::timestamptz <> {value}::date::timestamptz"
            )),
            "timestamp without time zone" => [
                self.modified(self.rounds()),
                self.of_text(self.too_fine()),
                self.of_text(format!(
                    "({value}::timestamptz AT TIME ZONE 'UTC') <> {value}::timestamp"
                )),
            ]
            .concat(),
            "timestamp with time zone" => {
                [self.modified(self.rounds()), self.of_text(self.too_fine())].concat()
            }
            "time without time zone" => [
                self.modified(self.rounds()),
                self.of_text(self.too_fine()),
                // A date or a zone; a number is no time.
                self.of_text(format!("({value} ~ '[0-9]-[0-9]|[+Zz]' OR {value} !~ ':')")),
            ]
            .concat(),
            "time with time zone" => [
                self.modified(self.rounds()),
                self.of_text(self.too_fine()),
                self.of_text(format!("({value} ~ '[0-9]{{4}}-[0-9]' OR {value} !~ ':')")),
            ]
            .concat(),
            interval if interval.starts_with("interval") => {
                let fields = interval != "interval";
                [
                    self.modified(fields || self.rounds()),
                    self.of_text(self.too_fine()),
                ]
                .concat()
            }
            // Neither a currency nor what stands between thousands is part of the number.
            "money" if self.text => vec![format!(
                "abs({value}::money::numeric) IS DISTINCT FROM abs(regexp_replace({value}, '[^0-9.]', '', 'g')::numeric)"
            )],
            "money" => vec![format!("{value}::money::numeric <> {value}::numeric")],
            "daterange" | "datemultirange" => self.of_text(format!("{value} ~ '[0-9]:[0-9]'")),
            "tsrange" | "tsmultirange" => [
                self.of_text(self.too_fine()),
                self.of_text(format!(
                    "{value} ~ '[0-9][+Zz]|:[0-9]{{2}}(\\.[0-9]+)?-[0-9]'"
                )),
            ]
            .concat(),
            "tstzrange" | "tstzmultirange" => self.of_text(self.too_fine()),
            _ if self.kind.category == "S" => {
                vec![format!("{value}::{base}::text <> {value}::text")]
            }
            _ => vec![self.round_trip()],
        };
        match terms.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            _ => Some(format!("({})", terms.join(" OR "))),
        }
    }

    /// A condition that only texts need.
    fn of_text(&self, condition: String) -> Vec<String> {
        if self.text {
            vec![condition]
        } else {
            Vec::new()
        }
    }

    /// That the length or the scale of the column changes the value, where it can.
    fn modified(&self, can: bool) -> Vec<String> {
        let Self {
            value,
            base,
            sql_type,
            ..
        } = self;
        let plain = if base.starts_with("interval") {
            "interval"
        } else {
            base
        };
        if can {
            vec![format!("{value}::{plain} <> {value}::{plain}::{sql_type}")]
        } else {
            Vec::new()
        }
    }

    /// Whether the column keeps fewer digits than the value may have.
    fn rounds(&self) -> bool {
        match (self.base, self.numbers) {
            (_, []) => false,
            ("numeric", [_, scale]) => self.text || *scale < 0,
            ("numeric", _) => self.text,
            (_, [kept]) => *kept < self.second_digits(),
            _ => false,
        }
    }

    /// The digits of a second that a value may have.
    fn second_digits(&self) -> i32 {
        match self.data_type {
            DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) => {
                match unit {
                    TimeUnit::Second => 0,
                    TimeUnit::Millisecond => 3,
                    TimeUnit::Microsecond | TimeUnit::Nanosecond => 6,
                }
            }
            DataType::Date32 | DataType::Date64 => 0,
            _ => 6,
        }
    }

    /// A text with more than microseconds.
    fn too_fine(&self) -> String {
        format!("{} ~ '[.,][0-9]{{6}}[0-9]*[1-9]'", self.value)
    }

    /// Whether a type that is not known makes something else of the value.
    fn round_trip(&self) -> String {
        let Self { value, base, .. } = self;
        // How an array is written, and how other lists of numbers are.
        let sent = if self.listed {
            format!("translate({value}::text, '{{}}', '[]')")
        } else {
            format!("{value}::text")
        };
        let plain = |text: &str| {
            format!(
                "regexp_replace(regexp_replace(regexp_replace(lower({text}), '\\s', '', 'g'), \
                 '(\\.[0-9]*[1-9])0+(?![0-9])', '\\1', 'g'), '\\.0*(?![0-9])', '', 'g')"
            )
        };
        format!(
            "{} IS DISTINCT FROM {}",
            plain(&format!("{value}::{base}::text")),
            plain(&sent)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data_type: DataType, staged: &str, sql_type: &str, expect: Option<&str>) {
        let kind = Kind {
            declared: sql_type.to_owned(),
            class: "b".to_owned(),
            category: "X".to_owned(),
            deterministic: true,
        };
        assert_eq!(
            changes(&data_type, staged, sql_type, &kind, "s.c1").as_deref(),
            expect,
            "{data_type} into {sql_type}"
        );
    }

    #[test]
    fn a_value_is_looked_at_only_where_it_can_be_changed() {
        let micros = || DataType::Timestamp(TimeUnit::Microsecond, None);
        let text = |sql_type: &str, expect: Option<&str>| {
            check(DataType::Utf8, "text", sql_type, expect);
        };
        text("text", None);
        text("numeric", None);
        text("inet", None);
        text(
            "numeric(12,2)",
            Some("s.c1::numeric <> s.c1::numeric::numeric(12,2)"),
        );
        text("character varying", None);
        text(
            "character varying(5)",
            Some("(char_length(s.c1) > 5 AND char_length(rtrim(s.c1, ' ')) <= 5)"),
        );
        text(
            "numeric(6,2)[]",
            Some(
                "EXISTS (SELECT FROM unnest(s.c1::text[]) AS e (v) WHERE e.v::numeric <> e.v::numeric::numeric(6,2))",
            ),
        );
        check(
            DataType::Decimal128(12, 2),
            "numeric",
            "numeric(12,2)",
            None,
        );
        check(DataType::Int64, "bigint", "numeric(12,0)", None);
        check(
            DataType::Int64,
            "bigint",
            "numeric(5,-2)",
            Some("s.c1::numeric <> s.c1::numeric::numeric(5,-2)"),
        );
        check(
            micros(),
            "timestamp without time zone",
            "timestamp(3) without time zone",
            Some(
                "s.c1::timestamp without time zone <> s.c1::timestamp without time zone::timestamp(3) without time zone",
            ),
        );
        check(
            micros(),
            "timestamp without time zone",
            "timestamp without time zone",
            None,
        );
        let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        check(
            millis,
            "timestamp with time zone",
            "timestamp(3) with time zone",
            None,
        );
        check(
            DataType::Date32,
            "date",
            "timestamp(0) without time zone",
            None,
        );
        check(
            DataType::Decimal128(12, 4),
            "numeric",
            "money",
            Some("s.c1::money::numeric <> s.c1::numeric"),
        );
    }
}

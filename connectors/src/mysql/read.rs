//! Rows of the target read under lock, as Arrow columns in the types of the changes.
//!
//! The server sends text. A value is said as JSON would say it and read by the rules that read
//! messages; what the changes' type cannot say is foreign, never rounded (R3): a time of more than a
//! day, a date with a zero in it, an integer out of range. A `float` is sent as the double that it is,
//! since its own text has six digits.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field};
use base64::Engine as _;
use sqlx::Row;

use super::failure::{Failure, failure};
use super::session::{Session, integer};
use super::types::{is_binary, split};
use crate::change::Logical;
use crate::error::Result;
use crate::format::{fit, read_cells};
use crate::text::write_string;

/// JSON that no column reads: a value that its type cannot say.
const FOREIGN: &[u8] = b"{";

/// What the text of a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Bytes,
    /// A date and a time of day in UTC.
    Instant,
    /// A number of 32 bits in the digits of one of 64.
    Float,
}

/// A column of the target as it is read.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    /// The SQL that gives it.
    expression: String,
    form: Form,
    /// The column of the changes, and what its values are where it is a dictionary.
    field: Arc<Field>,
    values: Field,
}

/// Columns as they were read, one entry for each row asked for; and which of the rows were there.
pub(super) struct Found {
    pub(super) exists: BooleanBuffer,
    pub(super) columns: Vec<(ArrayRef, Option<BooleanBuffer>)>,
}

/// Reads `columns`; `rest` is the SQL from `FROM` on, whose `s.number` is a row's place among `count`.
/// Rows that do not come are absent.
pub(super) async fn read(
    session: &mut Session,
    columns: &[Reader],
    rest: &str,
    count: usize,
) -> Result<Found, Failure> {
    let list: String = columns
        .iter()
        .map(|column| format!(", {}", column.expression))
        .collect();
    let rows = session
        .rows(&format!("SELECT s.number{list} {rest}"))
        .await?;
    let mut places: Vec<Option<usize>> = vec![None; count];
    for (at, row) in rows.iter().enumerate() {
        places[integer(row, 0)? as usize] = Some(at);
    }
    let columns = columns.iter().enumerate().map(|(column, reader)| {
        let token = |place: &Option<usize>| -> Result<Option<Vec<u8>>, sqlx::Error> {
            let Some(at) = *place else { return Ok(None) };
            let value: Option<&[u8]> = rows[at].try_get_unchecked(column + 1)?;
            Ok(value.map(|value| reader.token(value)))
        };
        let tokens: Vec<Option<Vec<u8>>> = places
            .iter()
            .map(token)
            .collect::<Result<_, _>>()
            .map_err(|error| failure("reading the target's rows", error))?;
        Ok(reader.column(&tokens)?)
    });
    Ok(Found {
        columns: columns.collect::<Result<_, Failure>>()?,
        exists: places.iter().map(Option::is_some).collect(),
    })
}

impl Reader {
    /// Of `expression`, which is of type `sql_type`, for a column of `field`.
    pub(super) fn of(expression: &str, sql_type: &str, field: &Arc<Field>) -> Self {
        let (base, numbers) = split(sql_type);
        let form = match base.as_str() {
            base if is_binary(base) => Form::Bytes,
            "datetime" | "timestamp" => Form::Instant,
            "float" | "float unsigned" => Form::Float,
            _ => Form::Text,
        };
        let expression = match base.as_str() {
            "float" | "float unsigned" => format!("{expression} + 0e0"),
            "year" => format!("{expression} + 0"),
            "bit" => format!(
                "LPAD(BIN(CAST({expression} AS UNSIGNED)), {}, '0')",
                numbers.first().unwrap_or(&1)
            ),
            _ => expression.to_owned(),
        };
        let values = match field.data_type() {
            DataType::Dictionary(_, values) => {
                field.as_ref().clone().with_data_type(*values.clone())
            }
            _ => field.as_ref().clone(),
        };
        Self {
            expression,
            form,
            field: field.clone(),
            values,
        }
    }

    /// The values of the column; which of them are foreign.
    fn column(&self, tokens: &[Option<Vec<u8>>]) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
        let tokens = tokens
            .iter()
            .map(|token| token.as_deref().map(Cow::Borrowed));
        let (column, foreign) = read_cells(&self.values, tokens)?;
        if self.field.data_type() == self.values.data_type() {
            return Ok((column, foreign));
        }
        fit(&column, &self.field).map(|(column, _)| (column, foreign))
    }

    /// The SQL that gives the values.
    pub(super) fn expression(&self) -> &str {
        &self.expression
    }

    /// A value as JSON of what the column expects.
    pub(super) fn token(&self, value: &[u8]) -> Vec<u8> {
        let wants_bytes = matches!(
            self.values.data_type(),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView
        );
        match (self.form, std::str::from_utf8(value)) {
            (Form::Bytes, _) if wants_bytes => {
                quoted(&base64::engine::general_purpose::STANDARD.encode(value))
            }
            (Form::Bytes, _) | (_, Err(_)) => FOREIGN.to_vec(),
            _ if wants_bytes => FOREIGN.to_vec(),
            (form, Ok(text)) => self.text_token(form, text),
        }
    }

    fn text_token(&self, form: Form, text: &str) -> Vec<u8> {
        match (Logical::of(&self.values), self.values.data_type()) {
            (Some(Logical::Numeric), _) => quoted(&number(text).unwrap_or(Cow::Borrowed(text))),
            (Some(_), _) => quoted(text),
            (None, DataType::Boolean) => match text {
                "0" | "false" => b"false".to_vec(),
                "1" | "true" => b"true".to_vec(),
                _ => FOREIGN.to_vec(),
            },
            (None, DataType::List(_) | DataType::LargeList(_)) => text.as_bytes().to_vec(),
            (None, kind) if kind.is_numeric() => match (form, text.parse::<f64>()) {
                (Form::Float, Ok(value)) => (value as f32).to_string().into_bytes(),
                _ => match number(text) {
                    Some(number) => number.as_bytes().to_vec(),
                    None => quoted(text),
                },
            },
            (None, DataType::Date32 | DataType::Date64) if form == Form::Instant => {
                // Midnight, or a time that no date has.
                let (day, time) = text.split_once(' ').unwrap_or((text, ""));
                let is_day = time
                    .bytes()
                    .all(|digit| matches!(digit, b'0' | b':' | b'.'));
                quoted(if is_day { day } else { text })
            }
            (None, DataType::Timestamp(..)) if form == Form::Instant => quoted(&format!("{text}Z")),
            _ => quoted(text),
        }
    }
}

/// A number as JSON writes it, without zeros that say nothing; `None` for what is no number.
fn number(text: &str) -> Option<Cow<'_, str>> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) || text.parse::<f64>().is_err() {
        return None;
    }
    let (digits, exponent) = match digits.find(['e', 'E']) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    let cut = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    };
    let bare = cut.trim_start_matches('0');
    let zero = if bare.is_empty() || bare.starts_with('.') {
        "0"
    } else {
        ""
    };
    Some(Cow::Owned(format!("{sign}{zero}{bare}{exponent}")))
}

fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;
    use arrow::util::display::array_value_to_string;

    use super::*;

    /// What is read of texts that the server sends; `foreign` for what the type cannot say.
    fn check(sql_type: &str, field: Field, texts: &[&str], expect: &[&str]) {
        let reader = Reader::of("t.`x`", sql_type, &Arc::new(field));
        let tokens: Vec<_> = texts
            .iter()
            .map(|text| Some(reader.token(text.as_bytes())))
            .collect();
        let (column, foreign) = reader.column(&tokens).unwrap();
        assert_eq!(column.data_type(), reader.field.data_type(), "{sql_type}");
        let found: Vec<String> = (0..texts.len())
            .map(
                |row| match foreign.as_ref().is_some_and(|mask| mask.value(row)) {
                    true => "foreign".to_owned(),
                    // Arrow shows no time beyond a day.
                    false if matches!(column.data_type(), DataType::Time64(_)) => {
                        let mut text = Vec::new();
                        crate::text::write_text(&reader.field, &column, row, &mut text);
                        String::from_utf8(text).unwrap()
                    }
                    false => array_value_to_string(&column, row).unwrap(),
                },
            )
            .collect();
        assert_eq!(found, expect, "{texts:?} of {sql_type}");
    }

    #[test]
    fn a_value_is_read_exactly_or_is_foreign_r3() {
        use DataType as D;
        let plain = |data_type: D| Field::new("x", data_type, true);
        check(
            "tinyint(1)",
            plain(D::Boolean),
            &["0", "1", "2"],
            &["false", "true", "foreign"],
        );
        check(
            "bigint unsigned",
            plain(D::Int64),
            &["00042", "-7", "18446744073709551615"],
            &["42", "-7", "foreign"],
        );
        check(
            "bigint unsigned",
            plain(D::UInt64),
            &["18446744073709551615"],
            &["18446744073709551615"],
        );
        check(
            "float",
            plain(D::Float32),
            &["0.10000000149011612", "1e38"],
            &["0.1", "1e38"],
        );
        check(
            "decimal(65,30)",
            plain(D::Decimal128(12, 2)),
            &["000.500000", "-1.005", "7"],
            &["0.50", "foreign", "7.00"],
        );
        check("decimal(12,2)", plain(D::Utf8), &["5.50"], &["5.50"]);
        check(
            "decimal(65,30)",
            Logical::Numeric.field("x"),
            &["5.000000", "0.000", "-00.50"],
            &["5", "0", "-0.5"],
        );
        check(
            "date",
            plain(D::Date32),
            &["2024-02-29", "0000-00-00"],
            &["2024-02-29", "foreign"],
        );
        check(
            "datetime(6)",
            plain(D::Date32),
            &["2024-02-29 00:00:00.000000", "2024-02-29 01:00:00.000000"],
            &["2024-02-29", "foreign"],
        );
        check(
            "datetime(6)",
            plain(D::Timestamp(TimeUnit::Millisecond, None)),
            &["2024-02-29 01:02:03.004000", "2024-02-29 01:02:03.000001"],
            &["2024-02-29T01:02:03.004", "foreign"],
        );
        check(
            "timestamp",
            plain(D::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            &["2024-02-29 01:02:03"],
            &["2024-02-29T01:02:03Z"],
        );
        check(
            "time(6)",
            plain(D::Time64(TimeUnit::Microsecond)),
            &["01:02:03.000004", "838:59:59.000000", "-01:00:00.000000"],
            &["01:02:03.000004", "838:59:59.000000", "-01:00:00.000000"],
        );
        check("varbinary(9)", plain(D::Binary), &["a\0b"], &["610062"]);
        check("varbinary(9)", plain(D::Utf8), &["ab"], &["foreign"]);
        check(
            "longtext",
            plain(D::Int32),
            &["12", "x"],
            &["12", "foreign"],
        );
        check(
            "json",
            Logical::Json.field("x"),
            &["{\"a\": [1, 2.50]}", "\"it's\"", "no"],
            &["{\"a\": [1, 2.50]}", "\"it's\"", "foreign"],
        );
        check("bit(3)", Logical::Bits(3).field("x"), &["011"], &["011"]);
        let dictionary = D::Dictionary(Box::new(D::Int32), Box::new(D::Utf8));
        check("enum('a','b')", plain(dictionary), &["b", ""], &["b", ""]);
    }

    #[test]
    fn what_the_server_would_cut_is_asked_for_whole() {
        let check = |sql_type: &str, expect: &str| {
            let field = Arc::new(Field::new("x", DataType::Utf8, true));
            assert_eq!(Reader::of("t.`x`", sql_type, &field).expression, expect);
        };
        check("float", "t.`x` + 0e0");
        check("year(4)", "t.`x` + 0");
        check("bit(3)", "LPAD(BIN(CAST(t.`x` AS UNSIGNED)), 3, '0')");
        check("double", "t.`x`");
    }
}

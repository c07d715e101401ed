//! The schema of rows that nobody described, guessed from the rows themselves.
//!
//! Guesses are `int64`, `float64`, `boolean`, `string` and JSON text. They only ever widen: an
//! integer and a fraction make `float64`; numbers that a double cannot hold exactly make a numeric;
//! anything else that does not fit together makes JSON text. A column that has been null so far is
//! a string until a value comes. Columns keep the order in which they were first seen.

use std::collections::HashMap;

use arrow::datatypes::DataType;

use super::decimal;
use super::fault::{Fault, Parsed};
use super::reading::Reading;
use super::scan::Cursor;
use super::schema::Described;

/// How many columns a sampled table may have; the most that a PostgreSQL table can.
const COLUMNS_MAX: usize = 1600;

/// The largest integer up to which a double holds every one.
const FLOAT_INTEGER_MAX: i128 = 1 << 53;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    Null,
    /// Small enough for a double.
    SmallInteger,
    Integer,
    Float,
    Numeric,
    Boolean,
    Text,
    Json,
}

impl Guess {
    fn merge(self, other: Self) -> Self {
        use Guess::{Float, Integer, Json, Null, Numeric, SmallInteger};
        match (self, other) {
            (a, b) if a == b => a,
            (Null, other) | (other, Null) => other,
            (SmallInteger, Integer) | (Integer, SmallInteger) => Integer,
            (SmallInteger, Float) | (Float, SmallInteger) => Float,
            (
                SmallInteger | Integer | Float | Numeric,
                SmallInteger | Integer | Float | Numeric,
            ) => Numeric,
            _ => Json,
        }
    }

    fn reading(self) -> Reading {
        match self {
            Self::Null => Reading::Nothing,
            Self::SmallInteger | Self::Integer => Reading::Integer(DataType::Int64),
            Self::Float => Reading::SampledFloat64,
            Self::Numeric => Reading::Numeric,
            Self::Boolean => Reading::Boolean,
            Self::Text => Reading::Text,
            Self::Json => Reading::RawJson,
        }
    }

    fn of(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let guess = match cursor.peek() {
            b'n' => Self::Null,
            b't' | b'f' => Self::Boolean,
            b'"' => Self::Text,
            b'{' | b'[' => Self::Json,
            _ => return cursor.number().map(Self::of_number),
        };
        cursor.skip_checked()?;
        Ok(guess)
    }

    fn of_number(text: &[u8]) -> Self {
        let whole = !text.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
        if whole {
            return match decimal::integer(text) {
                Some(value) if value.abs() <= FLOAT_INTEGER_MAX => Self::SmallInteger,
                Some(value) if i64::try_from(value).is_ok() => Self::Integer,
                _ => Self::Numeric,
            };
        }
        let value = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<f64>().ok());
        match value {
            Some(value) if value.is_finite() && decimal::is_exact_float(text, value) => Self::Float,
            _ => Self::Numeric,
        }
    }
}

/// What was seen of one table. See the module docs.
#[derive(Debug, Default)]
pub(super) struct Sample {
    columns: Vec<(String, Guess)>,
    lookup: HashMap<String, usize>,
    changed: bool,
}

impl Sample {
    /// A column that is there whether a row has it or not.
    pub(super) fn expect(&mut self, name: &str) {
        if !self.lookup.contains_key(name) {
            self.merge(name.to_owned(), Guess::Null);
        }
    }

    /// Whether no value was seen yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.columns.iter().all(|(_, guess)| *guess == Guess::Null)
    }

    /// Adds the object that stands next, all of it or nothing. `wanted` says which columns matter.
    pub(super) fn add(
        &mut self,
        cursor: &mut Cursor<'_>,
        wanted: impl Fn(&str) -> bool,
    ) -> Parsed<()> {
        let mut seen = Vec::new();
        cursor.expect(b'{')?;
        let mut more = !cursor.closed(b'}');
        while more {
            let name = cursor.string()?.unescape()?;
            cursor.expect(b':')?;
            cursor.skip_space();
            let guess = Guess::of(cursor)?;
            let name = std::str::from_utf8(&name).map_err(|_| Fault::form("a key is not UTF-8"))?;
            if wanted(name) {
                seen.push((name.to_owned(), guess));
            }
            more = cursor.more(b'}')?;
        }
        let new = seen
            .iter()
            .filter(|(name, _)| !self.lookup.contains_key(name))
            .count();
        if self.columns.len() + new > COLUMNS_MAX {
            return Err(Fault::value(format!(
                "more than {COLUMNS_MAX} columns in one table"
            )));
        }
        for (name, guess) in seen {
            self.merge(name, guess);
        }
        Ok(())
    }

    fn merge(&mut self, name: String, guess: Guess) {
        match self.lookup.get(&name) {
            Some(&at) => {
                let merged = self.columns[at].1.merge(guess);
                self.changed |= merged.reading() != self.columns[at].1.reading();
                self.columns[at].1 = merged;
            }
            None => {
                self.lookup.insert(name.clone(), self.columns.len());
                self.columns.push((name, guess));
                self.changed = true;
            }
        }
    }

    /// The columns as far as they are known.
    pub(super) fn columns(&self) -> Vec<Described> {
        let described = |(name, guess): &(String, Guess)| Described {
            name: name.clone(),
            reading: guess.reading(),
            required: true,
        };
        self.columns.iter().map(described).collect()
    }

    /// Whether the columns became others since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expect: Reading) {
        let mut sample = Sample::default();
        for value in values {
            let row = format!("{{\"x\": {value}}}");
            sample
                .add(&mut Cursor::new(row.as_bytes()), |_| true)
                .unwrap();
        }
        assert_eq!(sample.columns()[0].reading, expect, "{values:?}");
    }

    #[test]
    fn guesses_widen() {
        check(&["null"], Reading::Nothing);
        check(
            &["1", "null", "9223372036854775807"],
            Reading::Integer(DataType::Int64),
        );
        check(&["1", "2.5"], Reading::SampledFloat64);
        check(&["1e2"], Reading::SampledFloat64);
        check(&["2.5", "9007199254740993"], Reading::Numeric);
        check(&["18446744073709551615"], Reading::Numeric);
        check(&["0.12345678901234567890"], Reading::Numeric);
        check(&["true", "false"], Reading::Boolean);
        check(&["\"a\""], Reading::Text);
        check(&["\"a\"", "1"], Reading::RawJson);
        check(&["{\"a\": [1]}"], Reading::RawJson);
    }

    #[test]
    fn a_broken_row_leaves_no_trace() {
        let mut sample = Sample::default();
        assert!(
            sample
                .add(&mut Cursor::new(b"{\"x\": 1, \"y\": oops}"), |_| true)
                .is_err()
        );
        assert!(sample.columns().is_empty() && !sample.take_changed());
    }

    #[test]
    fn columns_are_bounded() {
        let row = |from: usize| {
            let keys: Vec<_> = (from..from + 900).map(|i| format!("\"c{i}\":1")).collect();
            format!("{{{}}}", keys.join(","))
        };
        let mut sample = Sample::default();
        sample
            .add(&mut Cursor::new(row(0).as_bytes()), |_| true)
            .unwrap();
        assert!(
            sample
                .add(&mut Cursor::new(row(900).as_bytes()), |_| true)
                .is_err()
        );
        assert_eq!(sample.columns().len(), 900);
    }
}

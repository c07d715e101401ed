//! Values as a person writes them in a pipeline file: ordered tables of texts, and literals of any
//! TOML type.
//!
//! A literal keeps its text as it was written, if TOML allows it. A bound on a decimal column is
//! then parsed as that column's type, without a conversion to a float. A float of more than fifteen
//! digits has lost its text; [`Literal::exact`] tells.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Names with a text each, in the order of the file: columns with their expressions, or old names
/// with new ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<(String, String)>);

impl Texts {
    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names and their texts, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of names with a text each")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Texts(entries))
            }
        }

        deserializer.deserialize_map(TextsVisitor)
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, text) in self.iter() {
            map.serialize_entry(name, text)?;
        }
        map.end()
    }
}

impl JsonSchema for Texts {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
    }
}

/// A value in a pipeline file: a number, a text, a boolean, a date or a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `100`
    Integer(i64),
    /// `0.5`
    Float(f64),
    /// `true`
    Boolean(bool),
    /// `"0.005"`, or a TOML date or time.
    Text(String),
}

impl Literal {
    /// The value as text, as it was written.
    pub fn text(&self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    /// Whether [`Literal::text`] is certainly the written text: a float of more than fifteen
    /// significant digits has lost it.
    pub fn exact(&self) -> bool {
        let Self::Float(value) = self else {
            return true;
        };
        let text = format!("{value:e}");
        let digits = text.split('e').next().unwrap_or_default();
        value.is_finite() && digits.chars().filter(char::is_ascii_digit).count() <= 15
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LiteralVisitor;

        impl<'de> Visitor<'de> for LiteralVisitor {
            type Value = Literal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text, a boolean, a date or a time")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Literal, E> {
                Ok(Literal::Boolean(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Literal, E> {
                Ok(Literal::Integer(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Literal, E> {
                Ok(i64::try_from(value)
                    .map_or_else(|_| Literal::Text(value.to_string()), Literal::Integer))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Literal, E> {
                Ok(Literal::Float(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Literal, E> {
                Ok(Literal::Text(value.to_owned()))
            }

            /// The `toml` crate represents dates and times as a map of its own.
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Literal, A::Error> {
                let datetime = toml::value::Datetime::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Literal::Text(datetime.to_string()))
            }
        }

        deserializer.deserialize_any(LiteralVisitor)
    }
}

impl Serialize for Literal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl JsonSchema for Literal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Literal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string", "boolean"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Holder {
        value: Literal,
    }

    fn check(written: &str, expect: &str, exact: bool) {
        let holder: Holder = toml::from_str(&format!("value = {written}")).expect("parses");
        assert_eq!(
            (holder.value.text().as_str(), holder.value.exact()),
            (expect, exact),
            "{written}"
        );
    }

    #[test]
    fn a_literal_keeps_its_text() {
        check("0", "0", true);
        check("-9223372036854775808", "-9223372036854775808", true);
        check("0.1", "0.1", true);
        check("1e20", "100000000000000000000", true);
        check("123456789012.345", "123456789012.345", true);
        check("1234567890123.4567", "1234567890123.4568", false);
        check("inf", "inf", false);
        check("'0.10'", "0.10", true);
        check("true", "true", true);
        check("2026-02-28", "2026-02-28", true);
        check("2026-02-28T10:00:00Z", "2026-02-28T10:00:00Z", true);
    }

    #[test]
    fn texts_keep_the_order_of_the_file() {
        let texts: Texts = toml::from_str("z = '1'\na = '2'\nm = '3'").expect("parses");
        let names: Vec<&str> = texts.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["z", "a", "m"]);
    }
}

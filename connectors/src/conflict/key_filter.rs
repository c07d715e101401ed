//! Selects rows by a key that a person wrote.

use serde_json::{Map, Value};

/// A key as a person writes it: an object of columns, or the value of one column.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyFilter {
    /// `{"id":42}`: each of these columns has this value.
    Columns(Map<String, Value>),
    /// `42`: one of the columns has this value.
    Value(String),
}

impl KeyFilter {
    /// Parses a key.
    pub fn of(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(Value::Object(columns)) => Self::Columns(columns),
            Ok(Value::String(value)) => Self::Value(value),
            _ => Self::Value(text.trim().to_owned()),
        }
    }

    /// Whether a stored key matches. If a key stores a number as text, the texts are compared.
    pub fn matches(&self, key: &str) -> bool {
        let Ok(Value::Object(found)) = serde_json::from_str(key) else {
            return false;
        };
        match self {
            Self::Columns(wanted) => wanted.iter().all(|(name, value)| {
                found
                    .get(name)
                    .is_some_and(|found| plain(found) == plain(value))
            }),
            Self::Value(wanted) => found.values().any(|found| plain(found) == *wanted),
        }
    }

    /// Texts for a fast search before [`KeyFilter::matches`]: a matching key contains at least one
    /// text of each list.
    pub(crate) fn parts(&self) -> Vec<Vec<String>> {
        let forms = |value: &str| {
            let quoted = Value::from(value).to_string();
            [value, &quoted]
                .iter()
                .flat_map(|form| [format!(":{form}}}"), format!(":{form},")])
                .collect()
        };
        match self {
            Self::Columns(wanted) => wanted.values().map(|value| forms(&plain(value))).collect(),
            Self::Value(wanted) => vec![forms(wanted)],
        }
    }
}

/// The value as text; a string without its quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_columns_or_a_value() {
        let check = |filter: &str, key: &str, expect: bool| {
            let filter = KeyFilter::of(filter);
            assert_eq!(filter.matches(key), expect, "{filter:?} {key}");
            // The fast search never excludes a matching key.
            let holds = |any: &Vec<String>| any.iter().any(|part| key.contains(part));
            assert!(
                !expect || filter.parts().iter().all(holds),
                "{filter:?} {key}"
            );
        };
        check("42", r#"{"id":42}"#, true);
        check("42", r#"{"id":"42"}"#, true);
        check("42", r#"{"id":421}"#, false);
        check("42", r#"{"a":1,"b":42}"#, true);
        check("42", r#"{"a":42,"b":1}"#, true);
        check("a b", r#"{"id":"a b"}"#, true);
        check("\"42\"", r#"{"id":"42"}"#, true);
        check("say \"hi\"", r#"{"id":"say \"hi\""}"#, true);
        check(r#"{"id": 42}"#, r#"{"id":42}"#, true);
        check(r#"{"id":42}"#, r#"{"no":42}"#, false);
        check(r#"{"b":2,"a":1}"#, r#"{"a":1,"b":2}"#, true);
        check(r#"{"b":2}"#, r#"{"a":1,"b":2}"#, true);
        check(r#"{"b":2,"a":2}"#, r#"{"a":1,"b":2}"#, false);
        check("42", "no key", false);
    }
}

//! Record headers as a JSON object of strings, and back.
//!
//! A header whose value is no UTF-8 is written as `base64:` and its bytes in base64; so is a value
//! that begins with `base64:` itself, so that nothing is ambiguous. A header without a value is
//! `null`. Where a name comes twice the last one stands, as in Kafka's own `lastHeader`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rdkafka::message::Headers;
use serde_json::{Map, Value};

/// Says that base64 follows.
const BINARY: &str = "base64:";

/// The headers as JSON; `None` where there are none.
pub(super) fn to_json(headers: &impl Headers) -> Option<Vec<u8>> {
    let named = (0..headers.count()).filter_map(|index| {
        let header = headers.try_get(index)?;
        Some((header.key, header.value))
    });
    encode(named)
}

fn encode<'a>(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> Option<Vec<u8>> {
    let mut object = Map::new();
    for (name, value) in headers {
        let value = match value.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            None => Value::Null,
            Some((_, Ok(text))) if !text.starts_with(BINARY) => Value::String(text.to_owned()),
            Some((bytes, _)) => Value::String(format!("{BINARY}{}", STANDARD.encode(bytes))),
        };
        object.insert(name.to_owned(), value);
    }
    if object.is_empty() {
        return None;
    }
    Some(Value::Object(object).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&str, Option<&[u8]>)], expect: Option<&str>) {
        let json = encode(headers.iter().copied());
        let text = json.map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(text.as_deref(), expect);
    }

    #[test]
    fn headers_become_an_object_of_strings() {
        check(&[], None);
        check(
            &[("a", Some(b"1")), ("b", None)],
            Some(r#"{"a":"1","b":null}"#),
        );
        check(
            &[("a", Some(b"1")), ("a", Some(b"2"))],
            Some(r#"{"a":"2"}"#),
        );
        check(&[("a", Some(b"say \"x\""))], Some(r#"{"a":"say \"x\""}"#));
        check(&[("a", Some(&[0xff, 0]))], Some(r#"{"a":"base64:/wA="}"#));
        check(
            &[("a", Some(b"base64:x"))],
            Some(r#"{"a":"base64:YmFzZTY0Ong="}"#),
        );
    }
}

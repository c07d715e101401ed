//! The record key: which columns it names, and its values (R2).
//!
//! A key is `{schema, payload}`, a bare struct, or a primitive, which names nothing. One that is no
//! JSON names nothing either: rows do not need it, and a delete that does is refused.

use std::sync::Arc;

use super::fault::{Fault, Parsed};
use super::scan::Cursor;

/// A JSON text with the schema that may be wrapped around it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload<'a> {
    /// The text of the schema; `None` where there is none or it is null.
    pub(super) schema: Option<&'a [u8]>,
    /// Where the payload begins.
    pub(super) at: usize,
    /// Whether it was wrapped; all of the wrapper is checked then.
    pub(super) wrapped: bool,
}

impl<'a> Payload<'a> {
    /// An object of just `schema` and `payload`, or of `payload` alone, is a wrapper.
    pub(super) fn open(bytes: &'a [u8]) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        cursor.skip_space();
        let at = cursor.at();
        let bare = Self {
            schema: None,
            at,
            wrapped: false,
        };
        if cursor.peek() != b'{' {
            return Ok(bare);
        }
        cursor.advance();
        cursor.skip_space();
        if !cursor.bytes()[cursor.at()..].starts_with(b"\"schema\"")
            && !cursor.bytes()[cursor.at()..].starts_with(b"\"payload\"")
        {
            return Ok(bare);
        }
        let (mut schema, mut payload) = (None, None);
        loop {
            let name = cursor.string()?;
            cursor.expect(b':')?;
            cursor.skip_space();
            let start = cursor.at();
            match name.raw {
                b"schema" if matches!(cursor.peek(), b'{' | b'n') => {
                    cursor.skip()?;
                    schema = Some(cursor.since(start)).filter(|&text| text != b"null");
                }
                b"payload" => {
                    cursor.skip()?;
                    payload = Some(start);
                }
                // Some other object, which happens to begin like a wrapper.
                _ => return Ok(bare),
            }
            if !cursor.more(b'}')? {
                break;
            }
        }
        cursor.end()?;
        Ok(payload.map_or(bare, |at| Self {
            schema,
            at,
            wrapped: true,
        }))
    }
}

/// The names in the keys of one topic, read once and recognised after that.
#[derive(Debug, Default)]
pub(super) struct RecordKey {
    /// The key's bytes up to its first field.
    open: Vec<u8>,
    /// `"name":` of each field.
    tokens: Vec<Vec<u8>>,
    names: Option<Arc<[String]>>,
}

impl RecordKey {
    /// The names in this key.
    #[inline]
    pub(super) fn names(&mut self, key: Option<&[u8]>) -> Option<&Arc<[String]>> {
        let key = key?;
        if !self.is_known(key) {
            // A key that cannot be read names nothing.
            self.learn(key).unwrap_or_default();
        }
        self.names.as_ref()
    }

    fn is_known(&self, key: &[u8]) -> bool {
        let mut cursor = Cursor::new(key);
        !self.tokens.is_empty()
            && cursor.take(&self.open)
            && self.tokens.iter().enumerate().all(|(i, token)| {
                (i == 0 || cursor.take(b",")) && cursor.take(token) && cursor.skip().is_ok()
            })
            && cursor.peek() == b'}'
    }

    #[cold]
    fn learn(&mut self, key: &[u8]) -> Parsed<()> {
        self.names = None;
        self.tokens.clear();
        std::str::from_utf8(key).map_err(|_| Fault::key("the record key is not UTF-8"))?;
        let payload = Payload::open(key)?;
        let mut cursor = Cursor::from(key, payload.at);
        let mut names = Vec::new();
        cursor.expect(b'{')?;
        self.open = key[..cursor.at()].to_vec();
        if cursor.closed(b'}') {
            return Ok(());
        }
        loop {
            let start = cursor.at();
            let name = cursor.string()?.unescape()?.into_owned();
            cursor.expect(b':')?;
            self.tokens.push(cursor.since(start).to_vec());
            cursor.skip_space();
            cursor.skip()?;
            names
                .push(String::from_utf8(name).map_err(|_| Fault::key("a key field is not UTF-8"))?);
            if !cursor.more(b'}')? {
                break;
            }
        }
        self.names = Some(names.into());
        Ok(())
    }
}

/// The text of the key's values as an object, and the text of its schema. A primitive becomes an
/// object of the one name in `names`.
pub(super) fn values(
    key: &[u8],
    names: Option<&Arc<[String]>>,
) -> Parsed<(Vec<u8>, Option<Vec<u8>>)> {
    std::str::from_utf8(key).map_err(|_| Fault::key("the record key is not UTF-8"))?;
    let (payload, text) = open_checked(key)
        .map_err(|fault| Fault::key(format!("the record key: {}", fault.reason)))?;
    match (text.first(), names.map(|names| &**names)) {
        (Some(b'{'), _) => Ok((text.to_vec(), payload.schema.map(<[u8]>::to_vec))),
        (Some(b'n'), _) => Err(Fault::key("the record key is null")),
        (_, Some([name])) => {
            let name = serde_json::Value::from(name.as_str()).to_string();
            let object = [b"{", name.as_bytes(), b":", text, b"}"].concat();
            Ok((object, None))
        }
        _ => Err(Fault::key(
            "the record key is a plain value and no single key field is configured for it",
        )),
    }
}

/// The wrapper and the text of the payload.
fn open_checked(key: &[u8]) -> Parsed<(Payload<'_>, &[u8])> {
    let payload = Payload::open(key)?;
    let mut cursor = Cursor::from(key, payload.at);
    cursor.skip_checked()?;
    let text = cursor.since(payload.at);
    if !payload.wrapped {
        cursor.end()?;
    }
    Ok((payload, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_form_of_key() {
        let mut keys = RecordKey::default();
        let mut check = |key: &str, expect: Option<&[&str]>| {
            // Twice: once read, once recognised.
            for _ in 0..2 {
                let names = keys.names(Some(key.as_bytes())).map(|names| names.to_vec());
                let expect =
                    expect.map(|names| names.iter().map(|&name| name.to_owned()).collect());
                assert_eq!(names, expect, "{key}");
            }
        };
        check("{\"id\":1}", Some(&["id"]));
        check("{\"id\":1,\"b\":2}", Some(&["id", "b"]));
        check("{\"id\":1}", Some(&["id"]));
        check("{ \"id\" : \"}\" }", Some(&["id"]));
        check(
            "{\"schema\":{\"a\":[1]},\"payload\":{\"id\":1}}",
            Some(&["id"]),
        );
        check("{\"schema\":null,\"payload\":{\"id\":1}}", Some(&["id"]));
        check("{\"schema\":{},\"payload\":7}", None);
        check("{\"payload\":1,\"id\":2}", Some(&["payload", "id"]));
        check("7", None);
        check("{}", None);
        check("Struct{id=1}", None);
    }

    #[test]
    fn a_primitive_takes_the_configured_name() {
        let names: Arc<[String]> = ["id".to_owned()].into();
        assert_eq!(values(b"7", Some(&names)).unwrap().0, b"{\"id\":7}");
        assert!(values(b"7", None).is_err());
        assert!(values(b"null", Some(&names)).is_err());
        assert!(values(b"\xff", Some(&names)).is_err());
    }
}

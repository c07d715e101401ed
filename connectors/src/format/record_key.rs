//! The record key: which columns it names, and its values (R2).
//!
//! A key is `{schema, payload}`, a bare struct, or a plain value, which names nothing. Bytes that are
//! no JSON are a plain text, as a string converter writes it. A key that cannot be read names nothing:
//! rows do not need it, and a delete that does is refused.

use std::sync::Arc;

use super::fault::{Fault, Parsed};
use super::observed::Observed;
use super::reading::Placeholder;
use super::scan::Cursor;
use super::schema::{Connect, Described};

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

/// The text of the key's values as an object, and the text of its schema. A plain value becomes an
/// object of the one name in `names`; where `is_text`, as a text, whatever it looks like.
pub(super) fn values(
    key: &[u8],
    names: Option<&Arc<[String]>>,
    is_text: bool,
) -> Parsed<(Vec<u8>, Option<Vec<u8>>)> {
    let whole = std::str::from_utf8(key).map_err(|_| Fault::key("the record key is not UTF-8"))?;
    let quoted = || serde_json::Value::from(whole).to_string().into_bytes();
    let value = match open_checked(key) {
        Ok((payload, text)) if text.first() == Some(&b'{') => {
            return Ok((text.to_vec(), payload.schema.map(<[u8]>::to_vec)));
        }
        Ok((_, b"null")) => return Err(Fault::key("the record key is null")),
        Ok((payload, text)) if payload.wrapped || !is_text || text.first() == Some(&b'"') => {
            text.to_vec()
        }
        // Of a string converter: a text that looks like a number, or like nothing in JSON.
        Ok(_) => quoted(),
        Err(_) if is_plain(whole) => quoted(),
        Err(fault) => return Err(Fault::key(format!("the record key: {}", fault.reason))),
    };
    let Some([name]) = names.map(|names| &**names) else {
        return Err(Fault::key(
            "the record key is a plain value and no single key field is configured for it: write key = [\"…\"] in the source",
        ));
    };
    let name = serde_json::Value::from(name.as_str()).to_string();
    let object = [b"{", name.as_bytes(), b":", &value[..], b"}"].concat();
    // The schema of a plain value describes no columns.
    Ok((object, None))
}

/// Whether a key that is no JSON is one text, and not a broken object or what a struct looks like
/// without a converter.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && !key.starts_with(['{', '[', '"']) && !key.starts_with("Struct{")
}

/// The columns that a key describes: by its schema, else by its values.
pub(super) fn columns(
    key: &[u8],
    names: Option<&Arc<[String]>>,
    is_text: bool,
) -> Parsed<Vec<Described>> {
    let (object, schema) = values(key, names, is_text)?;
    if let Some(Ok(connect)) = schema.as_deref().map(Connect::parse) {
        return Ok(connect.columns);
    }
    let mut observed = Observed::new(Arc::new([]));
    let placeholder = Placeholder::new("");
    observed.add(&mut Cursor::new(&object), &placeholder, |_| true)?;
    Ok(observed.columns())
}

/// The table that a key's schema is named after, `PREFIX.SCHEMA.TABLE.Key`: its name, and the schema
/// or database where the name says it.
pub(super) fn table(key: &[u8]) -> Option<(String, Option<String>)> {
    let schema = Payload::open(key).ok()?.schema?;
    let schema: serde_json::Value = serde_json::from_slice(schema).ok()?;
    let name = schema.get("name")?.as_str()?.strip_suffix(".Key")?;
    let mut parts = name.rsplit('.');
    let table = parts.next()?.to_owned();
    let schema = parts.next().map(str::to_owned);
    // What stands first is the prefix of the topics.
    let schema = parts.next().and(schema);
    Some((table, schema))
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
    fn the_schema_of_a_key_is_named_after_its_table() {
        let check = |name: &str, expect: Option<(&str, Option<&str>)>| {
            let key = format!(r#"{{"schema":{{"name":"{name}"}},"payload":{{"id":1}}}}"#);
            let expect =
                expect.map(|(table, schema)| (table.to_owned(), schema.map(str::to_owned)));
            assert_eq!(table(key.as_bytes()), expect, "{name}");
        };
        check("crm.public.clients.Key", Some(("clients", Some("public"))));
        check("crm.clients.Key", Some(("clients", None)));
        check("clients.Key", Some(("clients", None)));
        check("crm.public.clients.Value", None);
        assert_eq!(table(b"{\"id\":1}"), None);
    }

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
        let check = |key: &[u8], is_text: bool, expect: Option<&str>| {
            let found = values(key, Some(&names), is_text).ok();
            let found = found.map(|(object, _)| String::from_utf8(object).unwrap());
            assert_eq!(found.as_deref(), expect, "{}", key.escape_ascii());
        };
        check(b"7", false, Some(r#"{"id":7}"#));
        check(b"7", true, Some(r#"{"id":"7"}"#));
        check(b"\"7\"", true, Some(r#"{"id":"7"}"#));
        check(b"c-7", false, Some(r#"{"id":"c-7"}"#));
        check(b"007", false, Some(r#"{"id":"007"}"#));
        check(b"{\"schema\":{},\"payload\":7}", true, Some(r#"{"id":7}"#));
        check(b"null", false, None);
        check(b"\xff", false, None);
        check(b"{\"id\":", false, None);
        check(b"Struct{id=7}", false, None);
        assert!(values(b"7", None, false).is_err());
    }
}

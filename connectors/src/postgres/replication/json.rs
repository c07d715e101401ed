//! Values as PostgreSQL writes them as text, as JSON of what a column's field expects: the same that
//! `to_json` makes of them where a table is read.

use arrow::datatypes::{DataType, Field};
use base64::Engine as _;

use crate::change::Logical;

/// Appends a value; one in a form that its type does not have becomes a string, which the field's reading
/// then refuses.
pub(super) fn write(field: &Field, text: &[u8], out: &mut Vec<u8>) {
    let written = match (Logical::of(field), field.data_type()) {
        (Some(_), _) => None,
        (None, DataType::Boolean) => match text {
            b"t" => Some(&b"true"[..]),
            b"f" => Some(&b"false"[..]),
            _ => None,
        },
        (None, DataType::Binary) => return write_bytes(text, out),
        (None, DataType::List(item)) => return write_array(item, text, out),
        (None, number) if number.is_numeric() => is_number(text).then_some(text),
        (None, _) => None,
    };
    match written {
        Some(written) => out.extend_from_slice(written),
        None => write_string(text, out),
    }
}

/// Whether it is a number, and not `NaN` or `Infinity`.
fn is_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    digits.first().is_some_and(u8::is_ascii_digit)
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    let plain = text
        .iter()
        .all(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    match std::str::from_utf8(text) {
        Ok(_) if plain => {
            out.push(b'"');
            out.extend_from_slice(text);
            out.push(b'"');
        }
        Ok(text) => crate::text::write_string(text, out),
        // The connection's encoding is UTF-8.
        Err(_) => out.extend_from_slice(b"\"\""),
    }
}

/// `\x…` as base64.
fn write_bytes(text: &[u8], out: &mut Vec<u8>) {
    let digits = text.strip_prefix(b"\\x").unwrap_or_default();
    let value = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| value(pair[0]) << 4 | value(pair[1]))
        .collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    crate::text::write_string(&encoded, out);
}

/// `{1,NULL,"a b"}` as a JSON array; arrays in it are arrays.
fn write_array(item: &Field, text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    // `[2:3]={…}` says bounds that are not those of every array; JSON has none.
    let body = match (text.first(), memchr::memchr(b'=', text)) {
        (Some(b'['), Some(at)) => &text[at + 1..],
        _ => text,
    };
    let mut rest = body;
    if write_items(item, &mut rest, out).is_none() || !rest.is_empty() {
        out.truncate(start);
        write_string(text, out);
    }
}

/// The items of an array that begins here, and moves behind it; `None` where there is none.
fn write_items(item: &Field, rest: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    *rest = rest.strip_prefix(b"{")?;
    out.push(b'[');
    if let Some(behind) = rest.strip_prefix(b"}") {
        *rest = behind;
        out.push(b']');
        return Some(());
    }
    let mut text = Vec::new();
    loop {
        match rest.first()? {
            b'{' => write_items(item, rest, out)?,
            b'"' => {
                text.clear();
                *rest = &rest[1..];
                loop {
                    let (&byte, behind) = rest.split_first()?;
                    *rest = behind;
                    match byte {
                        b'"' => break,
                        b'\\' => {
                            let (&escaped, behind) = rest.split_first()?;
                            *rest = behind;
                            text.push(escaped);
                        }
                        byte => text.push(byte),
                    }
                }
                write(item, &text, out);
            }
            _ => {
                let length = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
                let (value, behind) = rest.split_at(length);
                *rest = behind;
                match value {
                    b"NULL" => out.extend_from_slice(b"null"),
                    value => write(item, value, out),
                }
            }
        }
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        match byte {
            b',' => out.push(b','),
            b'}' => break,
            _ => return None,
        }
    }
    out.push(b']');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::POSTGRES;

    #[test]
    fn a_value_is_what_to_json_makes_of_it() {
        let check = |sql_type: &str, text: &str, expect: &str| {
            let field = (POSTGRES.field)("x", sql_type);
            let mut out = Vec::new();
            write(&field, text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expect, "{sql_type}");
        };
        check("integer", "-5", "-5");
        check("boolean", "t", "true");
        check("double precision", "1e+20", "1e+20");
        check("double precision", "NaN", "\"NaN\"");
        check("real", "-Infinity", "\"-Infinity\"");
        check("numeric(5,2)", "1.50", "1.50");
        check("numeric", "NaN", "\"NaN\"");
        check("text", "a\"b\\\n", "\"a\\\"b\\\\\\n\"");
        check("bytea", "\\x00ff10", "\"AP8Q\"");
        check("jsonb", "{\"a\": 1}", "\"{\\\"a\\\": 1}\"");
        check("integer[]", "{}", "[]");
        check("integer[]", "{1,NULL,-3}", "[1,null,-3]");
        check("integer[]", "[0:1]={7,8}", "[7,8]");
        check(
            "text[]",
            "{a,\"b,c\",\"d\\\"e\",\"NULL\",NULL}",
            "[\"a\",\"b,c\",\"d\\\"e\",\"NULL\",null]",
        );
        check("integer[]", "{{1,2},{3,4}}", "[[1,2],[3,4]]");
        check("boolean[]", "{t,f}", "[true,false]");
        check("text[]", "{a", "\"{a\"");
    }
}

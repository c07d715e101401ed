//! Names what the first records of a source are, where `debezium-json` cannot read them or reads
//! them as rows of nonsense: bytes in, a form with its remedy out.
//!
//! A form is only named where *all* the values that are shown are of it, or where they are the first
//! lines of one file and its beginning says so. One odd record among others is bad data, and so is
//! what has no known form. Nothing is decompressed or decoded; a value is looked at up to
//! [`VALUE_BYTES_MAX`].

mod json;
#[cfg(test)]
mod tests;
mod text;

pub use self::json::{BASE64_DECIMALS, EVENTS, MAXWELL, are_events, foreign_json, is_base64_field};
pub use self::text::array_over_lines;

/// A longer value has to be cut to this before it is shown.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// What records are, for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Its name, as the end of "the records are …".
    pub name: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Columns that such records would have if they were read as rows; empty where they cannot be.
    pub keys: &'static [&'static str],
}

const fn form(name: &'static str, remedy: &'static str) -> Form {
    Form {
        name,
        remedy,
        keys: &[],
    }
}

const DECOMPRESS: &str = "decompress the file first, or let the producer compress its batches (compression.type) and not its values";
const EXPORT: &str = "export the rows as JSON, one object a line";
const CONVERTER: &str = "set key.converter and value.converter of the connector to org.apache.kafka.connect.json.JsonConverter";

/// Forms that their first bytes tell.
const MAGIC: &[(&[u8], Form)] = &[
    (b"\x1f\x8b", form("compressed by gzip", DECOMPRESS)),
    (b"\x28\xb5\x2f\xfd", form("compressed by zstd", DECOMPRESS)),
    (b"\x04\x22\x4d\x18", form("compressed by lz4", DECOMPRESS)),
    (b"\xfd7zXZ\0", form("compressed by xz", DECOMPRESS)),
    (b"BZh", form("compressed by bzip2", DECOMPRESS)),
    (
        b"\xff\x06\0\0sNaPpY",
        form("compressed by snappy", DECOMPRESS),
    ),
    (b"\x82SNAPPY\0", form("compressed by snappy", DECOMPRESS)),
    (b"PK\x03\x04", form("a zip archive", DECOMPRESS)),
    (b"PAR1", form("Parquet", EXPORT)),
    (
        b"Obj\x01",
        form(
            "an Avro container file",
            "write it as JSON first, for example with `avro-tools tojson FILE`",
        ),
    ),
    (b"ORC", form("ORC", EXPORT)),
    (b"ARROW1", form("an Arrow file", EXPORT)),
    (b"SQLite format 3\0", form("an SQLite database", EXPORT)),
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
    (
        b"\xef\xbb\xbf",
        form(
            "text with a byte order mark",
            "write UTF-8 without a byte order mark",
        ),
    ),
];
const UTF_16: Form = form(
    "text in UTF-16",
    "write UTF-8, for example with `iconv -f UTF-16 -t UTF-8 FILE`",
);
const REGISTRY_JSON: Form = form(
    "JSON behind the five bytes of a schema registry",
    "set value.converter (and key.converter) of the connector to org.apache.kafka.connect.json.JsonConverter, which writes no such bytes",
);
const REGISTRY_BINARY: Form = form(
    "Avro or Protobuf behind the five bytes of a schema registry",
    "if it is Avro, write format = \"debezium-avro\" (or \"avro\" for plain rows) and schema_registry = { url = \"…\" } in the source; else set key.converter and value.converter of the connector to org.apache.kafka.connect.json.JsonConverter",
);
const BSON: Form = form("BSON documents", CONVERTER);
const PROTOBUF: Form = form("binary data that looks like Protobuf", CONVERTER);
const BINARY: Form = form("binary data, not text in UTF-8", CONVERTER);

/// What values are that the decoder could not read one of, in their order. `of_file`: they are
/// the first lines of a file, cut at its line ends, so that the first one may tell for all.
pub fn unreadable(values: &[&[u8]], of_file: bool) -> Option<Form> {
    let (first, rest) = values.split_first()?;
    if of_file && let Some(form) = whole_file(first, values) {
        return Some(form);
    }
    let Some(form) = message(first) else {
        return text::csv_messages(values);
    };
    let all = rest.iter().all(|value| message(value) == Some(form));
    all.then_some(form)
}

/// What values are that no text could be, all of them.
pub fn not_text(values: &[&[u8]]) -> Option<Form> {
    let (first, rest) = values.split_first()?;
    let form = magic(first).or_else(|| utf_16(first).then_some(UTF_16))?;
    let all = rest.iter().all(|value| magic(value) == Some(form));
    (all || rest.is_empty()).then_some(form)
}

/// A form that the beginning of a file tells.
fn whole_file(first: &[u8], lines: &[&[u8]]) -> Option<Form> {
    magic(first)
        .or_else(|| utf_16(first).then_some(UTF_16))
        .or_else(|| text::whole_file(first, lines))
}

/// The form of one value.
fn message(value: &[u8]) -> Option<Form> {
    magic(value)
        .or_else(|| utf_16(value).then_some(UTF_16))
        .or_else(|| registry(value))
        .or_else(|| is_bson(value).then_some(BSON))
        .or_else(|| binary(value))
        .or_else(|| json::unreadable(value))
        .or_else(|| text::message(value))
}

fn magic(value: &[u8]) -> Option<Form> {
    let known = MAGIC.iter().find(|(bytes, _)| value.starts_with(bytes));
    // The magic numbers that are text begin binary data; a line of text may begin alike.
    let is_text = |bytes: &[u8]| bytes.iter().all(|byte| byte.is_ascii_alphanumeric());
    known
        .filter(|(bytes, _)| {
            !is_text(bytes) || std::str::from_utf8(value).is_err() || value.len() < 8
        })
        .map(|(_, form)| *form)
}

/// Without a byte order mark: `{`, `[` or `"` with a zero byte beside it.
fn utf_16(value: &[u8]) -> bool {
    match value {
        [b'{' | b'[' | b'"', 0, second, 0, ..] | [0, b'{' | b'[' | b'"', 0, second, ..] => {
            *second != 0
        }
        _ => false,
    }
}

fn registry(value: &[u8]) -> Option<Form> {
    let rest = value.strip_prefix(b"\0")?;
    // The id of a schema is far below 2^24.
    let (id, body) = rest.split_at_checked(4)?;
    if id[0] != 0 || body.is_empty() {
        return None;
    }
    Some(match body.trim_ascii_start().first() {
        Some(b'{') => REGISTRY_JSON,
        _ => REGISTRY_BINARY,
    })
}

fn is_bson(value: &[u8]) -> bool {
    let length = value
        .first_chunk::<4>()
        .map(|bytes| u32::from_le_bytes(*bytes));
    length.is_some_and(|length| length as usize == value.len())
        && value.len() > 5
        && value.last() == Some(&0)
}

fn binary(value: &[u8]) -> Option<Form> {
    let cut = value.len() >= VALUE_BYTES_MAX;
    let is_text = match std::str::from_utf8(value) {
        Ok(_) => !value
            .iter()
            .any(|byte| *byte < b' ' && !byte.is_ascii_whitespace()),
        // A value that was cut may end within a character.
        Err(error) => cut && error.error_len().is_none(),
    };
    if is_text {
        return None;
    }
    // Text with a wrong byte in it, Latin-1 for one, is no binary format.
    if matches!(value.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return None;
    }
    Some(if is_protobuf(value) { PROTOBUF } else { BINARY })
}

/// Whether the bytes can be read as fields of Protobuf's wire format, to their end.
fn is_protobuf(mut bytes: &[u8]) -> bool {
    let mut fields = 0;
    while !bytes.is_empty() {
        let Some((tag, rest)) = varint(bytes) else {
            return false;
        };
        let length = match tag & 7 {
            0 => varint(rest).map(|(_, after)| rest.len() - after.len()),
            1 => Some(8),
            2 => varint(rest).and_then(|(length, after)| {
                let header = rest.len() - after.len();
                usize::try_from(length).ok()?.checked_add(header)
            }),
            5 => Some(4),
            _ => None,
        };
        match length.and_then(|length| rest.get(length..)) {
            Some(after) if tag >> 3 > 0 => bytes = after,
            _ => return false,
        }
        fields += 1;
    }
    fields > 0
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

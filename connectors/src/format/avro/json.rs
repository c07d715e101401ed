//! Single values of Avro, written as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::format::fault::{Fault, Parsed};
use crate::format::scan::plain_end;
use crate::text::write_string;

pub(super) fn integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The shortest text that is the same float; what is no number, as a text.
pub(super) fn float(value: f64, shown: &dyn std::fmt::Debug, out: &mut Vec<u8>) {
    let text = match value {
        value if value.is_nan() => "\"NaN\"".to_owned(),
        f64::INFINITY => "\"Infinity\"".to_owned(),
        f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
        _ => format!("{shown:?}"),
    };
    out.extend_from_slice(text.as_bytes());
}

/// A text in quotes. What is not UTF-8 is refused only where it has to be escaped: whoever reads the JSON
/// checks all of it at once.
pub(super) fn text(bytes: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    if plain_end(bytes, 0) == bytes.len() {
        out.reserve(bytes.len() + 2);
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
        return Ok(());
    }
    let text = std::str::from_utf8(bytes);
    write_string(
        text.map_err(|_| Fault::form("the message is not UTF-8"))?,
        out,
    );
    Ok(())
}

pub(super) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64.encode_slice(bytes, &mut out[start..]);
    out.truncate(start + written.expect("four letters stand for three bytes"));
    out.push(b'"');
}

pub(super) fn uuid(bytes: [u8; 16], out: &mut Vec<u8>) {
    out.push(b'"');
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        for digit in [byte >> 4, byte & 15] {
            out.push(b"0123456789abcdef"[usize::from(digit)]);
        }
    }
    out.push(b'"');
}

/// Months, days and milliseconds, each of 32 bits without a sign.
pub(super) fn duration(bytes: [u8; 12], out: &mut Vec<u8>) {
    let part = |at: usize| {
        let part = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        u32::from_le_bytes(part)
    };
    let (months, days, milliseconds) = (part(0), part(4), part(8));
    let (seconds, rest) = (milliseconds / 1_000, milliseconds % 1_000);
    let text = format!("\"P{months}M{days}DT{seconds}.{rest:03}S\"");
    out.extend_from_slice(text.as_bytes());
}

//! What readers of values share: appending a text, a whole number, a list, a document and Debezium's
//! numeric of variable scale to a column.

use base64::Engine as _;

use super::{BASE64, Placeholder, Reading};
use crate::format::column::{Column, Values};
use crate::format::decimal;
use crate::format::fault::{Fault, Parsed};
use crate::format::scan::Cursor;
use crate::format::text::Text;

/// The common string path: no unescaping into a buffer of its own.
#[inline]
pub(super) fn append_text(
    text: Text<'_>,
    column: &mut Column,
    placeholder: &Placeholder,
) -> Parsed<()> {
    let Values::Bytes { bytes, .. } = &mut column.values else {
        unreachable!("a text column holds bytes")
    };
    let start = bytes.len();
    text.append_to(bytes)?;
    if placeholder.is(&bytes[start..]) {
        bytes.truncate(start);
        column.append_unset();
    } else {
        column.finish_value();
    }
    Ok(())
}

pub(super) fn push_bytes(column: &mut Column, text: &[u8]) {
    let Values::Bytes { bytes, .. } = &mut column.values else {
        unreachable!("a text column holds bytes")
    };
    bytes.extend_from_slice(text);
}

/// False where the column's type does not hold the value.
#[inline]
pub(super) fn push_integer(values: &mut Values, value: i128) -> bool {
    macro_rules! push {
        ($vector:expr) => {
            value.try_into().map(|value| $vector.push(value)).is_ok()
        };
    }
    match values {
        Values::Int8(vector) => push!(vector),
        Values::Int16(vector) => push!(vector),
        Values::Int32(vector) => push!(vector),
        Values::Int64(vector) => push!(vector),
        Values::UInt8(vector) => push!(vector),
        Values::UInt16(vector) => push!(vector),
        Values::UInt32(vector) => push!(vector),
        Values::UInt64(vector) => push!(vector),
        _ => false,
    }
}

pub(super) fn read_list(
    item: &Reading,
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    placeholder: &Placeholder,
) -> Parsed<()> {
    let Values::List { items, .. } = &mut column.values else {
        unreachable!("a list column holds lists")
    };
    let start = items.len();
    cursor.advance();
    if !cursor.closed(b']') {
        loop {
            item.read(cursor, items, placeholder)?;
            if !cursor.more(b']')? {
                break;
            }
        }
    }
    let added = start..items.len();
    let spelled = |numbers: &mut dyn Iterator<Item = i64>| {
        numbers.eq(placeholder.text.iter().map(|&byte| i64::from(byte as i8)))
    };
    let spells_placeholder = added.len() == placeholder.text.len()
        && !added.is_empty()
        && match &items.values {
            Values::Int16(n) => spelled(&mut n[added.clone()].iter().map(|&n| i64::from(n))),
            Values::Int32(n) => spelled(&mut n[added.clone()].iter().map(|&n| i64::from(n))),
            Values::Int64(n) => spelled(&mut n[added.clone()].iter().copied()),
            _ => false,
        };
    if spells_placeholder || added.clone().any(|at| items.is_unset(at)) {
        items.truncate(start);
        column.append_unset();
    } else {
        column.finish_value();
    }
    Ok(())
}

/// The text of whatever stands next, checked.
pub(super) fn read_document(
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    placeholder: &Placeholder,
) -> Parsed<()> {
    let start = cursor.at();
    cursor.skip_checked()?;
    let text = cursor.since(start);
    if placeholder.is_document(text) {
        column.append_unset();
        return Ok(());
    }
    push_bytes(column, text);
    column.finish_value();
    Ok(())
}

/// Debezium's `{"scale": s, "value": base64}`.
pub(super) fn read_variable_scale(cursor: &mut Cursor<'_>, column: &mut Column) -> Parsed<()> {
    let (mut scale, mut value) = (None, None);
    cursor.advance();
    if !cursor.closed(b'}') {
        loop {
            let name = cursor.string()?;
            cursor.expect(b':')?;
            cursor.skip_space();
            match name.raw {
                b"scale" => {
                    let number = decimal::integer(cursor.number()?);
                    scale = number.and_then(|number| i64::try_from(number).ok());
                }
                b"value" => value = Some(cursor.string()?.unescape()?),
                _ => cursor.skip()?,
            }
            if !cursor.more(b'}')? {
                break;
            }
        }
    }
    let integer = value.and_then(|value| BASE64.decode(&*value).ok());
    let (Some(scale), Some(integer)) = (scale, integer) else {
        return Err(Fault::value(
            "found an object without a scale and a base64 value, expected numeric",
        ));
    };
    push_bytes(column, decimal::text(&integer, scale)?.as_bytes());
    column.finish_value();
    Ok(())
}

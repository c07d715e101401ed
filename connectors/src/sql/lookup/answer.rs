//! What was found for a key, as bytes that a cache can keep.
//!
//! The first byte says what it is. A row follows as its values: the length in four bytes, least first, and
//! JSON, as the database's reader makes it; a length of all ones is a null.

use std::borrow::Cow;
use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Field;
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::read_cells;

const MISSING: u8 = 0;
const ROW: u8 = 1;
const SEVERAL: u8 = 2;

/// What was found for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// No row.
    Missing,
    /// Several rows, so that none of them is meant.
    Several,
    /// One row: its values, for [`read_columns`].
    Row(&'a [u8]),
}

/// The values of some rows by column, and where a value cannot be said exactly by the column's type.
pub type Columns = Vec<(ArrayRef, Option<BooleanBuffer>)>;

pub(super) fn missing() -> Bytes {
    Bytes::from_static(&[MISSING])
}

/// Several rows.
pub fn several() -> Bytes {
    Bytes::from_static(&[SEVERAL])
}

/// A row of these values, each as JSON.
pub fn row<'a>(values: impl Iterator<Item = Option<&'a [u8]>>) -> Bytes {
    let mut bytes = vec![ROW];
    for value in values {
        let length = value.map_or(u32::MAX, |value| value.len() as u32);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(value.unwrap_or_default());
    }
    bytes.into()
}

/// What an answer says; one that is none says that there is no row.
pub fn outcome(answer: &[u8]) -> Outcome<'_> {
    match answer.split_first() {
        Some((&ROW, values)) => Outcome::Row(values),
        Some((&SEVERAL, _)) => Outcome::Several,
        _ => Outcome::Missing,
    }
}

/// The values of rows as columns of these fields; `None` is a row of nulls.
///
/// # Errors
/// `Configuration` for a field whose type no value has.
pub fn read_columns(fields: &[Field], rows: &[Option<&[u8]>]) -> Result<Columns> {
    let mut places: Vec<Vec<Option<Range<usize>>>> =
        vec![Vec::with_capacity(rows.len()); fields.len()];
    for row in rows {
        let mut at = 0;
        for column in &mut places {
            let place = match row {
                None => None,
                Some(bytes) => next(bytes, &mut at)?,
            };
            column.push(place);
        }
    }
    let columns = fields.iter().zip(places);
    columns
        .map(|(field, places)| {
            let values = places.iter().zip(rows).map(|(place, row)| {
                let bytes = row.as_ref()?;
                Some(Cow::Borrowed(&bytes[place.clone()?]))
            });
            read_cells(field, values)
        })
        .collect()
}

/// Where the next value is; `None` for a null.
fn next(bytes: &[u8], at: &mut usize) -> Result<Option<Range<usize>>> {
    let broken = || Error::configuration("a row that a cache kept is not one of this lookup");
    let length = bytes.get(*at..*at + 4).ok_or_else(broken)?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| broken())?);
    *at += 4;
    if length == u32::MAX {
        return Ok(None);
    }
    let place = *at..*at + length as usize;
    *at = place.end;
    match place.end <= bytes.len() {
        true => Ok(Some(place)),
        false => Err(broken()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray as _;
    use arrow::datatypes::{DataType, Int32Type};

    #[test]
    fn rows_come_back_as_columns() {
        let rows = [
            row([Some(&b"\"Ada\""[..]), Some(b"7")].into_iter()),
            row([None, Some(&b"70000000000"[..])].into_iter()),
        ];
        let values: Vec<Option<&[u8]>> = rows
            .iter()
            .map(|answer| match outcome(answer) {
                Outcome::Row(values) => Some(values),
                other => panic!("{other:?}"),
            })
            .chain([None])
            .collect();
        let fields = [
            Field::new("name", DataType::Utf8, true),
            Field::new("rank", DataType::Int32, true),
        ];
        let columns = read_columns(&fields, &values).unwrap();
        let names: Vec<Option<&str>> = columns[0].0.as_string::<i32>().iter().collect();
        assert_eq!(names, [Some("Ada"), None, None]);
        let ranks: Vec<Option<i32>> = columns[1].0.as_primitive::<Int32Type>().iter().collect();
        assert_eq!(ranks, [Some(7), None, None]);
        // What the type cannot say is marked, never rounded.
        let unfit = columns[1].1.as_ref().unwrap();
        assert_eq!(unfit.set_indices().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn an_answer_says_what_it_is() {
        assert_eq!(outcome(&missing()), Outcome::Missing);
        assert_eq!(outcome(&several()), Outcome::Several);
        assert_eq!(outcome(&row([].into_iter())), Outcome::Row(b""));
        assert_eq!(outcome(b""), Outcome::Missing);
        let field = [Field::new("x", DataType::Utf8, true)];
        assert!(read_columns(&field, &[Some(&b"\x09"[..])]).is_err());
        assert!(read_columns(&field, &[Some(&b"\x09\0\0\0x"[..])]).is_err());
    }
}

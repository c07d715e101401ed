//! Hashes of values: they show that a value changed without storing it (`base = "shadow_hash"`).
//!
//! The hash is SipHash-2-4 with a fixed key: 64 bits and not linear. The input is one byte 0 for a
//! null, or one byte 1 and the exact text of the value, so a null differs from every text. Equal
//! values have equal hashes: numbers and JSON documents are hashed in their canonical form,
//! whatever type contains them. Targets store hashes, so neither the text nor the algorithm may
//! change; a test checks golden values.

use std::hash::Hasher;

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::datatypes::{DataType, Field};

use super::canonical::{Number, canonical_json};
use crate::change::Logical;
use crate::text::write_text;

/// The key of the hash: the first sixteen bytes of "syncline shadow hash".
const KEY: (u64, u64) = (
    u64::from_le_bytes(*b"syncline"),
    u64::from_le_bytes(*b" shadow "),
);

/// The hash of every value of a column; never null, because a null has a hash, too.
pub fn hash_column(field: &Field, column: &ArrayRef) -> UInt64Array {
    let form = Form::of(field);
    let mut bytes = Vec::new();
    (0..column.len())
        .map(|row| {
            bytes.clear();
            if column.is_null(row) {
                bytes.push(0);
            } else {
                bytes.push(1);
                write_text(field, column, row, &mut bytes);
                form.make_canonical(&mut bytes);
            }
            Some(hash(&bytes))
        })
        .collect()
}

/// The standard library documents the algorithm of this hasher, but not of its successor.
#[expect(deprecated, reason = "the only hasher whose algorithm is promised")]
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::SipHasher::new_with_keys(KEY.0, KEY.1);
    hasher.write(bytes);
    hasher.finish()
}

/// How a value's text becomes canonical.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// The text is already canonical.
    Text,
    Number,
    Json,
}

impl Form {
    fn of(field: &Field) -> Self {
        match (Logical::of(field), field.data_type()) {
            (Some(Logical::Json), _) => Self::Json,
            (Some(Logical::Numeric), _) => Self::Number,
            (_, data_type) if data_type.is_floating() => Self::Number,
            (_, DataType::Decimal128(..) | DataType::Decimal256(..)) => Self::Number,
            _ => Self::Text,
        }
    }

    /// Replaces the text, which starts after the first byte, by its canonical form.
    fn make_canonical(self, bytes: &mut Vec<u8>) {
        let Ok(text) = std::str::from_utf8(&bytes[1..]) else {
            return;
        };
        let canonical = match self {
            Self::Text => None,
            Self::Number => Number::parse(text).map(|number| number.to_string()),
            Self::Json => canonical_json(text),
        };
        if let Some(canonical) = canonical {
            bytes.truncate(1);
            bytes.extend_from_slice(canonical.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn hashes(field: &Field, column: impl Array + 'static) -> Vec<u64> {
        let column: ArrayRef = Arc::new(column);
        hash_column(field, &column).values().to_vec()
    }

    fn texts(values: &[Option<&str>]) -> Vec<u64> {
        let field = Field::new("t", DataType::Utf8, true);
        hashes(&field, StringArray::from(values.to_vec()))
    }

    /// Targets store these values: if this test fails, the code is wrong.
    #[test]
    fn hashes_stay_what_they_were() {
        let found = texts(&[None, Some(""), Some("a"), Some("Grüße")]);
        assert_eq!(found, GOLDEN_TEXTS);
        let instants = Field::new("i", DataType::Timestamp(TimeUnit::Microsecond, None), true);
        let column = TimestampMicrosecondArray::from(vec![1_700_000_000_123_456, i64::MAX]);
        assert_eq!(hashes(&instants, column), GOLDEN_INSTANTS);
    }

    /// Computed by another implementation of SipHash-2-4.
    const GOLDEN_TEXTS: [u64; 4] = [
        0x87A8_DA4D_B209_A9FA,
        0x4FE2_1DFE_8E7E_41C6,
        0x9B15_05D3_FD09_26FE,
        0x2FE3_32A8_C277_2416,
    ];
    const GOLDEN_INSTANTS: [u64; 2] = [0x6AB1_FDFA_37D4_1A93, 0x4A96_1B81_ABAB_D2DC];

    #[test]
    fn equal_values_have_one_hash_i2() {
        let json = hashes(
            &Logical::Json.field("j"),
            StringArray::from(vec![r#"{"a":1,"b":2}"#, r#"{ "b": 2.0, "a": 1 }"#, "[]"]),
        );
        assert_eq!(json[0], json[1]);
        assert_ne!(json[0], json[2]);
        let numeric = hashes(
            &Logical::Numeric.field("n"),
            StringArray::from(vec!["1.50", "1.5", "15", "NaN"]),
        );
        assert_eq!(numeric[0], numeric[1]);
        let decimals = Decimal128Array::from(vec![150, 1500])
            .with_precision_and_scale(9, 2)
            .unwrap();
        let field = Field::new("d", DataType::Decimal128(9, 2), true);
        assert_eq!(hashes(&field, decimals), numeric[1..3]);
        let floats = Float64Array::from(vec![1.5, 15.0, f64::NAN, 0.0, -0.0]);
        let floats = hashes(&Field::new("f", DataType::Float64, true), floats);
        assert_eq!(floats[..3], numeric[1..4]);
        assert_eq!(floats[3], floats[4]);
        let integers = hashes(
            &Field::new("n", DataType::Int64, true),
            Int64Array::from(vec![Some(15), None]),
        );
        assert_eq!(integers, [numeric[2], texts(&[None])[0]]);
    }

    #[test]
    fn a_null_is_no_text_i3() {
        let found = texts(&[
            None,
            Some(""),
            Some("\0"),
            Some("null"),
            Some("\u{1}"),
            Some("\u{0}\u{1}"),
        ]);
        for (row, hash) in found.iter().enumerate() {
            assert!(!found[..row].contains(hash), "{row}");
        }
    }
}

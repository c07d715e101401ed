//! Which writer a key belongs to: a hash of its text, as the target tells keys apart (R22). The hash is
//! written out here and never changes: positions in a target depend on it.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

use crate::change::{Changes, Operation};
use crate::sql::equality::{Equality, KeyColumn};
use crate::sql::keys::integers;

/// The hash of each change's key; `None` where the changes cannot be split, or `keys` are not known.
pub(super) fn hashes(keys: &Option<Vec<KeyColumn>>, changes: &Changes) -> Option<Vec<u64>> {
    let keys = keys.as_ref()?;
    if has_barrier(changes) {
        return None;
    }
    let mut hashes = vec![FNV_OFFSET; changes.len()];
    for key in keys {
        if changes.unset[key.index].is_some() {
            return None;
        }
        add(&mut hashes, key, changes.rows.column(key.index))?;
    }
    Some(hashes)
}

/// The writer of a key, of `count`.
pub(super) fn writer(hash: u64, count: usize) -> usize {
    // The high bits of the product depend on all bits of the hash.
    let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (mixed % count as u64) as usize
}

/// Whether the changes have an order beyond that of each key: a truncate, or a delete and a create that are
/// one change of key (R10).
fn has_barrier(changes: &Changes) -> bool {
    let deletes = |row: usize| changes.operations[row] == Operation::Delete;
    let mut pairs = changes.origins.windows(2).enumerate();
    changes.operations.contains(&Operation::Truncate)
        || pairs.any(|(row, pair)| pair[0] == pair[1] && (deletes(row) || deletes(row + 1)))
}

const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;

/// FNV-1a, and a byte that ends the column.
fn fold(hash: &mut u64, text: &str) {
    for byte in text.bytes().chain([0xFF]) {
        *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
}

fn add(hashes: &mut [u64], key: &KeyColumn, column: &ArrayRef) -> Option<()> {
    if column.null_count() > 0 {
        return None;
    }
    let is_number = matches!(
        column.data_type(),
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
    );
    if is_number {
        let mut buffer = itoa::Buffer::new();
        for (hash, value) in hashes.iter_mut().zip(integers(column)?.iter()) {
            fold(hash, &key.equality.text(buffer.format(*value))?);
        }
        return Some(());
    }
    let DataType::Utf8 = column.data_type() else {
        return None;
    };
    for (hash, text) in hashes.iter_mut().zip(column.as_string::<i32>()) {
        let text = text?;
        // A number that a source gives as a text is one key with the number, if it is written like it.
        if !key.is_text && key.equality == Equality::Values && !is_canonical(text) {
            return None;
        }
        fold(hash, &key.equality.text(text)?);
    }
    Some(())
}

/// Whether a text is an integer as every system writes it.
fn is_canonical(text: &str) -> bool {
    text.parse::<i64>()
        .is_ok_and(|value| itoa::Buffer::new().format(value) == text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray};

    use super::*;
    use crate::sql::equality::Texts;

    fn hash(column: ArrayRef, equality: Equality, is_text: bool) -> Option<Vec<u64>> {
        let key = KeyColumn {
            index: 0,
            equality,
            is_text,
        };
        let mut hashes = vec![FNV_OFFSET; column.len()];
        add(&mut hashes, &key, &column)?;
        Some(hashes)
    }

    #[test]
    fn a_key_has_one_writer_however_it_is_given_r22() {
        let int = || Arc::new(Int32Array::from(vec![7, -3])) as ArrayRef;
        let big = || Arc::new(Int64Array::from(vec![7, -3])) as ArrayRef;
        let text = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let values = Equality::Values;
        let first = hash(int(), values, false);
        assert!(first.is_some());
        assert_eq!(first, hash(big(), values, false));
        assert_eq!(first, hash(text(&["7", "-3"]), values, false));
        assert_eq!(first, hash(text(&["7", "-3"]), values, true));
        for odd in ["07", " 7", "+7", "7.0", "-0", ""] {
            assert_eq!(hash(text(&[odd]), values, false), None, "{odd:?}");
        }
        let folded = Equality::Texts(Texts {
            case: true,
            ascii_only: true,
            ..Texts::default()
        });
        assert_eq!(
            hash(text(&["Ab"]), folded, true),
            hash(text(&["aB"]), folded, true)
        );
        assert_eq!(
            hash(text(&["ä"]), folded, true),
            None,
            "only the target knows"
        );
        assert_eq!(hash(text(&["a"]), Equality::Asked, true), None);
        let float = Arc::new(Float64Array::from(vec![1.0])) as ArrayRef;
        assert_eq!(hash(float, Equality::Floats, false), None);
    }

    #[test]
    fn columns_do_not_run_into_each_other_and_keys_spread_evenly() {
        let pair = |left: &str, right: &str| {
            let mut hash = FNV_OFFSET;
            fold(&mut hash, left);
            fold(&mut hash, right);
            hash
        };
        assert_ne!(pair("ab", "c"), pair("a", "bc"));
        for count in 2..=8 {
            let mut counts = vec![0_u32; count];
            let column = Arc::new(Int64Array::from_iter_values(0..10_000)) as ArrayRef;
            for hash in hash(column, Equality::Values, false).expect("integers") {
                counts[writer(hash, count)] += 1;
            }
            let fair = 10_000 / count as u32;
            let even = counts.iter().all(|&found| found.abs_diff(fair) < fair / 10);
            assert!(even, "{counts:?}");
        }
    }

    #[test]
    fn the_hash_is_what_targets_remember() {
        let column = Arc::new(StringArray::from(vec!["a", "client-4711"])) as ArrayRef;
        let found = hash(column, Equality::Values, true).expect("texts");
        let writers: Vec<usize> = found.iter().map(|&hash| writer(hash, 4)).collect();
        assert_eq!(found[0], {
            let byte = (FNV_OFFSET ^ u64::from(b'a')).wrapping_mul(0x0100_0000_01B3);
            (byte ^ 0xFF).wrapping_mul(0x0100_0000_01B3)
        });
        assert_eq!(writers.len(), 2);
    }
}

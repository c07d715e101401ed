//! Tests on the bytes of a message, eight at a time. They read, and never move a cursor.

/// Whether all eight bytes are digits: the high halves are 3, also after 6 is added to each byte.
#[inline]
pub(super) fn is_digits(word: u64) -> bool {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    let lifted = word.wrapping_add(0x0606_0606_0606_0606);
    (word & HIGH) | ((lifted & HIGH) >> 4) == 0x3333_3333_3333_3333
}

/// The value of eight digits: neighbours are joined to pairs, pairs to fours, fours to the whole.
#[inline]
pub(super) fn eight_digits(word: u64) -> i64 {
    let ones = word & 0x0F0F_0F0F_0F0F_0F0F;
    let pairs = (ones.wrapping_mul(1 + (10 << 8)) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(1 + (100 << 16)) >> 16) & 0x0000_FFFF_0000_FFFF;
    (fours.wrapping_mul(1 + (10_000 << 32)) >> 32) as i64
}

/// Whether two texts of one length are the same. Keys are short: comparing words in line costs a
/// fraction of a call to the library.
#[inline]
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let word = |bytes: &[u8], at: usize| {
        let chunk = bytes
            .get(at..at + 8)
            .and_then(|chunk| chunk.try_into().ok());
        u64::from_le_bytes(chunk.unwrap_or_default())
    };
    let half = |bytes: &[u8], at: usize| {
        let chunk = bytes
            .get(at..at + 4)
            .and_then(|chunk| chunk.try_into().ok());
        u32::from_le_bytes(chunk.unwrap_or_default())
    };
    match b.len() {
        length @ 8..=32 => {
            let mut at = 0;
            while at + 8 < length {
                if word(a, at) != word(b, at) {
                    return false;
                }
                at += 8;
            }
            word(a, length - 8) == word(b, length - 8)
        }
        length @ 4..8 => half(a, 0) == half(b, 0) && half(a, length - 4) == half(b, length - 4),
        _ => a == b,
    }
}

/// The first quote, backslash or control character at or after `at`; the length where none is.
/// Eight bytes at a time: each test leaves the high bit of the first byte that holds.
#[inline]
pub(in crate::format) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let quote = word ^ (ONES * 0x22);
        let slash = word ^ (ONES * 0x5C);
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let found = found & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            return at;
        }
        at += 1;
    }
    at.min(bytes.len())
}

//! Decimals in Postgres' binary form: groups of four digits, exactly.
//!
//! The form: number of groups, weight of the first (10000^weight), sign, digits after the point,
//! then the groups (`numeric_recv` in PostgreSQL's `numeric.c`). All 16-bit, big-endian.

use arrow::datatypes::i256;

const NEGATIVE: u16 = 0x4000;

/// Appends `value × 10^-scale`.
pub(super) fn put_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if scale < 0 {
        return put_digits(value < 0, &value.unsigned_abs().to_string(), scale, out);
    }
    // Least significant group first; 39 digits and a split group make at most 11.
    let mut groups = [0_u16; 12];
    let mut count = 0;
    let mut rest = value.unsigned_abs();
    let scale = scale.unsigned_abs();
    let split = u32::from(scale % 4);
    if split > 0 {
        let unit = 10_u128.pow(split);
        groups[0] = (rest % unit) as u16 * 10_u16.pow(4 - split);
        rest /= unit;
        count = 1;
    }
    while rest > u128::from(u64::MAX) {
        groups[count] = (rest % 10_000) as u16;
        rest /= 10_000;
        count += 1;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        groups[count] = (rest % 10_000) as u16;
        rest /= 10_000;
        count += 1;
    }
    put_groups(value < 0, &groups[..count], scale, out);
}

/// As [`put_decimal`] for 256 bits.
pub(super) fn put_decimal_wide(value: i256, scale: i8, out: &mut Vec<u8>) {
    let text = value.to_string();
    let digits = text.strip_prefix('-').unwrap_or(&text);
    put_digits(text.starts_with('-'), digits, scale, out);
}

fn put_digits(negative: bool, digits: &str, scale: i8, out: &mut Vec<u8>) {
    let mut digits = digits.to_owned();
    for _ in scale..0 {
        digits.push('0');
    }
    let scale = scale.max(0).unsigned_abs();
    for _ in 0..(4 - scale % 4) % 4 {
        digits.push('0');
    }
    let groups: Vec<u16> = digits
        .as_bytes()
        .rchunks(4)
        .map(|chunk| {
            chunk
                .iter()
                .fold(0, |group, digit| group * 10 + u16::from(digit - b'0'))
        })
        .collect();
    put_groups(negative, &groups, scale, out);
}

/// `groups` least significant first, the split one filled up with zeros on its right.
fn put_groups(negative: bool, groups: &[u16], scale: u8, out: &mut Vec<u8>) {
    let top = groups.iter().rposition(|&group| group > 0);
    let bottom = groups.iter().position(|&group| group > 0).unwrap_or(0);
    let used = top.map_or(&[][..], |top| &groups[bottom..=top]);
    let after_point = i16::from(scale.div_ceil(4));
    let weight = top.map_or(0, |top| top as i16 - after_point);
    let sign = if negative && !used.is_empty() {
        NEGATIVE
    } else {
        0
    };
    out.extend_from_slice(&(used.len() as u16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&u16::from(scale).to_be_bytes());
    for group in used.iter().rev() {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the form back as Postgres prints it.
    fn read(bytes: &[u8]) -> String {
        let words: Vec<u16> = bytes
            .chunks(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        let (weight, sign, scale) = (words[1] as i16, words[2], words[3] as usize);
        let groups = &words[4..];
        assert_eq!(groups.len(), words[0] as usize);
        let group = |place: i16| {
            let index = weight - place;
            groups
                .get(index as usize)
                .filter(|_| index >= 0)
                .copied()
                .unwrap_or(0)
        };
        let whole: String = (0..=weight.max(0))
            .rev()
            .map(|place| format!("{:04}", group(place)))
            .collect();
        let part: String = (1..=scale.div_ceil(4) as i16)
            .map(|place| format!("{:04}", group(-place)))
            .collect();
        let whole = whole.trim_start_matches('0');
        let mut text = if sign == NEGATIVE {
            "-".to_owned()
        } else {
            String::new()
        };
        text.push_str(if whole.is_empty() { "0" } else { whole });
        if scale > 0 {
            text.push('.');
            text.push_str(&part[..scale]);
        }
        text
    }

    fn check(value: i128, scale: i8, expect: &str) {
        let (mut narrow, mut wide) = (Vec::new(), Vec::new());
        put_decimal(value, scale, &mut narrow);
        put_decimal_wide(i256::from_i128(value), scale, &mut wide);
        assert_eq!(read(&narrow), expect);
        assert_eq!(narrow, wide, "{value} {scale}");
    }

    #[test]
    fn decimals_are_exact_r3() {
        check(0, 0, "0");
        check(0, 2, "0.00");
        check(1, 0, "1");
        check(-1, 2, "-0.01");
        check(123_456, 2, "1234.56");
        check(12_345_678_901, 5, "123456.78901");
        check(10_000, 0, "10000");
        check(100_000_000, 4, "10000.0000");
        check(1, 8, "0.00000001");
        check(5, -3, "5000");
        check(-25, -1, "-250");
        check(i128::from(u64::MAX), 0, "18446744073709551615");
        check(10_i128.pow(38) - 1, 0, &"9".repeat(38));
        check(10_i128.pow(38) - 1, 38, &format!("0.{}", "9".repeat(38)));
        check(10_i128.pow(38) - 1, 37, &format!("9.{}", "9".repeat(37)));
        check(-(10_i128.pow(37)), 3, &format!("-1{}.000", "0".repeat(34)));
    }
}

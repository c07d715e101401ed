//! Decimals in Postgres' binary form: groups of four digits, exactly.
//!
//! The form: number of groups, weight of the first (10000^weight), sign, digits after the point,
//! then the groups (`numeric_recv` in PostgreSQL's `numeric.c`). All 16-bit, big-endian.

use arrow::datatypes::i256;

const NEGATIVE: u16 = 0x4000;

/// A value as it comes: groups of four digits, most significant first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numeric {
    groups: Vec<u16>,
    /// 10000^weight is the place of the first group.
    weight: i16,
    sign: u16,
    /// Digits after the point.
    scale: u16,
}

impl Numeric {
    /// `None` where the bytes are not of that form.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        let count = words.next()?;
        let (weight, sign, scale) = (words.next()? as i16, words.next()?, words.next()?);
        let groups: Vec<u16> = words.collect();
        (groups.len() == usize::from(count)).then_some(Self {
            groups,
            weight,
            sign,
            scale,
        })
    }

    /// The value times `10^scale`; `None` where that is no integer of `precision` digits.
    pub(super) fn scaled(&self, precision: u8, scale: i8) -> Option<i128> {
        if self.sign & 0xC000 == 0xC000 {
            return None;
        }
        // The last group stands at 10000^(weight − count + 1).
        let exponent =
            4 * (i32::from(self.weight) - self.groups.len() as i32 + 1) + i32::from(scale);
        // Digits of the last group that would stand behind the point have to be zeros.
        let behind = (-exponent).clamp(0, 4) as u32;
        let (front, last) = match self.groups.split_last() {
            Some((last, front)) => (front, *last),
            None => return Some(0),
        };
        let unit = 10_u16.pow(behind.min(4));
        if exponent < -4 || !u32::from(last).is_multiple_of(u32::from(unit)) {
            return None;
        }
        let mut value: i128 = 0;
        for group in front {
            value = value.checked_mul(10_000)?.checked_add(i128::from(*group))?;
        }
        value = value
            .checked_mul(10_i128.pow(4 - behind))?
            .checked_add(i128::from(last / unit))?;
        if exponent > 0 {
            value = value.checked_mul(10_i128.checked_pow(exponent.unsigned_abs())?)?;
        }
        let fits = value < 10_i128.checked_pow(precision.into()).unwrap_or(i128::MAX);
        fits.then_some(if self.sign == NEGATIVE { -value } else { value })
    }
}

/// As PostgreSQL prints it (`numeric_out`).
impl std::fmt::Display for Numeric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.sign {
            0xC000 => return f.write_str("NaN"),
            0xD000 => return f.write_str("Infinity"),
            0xF000 => return f.write_str("-Infinity"),
            NEGATIVE => f.write_str("-")?,
            _ => {}
        }
        let group = |place: i32| {
            let index = usize::try_from(i32::from(self.weight) - place).ok();
            index
                .and_then(|index| self.groups.get(index))
                .copied()
                .unwrap_or(0)
        };
        match i32::from(self.weight) {
            weight @ 0.. => {
                write!(f, "{}", group(weight))?;
                for place in (0..weight).rev() {
                    write!(f, "{:04}", group(place))?;
                }
            }
            _ => f.write_str("0")?,
        }
        if self.scale > 0 {
            let count = i32::from(self.scale.div_ceil(4));
            let digits: String = (1..=count)
                .map(|place| format!("{:04}", group(-place)))
                .collect();
            write!(f, ".{}", &digits[..usize::from(self.scale)])?;
        }
        Ok(())
    }
}

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

    fn check(value: i128, scale: i8, expect: &str) {
        let (mut narrow, mut wide) = (Vec::new(), Vec::new());
        put_decimal(value, scale, &mut narrow);
        put_decimal_wide(i256::from_i128(value), scale, &mut wide);
        let read = Numeric::parse(&narrow).unwrap();
        assert_eq!(read.to_string(), expect);
        assert_eq!(read.scaled(38, scale), Some(value), "{value} {scale}");
        assert_eq!(narrow, wide, "{value} {scale}");
    }

    #[test]
    fn what_a_scale_cannot_say_is_not_rounded_r3() {
        let read = |value, scale| {
            let mut bytes = Vec::new();
            put_decimal(value, scale, &mut bytes);
            Numeric::parse(&bytes).unwrap()
        };
        assert_eq!(read(12_345, 3).scaled(12, 2), None);
        assert_eq!(read(12_340, 3).scaled(12, 2), Some(1_234));
        assert_eq!(read(-5, 1).scaled(12, 6), Some(-500_000));
        assert_eq!(read(1_000_000, 0).scaled(6, 0), None);
        let not_a_number = [0_u16, 0, 0xC000, 0].map(u16::to_be_bytes).concat();
        let not_a_number = Numeric::parse(&not_a_number).unwrap();
        assert_eq!(
            (
                not_a_number.to_string().as_str(),
                not_a_number.scaled(12, 2)
            ),
            ("NaN", None)
        );
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

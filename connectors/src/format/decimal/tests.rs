use proptest::prelude::*;

use super::*;

#[test]
fn numbers_are_exact_or_refused() {
    let check = |text: &str, precision, scale, expect: Option<i128>| {
        let fixed = fixed(text.as_bytes(), precision, scale).ok();
        assert_eq!(fixed, expect, "{text}");
        let wide = fixed_wide(text.as_bytes(), precision, scale).ok();
        assert_eq!(wide, expect.map(i256::from_i128), "{text} wide");
    };
    check("1e2", 5, 2, Some(10_000));
    check("12.50", 4, 2, Some(1250));
    check(
        "-12.5000000000000000000000000000000000000000000",
        4,
        2,
        Some(-1250),
    );
    check("0.1", 38, 1, Some(1));
    check("125e-1", 3, 1, Some(125));
    check("12.505", 5, 2, None);
    check("100", 2, 0, None);
    check("1e999999999999999999999", 38, 0, None);
    check("0e999999999999999999999", 38, 0, Some(0));
    check("1e-5", 38, 2, None);
    for bad in ["", "-", ".5", "5.", "1.2.3", "abc", "1e", "1e+-2", "NaN"] {
        check(bad, 38, 2, None);
    }
    assert_eq!(integer(b"18446744073709551615"), Some(u64::MAX.into()));
    assert_eq!(integer(b"1.5"), None);
}

#[test]
fn unscaled_integers() {
    let check = |bytes: &[u8], from, precision, scale, expect: Option<i128>| {
        assert_eq!(
            unscaled(bytes, from, precision, scale).ok(),
            expect,
            "{bytes:?}"
        );
        let wide = unscaled_wide(bytes, from, precision, scale).ok();
        assert_eq!(wide, expect.map(i256::from_i128), "{bytes:?} wide");
    };
    check(&[0x04, 0xD2], 2, 4, 2, Some(1234));
    check(&[0x04, 0xD2], 2, 3, 2, None);
    check(&[0xFF], 0, 1, 0, Some(-1));
    check(&[0xFF, 0xFF, 0xFF], 0, 1, 0, Some(-1));
    check(&[0x00; 40], 0, 1, 0, Some(0));
    // A negative scale is taken up by more digits before the point.
    check(&[0x05], -2, 3, 0, Some(500));
    check(&[], 0, 1, 0, None);
}

#[test]
fn numerics_of_any_size() {
    let check = |bytes: &[u8], scale, expect: &str| {
        assert_eq!(text(bytes, scale).unwrap(), expect);
    };
    check(&[0x04, 0xD2], 2, "12.34");
    check(&[0x01], 5, "0.00001");
    check(&[0x80], 0, "-128");
    check(&[0x05], -3, "5000");
    check(&[0x00], -3, "0");
    let mut power = vec![1];
    power.extend([0; 20]);
    check(
        &power,
        0,
        "1461501637330902918203684832716283019655932542976",
    );
    assert!(text(&[1], 2_000_000_000).is_err());
    assert!(text(&vec![1; 1 << 20], 0).is_err());
    let plain =
        |text: &str| String::from_utf8(plain(text.as_bytes()).unwrap().into_owned()).unwrap();
    assert_eq!(plain("1.50"), "1.50");
    assert_eq!(plain("1.5e3"), "1500");
    assert_eq!(plain("-1.5e-3"), "-0.0015");
    assert_eq!(plain("0e5"), "0");
    assert_eq!(plain("NaN"), "NaN");
    assert_eq!(plain("NAN"), "NaN");
    assert_eq!(plain("POSITIVE_INFINITY"), "Infinity");
    assert_eq!(plain("NEGATIVE_INFINITY"), "-Infinity");
}

#[test]
fn floats_that_say_what_was_written() {
    let check = |text: &str, exact| {
        assert_eq!(
            is_exact_float(text.as_bytes(), text.parse().unwrap()),
            exact,
            "{text}"
        );
    };
    check("0.1", true);
    check("1e300", true);
    check("-0", true);
    check("12.50", true);
    check("9007199254740993", false);
    check("0.12345678901234567890", false);
}

proptest! {
    #[test]
    fn integers_write_out_as_std_writes_them(value: i128, scale in 0..30i64) {
        let bytes = value.to_be_bytes();
        let written = text(&bytes, scale).unwrap();
        let digits: String = written.chars().filter(|&c| c != '.').collect();
        prop_assert_eq!(digits.parse::<i128>().unwrap(), value);
        prop_assert_eq!(text(&bytes, 0).unwrap(), value.to_string());
    }
}

//! Normal forms of awkward values.

use super::*;

fn check(function: fn(&str) -> Normal<'_>, cases: &[(&str, Option<&str>)]) {
    for (text, expect) in cases {
        let normal = function(text).ok().map(Cow::into_owned);
        assert_eq!(normal.as_deref(), *expect, "{text:?}");
        if let Some(normal) = normal {
            let again = function(&normal).map(Cow::into_owned);
            assert_eq!(again.as_deref(), Ok(normal.as_str()), "{text:?} twice");
        }
    }
}

#[test]
fn texts() {
    check(
        |text| Ok(collapse(text)),
        &[
            ("", Some("")),
            ("  Ada\t\u{a0} Byron ", Some("Ada Byron")),
            ("a b", Some("a b")),
            ("\u{202b}א  ב", Some("\u{202b}א ב")),
        ],
    );
    check(
        |text| Ok(nfc(text)),
        &[("Zoe\u{308}", Some("Zo\u{eb}")), ("plain", Some("plain"))],
    );
    check(|text| Ok(nfkc(text)), &[("Ｏﬃce ①", Some("Office 1"))]);
    check(
        |text| Ok(title(text)),
        &[
            ("ADA o'neil-BYRON", Some("Ada O'neil-Byron")),
            ("ǆ", Some("Ǆ")),
            ("ÉCOLE", Some("École")),
        ],
    );
    check(|text| Ok(upper(text)), &[("straße", Some("STRASSE"))]);
    check(|text| Ok(lower(text)), &[("ÀB", Some("àb"))]);
    for text in ["", "  ", "N/A", "null", "None", "-", "(NULL)"] {
        assert!(is_null_like(text), "{text:?}");
    }
    for text in ["0", "NA", "nothing", "a"] {
        assert!(!is_null_like(text), "{text:?}");
    }
}

#[test]
fn addresses() {
    check(
        email,
        &[
            (" Ada@Example.ORG ", Some("ada@example.org")),
            ("mailto:a+b@c.org", Some("a+b@c.org")),
            ("JÖRG@Müller.de", Some("jörg@müller.de")),
            ("a@b", None),
            ("", None),
            ("a b@c.org", None),
        ],
    );
    check(
        url,
        &[
            ("Example.ORG", Some("https://example.org/")),
            (
                "HTTP://EXAMPLE.org:80/a/../b?x=1#y",
                Some("http://example.org/b?x=1#y"),
            ),
            ("nonsense", None),
            ("", None),
            ("mailto:a@b.org", None),
        ],
    );
    check(
        iban,
        &[
            (
                "de89 3704 0044 0532 0130 00",
                Some("DE89370400440532013000"),
            ),
            ("GB29NWBK60161331926819", Some("GB29NWBK60161331926819")),
            ("DE88 3704 0044 0532 0130 00", None),
            ("", None),
        ],
    );
}

/// Ten countries, national and international.
#[test]
fn phones() {
    for (text, region, expect) in [
        ("030 123456", "DE", "+4930123456"),
        ("+49 (0)30 / 123-456", "DE", "+4930123456"),
        ("01 42 68 53 00", "FR", "+33142685300"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("(415) 555-2671", "US", "+14155552671"),
        ("06 698 83381", "IT", "+390669883381"),
        ("044 668 18 00", "CH", "+41446681800"),
        ("01 58858", "AT", "+43158858"),
        ("91 411 1111", "ES", "+34914111111"),
        ("020 624 1111", "NL", "+31206241111"),
        ("22 694 60 00", "PL", "+48226946000"),
    ] {
        let region = Region::of(region).expect(region);
        assert_eq!(phone(text, Some(region)).as_deref(), Ok(expect), "{text}");
        assert_eq!(phone(expect, None).as_deref(), Ok(expect), "{expect}");
    }
    assert!(phone("030 123456", None).is_err());
    for text in ["", "abc", "+49", "+1 415 555", "123"] {
        assert!(phone(text, Region::of("DE")).is_err(), "{text:?}");
    }
    assert_eq!(Region::of("XX"), None);
}

#[test]
fn codes() {
    check(
        country,
        &[
            ("DE", Some("DE")),
            ("deu", Some("DE")),
            ("276", Some("DE")),
            (" Germany ", Some("DE")),
            ("The Netherlands", Some("NL")),
            ("U.S.A.", Some("US")),
            ("uk", Some("GB")),
            ("Türkiye", Some("TR")),
            ("Atlantis", None),
            ("", None),
        ],
    );
    check(
        currency,
        &[
            ("eur", Some("EUR")),
            ("978", Some("EUR")),
            ("€", Some("EUR")),
            ("Euro", Some("EUR")),
            ("$", None),
            ("XXY", None),
            ("", None),
        ],
    );
    check(
        language,
        &[
            ("de", Some("de")),
            ("deu", Some("de")),
            ("German", Some("de")),
            ("DE_at", Some("de-AT")),
            ("xx", None),
            ("", None),
        ],
    );
}

#[test]
fn decimals() {
    let german = Notation {
        point: ',',
        group: Some('.'),
    };
    let check = |text: &str, notation: &Notation, expect: Option<&str>| {
        let normal = decimal(text, notation).ok();
        assert_eq!(normal.as_deref(), expect, "{text:?}");
    };
    check("1.234.567,50", &german, Some("1234567.50"));
    check("-1.234", &german, Some("-1234"));
    check("+0", &german, Some("0"));
    check(",5", &german, Some("0.5"));
    check("1,5,0", &german, None);
    check("12.34", &german, None);
    check("1234.567", &german, None);
    check("", &german, None);
    check("1,", &german, None);
    check("-", &german, None);
    check("１", &german, None);
    let spaced = Notation {
        point: ',',
        group: Some(' '),
    };
    check("12 345\u{202f}678,9", &spaced, Some("12345678.9"));
    let plain = Notation::default();
    check(
        "12345678901234567890123456789012345678",
        &plain,
        Some("12345678901234567890123456789012345678"),
    );
    check("1,234", &plain, None);
    check("− 5", &plain, Some("-5"));

    assert_eq!(scaled("12.50", 12, 2), Ok(1250));
    assert_eq!(scaled("-0.5", 12, 2), Ok(-50));
    assert_eq!(scaled("12.500", 12, 2), Ok(1250));
    assert!(scaled("12.505", 12, 2).is_err());
    assert!(scaled("12345678901", 12, 2).is_err());
    assert_eq!(scaled(&"9".repeat(38), 38, 0), Ok(10_i128.pow(38) - 1));
    assert!(scaled(&"9".repeat(39), 38, 0).is_err());
}

#[test]
fn dates_and_instants() {
    let date = |format: &str, text: &str| {
        let formats = DateFormats::of(format.split('|')).expect(format);
        formats.date(text).ok().map(date_text)
    };
    assert_eq!(
        date("%d.%m.%Y", "29.02.2024").as_deref(),
        Some("2024-02-29")
    );
    assert_eq!(date("%d.%m.%Y", "29.02.2023"), None);
    assert_eq!(
        date("%d.%m.%Y|iso", "2024-02-29").as_deref(),
        Some("2024-02-29")
    );
    assert_eq!(
        date("iso", "2024-02-29T10:00:00Z").as_deref(),
        Some("2024-02-29")
    );
    assert_eq!(date("epoch_s", "86400").as_deref(), Some("1970-01-02"));
    assert_eq!(date("%d.%m.%Y", "29.02.2024x"), None);
    assert_eq!(date("iso", ""), None);

    let berlin: Zone = "Europe/Berlin".parse().expect("a zone");
    let instant = |format: &str, text: &str, ambiguous| {
        let formats = DateFormats::of(format.split('|')).expect(format);
        formats
            .timestamp(text, berlin, ambiguous)
            .map(timestamp_text)
    };
    let refuse = Ambiguous::Refuse;
    let local = "%d.%m.%Y %H:%M";
    assert_eq!(
        instant(local, "01.07.2026 12:00", refuse).as_deref(),
        Ok("2026-07-01T10:00:00Z")
    );
    assert_eq!(
        instant(local, "01.01.2026 12:00", refuse).as_deref(),
        Ok("2026-01-01T11:00:00Z")
    );
    // The clock is put forward, and back.
    assert!(instant(local, "29.03.2026 02:30", refuse).is_err());
    assert!(instant(local, "25.10.2026 02:30", refuse).is_err());
    assert_eq!(
        instant(local, "25.10.2026 02:30", Ambiguous::Earlier).as_deref(),
        Ok("2026-10-25T00:30:00Z")
    );
    assert_eq!(
        instant(local, "25.10.2026 02:30", Ambiguous::Later).as_deref(),
        Ok("2026-10-25T01:30:00Z")
    );
    assert_eq!(
        instant("iso", "2026-07-01T12:00:00+02:00", refuse).as_deref(),
        Ok("2026-07-01T10:00:00Z")
    );
    assert_eq!(
        instant("iso", "2026-07-01 12:00:00.5", refuse).as_deref(),
        Ok("2026-07-01T10:00:00.500Z")
    );
    assert_eq!(
        instant("%d.%m.%Y", "01.07.2026", refuse).as_deref(),
        Ok("2026-06-30T22:00:00Z")
    );
    assert_eq!(
        instant("%Y-%m-%d %H:%M %z", "2026-07-01 12:00 +0200", refuse).as_deref(),
        Ok("2026-07-01T10:00:00Z")
    );
    assert_eq!(
        instant("epoch_ms", "1000", refuse).as_deref(),
        Ok("1970-01-01T00:00:01Z")
    );
    assert!(instant("epoch_s", "9223372036854775807", refuse).is_err());

    assert!(DateFormats::of(["%Q"].into_iter()).is_err());
    assert!(DateFormats::of(["nothing"].into_iter()).is_err());
}

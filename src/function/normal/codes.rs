//! Countries, currencies and languages, from their names or codes to their ISO codes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use celes::LookupTable as _;

use super::Normal;

/// The codes by name and by every code, in lower case.
type Names = HashMap<String, &'static str>;

/// The two letters of ISO 3166-1 for a country, from its codes of two or three letters, its number, its
/// English name or a common other name.
pub(crate) fn country(text: &str) -> Normal<'_> {
    static NAMES: LazyLock<Names> = LazyLock::new(|| {
        let mut names = Names::new();
        for country in celes::Country::get_countries() {
            let code = country.alpha2;
            let numeric = format!("{:03}", country.value);
            let mut add = |name: &str| {
                names.entry(simple(name)).or_insert(code);
            };
            add(code);
            add(country.alpha3);
            add(&numeric);
            add(country.long_name);
            for alias in country.aliases.iter() {
                add(alias);
            }
        }
        for (name, code) in FURTHER_COUNTRIES {
            names.entry(simple(name)).or_insert(code);
        }
        names
    });
    code(
        text,
        &NAMES,
        "the text is not the name or code of a country",
    )
}

/// Everyday names that the list of countries lacks.
const FURTHER_COUNTRIES: [(&str, &str); 26] = [
    ("UK", "GB"),
    ("Great Britain", "GB"),
    ("United Kingdom", "GB"),
    ("England", "GB"),
    ("Scotland", "GB"),
    ("Wales", "GB"),
    ("Northern Ireland", "GB"),
    ("USA", "US"),
    ("United States", "US"),
    ("United States of America", "US"),
    ("America", "US"),
    ("Russia", "RU"),
    ("South Korea", "KR"),
    ("North Korea", "KP"),
    ("Czech Republic", "CZ"),
    ("Holland", "NL"),
    ("Deutschland", "DE"),
    ("Österreich", "AT"),
    ("Schweiz", "CH"),
    ("Suisse", "CH"),
    ("España", "ES"),
    ("Italia", "IT"),
    ("Vietnam", "VN"),
    ("Iran", "IR"),
    ("Türkiye", "TR"),
    ("Turkey", "TR"),
];

/// The three letters of ISO 4217 for a currency, from its code, number, English name, or a symbol that
/// only one currency has.
pub(crate) fn currency(text: &str) -> Normal<'_> {
    static NAMES: LazyLock<Names> = LazyLock::new(|| {
        use iso_currency::IntoEnumIterator as _;
        let mut names = Names::new();
        for currency in iso_currency::Currency::iter() {
            let code = currency.code();
            names.insert(simple(code), code);
            names.insert(format!("{:03}", currency.numeric()), code);
            names.entry(simple(currency.name())).or_insert(code);
        }
        for (symbol, code) in [
            ("€", "EUR"),
            ("euros", "EUR"),
            ("zł", "PLN"),
            ("₹", "INR"),
            ("₺", "TRY"),
            ("₪", "ILS"),
            ("₴", "UAH"),
        ] {
            names.insert(simple(symbol), code);
        }
        names
    });
    code(
        text,
        &NAMES,
        "the text is not the name or code of a currency",
    )
}

/// The code of a language: the two letters of ISO 639-1 where there are any, else the three of ISO 639-3;
/// from either code or the English name. A region after it stays: `de_at` becomes `de-AT`.
pub(crate) fn language(text: &str) -> Normal<'_> {
    const REFUSED: &str = "the text is not the name or code of a language";
    let text = text.trim();
    let (name, region) = match text.split_once(['-', '_']) {
        Some((name, region)) => (name, Some(region)),
        None => (text, None),
    };
    let lower = name.to_lowercase();
    let found = match lower.len() {
        2 => isolang::Language::from_639_1(&lower),
        3 => isolang::Language::from_639_3(&lower),
        _ => isolang::Language::from_name_lowercase(&lower),
    };
    let language = found.ok_or(REFUSED)?;
    let code = language.to_639_1().unwrap_or(language.to_639_3());
    let normal = match region {
        None => Cow::Borrowed(code),
        Some(region) if region.len() == 2 && region.bytes().all(|b| b.is_ascii_alphabetic()) => {
            Cow::Owned(format!("{code}-{}", region.to_ascii_uppercase()))
        }
        Some(_) => return Err(REFUSED),
    };
    Ok(normal)
}

fn code<'a>(text: &'a str, names: &LazyLock<Names>, refused: &'static str) -> Normal<'a> {
    match names.get(&simple(text)) {
        Some(&code) if code == text => Ok(Cow::Borrowed(text)),
        Some(&code) => Ok(Cow::Borrowed(code)),
        None => Err(refused),
    }
}

/// A name for comparison: in lower case, without `the`, dots and repeated spaces.
fn simple(name: &str) -> String {
    let lower = name.to_lowercase().replace('.', "");
    let words: Vec<&str> = lower.split_whitespace().collect();
    let words = match words.as_slice() {
        ["the", rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    words.join(" ")
}

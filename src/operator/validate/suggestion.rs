//! What would mend a value: an expression to paste into a `map`, found by trying.

use std::borrow::Cow;

use crate::function::normal::{self, DateFormats};

/// An expression that mends a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suggestion {
    expression: String,
    /// The value as it would be.
    value: String,
}

impl Suggestion {
    /// For a person; without the value where it is not to be shown.
    pub(super) fn shown(&self, is_sensitive: bool) -> String {
        match is_sensitive {
            true => self.expression.clone(),
            false => format!("did you mean {}? {}", self.value, self.expression),
        }
    }
}

type Mend = fn(&str) -> Option<Cow<'_, str>>;

/// What people forget, the most harmless first; `{}` is the column.
const MENDS: [(&str, Mend); 12] = [
    ("trim({})", |text| Some(normal::trim(text))),
    ("normalize_space({})", |text| Some(normal::collapse(text))),
    ("normalize_unicode({})", |text| Some(normal::nfc(text))),
    ("lower(trim({}))", |text| Some(normal::lower(text.trim()))),
    ("upper(trim({}))", |text| Some(normal::upper(text.trim()))),
    ("normalize_email({})", |text| normal::email(text).ok()),
    ("normalize_country({})", |text| normal::country(text).ok()),
    ("normalize_currency({})", |text| normal::currency(text).ok()),
    ("normalize_language({})", |text| normal::language(text).ok()),
    ("normalize_iban({})", |text| normal::iban(text).ok()),
    ("normalize_url({})", |text| normal::url(text).ok()),
    ("normalize_number({}, ',', '.')", |text| {
        let notation = normal::Notation {
            point: ',',
            group: Some('.'),
        };
        normal::decimal(text, &notation).ok()
    }),
];

/// Formats of dates that people write, with those in which month and day are swapped last.
const DATES: [&str; 7] = [
    "%d.%m.%Y", "%Y/%m/%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y-%d-%m",
];

/// An expression over `column` that makes a value which `holds` accepts.
pub(super) fn suggest(
    column: &str,
    value: &str,
    holds: &dyn Fn(&str) -> bool,
) -> Option<Suggestion> {
    let mended = MENDS.iter().find_map(|(expression, mend)| {
        let mended = mend(value)?;
        (mended != value && holds(&mended)).then(|| (expression.to_string(), mended.into_owned()))
    });
    let dated = || {
        DATES.iter().find_map(|format| {
            let date = DateFormats::of(std::iter::once(*format))
                .ok()?
                .date(value)
                .ok()?;
            let mended = normal::date_text(date);
            let expression = format!("normalize_date({{}}, '{format}')");
            (mended != value && holds(&mended)).then_some((expression, mended))
        })
    };
    let (expression, value) = mended.or_else(dated)?;
    let plain = column.chars().all(|c| c.is_alphanumeric() || c == '_');
    let column = match plain {
        true => column.to_owned(),
        false => format!("\"{}\"", column.replace('"', "\"\"")),
    };
    Some(Suggestion {
        expression: expression.replace("{}", &column),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::format;

    #[test]
    fn a_suggestion_mends_the_value() {
        let check = |value: &str, holds: fn(&str) -> bool, expect: Option<&str>| {
            let found = suggest("x", value, &holds).map(|found| found.shown(false));
            assert_eq!(found.as_deref(), expect, "{value}");
        };
        check(
            " a@b.org",
            format::is_email,
            Some("did you mean a@b.org? trim(x)"),
        );
        check(
            "mailto:A@b.org",
            format::is_email,
            Some("did you mean a@b.org? normalize_email(x)"),
        );
        check(
            "29.02.2024",
            format::is_date,
            Some("did you mean 2024-02-29? normalize_date(x, '%d.%m.%Y')"),
        );
        check(
            "2024-29-02",
            format::is_date,
            Some("did you mean 2024-02-29? normalize_date(x, '%Y-%d-%m')"),
        );
        check("29.02.2023", format::is_date, None);
        check("nonsense", format::is_email, None);
        let found = suggest("odd name", " a@b.org", &format::is_email).expect("it mends");
        assert_eq!(found.shown(true), "trim(\"odd name\")");
    }
}

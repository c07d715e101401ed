//! E-mail addresses, URLs and account numbers.

use std::borrow::Cow;

use super::Normal;
use super::text::{lower, nfc};
use crate::function::format::is_email;

/// An e-mail address in lower case and NFC, without surrounding white space and without `mailto:`.
pub(crate) fn email(text: &str) -> Normal<'_> {
    let trimmed = text.trim();
    let scheme = trimmed
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    let address = &trimmed[scheme.map_or(0, str::len)..];
    let normal = match nfc(address) {
        Cow::Borrowed(address) => lower(address),
        Cow::Owned(address) => Cow::Owned(address.to_lowercase()),
    };
    match is_email(&normal) {
        true => Ok(normal),
        false => Err("the text is not an e-mail address"),
    }
}

/// An absolute URL with a host, as the URL Standard writes it: scheme and host in lower case, the default
/// port and dot segments left out. A text without a scheme is taken as `https`.
pub(crate) fn url(text: &str) -> Normal<'_> {
    const REFUSED: &str = "the text is not a URL with a host";
    let text = text.trim();
    let parsed = match text.contains("://") {
        true => url::Url::parse(text),
        false => url::Url::parse(&format!("https://{text}")),
    };
    let parsed = parsed.map_err(|_| REFUSED)?;
    let has_domain = parsed.host_str().is_some_and(|host| !host.is_empty());
    let has_scheme = text.contains("://");
    if !has_domain || !has_scheme && (!text.contains('.') || text.contains('@')) {
        return Err(REFUSED);
    }
    Ok(match parsed.as_str() == text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(parsed.into()),
    })
}

/// An IBAN without spaces and in upper case, of a country whose form is known and with the right check
/// digits.
pub(crate) fn iban(text: &str) -> Normal<'_> {
    let compact: String = text
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    match compact.parse::<iban::Iban>() {
        Err(_) => Err("the text is not an IBAN"),
        Ok(_) if compact == text => Ok(Cow::Borrowed(text)),
        Ok(_) => Ok(Cow::Owned(compact)),
    }
}

//! Values that came from a reference: a message shows the reference instead.

/// A substituted value, and the reference that is shown instead of it.
#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) value: String,
    pub(crate) reference: String,
}

/// Replaces each secret by its reference, also if it is quoted, and also a URL's password on its
/// own.
pub(crate) fn redact(message: &str, secrets: &[Secret]) -> String {
    let mut hidden: Vec<(String, &str)> = Vec::new();
    for secret in secrets {
        let reference = secret.reference.as_str();
        let escaped = secret.value.escape_debug().to_string();
        if let Ok(url) = url::Url::parse(&secret.value)
            && let Some(password) = url.password()
        {
            hidden.push((password.to_owned(), reference));
        }
        if escaped != secret.value {
            hidden.push((escaped, reference));
        }
        hidden.push((secret.value.clone(), reference));
    }
    hidden.retain(|(value, _)| !value.trim().is_empty());
    // The longest first, because a shorter secret can be part of a longer one.
    hidden.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(letter) = rest.chars().next() {
        let before = text.chars().next_back();
        match hidden.iter().find(|(value, _)| {
            rest.starts_with(value.as_str()) && is_whole_word(before, value, rest)
        }) {
            Some((value, reference)) => {
                // A reference that is already in the report stays.
                text.push_str(reference);
                rest = &rest[value.len()..];
            }
            None => {
                text.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    text
}

/// A short value is replaced only where it is a whole word; otherwise `a` would change every text.
fn is_whole_word(before: Option<char>, value: &str, rest: &str) -> bool {
    let is_word = |letter: Option<char>| letter.is_some_and(|c| c.is_alphanumeric() || c == '_');
    value.chars().count() >= 6 || (!is_word(before) && !is_word(rest[value.len()..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_struck_out_of_messages() {
        let secret = |value: &str| Secret {
            value: value.to_owned(),
            reference: format!("${{env:{}}}", value.len()),
        };
        let cases = [
            ("hunter2!", "found \"hunter2!\"", "found \"${env:8}\""),
            ("hunter2!", "xhunter2!x", "x${env:8}x"),
            ("ab", "table ab, about", "table ${env:2}, about"),
            ("", "nothing", "nothing"),
            (
                "tab\tquote\"",
                r#"found "tab\tquote\"""#,
                "found \"${env:10}\"",
            ),
            (
                "postgres://me:passw0rd@db/crm",
                "password passw0rd refused",
                "password ${env:29} refused",
            ),
        ];
        for (value, message, expect) in cases {
            assert_eq!(redact(message, &[secret(value)]), expect, "{value}");
        }
    }
}

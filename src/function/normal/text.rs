//! White space, case, Unicode forms, and texts that stand for nothing.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc, is_nfkc};
use unicode_segmentation::UnicodeSegmentation;

/// Texts that people and programs write where there is no value, in lower case.
const NULL_LIKE: [&str; 9] = [
    "", "n/a", "#n/a", "null", "(null)", "none", "nil", "-", "--",
];

/// Unicode normal form C: equal-looking texts are equal.
pub(crate) fn nfc(text: &str) -> Cow<'_, str> {
    match text.is_ascii() || is_nfc(text) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.nfc().collect()),
    }
}

/// Unicode normal form KC: also compatible characters are equal, as full-width letters and ligatures.
pub(crate) fn nfkc(text: &str) -> Cow<'_, str> {
    match text.is_ascii() || is_nfkc(text) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.nfkc().collect()),
    }
}

/// Without surrounding white space.
pub(crate) fn trim(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text.trim())
}

/// Without surrounding white space, and each inner run of it as one space.
pub(crate) fn collapse(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let is_collapsed = |text: &str| {
        let mut after_space = false;
        text.chars().all(|letter| {
            let again = after_space && letter == ' ';
            after_space = letter == ' ';
            !again && (letter == ' ' || !letter.is_whitespace())
        })
    };
    if is_collapsed(text) {
        return Cow::Borrowed(text);
    }
    let mut collapsed = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !collapsed.is_empty() {
            collapsed.push(' ');
        }
        collapsed.push_str(word);
    }
    Cow::Owned(collapsed)
}

/// In lower case.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    match text
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.to_lowercase()),
    }
}

/// In upper case.
pub(crate) fn upper(text: &str) -> Cow<'_, str> {
    match text
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_lowercase())
    {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.to_uppercase()),
    }
}

/// The first letter of each word in upper case, the others in lower case. A word ends where Unicode ends
/// it: at white space, hyphens and other marks, but not at an apostrophe between letters (`o'neil` becomes
/// `O'neil`).
pub(crate) fn title(text: &str) -> Cow<'_, str> {
    let mut titled = String::with_capacity(text.len());
    for word in text.split_word_bounds() {
        let mut letters = word.chars();
        if let Some(first) = letters.next() {
            titled.extend(first.to_uppercase());
            titled.push_str(&letters.as_str().to_lowercase());
        }
    }
    match titled == text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(titled),
    }
}

/// Whether a text stands for no value: it is empty, white space, or one of `n/a`, `#n/a`, `null`,
/// `(null)`, `none`, `nil`, `-`, `--`, in any case.
pub(crate) fn is_null_like(text: &str) -> bool {
    const BYTES_MAX: usize = 6;
    let text = text.trim();
    text.len() <= BYTES_MAX
        && NULL_LIKE
            .iter()
            .any(|known| text.eq_ignore_ascii_case(known))
}

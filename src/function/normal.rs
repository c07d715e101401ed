//! Values as people write them, in their normal form.
//!
//! Each function takes one text and gives its normal form, or says why it has none. A reason never holds
//! the value. The SQL functions of [`super::text`], the operator `normalize` and the formats of `validate`
//! are made of these.
//!
//! - The normal form of a normal form is the same text.
//! - A text that is in its normal form already is borrowed, not copied.

use std::borrow::Cow;

mod address;
mod codes;
mod instant;
mod number;
mod phone;
mod text;

pub(crate) use self::address::{email, iban, url};
pub(crate) use self::codes::{country, currency, language};
pub(crate) use self::instant::{Ambiguous, DateFormats, Zone, date_text, timestamp_text};
pub(crate) use self::number::{Notation, decimal, scaled};
pub(crate) use self::phone::{Region, phone};
pub(crate) use self::text::{collapse, is_null_like, lower, nfc, nfkc, title, trim, upper};

/// The normal form of a text, or why it has none.
pub(crate) type Normal<'a> = Result<Cow<'a, str>, &'static str>;

#[cfg(test)]
mod tests;

//! Phone numbers, by the rules of Google's libphonenumber.

use std::borrow::Cow;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};

use super::Normal;

/// The country whose rules hold for numbers without `+`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region(rlibphonenumber::Region);

impl Region {
    /// The region of the two letters of a country; `None` where no numbering plan is known for it.
    pub(crate) fn of(code: &str) -> Option<Self> {
        let region = rlibphonenumber::Region::from_code(&code.to_ascii_uppercase()).ok()?;
        let mut known = PHONE_NUMBER_UTIL.get_supported_regions();
        known.find(|known| *known == region).map(Self)
    }
}

/// A phone number in E.164, `+493012345`. Without a region, a number has to begin with `+`.
pub(crate) fn phone(text: &str, region: Option<Region>) -> Normal<'_> {
    const REFUSED: &str = "the text is not a valid phone number";
    let text = text.trim();
    let parsed = PHONE_NUMBER_UTIL.parse(text, region.map(|Region(region)| region));
    let number = parsed.map_err(|_| REFUSED)?;
    if !PHONE_NUMBER_UTIL.is_valid_number(&number) {
        return Err(REFUSED);
    }
    let normal = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164);
    Ok(match *normal == *text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(normal.into_owned()),
    })
}

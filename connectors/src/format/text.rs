//! JSON strings and their escapes. A lone surrogate is no character: it is a fault.

use std::borrow::Cow;

use super::fault::{Fault, Parsed};

/// A string between its quotes, escapes still in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a [u8],
    pub(super) escaped: bool,
}

impl<'a> Text<'a> {
    /// The string without escapes.
    #[inline]
    pub(super) fn unescape(self) -> Parsed<Cow<'a, [u8]>> {
        if !self.escaped {
            return Ok(Cow::Borrowed(self.raw));
        }
        let mut out = Vec::with_capacity(self.raw.len());
        self.append_to(&mut out)?;
        Ok(Cow::Owned(out))
    }

    /// Appends the string without escapes; on a fault `out` may hold a part of it.
    #[inline]
    pub(super) fn append_to(self, out: &mut Vec<u8>) -> Parsed<()> {
        if !self.escaped {
            out.extend_from_slice(self.raw);
            return Ok(());
        }
        self.append_unescaped(out)
    }

    fn append_unescaped(self, out: &mut Vec<u8>) -> Parsed<()> {
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..at]);
            let letter = rest.get(at + 1).copied().unwrap_or(0);
            let mut used = at + 2;
            match letter {
                b'"' | b'\\' | b'/' => out.push(letter),
                b'b' => out.push(8),
                b'f' => out.push(12),
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'u' => {
                    let (character, length) = unicode_escape(&rest[at..])?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    used = at + length;
                }
                _ => return Err(Fault::form("unknown escape in a string")),
            }
            rest = &rest[used..];
        }
        out.extend_from_slice(rest);
        Ok(())
    }
}

/// The character of `\uXXXX`, or of a surrogate pair of them, and how many bytes it took.
fn unicode_escape(bytes: &[u8]) -> Parsed<(char, usize)> {
    let unit = |from: usize| {
        let digits = bytes.get(from..from + 4)?;
        digits.iter().try_fold(0u32, |value, &digit| {
            Some(value << 4 | char::from(digit).to_digit(16)?)
        })
    };
    let fault = || Fault::form("broken unicode escape in a string");
    let first = unit(2).ok_or_else(fault)?;
    if (0xD800..0xDC00).contains(&first) && bytes.get(6..8) == Some(b"\\u") {
        let second = unit(8).ok_or_else(fault)?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err(fault());
        }
        let scalar = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return Ok((char::from_u32(scalar).ok_or_else(fault)?, 12));
    }
    Ok((char::from_u32(first).ok_or_else(fault)?, 6))
}

//! A cursor over the bytes of one JSON message.
//!
//! The bytes are known to be UTF-8 before a cursor sees them. Reading is one pass and builds
//! nothing. Values that nobody asked for are passed over by brackets and string ends only
//! ([`Cursor::skip`]): a fault inside such a value may go unseen, one that changes where the value
//! ends may not. Values whose text is kept are checked in full ([`Cursor::skip_checked`]).
//! Nesting deeper than [`DEPTH_MAX`] is a fault either way.

mod words;

pub(super) use self::words::plain_end;
use self::words::{eight_digits, is_digits, is_same};
use super::fault::{Fault, Parsed};
use super::text::Text;

/// How deep arrays and objects may nest in one message.
pub(super) const DEPTH_MAX: usize = 128;

/// See the module docs.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The same message, from byte `at` on.
    pub(super) fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes from `start` to the cursor.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The next byte; 0 at the end.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    #[inline]
    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Passes `token` where it stands next.
    #[inline]
    pub(super) fn take(&mut self, token: &[u8]) -> bool {
        let found = self
            .bytes
            .get(self.at..self.at + token.len())
            .is_some_and(|bytes| is_same(bytes, token));
        if found {
            self.at += token.len();
        }
        found
    }

    /// Passes white space and one expected byte.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Parsed<()> {
        self.skip_space();
        if self.peek() != byte {
            return Err(self.expected_byte(byte));
        }
        self.at += 1;
        Ok(())
    }

    /// After an element: true where `,` says that another follows, false at the closing bracket.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Parsed<bool> {
        self.skip_space();
        let byte = self.peek();
        if byte == b',' {
            self.at += 1;
            self.skip_space();
            Ok(true)
        } else if byte == close {
            self.at += 1;
            Ok(false)
        } else {
            Err(self.expected_more(close))
        }
    }

    /// After the opening bracket: true where it is closed at once, and passed.
    #[inline]
    pub(super) fn closed(&mut self, close: u8) -> bool {
        self.skip_space();
        let closed = self.peek() == close;
        self.at += usize::from(closed);
        closed
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Parsed<()> {
        self.skip_space();
        if self.at < self.bytes.len() {
            return Err(Fault::form(format!(
                "trailing garbage after the message at byte {}",
                self.at
            )));
        }
        Ok(())
    }

    /// What stands next, for a message: never the value.
    pub(super) fn kind(&self) -> &'static str {
        match self.peek() {
            b'"' => "a string",
            b'{' => "an object",
            b'[' => "an array",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            b'-' | b'0'..=b'9' => "a number",
            _ if self.at >= self.bytes.len() => "the end of the message",
            _ => "an unexpected byte",
        }
    }

    #[cold]
    fn expected_byte(&self, byte: u8) -> Box<Fault> {
        self.unexpected(&format!("`{}`", char::from(byte)))
    }

    #[cold]
    fn expected_more(&self, close: u8) -> Box<Fault> {
        self.unexpected(&format!("`,` or `{}`", char::from(close)))
    }

    /// Broken syntax: `expected` did not come.
    #[cold]
    pub(super) fn unexpected(&self, expected: &str) -> Box<Fault> {
        let at = self.at.min(self.bytes.len());
        Fault::form(format!(
            "broken JSON at byte {at}: found {}, expected {expected}",
            self.kind()
        ))
    }

    /// A good value of the wrong kind, or no value at all.
    #[cold]
    pub(super) fn wrong_kind(&self, expected: &str) -> Box<Fault> {
        match self.kind() {
            "the end of the message" | "an unexpected byte" => self.unexpected(expected),
            kind => Fault::value(format!("found {kind}, expected {expected}")),
        }
    }

    /// Passes `null` where it stands next.
    #[inline]
    pub(super) fn take_null(&mut self) -> bool {
        self.peek() == b'n' && self.take(b"null")
    }

    /// The string that stands next.
    #[inline]
    pub(super) fn string(&mut self) -> Parsed<Text<'a>> {
        if self.peek() != b'"' {
            return Err(self.unexpected("a string"));
        }
        let start = self.at + 1;
        let mut escaped = false;
        let mut at = start;
        loop {
            at = plain_end(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => return Err(Fault::form("control character in a string")),
                None => return Err(Fault::form("the message ends inside a string")),
            }
        }
        self.at = at + 1;
        Ok(Text {
            raw: &self.bytes[start..at],
            escaped,
        })
    }

    /// The number that stands next, checked against JSON's grammar.
    #[inline]
    pub(super) fn number(&mut self) -> Parsed<&'a [u8]> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else if self.digits() == 0 {
            return Err(self.unexpected("a digit"));
        }
        if self.peek() == b'.' {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        Ok(self.since(start))
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(word) = self.word(self.at)
            && is_digits(word)
        {
            self.at += 8;
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }

    #[inline]
    fn word(&self, at: usize) -> Option<u64> {
        let chunk = self.bytes.get(at..at + 8)?;
        Some(u64::from_le_bytes(chunk.try_into().ok()?))
    }

    /// The integer of at most 18 digits that stands next, passed; `None` where it is anything else,
    /// and nothing is passed.
    #[inline]
    pub(super) fn small_integer(&mut self) -> Option<i64> {
        let negative = self.peek() == b'-';
        let first = self.at + usize::from(negative);
        let mut at = first;
        let mut value: i64 = 0;
        while at - first <= 8
            && let Some(word) = self.word(at)
            && is_digits(word)
        {
            value = value * 100_000_000 + eight_digits(word);
            at += 8;
        }
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or(0);
        while byte(at).is_ascii_digit() {
            if at - first >= 18 {
                return None;
            }
            value = value * 10 + i64::from(byte(at) - b'0');
            at += 1;
        }
        let leading_zero = byte(first) == b'0' && at - first > 1;
        if at == first || leading_zero || matches!(byte(at), b'.' | b'e' | b'E') {
            return None;
        }
        self.at = at;
        Some(if negative { -value } else { value })
    }

    /// Passes one value by its brackets; see the module docs.
    #[inline]
    pub(super) fn skip(&mut self) -> Parsed<()> {
        match self.peek() {
            b'"' => self.string().map(|_| ()),
            b'{' | b'[' => self.skip_brackets(),
            _ => self.skip_scalar(),
        }
    }

    fn skip_scalar(&mut self) -> Parsed<()> {
        match self.peek() {
            b'n' if self.take(b"null") => Ok(()),
            b't' if self.take(b"true") => Ok(()),
            b'f' if self.take(b"false") => Ok(()),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn skip_brackets(&mut self) -> Parsed<()> {
        let mut depth = 0;
        loop {
            match self.peek() {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(too_deep());
                    }
                }
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                _ if self.at >= self.bytes.len() => return Err(self.unexpected("`}` or `]`")),
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Passes one value and checks all of it.
    pub(super) fn skip_checked(&mut self) -> Parsed<()> {
        self.skip_nested(0)
    }

    fn skip_nested(&mut self, depth: usize) -> Parsed<()> {
        let open = self.peek();
        match open {
            b'"' => {
                let text = self.string()?;
                return if text.escaped {
                    text.unescape().map(|_| ())
                } else {
                    Ok(())
                };
            }
            b'{' | b'[' if depth >= DEPTH_MAX => return Err(too_deep()),
            b'{' | b'[' => {}
            _ => return self.skip_scalar(),
        }
        // In ASCII the closing bracket stands two after the opening one.
        let close = open + 2;
        self.at += 1;
        if self.closed(close) {
            return Ok(());
        }
        loop {
            if open == b'{' {
                self.string()?.unescape()?;
                self.expect(b':')?;
                self.skip_space();
            }
            self.skip_nested(depth + 1)?;
            if !self.more(close)? {
                return Ok(());
            }
        }
    }
}

#[cold]
fn too_deep() -> Box<Fault> {
    Fault::form(format!("nested deeper than {DEPTH_MAX}"))
}

#[cfg(test)]
mod tests;

//! The bytes of one Avro value, read from the front.

use crate::format::fault::{Fault, Parsed};

/// See the module docs.
#[derive(Debug, Clone)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Parsed<u8> {
        let (&first, rest) = self.rest.split_first().ok_or_else(short)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A number of variable length, zigzag coded.
    #[inline]
    pub(super) fn long(&mut self) -> Parsed<i64> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(unzigzag(u64::from(first)));
        }
        let mut value = u64::from(first & 0x7F);
        for shift in (7..70).step_by(7) {
            let next = self.byte()?;
            // The tenth byte holds one bit.
            if shift == 63 && next > 1 {
                break;
            }
            value |= u64::from(next & 0x7F) << shift;
            if next < 0x80 {
                return Ok(unzigzag(value));
            }
        }
        Err(Fault::form("found a number of more than 64 bits"))
    }

    /// Bytes behind their length.
    #[inline]
    pub(super) fn bytes(&mut self) -> Parsed<&'a [u8]> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| negative())?;
        self.take(length)
    }

    /// The number of items of the next block of an array or a map; 0 at its end.
    pub(super) fn block(&mut self) -> Parsed<u64> {
        let count = self.long()?;
        if count < 0 {
            // The length in bytes follows; whoever reads every item does not need it.
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cold]
fn short() -> Box<Fault> {
    Fault::form("the message ends before its schema does")
}

#[cold]
fn negative() -> Box<Fault> {
    Fault::form("found a length below zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_variable_length() {
        let check = |bytes: &[u8], expect: Option<i64>| {
            assert_eq!(Input::new(bytes).long().ok(), expect, "{bytes:x?}");
        };
        check(&[0], Some(0));
        check(&[1], Some(-1));
        check(&[2], Some(1));
        check(&[0x80, 1], Some(64));
        check(
            &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
            Some(i64::MAX),
        );
        check(&[0xFF; 9], None);
        check(
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
            Some(i64::MIN),
        );
        check(
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2],
            None,
        );
        check(&[], None);
    }

    #[test]
    fn what_is_cut_short_is_a_fault() {
        assert!(Input::new(&[4, b'a']).bytes().is_err());
        assert!(Input::new(&[1]).bytes().is_err());
        assert_eq!(Input::new(&[4, b'a', b'b']).bytes().unwrap(), b"ab");
        assert_eq!(Input::new(&[3, 20]).block().unwrap(), 2);
    }
}

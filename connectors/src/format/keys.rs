//! The order in which an object's keys are expected, learnt from the objects before.
//!
//! A key that stands where it is expected costs one comparison of bytes. Any other is looked up,
//! and the order adapts. A missing key costs one look-up; the result never depends on the order.

use std::collections::HashMap;

use super::fault::Parsed;
use super::scan::Cursor;

/// How many keys that nobody asked for are remembered.
const STRANGERS_MAX: usize = 4096;

/// A key that is not one of the known names.
pub(super) const STRANGER: usize = usize::MAX;

/// See the module docs.
#[derive(Debug, Default)]
pub(super) struct KeyOrder {
    /// `"name":` by token; the first `known` are the names asked for, the rest strangers.
    tokens: Vec<Box<[u8]>>,
    known: usize,
    /// Tokens in the order expected.
    order: Vec<u32>,
    lookup: HashMap<Box<[u8]>, u32>,
}

impl KeyOrder {
    /// Expects `names`, in this order at first.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut keys = Self::default();
        for name in names {
            keys.learn(name.as_bytes());
        }
        keys.known = keys.tokens.len();
        keys.order = (0..keys.known as u32).collect();
        keys
    }

    /// The known name that stands next with its colon, both passed; [`STRANGER`] for another.
    /// `hint` is 0 for the first key of an object.
    #[inline]
    pub(super) fn next(&mut self, cursor: &mut Cursor<'_>, hint: &mut usize) -> Parsed<usize> {
        if let Some(&token) = self.order.get(*hint)
            && cursor.take(&self.tokens[token as usize])
        {
            *hint += 1;
            cursor.skip_space();
            return Ok(self.name(token));
        }
        self.find(cursor, hint)
    }

    #[cold]
    fn find(&mut self, cursor: &mut Cursor<'_>, hint: &mut usize) -> Parsed<usize> {
        let name = cursor.string()?.unescape()?;
        cursor.expect(b':')?;
        cursor.skip_space();
        let token = match self.lookup.get(&*name) {
            Some(&token) => token,
            None if self.tokens.len() - self.known < STRANGERS_MAX => self.learn(&name),
            None => return Ok(STRANGER),
        };
        match self.order.iter().position(|&other| other == token) {
            Some(place) if place >= *hint => *hint = place + 1,
            Some(place) => {
                self.order.remove(place);
                let place = (*hint - 1).min(self.order.len());
                self.order.insert(place, token);
            }
            None => {
                let place = (*hint).min(self.order.len());
                self.order.insert(place, token);
                *hint = place + 1;
            }
        }
        Ok(self.name(token))
    }

    fn name(&self, token: u32) -> usize {
        if (token as usize) < self.known {
            token as usize
        } else {
            STRANGER
        }
    }

    fn learn(&mut self, name: &[u8]) -> u32 {
        let token = self.tokens.len() as u32;
        let text = String::from_utf8_lossy(name);
        let mut bytes = serde_json::Value::from(text.as_ref())
            .to_string()
            .into_bytes();
        bytes.push(b':');
        self.tokens.push(bytes.into());
        self.lookup.insert(name.into(), token);
        token
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(keys: &mut KeyOrder, json: &str) -> Vec<usize> {
        let mut cursor = Cursor::new(json.as_bytes());
        let (mut hint, mut seen) = (0, Vec::new());
        cursor.expect(b'{').unwrap();
        if cursor.closed(b'}') {
            return seen;
        }
        loop {
            seen.push(keys.next(&mut cursor, &mut hint).unwrap());
            cursor.skip().unwrap();
            if !cursor.more(b'}').unwrap() {
                return seen;
            }
        }
    }

    proptest! {
        #[test]
        fn order_never_changes_what_is_read(
            objects in proptest::collection::vec(proptest::collection::vec(0..6usize, 0..8), 1..20),
            space in "[ \n]{0,2}",
        ) {
            let names = ["a", "b\"", "é", "d"];
            let mut keys = KeyOrder::new(names);
            for object in objects {
                let text = |&i: &usize| {
                    let name = names.get(i).map_or_else(|| format!("x{i}"), |&name| name.to_owned());
                    format!("{space}{}{space}:{space}1{space}", serde_json::Value::from(name))
                };
                let json = format!("{{{}}}", object.iter().map(text).collect::<Vec<_>>().join(","));
                let expect: Vec<usize> = object
                    .iter()
                    .map(|&i| if i < names.len() { i } else { STRANGER })
                    .collect();
                prop_assert_eq!(read(&mut keys, &json), expect, "{}", json);
            }
        }
    }
}

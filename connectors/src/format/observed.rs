//! The columns of rows that nobody described, as the rows themselves show them.
//!
//! A column has the kind of the value at hand, and never one that an earlier value suggests: what a
//! value becomes does not depend on what was read before it, so that a restart changes nothing (R19).
//! A column that only ever was null, or is not carried, has no kind. Columns keep the order in which
//! they were first seen; that is all that is remembered.

use std::collections::HashMap;
use std::sync::Arc;

use super::fault::{Fault, Parsed};
use super::reading::{Found, Kind, Placeholder, Reading};
use super::scan::Cursor;
use super::schema::Described;

/// How many columns a table without a schema may have; the most that a PostgreSQL table can.
const COLUMNS_MAX: usize = 1600;

#[derive(Debug)]
struct Column {
    name: String,
    found: Found,
}

/// What was seen of one table. See the module docs.
#[derive(Debug)]
pub(super) struct Observed {
    columns: Vec<Column>,
    lookup: HashMap<String, usize>,
    /// Columns whose numbers an expression computes with.
    computed: Arc<[String]>,
    changed: bool,
}

impl Observed {
    /// Of a table of which nothing was seen. Numbers of the columns `computed` keep their own types.
    pub(super) fn new(computed: Arc<[String]>) -> Self {
        Self {
            columns: Vec::new(),
            lookup: HashMap::new(),
            computed,
            changed: false,
        }
    }

    /// A column that is there whether a row has it or not.
    pub(super) fn expect(&mut self, name: &str) {
        if !self.lookup.contains_key(name) {
            self.insert(name);
        }
    }

    /// Adds the object that stands next, all of it or nothing. `wanted` says which columns matter.
    pub(super) fn add(
        &mut self,
        cursor: &mut Cursor<'_>,
        placeholder: &Placeholder,
        wanted: impl Fn(&str) -> bool,
    ) -> Parsed<()> {
        let mut seen = Vec::new();
        cursor.expect(b'{')?;
        let mut more = !cursor.closed(b'}');
        while more {
            let name = cursor.string()?.unescape()?;
            cursor.expect(b':')?;
            cursor.skip_space();
            let name = std::str::from_utf8(&name).map_err(|_| Fault::form("a key is not UTF-8"))?;
            let is_computed = self.is_computed(name);
            let kind = if placeholder.take(cursor)? {
                Kind::Nothing
            } else {
                Kind::of(cursor, is_computed)?
            };
            if wanted(name) {
                seen.push((name.to_owned(), kind));
            }
            more = cursor.more(b'}')?;
        }
        let new = seen
            .iter()
            .filter(|(name, _)| !self.lookup.contains_key(name))
            .count();
        if self.columns.len() + new > COLUMNS_MAX {
            return Err(Fault::value(format!(
                "more than {COLUMNS_MAX} columns in one table"
            )));
        }
        for (name, kind) in seen {
            let at = match self.lookup.get(&name) {
                Some(&at) => at,
                None => self.insert(&name),
            };
            let found = &mut self.columns[at].found;
            if !found.holds(kind) {
                found.kind = kind;
                self.changed = true;
            }
        }
        Ok(())
    }

    fn is_computed(&self, name: &str) -> bool {
        self.computed.iter().any(|computed| computed == name)
    }

    fn insert(&mut self, name: &str) -> usize {
        let at = self.columns.len();
        let found = Found {
            kind: Kind::Nothing,
            computed: self.is_computed(name),
        };
        self.lookup.insert(name.to_owned(), at);
        self.columns.push(Column {
            name: name.to_owned(),
            found,
        });
        self.changed = true;
        at
    }

    /// The columns as the rows at hand have them.
    pub(super) fn columns(&self) -> Vec<Described> {
        let described = |column: &Column| Described {
            name: column.name.clone(),
            reading: Reading::Found(column.found),
            required: true,
        };
        self.columns.iter().map(described).collect()
    }

    /// Whether the columns became others since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds of `x` after each of `values`.
    fn check(computed: bool, values: &[&str], expect: &[Kind]) {
        let names: &[String] = if computed { &["x".to_owned()] } else { &[] };
        let mut observed = Observed::new(names.into());
        let placeholder = Placeholder::new("gone");
        let kinds: Vec<Kind> = values
            .iter()
            .map(|value| {
                let row = format!("{{\"x\": {value}}}");
                let cursor = &mut Cursor::new(row.as_bytes());
                observed.add(cursor, &placeholder, |_| true).unwrap();
                observed.columns[0].found.kind
            })
            .collect();
        assert_eq!(kinds, expect, "{values:?}");
    }

    #[test]
    fn the_value_at_hand_says_the_kind_r19() {
        use Kind::{Boolean, Document, Float, Integer, Nothing, Number, Text};
        check(false, &["null", "1", "null"], &[Nothing, Integer, Integer]);
        check(
            false,
            &["\"a\"", "1", "true", "{}", "[1]", "\"b\""],
            &[Text, Integer, Boolean, Document, Document, Text],
        );
        // Whole and fractional numbers share a batch where nobody computes with them.
        check(false, &["1", "2.5", "3"], &[Integer, Number, Number]);
        check(false, &["18446744073709551615"], &[Number]);
        check(true, &["1", "2.5", "3"], &[Integer, Float, Integer]);
        check(true, &["1e2", "1.50"], &[Integer, Float]);
        check(true, &["0.12345678901234567890"], &[Number]);
        // An unavailable value says nothing, in any of its forms (R14).
        check(
            false,
            &["1", "\"gone\"", "[\"gone\"]"],
            &[Integer, Integer, Integer],
        );
    }

    #[test]
    fn a_broken_row_leaves_no_trace() {
        let mut observed = Observed::new(Arc::from([]));
        let cursor = &mut Cursor::new(b"{\"x\": 1, \"y\": oops}");
        let placeholder = Placeholder::new("");
        assert!(observed.add(cursor, &placeholder, |_| true).is_err());
        assert!(observed.columns().is_empty() && !observed.take_changed());
    }

    #[test]
    fn columns_are_bounded() {
        let row = |from: usize| {
            let keys: Vec<_> = (from..from + 900).map(|i| format!("\"c{i}\":1")).collect();
            format!("{{{}}}", keys.join(","))
        };
        let mut observed = Observed::new(Arc::from([]));
        let placeholder = Placeholder::new("");
        let mut add = |row: String| {
            let cursor = &mut Cursor::new(row.as_bytes());
            observed.add(cursor, &placeholder, |_| true).is_ok()
        };
        assert!(add(row(0)) && !add(row(900)));
        assert_eq!(observed.columns().len(), 900);
    }
}
